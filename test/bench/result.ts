/**
 * The rows of a run: what the JSON file has, and how they are shown.
 */
import * as ByteSize from "effect/ByteSize"
import * as Schema from "effect/Schema"
import type { Step } from "./plan.ts"
import { ScenarioId, SystemName } from "./protocol.ts"
import { type SystemName as System, yardstick } from "./systems.ts"
import { type Column, headOf, lineOf, median, opsPerSecondOf, showCount, showRatio } from "./table.ts"
import type { Measured } from "./workers.ts"

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

/** The rows of a step, in which the yardstick has to be. */
export const rowsOf = ({ records, scenario }: Step, measured: ReadonlyArray<Measured<System>>): Array<Row> => {
  const speeds = measured.map((one) => ({ ...one, opsPerSecond: opsPerSecondOf(one.samples) }))
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

const columns: ReadonlyArray<Column<Row>> = [
  { title: "scenario", width: 14, isNumber: false, show: ({ scenario }) => scenario },
  { title: "records", width: 10, isNumber: true, show: ({ records }) => showCount(records) },
  { title: "system", width: 27, isNumber: false, show: ({ system }) => system },
  {
    title: "operations/s",
    width: 12,
    isNumber: true,
    show: ({ opsPerSecond }) => showCount(opsPerSecond)
  },
  { title: "ratio", width: 7, isNumber: true, show: ({ ratio }) => showRatio(ratio) },
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
    show: ({ longestPauseMillis }) => `${showRatio(longestPauseMillis)} ms`
  }
]

/** The head of the table, in Markdown. */
export const head: string = headOf(columns)

/** A row of the table. */
export const showRow = (row: Row): string => lineOf(columns, row)
