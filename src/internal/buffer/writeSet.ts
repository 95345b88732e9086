/**
 * A set of writes to named databases, one of each key: what is pending, what a
 * transaction has written, or what belongs to one batch.
 */
import type { KeyRange, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { contains } from "../key/keyRange.ts"

/** A write of one key: the bytes of a value, or `null` for a deletion. */
export type PendingWrite = Uint8Array | null

/** A key and what is written to it. */
export type PendingEntry = readonly [key: ByteString, write: PendingWrite]

/** Writes as they can be looked up, in front of what they are written over. */
export interface Writes {
  /** The write of a key; `undefined` where there is none. */
  readonly get: (database: string, key: ByteString) => PendingWrite | undefined
  /** Whether nothing shows through from behind: the database was cleared before these writes. */
  readonly isCleared: (database: string) => boolean
  /** The writes of a database, one of each key, in any order. */
  readonly entriesOf: (database: string) => Iterable<PendingEntry>
  /** The writes of a range, in the order of their keys. */
  readonly range: (database: string, range: KeyRange) => ReadonlyArray<PendingEntry>
}

/** One name for a key of a database. No name of a database contains the character U+0000 between them. */
export const qualifiedKey = (database: string, key: ByteString): string => `${database}\0${key}`

/** Whether nothing is written but deletions. */
export const hasOnlyDeletions = (writes: Iterable<Write>): boolean => {
  for (const [, , write] of writes) {
    if (write !== null) return false
  }
  return true
}

const noEntries: ReadonlyMap<ByteString, PendingWrite> = new Map()

const bytesOf = (key: ByteString, write: PendingWrite): number => key.length + (write === null ? 0 : write.length)

const compareKeys = ([a]: PendingEntry, [b]: PendingEntry): number => a < b ? -1 : 1

/** The writes of a range among all of a database. */
export const inRange = (entries: Iterable<PendingEntry>, range: KeyRange): ReadonlyArray<PendingEntry> => {
  const found: Array<PendingEntry> = []
  for (const entry of entries) {
    if (contains(range, entry[0])) found.push(entry)
  }
  return found.toSorted(compareKeys)
}

/**
 * The writes of one database. As long as they come in the order of their keys, and nobody
 * looks for one, they stand in a row: that is how much is loaded, and to fill a map with
 * many thousands takes ten times as long.
 */
interface DatabaseWrites {
  row: Array<Write>
  /** The same by their keys, and the row is empty. */
  byKey: Map<ByteString, PendingWrite> | undefined
}

const byKeyOf = (writes: DatabaseWrites): Map<ByteString, PendingWrite> => {
  if (writes.byKey === undefined) {
    writes.byKey = new Map()
    for (const [, key, write] of writes.row) writes.byKey.set(key, write)
    writes.row = []
  }
  return writes.byKey
}

/** Whether a write of a key stands behind all others in their row: then there is none of it. */
const isNext = ({ byKey, row }: DatabaseWrites, key: ByteString): boolean => {
  if (byKey !== undefined) return false
  const last = row[row.length - 1]
  return last === undefined || key > last[1]
}

/** A set of writes that can be added to. */
export class WriteSet implements Writes, Iterable<Write> {
  readonly #databases = new Map<string, DatabaseWrites>()
  readonly #cleared = new Set<string>()
  #size = 0
  #bytes = 0

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

  get(database: string, key: ByteString): PendingWrite | undefined {
    const writes = this.#databases.get(database)
    return writes === undefined || isNext(writes, key) ? undefined : byKeyOf(writes).get(key)
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

  /** Whether a key is written to, or its database cleared. */
  touches(database: string, key: ByteString): boolean {
    return this.get(database, key) !== undefined || this.isCleared(database)
  }

  /** Takes a write, in place of an earlier one of the same key. */
  set(database: string, key: ByteString, write: PendingWrite): void {
    let writes = this.#databases.get(database)
    if (writes === undefined) {
      writes = { row: [], byKey: undefined }
      this.#databases.set(database, writes)
    }
    this.#bytes += bytesOf(key, write)
    if (isNext(writes, key)) {
      this.#size++
      writes.row.push([database, key, write])
      return
    }
    const byKey = byKeyOf(writes)
    const replaced = byKey.get(key)
    if (replaced === undefined) this.#size++
    else this.#bytes -= bytesOf(key, replaced)
    byKey.set(key, write)
  }

  /** Takes a write out. */
  remove(database: string, key: ByteString): void {
    const writes = this.#databases.get(database)
    if (writes === undefined) return
    const byKey = byKeyOf(writes)
    const removed = byKey.get(key)
    if (removed === undefined) return
    byKey.delete(key)
    this.#size--
    this.#bytes -= bytesOf(key, removed)
  }

  /** Takes all writes of a database out. */
  removeAll(database: string): void {
    for (const [key] of this.entriesOf(database)) this.remove(database, key)
  }

  /** Clears a database: what was written to it before is forgotten. */
  clear(database: string): void {
    this.removeAll(database)
    this.#cleared.add(database)
  }

  /** Takes all that another set does, after what this one does. */
  addAll(later: WriteSet): void {
    for (const database of later.cleared) this.clear(database)
    for (const [database, key, write] of later) this.set(database, key, write)
  }

  /** Takes all that another set writes, before what this one does. */
  addUnder(earlier: WriteSet): void {
    const later = [...this]
    this.#databases.clear()
    this.#size = 0
    this.#bytes = 0
    for (const [database, key, write] of earlier) this.set(database, key, write)
    for (const [database, key, write] of later) this.set(database, key, write)
  }

  /** All writes as they are now: to go through all of them this is faster than the iterator. */
  toArray(): ReadonlyArray<Write> {
    const all: Array<Write> = []
    for (const [database, { byKey, row }] of this.#databases) {
      for (const write of row) all.push(write)
      byKey?.forEach((write, key) => all.push([database, key, write]))
    }
    return all
  }

  *[Symbol.iterator](): IterableIterator<Write> {
    for (const [database, { byKey, row }] of this.#databases) {
      yield* row
      for (const [key, write] of byKey ?? noEntries) yield [database, key, write]
    }
  }
}

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

/** Writes that do not change. Each database is sorted once, so that each part of a range finds its own by binary search. */
const makeFrozen = (set: WriteSet): Writes => {
  const sorted = new Map<string, ReadonlyArray<PendingEntry>>()
  const sortedOf = (database: string): ReadonlyArray<PendingEntry> => {
    const entries = sorted.get(database) ?? set.range(database, { from: undefined, to: undefined })
    sorted.set(database, entries)
    return entries
  }
  return {
    get: (database, key) => set.get(database, key),
    isCleared: (database) => set.isCleared(database),
    entriesOf: sortedOf,
    range: (database, range) => {
      const entries = sortedOf(database)
      const { from, to } = range
      const near = entries.slice(
        from === undefined ? 0 : indexOf(entries, from.key),
        // An end that belongs to the range is at its own index.
        to === undefined ? undefined : indexOf(entries, to.key) + 1
      )
      return inRange(near, range)
    }
  }
}

/** Copies sets of writes into one that does not change; later sets win over earlier ones. */
export const freeze = (sets: Iterable<WriteSet>): Writes => {
  const copy = new WriteSet()
  for (const set of sets) copy.addAll(set)
  return makeFrozen(copy)
}

/** Makes a set of some writes. */
export const fromWrites = (writes: Iterable<Write>): WriteSet => {
  const set = new WriteSet()
  for (const [database, key, write] of writes) set.set(database, key, write)
  return set
}
