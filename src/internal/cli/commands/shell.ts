/** `shell`: the other commands on one store, line by line. */
import * as Command from "effect/cli/Command"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { complete } from "../completion.ts"
import { ExitCode, interrupted } from "../failures.ts"
import * as LineReader from "../lineReader.ts"
import { LineRunner } from "../lineRunner.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import { split } from "../words.ts"

const parameters = { store: Parameters.store }

/** The flags with which every command opens the store. */
const openingFlags = ({ keyFile, table }: Parameters.StoreParameters): ReadonlyArray<string> => [
  ...Option.match(keyFile, { onNone: () => [], onSome: (file) => ["--key-file", file] }),
  `--table=${table}`
]

/** The command line of a line of the shell: the store is its first argument. */
const argsOf = (words: ReadonlyArray<string>, store: Parameters.StoreParameters): ReadonlyArray<string> => {
  const [name = "", ...others] = words
  return name === "help" ? ["--help"] : [name, store.path, ...openingFlags(store), ...others]
}

/** Leaves out the name of the program, and after it the store of the shell: a user may paste a whole command line. */
const withoutProgram = (words: ReadonlyArray<string>, { path }: Parameters.StoreParameters): ReadonlyArray<string> => {
  const named = words[0] === "npx" ? words.slice(1) : words
  if (named[0] !== "effect-lmdb") return words
  const [, name, store, ...others] = named
  return name !== undefined && store === path ? [name, ...others] : named.slice(1)
}

const isExit = (word: string | undefined): boolean => word === "exit" || word === "quit"

/** Whether a line can begin with a word: a command, the help, or a flag of the program. */
const isKnown = (word: string, names: ReadonlyArray<string>): boolean =>
  names.includes(word) || word === "help" || word.startsWith("-")

/** The exit code of a command line that is not valid. */
const usageCode = 2

const handle = Effect.fnUntraced(function*(store: Parameters.StoreParameters) {
  const output = yield* Output.make
  const runner = yield* LineRunner
  const capabilities = yield* TerminalCapabilities.TerminalCapabilities
  // The shell reads the terminal, so a command cannot ask there.
  const runLine = (words: ReadonlyArray<string>) =>
    Effect.provideService(
      runner.run(argsOf(words, store)),
      TerminalCapabilities.TerminalCapabilities,
      { canColor: capabilities.canColor, canAnimate: capabilities.canAnimate, canPrompt: false }
    )
  const reader = yield* LineReader.make((line) =>
    Effect.orElseSucceed(withStore(store, complete(line, runner.names)), () => ({
      candidates: [],
      replaced: line
    }))
  )
  yield* withStore(store, Effect.void)
  yield* output.note(`Commands on ${store.path}: ls, get, scan, ... Tab completes, "help" lists them, "exit" ends.`)
  let code = 0
  for (;;) {
    const input = yield* reader.next("effect-lmdb> ")
    if (input._tag === "End") break
    if (input._tag === "Cancel") continue
    const { isOpen, words: typed } = split(input.text)
    const words = withoutProgram(typed, store)
    const [name] = words
    if (isExit(name)) break
    if (isOpen) yield* output.note("A quotation mark is not closed.")
    else if (name === "shell") yield* output.note("This is the shell.")
    else if (name !== undefined && !isKnown(name, runner.names)) {
      yield* Console.error(`Unknown command ${JSON.stringify(name)}. Type help.`)
      code = usageCode
    } else if (name !== undefined) {
      code = yield* Effect.raceFirst(runLine(words), Effect.as(reader.interrupted, interrupted))
    }
  }
  // A script ends with the code of its last command.
  if (!reader.isTerminal && code !== 0) return yield* new ExitCode({ code })
})

/** The command. */
export const command = Command.make("shell", parameters, ({ store }) => Effect.scoped(handle(store))).pipe(
  Command.withExamples([
    { command: "effect-lmdb shell ./data/cities", description: "Look around; Tab completes collections and keys" }
  ])
)
