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
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
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

/** A process compiles all of its code itself, as that of a program does: its first calls would otherwise look faster. */
export const command = ({ argument, url }: WorkerProgram, stdin: ChildProcess.CommandInput) =>
  ChildProcess.make(
    process.execPath,
    ["--expose-gc", "--disable-warning=ExperimentalWarning", fileURLToPath(url), argument],
    { env: { NODE_DISABLE_COMPILE_CACHE: "1" }, extendEnv: true, stderr: "inherit", stdin }
  )

/** A process that measures. */
export interface Worker<System extends string> {
  readonly system: System
  /** The first calls of the process. */
  readonly first: Effect.Effect<Sample, WorkerFailed>
  readonly sample: Effect.Effect<Sample, WorkerFailed>
  /** Ends the process: the most memory that it took. */
  readonly end: Effect.Effect<number, WorkerFailed>
}

/** Starts a process, and waits until it is ready. */
export const start = Effect.fnUntraced(function*<System extends string>(
  { scenario, system }: { readonly system: System; readonly scenario: string },
  program: WorkerProgram
) {
  const failed = new WorkerFailed({ system, task: scenario })
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const requests = yield* Queue.unbounded<string, Cause.Done>()
  const stdin = Stream.encodeText(Stream.fromQueue(requests))
  const { stdout } = yield* Effect.orDie(spawner.spawn(command(program, stdin)))
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
  const request = (kind: "first" | "sample") => Effect.andThen(Queue.offer(requests, `${kind}\n`), answer("Sample"))
  const worker: Worker<System> = {
    system,
    first: request("first"),
    sample: request("sample"),
    end: Effect.andThen(Queue.end(requests), Effect.map(answer("Summary"), (summary) => summary.peakMemoryBytes))
  }
  return worker
})

/** A process that measures and what it has measured so far. */
interface Course<System extends string> {
  readonly worker: Worker<System>
  readonly first: Sample | undefined
  readonly samples: Array<Sample>
  /** What is left of the time for this system, in milliseconds. */
  budget: number
}

/**
 * The first calls are a sample of their own. The samples after them warm up; the last of them counts where there is no
 * time for another.
 */
const warmUp = ({ budgetMillis, hasFirst, warmUpMillis }: Effort) =>
  Effect.fnUntraced(function*<System extends string>(worker: Worker<System>) {
    const first = hasFirst ? yield* worker.first : undefined
    let elapsed = 0
    let sample: Sample
    do {
      const [duration, taken] = yield* Effect.timed(worker.sample)
      elapsed += Duration.toMillis(duration)
      sample = taken
    } while (elapsed < Math.min(warmUpMillis, budgetMillis))
    const budget = budgetMillis - elapsed
    const course: Course<System> = { worker, first, samples: budget > 0 ? [] : [sample], budget }
    return course
  })

const takeSample = Effect.fnUntraced(function*<System extends string>(course: Course<System>) {
  if (course.budget <= 0) return
  const [duration, sample] = yield* Effect.timed(course.worker.sample)
  course.samples.push(sample)
  course.budget -= Duration.toMillis(duration)
})

/** What one process has measured. */
export interface ProcessResult {
  /** Its first calls. */
  readonly first: Sample | undefined
  readonly samples: ReadonlyArray<Sample>
  readonly peakMemoryBytes: number
}

/** What was measured of a system, in each of its processes. */
export interface Measured<System extends string> {
  readonly system: System
  readonly processes: ReadonlyArray<ProcessResult>
}

/** Measures the systems with one process for each, and ends the processes. */
const takeTurns = Effect.fnUntraced(function*<System extends string>(
  workers: ReadonlyArray<Worker<System>>,
  effort: Effort
) {
  const courses = yield* Effect.forEach(workers, warmUp(effort))
  for (let round = 0; round < effort.rounds; round++) yield* Effect.forEach(courses, takeSample, { discard: true })
  return yield* Effect.forEach(
    courses,
    ({ first, samples, worker: { end, system } }) =>
      Effect.map(end, (peakMemoryBytes) => ({ system, process: { first, samples, peakMemoryBytes } }))
  )
})

/** Measures systems in several processes for each, one set of processes after the other. */
export const measure = Effect.fnUntraced(function*<System extends string, E, R>(
  startAll: Effect.Effect<ReadonlyArray<Worker<System>>, E, R | Scope.Scope>,
  effort: Effort
) {
  const once = Effect.scoped(Effect.flatMap(startAll, (workers) => takeTurns(workers, effort)))
  const rounds = yield* Effect.replicateEffect(once, effort.processes)
  return (rounds[0] ?? []).map(({ system }, index): Measured<System> => ({
    system,
    processes: rounds.flatMap((results) => results[index]?.process ?? [])
  }))
})
