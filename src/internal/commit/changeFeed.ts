/**
 * The change feed: gives subscribers the committed changes, in the order of the commits.
 *
 * A commit never waits for a subscriber. A subscriber for which more changes wait than its capacity
 * fails with `ChangesMissed` after those, and gets no more.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { CommittedChanges, CommittedWrite, Subscription, SubscriptionOptions } from "../../Backend.ts"
import type { Batch } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { ChangesMissed } from "../../StoreError.ts"
import type { PendingEntry } from "../buffer/writeSet.ts"
import * as ValuesBefore from "./valuesBefore.ts"

/** The writes of a batch, by their databases. */
type WritesByDatabase = ReadonlyMap<string, ReadonlyArray<PendingEntry>>

/** One subscriber to the changes of a database. */
interface Subscriber {
  readonly options: SubscriptionOptions
  readonly queue: Queue.Queue<CommittedChanges, ChangesMissed | Cause.Done>
  /** How many changes wait for it. */
  waiting: number
}

/** Callbacks that run after every commit, whatever it changed, and when the store closes. */
interface Listener {
  readonly onCommitted: (transactionId: number) => void
  readonly onEnd: () => void
}

/** The change feed of a store. */
export interface ChangeFeed {
  readonly path: string
  readonly subscribers: Set<Subscriber>
  readonly listeners: Set<Listener>
}

/** Makes the change feed of the store at a path. */
export const make = (path: string): ChangeFeed => ({ path, subscribers: new Set(), listeners: new Set() })

/** Adds a listener, and returns the function that removes it. */
export const listen = ({ listeners }: ChangeFeed, listener: Listener): () => void => {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

const detailFor = ({ options: { before = "nothing" } }: Subscriber): ValuesBefore.Detail => before

/** Whether a subscriber needs the values before a transaction. */
export const needsBefore = ({ subscribers }: ChangeFeed): boolean => {
  for (const subscriber of subscribers) if (detailFor(subscriber) !== "nothing") return true
  return false
}

/** What the subscribers to a key need to know of the value before a transaction. */
export const detailOf = ({ subscribers }: ChangeFeed, database: string, key: ByteString): ValuesBefore.Detail => {
  let detail: ValuesBefore.Detail = "nothing"
  for (const subscriber of subscribers) {
    const { options } = subscriber
    if (options.database === database && options.contains(key)) {
      detail = ValuesBefore.moreDetailed(detail, detailFor(subscriber))
    }
  }
  return detail
}

const sizeOf = ({ isCleared, writes }: CommittedChanges): number => writes.length + (isCleared ? 1 : 0)

const groupByDatabase = ({ writes }: Batch): WritesByDatabase => {
  const databases = new Map<string, Array<PendingEntry>>()
  for (const [database, key, write] of writes) {
    const entries = databases.get(database)
    if (entries === undefined) databases.set(database, [[key, write]])
    else entries.push([key, write])
  }
  return databases
}

/** Gives one subscriber its changes of a batch, or ends it if too many wait. */
const publishTo = ({ path, subscribers }: ChangeFeed, subscriber: Subscriber, changes: CommittedChanges): void => {
  const { options: { capacity }, queue } = subscriber
  const size = sizeOf(changes)
  if (size === 0) return
  if (subscriber.waiting > 0 && subscriber.waiting + size > capacity) {
    subscribers.delete(subscriber)
    Queue.failCauseUnsafe(queue, Cause.fail(new ChangesMissed({ path, capacity })))
    return
  }
  subscriber.waiting += size
  Queue.offerUnsafe(queue, changes)
}

const nothingBefore: ValuesBefore.ValuesBefore = new Map()

/** Gives all subscribers the changes of a committed batch. `before` has the values before it that they need. */
export const publish = (
  self: ChangeFeed,
  batch: Batch,
  transactionId: number,
  before: ValuesBefore.ValuesBefore = nothingBefore
): void => {
  for (const { onCommitted } of self.listeners) onCommitted(transactionId)
  if (self.subscribers.size === 0) return
  const databases = groupByDatabase(batch)
  for (const subscriber of self.subscribers) {
    const { contains, database } = subscriber.options
    const detail = detailFor(subscriber)
    const toWrite = ([key, write]: PendingEntry): CommittedWrite =>
      detail === "nothing" ? [key, write] : [key, write, ValuesBefore.beforeOf(before, database, key, detail)]
    publishTo(self, subscriber, {
      transactionId,
      isCleared: batch.clear.includes(database),
      writes: (databases.get(database) ?? []).filter(([key]) => contains(key)).map(toWrite),
      expired: ValuesBefore.expiredKeys(batch, database)
    })
  }
}

const endSubscriber = ({ queue }: Subscriber): void => {
  Queue.endUnsafe(queue)
}

/** Subscribes to committed changes, until the scope closes. */
export const subscribe: (
  self: ChangeFeed,
  options: SubscriptionOptions
) => Effect.Effect<Subscription, never, Scope.Scope> = Effect.fnUntraced(function*({ subscribers }, options) {
  const queue = yield* Queue.unbounded<CommittedChanges, ChangesMissed | Cause.Done>()
  const subscriber: Subscriber = { options, queue, waiting: 0 }
  yield* Effect.acquireRelease(
    Effect.sync(() => subscribers.add(subscriber)),
    () => Effect.andThen(Effect.sync(() => subscribers.delete(subscriber)), Queue.shutdown(queue))
  )
  return {
    take: Effect.tap(Queue.take(queue), (changes) =>
      Effect.sync(() => {
        subscriber.waiting -= sizeOf(changes)
      })),
    end: () => endSubscriber(subscriber)
  }
})

/** Ends all subscriptions when the store closes. Subscribers first receive the changes that wait. */
export const end = ({ listeners, subscribers }: ChangeFeed): void => {
  for (const subscriber of subscribers) endSubscriber(subscriber)
  for (const { onEnd } of listeners) onEnd()
}
