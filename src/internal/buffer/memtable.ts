/**
 * A memtable: the in-memory table of writes that one commit takes to LMDB.
 *
 * New writes go into the active memtable of a store. A commit seals it, so that it changes
 * no more, and writes it to LMDB. Writes that one call makes, such as a record and its index
 * entries, are a group: a commit writes all of a group or nothing of it. Groups that write to
 * the same key become one group.
 *
 * ```text
 *             request          seal            enterTransaction
 *   Active ────────────▶ Requested ─────▶ Flushing ─────────▶ InTransaction
 *      ▲                                     │                     │
 *      │ restore (its writes go under those  │                     │ applied: readers find
 *      │ of the active memtable)             │                     │ its writes in LMDB
 *      └──────────────── Failed ◀────────────┴─────────────────────┤
 *                            end                                   ▼ end
 *                                                              Committed
 * ```
 *
 * `request` and `end` are functions of `commitQueue.ts`, `seal` and `restore` of
 * `writeBuffer.ts`, and `enterTransaction` of this module.
 */
import * as Deferred from "effect/Deferred"
import type * as Exit from "effect/Exit"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { CommitError } from "../../StoreError.ts"
import { hasOnlyDeletions, qualifiedKey, WriteSet } from "./writeSet.ts"

type Address = readonly [database: string, key: ByteString]

/** The keys of a group, by their qualified keys. */
type KeyGroup = Map<string, Address>

/** Where a memtable is in its life. */
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
  /** All writes, as the commit was given them. */
  flushed: ReadonlyArray<Write> | undefined
  /** The group of a key, for keys that have one. */
  readonly groups: Map<string, KeyGroup>
  /** Deletions that came after a commit that did not fit: a commit may write them before the rest, to make room. */
  readonly freeing: Set<string>
  /** The count of foreign commits when the first write came. */
  seenForeign: number
  /** Callbacks of the fibers that wait for the commit and report its error. */
  readonly waiters: Set<(exit: Exit.Exit<void, CommitError>) => void>
  /** Completes when a commit seals the memtable: another one is active then. */
  readonly sealed: Deferred.Deferred<void>
  /** Completes with the result of the commit. */
  readonly ended: Deferred.Deferred<void, CommitError>
}

/** Makes an empty memtable. */
export const make = (seenForeign = 0): Memtable => ({
  state: { _tag: "Active" },
  writes: new WriteSet(),
  flushed: undefined,
  groups: new Map(),
  freeing: new Set(),
  seenForeign,
  waiters: new Set(),
  sealed: Deferred.makeUnsafe(),
  ended: Deferred.makeUnsafe()
})

/** Whether a commit has been asked for: it waits for its turn, runs, or has ended. */
export const isRequested = (self: Memtable): boolean => self.state._tag !== "Active"

/** Notes that LMDB's write transaction has begun. */
export const enterTransaction = (self: Memtable): void => {
  self.state = { _tag: "InTransaction" }
}

/** Makes one group of some keys and of all groups that they belong to. */
const join = ({ groups }: Memtable, addresses: ReadonlyArray<Address>): void => {
  const joined: KeyGroup = new Map()
  for (const address of addresses) {
    const name = qualifiedKey(...address)
    joined.set(name, address)
    for (const [other, otherAddress] of groups.get(name) ?? []) joined.set(other, otherAddress)
  }
  for (const name of joined.keys()) groups.set(name, joined)
}

/** Adds the writes of one call. `isFreeing`: a commit may write its deletions before the rest. */
export const add = (self: Memtable, group: ReadonlyArray<Write>, isFreeing: boolean): void => {
  for (const [database, key, write] of group) {
    self.writes.set(database, key, write)
    if (isFreeing && write === null) self.freeing.add(qualifiedKey(database, key))
    else if (self.freeing.size > 0) self.freeing.delete(qualifiedKey(database, key))
  }
  if (group.length > 1) join(self, group.map(([database, key]): Address => [database, key]))
}

/** Gives all writes to a commit. */
export const flush = (self: Memtable): ReadonlyArray<Write> => {
  self.flushed = self.writes.toArray()
  return self.flushed
}

/** Removes all writes, because LMDB has them. */
export const removeAll = (self: Memtable): void => {
  self.writes = new WriteSet()
}

/** Adds the writes of an older memtable, except those of keys that this one has. */
export const addOlder = (self: Memtable, older: Memtable): void => {
  self.seenForeign = older.seenForeign
  for (const [database, key] of older.writes) {
    const name = qualifiedKey(database, key)
    if (older.freeing.has(name) && self.writes.get(database, key) === undefined) self.freeing.add(name)
  }
  self.writes.addUnder(older.writes)
  for (const group of new Set(older.groups.values())) join(self, [...group.values()])
}

/** Finds the writes of all groups that have one of these keys. */
export const groupsOf = ({ groups, writes }: Memtable, touched: WriteSet): WriteSet => {
  const found = new WriteSet()
  if (groups.size === 0) return found
  for (const [database, key] of touched) {
    for (const address of groups.get(qualifiedKey(database, key))?.values() ?? []) {
      const write = writes.get(...address)
      if (write !== undefined) found.set(...address, write)
    }
  }
  return found
}

/**
 * Finds the deletions that a commit may write before the rest, in groups: those that came
 * after a commit that did not fit, or all where there is nothing but deletions.
 */
export const deletionsAhead = ({ freeing, groups, writes }: Memtable): ReadonlyArray<ReadonlyArray<Write>> => {
  const isAllAhead = hasOnlyDeletions(writes)
  if (!isAllAhead && freeing.size === 0) return []
  const isAhead = (address: Address): boolean => isAllAhead || freeing.has(qualifiedKey(...address))
  const seen = new Set<KeyGroup>()
  const ahead: Array<ReadonlyArray<Write>> = []
  for (const [database, key] of writes) {
    const name = qualifiedKey(database, key)
    const group: KeyGroup = groups.get(name) ?? new Map([[name, [database, key]]])
    if (seen.has(group)) continue
    seen.add(group)
    // LMDB may have a part of the group already.
    const addresses = [...group.values()].filter((address) => writes.get(...address) !== undefined)
    if (addresses.every(isAhead)) ahead.push(addresses.map(([owner, member]): Write => [owner, member, null]))
  }
  return ahead
}
