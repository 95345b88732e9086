/**
 * Tells subscribers what was committed, in the order of the commits.
 *
 * Whoever commits never waits for a subscriber. One that lags behind by more than
 * its capacity is told so, and gets no more.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { CommittedChanges, Subscription, SubscriptionOptions } from "../../Backend.ts"
import type { Batch } from "../../Engine.ts"
import { ChangesMissed } from "../../StoreError.ts"
import type { PendingEntry } from "../buffer/writeSet.ts"

/** The changes of a store. */
export interface Changes {
  /** Tells all subscribers of a transaction. */
  readonly publish: (batch: Batch, transactionId: number) => void
  /** Subscribes until the scope closes. */
  readonly subscribe: (options: SubscriptionOptions) => Effect.Effect<Subscription, never, Scope.Scope>
  /** Ends all subscriptions, for the store closes. */
  readonly end: () => void
}

type Publish = (database: ReadonlyMap<string, ReadonlyArray<PendingEntry>>, batch: Batch, transactionId: number) => void

interface Subscriber {
  readonly publish: Publish
  readonly end: () => void
}

const byDatabase = (batch: Batch): ReadonlyMap<string, ReadonlyArray<PendingEntry>> => {
  const databases = new Map<string, Array<PendingEntry>>()
  for (const [database, key, write] of batch.writes) {
    const entries = databases.get(database)
    if (entries === undefined) databases.set(database, [[key, write]])
    else entries.push([key, write])
  }
  return databases
}

/** Makes the changes of the store at a path. */
export const make = (path: string): Changes => {
  const subscribers = new Set<Subscriber>()

  const subscribe = Effect.fnUntraced(function*({ capacity, contains, database }: SubscriptionOptions) {
    const queue = yield* Queue.unbounded<CommittedChanges, ChangesMissed | Cause.Done>()
    let waiting = 0
    const publish: Publish = (databases, batch, transactionId) => {
      const isCleared = batch.clear.includes(database)
      const writes = (databases.get(database) ?? []).filter(([key]) => contains(key))
      if (!isCleared && writes.length === 0) return
      const size = writes.length + (isCleared ? 1 : 0)
      if (waiting > 0 && waiting + size > capacity) {
        subscribers.delete(subscriber)
        Queue.failCauseUnsafe(queue, Cause.fail(new ChangesMissed({ path, capacity })))
        return
      }
      waiting += size
      Queue.offerUnsafe(queue, { transactionId, isCleared, writes })
    }
    const subscriber: Subscriber = { publish, end: () => void Queue.endUnsafe(queue) }
    yield* Effect.acquireRelease(
      Effect.sync(() => subscribers.add(subscriber)),
      () => Effect.andThen(Effect.sync(() => subscribers.delete(subscriber)), Queue.shutdown(queue))
    )
    const subscription: Subscription = {
      take: Effect.tap(Queue.take(queue), ({ isCleared, writes }) =>
        Effect.sync(() => {
          waiting -= writes.length + (isCleared ? 1 : 0)
        })),
      end: subscriber.end
    }
    return subscription
  })

  return {
    publish: (batch, transactionId) => {
      if (subscribers.size === 0) return
      const databases = byDatabase(batch)
      for (const subscriber of subscribers) subscriber.publish(databases, batch, transactionId)
    },
    subscribe,
    end: () => {
      for (const subscriber of subscribers) subscriber.end()
    }
  }
}
