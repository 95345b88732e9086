/**
 * Runs calls on the store outside the transaction that their fiber is in.
 *
 * What is known about the outside world, such as that a server has failed, is still true if the transaction fails.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"

/** Runs an effect outside transactions. */
export type Outside = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

/**
 * Makes the function from the context in which a layer is built, which is in no transaction. Of the context of the caller,
 * it keeps the clock and what spans need.
 */
export const make: Effect.Effect<Outside> = Effect.map(Effect.context(), (built): Outside => {
  const outer = Context.omit(Tracer.ParentSpan)(built)
  const kept = Context.pick(Clock.Clock, Tracer.Tracer, Tracer.ParentSpan, References.TracerEnabled)
  return (effect) => Effect.updateContext(effect, (caller) => Context.merge(outer, kept(caller)))
})
