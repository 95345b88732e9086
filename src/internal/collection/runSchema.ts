/**
 * Runs the schemas of keys and values.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Settled from "../settled.ts"

/** Converts a value by a schema. */
export type Convert<A, R> = (value: unknown) => Effect.Effect<A, Schema.SchemaError, R>

/**
 * Runs a schema, and converts everything that it throws into an error. In a program that is not type-checked, a value
 * such as a proxy may throw when a schema reads it. A transformation may throw too.
 */
export const runSchema = <A, E, R>(
  convert: Convert<A, R>,
  value: unknown,
  refuse: (detail: string, cause: unknown) => E
): Effect.Effect<A, E, R> => {
  const started = Result.try(() => convert(value))
  if (Result.isSuccess(started) && Settled.isSucceeded(started.success)) return started.success
  const refuseAny = (cause: unknown): E => refuse(Predicate.isError(cause) ? cause.message : "it cannot be read", cause)
  return Result.isFailure(started)
    ? Effect.fail(refuseAny(started.failure))
    : Effect.catchDefect(Effect.mapError(started.success, refuseAny), (defect) => Effect.fail(refuseAny(defect)))
}
