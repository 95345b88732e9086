/**
 * The errors of commands, their exit codes, and how they are written.
 *
 * | code | meaning                                                             |
 * | ---: | ------------------------------------------------------------------- |
 * |    0 | done                                                                |
 * |    1 | no: a key is missing, problems were found, a condition did not hold |
 * |    2 | the command line is not valid                                       |
 * |    3 | the store cannot be opened                                          |
 * |    4 | the storage failed, or stored data is damaged                       |
 * |    5 | a conflict with another writer                                      |
 * |  130 | interrupted                                                         |
 */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { valueToJson } from "../../TaggedJson.ts"
import { jsonText } from "./jsonText.ts"
import { printable } from "./table.ts"

/** The answer of a command is no: a key is missing, a condition did not hold, problems were found. */
export class No extends Schema.TaggedError<No>("effect-lmdb/cli/No")("No", { message: Schema.String }) {}

/** The command line is not valid. */
export class Usage extends Schema.TaggedError<Usage>("effect-lmdb/cli/Usage")("Usage", { message: Schema.String }) {}

/** The reader of standard output has closed it, as `head` does when it has enough. That is not a failure. */
export class OutputClosed
  extends Schema.TaggedError<OutputClosed>("effect-lmdb/cli/OutputClosed")("OutputClosed", {})
{}

/** A stored value does not pass the schemas of `--schema`. */
export class Undecodable extends Schema.TaggedError<Undecodable>("effect-lmdb/cli/Undecodable")("Undecodable", {
  message: Schema.String
}) {}

/** Ends the process with an exit code. Everything has been written. */
export class ExitCode
  extends Schema.TaggedError<ExitCode>("effect-lmdb/cli/ExitCode")("ExitCode", { code: Schema.Int })
{
  override get [Runtime.errorExitCode](): number {
    return this.code
  }
}

/** A file or standard output could not be read or written. */
export class FileFailed extends Schema.TaggedError<FileFailed>("effect-lmdb/cli/FileFailed")("FileFailed", {
  message: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {}

/** Makes the error of a file, which says what could not be done, and why. */
export const fileFailed = (what: string) => (cause: { readonly message: string }): FileFailed =>
  new FileFailed({ message: `${what}: ${cause.message}`, cause })

/** The exit codes of errors, by their tags. Every other error has the code 4. */
const codes: ReadonlyMap<string, number> = new Map([
  ["OutputClosed", 0],
  ["No", 1],
  ["KeyNotFound", 1],
  ["KeyExists", 1],
  ["LineRejected", 1],
  ["StoreNotEmpty", 1],
  ["Usage", 2],
  ["ShowHelp", 2],
  ["NotInStore", 2],
  ["NeedsSchema", 2],
  ["KeyEncoding", 2],
  ["ValueEncoding", 2],
  ["BadPath", 2],
  ["ImportMismatch", 2],
  ["NotDumpable", 2],
  ["OpenFailed", 3],
  ["CollectionFailed", 3],
  ["NamespaceFailed", 3],
  ["SqlError", 3],
  ["TransactionConflict", 5],
  ["UniqueViolation", 5],
  ["ChangesMissed", 5]
])

const otherCode = 4

/** The exit code of a command that was interrupted. */
export const interrupted = 130

const tagOf = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag) ? error._tag : "Error"

const messageOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && Predicate.isString(error.message) && error.message !== ""
    ? error.message
    : String(error)

/** The exit code of an error. */
const codeOf = (error: unknown): number => codes.get(tagOf(error)) ?? otherCode

/** What a failed command writes to standard error, and its exit code. */
export interface Report {
  readonly code: number
  /** `undefined` if nothing is to be written. */
  readonly text: string | undefined
}

const hidden: ReadonlySet<string> = new Set(["message", "cause", "stack", "name"])

/** The fields of an error that JSON can express. */
const fieldsOf = (error: unknown): Readonly<Record<string, unknown>> =>
  Predicate.isObject(error)
    ? Object.fromEntries(
      Object.entries(error)
        .filter(([name, value]) => !hidden.has(name) && value !== undefined)
        .map(([name, value]) => [name, jsonOf(value)])
    )
    : {}

/** A field of an error as JSON. A field in it that JSON cannot express is text. */
const jsonOf = (value: unknown): unknown =>
  Result.getOrElse(valueToJson(value), () => {
    if (DateTime.isDateTime(value)) return DateTime.formatIso(value)
    return Predicate.isObject(value) ? fieldsOf(value) : String(value)
  })

/** An error as one line of JSON. */
export const toJsonLine = (error: unknown): string =>
  jsonText({ error: { tag: tagOf(error), message: messageOf(error), ...Struct.omit(fieldsOf(error), ["_tag"]) } })

/** Text from a file or a store may contain control characters, which a terminal would obey. */
const shown = (message: string): string => message.split("\n").map(printable).join("\n")

const reportOf = (error: unknown, isJson: boolean): Report => {
  if (error instanceof ExitCode) return { code: error.code, text: undefined }
  const code = codeOf(error)
  // The command line has written what is wrong with it itself.
  if (code === 0 || tagOf(error) === "ShowHelp") return { code, text: undefined }
  return { code, text: isJson ? toJsonLine(error) : shown(messageOf(error)) }
}

/** Reports the cause of a failed command. Any other defect than an error of a store is a bug, so it is shown with its trace. */
export const report = (cause: Cause.Cause<unknown>, isJson: boolean): Report => {
  const error = Cause.squash(cause)
  if (Cause.hasFails(cause)) return reportOf(error, isJson)
  if (Cause.hasInterruptsOnly(cause)) return { code: interrupted, text: undefined }
  const isKnown = Predicate.hasProperty(error, "_tag")
  return isKnown || isJson ? reportOf(error, isJson) : { code: otherCode, text: Cause.pretty(cause) }
}
