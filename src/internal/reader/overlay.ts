/**
 * A reader that overlays writes on another reader: for a written key it reads the write, for every other key the base.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader } from "../../Backend.ts"
import type { KeyRange, RangePart, RangeRequest, Reader as EngineReader } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import type { PendingEntry, Writes } from "../buffer/writeSet.ts"
import { noBytes } from "../engineBytes.ts"
import * as Settled from "../settled.ts"

type Records = RangePart["records"]

const emptyPart: RangePart = { records: [], rest: undefined }

/** Returns the range that was read: the range of the request without the `rest`. */
export const readOf = (request: RangeRequest, rest: KeyRange | undefined): KeyRange => {
  const { from, reverse, to } = request
  if (rest === undefined) return { from, to }
  return reverse
    ? { from: rest.to === undefined ? undefined : { key: rest.to.key, inclusive: true }, to }
    : { from, to: rest.from === undefined ? undefined : { key: rest.from.key, inclusive: true } }
}

/** Merges records and writes, both in the order of the request. A write replaces the record of its key, or removes it. */
const merge = (records: Records, writes: ReadonlyArray<PendingEntry>, { reverse, values }: RangeRequest): Records => {
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

/**
 * Counts the records of a database: those of the base, plus the records that the writes add, minus those that they
 * delete. This reads the base twice. A base that answers later must therefore be a snapshot.
 */
const countOver = (writes: Writes, base: Reader, database: string): Effect.Effect<number, EngineFailure> => {
  const isCleared = writes.isCleared(database)
  const keys: Array<ByteString> = []
  let values = 0
  for (const [key, write] of writes.entriesOf(database)) {
    keys.push(key)
    if (write !== null) values++
  }
  if (isCleared) return Exit.succeed(values)
  return Settled.flatMap(base.count(database), (stored) =>
    Settled.map(
      base.getMany(database, keys, () => true),
      (found) => found.reduce((count, isStored) => isStored === true ? count - 1 : count, stored + values)
    ))
}

/** Decodes the written values, and reads the other keys from the base in one call. */
const getManyOver = <A>(
  writes: Writes,
  base: Reader,
  database: string,
  keys: ReadonlyArray<ByteString>,
  decode: (bytes: Uint8Array, at: number) => A
): Effect.Effect<ReadonlyArray<A | undefined>, EngineFailure> => {
  const isCleared = writes.isCleared(database)
  const isWritten = (key: ByteString): boolean => writes.get(database, key) !== undefined
  if (!isCleared && !keys.some(isWritten)) return base.getMany(database, keys, decode)
  const values: Array<A | undefined> = []
  const missing: Array<number> = []
  const missingKeys: Array<ByteString> = []
  for (const key of keys) {
    const write = writes.get(database, key)
    if (write === undefined && !isCleared) {
      missing.push(values.length)
      missingKeys.push(key)
    }
    values.push(write === undefined || write === null ? undefined : decode(write, values.length))
  }
  if (missing.length === 0) return Exit.succeed(values)
  return Settled.map(
    base.getMany(database, missingKeys, (bytes, number) => decode(bytes, missing[number] ?? number)),
    (found) => {
      let number = 0
      for (const at of missing) values[at] = found[number++]
      return values
    }
  )
}

/** Overlays writes on a reader. A part of a range can have more records than `maxRecords`. */
export function over(writes: Writes, base: EngineReader): EngineReader
export function over(writes: Writes, base: Reader): Reader
export function over(writes: Writes, base: Reader): Reader {
  return {
    get: (database, key, decode) => {
      const write = writes.get(database, key)
      if (write !== undefined) return write === null ? Settled.nothing : Exit.succeed(decode(write))
      return writes.isCleared(database) ? Settled.nothing : base.get(database, key, decode)
    },
    getMany: (database, keys, decode) => getManyOver(writes, base, database, keys, decode),
    has: (database, key) => {
      const write = writes.get(database, key)
      if (write !== undefined) return Exit.succeed(write !== null)
      return writes.isCleared(database) ? Exit.succeed(false) : base.has(database, key)
    },
    read: (database, request) => {
      const part = writes.isCleared(database) ? Exit.succeed(emptyPart) : base.read(database, request)
      // If the base answers later, a commit may have removed its writes from the buffer by then. So they are frozen now.
      const upper = Settled.isSettled(part) ? writes : writes.freeze()
      return Settled.map(part, (found) => {
        const { records, rest } = found
        const entries = upper.range(database, readOf(request, rest))
        return entries.length === 0 ? found : { records: merge(records, entries, request), rest }
      })
    },
    count: (database) => countOver(writes, base, database)
  }
}
