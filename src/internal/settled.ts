/**
 * Combinators for effects that are usually settled, such as the reads of LMDB and the results of most
 * schemas. They continue at once, without a step of the fiber runtime.
 *
 * A settled effect is an `Exit`: its result is known before it runs. For an exit, these functions return an exit.
 * For any other effect, they return an effect that runs later.
 *
 * **Gotchas**
 *
 * For an exit, the function runs when the combinator is called: use them inside `Effect.suspend`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"

/** The exit of an effect that returns `undefined`. Reads of missing records share it, so that they allocate no exit. */
export const nothing: Exit.Exit<undefined> = Exit.succeed(undefined)

/** The prototype that all successful exits of this copy of Effect share. */
const successPrototype: unknown = Object.getPrototypeOf(nothing)

/**
 * Whether an effect has succeeded already. Compares prototypes first, which takes less time than `Exit.isExit`. The exits
 * of another copy of Effect have another prototype.
 */
export const isSucceeded = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): effect is Effect.Effect<A, E, R> & Exit.Success<A> =>
  Object.getPrototypeOf(effect) === successPrototype || Exit.isExit(effect) && Exit.isSuccess(effect)

/** Whether an effect has failed already. */
const isFailed = <A, E, R>(effect: Effect.Effect<A, E, R>): effect is Effect.Effect<A, E, R> & Exit.Failure<A, E> =>
  Exit.isExit(effect) && Exit.isFailure(effect)

/** Whether an effect is settled. */
export const isSettled = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): effect is Effect.Effect<A, E, R> & Exit.Exit<A, E> => isSucceeded(effect) || Exit.isExit(effect)

/**
 * Returns the exit of an effect that has ended. Use it where no effect may wait, as inside LMDB's write transaction: an
 * effect that would wait is a bug of this package, and dies.
 */
export const exitOf = <A, E>(effect: Effect.Effect<A, E>): Exit.Exit<A, E> =>
  isSettled(effect) ? effect : Exit.die(new Error("an effect that has to be settled would wait"))

/** Continues with the value of an effect. */
export function flatMap<A, E, B, E2>(effect: Exit.Exit<A, E>, f: (value: A) => Exit.Exit<B, E2>): Exit.Exit<B, E | E2>
export function flatMap<A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2>
export function flatMap<A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> {
  if (isSucceeded(effect)) return f(effect.value)
  return isFailed(effect) ? Exit.failCause(effect.cause) : Effect.flatMap(effect, f)
}

/** Turns the value of an effect into another. */
export function map<A, E, B>(effect: Exit.Exit<A, E>, f: (value: A) => B): Exit.Exit<B, E>
export function map<A, E, R, B>(effect: Effect.Effect<A, E, R>, f: (value: A) => B): Effect.Effect<B, E, R>
export function map<A, E, R, B>(effect: Effect.Effect<A, E, R>, f: (value: A) => B): Effect.Effect<B, E, R> {
  if (isSucceeded(effect)) return Exit.succeed(f(effect.value))
  return isFailed(effect) ? Exit.failCause(effect.cause) : Effect.map(effect, f)
}

/** Continues after an error. */
export const catchError = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  f: (error: E) => Effect.Effect<B, E2, R2>
): Effect.Effect<A | B, E2, R | R2> => {
  if (isSucceeded(effect)) return effect
  if (!isFailed(effect)) return Effect.catch(effect, f)
  const error = Cause.findError(effect.cause)
  return Result.isSuccess(error) ? f(error.success) : Exit.failCause(error.failure)
}

/** Collects the values of effects in their order, or the first failure. Returns `undefined` if one is not settled. */
const allEnded = <A, E, R>(
  effects: ReadonlyArray<Effect.Effect<A, E, R>>
): Exit.Exit<ReadonlyArray<A>, E> | undefined => {
  const values: Array<A> = []
  for (const effect of effects) {
    if (isSucceeded(effect)) values.push(effect.value)
    else return isFailed(effect) ? Exit.failCause(effect.cause) : undefined
  }
  return Exit.succeed(values)
}

/** Collects the values of reads in their order. Reads that wait run concurrently. */
export const allReads = <A, E>(reads: ReadonlyArray<Effect.Effect<A, E>>): Effect.Effect<ReadonlyArray<A>, E> =>
  allEnded(reads) ?? Effect.all(reads, { concurrency: "unbounded" })

/** Collects the values of effects in their order. Effects that wait run one after the other. */
export const all = <A, E, R>(
  effects: ReadonlyArray<Effect.Effect<A, E, R>>
): Effect.Effect<ReadonlyArray<A>, E, R> => allEnded(effects) ?? Effect.all(effects)
