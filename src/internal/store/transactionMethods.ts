/**
 * Runs effects as transactions, for one handle.
 *
 * A transaction reads a snapshot, and only its own reads see its writes. After its effect has
 * succeeded, its writes are committed if everything that it has read is unchanged. Otherwise the
 * effect runs again. Committed transactions are serializable, in the order of their commits.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type { CommitRequest } from "../../Backend.ts"
import { type Closed, type CommitError, type EngineFailure, TransactionConflict } from "../../StoreError.ts"
import { WriteSet } from "../buffer/writeSet.ts"
import * as CallArguments from "../key/callArguments.ts"
import { useSpan } from "../privateSpan.ts"
import * as RetryQueue from "../transaction/retryQueue.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = StoreAccess.StoreAccess

/** The errors of a transaction, besides those of its effect. */
export type TransactionError = TransactionConflict | CommitError | Closed

/** The error of an attempt that conflicts with what other fibers or processes have written. */
class Conflict {
  readonly _tag = "Conflict"
  /** The qualified keys that it has read or written. */
  readonly keys: ReadonlyArray<string>
  /** Whether its snapshot was outdated before it had read everything. */
  readonly isOutdated: boolean

  constructor(keys: ReadonlyArray<string>, isOutdated = false) {
    this.keys = keys
    this.isOutdated = isOutdated
  }
}

/** Runs one attempt of a transaction, and ends it. */
const runAttempt = <A, E, R>(
  { handle: { core } }: Access,
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  transaction: Transaction.Transaction
): Effect.Effect<A, E, R> =>
  Effect.provideContext(effect, Transaction.enter(fiber, core, transaction)).pipe(
    Effect.ensuring(Effect.sync(() => Transaction.end(transaction)))
  )

/** Runs attempts until one does not conflict, or the schedule ends. */
const retrying = <A, E, R>(
  { handle: { options: { path } } }: Access,
  makeAttempt: (number: number) => Effect.Effect<A, E | Conflict, R>,
  schedule: Schedule.Schedule<unknown>
): Effect.Effect<A, E | TransactionConflict, R> =>
  Effect.suspend(() => {
    let attempts = 0
    const attempt = Effect.suspend(() => makeAttempt(attempts++))
    return Effect.retry(attempt, { schedule, while: (error) => error instanceof Conflict }).pipe(
      Effect.catch((error): Effect.Effect<never, E | TransactionConflict> =>
        Effect.fail(error instanceof Conflict ? new TransactionConflict({ path, attempts }) : error)
      )
    )
  })

// ---------------------------------------------------------------------------
// at the top level
// ---------------------------------------------------------------------------

/** Fails because an attempt is in conflict. */
const conflict = (
  { handle: { core } }: Access,
  transaction: Transaction.RootTransaction
): Effect.Effect<never, Conflict> =>
  Effect.suspend(() =>
    Effect.andThen(
      Metric.update(core.metrics.conflicts, 1),
      Effect.fail(new Conflict(Transaction.qualifiedKeys(transaction), transaction.isOutdated()))
    )
  )

/**
 * Runs an attempt. If its snapshot is outdated, the attempt is in conflict, whatever it returns. The reads of such an
 * attempt interrupt its fiber. An interruption from elsewhere must still end the fiber, so the region is entered again.
 */
const runRootAttempt = <A, E, R>(
  self: Access,
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  transaction: Transaction.RootTransaction
): Effect.Effect<A, E | Conflict, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.exit(restore(runAttempt(self, effect, fiber, transaction))),
      (exit): Effect.Effect<A, E | Conflict> => transaction.isOutdated() ? restore(conflict(self, transaction)) : exit
    )
  )

/** Commits writes and the reads of an attempt, or fails with `Conflict`. */
const commit = (
  self: Access,
  transaction: Transaction.RootTransaction,
  request: Omit<CommitRequest, "reads">
): Effect.Effect<void, CommitError | Closed | Conflict> => {
  const { reads } = transaction
  const committed = reads.isTorn ? Effect.succeed(false) : StoreAccess.submit(self, { ...request, reads })
  return Effect.flatMap(committed, (isCommitted) => isCommitted ? Effect.void : conflict(self, transaction))
}

/** The first attempt. It reads what is committed or pending. */
const attemptFirst = <A, E, R>(
  self: Access,
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>
): Effect.Effect<A, E | CommitError | Closed | Conflict, R> =>
  Effect.suspend(() => {
    const { core } = self.handle
    const transaction = Transaction.begin({
      definitions: core.definitions,
      openSnapshot: () => core.openTransactionSnapshot({ isFirst: true, isHeld: false })
    })
    const { writes } = transaction
    const isPermitted = () => Transaction.isPermitted(transaction)
    return Effect.tap(
      runRootAttempt(self, effect, fiber, transaction),
      () => writes.isEmpty ? Effect.void : commit(self, transaction, { writes, isPermitted })
    )
  })

/**
 * An attempt after a conflict. It reads the state that the running commits will leave, so that it can be part of the next
 * commit. That state may be tentative. If it is, neither a failure nor the result of an attempt without writes counts
 * until a commit has validated the reads of the attempt.
 */
const attemptAgain = <A, E, R>(
  self: Access,
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  { isHeld, priority }: { readonly priority: number; readonly isHeld: boolean },
  endTurn: () => void
): Effect.Effect<A, E | CommitError | Closed | Conflict, R> =>
  Effect.suspend(() => {
    const { core } = self.handle
    const transaction = Transaction.begin({
      definitions: core.definitions,
      openSnapshot: () => core.openTransactionSnapshot({ isFirst: false, isHeld })
    })
    const { isTentative, writes } = transaction
    const isPermitted = () => Transaction.isPermitted(transaction)
    const commitAgain = (request: Omit<CommitRequest, "reads">) =>
      commit(self, transaction, { ...request, priority, onAccepted: endTurn })
    return Effect.matchCauseEffect(runRootAttempt(self, effect, fiber, transaction), {
      onFailure: (cause) =>
        isTentative() && !Cause.hasInterruptsOnly(cause)
          ? Effect.andThen(commitAgain({ writes: new WriteSet() }), Effect.failCause(cause))
          : Effect.failCause(cause),
      onSuccess: (result) =>
        isTentative() || !writes.isEmpty
          ? Effect.as(commitAgain({ writes, isPermitted }), result)
          : Effect.succeed(result)
    })
  })

/** Runs attempts at the top level until one is committed, or the schedule ends. */
const runOutermost = <A, E, R>(
  self: Access,
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  retry: Schedule.Schedule<unknown>,
  onAttempt: (number: number) => void = constVoid
): Effect.Effect<A, E | TransactionError, R> => {
  const { core } = self.handle
  return Effect.suspend(() => {
    let keys: ReadonlyArray<string> = []
    let isHeld = false
    const again = (priority: number) =>
      RetryQueue.inTurn(
        core.retryQueue,
        keys,
        (endTurn) => attemptAgain(self, effect, fiber, { priority, isHeld }, endTurn)
      )
    const attempt = (number: number): Effect.Effect<A, E | CommitError | Closed | Conflict, R> => {
      onAttempt(number)
      return (number === 0 ? attemptFirst(self, effect, fiber) : again(number)).pipe(
        Effect.tapError((error) =>
          Effect.sync(() => {
            if (!(error instanceof Conflict)) return
            // Most transactions whose snapshot was outdated write nothing that others wait for.
            keys = error.isOutdated ? [] : error.keys
            if (error.isOutdated) isHeld = true
          })
        )
      )
    }
    return Effect.andThen(core.backend.beforeSnapshot, retrying(self, attempt, retry))
  })
}

// ---------------------------------------------------------------------------
// nested
// ---------------------------------------------------------------------------

const nestedConflict = Effect.suspend(() => Effect.fail(new Conflict([])))

/** Adds the writes of a nested attempt to its parent. */
const join = (
  { transactionEnded }: Access,
  transaction: Transaction.NestedTransaction
): Effect.Effect<void, EngineFailure | Closed | Conflict> =>
  Effect.suspend((): Effect.Effect<void, EngineFailure | Closed | Conflict> =>
    Transaction.isOpen(transaction.parent)
      ? Effect.flatMap(Transaction.join(transaction), (joined) => joined ? Effect.void : nestedConflict)
      : transactionEnded
  )

/** Fails with the cause of a nested attempt, or with a conflict if what it read has changed: it may have read two states. */
const failWith = <E>(
  transaction: Transaction.NestedTransaction,
  cause: Cause.Cause<E>
): Effect.Effect<never, E | EngineFailure | Conflict> => {
  if (!Transaction.isOpen(transaction.parent)) return Effect.failCause(cause)
  return Effect.matchCauseEffect(Transaction.isValid(transaction), {
    onFailure: (failure) => Effect.failCause(Cause.combine(cause, failure)),
    onSuccess: (isValid): Effect.Effect<never, E | Conflict> => isValid ? Effect.failCause(cause) : nestedConflict
  })
}

const runNested = <A, E, R>(
  self: Access,
  effect: Effect.Effect<A, E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  parent: Transaction.Transaction,
  retry: Schedule.Schedule<unknown>
): Effect.Effect<A, E | TransactionError, R> =>
  retrying(self, (): Effect.Effect<A, E | EngineFailure | Closed | Conflict, R> => {
    const transaction = Transaction.nest(parent)
    return Effect.matchCauseEffect(runAttempt(self, effect, fiber, transaction), {
      onFailure: (cause) => failWith(transaction, cause),
      onSuccess: (result) => Effect.as(join(self, transaction), result)
    })
  }, retry)

/** Runs an effect as a transaction, nested if the fiber is in one. */
const run = <A, E, R>(
  self: Access,
  effect: Effect.Effect<A, E, R>,
  operation: "withTransaction" | "withTransactionRetry",
  retry: Schedule.Schedule<unknown>
): Effect.Effect<A, E | TransactionError, R> =>
  Effect.withFiber((fiber) =>
    StoreAccess.enter(self, (parent): Effect.Effect<A, E | TransactionError, R> => {
      const problem = CallArguments.transactionProblem(effect, retry)
      if (problem !== undefined) return Effect.fail(CallArguments.badCall(operation, problem))
      return parent === undefined
        ? useSpan(
          "Store.withTransaction",
          { path: self.handle.options.path },
          (span) => runOutermost(self, effect, fiber, retry, (number) => span.attribute("attempts", number + 1))
        )
        : runNested(self, effect, fiber, parent, retry)
    })
  )

/** Runs a write as a separate transaction, and again after every conflict. Inside a transaction, it is a part of that. */
const durably = <A, E, R>(self: Access, write: Effect.Effect<A, E, R>): Effect.Effect<A, E | CommitError | Closed, R> =>
  Effect.withFiber((fiber) =>
    StoreAccess.enter(self, (parent): Effect.Effect<A, E | CommitError | Closed, R> =>
      parent === undefined
        ? Effect.catch(
          runOutermost(self, write, fiber, Schedule.forever),
          (error): Effect.Effect<never, E | CommitError | Closed> =>
            // The schedule does not end.
            error instanceof TransactionConflict ? Effect.die(error) : Effect.fail(error)
        )
        : write)
  )

/** The methods of one handle. */
export type StoreTransactions = ReturnType<typeof make>

/** Makes the methods of one handle. */
export const make = (access: Access) => {
  const { options: { transactionRetry } } = access.handle

  // A step of `Effect.fn` also gets the arguments of the function, so the arguments after the effect are ignored.
  const withTransaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | TransactionError, R> =>
    run(access, effect, "withTransaction", transactionRetry)

  const withTransactionRetry =
    (retry: Schedule.Schedule<unknown>) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | TransactionError, R> =>
      run(access, effect, "withTransactionRetry", retry)

  return {
    durably: <A, E, R>(write: Effect.Effect<A, E, R>): Effect.Effect<A, E | CommitError | Closed, R> =>
      durably(access, write),
    withTransaction,
    withTransactionRetry
  }
}
