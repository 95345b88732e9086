/**
 * Traces effects of a program, such as its transactions, without showing its data: of a failure, the span
 * shows only the tag, because the error may contain keys and values.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"

/** The part of a failure that a tracer may see: the tag of the error. */
const tagOf = <E>(cause: Cause.Cause<E>): string =>
  Option.match(Cause.findErrorOption(cause), {
    onNone: () => "Defect",
    onSome: (error) => Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag) ? error._tag : "Failure"
  })

/** Passes the span in which a fiber runs, if it runs in one. */
export const withParentSpan = <A, E, R>(
  use: (span: Tracer.AnySpan | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => use(Option.getOrUndefined(Context.getOption(fiber.context, Tracer.ParentSpan))))

/** Makes a span the parent of the spans of an effect. It takes no stack trace, which would only show this package. */
export const inSpan = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  span: Tracer.Span
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withParentSpan(effect, span, { captureStackTrace: false })

/** Runs an effect in a span, which it can use. If the effect fails, the span shows only the tag of the error. */
export const useSpan = <A, E, R>(
  name: string,
  attributes: Record<string, string>,
  use: (span: Tracer.Span) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.useSpan(
    name,
    { attributes },
    (span) =>
      Effect.onError(inSpan(use(span), span), (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.void
          // A span ends only once, so the later end with the whole error is ignored.
          : Effect.map(Clock.currentTimeNanos, (now) => span.end(now, Exit.fail(tagOf(cause)))))
  )

/** Runs an effect in a span. If the effect fails, the span shows only the tag of the error. */
export const withSpan = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  name: string,
  attributes: Record<string, string>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> => useSpan(name, attributes, () => effect)
