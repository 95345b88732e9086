/**
 * Runs command lines of `effect-lmdb` in the process of a test, with standard streams that the test reads.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import { TestConsole } from "effect/testing"
import { Buffer } from "node:buffer"
import { run } from "../../src/internal/cli/commandLine.ts"

/** What a command line has written, and its exit code. */
interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** The streams of a command line. */
export interface RunOptions {
  /** The width of a terminal to which standard output goes. Default: it goes to a file. */
  readonly columns?: number
  /** What standard input contains. Default: it is that of the test. */
  readonly stdin?: string
}

const collector = (parts: Array<string>) => () =>
  Sink.forEach((part: string | Uint8Array) => Effect.sync(() => void parts.push(Buffer.from(part).toString())))

/** Runs a command line. */
export const runCli = Effect.fnUntraced(function*(args: ReadonlyArray<string>, options: RunOptions = {}) {
  const { columns = 0, stdin } = options
  const out: Array<string> = []
  const err: Array<string> = []
  const terminal = yield* Terminal.Terminal
  const testConsole = yield* TestConsole.make
  const code = yield* run(args, "1.2.3").pipe(
    Effect.provideService(
      Stdio.Stdio,
      Stdio.make({
        args: Effect.succeed(args),
        stdin: stdin === undefined
          ? yield* Effect.map(Stdio.Stdio, ({ stdin: own }) => own)
          : Stream.make(new TextEncoder().encode(stdin)),
        stdout: collector(out),
        stderr: collector(err),
        stdoutIsTerminal: Effect.succeed(columns > 0)
      })
    ),
    Effect.provideService(Terminal.Terminal, { ...terminal, columns: Effect.succeed(columns) }),
    Effect.provideService(TerminalCapabilities.TerminalCapabilities, {
      canColor: columns > 0,
      canAnimate: false,
      canPrompt: false
    }),
    Effect.provideService(Console.Console, testConsole)
  )
  const ran: Ran = {
    code,
    out: [...out, ...(yield* testConsole.logLines).map((line) => `${String(line)}\n`)].join(""),
    err: [...err, ...(yield* testConsole.errorLines).map((line) => `${String(line)}\n`)].join("")
  }
  return ran
}, Effect.provide(NodeServices.layer))

/** Splits what a command has written into lines. */
export const linesOf = (text: string): ReadonlyArray<string> => text === "" ? [] : text.trimEnd().split("\n")
