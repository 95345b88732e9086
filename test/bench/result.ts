/**
 * The rows of a run: what the JSON file has, and how they are shown.
 */
import * as ByteSize from "effect/ByteSize"
import * as Schema from "effect/Schema"
import type { Step } from "./plan.ts"
import { ScenarioId, SystemName } from "./protocol.ts"
import { type SystemName as System, yardstick } from "./systems.ts"
import {
  type Column,
  cpuMicrosOf,
  firstOf,
  headOf,
  lineOf,
  median,
  opsPerSecondOf,
  pausesOf,
  percentile99,
  showCount,
  showRatio,
  showSpread,
  steadySpreadOf
} from "./table.ts"
import type { Measured } from "./workers.ts"

/** What was measured of one system in one scenario. */
export const Row = Schema.Struct({
  scenario: ScenarioId,
  /** How many records the store has, or how many are written to it. */
  records: Schema.Int,
  system: SystemName,
  /** By the median of the processes, each with the median of its samples. */
  opsPerSecond: Schema.Finite,
  /** Half of the distance from the fastest process to the slowest, as a part of the median. */
  spread: Schema.Finite,
  /** The time of an operation over that of `lmdb` in the same run: below 1 is faster. */
  ratio: Schema.Finite,
  /** The same of the first calls of a process, which are 1,000 where a scenario reads one by one. */
  first: Schema.optionalKey(Schema.Struct({
    opsPerSecond: Schema.Finite,
    spread: Schema.Finite,
    ratio: Schema.Finite,
    cpuMicros: Schema.Finite
  })),
  /** The processor time of an operation in all threads. */
  cpuMicros: Schema.Finite,
  /** The most memory that a process had resident, with the pages of mapped files, by the median of the processes. */
  peakMemoryBytes: Schema.Int,
  /** The longest time that the event loop stood still in a run, by the median of the runs. */
  pauseMillis: Schema.Finite,
  /** What 99 per cent of the runs do not exceed. */
  pause99Millis: Schema.Finite
})

/** What was measured of one system in one scenario. */
export type Row = typeof Row.Type

/** The rows of a run as they stand in a file. */
export const Rows = Schema.fromJsonString(Schema.Array(Row))

/** The rows of a step, in which the yardstick has to be. */
export const rowsOf = ({ records, scenario }: Step, measured: ReadonlyArray<Measured<System>>): Array<Row> => {
  const unit = measured.find(({ system }) => system === yardstick)?.processes ?? []
  const unitFirst = firstOf(unit)?.opsPerSecond ?? Number.NaN
  return measured.map(({ processes, system }) => {
    const opsPerSecond = opsPerSecondOf(processes)
    const first = firstOf(processes)
    const pauses = pausesOf(processes)
    return {
      scenario,
      records,
      system,
      opsPerSecond,
      spread: steadySpreadOf(processes),
      ratio: opsPerSecondOf(unit) / opsPerSecond,
      ...(first === undefined ? {} : { first: { ...first, ratio: unitFirst / first.opsPerSecond } }),
      cpuMicros: cpuMicrosOf(processes),
      peakMemoryBytes: Math.round(median(processes.map(({ peakMemoryBytes }) => peakMemoryBytes))),
      pauseMillis: median(pauses),
      pause99Millis: percentile99(pauses)
    }
  })
}

// -----------------------------------------------------------------------------
// the table
// -----------------------------------------------------------------------------

const number = (title: string, width: number, show: (row: Row) => string): Column<Row> => ({
  title,
  width,
  isNumber: true,
  show
})

const ofFirst = (show: (first: NonNullable<Row["first"]>) => string) => ({ first }: Row): string =>
  first === undefined ? "" : show(first)

const columns: ReadonlyArray<Column<Row>> = [
  { title: "scenario", width: 21, isNumber: false, show: ({ scenario }) => scenario },
  number("records", 10, ({ records }) => showCount(records)),
  { title: "system", width: 27, isNumber: false, show: ({ system }) => system },
  number("operations/s", 12, ({ opsPerSecond }) => showCount(opsPerSecond)),
  number("spread", 7, ({ spread }) => showSpread(spread)),
  number("ratio", 7, ({ ratio }) => showRatio(ratio)),
  number("first calls/s", 13, ofFirst(({ opsPerSecond }) => showCount(opsPerSecond))),
  number("spread", 7, ofFirst(({ spread }) => showSpread(spread))),
  number("ratio", 7, ofFirst(({ ratio }) => showRatio(ratio))),
  number("CPU", 12, ({ cpuMicros }) => `${showCount(cpuMicros)} µs`),
  number("memory", 9, ({ peakMemoryBytes }) => ByteSize.format(ByteSize.bytes(peakMemoryBytes), { precision: 0 })),
  number("pause", 9, ({ pauseMillis }) => `${showRatio(pauseMillis)} ms`),
  number("99 %", 9, ({ pause99Millis }) => `${showRatio(pause99Millis)} ms`)
]

/** The head of the table, in Markdown. */
export const head: string = headOf(columns)

/** A row of the table. */
export const showRow = (row: Row): string => lineOf(columns, row)
