/**
 * Runs a command line inside of another one: the shell runs its lines so.
 */
import type * as Command from "effect/cli/Command"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** The command line, for a command that runs others. */
export class LineRunner extends Context.Service<LineRunner, {
  /** Runs a command line. Returns its exit code. */
  readonly run: (args: ReadonlyArray<string>) => Effect.Effect<number, never, Command.Environment>
  /** The names of all commands. */
  readonly names: ReadonlyArray<string>
}>()("effect-lmdb/cli/LineRunner") {}
