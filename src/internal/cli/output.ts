/**
 * Writes what a command has found: data to standard output, and everything else to standard error.
 */
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import { FileFailed, OutputClosed } from "./failures.ts"
import { jsonText } from "./jsonText.ts"
import { type Settings, settings, type SettingServices } from "./settings.ts"
import * as Table from "./table.ts"

/** What a command needs to write. */
export type OutputServices = SettingServices | Stdio.Stdio | Terminal.Terminal

/** Writes text. */
type Write<E> = (text: string | Uint8Array) => Effect.Effect<void, E>

/** Where and how a command writes. */
export interface Output {
  readonly settings: Settings
  /** The width of the terminal to which standard output goes. `undefined` if it goes elsewhere. */
  readonly width: number | undefined
  /** Whether standard error is a terminal, on which progress can be drawn. */
  readonly canDraw: boolean
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  /** Writes to standard output. */
  readonly write: Write<OutputClosed | FileFailed>
  /** Writes a stream of texts to standard output, each part at once. */
  readonly writeAll: <E, R>(
    texts: Stream.Stream<string | Uint8Array, E, R>
  ) => Effect.Effect<void, E | OutputClosed | FileFailed, R>
  /** Writes a line to standard error, unless `--quiet` is given. */
  readonly note: (text: string) => Effect.Effect<void>
  /** Writes to standard error, unless `--quiet` is given. */
  readonly draw: (text: string) => Effect.Effect<void>
}

// The reader has closed the pipe: an error of the system, in the error of the stream.
const isClosed = (error: unknown): boolean =>
  Predicate.hasProperty(error, "code") && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED")

const causeOf = ({ cause, reason }: PlatformError): unknown =>
  Predicate.hasProperty(reason, "cause") ? reason.cause : cause

const failureOf = (error: PlatformError): OutputClosed | FileFailed =>
  isClosed(causeOf(error))
    ? new OutputClosed()
    : new FileFailed({ message: `Standard output cannot be written: ${error.message}`, cause: error })

const escape = "\u001b["

/** Moves to the beginning of the line, and removes what is there. */
export const clearLine = `\r${escape}2K`

const styleBy = (canColor: boolean) => (code: number) => (text: string): string =>
  canColor ? `${escape}${code}m${text}${escape}0m` : text

/** Makes the output of a command from its flags. */
export const make: Effect.Effect<Output, never, OutputServices> = Effect.gen(function*() {
  const given = yield* settings
  const stdio = yield* Stdio.Stdio
  const terminal = yield* Terminal.Terminal
  const capabilities = yield* TerminalCapabilities.TerminalCapabilities
  const columns = (yield* stdio.stdoutIsTerminal) ? yield* terminal.columns : 0
  const style = styleBy(Option.getOrElse(given.color, () => capabilities.canColor))
  const writeAll = <E, R>(texts: Stream.Stream<string | Uint8Array, E, R>) =>
    texts.pipe(
      Stream.run(stdio.stdout({ endOnDone: false })),
      Effect.catchIf(isPlatformError, (error) => Effect.fail(failureOf(error)))
    )
  const draw = (text: string) =>
    given.isQuiet
      ? Effect.void
      : Effect.ignore(Stream.run(Stream.make(text), stdio.stderr({ endOnDone: false })))
  return {
    settings: given,
    width: columns > 0 ? columns : undefined,
    canDraw: !given.isQuiet && (yield* stdio.stderrIsTerminal),
    bold: style(1),
    dim: style(2),
    write: (text) => writeAll(Stream.make(text)),
    writeAll,
    note: (text) => draw(`${text}\n`),
    draw
  }
})

const isPlatformError = (error: unknown): error is PlatformError => Predicate.isTagged(error, "PlatformError")

// ---------------------------------------------------------------------------
// lists
// ---------------------------------------------------------------------------

/** What is written as JSON. `undefined` fields are left out. */
export type JsonForm = Schema.Json | object

/** How the items of a list are written. */
export interface ListOptions<Row> {
  readonly columns: ReadonlyArray<Table.Column<Row>>
  readonly toJson: (row: Row) => JsonForm
}

/** The rows by which the widths of columns are chosen. */
const measuredRows = 200

const joined = (lines: ReadonlyArray<string>): string => lines.map((line) => `${line}\n`).join("")

/** Writes each item as one line of JSON. */
const toLines = <Row, E, R>(rows: Stream.Stream<Row, E, R>, { toJson }: ListOptions<Row>) =>
  Stream.mapArray(rows, (part) => [joined(part.map((row) => jsonText(toJson(row))))] as const)

/** Writes the items as one JSON document, without keeping them in memory. */
const toDocument = <Row, E, R>(
  rows: Stream.Stream<Row, E, R>,
  { toJson }: ListOptions<Row>
): Stream.Stream<string, E, R> => {
  let isFirst = true
  const item = (row: Row): string => {
    const text = `${isFirst ? "" : ","}\n${jsonText(toJson(row))}`
    isFirst = false
    return text
  }
  return Stream.make("[").pipe(
    Stream.concat(Stream.mapArray(rows, (part) => [part.map(item).join("")] as const)),
    Stream.concat(Stream.suspend(() => Stream.make(isFirst ? "]\n" : "\n]\n")))
  )
}

const toTable = <Row, E, R>(
  { bold, width }: Output,
  rows: Stream.Stream<Row, E, R>,
  { columns }: ListOptions<Row>
): Stream.Stream<string, E, R> => {
  let table: Table.Layout<Row> | undefined
  return Stream.rechunk(rows, measuredRows).pipe(
    Stream.mapArray((part) => {
      const isFirst = table === undefined
      const present = table ??= Table.layout(columns, part, { width, heading: bold })
      return [joined([...(isFirst ? [present.heading] : []), ...part.map(present.line)])] as const
    })
  )
}

/** Writes a list: as a table, as one JSON document, or as lines of JSON. It keeps only a part of the items in memory. */
export const writeList = <Row, E, R>(
  output: Output,
  rows: Stream.Stream<Row, E, R>,
  options: ListOptions<Row>
): Effect.Effect<void, E | OutputClosed | FileFailed, R> => {
  switch (output.settings.format) {
    case "json":
      return output.writeAll(toDocument(rows, options))
    case "ndjson":
      return output.writeAll(toLines(rows, options))
    case "text":
      return output.writeAll(toTable(output, rows, options))
  }
}

/** Writes a result as JSON: a document, or a line of one. */
const writeJson = ({ settings: { format }, write }: Output, json: JsonForm) =>
  write(`${jsonText(json, format === "json" ? 2 : 0)}\n`)

/** Writes what a command has done: a note, or with `--json` and `--ndjson` a JSON document besides. */
export const writeDone = (
  output: Output,
  text: string,
  json: JsonForm
): Effect.Effect<void, OutputClosed | FileFailed> =>
  Effect.andThen(output.note(text), output.settings.format === "text" ? Effect.void : writeJson(output, json))

/** Lines of a name and a text each. */
export const fieldLines = (
  { bold }: Output,
  fields: ReadonlyArray<readonly [name: string, text: string]>
): ReadonlyArray<string> => {
  const longest = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, text]) => `${bold(name.padEnd(longest))}  ${text}`)
}

/** Writes one result: lines of a name and a text each, or a JSON document. */
export const writeFields = (
  output: Output,
  fields: ReadonlyArray<readonly [name: string, text: string]>,
  json: JsonForm
): Effect.Effect<void, OutputClosed | FileFailed> => {
  if (output.settings.format !== "text") return writeJson(output, json)
  return output.write(joined(fieldLines(output, fields)))
}
