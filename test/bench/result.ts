/**
 * The rows of a run: what the JSON file has, and how they are shown.
 */
import * as Array from "effect/Array"
import * as ByteSize from "effect/ByteSize"
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"
import type { Step } from "./plan.ts"
import { ScenarioId, SystemName } from "./protocol.ts"
import type { Measured } from "./runner.ts"
import { yardstick } from "./systems.ts"

/** What was measured of one system in one scenario. */
export const Row = Schema.Struct({
  scenario: ScenarioId,
  /** How many records the store has, or how many are written to it. */
  records: Schema.Int,
  system: SystemName,
  /** By the median of the samples. */
  opsPerSecond: Schema.Finite,
  /** The time of an operation over that of `lmdb` in the same run: below 1 is faster. */
  ratio: Schema.Finite,
  /** The most memory that the process had resident, with the pages of mapped files. */
  peakMemoryBytes: Schema.Int,
  /** The longest time that the event loop stood still in a sample, by the median of the samples. */
  longestPauseMillis: Schema.Finite
})

/** What was measured of one system in one scenario. */
export type Row = typeof Row.Type

/** The rows of a run as they stand in a file. */
export const Rows = Schema.fromJsonString(Schema.Array(Row))

const median = (values: ReadonlyArray<number>): number => {
  const sorted = Array.sort(values, Order.Number)
  const middle = Math.floor((sorted.length - 1) / 2)
  const [low = Number.NaN, high = low] = sorted.slice(middle, sorted.length % 2 === 0 ? middle + 2 : middle + 1)
  return (low + high) / 2
}

const opsPerSecondOf = ({ samples }: Measured): number =>
  1000 / median(samples.map(({ milliseconds, operations }) => milliseconds / operations))

/** The rows of a step, in which the yardstick has to be. */
export const rowsOf = ({ records, scenario }: Step, measured: ReadonlyArray<Measured>): Array<Row> => {
  const speeds = measured.map((one) => ({ ...one, opsPerSecond: opsPerSecondOf(one) }))
  const unit = speeds.find(({ system }) => system === yardstick)?.opsPerSecond ?? Number.NaN
  return speeds.map(({ opsPerSecond, peakMemoryBytes, samples, system }) => ({
    scenario,
    records,
    system,
    opsPerSecond,
    ratio: unit / opsPerSecond,
    peakMemoryBytes,
    longestPauseMillis: median(samples.map(({ longestPauseMillis }) => longestPauseMillis))
  }))
}

// -----------------------------------------------------------------------------
// the table
// -----------------------------------------------------------------------------

interface Column {
  readonly title: string
  readonly width: number
  readonly isNumber: boolean
  readonly show: (row: Row) => string
}

const significant = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 })

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

const columns: ReadonlyArray<Column> = [
  { title: "scenario", width: 14, isNumber: false, show: ({ scenario }) => scenario },
  { title: "records", width: 10, isNumber: true, show: ({ records }) => whole.format(records) },
  { title: "system", width: 27, isNumber: false, show: ({ system }) => system },
  {
    title: "operations/s",
    width: 12,
    isNumber: true,
    show: ({ opsPerSecond }) => opsPerSecond < 100 ? significant.format(opsPerSecond) : whole.format(opsPerSecond)
  },
  { title: "ratio", width: 7, isNumber: true, show: ({ ratio }) => significant.format(ratio) },
  {
    title: "memory",
    width: 9,
    isNumber: true,
    show: ({ peakMemoryBytes }) => ByteSize.format(ByteSize.bytes(peakMemoryBytes), { precision: 0 })
  },
  {
    title: "pause",
    width: 9,
    isNumber: true,
    show: ({ longestPauseMillis }) => `${significant.format(longestPauseMillis)} ms`
  }
]

const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const pad = ({ isNumber, width }: Column, text: string): string => isNumber ? text.padStart(width) : text.padEnd(width)

/** The head of the table, in Markdown. */
export const head: string = [
  line(columns.map((column) => pad(column, column.title))),
  line(columns.map(({ isNumber, width }) => isNumber ? `${"-".repeat(width - 1)}:` : "-".repeat(width)))
].join("\n")

/** A row of the table. */
export const showRow = (row: Row): string => line(columns.map((column) => pad(column, column.show(row))))
