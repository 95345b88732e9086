/**
 * Reads a range part by part: what the engine has, with the pending writes in their
 * places and without what they delete.
 */
import * as Result from "effect/Result"
import type { Bound, KeyRange, RangePart, RangeRequest } from "../Engine.ts"
import type { ByteString } from "../Key.ts"
import { contains } from "../Range.ts"
import type { EngineFailure } from "../StoreError.ts"
import type { PendingWrite } from "./writeBuffer.ts"

/** Where a range is read from. */
export interface Source {
  /** Reads what the engine has. */
  readonly read: (request: RangeRequest) => Result.Result<RangePart, EngineFailure>
  /** The pending writes of a range at least, in any order, one of each key. */
  readonly pending: (range: KeyRange) => Iterable<PendingEntry>
}

/** A key and its pending write. */
type PendingEntry = readonly [key: ByteString, write: PendingWrite]

/** Where a key is, or would be, among sorted entries. */
const indexOf = (sorted: ReadonlyArray<PendingEntry>, key: ByteString): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle]?.[0] ?? key) < key) low = middle + 1
    else high = middle
  }
  return low
}

/** Pending writes that do not change: sorted once, so that each part of a range finds its own. */
export const frozenPending = (entries: Iterable<PendingEntry>): Source["pending"] => {
  const sorted = [...entries].toSorted(([a], [b]) => a < b ? -1 : 1)
  return ({ from, to }) =>
    sorted.slice(
      from === undefined ? 0 : indexOf(sorted, from.key),
      // An end that belongs to the range stands at its own index.
      to === undefined ? undefined : indexOf(sorted, to.key) + 1
    )
}

/** How a range is read. */
export interface ReadOptions extends KeyRange {
  readonly reverse: boolean
  /** Whether values are read. */
  readonly values: boolean
}

/** A key and the bytes of its value, empty where values are not read. */
export type KeyAndBytes = readonly [key: ByteString, value: Uint8Array]

/** Reads the next part of a range; `undefined` when there is none. */
export type RangeReader = () => Result.Result<ReadonlyArray<KeyAndBytes> | undefined, EngineFailure>

// Some tenths of a millisecond of work, and no more memory than a batch.
const partRecords = 256
const partBytes = 1024 * 1024

type Order = (a: ByteString, b: ByteString) => boolean

const isBefore: Order = (a, b) => a < b
const isBehind: Order = (a, b) => a > b

/** Two sorted lists as one; a pending write takes the place of a record, or removes it. */
const merge = (
  records: ReadonlyArray<KeyAndBytes>,
  pending: ReadonlyArray<PendingEntry>,
  comesFirst: Order
): ReadonlyArray<KeyAndBytes> => {
  if (pending.length === 0) return records
  const merged: Array<KeyAndBytes> = []
  let at = 0
  for (const [key, value] of pending) {
    for (let record = records[at]; record !== undefined && comesFirst(record[0], key); record = records[++at]) {
      merged.push(record)
    }
    if (records[at]?.[0] === key) at++
    if (value !== null) merged.push([key, value])
  }
  for (const record of records.slice(at)) merged.push(record)
  return merged
}

/** Starts to read a range. */
export const make = (source: Source, options: ReadOptions): RangeReader => {
  const { reverse, values } = options
  const comesFirst = reverse ? isBehind : isBefore
  let rest: KeyRange | undefined = { from: options.from, to: options.to }

  /** Cuts the range behind the last key that was read. */
  const advance = (range: KeyRange, last: Bound): [done: KeyRange, rest: KeyRange] => {
    const next = { key: last.key, inclusive: false }
    return reverse
      ? [{ from: last, to: range.to }, { from: range.from, to: next }]
      : [{ from: range.from, to: last }, { from: next, to: range.to }]
  }

  // Many pending writes may lie between two records: they are given in parts too.
  let merged: ReadonlyArray<KeyAndBytes> = []
  let given = 0
  const give = (): ReadonlyArray<KeyAndBytes> => {
    const part = merged.slice(given, given + partRecords)
    given += part.length
    return part
  }

  return () => {
    if (given < merged.length) return Result.succeed(give())
    if (rest === undefined) return Result.succeed(undefined)
    const part = source.read({ ...rest, reverse, values, maxRecords: partRecords, maxBytes: partBytes })
    if (Result.isFailure(part)) return Result.fail(part.failure)
    const { isLast, records } = part.success
    const last = records.at(-1)
    let done = rest
    if (isLast || last === undefined) rest = undefined
    else [done, rest] = advance(rest, { key: last[0], inclusive: true })
    const pending = [...source.pending(done)]
      .filter(([key]) => contains(done, key))
      .toSorted(([a], [b]) => comesFirst(a, b) ? -1 : 1)
    merged = merge(records, pending, comesFirst)
    given = 0
    return Result.succeed(give())
  }
}
