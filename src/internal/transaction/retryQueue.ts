/**
 * Runs conflicting transactions again: one after the other if they use the same keys.
 *
 * If a thousand transactions that update one key all ran again at once, one would be committed
 * and the others would conflict again. So each waits for the earlier ones that use one of its keys. The
 * turn of a transaction ends when its batch is accepted for the coming commit, or when the transaction ends.
 *
 * The effect of a running transaction may itself wait for a transaction that waits in this queue. So if no transaction
 * has ended for 50 ms, the queue releases the entry that has waited longest. If none ends for another 50 ms, it releases the next two, then four,
 * and so on.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Fork } from "../fork.ts"

/** A transaction that runs again. */
interface Entry {
  /** The qualified keys that its last attempt has read or written. */
  readonly keys: ReadonlyArray<string>
  /** The entries that wait for this one. */
  readonly followers: Set<Entry>
  /** The number of entries that it still waits for. */
  predecessors: number
  /** Whether its turn has ended. */
  hasLeft: boolean
  readonly canRun: Deferred.Deferred<void>
}

/** The queue of the conflicting transactions of a store. */
export interface RetryQueue {
  readonly fork: Fork
  /** The newest entry of each qualified key. */
  readonly newest: Map<string, Entry>
  /** The waiting entries, oldest first. */
  readonly waiting: Set<Entry>
  /** The number of entries that have ended. */
  ended: number
  /** Whether a fiber runs `watch`. */
  isWatched: boolean
}

/** The time without progress after which entries are released. Real time: a `TestClock` must not stop it. */
const patience = Effect.provideService(Effect.sleep("50 millis"), Clock.Clock, Clock.Clock.defaultValue())

/** Makes an empty queue. */
export const make = (fork: Fork): RetryQueue => ({
  fork,
  newest: new Map(),
  waiting: new Set(),
  ended: 0,
  isWatched: false
})

const release = (self: RetryQueue, entry: Entry): void => {
  self.waiting.delete(entry)
  Deferred.doneUnsafe(entry.canRun, Exit.void)
}

/** Releases the `count` oldest entries if none has ended for 50 ms, and twice as many the next time. */
const watch = (self: RetryQueue, count: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const before = self.ended
    return Effect.flatMap(patience, () => {
      const isStuck = self.ended === before
      if (isStuck) { for (const entry of [...self.waiting].slice(0, count)) release(self, entry) }
      self.isWatched = self.waiting.size > 0
      return self.isWatched ? watch(self, isStuck ? 2 * count : 1) : Effect.void
    })
  })

const enter = (self: RetryQueue, keys: ReadonlyArray<string>): Entry => {
  const entry: Entry = { keys, followers: new Set(), predecessors: 0, hasLeft: false, canRun: Deferred.makeUnsafe() }
  for (const key of keys) {
    const before = self.newest.get(key)
    if (before !== undefined && before !== entry && !before.followers.has(entry)) {
      before.followers.add(entry)
      entry.predecessors++
    }
    self.newest.set(key, entry)
  }
  if (entry.predecessors === 0) release(self, entry)
  else self.waiting.add(entry)
  if (self.waiting.size > 0 && !self.isWatched) {
    self.isWatched = true
    self.fork(watch(self, 1))
  }
  return entry
}

/** Ends the turn of an entry. Only the first call does anything. */
const leave = (self: RetryQueue, entry: Entry): void => {
  if (entry.hasLeft) return
  entry.hasLeft = true
  self.ended++
  self.waiting.delete(entry)
  for (const key of entry.keys) {
    if (self.newest.get(key) === entry) self.newest.delete(key)
  }
  for (const follower of entry.followers) {
    follower.predecessors--
    if (follower.predecessors === 0) release(self, follower)
  }
}

/**
 * Runs an effect after the earlier entries that use one of its keys. The effect may end its turn before it ends:
 * when the next transaction can read its writes.
 */
export const inTurn = <A, E, R>(
  self: RetryQueue,
  keys: ReadonlyArray<string>,
  use: (endTurn: () => void) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => enter(self, keys)),
    (entry) =>
      Deferred.await(entry.canRun).pipe(
        // The fiber that ends its turn continues first. Otherwise each turn would run inside the call of the one before it.
        Effect.andThen(Effect.yieldNow),
        Effect.andThen(use(() => leave(self, entry)))
      ),
    (entry) => Effect.sync(() => leave(self, entry))
  )

/** Releases all entries, because the store closes. */
export const close = (self: RetryQueue): void => {
  for (const entry of self.waiting) release(self, entry)
}
