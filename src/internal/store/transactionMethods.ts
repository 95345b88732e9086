/**
 * Runs effects as transactions, for one holder of a store.
 *
 * A transaction reads a snapshot and keeps its writes to itself. When its effect has
 * succeeded, the writes are committed if all that it has read is still as it was; else
 * the effect runs again. So whatever order transactions are committed in, it is as if
 * they had run in that order one after the other.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Schedule from "effect/Schedule"
import { Closed, type CommitError, type EngineFailure, TransactionConflict } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import { withSpan } from "../privateSpan.ts"
import * as RetryQueue from "../transaction/retryQueue.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as StoreAccess from "./storeAccess.ts"

/** What a transaction fails with besides what its effect does. */
export type TransactionError = TransactionConflict | CommitError | Closed

/** Says that an attempt was in conflict. */
class Conflict {
  readonly _tag = "Conflict"
  /** The keys that it has read or written, by their names. */
  readonly addresses: ReadonlyArray<string>

  constructor(addresses: ReadonlyArray<string>) {
    this.addresses = addresses
  }
}

/** What runs the transactions of one holder. */
export type StoreTransactions = ReturnType<typeof make>

/** Makes what runs the transactions of one holder. */
export const make = (access: StoreAccess.StoreAccess) => {
  const { core, options: { path, transactionRetry } } = access.handle
  const { metrics } = core

  const run = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>,
    transaction: Transaction.Transaction
  ): Effect.Effect<A, E, R> =>
    Effect.provideContext(effect, Transaction.enter(fiber, core, transaction)).pipe(
      Effect.ensuring(Effect.sync(transaction.end))
    )

  const commit = (
    transaction: Transaction.RootTransaction,
    priority: number
  ): Effect.Effect<void, CommitError | Closed | Conflict> => {
    const { isPermitted, reads, writes } = transaction
    if (writes.isEmpty) return Effect.void
    const isMade = reads.isTorn
      ? Effect.succeed(false)
      : StoreAccess.submit(access, { reads, writes, priority, isPermitted })
    return Effect.flatMap(isMade, (isValid) =>
      isValid
        ? Effect.void
        : Effect.andThen(Metric.update(metrics.conflicts, 1), Effect.fail(new Conflict(transaction.addresses()))))
  }

  /** Runs attempts until one is not in conflict, or the schedule ends. */
  const retrying = <A, E, R>(
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

  const runOutermost = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>,
    retry: Schedule.Schedule<unknown>
  ): Effect.Effect<A, E | TransactionError, R> =>
    Effect.suspend(() => {
      let addresses: ReadonlyArray<string> = []
      const attempt = (number: number): Effect.Effect<A, E | CommitError | Closed | Conflict, R> =>
        Effect.suspend(() => {
          const transaction = Transaction.begin(core)
          return Effect.tap(run(effect, fiber, transaction), () => commit(transaction, number))
        })
      const attemptInTurn = (number: number) =>
        (number === 0 ? attempt(number) : RetryQueue.inTurn(core.retryQueue, addresses, attempt(number))).pipe(
          Effect.tapError((error) =>
            Effect.sync(() => {
              if (error instanceof Conflict) addresses = error.addresses
            })
          )
        )
      return Effect.andThen(core.backend.beforeSnapshot, retrying(attemptInTurn, retry))
    }).pipe((made) => withSpan(made, "Store.withTransaction", { path }))

  const runNested = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>,
    around: Transaction.Transaction,
    retry: Schedule.Schedule<unknown>
  ): Effect.Effect<A, E | TransactionError, R> =>
    retrying((): Effect.Effect<A, E | EngineFailure | Closed | Conflict, R> => {
      const transaction = around.nest()
      const conflict = Effect.suspend(() => Effect.fail(new Conflict([])))
      const join = Effect.suspend((): Effect.Effect<void, EngineFailure | Closed | Conflict> => {
        if (!around.isOpen()) return Effect.fail(new Closed({ path, what: "Transaction" }))
        return Effect.flatMap(transaction.join(), (joined) => joined ? Effect.void : conflict)
      })
      /** Ends as the effect did, unless what it has read no longer holds: siblings may have written between two reads. */
      const failWith = (cause: Cause.Cause<E>): Effect.Effect<never, E | EngineFailure | Conflict> => {
        if (!around.isOpen()) return Effect.failCause(cause)
        return Effect.matchCauseEffect(transaction.holds(), {
          onFailure: (failure) => Effect.failCause(Cause.combine(cause, failure)),
          onSuccess: (holds): Effect.Effect<never, E | Conflict> => holds ? Effect.failCause(cause) : conflict
        })
      }
      return Effect.matchCauseEffect(run(effect, fiber, transaction), {
        onFailure: failWith,
        onSuccess: (result) => Effect.as(join, result)
      })
    }, retry)

  const runWith = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    operation: "withTransaction" | "withTransactionRetry",
    retry: Schedule.Schedule<unknown>
  ): Effect.Effect<A, E | TransactionError, R> =>
    Effect.withFiber((fiber) =>
      StoreAccess.enter(access, (around): Effect.Effect<A, E | TransactionError, R> => {
        const problem = CallArguments.transactionProblem(effect, retry)
        if (problem !== undefined) return Effect.fail(CallArguments.badCall(operation, problem))
        return around === undefined
          ? runOutermost(effect, fiber, retry)
          : runNested(effect, fiber, around, retry)
      })
    )

  // A step of `Effect.fn` is also given the arguments of the function: whatever comes after the effect is not looked at.
  const withTransaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | TransactionError, R> =>
    runWith(effect, "withTransaction", transactionRetry)

  const withTransactionRetry =
    (retry: Schedule.Schedule<unknown>) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | TransactionError, R> =>
      runWith(effect, "withTransactionRetry", retry)

  return { withTransaction, withTransactionRetry }
}
