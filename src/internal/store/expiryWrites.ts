/**
 * Adds the entries of the database `expiry` to writes, and deletes the entries of the records that writes replace.
 */
import * as Effect from "effect/Effect"
import type { Backend, Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { fromWrites } from "../buffer/writeSet.ts"
import { hasRecords, indexOfRecords } from "../databases.ts"
import { keyOf } from "../engineBytes.ts"
import * as ExpiryEntries from "../reader/expiryEntries.ts"
import * as RecordLayout from "../reader/recordLayout.ts"
import * as Settled from "../settled.ts"

/** What writes depend on, of an open store. */
export interface ExpiringStore {
  readonly backend: Pick<Backend, "maxKeyBytes">
  readonly now: () => number
  /** Whether other processes may write records that expire. */
  readonly isShared: boolean
  /** Whether the file has the database `expiry`. */
  readonly hasDatabase: boolean
}

/** Whether the store may have records that expire. */
const mayExist = ({ hasDatabase, isShared }: ExpiringStore): boolean => hasDatabase || isShared

/** When the written record expires; `undefined` if it does not, and for a deletion. */
const timeOf = ([database, , write]: Write): number | undefined =>
  write === null || !hasRecords(database) ? undefined : RecordLayout.timeOf(write)

/** The write of the entry that says when the record of a write expires. */
const entryOf = ({ backend: { maxKeyBytes } }: ExpiringStore, time: number, [database, key]: Write): Write =>
  ExpiryEntries.toWrite(time, database, key, maxKeyBytes)

/** A stored record with an expiry time that a write replaces. */
interface Replaced {
  readonly time: number
  /** Its index entries if it has expired: the caller could not see the record, so it cannot delete them. */
  readonly entries: ReadonlyArray<RecordLayout.IndexEntry>
}

const replacedBy = (
  self: ExpiringStore,
  stored: Reader,
  [database, key]: Write
): Effect.Effect<Replaced | undefined, EngineFailure> =>
  stored.get(database, key, (record): Replaced | undefined => {
    const time = RecordLayout.timeOf(record)
    return time === undefined
      ? undefined
      : { time, entries: time <= self.now() ? RecordLayout.entriesOf(record) : [] }
  })

/** Makes the write that deletes an index entry. The entry is under one of two keys, because an index can be unique or not. */
export const toDeleteEntry = (
  { backend: { maxKeyBytes } }: ExpiringStore,
  stored: Reader,
  database: string,
  key: ByteString,
  [place, indexKey]: RecordLayout.IndexEntry
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> => {
  const index = indexOfRecords(database, place)
  return Settled.map(stored.get(index, indexKey, keyOf), (holder): ReadonlyArray<Write> => {
    if (holder !== undefined) return holder === key ? [[index, indexKey, null]] : []
    const entry = RecordLayout.plainEntry(indexKey, key)
    return entry.length <= maxKeyBytes ? [[index, entry, null]] : []
  })
}

/** Makes the writes that delete the entries of replaced records. `writes` may also write some of the same keys. */
export const deletionsOf = Effect.fnUntracedEager(
  function*(self: ExpiringStore, stored: Reader, writes: Iterable<Write>) {
    const deletions: Array<Write> = []
    for (const write of writes) {
      if (!hasRecords(write[0])) continue
      const replaced = yield* replacedBy(self, stored, write)
      if (replaced === undefined) continue
      if (replaced.time !== timeOf(write)) {
        const [database, key] = entryOf(self, replaced.time, write)
        deletions.push([database, key, null])
      }
      for (const entry of replaced.entries) {
        deletions.push(...(yield* toDeleteEntry(self, stored, write[0], write[1], entry)))
      }
    }
    return deletions
  }
)

/**
 * Adds the entries of `expiry` for the writes of a call. If the record of the call has already expired, returns deletions
 * of all keys instead: of the record and of its index entries.
 */
export const completed = (self: ExpiringStore, writes: ReadonlyArray<Write>): ReadonlyArray<Write> => {
  const entries: Array<Write> = []
  for (const write of writes) {
    const time = timeOf(write)
    if (time === undefined) continue
    if (time <= self.now()) return writes.map(([database, key]) => [database, key, null])
    entries.push(entryOf(self, time, write))
  }
  return entries.length === 0 ? writes : [...writes, ...entries]
}

const withEntries = <A>(self: ExpiringStore, step: Step<A>): Step<A> => {
  const writes = completed(self, step.writes)
  return writes === step.writes ? step : { result: step.result, writes }
}

/**
 * Adds the entries of `expiry` to a step in a transaction. The commit of the transaction deletes the entries of replaced
 * records, because it is the first to know which records the writes replace.
 */
export const completingInside = <A, E>(
  self: ExpiringStore,
  take: (reader: Reader) => Effect.Effect<Step<A>, E>
): (reader: Reader) => Effect.Effect<Step<A>, E> =>
(reader) => Settled.map(take(reader), (step) => withEntries(self, step))

/**
 * Adds the entries of `expiry` to a step outside transactions, and deletes the entries of the records that it replaces: the
 * entries in `expiry`, and the index entries of expired records, which the step did not see.
 */
export const completing = <A, E>(
  self: ExpiringStore,
  take: (reader: Reader) => Effect.Effect<Step<A>, E>
): (reader: Reader) => Effect.Effect<Step<A>, E | EngineFailure> =>
(reader) => {
  const taken = take(reader)
  if (!mayExist(self)) return Settled.map(taken, (step) => withEntries(self, step))
  return Settled.flatMap(
    taken,
    (step) =>
      Settled.map(deletionsOf(self, reader.stored ?? reader, step.writes), (deletions): Step<A> => {
        const { result, writes } = withEntries(self, step)
        if (deletions.length === 0) return { result, writes }
        const written = fromWrites(step.writes)
        return {
          result,
          writes: [...writes, ...deletions.filter(([database, key]) => !written.touches(database, key))]
        }
      })
  )
}
