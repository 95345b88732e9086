/**
 * Reads through writes: what was written stands in front of what it was written over.
 */
import * as Result from "effect/Result"
import type { KeyRange, RangePart, RangeRequest, Reader } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import type { PendingEntry, Writes } from "../buffer/writeSet.ts"

type Records = RangePart["records"]

const noBytes = new Uint8Array(0)

const nothing: RangePart = { records: [], rest: undefined }

/** What of a range was read, when `rest` is left of it. */
export const readOf = (request: RangeRequest, rest: KeyRange | undefined): KeyRange => {
  const { from, reverse, to } = request
  if (rest === undefined) return { from, to }
  return reverse
    ? { from: rest.to === undefined ? undefined : { key: rest.to.key, inclusive: true }, to }
    : { from, to: rest.from === undefined ? undefined : { key: rest.from.key, inclusive: true } }
}

/** Two lists in the same order as one; a write takes the place of a record, or removes it. */
const merge = (records: Records, writes: ReadonlyArray<PendingEntry>, { reverse, values }: RangeRequest): Records => {
  if (writes.length === 0) return records
  const merged: Array<Records[number]> = []
  let at = 0
  for (const [key, write] of reverse ? writes.toReversed() : writes) {
    for (
      let record = records[at];
      record !== undefined && (reverse ? record[0] > key : record[0] < key);
      record = records[++at]
    ) {
      merged.push(record)
    }
    if (records[at]?.[0] === key) at++
    if (write !== null) merged.push([key, values ? write : noBytes])
  }
  for (const record of records.slice(at)) merged.push(record)
  return merged
}

/** Reads through writes. A part of a range may have more records than were asked for. */
export const over = (writes: Writes, base: Reader): Reader => ({
  get: (database, key) => {
    const write = writes.get(database, key)
    if (write !== undefined) return Result.succeed(write ?? undefined)
    return writes.isCleared(database) ? Result.succeed(undefined) : base.get(database, key)
  },
  has: (database, key) => {
    const write = writes.get(database, key)
    if (write !== undefined) return Result.succeed(write !== null)
    return writes.isCleared(database) ? Result.succeed(false) : base.has(database, key)
  },
  read: (database, request) => {
    const part = writes.isCleared(database) ? Result.succeed(nothing) : base.read(database, request)
    if (Result.isFailure(part)) return part
    const { records, rest } = part.success
    const done = writes.range(database, readOf(request, rest))
    return Result.succeed({ records: merge(records, done, request), rest })
  },
  count: (database) => {
    const isCleared = writes.isCleared(database)
    const stored = isCleared ? Result.succeed(0) : base.count(database)
    if (Result.isFailure(stored)) return stored
    let count = stored.success
    for (const [key, write] of writes.entriesOf(database)) {
      const isStored: Result.Result<boolean, EngineFailure> = isCleared
        ? Result.succeed(false)
        : base.has(database, key)
      if (Result.isFailure(isStored)) return Result.fail(isStored.failure)
      count += (write === null ? 0 : 1) - (isStored.success ? 1 : 0)
    }
    return Result.succeed(count)
  }
})
