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
import type { CommittedChanges, Subscription, SubscriptionOptions } from "../../Backend.ts"
import type { Batch } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { ChangesMissed } from "../../StoreError.ts"
import type { PendingEntry } from "../buffer/writeSet.ts"

/** The writes of a batch, by their databases. */
type WritesByDatabase = ReadonlyMap<string, ReadonlyArray<PendingEntry>>

const noKeys: ReadonlySet<ByteString> = new Set()

/** One subscriber to the changes of a database. */
interface Subscriber {
  readonly options: SubscriptionOptions
  readonly queue: Queue.Queue<CommittedChanges, ChangesMissed | Cause.Done>
  /** How many changes wait for it. */
  waiting: number
}

/** The change feed of a store. */
export interface ChangeFeed {
  readonly path: string
  readonly subscribers: Set<Subscriber>
}

/** Makes the change feed of the store at a path. */
export const make = (path: string): ChangeFeed => ({ path, subscribers: new Set() })

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

/** Gives all subscribers the changes of a committed batch. */
export const publish = (self: ChangeFeed, batch: Batch, transactionId: number): void => {
  if (self.subscribers.size === 0) return
  const databases = groupByDatabase(batch)
  for (const subscriber of self.subscribers) {
    const { contains, database } = subscriber.options
    publishTo(self, subscriber, {
      transactionId,
      isCleared: batch.clear.includes(database),
      writes: (databases.get(database) ?? []).filter(([key]) => contains(key)),
      expired: batch.expired?.get(database) ?? noKeys
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

/** Ends all subscriptions when the store closes. They give the changes that wait first. */
export const end = ({ subscribers }: ChangeFeed): void => {
  for (const subscriber of subscribers) endSubscriber(subscriber)
}
