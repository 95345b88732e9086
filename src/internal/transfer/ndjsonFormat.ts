/**
 * NDJSON: each line of an export is a line of JSON.
 */
import * as Ndjson from "effect/encoding/Ndjson"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as FileLines from "./fileLines.ts"
import type { ImportItem } from "./importLines.ts"
import * as TransferLine from "./transferLine.ts"

/** Writes lines. */
export const encode = <E, R>(
  lines: Stream.Stream<TransferLine.Line, E, R>
): Stream.Stream<Uint8Array, E | Ndjson.NdjsonError, R> =>
  Stream.pipeThroughChannel(Stream.map(lines, TransferLine.toJson), Ndjson.encode<E>())

const parseUnknown = (text: string): unknown => JSON.parse(text)

const isJson = (parsed: unknown): parsed is Schema.Json => parsed !== undefined

/** Parses JSON, or says what is wrong with it. */
export const parseJson = (text: string): Result.Result<Schema.Json, string> => {
  const parsed = Result.try({
    try: () => parseUnknown(text),
    catch: (cause) => `it is not JSON${cause instanceof Error ? `: ${cause.message}` : ""}`
  })
  return Result.flatMap(parsed, (json) => isJson(json) ? Result.succeed(json) : Result.fail("it is not JSON"))
}

const parse: FileLines.Parse = (text) =>
  text.trim() === "" ? Result.succeed({ _tag: "Header" }) : Result.flatMap(parseJson(text), TransferLine.fromJson)

/** Reads lines. */
export const decode = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<ImportItem, E, R> =>
  FileLines.items(bytes, () => parse)
