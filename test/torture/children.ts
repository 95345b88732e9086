/**
 * Child processes whose lines are read as they come, and which may die.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as process from "node:process"
import { hangLimit } from "../support/timeLimits.ts"

/** How a child process ended. */
export interface Ending {
  /** Its exit code, the signal that it died of, or `timeout`. */
  readonly code: number | string
  /** All that it said on its standard output, line by line. */
  readonly lines: ReadonlyArray<string>
  /** The line that it had begun when it ended. */
  readonly rest: string
  /** What it said on its standard error. */
  readonly errors: string
}

/** What is done while a child process runs. */
export interface Watch {
  /** After how many milliseconds without a word it is taken to hang. */
  readonly silence?: number
  /** Called once, when it was started. */
  readonly onStart?: (child: ChildProcess) => void
  /** Called with each of its lines. */
  readonly onLine?: (line: string, child: ChildProcess) => void
}

const anyProgram = (
  command: string,
  args: ReadonlyArray<string>,
  { onLine, onStart, silence = hangLimit }: Watch
): Effect.Effect<Ending> =>
  Effect.callback<Ending>((resume) => {
    const child = spawn(command, args, {
      stdio: ["pipe", "pipe", "pipe"],
      // Most of the time of a short child goes into reading its modules
      env: { NODE_COMPILE_CACHE: join(tmpdir(), "effect-lmdb-torture-cache"), ...process.env }
    })
    const lines: Array<string> = []
    let rest = ""
    let errors = ""
    let isHanging = false
    const hang = () => {
      isHanging = true
      child.kill("SIGKILL")
    }
    let timer = setTimeout(hang, silence)
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      clearTimeout(timer)
      timer = setTimeout(hang, silence)
      const parts = (rest + text).split("\n")
      rest = parts.pop() ?? ""
      for (const line of parts) {
        lines.push(line)
        onLine?.(line, child)
      }
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text
    })
    // A child that is gone cannot be written to, which its end tells of
    child.stdin.on("error", () => undefined)
    child.on("error", (error) => {
      errors += error.message
    })
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      resume(Effect.succeed({ code: isHanging ? "timeout" : code ?? String(signal), lines, rest, errors }))
    })
    onStart?.(child)
    return Effect.sync(() => {
      clearTimeout(timer)
      child.kill("SIGKILL")
    })
  })

/** Runs a command to its end. */
export const runCommand = anyProgram

/** Runs a program of this repository, with its arguments as JSON, to its end. */
export const run = (program: URL, args: unknown, watch: Watch = {}): Effect.Effect<Ending> =>
  anyProgram(process.execPath, [program.pathname, JSON.stringify(args)], watch)

/** Says how a child ended, with the end of what it complained of. */
export const describe = ({ code, errors, lines, rest }: Ending): string =>
  `${code}, last line ${JSON.stringify((rest || lines.at(-1))?.slice(0, 200))}, errors ${
    JSON.stringify(errors.slice(-600))
  }`
