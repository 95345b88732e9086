/**
 * Keeps the errors of the caller's effect apart from those of the transaction in which it runs: both can have the same tag.
 */
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import type { StoreService } from "../../../StoreService.ts"
import type { Closed, EngineFailure, MapFull, TransactionConflict } from "../../../StoreError.ts"

class CallerFailure<E> {
  readonly error: E
  constructor(error: E) {
    this.error = error
  }
}

/** Marks the errors of an effect as those of the caller. */
export type Caller = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, CallerFailure<E>, R>

/** The errors of a transaction. */
export type TransactionError = Closed | EngineFailure | MapFull | TransactionConflict

/**
 * Runs a transaction that has an effect of the caller in it. The transaction begins no spans; the effect of the caller
 * begins those that it would without it. `toError` is given the errors that are not the caller's.
 */
export const withTransaction = <A, E, E1, E2, R>(
  store: StoreService,
  use: (caller: Caller) => Effect.Effect<A, E1 | CallerFailure<E>, R>,
  toError: (cause: E1 | TransactionError) => E2
): Effect.Effect<A, E | E2, R> =>
  Effect.flatMap(References.TracerEnabled, (enabled) =>
    store.withTransaction(use((effect) =>
      effect.pipe(Effect.withTracerEnabled(enabled), Effect.mapError((error) => new CallerFailure(error)))
    ))).pipe(
      Effect.withTracerEnabled(false),
      Effect.mapError((error) => error instanceof CallerFailure ? error.error : toError(error))
    )
