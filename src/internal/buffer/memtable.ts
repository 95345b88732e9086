/**
 * A memtable: the in-memory table of writes that one commit takes to LMDB.
 *
 * New writes go into the active memtable of a store. A commit seals it, so that it no longer
 * changes, and writes it to LMDB. The writes of one call, such as a record and its index
 * entries, are an atomic unit: a commit writes all of a unit or none of it. Units that write
 * to the same key become one unit.
 *
 * ```text
 *             request          seal            enterTransaction
 *   Active ────────────▶ Requested ─────▶ Flushing ─────────▶ InTransaction
 *    │ ▲                                   ▲ │                     │
 *    └─┼───────────────── seal ────────────┘ │                     │
 *      │ restore (its writes go under those  │                     │ applied: readers find
 *      │ of the active memtable)             │                     │ its writes in LMDB
 *      └──────────────── Failed ◀────────────┴─────────────────────┤
 *                            end                                   ▼ end
 *                                                              Committed
 * ```
 *
 * The commit of an atomic batch, and the last commit of a store, seal a memtable that nothing
 * has requested. `request` and `end` are functions of `commitQueue.ts`, `seal` and `restore` of
 * `writeBuffer.ts`, and `enterTransaction` of this module.
 */
import * as Deferred from "effect/Deferred"
import type * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { CommitError } from "../../StoreError.ts"
import { hasOnlyDeletions, qualifiedKey, WriteSet } from "./writeSet.ts"

/** A key and the database that it belongs to. */
type DatabaseKey = readonly [database: string, key: ByteString]

/** The keys of a unit, by their qualified keys. */
type AtomicUnit = Map<string, DatabaseKey>

/** The states of a memtable. */
type State =
  /** It takes writes. */
  | { readonly _tag: "Active" }
  /** It takes writes, and a commit that will seal it waits for its turn. */
  | { readonly _tag: "Requested" }
  /** A commit has sealed it. */
  | { readonly _tag: "Flushing" }
  /** LMDB's write transaction has begun, and with it the part of the commit that needs the main thread. */
  | { readonly _tag: "InTransaction" }
  /** Its writes are on disk. */
  | { readonly _tag: "Committed" }
  /** Its commit failed, and its writes are in the active memtable again. */
  | { readonly _tag: "Failed" }

/** Writes that one commit takes to LMDB. */
export interface Memtable {
  state: State
  /** The latest write of each key that LMDB does not have yet. */
  writes: WriteSet
  /** The list of all writes that the commit has taken, if it takes them in one transaction. */
  taken: ReadonlyArray<Write> | undefined
  /** The unit of each key that belongs to one, by its qualified key. */
  readonly units: Map<string, AtomicUnit>
  /** The qualified keys of deletions that came after a commit did not fit. A commit may write them first, to make room. */
  readonly freeing: Set<string>
  /** The number of foreign commits that were known when the memtable became active, before its first write. */
  foreignAtStart: number
  /** Callbacks of the fibers that wait for the commit and report its error. */
  readonly waiters: Set<(exit: Exit.Exit<void, CommitError>) => void>
  /** The spans of these fibers. */
  readonly spans: Set<Tracer.AnySpan>
  /** Completes when a commit seals the memtable: another one is active then. */
  readonly sealed: Deferred.Deferred<void>
  /** Completes with the result of the commit. */
  readonly outcome: Deferred.Deferred<void, CommitError>
}

/** Makes an empty memtable. */
export const make = (foreignAtStart = 0): Memtable => ({
  state: { _tag: "Active" },
  writes: new WriteSet(),
  taken: undefined,
  units: new Map(),
  freeing: new Set(),
  foreignAtStart,
  waiters: new Set(),
  spans: new Set(),
  sealed: Deferred.makeUnsafe(),
  outcome: Deferred.makeUnsafe()
})

/** Whether a commit has been asked for: it waits for its turn, runs, or has ended. */
export const isRequested = (self: Memtable): boolean => self.state._tag !== "Active"

/** Notes that LMDB's write transaction has begun. */
export const enterTransaction = (self: Memtable): void => {
  self.state = { _tag: "InTransaction" }
}

/**
 * Makes one unit of some keys and of all units that they belong to. The largest of these units takes the other keys: a
 * record that is written again and again has a unit that grows with each call.
 */
const join = ({ units }: Memtable, keys: ReadonlyArray<DatabaseKey>): void => {
  let joined: AtomicUnit | undefined
  for (const key of keys) {
    const unit = units.get(qualifiedKey(...key))
    if (unit !== undefined && unit.size > (joined?.size ?? 0)) joined = unit
  }
  joined ??= new Map()
  for (const key of keys) {
    const qualified = qualifiedKey(...key)
    const unit = units.get(qualified)
    if (unit === joined) continue
    for (const [member, memberKey] of unit ?? [[qualified, key]]) {
      joined.set(member, memberKey)
      units.set(member, joined)
    }
  }
}

/** Adds the writes of one call. With `isFreeing`, a commit may write the deletions among them before other writes. */
export const add = (self: Memtable, added: ReadonlyArray<Write>, isFreeing: boolean): void => {
  for (const [database, key, write] of added) {
    self.writes.set(database, key, write)
    if (isFreeing && write === null) self.freeing.add(qualifiedKey(database, key))
    else if (self.freeing.size > 0) self.freeing.delete(qualifiedKey(database, key))
  }
  if (added.length > 1) join(self, added.map(([database, key]): DatabaseKey => [database, key]))
}

/** Returns all writes for a commit, and notes the list as `taken`. */
export const takeForCommit = (self: Memtable): ReadonlyArray<Write> => {
  self.taken = self.writes.toArray()
  return self.taken
}

/** Removes all writes, because LMDB has them. */
export const removeAll = (self: Memtable): void => {
  self.writes = new WriteSet()
}

/** Adds the writes of an older memtable, except those of keys that this one has. */
export const addOlder = (self: Memtable, older: Memtable): void => {
  self.foreignAtStart = older.foreignAtStart
  for (const [database, key] of older.writes) {
    const qualified = qualifiedKey(database, key)
    if (older.freeing.has(qualified) && self.writes.get(database, key) === undefined) self.freeing.add(qualified)
  }
  self.writes.addUnder(older.writes)
  for (const unit of new Set(older.units.values())) join(self, [...unit.values()])
}

/**
 * Finds what has to be committed with an atomic batch that goes ahead of the other writes: the units of which the batch
 * overwrites a part, and what it has read, in units. A write that belongs to no unit is one by itself.
 */
export const neededBy = ({ units, writes }: Memtable, written: WriteSet, read: WriteSet): WriteSet => {
  const found = new WriteSet()
  const addAll = (keys: Iterable<DatabaseKey>): void => {
    for (const key of keys) {
      const write = writes.get(...key)
      if (write !== undefined) found.set(...key, write)
    }
  }
  for (const [database, key] of written) addAll(units.get(qualifiedKey(database, key))?.values() ?? [])
  for (const [database, key] of read) {
    if (written.touches(database, key)) continue
    addAll(units.get(qualifiedKey(database, key))?.values() ?? [[database, key]])
  }
  return found
}

/**
 * Finds the deletions that a commit may write before other writes, in units: the deletions
 * that came after a commit did not fit, or all of them if there are no other writes.
 */
export const deletionsAhead = ({ freeing, units, writes }: Memtable): ReadonlyArray<ReadonlyArray<Write>> => {
  const isAllAhead = hasOnlyDeletions(writes)
  if (!isAllAhead && freeing.size === 0) return []
  const isAhead = (key: DatabaseKey): boolean => isAllAhead || freeing.has(qualifiedKey(...key))
  const seen = new Set<AtomicUnit>()
  const ahead: Array<ReadonlyArray<Write>> = []
  for (const [database, key] of writes) {
    const qualified = qualifiedKey(database, key)
    const unit: AtomicUnit = units.get(qualified) ?? new Map([[qualified, [database, key]]])
    if (seen.has(unit)) continue
    seen.add(unit)
    // LMDB may have some writes of the unit already.
    const pending = [...unit.values()].filter((member) => writes.get(...member) !== undefined)
    if (pending.every(isAhead)) ahead.push(pending.map(([owner, pendingKey]): Write => [owner, pendingKey, null]))
  }
  return ahead
}
