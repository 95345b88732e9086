/** Reads the design page: its sections with their links, and its examples of bytes. */
import * as Predicate from "effect/Predicate"
import MarkdownIt from "markdown-it"

/** A link of a markdown text. */
export interface Link {
  readonly text: string
  readonly target: string
}

/** A heading with the links up to the next one. */
export interface Section {
  readonly heading: string
  readonly links: ReadonlyArray<Link>
}

/** The links of a part of a markdown text that do not stay within it. */
export const linksOf = (text: string): ReadonlyArray<Link> =>
  Array.from(text.matchAll(/\[([^\]]+)\]\(([^)#]+)\)/g), ([, link = "", target = ""]) => ({ text: link, target }))

/** The parts of a text between its headings of the third level. */
export const sectionsOf = (text: string): ReadonlyArray<Section> =>
  text.split(/^(?=##)/m).flatMap((part) => {
    const heading = /^### (.+)$/m.exec(part)?.[1]
    return heading === undefined ? [] : [{ heading, links: linksOf(part) }]
  })

/** A drawing without the spaces that all of its lines begin with. */
export const withoutIndentation = (text: string): string => {
  const lines = text.split("\n").filter((line) => line !== "")
  const spaces = Math.min(...lines.map((line) => line.search(/\S/)))
  return lines.map((line) => line.slice(spaces)).join("\n")
}

/** A value in the source of an example, and the bytes that it says it has. */
export interface Row {
  readonly source: string
  readonly bytes: string
}

/** A fence of the page. */
export interface Block {
  /** The number of its first line in the text. */
  readonly line: number
  readonly language: string
  /** What the example is of. */
  readonly kind: string
  readonly argument: string
  readonly content: string
}

/** The fences of a markdown text, in its order. */
export const blocksOf = (text: string): ReadonlyArray<Block> =>
  new MarkdownIt().parse(text, {}).flatMap((token) => {
    if (token.type !== "fence" || token.map === null) return []
    const [, language = "", kind = "", argument = ""] = /^(\S*)\s*(\S*)\s*(.*)$/.exec(token.info) ?? []
    return [{ line: token.map[0] + 2, language, kind, argument, content: token.content }]
  })

/** The bytes with which a line begins, one space between two of them; two spaces end them. */
export const bytesAtStart = (line: string): string =>
  /^[0-9a-f]{2}(?: [0-9a-f]{2})*(?=$| {2})/.exec(line.trim())?.[0].replaceAll(" ", "") ?? ""

/**
 * The rows of an example. A line that is not indented begins a row; its bytes stand after
 * `=>` and in the indented lines that follow.
 */
export const rowsOf = ({ content }: Block): ReadonlyArray<Row> => {
  const rows: Array<Row> = []
  for (const line of content.split("\n").filter((text) => text !== "")) {
    const last = rows.at(-1)
    if (line.startsWith("  ") && last !== undefined) {
      rows[rows.length - 1] = { ...last, bytes: last.bytes + bytesAtStart(line) }
    } else {
      const [source = "", bytes = ""] = line.split(" => ")
      rows.push({ source, bytes: bytesAtStart(bytes) })
    }
  }
  return rows
}

/** The value of an expression in an example. The names that it may use are given. */
export const evaluate = (source: string, names: Readonly<Record<string, unknown>> = {}): unknown => {
  const made: unknown = Reflect.construct(Function, [...Object.keys(names), `return (${source})`])
  if (!Predicate.isFunction(made)) throw new Error(`${source} is no expression`)
  return Reflect.apply(made, undefined, Object.values(names))
}
