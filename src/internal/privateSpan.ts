/**
 * Spans around what a program does itself, whose failures may have keys and values in them.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Tracer from "effect/Tracer"

/** What a tracer is told of a failure: the tag of an error. */
const tagOf = <E>(cause: Cause.Cause<E>): string =>
  Option.match(Cause.findErrorOption(cause), {
    onNone: () => "Defect",
    onSome: (error) => Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag) ? error._tag : "Failure"
  })

/** Runs an effect in a span that ends as the effect does, but of a failure shows no more than the tag. */
export const withSpan = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  name: string,
  attributes: Record<string, string>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.useSpan(
    name,
    { attributes },
    (span) =>
      Effect.onError(Effect.withParentSpan(effect, span), (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.void
          // It ends once: what the effect ends with comes too late.
          : Effect.map(Clock.currentTimeNanos, (now) => span.end(now, Exit.fail(tagOf(cause)))))
  )
