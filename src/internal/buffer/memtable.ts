/**
 * Writes that are committed together, and which of them may be committed ahead of
 * the others to make room.
 *
 * A group of writes is only right as a whole: a record and the entries of its
 * indexes. Groups that write to the same key become one.
 */
import * as Deferred from "effect/Deferred"
import type * as Exit from "effect/Exit"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { CommitError } from "../../StoreError.ts"
import { addressOf, hasOnlyDeletions, WriteSet } from "./writeSet.ts"

type Address = readonly [database: string, key: ByteString]

/** The keys of a group, by their names. */
type Group = Map<string, Address>

/** Writes that are committed together. */
export interface Generation {
  /** The latest write of each key. */
  writes: WriteSet
  /** All of them, as they were given to a commit. */
  taken: ReadonlyArray<Write> | undefined
  /** The group of a key, for keys that have one. */
  readonly groups: Map<string, Group>
  /** Deletions made since a commit did not fit: they may be committed ahead of the rest, to make room. */
  readonly freeing: Set<string>
  /** How often others were known to have committed in between when its first write was made. */
  since: number
  /** Whether its commit was asked for or has begun. */
  isRequested: boolean
  /** Whether its commit has got its transaction, and so the main thread that it needs for that. */
  isInTransaction: boolean
  /** Fibers that wait for its commit and hand its error on. */
  readonly waiting: Set<(exit: Exit.Exit<void, CommitError>) => void>
  /** Done when its commit has begun: another generation is filling. */
  readonly begun: Deferred.Deferred<void>
  /** Done when its commit is: with its result. */
  readonly settled: Deferred.Deferred<void, CommitError>
}

/** Makes a generation without writes. */
export const make = (): Generation => ({
  writes: new WriteSet(),
  taken: undefined,
  groups: new Map(),
  freeing: new Set(),
  since: 0,
  isRequested: false,
  isInTransaction: false,
  waiting: new Set(),
  begun: Deferred.makeUnsafe(),
  settled: Deferred.makeUnsafe()
})

/** Makes one group of some keys, and of all groups that they belong to. */
const join = ({ groups }: Generation, addresses: ReadonlyArray<Address>): void => {
  const joined: Group = new Map()
  for (const address of addresses) {
    const name = addressOf(...address)
    joined.set(name, address)
    for (const [other, otherAddress] of groups.get(name) ?? []) joined.set(other, otherAddress)
  }
  for (const name of joined.keys()) groups.set(name, joined)
}

/** Takes writes that belong together. Deletions that are `freeing` may be committed ahead of the rest. */
export const add = (generation: Generation, group: ReadonlyArray<Write>, freeing: boolean): void => {
  for (const [database, key, write] of group) {
    generation.writes.set(database, key, write)
    if (freeing && write === null) generation.freeing.add(addressOf(database, key))
    else if (generation.freeing.size > 0) generation.freeing.delete(addressOf(database, key))
  }
  if (group.length > 1) join(generation, group.map(([database, key]): Address => [database, key]))
}

/** Gives all writes to a commit. */
export const take = (generation: Generation): ReadonlyArray<Write> => {
  generation.taken = generation.writes.toArray()
  return generation.taken
}

/** Takes all writes out, because they are on disk. */
export const removeAll = (generation: Generation): void => {
  generation.writes = new WriteSet()
}

/** Puts older writes under those of a generation: they come first and lose. */
export const addUnder = (older: Generation, generation: Generation): void => {
  generation.since = older.since
  for (const [database, key] of older.writes) {
    const name = addressOf(database, key)
    if (older.freeing.has(name) && generation.writes.get(database, key) === undefined) generation.freeing.add(name)
  }
  generation.writes.addUnder(older.writes)
  for (const group of new Set(older.groups.values())) join(generation, [...group.values()])
}

/** The writes of all groups that have one of these keys. */
export const groupsOf = ({ groups, writes }: Generation, touched: WriteSet): WriteSet => {
  const found = new WriteSet()
  if (groups.size === 0) return found
  for (const [database, key] of touched) {
    for (const address of groups.get(addressOf(database, key))?.values() ?? []) {
      const write = writes.get(...address)
      if (write !== undefined) found.set(...address, write)
    }
  }
  return found
}

/**
 * The deletions that may be committed ahead of the rest, in groups: those that were
 * made to make room, or all where there is nothing else.
 */
export const deletionsAhead = (generation: Generation): ReadonlyArray<ReadonlyArray<Write>> => {
  const { freeing, groups, writes } = generation
  const isAllAhead = hasOnlyDeletions(writes)
  if (!isAllAhead && freeing.size === 0) return []
  const isAhead = (address: Address): boolean => isAllAhead || freeing.has(addressOf(...address))
  const seen = new Set<Group>()
  const ahead: Array<ReadonlyArray<Write>> = []
  for (const [database, key] of writes) {
    const name = addressOf(database, key)
    const group: Group = groups.get(name) ?? new Map([[name, [database, key]]])
    if (seen.has(group)) continue
    seen.add(group)
    // What of a group is on disk already is no longer among the writes.
    const addresses = [...group.values()].filter((address) => writes.get(...address) !== undefined)
    if (addresses.every(isAhead)) ahead.push(addresses.map(([owner, member]): Write => [owner, member, null]))
  }
  return ahead
}
