/**
 * Sets of writes to named databases, with one write for each key. Memtables, transactions and
 * atomic batches keep their writes in such sets.
 */
import type { WriteBatch } from "../../Backend.ts"
import type { Batch, KeyRange, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { contains } from "../key/keyRange.ts"

/** A write of one key: the bytes of a value, or `null` for a deletion. */
export type PendingWrite = Uint8Array | null

/** A key and what is written to it. */
export type PendingEntry = readonly [key: ByteString, write: PendingWrite]

/** Writes that hide the stored records of the same keys from a reader. */
export interface Writes {
  /** The write of a key; `undefined` if there is none. */
  readonly get: (database: string, key: ByteString) => PendingWrite | undefined
  /** Whether the database was cleared before these writes, so that they hide all stored records. */
  readonly isCleared: (database: string) => boolean
  /** The writes of a database, one for each key, in any order. */
  readonly entriesOf: (database: string) => Iterable<PendingEntry>
  /** The writes of a range, in the order of their keys. */
  readonly range: (database: string, range: KeyRange) => ReadonlyArray<PendingEntry>
  /** The same writes, which no later write changes. */
  readonly freeze: () => Writes
}

/** Joins the name of a database and a key. The result is unique, because no name of a database contains U+0000. */
export const qualifiedKey = (database: string, key: ByteString): string => `${database}\0${key}`

/** Whether all writes are deletions. */
export const hasOnlyDeletions = (writes: Iterable<Write>): boolean => {
  for (const [, , write] of writes) {
    if (write !== null) return false
  }
  return true
}

const noEntries: ReadonlyMap<ByteString, PendingWrite> = new Map()

const bytesOf = (key: ByteString, write: PendingWrite): number => key.length + (write === null ? 0 : write.length)

const compareKeys = ([a]: PendingEntry, [b]: PendingEntry): number => a < b ? -1 : 1

/** The writes of a database that are in a range, in the order of their keys. */
export const inRange = (entries: Iterable<PendingEntry>, range: KeyRange): ReadonlyArray<PendingEntry> => {
  const found: Array<PendingEntry> = []
  for (const entry of entries) {
    if (contains(range, entry[0])) found.push(entry)
  }
  return found.toSorted(compareKeys)
}

/**
 * The writes of one database: a list while they arrive in the order of their keys and no key is
 * looked up, and a map from then on. Most bulk loads need only the list, and filling a map with
 * thousands of writes takes ten times as long.
 */
interface DatabaseWrites {
  list: Array<Write>
  /** The writes by their keys. If there is a map, the list is empty. */
  byKey: Map<ByteString, PendingWrite> | undefined
}

const byKeyOf = (writes: DatabaseWrites): Map<ByteString, PendingWrite> => {
  if (writes.byKey === undefined) {
    writes.byKey = new Map()
    for (const [, key, write] of writes.list) writes.byKey.set(key, write)
    writes.list = []
  }
  return writes.byKey
}

/** Whether the writes are still a list and a key is after all keys in it. The key then has no write yet. */
const isAfterList = ({ byKey, list }: DatabaseWrites, key: ByteString): boolean => {
  if (byKey !== undefined) return false
  const last = list[list.length - 1]
  return last === undefined || key > last[1]
}

/** A set of writes that can be added to. */
export class WriteSet implements Writes, Iterable<Write> {
  readonly #databases = new Map<string, DatabaseWrites>()
  readonly #cleared = new Set<string>()
  /** The keys whose writes delete expired records, by database. Nearly all sets have none, so the map is made late. */
  #expired: Map<string, Set<ByteString>> | undefined
  #size = 0
  #bytes = 0
  #revision = 0

  /** Rises with each change of the set. */
  get revision(): number {
    return this.#revision
  }

  /** How many keys are written to. */
  get size(): number {
    return this.#size
  }

  /** The encoded size of all keys and values, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether nothing is written or cleared. */
  get isEmpty(): boolean {
    return this.#size === 0 && this.#cleared.size === 0
  }

  /** The databases that are cleared before the writes are made. */
  get cleared(): ReadonlySet<string> {
    return this.#cleared
  }

  /** The keys whose writes delete a record because it has expired, by database. */
  get expiredKeys(): ReadonlyMap<string, ReadonlySet<ByteString>> | undefined {
    return this.#expired
  }

  /** Which of the writes delete a record because it has expired. */
  get expired(): ReadonlyArray<readonly [database: string, key: ByteString]> {
    return Array.from(this.#expired ?? [], ([database, keys]) => Array.from(keys, (key) => [database, key] as const))
      .flat()
  }

  get(database: string, key: ByteString): PendingWrite | undefined {
    const writes = this.#databases.get(database)
    return writes === undefined || isAfterList(writes, key) ? undefined : byKeyOf(writes).get(key)
  }

  isCleared(database: string): boolean {
    return this.#cleared.has(database)
  }

  entriesOf(database: string): ReadonlyMap<ByteString, PendingWrite> {
    const writes = this.#databases.get(database)
    return writes === undefined ? noEntries : byKeyOf(writes)
  }

  range(database: string, range: KeyRange): ReadonlyArray<PendingEntry> {
    return inRange(this.entriesOf(database), range)
  }

  freeze(): Writes {
    return freeze([this])
  }

  /** Whether a key is written to, or its database cleared. */
  touches(database: string, key: ByteString): boolean {
    return this.get(database, key) !== undefined || this.isCleared(database)
  }

  /** Adds a write in place of the earlier write of the same key. */
  set(database: string, key: ByteString, write: PendingWrite): void {
    this.#revision++
    this.#expired?.get(database)?.delete(key)
    let writes = this.#databases.get(database)
    if (writes === undefined) {
      writes = { list: [], byKey: undefined }
      this.#databases.set(database, writes)
    }
    this.#bytes += bytesOf(key, write)
    if (isAfterList(writes, key)) {
      this.#size++
      writes.list.push([database, key, write])
      return
    }
    const byKey = byKeyOf(writes)
    const replaced = byKey.get(key)
    if (replaced === undefined) this.#size++
    else this.#bytes -= bytesOf(key, replaced)
    byKey.set(key, write)
  }

  /** Deletes a record because it has expired. */
  expire(database: string, key: ByteString): void {
    this.set(database, key, null)
    this.#expired ??= new Map()
    const keys = this.#expired.get(database)
    if (keys === undefined) this.#expired.set(database, new Set([key]))
    else keys.add(key)
  }

  /** Removes the write of a key. */
  remove(database: string, key: ByteString): void {
    const writes = this.#databases.get(database)
    if (writes === undefined) return
    const byKey = byKeyOf(writes)
    const removed = byKey.get(key)
    if (removed === undefined) return
    byKey.delete(key)
    this.#revision++
    this.#size--
    this.#bytes -= bytesOf(key, removed)
  }

  /** Removes all writes of a database. */
  removeAll(database: string): void {
    for (const [key] of this.entriesOf(database)) this.remove(database, key)
  }

  /** Clears a database: removes its writes, and hides its stored records. */
  clear(database: string): void {
    this.removeAll(database)
    this.#revision++
    this.#expired?.delete(database)
    this.#cleared.add(database)
  }

  /** Adds the writes of a later set: they replace the writes of this set. */
  addAll(later: WriteSet): void {
    for (const database of later.cleared) this.clear(database)
    for (const [database, key, write] of later) this.set(database, key, write)
    if (later.#expired !== undefined) { for (const expired of later.expired) this.expire(...expired) }
  }

  /** Adds the writes of an earlier set: the writes of this set replace them. */
  addUnder(earlier: WriteSet): void {
    const later = [...this]
    this.#databases.clear()
    this.#size = 0
    this.#bytes = 0
    for (const [database, key, write] of earlier) this.set(database, key, write)
    for (const [database, key, write] of later) this.set(database, key, write)
  }

  /** Copies all writes. Visiting the copy is faster than using the iterator. */
  toArray(): ReadonlyArray<Write> {
    const all: Array<Write> = []
    for (const [database, { byKey, list }] of this.#databases) {
      for (const write of list) all.push(write)
      byKey?.forEach((write, key) => all.push([database, key, write]))
    }
    return all
  }

  *[Symbol.iterator](): IterableIterator<Write> {
    for (const [database, { byKey, list }] of this.#databases) {
      yield* list
      for (const [key, write] of byKey ?? noEntries) yield [database, key, write]
    }
  }
}

/** The index of a key among sorted entries, or the index at which it would be. */
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

/**
 * Makes a view of writes that do not change any more. It sorts each database once, so that reading
 * a part of a range is a binary search.
 */
const makeFrozen = (set: WriteSet): Writes => {
  const sorted = new Map<string, ReadonlyArray<PendingEntry>>()
  const sortedOf = (database: string): ReadonlyArray<PendingEntry> => {
    const entries = sorted.get(database) ?? set.range(database, { from: undefined, to: undefined })
    sorted.set(database, entries)
    return entries
  }
  const frozen: Writes = {
    freeze: () => frozen,
    get: (database, key) => set.get(database, key),
    isCleared: (database) => set.isCleared(database),
    entriesOf: sortedOf,
    range: (database, range) => {
      const entries = sortedOf(database)
      const { from, to } = range
      const near = entries.slice(
        from === undefined ? 0 : indexOf(entries, from.key),
        // An inclusive upper bound is itself at this index.
        to === undefined ? undefined : indexOf(entries, to.key) + 1
      )
      return inRange(near, range)
    }
  }
  return frozen
}

/** Copies sets of writes into one that does not change. The writes of a later set replace those of an earlier one. */
export const freeze = (sets: Iterable<WriteSet>): Writes => {
  const copy = new WriteSet()
  for (const set of sets) copy.addAll(set)
  return makeFrozen(copy)
}

/** Gives the set of a batch of writes. */
export const toWriteSet = (batch: WriteBatch): WriteSet => {
  if (batch instanceof WriteSet) return batch
  const set = new WriteSet()
  for (const database of batch.cleared) set.clear(database)
  for (const [database, key, write] of batch) set.set(database, key, write)
  for (const expired of batch.expired ?? []) set.expire(...expired)
  return set
}

/** Makes a set of the given writes. */
export const fromWrites = (writes: Iterable<Write>): WriteSet => {
  const set = new WriteSet()
  for (const [database, key, write] of writes) set.set(database, key, write)
  return set
}

/** Gives what a transaction of the engine writes. */
export const toBatch = (set: WriteSet): Batch => ({
  clear: [...set.cleared],
  writes: set.toArray(),
  expired: set.expiredKeys
})

/** Adds deletions to writes, except those of keys that are written. Returns the writes themselves if there are none. */
export const withDeletions = (writes: WriteSet, deletions: ReadonlyArray<Write>): WriteSet => {
  if (deletions.length === 0) return writes
  const all = new WriteSet()
  all.addAll(writes)
  for (const [database, key, value] of deletions) if (!writes.touches(database, key)) all.set(database, key, value)
  return all
}
