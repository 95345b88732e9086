/**
 * CSV: each line of an export is a row, with a column for each field.
 *
 * A cell contains the JSON of its field, or text as it is if that is not JSON. An empty cell is a field that the line does
 * not have. In a file of another program without the column `value`, the other columns are the fields of the value.
 */
import * as Csv from "effect/encoding/Csv"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { LineRejected } from "../../StoreImport.ts"
import * as ParsedJson from "../value/parsedJson.ts"
import * as FileLines from "./fileLines.ts"
import type { ImportItem, ImportLine } from "./importLines.ts"
import * as TransferLine from "./transferLine.ts"

type Json = Schema.Json

/** Whether text is certainly not JSON: it begins like no JSON. */
const isPlainText = (text: string): boolean => /^[^\s"[{\-\dtfn]/.test(text) && text.isWellFormed()

const toCell = (json: Json | undefined): string => {
  if (json === undefined) return ""
  return typeof json === "string" && isPlainText(json) ? json : JSON.stringify(json)
}

const fromCell = (cell: string): Json => isPlainText(cell) ? cell : Result.getOrElse(ParsedJson.parse(cell), () => cell)

const columns: ReadonlyArray<string> = TransferLine.fieldNames

const isField = ([name]: readonly [string, Json]): boolean => columns.includes(name)

/** Writes lines, after a row with the names of the columns. */
export const encode = <E, R>(
  lines: Stream.Stream<TransferLine.Line, E, R>
): Stream.Stream<Uint8Array, E | Csv.CsvError, R> =>
  Stream.map(lines, (line) => {
    const fields = TransferLine.toJson(line)
    return columns.map((name) => toCell(fields[name]))
  }).pipe(
    (rows) => Stream.concat(Stream.make(columns), rows),
    Stream.pipeThroughChannel(Csv.encode<E>({ newline: "\n" }))
  )

/** Makes the parser of the rows of a file. The first row has the names of the columns. */
const makeParse = () => {
  let names: ReadonlyArray<string> | undefined
  return (cells: ReadonlyArray<string>): Result.Result<ImportLine, string> => {
    if (names === undefined) {
      names = cells
      return names.includes("key") ? Result.succeed({ _tag: "Header" }) : Result.fail("there is no column \"key\"")
    }
    if (cells.length !== names.length) return Result.fail(`it has ${cells.length} cells, and ${names.length} columns`)
    const present = names.flatMap((name, at) => cells[at] === "" ? [] : [[name, fromCell(cells[at] ?? "")] as const])
    if (present.length === 0) return Result.succeed({ _tag: "Header" })
    if (names.includes("value") || present.some(([name]) => name === "definition")) {
      return TransferLine.fromJson(Object.fromEntries(present))
    }
    const value = Object.fromEntries(present.filter((field) => !isField(field)))
    return TransferLine.fromJson({ ...Object.fromEntries(present.filter(isField)), value })
  }
}

/** Writes a row as a line, without its end. */
const toText = (cells: ReadonlyArray<string>): string =>
  cells.map((cell) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll("\"", "\"\"")}"` : cell).join(",")

const toLineRejected = (error: Csv.CsvError): LineRejected =>
  new LineRejected({ line: error.record ?? 0, detail: error.message, text: "" })

/** Reads rows. A file that is not CSV ends with `LineRejected`. */
export const decode = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<ImportItem, E | LineRejected, R> =>
  FileLines.rowItems(
    Stream.pipeThroughChannel(bytes, Csv.decode<E>({ maxRecordSize: 2 ** 30 })).pipe(
      Stream.mapError((error) => Csv.isCsvError(error) ? toLineRejected(error) : error)
    ),
    makeParse,
    toText
  )
