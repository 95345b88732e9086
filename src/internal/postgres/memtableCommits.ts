/**
 * Commits the pending writes of a store on a database server.
 *
 * If the outcome of a call is not known, the pending writes in it stay sealed, and the next commit makes the same call
 * again before anything else. So they are never written twice.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { CommitError, EngineFailure } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { updatePending } from "../commit/metrics.ts"
import * as CommitRound from "./commitRound.ts"
import * as PendingLayers from "./pendingLayers.ts"
import * as QueueState from "./queueState.ts"

const notifyWaiters = (
  self: QueueState.CommitQueue,
  memtable: Memtable.Memtable,
  exit: Exit.Exit<void, CommitError>
): Effect.Effect<void> =>
  Effect.andThen(
    updatePending(self.options.metrics, self.options.buffer),
    Effect.sync(() => {
      QueueState.completeLater(memtable.outcome, exit)
      queueMicrotask(() => {
        for (const resume of memtable.waiters) resume(exit)
        memtable.waiters.clear()
      })
    })
  )

/** Keeps and logs the error of a commit that no fiber waits for. */
const reportLater = (self: QueueState.CommitQueue, cause: Cause.Cause<CommitError>): Effect.Effect<void> =>
  Effect.suspend(() => {
    self.unreported = Option.getOrUndefined(Cause.findErrorOption(cause))
    return Effect.logWarning(`A commit of the store ${self.options.path} failed; its writes stay pending`, cause)
  })

/** Ends a commit of pending writes that succeeded. */
const endCommitted = Effect.fnUntraced(
  function*(self: QueueState.CommitQueue, { leftOut, memtable }: QueueState.Sealed, isReported: boolean) {
    self.sealed = undefined
    self.options.buffer.discard()
    self.unreported = undefined
    const lost = CommitRound.leftOutFailure(leftOut)
    if (lost === undefined) return yield* notifyWaiters(self, memtable, Exit.void)
    if (memtable.waiters.size === 0 && !isReported) self.unreported = lost
    yield* Effect.logError(`A commit of the store ${self.options.path} was not complete`, Cause.fail(lost))
    yield* notifyWaiters(self, memtable, Exit.fail(lost))
  }
)

/** Gives the error of a commit to the fibers that wait for writes which it did not begin to commit. */
const failActive = (
  { options: { buffer: { active } } }: QueueState.CommitQueue,
  exit: Exit.Exit<void, CommitError>
): void => {
  if (Memtable.isRequested(active)) active.state = { _tag: "Active" }
  const waiters = [...active.waiters]
  active.waiters.clear()
  queueMicrotask(() => {
    for (const resume of waiters) resume(exit)
  })
}

/** Ends a commit of pending writes that failed. Those whose outcome is not known stay sealed. */
const endFailed = (
  self: QueueState.CommitQueue,
  memtable: Memtable.Memtable,
  cause: Cause.Cause<CommitError>,
  isReported: boolean
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { buffer, layers } = self.options
    if (self.sealed === undefined) {
      buffer.restore()
      PendingLayers.move(layers, memtable, buffer.active)
    } else failActive(self, Exit.failCause(cause))
    const isReceived = isReported || memtable.waiters.size > 0
    return Effect.andThen(
      isReceived ? Effect.void : reportLater(self, cause),
      notifyWaiters(self, memtable, Exit.failCause(cause))
    )
  })

/** Prepares the call that commits a sealed memtable. */
const prepareSealed = Effect.fnUntraced(function*(
  { options: { committing, layers } }: QueueState.CommitQueue,
  memtable: Memtable.Memtable
): Effect.fn.Return<QueueState.Sealed, EngineFailure> {
  const { leftOut, ...unit } = yield* CommitRound.checkPending(committing, memtable.writes)
  const prepared = yield* CommitRound.prepare(committing, [unit])
  PendingLayers.begin(layers, memtable, committing.token)
  return { memtable, prepared, leftOut }
})

/** Commits a sealed memtable, again if a guard of a collection has changed meanwhile. */
const commitSealed = Effect.fnUntraced(function*(
  self: QueueState.CommitQueue,
  memtable: Memtable.Memtable
): Effect.fn.Return<QueueState.Sealed, EngineFailure> {
  const { committing } = self.options
  const sealed = self.sealed ?? (yield* prepareSealed(self, memtable))
  const { failed, made } = yield* CommitRound.commit(committing, sealed.prepared).pipe(
    Effect.catchTag("UnknownOutcome", ({ failure }) => {
      self.sealed = sealed
      return Effect.fail(failure)
    })
  )
  self.sealed = undefined
  if (failed.size > 0) {
    CommitRound.forgetGuards(committing, memtable.writes)
    return yield* commitSealed(self, memtable)
  }
  yield* QueueState.countCommit(self, made)
  return sealed
})

/** Seals the active memtable, unless a sealed one still waits for the outcome of its call. */
const seal = (self: QueueState.CommitQueue): Memtable.Memtable | undefined => {
  const { buffer } = self.options
  if (buffer.flushing !== undefined) return buffer.flushing
  const memtable = buffer.seal(0)
  if (memtable === undefined) return undefined
  QueueState.stopTimer(self)
  QueueState.completeLater(memtable.sealed, Exit.void)
  return memtable
}

/** Commits the pending writes. The caller must have the permit. */
export const flush = (self: QueueState.CommitQueue, isReported: boolean): Effect.Effect<void, CommitError> =>
  Effect.uninterruptible(Effect.suspend((): Effect.Effect<void, CommitError> => {
    const wasSealed = self.sealed !== undefined
    const memtable = seal(self)
    if (memtable === undefined) return Effect.void
    return Effect.matchCauseEffect(QueueState.traced(self, memtable.writes.size, commitSealed(self, memtable)), {
      onSuccess: (sealed) =>
        // The writes that came while the outcome was not known are committed too.
        Effect.andThen(
          endCommitted(self, sealed, isReported),
          wasSealed ? flush(self, isReported) : Effect.void
        ),
      onFailure: (cause) => Effect.andThen(endFailed(self, memtable, cause, isReported), Effect.failCause(cause))
    })
  }))
