/**
 * Notices the commits of all processes: its own at once, and those of other processes by polling the engine for the
 * number of its last transaction.
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { Commit, CommitSubscription, CommittedSnapshot } from "../../Backend.ts"
import type { Environment, Snapshot } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import * as ChangeFeed from "./changeFeed.ts"

/** The parts of the backend that notice commits. */
export interface CommitEvents {
  readonly changes: ChangeFeed.ChangeFeed
  readonly environment: Environment
  /** Whether other processes can commit. */
  readonly hasOtherWriters: boolean
  /** Runs an effect while the file can be read. */
  readonly whileReadable: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** A snapshot of the engine, whose reads end at once. */
export interface EngineSnapshot extends Snapshot {
  readonly transactionId: number
}

/** Opens a snapshot of the engine. */
const open = ({ environment }: CommitEvents): Exit.Exit<EngineSnapshot, EngineFailure> =>
  // The number is read first, so that the snapshot includes at least this transaction.
  Settled.flatMap(environment.transactionId(), (transactionId) =>
    Settled.map(environment.snapshot(), (opened) => ({ ...opened, transactionId })))

/** Opens a snapshot whose number is exactly that of the last transaction in it. Call it while no commit runs. */
export const snapshot = (self: CommitEvents): Effect.Effect<CommittedSnapshot, EngineFailure> =>
  self.whileReadable(Effect.suspend(() => open(self))).pipe(
    Effect.flatMap((opened) =>
      Settled.flatMap(self.environment.transactionId(), (transactionId) => {
        if (transactionId === opened.transactionId) return Effect.succeed(opened)
        // Another process committed meanwhile.
        opened.release()
        return snapshot(self)
      })
    ),
    Effect.uninterruptible
  )

/** Reads from a snapshot of the engine, and releases it. */
export const withSnapshot = <A, E>(
  self: CommitEvents,
  use: (snapshot: EngineSnapshot) => Effect.Effect<A, E>
): Effect.Effect<A, E | EngineFailure> =>
  self.whileReadable(
    Effect.acquireUseRelease(Effect.suspend(() => open(self)), use, ({ release }) => Effect.sync(release))
  )

/** The options of a subscription to commits. */
export interface CommitEventsOptions {
  readonly pollInterval: Duration.Duration
  /** The maximum number of waiting commits. If there are more, the oldest are dropped. */
  readonly capacity: number
}

/** Looks for commits of other processes until the subscription ends. */
const poll = Effect.fnUntraced(function*(
  { environment, whileReadable }: CommitEvents,
  pollInterval: Duration.Duration,
  noticed: (transactionId: number) => void
): Effect.fn.Return<never, EngineFailure> {
  const look = whileReadable(Effect.suspend(environment.transactionId))
  return yield* Effect.forever(Effect.andThen(Effect.sleep(pollInterval), Effect.map(look, noticed)))
})

/** Subscribes to the numbers of the transactions of all processes, until the scope closes. */
export const subscribe = Effect.fnUntraced(function*(
  self: CommitEvents,
  { capacity, pollInterval }: CommitEventsOptions
): Effect.fn.Return<CommitSubscription, EngineFailure, Scope.Scope> {
  const { changes, environment, hasOtherWriters, whileReadable } = self
  const queue = yield* Queue.sliding<Commit, EngineFailure | Cause.Done>(capacity)
  let seen = yield* whileReadable(Effect.suspend(environment.transactionId))
  const offer = (transactionId: number, isOwn: boolean) => {
    seen = Math.max(seen, transactionId)
    Queue.offerUnsafe(queue, { transactionId, isOwn })
  }
  const noticed = (transactionId: number) => {
    if (transactionId > seen) offer(transactionId, false)
  }
  const committed = (transactionId: number) => {
    // LMDB numbers its transactions without gaps.
    if (hasOtherWriters) noticed(transactionId - 1)
    offer(transactionId, true)
  }
  const end = () => void Queue.endUnsafe(queue)
  yield* Effect.acquireRelease(
    Effect.sync(() => ChangeFeed.listen(changes, { onCommitted: committed, onEnd: end })),
    (forget) => Effect.andThen(Effect.sync(forget), Queue.shutdown(queue))
  )
  if (hasOtherWriters) {
    yield* Effect.forkScoped(
      Effect.onExit(
        poll(self, pollInterval, noticed),
        (exit) => Effect.sync(() => Exit.isFailure(exit) ? Queue.failCauseUnsafe(queue, exit.cause) : false)
      )
    )
  }
  return { take: Queue.take(queue), end }
})
