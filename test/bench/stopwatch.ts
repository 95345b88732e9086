/**
 * Measures time and the pauses of the event loop.
 */
import * as Effect from "effect/Effect"
import { monitorEventLoopDelay } from "node:perf_hooks"

/** Adds up the time of what it is given. */
export interface Stopwatch {
  /** The time measured so far, in milliseconds. */
  readonly elapsed: () => number
  /** The longest time that the event loop stood still, in milliseconds. */
  readonly longestPause: () => number
  /** Measures an effect. */
  readonly time: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Measures a function that is called where an effect cannot be; the event loop stands still for all of its time. */
  readonly timeSync: <A>(work: () => A) => A
}

/** How often the event loop is looked at, in milliseconds. */
const resolution = 1

/** Long enough for the monitor to have looked at the event loop before and after a piece of work. */
const settle = Effect.sleep(3 * resolution)

/** A stopwatch at zero. */
export const make = (): Stopwatch => {
  let elapsed = 0
  let longestPause = 0
  const monitor = monitorEventLoopDelay({ resolution })

  const watchPauses = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.andThen(Effect.sync(() => monitor.enable()), settle),
      () => Effect.tap(work, () => settle),
      () =>
        Effect.sync(() => {
          monitor.disable()
          // The monitor counts the time between two looks, and a nanosecond is its unit
          longestPause = Math.max(longestPause, monitor.max / 1e6 - resolution)
          monitor.reset()
        })
    )

  const measure = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const begin = performance.now()
      return Effect.tap(work, () =>
        Effect.sync(() => {
          elapsed += performance.now() - begin
        }))
    })

  return {
    elapsed: () => elapsed,
    longestPause: () => longestPause,
    time: (work) => watchPauses(measure(work)),
    timeSync: (work) => {
      const begin = performance.now()
      const result = work()
      const time = performance.now() - begin
      elapsed += time
      longestPause = Math.max(longestPause, time)
      return result
    }
  }
}
