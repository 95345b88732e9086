/**
 * `map`, `flatMap` and `all` that take an effect which has succeeded already, as most schemas
 * give, without a step of the fiber.
 *
 * The function then runs when the effect is made, not when it is run: use them inside of
 * `Effect.suspend`.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** Whether an effect has succeeded already. */
export const isSucceeded = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): effect is Effect.Effect<A, E, R> & Exit.Success<A> => Exit.isExit(effect) && Exit.isSuccess(effect)

/** Whether an effect has ended already. */
export const isEnded = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): effect is Effect.Effect<A, E, R> & Exit.Exit<A, E> => Exit.isExit(effect)

/** Goes on with the value of an effect. */
export const flatMap = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> => isSucceeded(effect) ? f(effect.value) : Effect.flatMap(effect, f)

/** Turns the value of an effect into another. */
export const map = <A, E, R, B>(effect: Effect.Effect<A, E, R>, f: (value: A) => B): Effect.Effect<B, E, R> =>
  isSucceeded(effect) ? Effect.succeed(f(effect.value)) : Effect.map(effect, f)

/** The values of effects, in their order. */
export const all = <A, E, R>(
  effects: ReadonlyArray<Effect.Effect<A, E, R>>
): Effect.Effect<ReadonlyArray<A>, E, R> =>
  effects.every(isSucceeded) ? Effect.succeed(effects.map(({ value }) => value)) : Effect.all(effects)
