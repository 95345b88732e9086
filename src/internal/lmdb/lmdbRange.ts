/**
 * Reads ranges with the library.
 */
import type { Transaction } from "lmdb"
import type { Bound, KeyRange, RangePart, RangeRequest } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import { noBytes } from "../engineBytes.ts"
import { expand } from "./compressedValue.ts"

const emptyPart: RangePart = { records: [], rest: undefined }

const firstKey = ByteString("\0")

/** A database of the library that can be read. */
export interface Readable {
  readonly getKeys: (options: LmdbRange) => Iterable<ByteString>
  readonly getCount: (options: { start: ByteString; transaction: Transaction }) => number
  readonly getRange: (options: LmdbRange) => Iterable<{ readonly key: ByteString; readonly value: Uint8Array }>
}

interface LmdbRange {
  start?: ByteString
  exclusiveStart?: boolean
  end?: ByteString
  inclusiveEnd?: boolean
  reverse: boolean
  limit: number
  transaction?: Transaction
}

/** Returns the rest of a range, after a key in the direction of the request. */
const restAfter = (key: ByteString, { from, reverse, to }: RangeRequest): KeyRange => {
  const bound = { key, inclusive: false }
  return reverse ? { from, to: bound } : { from: bound, to }
}

/** What a range is read with. */
interface RangeOptions {
  /** The read transaction; `undefined` reads the current state. */
  readonly transaction: Transaction | undefined
  /** The dictionary of compressed values. */
  readonly dictionary: Uint8Array
  /** A reader has either always a transaction or never, so its cache is not used with and without one. */
  readonly firstKeys: KeyCache
}

/** The keys of a database from one key on. The library reads the options again each time that the keys are visited. */
interface KeysFrom {
  readonly options: LmdbRange
  readonly keys: Iterable<ByteString>
}

/**
 * The iterables of databases from which a reader has read a first key. Making one takes longer than finding the key.
 *
 * A reader of a write transaction needs a cache of its own: from its first use in a write transaction on, the library
 * treats an iterable as one that follows later transactions, which takes longer.
 */
export type KeyCache = WeakMap<Readable, KeysFrom>

const keysFrom = (records: Readable, { firstKeys, transaction }: RangeOptions): KeysFrom => {
  let found = firstKeys.get(records)
  if (found === undefined) {
    const options: LmdbRange = { reverse: false, limit: Infinity, start: firstKey, exclusiveStart: false }
    found = { options, keys: records.getKeys(options) }
    firstKeys.set(records, found)
  }
  if (transaction !== undefined) found.options.transaction = transaction
  return found
}

/** Whether a key is not after the end of a range. */
const isBeforeEnd = (key: ByteString, to: Bound | undefined): boolean =>
  to === undefined || key < to.key || (to.inclusive && key === to.key)

/** Reads the first key of a range. */
const readFirstKey = (records: Readable, request: RangeRequest, rangeOptions: RangeOptions): RangePart => {
  const { from, to } = request
  const { keys, options } = keysFrom(records, rangeOptions)
  options.start = from?.key ?? firstKey
  options.exclusiveStart = from?.inclusive === false
  for (const key of keys) {
    return isBeforeEnd(key, to) ? { records: [[key, noBytes]], rest: restAfter(key, request) } : emptyPart
  }
  return emptyPart
}

/** Reads a part of a range of a database. */
export const readRange = (
  records: Readable | undefined,
  request: RangeRequest,
  rangeOptions: RangeOptions
): RangePart => {
  if (records === undefined) return emptyPart
  const { maxBytes, maxRecords, reverse, values } = request
  if (maxRecords === 1 && !values && !reverse) return readFirstKey(records, request, rangeOptions)
  const { dictionary, transaction } = rangeOptions
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
export const countRecords = (records: Readable | undefined, transaction: Transaction): number =>
  records === undefined ? 0 : records.getCount({ start: firstKey, transaction })
