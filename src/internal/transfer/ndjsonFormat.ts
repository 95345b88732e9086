/**
 * NDJSON: each line of an export is a line of JSON.
 */
import * as Ndjson from "effect/encoding/Ndjson"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as ParsedJson from "../value/parsedJson.ts"
import * as FileLines from "./fileLines.ts"
import type { ImportItem } from "./importLines.ts"
import * as TransferLine from "./transferLine.ts"

/** Writes lines. */
export const encode = <E, R>(
  lines: Stream.Stream<TransferLine.Line, E, R>
): Stream.Stream<Uint8Array, E | Ndjson.NdjsonError, R> =>
  Stream.pipeThroughChannel(Stream.map(lines, TransferLine.toJson), Ndjson.encode<E>())

const parse: FileLines.Parse = (text) =>
  text.trim() === ""
    ? Result.succeed({ _tag: "Header" })
    : Result.flatMap(ParsedJson.parse(text), TransferLine.fromJson)

/** Reads lines. */
export const decode = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<ImportItem, E, R> =>
  FileLines.items(bytes, () => parse)
