/**
 * Runs the schemas of keys and values.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import * as Settled from "../settled.ts"

/** Converts a value by a schema. */
export type Convert<A, R> = (value: unknown) => Effect.Effect<A, Schema.SchemaError, R>

/**
 * Makes the functions that encode and decode by a schema. Effect compiles them at their first call, unless the process
 * makes no code of text. They take a fifth of the time that the interpreter of schemas takes, and a third of it in their
 * first 1,000 calls.
 */
export const compile = <S extends Schema.Constraint>(schema: S): {
  readonly encode: Convert<S["Encoded"], S["EncodingServices"]>
  readonly decode: Convert<S["Type"], S["DecodingServices"]>
} => {
  SchemaJITCompiler.enable(schema.ast)
  SchemaJITCompiler.enable(Schema.flip(Schema.make<Schema.Top>(schema.ast)).ast)
  return { encode: Schema.encodeUnknownEffect(schema), decode: Schema.decodeUnknownEffect(schema) }
}

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
