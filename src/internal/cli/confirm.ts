/**
 * Asks before a command changes much.
 */
import * as Flag from "effect/cli/Flag"
import * as Prompt from "effect/cli/Prompt"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import { No, Usage } from "./failures.ts"
import * as Parameters from "./parameters.ts"

/** The flag that answers the question. */
export const yes = Parameters.flag("yes", "Do not ask").pipe(Flag.withAlias("y"))

/** Asks whether to go on, on a terminal. Anywhere else, the flag `--yes` is needed. */
export const confirm = Effect.fnUntraced(function*(question: string, isSure: boolean) {
  if (isSure) return
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt) return yield* new Usage({ message: `${question} Give --yes to do it.` })
  const answer = yield* Prompt.run(Prompt.Confirm({ message: question, initial: false })).pipe(
    Effect.catchTag("QuitError", () => Effect.interrupt)
  )
  if (!answer) return yield* new No({ message: "Nothing was changed." })
})

/** Fails unless `--write` is given. */
export const checkWrite = (write: boolean): Effect.Effect<void, Usage> =>
  write ? Effect.void : Effect.fail(new Usage({ message: "This command changes the store. Give --write to do it." }))
