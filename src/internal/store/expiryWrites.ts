/**
 * The entries of the database `expiry`, which say when records expire: which of them a write adds and deletes.
 *
 * A record that expires always has an entry whose time is not after its own. An entry may be too early, because a later
 * write has made the record live longer, or its record may be gone. The sweeper compares each entry with its record.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
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

/** What an open store knows about its expiring records. */
export interface ExpiringStore {
  readonly backend: Pick<Backend, "maxKeyBytes">
  readonly now: () => number
  readonly isShared: boolean
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
  readonly hasIndexEntries: boolean
  /** Its index entries if it has expired: the caller could not see the record, so it cannot delete them. */
  readonly entries: ReadonlyArray<RecordLayout.IndexEntry>
}

/** Decodes what a write has to know about the stored record that it replaces; `undefined` if that never expires. */
const decodeReplaced = ({ now }: ExpiringStore) => (record: Uint8Array): Replaced | undefined => {
  const time = RecordLayout.timeOf(record)
  return time === undefined ? undefined : {
    time,
    hasIndexEntries: RecordLayout.hasEntries(record),
    entries: time <= now() ? RecordLayout.entriesOf(record) : []
  }
}

const replacedBy = (
  self: ExpiringStore,
  stored: Reader,
  [database, key]: Write
): Effect.Effect<Replaced | undefined, EngineFailure> =>
  hasRecords(database) ? stored.get(database, key, decodeReplaced(self)) : Settled.nothing

/** Reads the stored records that writes replace, in one call for each database. Returns those that may expire. */
const replacedByAll = (
  self: ExpiringStore,
  stored: Reader,
  writes: Iterable<Write>
): Effect.Effect<ReadonlyArray<readonly [Write, Replaced]>, EngineFailure> => {
  const byDatabase = new Map<string, Array<Write>>()
  for (const write of writes) {
    const [database] = write
    if (!hasRecords(database)) continue
    const ofDatabase = byDatabase.get(database)
    if (ofDatabase === undefined) byDatabase.set(database, [write])
    else ofDatabase.push(write)
  }
  const reads = Array.from(byDatabase, ([database, ofDatabase]) =>
    Settled.map(
      stored.getMany(database, ofDatabase.map(([, key]) => key), decodeReplaced(self)),
      (found) =>
        ofDatabase.flatMap((write, at): ReadonlyArray<readonly [Write, Replaced]> => {
          const replaced = found[at]
          return replaced === undefined ? [] : [[write, replaced]]
        })
    ))
  return Settled.map(Settled.allReads(reads), (found) => found.flat())
}

/** Makes the write that deletes an index entry. The entry is under one of two keys, because an index can be unique or not. */
export const toDeleteEntry = (
  { backend: { maxKeyBytes } }: ExpiringStore,
  stored: Reader,
  database: string,
  key: ByteString,
  [slot, indexKey]: RecordLayout.IndexEntry
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> => {
  const index = indexOfRecords(database, slot)
  return Settled.map(stored.get(index, indexKey, keyOf), (holder): ReadonlyArray<Write> => {
    if (holder !== undefined) return holder === key ? [[index, indexKey, null]] : []
    const entry = RecordLayout.plainEntry(indexKey, key)
    return entry.length <= maxKeyBytes ? [[index, entry, null]] : []
  })
}

/** Makes the writes that delete the entries of a replaced record. */
const deletionsFor = (
  self: ExpiringStore,
  stored: Reader,
  write: Write,
  { entries, time }: Replaced
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> => {
  const deletions: Array<Write> = []
  if (time !== timeOf(write)) {
    const [database, key] = entryOf(self, time, write)
    deletions.push([database, key, null])
  }
  if (entries.length === 0) return Exit.succeed(deletions)
  return Settled.map(
    Settled.allReads(entries.map((entry) => toDeleteEntry(self, stored, write[0], write[1], entry))),
    (deleted) => [...deletions, ...deleted.flat()]
  )
}

/** Makes the writes that delete the entries of replaced records. `writes` may also write some of the same keys. */
export const deletionsOf = (
  self: ExpiringStore,
  stored: Reader,
  writes: Iterable<Write>
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> =>
  Settled.flatMap(replacedByAll(self, stored, writes), (all) =>
    Settled.map(
      Settled.allReads(all.map(([write, replaced]) => deletionsFor(self, stored, write, replaced))),
      (deletions) => deletions.flat()
    ))

/**
 * Adds the entries of `expiry` for the writes of a call. The writes of the index entries of a record follow that of the
 * record. If a record has already expired, all of them become deletions.
 */
export const completed = (self: ExpiringStore, writes: ReadonlyArray<Write>): ReadonlyArray<Write> => {
  const first = writes.findIndex((write) => timeOf(write) !== undefined)
  if (first < 0) return writes
  const now = self.now()
  const all = writes.slice(0, first)
  let isExpired = false
  for (const write of writes.slice(first)) {
    const [database, key] = write
    const time = timeOf(write)
    if (hasRecords(database)) isExpired = time !== undefined && time <= now
    all.push(isExpired ? [database, key, null] : write)
    if (time !== undefined && !isExpired) all.push(entryOf(self, time, write))
  }
  return all
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
 * Whether a write makes a record live longer whose entry is kept: the sweeper writes another one when its time has come.
 * So a record that is written again and again has one entry. The entries of a record with index entries are exact, because
 * readers find the index entries of what has expired by them. The sweeper may be deleting the entry of a record that has
 * expired. In a shared store, another process may delete the old record with its entry before this write is committed.
 */
const isProlonged = (self: ExpiringStore, write: Write, { hasIndexEntries, time }: Replaced): boolean => {
  const [, , record] = write
  const next = timeOf(write)
  return !self.isShared && next !== undefined && next >= time && time > self.now() &&
    !hasIndexEntries && record !== null && !RecordLayout.hasEntries(record)
}

/** Adds the entries of `expiry` to a step, and the deletions of those of the records that it replaces. */
const withChangedEntries = <A>(
  self: ExpiringStore,
  stored: Reader,
  step: Step<A>
): Effect.Effect<Step<A>, EngineFailure> => {
  const [write] = step.writes
  if (write === undefined) return Exit.succeed(step)
  if (step.writes.length > 1) {
    return Settled.map(
      deletionsOf(self, stored, step.writes),
      (deletions) => withDeletions(withEntries(self, step), step, deletions)
    )
  }
  return Settled.flatMap(replacedBy(self, stored, write), (replaced): Effect.Effect<Step<A>, EngineFailure> => {
    if (replaced === undefined) return Exit.succeed(withEntries(self, step))
    if (isProlonged(self, write, replaced)) return Exit.succeed(step)
    return Settled.map(
      deletionsFor(self, stored, write, replaced),
      (deletions) => withDeletions(withEntries(self, step), step, deletions)
    )
  })
}

/** Adds deletions to a step, except of keys that the step wrote itself. */
const withDeletions = <A>(completedStep: Step<A>, { writes }: Step<A>, deletions: ReadonlyArray<Write>): Step<A> => {
  if (deletions.length === 0) return completedStep
  const written = fromWrites(writes)
  return {
    result: completedStep.result,
    writes: [...completedStep.writes, ...deletions.filter(([database, key]) => !written.touches(database, key))]
  }
}

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
  return mayExist(self)
    ? Settled.flatMap(taken, (step) => withChangedEntries(self, reader.stored ?? reader, step))
    : Settled.map(taken, (step) => withEntries(self, step))
}
