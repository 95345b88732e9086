/**
 * Runs the schemas of keys and values.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Settled from "../settled.ts"

/**
 * Runs a schema, and converts everything that it throws into an error. In a program that is not type-checked, a value
 * such as a proxy may throw when a schema reads it. A transformation may throw too.
 */
export const runSchema = <A, E, R>(
  run: () => Effect.Effect<A, Schema.SchemaError, R>,
  refuse: (detail: string, cause: unknown) => E
): Effect.Effect<A, E, R> => {
  const refuseAny = (cause: unknown): E => refuse(Predicate.isError(cause) ? cause.message : "it cannot be read", cause)
  const started = Result.try(run)
  if (Result.isFailure(started)) return Effect.fail(refuseAny(started.failure))
  const effect = started.success
  return Settled.isSucceeded(effect)
    ? effect
    : Effect.catchDefect(Effect.mapError(effect, refuseAny), (defect) => Effect.fail(refuseAny(defect)))
}
