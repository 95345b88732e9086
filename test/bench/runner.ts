/**
 * Runs the systems through the scenarios.
 *
 * Each system has processes of its own for each scenario and each number of records.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { WorkerFailed } from "./benchError.ts"
import { scaleOf, type ScenarioId, type Step } from "./plan.ts"
import { Task } from "./protocol.ts"
import { participantsOf, type SystemName } from "./systems.ts"
import * as Workers from "./workers.ts"

type TaskOf = Pick<Task, "system" | "scenario" | "records">

const indexed = (scenario: ScenarioId): boolean => scenario === "index-lookup"

/** The folder with so many records; all scenarios of a system read the same one. */
const loadedFolder = ({ records, scenario, system }: TaskOf, { folder }: Workers.RunOptions): string =>
  join(folder, encodeURIComponent(system), `${records}${indexed(scenario) ? " indexed" : ""}`)

const programOf = (what: Task["do"], task: TaskOf, options: Workers.RunOptions): Workers.WorkerProgram => {
  const { effort: { sampleMillis }, folder } = options
  const argument: Task = { do: what, ...task, folder: loadedFolder(task, options), scratch: folder, sampleMillis }
  return { url: new URL("worker.ts", import.meta.url), argument: Schema.encodeSync(Task)(argument) }
}

/** Fills the folder of a step where that has not been done. */
const load = Effect.fnUntraced(function*(task: TaskOf, options: Workers.RunOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = loadedFolder(task, options)
  if (scaleOf(task.scenario).isEmpty === true || (yield* Effect.orDie(fs.exists(path)))) return
  yield* Effect.orDie(fs.makeDirectory(path, { recursive: true }))
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const filling = Workers.command(programOf("load", task, options), "ignore")
  const exitCode = yield* Effect.orDie(spawner.exitCode(filling))
  if (exitCode !== 0) return yield* new WorkerFailed({ system: task.system, task: `filling for ${task.scenario}` })
})

/** Measures those of the systems that take part in a step. */
export const run = Effect.fnUntraced(
  function*(step: Step, systems: ReadonlyArray<SystemName>, options: Workers.RunOptions) {
    const { effort } = options
    const { records, scenario } = step
    const tasks = participantsOf(step, systems, effort).map((system) => ({ system, scenario, records }))
    const atOnce = { concurrency: availableParallelism() }
    yield* Effect.forEach(tasks, (task) => load(task, options), { ...atOnce, discard: true })
    const startAll = Effect.forEach(
      tasks,
      (task) => Workers.start(task, programOf("measure", task, options)),
      atOnce
    )
    const isOnce = scaleOf(scenario).isOnce === true
    return yield* Workers.measure(startAll, isOnce ? { ...effort, budgetMillis: 0, hasFirst: false } : effort)
  }
)
