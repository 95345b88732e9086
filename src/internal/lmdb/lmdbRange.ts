/**
 * Reads ranges with the library.
 */
import type { KeyRange, RangePart, RangeRequest } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import { noBytes } from "../engineBytes.ts"
import { expand } from "./compressedValue.ts"

const emptyPart: RangePart = { records: [], rest: undefined }

const firstKey = ByteString("\0")

/** A database of the library that can be read. `T` is its read transaction. */
export interface Readable<T> {
  readonly getKeys: (options: LmdbRange<T>) => Iterable<ByteString>
  readonly getCount: (options: { start: ByteString; transaction: T }) => number
  readonly getRange: (options: LmdbRange<T>) => Iterable<{ readonly key: ByteString; readonly value: Uint8Array }>
}

interface LmdbRange<T> {
  start?: ByteString
  exclusiveStart?: boolean
  end?: ByteString
  inclusiveEnd?: boolean
  reverse: boolean
  limit: number
  transaction?: T
}

/** Returns the rest of a range, after a key in the direction of the request. */
const restAfter = (key: ByteString, { from, reverse, to }: RangeRequest): KeyRange => {
  const bound = { key, inclusive: false }
  return reverse ? { from, to: bound } : { from: bound, to }
}

/** What a range is read with. */
interface RangeOptions<T> {
  /** The read transaction; `undefined` reads the current state. */
  readonly transaction: T | undefined
  /** The dictionary of compressed values. */
  readonly dictionary: Uint8Array
}

/** Reads a part of a range of a database. */
export const readRange = <T>(
  records: Readable<T> | undefined,
  request: RangeRequest,
  { dictionary, transaction }: RangeOptions<T>
): RangePart => {
  if (records === undefined) return emptyPart
  const { maxBytes, maxRecords, reverse, values } = request
  // Without explicit bounds the library leaves out keys at either end. `firstKey` is the smallest key.
  const from = request.from ?? { key: firstKey, inclusive: true }
  const [start, end] = reverse ? [request.to, from] : [from, request.to]
  const options = {
    reverse,
    limit: maxRecords,
    ...(start === undefined ? {} : { start: start.key, exclusiveStart: !start.inclusive }),
    ...(end === undefined ? {} : { end: end.key, inclusiveEnd: end.inclusive }),
    ...(transaction === undefined ? {} : { transaction })
  }
  const part: Array<readonly [ByteString, Uint8Array]> = []
  if (!values) {
    for (const key of records.getKeys(options)) part.push([key, noBytes])
  } else {
    let bytes = 0
    for (const { key, value: stored } of records.getRange(options)) {
      const value = expand(stored, dictionary)
      part.push([key, value])
      bytes += value.length
      if (bytes >= maxBytes) return { records: part, rest: restAfter(key, request) }
    }
  }
  const last = part.at(-1)
  return {
    records: part,
    rest: last === undefined || part.length < maxRecords ? undefined : restAfter(last[0], request)
  }
}

/** Counts the records that a read transaction sees. The library counts them one by one. */
export const countRecords = <T>(records: Readable<T> | undefined, transaction: T): number =>
  records === undefined ? 0 : records.getCount({ start: firstKey, transaction })
