/**
 * Runs the systems through the scenarios.
 *
 * Each system has a process of its own for each scenario and each number of records.
 * The processes of a scenario take samples in turns, so that what else the machine does
 * falls on all of them: this is what harnesses that measure in one process cannot do.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { WorkerFailed } from "./benchError.ts"
import { type Effort, scaleOf, type ScenarioId, type Step } from "./plan.ts"
import { Message, type Sample, Task } from "./protocol.ts"
import { participantsOf, type SystemName } from "./systems.ts"

/** What was measured of a system in a step. */
export interface Measured {
  readonly system: SystemName
  readonly samples: ReadonlyArray<Sample>
  readonly peakMemoryBytes: number
}

/** How a run is made, and the folder for all that it needs on disk. */
export interface RunOptions {
  readonly effort: Effort
  readonly folder: string
}

// -----------------------------------------------------------------------------
// processes
// -----------------------------------------------------------------------------

const program = fileURLToPath(new URL("worker.ts", import.meta.url))

type TaskOf = Pick<Task, "system" | "scenario" | "records">

const indexed = (scenario: ScenarioId): boolean => scenario === "index-lookup"

/** The folder with so many records; all scenarios of a system read the same one. */
const loadedFolder = ({ records, scenario, system }: TaskOf, { folder }: RunOptions): string =>
  join(folder, encodeURIComponent(system), `${records}${indexed(scenario) ? " indexed" : ""}`)

/** The processes keep their compiled code in the folder of the run: each but the first of a system starts faster. */
const command = (what: Task["do"], task: TaskOf, options: RunOptions, stdin: ChildProcess.CommandInput) => {
  const { effort: { sampleMillis }, folder } = options
  const argument: Task = { do: what, ...task, folder: loadedFolder(task, options), scratch: folder, sampleMillis }
  return ChildProcess.make(
    process.execPath,
    ["--expose-gc", "--disable-warning=ExperimentalWarning", program, Schema.encodeSync(Task)(argument)],
    { env: { NODE_COMPILE_CACHE: join(folder, "cache") }, extendEnv: true, stderr: "inherit", stdin }
  )
}

/** Fills the folder of a step where that has not been done. */
const load = Effect.fnUntraced(function*(task: TaskOf, options: RunOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = loadedFolder(task, options)
  if (scaleOf(task.scenario).isEmpty === true || (yield* Effect.orDie(fs.exists(path)))) return
  yield* Effect.orDie(fs.makeDirectory(path, { recursive: true }))
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const exitCode = yield* Effect.orDie(spawner.exitCode(command("load", task, options, "ignore")))
  if (exitCode !== 0) return yield* new WorkerFailed({ system: task.system, task: `filling for ${task.scenario}` })
})

/** A process that measures. */
interface Worker {
  readonly system: SystemName
  readonly sample: Effect.Effect<Sample, WorkerFailed>
  /** Ends the process: the most memory that it took. */
  readonly end: Effect.Effect<number, WorkerFailed>
}

const start = Effect.fnUntraced(function*(task: TaskOf, options: RunOptions) {
  const failed = new WorkerFailed({ system: task.system, task: task.scenario })
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const requests = yield* Queue.unbounded<string, Cause.Done>()
  const stdin = Stream.encodeText(Stream.fromQueue(requests))
  const { stdout } = yield* Effect.orDie(spawner.spawn(command("measure", task, options, stdin)))
  const lines = yield* Stream.toQueue(Stream.splitLines(Stream.decodeText(stdout)), { capacity: "unbounded" })
  const answer = <Tag extends Message["_tag"]>(tag: Tag) =>
    Queue.take(lines).pipe(
      Effect.flatMap(Schema.decodeUnknownEffect(Message)),
      Effect.filterOrFail(
        (message): message is Extract<Message, { readonly _tag: Tag }> => message._tag === tag,
        () => failed
      ),
      Effect.mapError(() => failed)
    )
  yield* answer("Ready")
  const worker: Worker = {
    system: task.system,
    sample: Effect.andThen(Queue.offer(requests, "sample\n"), answer("Sample")),
    end: Effect.andThen(Queue.end(requests), Effect.map(answer("Summary"), (summary) => summary.peakMemoryBytes))
  }
  return worker
})

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

/** A process that measures and what it has measured so far. */
interface Course {
  readonly worker: Worker
  readonly samples: Array<Sample>
  /** What is left of the time for this system, in milliseconds. */
  budget: number
}

/** The first samples warm up; the last of them counts where there is no time for another. */
const warmUp = (budgetMillis: number, warmUpMillis: number) =>
  Effect.fnUntraced(function*(worker: Worker) {
    let elapsed = 0
    let sample: Sample
    do {
      const [duration, taken] = yield* Effect.timed(worker.sample)
      elapsed += Duration.toMillis(duration)
      sample = taken
    } while (elapsed < Math.min(warmUpMillis, budgetMillis))
    const budget = budgetMillis - elapsed
    const course: Course = { worker, samples: budget > 0 ? [] : [sample], budget }
    return course
  })

const takeSample = Effect.fnUntraced(function*(course: Course) {
  if (course.budget <= 0) return
  const [duration, sample] = yield* Effect.timed(course.worker.sample)
  course.samples.push(sample)
  course.budget -= Duration.toMillis(duration)
})

/** Measures those of the systems that take part in a step. */
export const run = Effect.fnUntraced(function*(step: Step, systems: ReadonlyArray<SystemName>, options: RunOptions) {
  const { effort } = options
  const { records, scenario } = step
  const tasks = participantsOf(step, systems, effort).map((system) => ({ system, scenario, records }))
  const atOnce = { concurrency: availableParallelism() }
  yield* Effect.forEach(tasks, (task) => load(task, options), { ...atOnce, discard: true })
  const workers = yield* Effect.forEach(tasks, (task) => start(task, options), atOnce)
  const budget = scaleOf(step.scenario).isOnce === true ? 0 : effort.budgetMillis
  const courses = yield* Effect.forEach(workers, warmUp(budget, effort.warmUpMillis))
  for (let round = 0; round < effort.rounds; round++) yield* Effect.forEach(courses, takeSample, { discard: true })
  return yield* Effect.forEach(
    courses,
    ({ samples, worker: { end, system } }) =>
      Effect.map(end, (peakMemoryBytes): Measured => ({ system, samples, peakMemoryBytes }))
  )
}, Effect.scoped)
