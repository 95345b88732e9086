/**
 * Reads lines from standard input: on a terminal with history and completion, elsewhere as they come.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as process from "node:process"
import { createInterface } from "node:readline"
import type { Completion } from "./completion.ts"

/** What happened at the prompt. */
export type Input =
  | { readonly _tag: "Line"; readonly text: string }
  /** Ctrl-C: the line is given up. */
  | { readonly _tag: "Cancel" }
  /** Ctrl-D, or the end of the input. */
  | { readonly _tag: "End" }

/** Reads lines. */
export interface LineReader {
  readonly next: (prompt: string) => Effect.Effect<Input>
  /** Ends at Ctrl-C while no line is read. */
  readonly interrupted: Effect.Effect<void>
  readonly isTerminal: boolean
}

/** Makes a reader of lines, until the scope closes. `complete` completes the last word of a line. */
export const make = Effect.fnUntraced(function*<R>(
  complete: (line: string) => Effect.Effect<Completion, never, R>
): Effect.fn.Return<LineReader, never, R | Scope.Scope> {
  const context = yield* Effect.context<R>()
  const inputs = yield* Queue.unbounded<Input>()
  const interrupts = yield* Queue.sliding<void>(1)
  let isReading = false
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY
  const readline = yield* Effect.acquireRelease(
    Effect.sync(() =>
      createInterface({
        input: process.stdin,
        ...(isTerminal
          ? {
            output: process.stdout,
            completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
              Effect.runCallback(Effect.provideContext(complete(line), context), {
                onExit: (exit) =>
                  done(null, exit._tag === "Success" ? [[...exit.value.candidates], exit.value.replaced] : [[], line])
              })
            }
          }
          : {})
      })
    ),
    (made) => Effect.sync(() => made.close())
  )
  readline.on("line", (text) => Queue.offerUnsafe(inputs, { _tag: "Line", text }))
  readline.on("SIGINT", () => {
    // What was typed stays on the screen, and the next prompt is on a new line.
    if (isTerminal) process.stdout.write("^C\n")
    if (isReading) Queue.offerUnsafe(inputs, { _tag: "Cancel" })
    else Queue.offerUnsafe(interrupts, undefined)
  })
  readline.on("close", () => Queue.offerUnsafe(inputs, { _tag: "End" }))
  return {
    next: (prompt) =>
      Effect.suspend(() => {
        if (isTerminal) {
          readline.setPrompt(prompt)
          readline.prompt()
        }
        isReading = true
        return Effect.ensuring(Queue.take(inputs), Effect.sync(() => isReading = false))
      }),
    interrupted: Queue.take(interrupts),
    isTerminal
  }
})
