/** Programs in processes of their own, which tests watch and kill. */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as process from "node:process"

/** A program of `test/programs` in a process of its own, and the lines that it prints. */
export interface Started {
  readonly child: ChildProcess
  /** Waits until it has printed a line that begins with a text, and returns the line. */
  readonly line: (text: string) => Effect.Effect<string>
  /** Waits until it has ended. */
  readonly exit: Effect.Effect<number | null>
}

/** Starts a program, which is killed at the end of the scope. */
export const startProgram = (program: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync((): Started => {
      const child = spawn(process.execPath, [program, ...args], { stdio: ["pipe", "pipe", "inherit"] })
      let printed = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        printed += text
      })
      const found = (text: string) => printed.split("\n").slice(0, -1).find((line) => line.startsWith(text))
      const line = (text: string) =>
        Effect.callback<string>((resume) => {
          const look = () => {
            const given = found(text)
            if (given === undefined) return
            child.stdout.off("data", look)
            resume(Effect.succeed(given))
          }
          child.stdout.on("data", look)
          look()
        })
      const exit = Effect.callback<number | null>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) resume(Effect.succeed(child.exitCode))
        else child.once("close", (code) => resume(Effect.succeed(code)))
      })
      return { child, line, exit }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )
