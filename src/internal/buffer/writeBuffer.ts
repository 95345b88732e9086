/**
 * The pending writes of a store, in two generations.
 *
 * New writes go into the generation that is filling. When a commit begins, that
 * generation becomes the committing one and an empty one takes its place, so that
 * writing goes on meanwhile. A commit that fails gives its writes back, under the
 * newer ones of the same key.
 *
 * A `Ref` holds which generations there are. The writes inside one are mutable
 * for speed: every function here is synchronous, and what runs between two
 * suspensions of a fiber is one step to all others.
 */
import * as Ref from "effect/Ref"
import type { Batch, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import * as Memtable from "./memtable.ts"
import { hasOnlyDeletions, inRange, type PendingEntry, type Writes, WriteSet } from "./writeSet.ts"

interface Generations {
  readonly filling: Memtable.Generation
  readonly committing: Memtable.Generation | undefined
}

/** How many writes may wait. */
export interface Limits {
  /** How many distinct keys make a generation full. */
  readonly batchSize: number
  /** How many bytes make a generation full. */
  readonly batchBytes: number
}

/** The two generations and what can be done with them. */
export interface WriteBuffer extends Writes {
  /** The generation that takes new writes. */
  readonly filling: () => Memtable.Generation
  /** The generation that is being committed, if any. */
  readonly committing: () => Memtable.Generation | undefined
  /** Whether the filling generation has what starts a commit. */
  readonly isFull: () => boolean
  /**
   * Whether writes that belong together may be taken without waiting. Two batches may
   * be in memory; a value that takes the place of another in the filling one only has
   * to fit in. A deletion waits only while a full generation waits for its commit.
   */
  readonly accepts: (group: ReadonlyArray<Write>) => boolean
  /** Takes writes that belong together. Deletions that are `freeing` may be committed ahead of the rest. */
  readonly write: (group: ReadonlyArray<Write>, freeing: boolean) => void
  /**
   * Takes what a batch writes to out of the committing generation: it is on disk, or out
   * of date.
   */
  readonly written: (batch: Batch) => void
  /**
   * Makes the filling generation the committing one and gives it; `undefined` when
   * it is empty. There must be no committing one.
   */
  readonly rotate: () => Memtable.Generation | undefined
  /** Forgets the committing generation: its writes are on disk. */
  readonly forget: () => void
  /** Gives the writes of the committing generation back, under the newer ones. */
  readonly giveBack: () => void
  /** How many distinct keys are pending. */
  readonly size: () => number
  /** The encoded size of all pending writes, in bytes. */
  readonly bytes: () => number
  /** The pending writes as they are now, for good. */
  readonly freeze: () => Writes
}

/** The two generations as one. */
const entriesOfBoth = function*({ committing, filling }: Generations, database: string): Generator<PendingEntry> {
  const newer = filling.writes.entriesOf(database)
  if (committing !== undefined) {
    for (const entry of committing.writes.entriesOf(database)) {
      if (!newer.has(entry[0])) yield entry
    }
  }
  yield* newer
}

/** Writes that do not change: each database is sorted once, so that each part of a range finds its own. */
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
        // An end that belongs to the range stands at its own index.
        to === undefined ? undefined : indexOf(entries, to.key) + 1
      )
      return inRange(near, range)
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

/** Writes that belong together as they are now, for good; the later sets come over the earlier. */
export const freeze = (sets: Iterable<WriteSet>): Writes => {
  const copy = new WriteSet()
  for (const set of sets) copy.addAll(set)
  return makeFrozen(copy)
}

/** Makes an empty buffer. */
export const make = ({ batchBytes, batchSize }: Limits): WriteBuffer => {
  const generations = Ref.makeUnsafe<Generations>({ filling: Memtable.make(), committing: undefined })
  const current = (): Generations => Ref.getUnsafe(generations)
  let frozen: Writes | undefined
  const replace = (next: Generations): void => {
    frozen = undefined
    generations.ref.current = next
  }

  const isFull = (): boolean => {
    const { filling: { writes } } = current()
    return writes.size >= batchSize || writes.bytes >= batchBytes
  }

  /** How many bytes more there are with a group, or `undefined` where it has keys that are not in the filling generation. */
  const growthOf = (group: ReadonlyArray<Write>): number | undefined => {
    const { filling: { writes } } = current()
    let growth = 0
    for (const [database, key, write] of group) {
      const replaced = writes.get(database, key)
      if (replaced === undefined) return undefined
      growth += (write?.length ?? 0) - (replaced?.length ?? 0)
    }
    return growth
  }

  const hasRoom = (): boolean => {
    const { committing, filling } = current()
    if (isFull()) return false
    if (committing === undefined) return true
    return filling.writes.size + committing.writes.size < 2 * batchSize &&
      // One value may be larger than a batch: it is then a batch of its own.
      (filling.writes.size === 0 || filling.writes.bytes + committing.writes.bytes < 2 * batchBytes)
  }

  const acceptsDeletions = (): boolean => {
    const { committing, filling } = current()
    return !isFull() || (committing === undefined && !filling.isRequested)
  }

  const size = (): number => {
    const { committing, filling } = current()
    if (committing === undefined) return filling.writes.size
    let distinct = committing.writes.size
    for (const [database, key] of filling.writes) {
      if (committing.writes.get(database, key) === undefined) distinct++
    }
    return distinct
  }

  return {
    filling: () => current().filling,
    committing: () => current().committing,
    get: (database, key) => {
      const { committing, filling } = current()
      const write = filling.writes.get(database, key)
      return write === undefined && committing !== undefined ? committing.writes.get(database, key) : write
    },
    isCleared: () => false,
    entriesOf: (database) => entriesOfBoth(current(), database),
    range: (database, range) => inRange(entriesOfBoth(current(), database), range),
    isFull,
    accepts: (group) => {
      if (hasRoom() || (acceptsDeletions() && hasOnlyDeletions(group))) return true
      const growth = growthOf(group)
      return growth !== undefined && (growth <= 0 || current().filling.writes.bytes + growth < batchBytes)
    },
    write: (group, freeing) => {
      frozen = undefined
      Memtable.add(current().filling, group, freeing)
    },
    written: ({ clear, writes }) => {
      const { committing } = current()
      if (committing === undefined) return
      frozen = undefined
      // What was taken as a whole need not be taken out one by one.
      if (writes === committing.taken) return Memtable.removeAll(committing)
      for (const database of clear) committing.writes.removeAll(database)
      for (const [database, key] of writes) committing.writes.remove(database, key)
    },
    rotate: () => {
      const { filling } = current()
      if (filling.writes.size === 0) return undefined
      filling.isRequested = true
      replace({ filling: Memtable.make(), committing: filling })
      return filling
    },
    forget: () => replace({ filling: current().filling, committing: undefined }),
    giveBack: () => {
      const { committing, filling } = current()
      if (committing !== undefined) Memtable.addUnder(committing, filling)
      replace({ filling, committing: undefined })
    },
    size,
    bytes: () => {
      const { committing, filling } = current()
      return filling.writes.bytes + (committing?.writes.bytes ?? 0)
    },
    freeze: () => {
      if (frozen === undefined) {
        const { committing, filling } = current()
        frozen = freeze(committing === undefined ? [filling.writes] : [committing.writes, filling.writes])
      }
      return frozen
    }
  }
}
