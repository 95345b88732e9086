/**
 * Splits the bytes of a file into lines, and parses them.
 */
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { Buffer, isUtf8 } from "node:buffer"
import { crc32 } from "node:zlib"
import type { ImportItem, ImportLine } from "./importLines.ts"

/** Parses a line, or says what is wrong with it. */
export type Parse = (text: string) => Result.Result<ImportLine, string>

const lineFeed = 0x0a

/** The bytes of a line whose end was not read yet. */
interface Rest {
  parts: Array<Uint8Array>
}

const takeLine = (rest: Rest, tail: Uint8Array): Buffer => {
  const line = Buffer.concat([...rest.parts, tail])
  rest.parts = []
  return line
}

const split = (rest: Rest, chunks: ReadonlyArray<Uint8Array>): ReadonlyArray<Buffer> => {
  const lines: Array<Buffer> = []
  for (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      lines.push(takeLine(rest, chunk.subarray(start, end)))
      start = end + 1
    }
    if (start < chunk.length) rest.parts.push(chunk.subarray(start))
  }
  return lines
}

/** Splits bytes at line feeds. */
const splitLines = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Buffer, E, R> =>
  Stream.mapAccumArray(
    bytes,
    (): Rest => ({ parts: [] }),
    (rest, chunks) => [rest, split(rest, chunks)] as const,
    { onHalt: (rest) => rest.parts.length === 0 ? [] : [takeLine(rest, new Uint8Array())] }
  )

/** How far a file was read. */
interface Position {
  readonly number: number
  readonly digest: number
}

const start: Position = { number: 0, digest: 0 }

/** Moves the position after a line. */
const after = ({ digest, number }: Position, line: Uint8Array | string): Position => ({
  number: number + 1,
  // The digest of the lines one after the other would not see where they end.
  digest: crc32("\n", crc32(line, digest))
})

const itemOf = ({ digest, number }: Position, bytes: Buffer, parse: Parse): ImportItem => {
  const text = bytes.toString("utf8").replace(/\r$/, "")
  const line: ImportItem["line"] = isUtf8(bytes) ? parse(text) : Result.fail("it is not text in UTF-8")
  return { number, digest, text, line }
}

/** Reads the lines of a file. */
export const items = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  makeParse: () => Parse
): Stream.Stream<ImportItem, E, R> =>
  Stream.suspend(() => {
    const parse = makeParse()
    return Stream.mapAccumArray(splitLines(bytes), () => start, (position, lines) => {
      let present = position
      const found = lines.map((line) => {
        present = after(present, line)
        return itemOf(present, line, parse)
      })
      return [present, found] as const
    })
  })

/** Reads the rows of a file whose rows are already split. A row has the number that a line has elsewhere. */
export const rowItems = <A, E, R>(
  rows: Stream.Stream<A, E, R>,
  makeParse: () => (row: A) => ImportItem["line"],
  toText: (row: A) => string
): Stream.Stream<ImportItem, E, R> =>
  Stream.suspend(() => {
    const parse = makeParse()
    return Stream.mapAccumArray(rows, () => start, (position, part) => {
      let present = position
      const found = part.map((row): ImportItem => {
        present = after(present, JSON.stringify(row))
        return { ...present, text: toText(row), line: parse(row) }
      })
      return [present, found] as const
    })
  })
