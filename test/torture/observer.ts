/**
 * A process that has a store open and reads it while others write and are killed.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import type { Place } from "../support/place.ts"
import * as Children from "./children.ts"

const program = new URL("../programs/observer.ts", import.meta.url)

/** What an observer saw. */
interface Observed {
  readonly readings: number
  /** How many of its readings were not of one state of the store. */
  readonly torn: number
  /** How it ended badly, if it did. */
  readonly wrong: string | undefined
}

/** A process that observes. */
export interface Observer {
  /** Kills it in the middle of what it does. */
  readonly kill: Effect.Effect<void>
  /** Lets it end and says what it saw. */
  readonly end: Effect.Effect<Observed>
}

const observed = (ending: Children.Ending): Observed => {
  const readings = ending.lines.filter((line) => line.startsWith("read ")).map((line) => line.split(" ").slice(2))
  return {
    readings: readings.length,
    torn: readings.filter((counts) => counts.some((count) => count !== "0")).length,
    wrong: ending.code === 0 ? undefined : Children.describe(ending)
  }
}

/** Starts an observer and waits until it has the store open, or has failed to. */
export const start: (options: {
  readonly place: Place
  readonly readOnly: boolean
  /** Whether it stays in the middle of its first reading. */
  readonly stays: boolean
}) => Effect.Effect<Observer, never, Scope.Scope> = Effect.fnUntraced(function*(options) {
  const isOpen = yield* Deferred.make<void>()
  let child: ChildProcess | undefined
  const running = yield* Effect.forkScoped(
    Children.run(program, options, {
      onStart: (started) => {
        child = started
      },
      onLine: () => Deferred.doneUnsafe(isOpen, Effect.void)
    }).pipe(Effect.ensuring(Deferred.succeed(isOpen, undefined)))
  )
  yield* Deferred.await(isOpen)
  return {
    kill: Effect.andThen(
      Effect.sync(() => child?.kill("SIGKILL")),
      Effect.asVoid(Fiber.join(running))
    ),
    end: Effect.andThen(
      Effect.sync(() => child?.stdin?.end()),
      Effect.map(Fiber.join(running), observed)
    )
  }
})
