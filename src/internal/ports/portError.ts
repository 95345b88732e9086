/**
 * Replaces the errors of the store by those of an interface of Effect.
 */
import * as Effect from "effect/Effect"

/**
 * Gives the error of a port in place of the errors of the store, and keeps the calls on the store out of the traces of the
 * program.
 */
export const replaceErrors =
  <Cause, PortError>(toError: (cause: Cause) => PortError) =>
  <A, E extends Cause, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, PortError, R> =>
    Effect.withTracerEnabled(effect, false).pipe(Effect.mapError(toError))

/**
 * The same for reads of records, and for writes of one record that are buffered: they begin no spans, so there is nothing to
 * keep out of the traces.
 */
export const replaceErrorsOfBuffered =
  <Cause, PortError>(toError: (cause: Cause) => PortError) =>
  <A, E extends Cause, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, PortError, R> =>
    Effect.mapError(effect, toError)
