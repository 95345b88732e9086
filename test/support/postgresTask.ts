/** Processes that work on stores on PostgreSQL: what they are told, and how a test starts them and hears of their results. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type ChildProcess, fork } from "node:child_process"

/** What a process is to do. */
export const Task = Schema.Struct({
  name: Schema.Literals(["transfer", "leaveShifts", "takeAddresses", "write", "follow", "count"]),
  url: Schema.String,
  table: Schema.String,
  /** The number of the process among those that work on the task. */
  worker: Schema.Int,
  /** How many processes work on it. */
  workers: Schema.Int,
  rounds: Schema.Int,
  accounts: Schema.Int
})
export type Task = typeof Task.Type

const decodeMessage = Schema.decodeUnknownSync(
  Schema.Union([
    Schema.Struct({ counted: Schema.Int }),
    Schema.Struct({ failure: Schema.String }),
    Schema.Struct({ result: Schema.Unknown })
  ])
)

/** A task that a process works on. */
export interface RunningTask {
  /** How many steps the process has said to be acknowledged. */
  readonly counted: () => number
  /** Asks it to end. */
  readonly end: Effect.Effect<void>
  /** Waits for its result. */
  readonly result: Effect.Effect<unknown>
}

/** A process. */
export interface Worker {
  readonly begin: (task: Task) => Effect.Effect<RunningTask>
}

const begin = (child: ChildProcess, task: Task): Effect.Effect<RunningTask> =>
  Effect.sync(() => {
    const result = Deferred.makeUnsafe<unknown>()
    let counted = 0
    const onExit = (code: number | null) =>
      Deferred.doneUnsafe(result, Exit.die(new Error(`the process of worker ${task.worker} has ended with ${code}`)))
    const onMessage = (message: unknown) => {
      const known = decodeMessage(message)
      if ("counted" in known) {
        counted = known.counted
        return
      }
      child.off("message", onMessage).off("exit", onExit)
      Deferred.doneUnsafe(
        result,
        "failure" in known
          ? Exit.die(new Error(`worker ${task.worker} has failed: ${known.failure}`))
          : Exit.succeed(known.result)
      )
    }
    child.on("message", onMessage).once("exit", onExit)
    if (child.exitCode === null) child.send(task)
    else onExit(child.exitCode)
    return { counted: () => counted, end: Effect.sync(() => void child.send("end")), result: Deferred.await(result) }
  })

/** Starts a process, which ends with the scope or with this process. */
export const makeWorker: Effect.Effect<Worker, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => fork(new URL("../programs/postgresTasks.ts", import.meta.url).pathname)),
    (child) => Effect.sync(() => void child.kill("SIGKILL"))
  ),
  (child) => ({ begin: (task) => begin(child, task) })
)
