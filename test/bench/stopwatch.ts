/**
 * Measures time and the pauses of the event loop.
 */
import * as Effect from "effect/Effect"
import { monitorEventLoopDelay } from "node:perf_hooks"

/** Adds up the time of what it is given. */
export interface Stopwatch {
  /** The time measured so far, in milliseconds. */
  readonly elapsed: () => number
  /** The time of the processors in all threads of the process, in milliseconds. */
  readonly cpu: () => number
  /** The longest time that the event loop stood still in each piece of work, in milliseconds. */
  readonly pauses: () => ReadonlyArray<number>
  /** Measures an effect. */
  readonly time: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Measures a function that is called where an effect cannot be; the event loop stands still for all of its time. */
  readonly timeSync: <A>(work: () => A) => A
}

/** How often the event loop is looked at, in milliseconds. */
const resolution = 1

/** Long enough for the monitor to have looked at the event loop before and after a piece of work. */
const settle = Effect.sleep(3 * resolution)

const start = () => ({ wall: performance.now(), cpu: process.cpuUsage() })

/** A stopwatch at zero. */
export const make = (): Stopwatch => {
  let elapsed = 0
  let cpu = 0
  const pauses: Array<number> = []
  const monitor = monitorEventLoopDelay({ resolution })

  const watchPauses = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.andThen(Effect.sync(() => monitor.enable()), settle),
      () => Effect.tap(work, () => settle),
      () =>
        Effect.sync(() => {
          monitor.disable()
          // The monitor counts the time between two looks, and a nanosecond is its unit
          pauses.push(Math.max(0, monitor.max / 1e6 - resolution))
          monitor.reset()
        })
    )

  const stop = (begin: ReturnType<typeof start>): number => {
    const time = performance.now() - begin.wall
    const { system, user } = process.cpuUsage(begin.cpu)
    elapsed += time
    cpu += (user + system) / 1000
    return time
  }

  const measure = <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const begin = start()
      return Effect.tap(work, () => Effect.sync(() => stop(begin)))
    })

  return {
    elapsed: () => elapsed,
    cpu: () => cpu,
    pauses: () => pauses,
    time: (work) => watchPauses(measure(work)),
    timeSync: (work) => {
      const begin = start()
      const result = work()
      pauses.push(stop(begin))
      return result
    }
  }
}
