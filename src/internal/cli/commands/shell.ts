/** `shell`: the other commands on one store, line by line. */
import * as Command from "effect/cli/Command"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
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

const isExit = (word: string | undefined): boolean => word === "exit" || word === "quit"

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
  yield* output.note(`Commands on ${store.path}: ls, get, scan, ... Tab completes, "help" lists them, "exit" ends.`)
  let code = 0
  for (;;) {
    const input = yield* reader.next("effect-lmdb> ")
    if (input._tag === "End") break
    if (input._tag === "Cancel") continue
    const { isOpen, words } = split(input.text)
    if (isExit(words[0])) break
    if (isOpen) yield* output.note("A quotation mark is not closed.")
    else if (words[0] === "shell") yield* output.note("This is the shell.")
    else if (words.length > 0) {
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
