/**
 * Steps on a record that depend on the time.
 */
import type * as Clock from "effect/Clock"
import * as Option from "effect/Option"

/** Takes a record and the time in milliseconds. Returns a result and the next record, or none to delete it. */
export type TimedStep<V, A> = (current: V | undefined, now: number) => readonly [result: A, next: V | undefined]

/**
 * Makes the function that `modify` of a collection runs. The time is that of the last run of the step, so it never comes
 * before the time of a step that was decided earlier. A record that the step returns as it was given is not written.
 */
export const timedStep =
  <V, A>(clock: Clock.Clock, step: TimedStep<V, A>) =>
  (stored: Option.Option<V>): readonly [result: A, next: Option.Option<V>] => {
    const current = Option.getOrUndefined(stored)
    const [result, next] = step(current, clock.currentTimeMillisUnsafe())
    return [result, next === current ? stored : Option.fromUndefinedOr(next)]
  }
