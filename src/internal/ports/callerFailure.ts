/**
 * Keeps the errors of the caller's effect apart from those of the transaction in which it runs: both can have the same tag.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { Closed, EngineFailure, MapFull, TransactionConflict } from "../../StoreError.ts"
import type { StoreService } from "../../StoreService.ts"

/** The failure of the effect of a caller, apart from the errors of the store around it. */
export class CallerFailure<E> {
  readonly error: E
  constructor(error: E) {
    this.error = error
  }
}

/** Marks the errors of an effect as those of the caller. */
type Caller = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, CallerFailure<E>, R>

/** The errors of a transaction. */
type TransactionError = Closed | EngineFailure | MapFull | TransactionConflict

/** Removes the parent span, where the context of the caller has none. */
const withoutParent = <R>(context: Context.Context<R>): Context.Context<R> =>
  Context.makeUnsafe<R>(new Map([...context.mapUnsafe].filter(([key]) => key !== Tracer.ParentSpan.key)))

/** Lets an effect begin the spans that it would begin in the given context. */
const tracedAsIn = (outer: Context.Context<never>) => {
  const parent = Context.getOrUndefined(outer, Tracer.ParentSpan)
  const enabled = Context.get(outer, References.TracerEnabled)
  return <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.updateContext(effect, (inner: Context.Context<R>) => {
      const traced = Context.add(inner, References.TracerEnabled, enabled)
      return parent === undefined ? withoutParent(traced) : Context.add(traced, Tracer.ParentSpan, parent)
    })
}

/**
 * Runs a transaction that has an effect of the caller in it. The transaction begins no spans; the effect of the caller
 * begins those that it would without it. `onError` is given the errors that are not the caller's.
 */
export const withTransaction = <A, E, E1, E2, R>(
  store: StoreService,
  use: (caller: Caller) => Effect.Effect<A, E1 | CallerFailure<E>, R>,
  onError: (cause: E1 | TransactionError) => Effect.Effect<never, E2>
): Effect.Effect<A, E | E2, R> =>
  Effect.contextWith((outer: Context.Context<R>) => {
    const traced = tracedAsIn(outer)
    return store.withTransaction(
      use((effect) => traced(effect).pipe(Effect.mapError((error) => new CallerFailure(error))))
    ).pipe(
      Effect.withTracerEnabled(false),
      Effect.catch((error): Effect.Effect<never, E | E2> =>
        error instanceof CallerFailure ? Effect.fail(error.error) : onError(error)
      )
    )
  })
