/**
 * The pending writes of a store, in two generations.
 *
 * New writes go into the generation that is filling. When a commit begins, that
 * generation becomes the committing one and an empty one takes its place, so that
 * writing goes on meanwhile. A commit that fails gives its writes back, under the
 * newer ones of the same key.
 *
 * A `Ref` holds which generations there are. The writes inside one are a mutable
 * map for speed: every function here is synchronous, and what runs between two
 * suspensions of a fiber is one step to all others.
 */
import * as Deferred from "effect/Deferred"
import * as Ref from "effect/Ref"
import type { ByteString } from "../Key.ts"
import type { CommitError } from "./committer.ts"

/** A pending write: the bytes of a value, or `null` for a deletion. */
export type PendingWrite = Uint8Array | null

/** Writes that are committed together. */
export interface Generation {
  /** The latest write of each key, in the order in which the keys first came. */
  readonly writes: Map<ByteString, PendingWrite>
  /** The encoded size of all keys and values, in bytes. */
  bytes: number
  /** Deletions made since a commit did not fit: they may be committed ahead of the rest, to make room. */
  readonly freeing: Set<ByteString>
  /** Whether its commit was asked for or has begun. */
  isRequested: boolean
  /** How many fibers wait for its commit and hand its error on. */
  waiting: number
  /** Done when its commit is: with its result. */
  readonly settled: Deferred.Deferred<void, CommitError>
}

interface Generations {
  readonly filling: Generation
  readonly committing: Generation | undefined
}

/** How many writes may wait. */
export interface Limits {
  /** How many distinct keys make a generation full. */
  readonly batchSize: number
  /** How many bytes make a generation full. */
  readonly batchBytes: number
}

/** The two generations and what can be done with them. */
export interface WriteBuffer {
  /** The generation that takes new writes. */
  readonly filling: () => Generation
  /** The generation that is being committed, if any. */
  readonly committing: () => Generation | undefined
  /** The latest pending write of a key; `undefined` where there is none. */
  readonly get: (key: ByteString) => PendingWrite | undefined
  /** Whether the filling generation has what starts a commit. */
  readonly isFull: () => boolean
  /**
   * Whether a value may be put without waiting. Two batches may be in memory; a
   * value that takes the place of another in the filling one only has to fit in.
   */
  readonly accepts: (key: ByteString, value: Uint8Array) => boolean
  /** Whether a deletion may be made without waiting: always, but while a full generation waits for its commit. */
  readonly acceptsDeletion: (key: ByteString) => boolean
  /** Takes a write. A deletion that is `freeing` may be committed ahead of the rest. */
  readonly write: (key: ByteString, value: PendingWrite, freeing: boolean) => void
  /** Takes a write out of the committing generation, because it is on disk or out of date. */
  readonly remove: (key: ByteString) => void
  /**
   * Makes the filling generation the committing one and gives it; `undefined` when
   * it is empty. There must be no committing one.
   */
  readonly rotate: () => Generation | undefined
  /** Forgets the committing generation: its writes are on disk. */
  readonly forget: () => void
  /** Gives the writes of the committing generation back, under the newer ones. */
  readonly giveBack: () => void
  /** How many distinct keys are pending. */
  readonly size: () => number
  /** The encoded size of all pending writes, in bytes. */
  readonly bytes: () => number
  /** All pending writes, the latest of each key. */
  readonly entries: () => IterableIterator<[ByteString, PendingWrite]>
}

const makeGeneration = (): Generation => ({
  writes: new Map(),
  bytes: 0,
  freeing: new Set(),
  isRequested: false,
  waiting: 0,
  settled: Deferred.makeUnsafe()
})

const bytesOf = (key: ByteString, value: PendingWrite): number => key.length + (value === null ? 0 : value.length)

const add = (generation: Generation, key: ByteString, value: PendingWrite): void => {
  const replaced = generation.writes.get(key)
  if (replaced !== undefined) generation.bytes -= bytesOf(key, replaced)
  generation.writes.set(key, value)
  generation.bytes += bytesOf(key, value)
}

const remove = (generation: Generation, key: ByteString): void => {
  const removed = generation.writes.get(key)
  if (removed === undefined) return
  generation.bytes -= bytesOf(key, removed)
  generation.writes.delete(key)
  generation.freeing.delete(key)
}

/** Puts older writes under those of a generation: they come first and lose. */
const mergeUnder = (older: Generation, into: Generation): void => {
  const newer = [...into.writes]
  into.writes.clear()
  into.bytes = 0
  for (const [key, value] of older.writes) add(into, key, value)
  for (const [key, value] of newer) add(into, key, value)
  const replaced = new Set(newer.map(([key]) => key))
  for (const key of older.freeing) {
    if (!replaced.has(key)) into.freeing.add(key)
  }
}

/** Makes an empty buffer. */
export const make = ({ batchBytes, batchSize }: Limits): WriteBuffer => {
  const generations = Ref.makeUnsafe<Generations>({ filling: makeGeneration(), committing: undefined })
  const current = (): Generations => Ref.getUnsafe(generations)
  const replace = (next: Generations): void => {
    generations.ref.current = next
  }

  const isFull = (): boolean => {
    const { filling } = current()
    return filling.writes.size >= batchSize || filling.bytes >= batchBytes
  }

  const accepts = (key: ByteString, value: Uint8Array): boolean => {
    const { committing, filling } = current()
    const replaced = filling.writes.get(key)
    if (replaced !== undefined) {
      const growth = bytesOf(key, value) - bytesOf(key, replaced)
      if (growth <= 0 || filling.bytes + growth < batchBytes) return true
    }
    if (isFull()) return false
    if (committing === undefined) return true
    return filling.writes.size + committing.writes.size < 2 * batchSize &&
      // One value may be larger than a batch: it is then a batch of its own.
      (filling.bytes === 0 || filling.bytes + committing.bytes < 2 * batchBytes)
  }

  const size = (): number => {
    const { committing, filling } = current()
    if (committing === undefined) return filling.writes.size
    let distinct = committing.writes.size
    for (const key of filling.writes.keys()) {
      if (!committing.writes.has(key)) distinct++
    }
    return distinct
  }

  return {
    filling: () => current().filling,
    committing: () => current().committing,
    get: (key) => {
      const { committing, filling } = current()
      const write = filling.writes.get(key)
      return write === undefined && committing !== undefined ? committing.writes.get(key) : write
    },
    isFull,
    accepts,
    acceptsDeletion: (key) => {
      const { committing, filling } = current()
      if (filling.writes.has(key) || !isFull()) return true
      return committing === undefined && !filling.isRequested
    },
    write: (key, value, freeing) => {
      const { filling } = current()
      add(filling, key, value)
      if (freeing && value === null) filling.freeing.add(key)
      else filling.freeing.delete(key)
    },
    remove: (key) => {
      const { committing } = current()
      if (committing !== undefined) remove(committing, key)
    },
    rotate: () => {
      const { filling } = current()
      if (filling.writes.size === 0) return undefined
      filling.isRequested = true
      replace({ filling: makeGeneration(), committing: filling })
      return filling
    },
    forget: () => replace({ filling: current().filling, committing: undefined }),
    giveBack: () => {
      const { committing, filling } = current()
      if (committing !== undefined) mergeUnder(committing, filling)
      replace({ filling, committing: undefined })
    },
    size,
    bytes: () => {
      const { committing, filling } = current()
      return filling.bytes + (committing?.bytes ?? 0)
    },
    *entries() {
      const { committing, filling } = current()
      if (committing !== undefined) {
        for (const entry of committing.writes) {
          if (!filling.writes.has(entry[0])) yield entry
        }
      }
      yield* filling.writes
    }
  }
}
