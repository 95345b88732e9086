/**
 * Starts processes that measure, and takes samples of them in turns, so that what else the machine does falls on all of
 * them: this is what harnesses that measure in one process cannot do.
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { WorkerFailed } from "./benchError.ts"
import type { Effort } from "./plan.ts"
import { Message, type Sample } from "./protocol.ts"

/** How a run is made, and the folder for all that it needs on disk. */
export interface RunOptions {
  readonly effort: Effort
  readonly folder: string
}

/** The program of a process, and its argument. */
export interface WorkerProgram {
  readonly url: URL
  readonly argument: string
}

/** The processes keep their compiled code in the folder of the run: each but the first of a system starts faster. */
export const command = ({ argument, url }: WorkerProgram, folder: string, stdin: ChildProcess.CommandInput) =>
  ChildProcess.make(
    process.execPath,
    ["--expose-gc", "--disable-warning=ExperimentalWarning", fileURLToPath(url), argument],
    { env: { NODE_COMPILE_CACHE: join(folder, "cache") }, extendEnv: true, stderr: "inherit", stdin }
  )

/** A process that measures. */
export interface Worker<System extends string> {
  readonly system: System
  readonly sample: Effect.Effect<Sample, WorkerFailed>
  /** Ends the process: the most memory that it took. */
  readonly end: Effect.Effect<number, WorkerFailed>
}

/** Starts a process, and waits until it is ready. */
export const start = Effect.fnUntraced(function*<System extends string>(
  { scenario, system }: { readonly system: System; readonly scenario: string },
  program: WorkerProgram,
  { folder }: RunOptions
) {
  const failed = new WorkerFailed({ system, task: scenario })
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const requests = yield* Queue.unbounded<string, Cause.Done>()
  const stdin = Stream.encodeText(Stream.fromQueue(requests))
  const { stdout } = yield* Effect.orDie(spawner.spawn(command(program, folder, stdin)))
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
  const worker: Worker<System> = {
    system,
    sample: Effect.andThen(Queue.offer(requests, "sample\n"), answer("Sample")),
    end: Effect.andThen(Queue.end(requests), Effect.map(answer("Summary"), (summary) => summary.peakMemoryBytes))
  }
  return worker
})

/** A process that measures and what it has measured so far. */
interface Course<System extends string> {
  readonly worker: Worker<System>
  readonly samples: Array<Sample>
  /** What is left of the time for this system, in milliseconds. */
  budget: number
}

/** The first samples warm up; the last of them counts where there is no time for another. */
const warmUp = ({ budgetMillis, warmUpMillis }: Effort) =>
  Effect.fnUntraced(function*<System extends string>(worker: Worker<System>) {
    let elapsed = 0
    let sample: Sample
    do {
      const [duration, taken] = yield* Effect.timed(worker.sample)
      elapsed += Duration.toMillis(duration)
      sample = taken
    } while (elapsed < Math.min(warmUpMillis, budgetMillis))
    const budget = budgetMillis - elapsed
    const course: Course<System> = { worker, samples: budget > 0 ? [] : [sample], budget }
    return course
  })

const takeSample = Effect.fnUntraced(function*<System extends string>(course: Course<System>) {
  if (course.budget <= 0) return
  const [duration, sample] = yield* Effect.timed(course.worker.sample)
  course.samples.push(sample)
  course.budget -= Duration.toMillis(duration)
})

/** What was measured of a system. */
export interface Measured<System extends string> {
  readonly system: System
  readonly samples: ReadonlyArray<Sample>
  readonly peakMemoryBytes: number
}

/** Measures the systems of processes, and ends the processes. */
export const takeTurns = Effect.fnUntraced(function*<System extends string>(
  workers: ReadonlyArray<Worker<System>>,
  effort: Effort
) {
  const courses = yield* Effect.forEach(workers, warmUp(effort))
  for (let round = 0; round < effort.rounds; round++) yield* Effect.forEach(courses, takeSample, { discard: true })
  return yield* Effect.forEach(
    courses,
    ({ samples, worker: { end, system } }) =>
      Effect.map(end, (peakMemoryBytes): Measured<System> => ({ system, samples, peakMemoryBytes }))
  )
})
