/**
 * Tables in Markdown, and the numbers in them.
 */
import * as Array from "effect/Array"
import * as Order from "effect/Order"
import type { Sample } from "./protocol.ts"
import type { ProcessResult } from "./workers.ts"

/** The median of some numbers. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = Array.sort(values, Order.Number)
  const middle = Math.floor((sorted.length - 1) / 2)
  const [low = Number.NaN, high = low] = sorted.slice(middle, sorted.length % 2 === 0 ? middle + 2 : middle + 1)
  return (low + high) / 2
}

/** The milliseconds of an operation in each process: the median of its samples. */
const millisOf = (processes: ReadonlyArray<ProcessResult>): ReadonlyArray<number> =>
  processes.map(({ samples }) => median(samples.map(({ milliseconds, operations }) => milliseconds / operations)))

/** The operations in a second, by the median of processes. */
export const opsPerSecondOf = (processes: ReadonlyArray<ProcessResult>): number => 1000 / median(millisOf(processes))

/** Half of the distance from the fastest to the slowest of some times, as a part of their median. */
const spreadOf = (times: ReadonlyArray<number>): number => (Math.max(...times) - Math.min(...times)) / 2 / median(times)

/** The spread of the processes. */
export const steadySpreadOf = (processes: ReadonlyArray<ProcessResult>): number => spreadOf(millisOf(processes))

/** The microseconds of processor time of an operation, by the median of processes. */
export const cpuMicrosOf = (processes: ReadonlyArray<ProcessResult>): number =>
  1000 *
  median(processes.map(({ samples }) => median(samples.map(({ cpuMillis, operations }) => cpuMillis / operations))))

/** The longest pauses of all runs, in milliseconds. */
export const pausesOf = (processes: ReadonlyArray<ProcessResult>): ReadonlyArray<number> =>
  processes.flatMap(({ samples }) => samples.flatMap(({ pausesMillis }) => pausesMillis))

/** The number that 99 per cent of some numbers do not exceed. */
export const percentile99 = (values: ReadonlyArray<number>): number =>
  Array.sort(values, Order.Number)[Math.ceil(values.length * 0.99) - 1] ?? Number.NaN

/** The same of the first calls of a process. */
export const firstOf = (
  processes: ReadonlyArray<ProcessResult>
): { readonly opsPerSecond: number; readonly spread: number; readonly cpuMicros: number } | undefined => {
  const samples = processes.flatMap(({ first }): ReadonlyArray<Sample> => first === undefined ? [] : [first])
  if (samples.length === 0) return undefined
  const times = samples.map(({ milliseconds, operations }) => milliseconds / operations)
  return {
    opsPerSecond: 1000 / median(times),
    spread: spreadOf(times),
    cpuMicros: 1000 * median(samples.map(({ cpuMillis, operations }) => cpuMillis / operations))
  }
}

const significant = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 })

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

/** A number with three digits. */
export const showRatio = (ratio: number): string => significant.format(ratio)

/** A whole number, with fractions if it is small. */
export const showCount = (count: number): string => count < 100 ? significant.format(count) : whole.format(count)

/** A spread in per cent. One process has none. */
export const showSpread = (spread: number): string => spread === 0 ? "" : `±${whole.format(spread * 100)} %`

/** A column of a table. */
export interface Column<Row> {
  readonly title: string
  readonly width: number
  readonly isNumber: boolean
  readonly show: (row: Row) => string
}

const line = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const pad = ({ isNumber, width }: Column<never>, text: string): string =>
  isNumber ? text.padStart(width) : text.padEnd(width)

/** The head of a table. */
export const headOf = (columns: ReadonlyArray<Column<never>>): string =>
  [
    line(columns.map((column) => pad(column, column.title))),
    line(columns.map(({ isNumber, width }) => isNumber ? `${"-".repeat(width - 1)}:` : "-".repeat(width)))
  ].join("\n")

/** A row of a table. */
export const lineOf = <Row>(columns: ReadonlyArray<Column<Row>>, row: Row): string =>
  line(columns.map((column) => pad(column, column.show(row))))
