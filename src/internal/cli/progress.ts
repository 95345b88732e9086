/**
 * Draws the progress of a command on standard error, if that is a terminal.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Format from "./format.ts"
import { clearLine, type Output } from "./output.ts"

/** Draws how far a command is. */
export interface Progress {
  /** Draws the counts, at most ten times a second. */
  readonly update: (counts: ReadonlyArray<readonly [count: number, noun: string]>) => Effect.Effect<void>
  /** Removes what was drawn. */
  readonly clear: Effect.Effect<void>
}

/** The time between two drawings, in milliseconds. */
const interval = 100

const nothing: Progress = { update: () => Effect.void, clear: Effect.void }

/** Makes the progress of a command. The rate is that of the first count. */
export const make = (output: Output): Effect.Effect<Progress> =>
  Effect.map(Clock.currentTimeMillis, (start) => {
    if (!output.canDraw) return nothing
    let last = -Infinity
    return {
      update: (counts) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (now - last < interval) return Effect.void
          last = now
          const first = counts[0]?.[0] ?? 0
          const rate = now > start ? `, ${Format.number(Math.round(1000 * first / (now - start)))} a second` : ""
          const shown = counts.map(([count, noun]) => `${Format.number(count)} ${noun}`).join(", ")
          return output.draw(`${clearLine}${shown}${rate}`)
        }),
      clear: Effect.suspend(() => last === -Infinity ? Effect.void : output.draw(clearLine))
    }
  })
