/**
 * Gives elements to the fibers that wait for them.
 *
 * One fiber claims for all of them: it looks at the queues in which fibers wait, claims as many elements as fibers wait in
 * one transaction, and hands them over. While nothing is due, it sleeps until the next element is, or until a
 * commit may have changed that.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import { PersistedQueueError } from "effect/persistence/PersistedQueue"
import * as Schedule from "effect/Schedule"
import type { PollOptions } from "../../Change.ts"
import type { Closed, EngineFailure, KeyEncoding } from "../../StoreError.ts"
import * as Damage from "./damage.ts"
import * as EndedClaims from "./endedClaims.ts"
import { followCommits } from "./followCommits.ts"
import type { Element } from "./queueElements.ts"
import * as QueueElements from "./queueElements.ts"
import type { Claim, QueueLeases } from "./queueLeases.ts"
import * as Leases from "./queueLeases.ts"
import { storageKey } from "./storageKey.ts"

/** A fiber that waits for an element. */
interface Waiter {
  readonly handover: Deferred.Deferred<Claim, PersistedQueueError>
  /** The claim that it was given. The fiber may be interrupted before it goes on. */
  claim: Claim | undefined
}

/** A queue in which fibers wait. */
interface WaitingQueue {
  readonly name: string
  readonly key: string
  /** The fibers, in the order in which they began to wait. */
  readonly waiters: Set<Waiter>
  /** The maximum number of attempts, as the last `take` gave it. */
  maxAttempts: number
}

export interface QueueDispatcher {
  readonly leases: QueueLeases
  /** The queues in which fibers wait, by `storageKey` of their names. */
  readonly queues: Map<string, WaitingQueue>
  /** The elements that are not stored under their own keys: their keys are damaged. They are not claimed. */
  readonly misplaced: Set<string>
  /** Opened when the queues are to be looked at again. */
  readonly wake: Latch.Latch
  /** The error of all later takes, when the dispatcher has ended. */
  ended: PersistedQueueError | undefined
}

export const make = (leases: QueueLeases): QueueDispatcher => ({
  leases,
  queues: new Map(),
  misplaced: new Set(),
  wake: Latch.makeUnsafe(false),
  ended: undefined
})

/** The most elements of a queue that a transaction claims. */
const mostClaims = 1000

/** The longest sleep in milliseconds. If the system clock is set, no element comes later than that. */
const longestSleep = 60_000

const takeFailed = (cause: unknown, queue?: string): PersistedQueueError =>
  new PersistedQueueError({
    message: queue === undefined
      ? "Cannot take an element: the store has closed, or the layer of its queues has"
      : `Failed to take an element from the queue "${queue}"`,
    cause
  })

/** Fails all fibers that wait. A fiber may wait again at once, so all are removed before the first one goes on. */
const failAll = (self: QueueDispatcher, errorOf: (queue: string) => PersistedQueueError): void => {
  const queues = [...self.queues.values()]
  self.queues.clear()
  for (const { name, waiters } of queues) {
    for (const { handover } of waiters) Deferred.doneUnsafe(handover, Effect.fail(errorOf(name)))
  }
}

/** Fails all fibers that wait, and every later `take`. */
const end = (self: QueueDispatcher, error: PersistedQueueError): void => {
  self.ended = error
  failAll(self, () => error)
}

const removeWaiter = (self: QueueDispatcher, queue: WaitingQueue, waiter: Waiter): void => {
  queue.waiters.delete(waiter)
  if (queue.waiters.size === 0 && self.queues.get(queue.key) === queue) self.queues.delete(queue.key)
}

/**
 * Waits for an element of a queue. To be called uninterruptibly, so that no claim is lost: only the waiting is
 * interruptible, by `restore`.
 */
export const take = Effect.fnUntraced(function*(
  self: QueueDispatcher,
  options: { readonly name: string; readonly maxAttempts: number },
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
) {
  if (self.ended !== undefined) return yield* self.ended
  const key = storageKey(options.name)
  const queue = self.queues.get(key) ??
    { name: options.name, key, waiters: new Set<Waiter>(), maxAttempts: options.maxAttempts }
  const waiter: Waiter = { handover: Deferred.makeUnsafe(), claim: undefined }
  queue.maxAttempts = options.maxAttempts
  queue.waiters.add(waiter)
  self.queues.set(key, queue)
  self.wake.openUnsafe()
  const exit = yield* Effect.exit(restore(Deferred.await(waiter.handover)))
  if (Exit.isFailure(exit)) {
    removeWaiter(self, queue, waiter)
    if (waiter.claim !== undefined) yield* Leases.giveBack(self.leases, waiter.claim)
  }
  return yield* exit
})

/** Gives a claim to the fiber that has waited longest; false if none waits any more. */
const handOver = (self: QueueDispatcher, claim: Claim): boolean => {
  const queue = self.queues.get(claim.key[0])
  const waiter = queue?.waiters.values().next().value
  if (queue === undefined || waiter === undefined) return false
  removeWaiter(self, queue, waiter)
  waiter.claim = claim
  Deferred.doneUnsafe(waiter.handover, Effect.succeed(claim))
  return true
}

/** What a look at a queue has found. */
interface Found {
  readonly queue: WaitingQueue
  /** What can be claimed, in order, at most one for each waiting fiber. */
  readonly claimable: ReadonlyArray<Element>
  /** When the next element can be claimed, if none can be now. */
  readonly next: number
}

/** Tells an element from a later one with the same id. */
const placeOf = (element: Element): string => JSON.stringify([QueueElements.keyOf(element), element.sequence])

const isUnleased = ({ lease, state }: Element): boolean => state === "pending" && lease === undefined

const isLeased = ({ lease, state }: Element): boolean => state === "pending" && lease !== undefined

/** Returns from when on an element can be claimed. */
const claimableAt = ({ lease, visibleAt }: Element): number => Math.max(visibleAt, lease?.until ?? visibleAt)

/** Finds what can be claimed from a queue. It reads outside of transactions, so an offer does not conflict with a claim. */
const look = Effect.fnUntraced(function*(
  self: QueueDispatcher,
  queue: WaitingQueue,
  now: number
): Effect.fn.Return<Found, KeyEncoding | Closed | EngineFailure> {
  const { due, leased } = self.leases.elements.indexes
  const prefix = [queue.key] as const
  const first = (index: typeof due, count: number, holds: (element: Element) => boolean) =>
    Damage.first(self.leases.damage, {
      read: (limit) => index.collect({ prefix, limit, undecodable: "result" }),
      wanted: count,
      holds: (element) => holds(element) && !self.misplaced.has(placeOf(element)),
      // A damaged element is skipped, so that it does not stop its queue.
      consequence: `An element of the queue "${queue.name}" is damaged and will not be taken`
    })

  // One more than can be claimed says when the next is due. Few leases have ended, mostly none.
  const wanted = Math.min(queue.waiters.size, mostClaims)
  const pending = yield* first(due, wanted + 1, isUnleased)
  const [firstLeased] = yield* first(leased, 1, isLeased)
  const isLapsed = firstLeased !== undefined && claimableAt(firstLeased) <= now
  const withLease = isLapsed
    ? (yield* first(leased, mostClaims, isLeased)).filter((element) => !hasHandler(self, element))
    : [firstLeased ?? []].flat()
  const found = [...pending, ...withLease]
  return {
    queue,
    claimable: found.filter((element) => claimableAt(element) <= now).toSorted(QueueElements.inOrder).slice(0, wanted),
    next: Math.min(...found.map(claimableAt))
  }
})

/**
 * Tells whether a handler of this process has the element. If its lease has ended, the process was stopped for a while:
 * the lease is renewed soon, unless another process claims the element first.
 */
const hasHandler = ({ leases }: QueueDispatcher, { lease }: Element): boolean =>
  lease !== undefined && Leases.isHeld(leases, lease.token)

/**
 * Leaves out an element from now on that is not stored under its own key, unless it was deleted since the look: then the
 * indexes do not have it any more.
 */
const reportMisplaced = Effect.fnUntraced(function*(self: QueueDispatcher, element: Element) {
  const { due, leased } = self.leases.elements.indexes
  const { lease, sequence, visibleAt } = element
  const [queue] = QueueElements.keyOf(element)
  const isThere = yield* lease === undefined
    ? due.has([queue, visibleAt, sequence])
    : leased.has([queue, lease.until, sequence])
  if (!isThere || self.misplaced.has(placeOf(element))) return
  self.misplaced.add(placeOf(element))
  yield* Effect.logError(
    `The element ${
      JSON.stringify(element.id)
    } of the queue "${element.queue}" has a damaged key and will not be taken. ` +
      "Offer it again: its id is free"
  )
})

const leaseEnded = "The lease has ended in the last attempt: its worker has stopped, or the store has."

/** Claims what was found, in one transaction. Elements whose attempts are used up fail. Durable when it returns. */
const claimAll = (self: QueueDispatcher, all: ReadonlyArray<Found>) =>
  self.leases.store.withTransaction(Effect.gen(function*() {
    const { leases } = self
    const now = yield* Clock.currentTimeMillis
    const keys = all.flatMap(({ claimable, queue: { maxAttempts } }) =>
      claimable.map((seen) => ({ key: QueueElements.keyOf(seen), maxAttempts, seen }))
    )
    const { found } = yield* leases.elements.getMany(keys.map(({ key }) => key))
    const claims: Array<Claim> = []
    const writes: Array<readonly [QueueElements.Key, Element]> = []
    for (const { key, maxAttempts, seen } of keys) {
      const element = found.get(key)
      if (element?.sequence !== seen.sequence) {
        yield* reportMisplaced(self, seen)
        continue
      }
      // Another process may have claimed the element since the look.
      if (!QueueElements.isClaimable(element, now)) continue
      if (element.attempts >= maxAttempts) {
        writes.push([key, QueueElements.fail(element, now, element.lastFailure ?? leaseEnded)])
        continue
      }
      const [claim, claimed] = Leases.makeClaim(leases, element, now)
      claims.push(claim)
      writes.push([key, claimed])
    }
    yield* leases.elements.putMany(writes)
    if (leases.store.opening.knowsEnds && !leases.isNoted) yield* leases.openings.put(leases.store.opening.id, now)
    return claims
  }))

/** Claims what was found. Each claim is handed over; if no fiber waits for it any more, it is given back. */
const claimAndHandOver = (self: QueueDispatcher, all: ReadonlyArray<Found>) =>
  Effect.uninterruptible(Effect.gen(function*() {
    const claims = yield* claimAll(self, all)
    self.leases.isNoted = true
    for (const claim of claims) self.leases.held.set(claim.token, claim)
    const left = claims.filter((claim) => !handOver(self, claim))
    yield* Effect.forEach(left, (claim) => Leases.giveBack(self.leases, claim), {
      concurrency: "unbounded",
      discard: true
    })
  }))

/** Looks at all queues once. Returns when the next element is due, in milliseconds; 0 if one may be due now. */
const dispatch = Effect.fnUntraced(function*(self: QueueDispatcher) {
  const now = yield* Clock.currentTimeMillis
  const all = yield* Effect.forEach([...self.queues.values()], (queue) => look(self, queue, now))
  if (all.some(({ claimable }) => claimable.length > 0)) {
    yield* claimAndHandOver(self, all)
    return 0
  }
  return Math.min(...all.map(({ next }) => next))
})

/** Sleeps until a time, or until the dispatcher is woken. */
const sleepUntil = (self: QueueDispatcher, time: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    time <= now
      ? Effect.void
      : Effect.raceFirst(self.wake.await, Effect.sleep(Math.min(longestSleep, time - now))))

/** Frees the claims of processes that have ended, and then gives elements to those that wait, until the store closes. */
export const run = (self: QueueDispatcher): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* EndedClaims.free(self.leases)
    while (true) {
      // Closed before the look: a change after the look opens the latch again.
      self.wake.closeUnsafe()
      yield* sleepUntil(self, yield* dispatch(self))
      // Fibers that go on at the same time can all begin to wait before the next look.
      yield* Effect.yieldNow
    }
  }).pipe(
    Effect.tapError((error) => onFailure(self, error)),
    Effect.retry({ schedule: Schedule.spaced(500), while: ({ _tag }) => _tag !== "Closed" }),
    Effect.ignore,
    Effect.withTracerEnabled(false)
  )

/** Fails the waiting fibers if the store is closed or read-only. After any other error they go on waiting. */
const onFailure = (
  self: QueueDispatcher,
  error: Error & { readonly _tag: string }
): Effect.Effect<void> => {
  if (error._tag === "Closed") return Effect.sync(() => end(self, takeFailed(error)))
  if (error._tag === "ReadOnly") return Effect.sync(() => failAll(self, (queue) => takeFailed(error, queue)))
  return Effect.logWarning("Failed to claim elements of persisted queues", error)
}

/** Wakes the dispatcher after each commit that may make an element due, until the store closes. */
export const follow = (self: QueueDispatcher, pollOptions: PollOptions): Effect.Effect<void> => {
  const { damage, elements, store } = self.leases
  return followCommits({
    store,
    pollOptions,
    changes: elements.changes(),
    onChange: (keys) => {
      if (keys === undefined || keys.some(([queue]) => self.queues.has(queue))) self.wake.openUnsafe()
    },
    damage,
    consequence: "The key of an element of a queue is damaged. No `take` gives the element"
  }).pipe(
    Effect.matchEager({
      onFailure: (error) => end(self, takeFailed(error)),
      onSuccess: () => end(self, takeFailed(undefined))
    })
  )
}

/** Ends the dispatcher with its layer. */
export const close = (self: QueueDispatcher): Effect.Effect<void> => Effect.sync(() => end(self, takeFailed(undefined)))
