/**
 * Tables in Markdown, and the numbers in them.
 */
import * as Array from "effect/Array"
import * as Order from "effect/Order"
import type { Sample } from "./protocol.ts"

/** The median of some numbers. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = Array.sort(values, Order.Number)
  const middle = Math.floor((sorted.length - 1) / 2)
  const [low = Number.NaN, high = low] = sorted.slice(middle, sorted.length % 2 === 0 ? middle + 2 : middle + 1)
  return (low + high) / 2
}

/** The operations in a second, by the median of samples. */
export const opsPerSecondOf = (samples: ReadonlyArray<Sample>): number =>
  1000 / median(samples.map(({ milliseconds, operations }) => milliseconds / operations))

const significant = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 })

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

/** A number with three digits. */
export const showRatio = (ratio: number): string => significant.format(ratio)

/** A whole number, with fractions if it is small. */
export const showCount = (count: number): string => count < 100 ? significant.format(count) : whole.format(count)

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
