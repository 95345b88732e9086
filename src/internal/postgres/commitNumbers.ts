/**
 * Notices the commits of all processes: those of this process at once, those of other processes by a notification of the
 * server, or when it is asked for the number of the last commit.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { Commit, CommitSubscription } from "../../Backend.ts"
import type { EngineFailure } from "../../StoreError.ts"
import * as ChangeFeed from "../commit/changeFeed.ts"
import type { Server } from "./server.ts"
import * as Snapshots from "./snapshots.ts"
import { inRealTime } from "./sqlFailure.ts"

/** The numbers of the commits of a store. */
export interface CommitNumbers {
  readonly server: Server
  readonly changes: ChangeFeed.ChangeFeed
  /** Whether notifications are used, if the client can listen to them. */
  readonly notifies: boolean
  /** Runs a function when no commit of this process waits for its answer. */
  readonly whenAnswered: (run: () => void) => void
  /** Called with the number of a notification, and without one when the connection that listens has been opened. */
  readonly listeners: Set<(number: number | undefined) => void>
  isListening: boolean
  /** Whether the connection that listens is open. */
  isHearing: boolean
}

/** Makes the numbers of a store. */
export const make = (
  options: Pick<CommitNumbers, "server" | "changes" | "notifies" | "whenAnswered">
): CommitNumbers => ({
  ...options,
  listeners: new Set(),
  isListening: false,
  isHearing: false
})

/** The method `listen` of the client of PostgreSQL, which other clients do not have. */
type Listen = (channel: string) => Effect.Effect<Queue.Dequeue<unknown, unknown>, unknown, Scope.Scope>

const hasListen = (sql: object): sql is { readonly listen: Listen } =>
  Predicate.hasProperty(sql, "listen") && Predicate.isFunction(sql.listen)

/** How often to ask the server for commits while notifications are heard, in milliseconds. */
const pollMillisBesideNotifications = 1000

/** How long to wait before listening again after the connection was lost. Polls notice commits meanwhile. */
const pause = inRealTime(Effect.sleep(Duration.seconds(1)))

const payloadOf = (notification: unknown): number =>
  Predicate.hasProperty(notification, "payload") ? Number(notification.payload) : Number.NaN

/** Listens to notifications until the store closes. Does nothing if the client cannot listen. */
const startListening = (self: CommitNumbers): void => {
  const { notifies, server: { fork, sql, tables } } = self
  if (self.isListening || !notifies || !hasListen(sql)) return
  self.isListening = true
  const listening = Effect.scoped(
    Effect.flatMap(
      sql.listen(tables.channel),
      (queue) => {
        self.isHearing = true
        for (const notice of self.listeners) notice(undefined)
        return Effect.forever(Effect.map(Queue.take(queue), (notification) => {
          const number = payloadOf(notification)
          if (Number.isSafeInteger(number)) { for (const notice of self.listeners) notice(number) }
        }))
      }
    )
  )
  const once = Effect.ensuring(
    Effect.ignore(listening),
    Effect.sync(() => {
      self.isHearing = false
    })
  )
  fork(Effect.forever(Effect.andThen(once, pause)))
}

/** How to subscribe. */
interface SubscribeOptions {
  readonly pollInterval: Duration.Duration
  readonly capacity: number
  /**
   * Whether the subscriber also gets the last number again when the connection that listens was lost: the server may have
   * crashed, and other commits may have got the numbers of those that it lost.
   */
  readonly wakes?: boolean
}

/** Subscribes to the numbers of the commits of all processes, until the scope closes. */
export const subscribe = Effect.fnUntraced(function*(
  self: CommitNumbers,
  { capacity, pollInterval, wakes = false }: SubscribeOptions
): Effect.fn.Return<CommitSubscription, EngineFailure, Scope.Scope> {
  const { changes, listeners, server } = self
  const queue = yield* Queue.sliding<Commit, EngineFailure | Cause.Done>(capacity)
  let seen = yield* Snapshots.lastNumber(server)
  const offer = (transactionId: number, isOwn: boolean) => {
    seen = Math.max(seen, transactionId)
    Queue.offerUnsafe(queue, { transactionId, isOwn })
  }
  const offerForeign = (transactionId: number) => {
    if (transactionId > seen) offer(transactionId, false)
  }
  // A commit of this process may be noticed before its answer comes.
  const noticed = (transactionId: number | undefined) => {
    if (transactionId === undefined) {
      if (wakes) offer(seen, false)
    } else if (transactionId > seen) self.whenAnswered(() => offerForeign(transactionId))
  }
  const committed = (transactionId: number) => {
    // Numbers have no gaps.
    offerForeign(transactionId - 1)
    offer(transactionId, true)
  }
  const end = () => void Queue.endUnsafe(queue)
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const forget = ChangeFeed.listen(changes, { onCommitted: committed, onEnd: end })
      listeners.add(noticed)
      startListening(self)
      return () => {
        forget()
        listeners.delete(noticed)
      }
    }),
    (forget) => Effect.andThen(Effect.sync(forget), Queue.shutdown(queue))
  )
  let unseenMillis = 0
  // Notifications tell of nearly all commits. So polls are rare while they can be heard.
  const look = Effect.suspend(() => {
    unseenMillis += Duration.toMillis(pollInterval)
    if (self.isHearing && unseenMillis < pollMillisBesideNotifications) return Effect.void
    unseenMillis = 0
    const before = seen
    return Effect.map(Snapshots.lastNumber(server), (last) => {
      if (last >= before) return noticed(last)
      // The server has lost commits. The next ones get their numbers again.
      seen = last
      offer(last, false)
    })
  })
  yield* Effect.forkScoped(
    Effect.onExit(
      Effect.forever(Effect.andThen(Effect.sleep(pollInterval), look)),
      (exit) => Effect.sync(() => Exit.isFailure(exit) ? Queue.failCauseUnsafe(queue, exit.cause) : false)
    )
  )
  return { take: Queue.take(queue), end }
})
