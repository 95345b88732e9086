/**
 * Lays out rows of text in columns.
 */
import { displayWidth } from "effect/cli/CliOutput"

/** A column of a table. */
export interface Column<Row> {
  readonly name: string
  readonly get: (row: Row) => string
  /** Whether the texts are aligned at their ends, as numbers are. */
  readonly isNumber?: boolean
}

/** How a table is written. */
export interface TableOptions {
  /** The width of the terminal. `undefined`: nothing is cut. */
  readonly width: number | undefined
  /** Styles the names of the columns. */
  readonly heading: (text: string) => string
}

const gap = "  "

// Control characters would move the cursor of a terminal, or change its colors.
const control = /[\p{Cc}\p{Zl}\p{Zp}]/gu

const escapes: ReadonlyMap<string, string> = new Map([["\n", "\\n"], ["\r", "\\r"], ["\t", "\\t"]])

/** Shows control characters as escapes. */
export const printable = (text: string): string =>
  text.replace(
    control,
    (character) => escapes.get(character) ?? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  )

/** Cuts text to a number of cells of a terminal. */
export const cut = (text: string, width: number): string => {
  if (text.length <= width / 2 || displayWidth(text) <= width) return text
  let kept = ""
  let used = 0
  for (const character of text) {
    used += displayWidth(character)
    if (used > width - 1) break
    kept += character
  }
  return `${kept}…`
}

const pad = (text: string, width: number, isNumber: boolean): string => {
  const space = " ".repeat(Math.max(0, width - displayWidth(text)))
  return isNumber ? space + text : text + space
}

/** The least cells to which a column is cut. */
const leastWidth = 6

/** Makes the widths fit: takes cells from the widest column, again and again. */
const fit = (widths: ReadonlyArray<number>, width: number): ReadonlyArray<number> => {
  const fitted = [...widths]
  const room = width - gap.length * (widths.length - 1)
  for (let excess = fitted.reduce((sum, each) => sum + each, 0) - room; excess > 0;) {
    const widest = Math.max(...fitted)
    if (widest <= leastWidth) break
    const at = fitted.indexOf(widest)
    const second = Math.max(leastWidth, ...fitted.filter((each) => each < widest))
    const taken = Math.min(excess, Math.max(1, widest - second))
    fitted[at] = widest - taken
    excess -= taken
  }
  return fitted
}

/** A table whose widths are known. */
export interface Layout<Row> {
  readonly heading: string
  readonly line: (row: Row) => string
}

/** Lays out a table by its first rows. Rows after them use the same widths. */
export const layout = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  { heading, width }: TableOptions
): Layout<Row> => {
  const natural = columns.map(({ get, name }) =>
    rows.reduce((widest, row) => Math.max(widest, displayWidth(printable(get(row)))), name.length)
  )
  const widths = width === undefined ? natural : fit(natural, width)
  const cells = (texts: ReadonlyArray<string>): string =>
    texts.map((text, at) => {
      const own = widths[at] ?? 0
      const isNumber = columns[at]?.isNumber === true
      const shown = width === undefined ? text : cut(text, own)
      // The last column is not padded, so that lines do not end with spaces.
      return at === texts.length - 1 && !isNumber ? shown : pad(shown, own, isNumber)
    }).join(gap)
  return {
    heading: heading(cells(columns.map(({ name }) => name)).trimEnd()),
    line: (row) => cells(columns.map(({ get }) => printable(get(row))))
  }
}
