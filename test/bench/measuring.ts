/**
 * What a process that measures one system does: for each line on its standard input it takes a sample, and says it on the
 * standard output. It says a summary at the end of the input.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { Message, type Sample } from "./protocol.ts"
import * as Stopwatch from "./stopwatch.ts"

/**
 * Runs the timed work once and gives the number of operations. Can be run again and again. Where `isFirst` is set, a
 * scenario that reads makes 1,000 calls and no more.
 */
export type Run = (
  stopwatch: Stopwatch.Stopwatch,
  isFirst?: boolean
) => Effect.Effect<number, unknown, FileSystem.FileSystem>

const say = (message: Message) => Effect.flatMap(Schema.encodeEffect(Message)(message), Console.log)

/** Runs until enough time was measured; the first calls of a process are one run. */
const takeSample = Effect.fnUntraced(function*(run: Run, kind: "first" | "sample", sampleMillis: number) {
  // The garbage of what came before is not to be collected in this one's time. Needs --expose-gc
  globalThis.gc?.()
  const stopwatch = Stopwatch.make()
  let operations = 0
  const leastMillis = kind === "first" ? 0 : sampleMillis
  do operations += yield* run(stopwatch, kind === "first")
  while (stopwatch.elapsed() < leastMillis)
  const sample: Sample = {
    _tag: "Sample",
    operations,
    milliseconds: stopwatch.elapsed(),
    cpuMillis: stopwatch.cpu(),
    pausesMillis: stopwatch.pauses()
  }
  return sample
})

/**
 * The most memory that this process had resident, with the pages of mapped files that
 * it touched. `maxRSS` alone will not do on Linux: a process begins with that of the
 * one that started it.
 */
const peakMemoryBytes = FileSystem.FileSystem.pipe(
  Effect.flatMap((fs) => fs.readFileString("/proc/self/status")),
  Effect.map((status) => Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1])),
  Effect.orElseSucceed(() => process.resourceUsage().maxRSS),
  Effect.map((kilobytes) => kilobytes * 1024)
)

/** Takes samples of what was prepared, for each line that comes. */
export const measure = Effect.fnUntraced(function*(run: Run, sampleMillis: number) {
  yield* say({ _tag: "Ready" })
  const { stdin } = yield* Stdio.Stdio
  yield* stdin.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) =>
      Effect.flatMap(takeSample(run, line === "first" ? "first" : "sample", sampleMillis), say)
    )
  )
  yield* say({ _tag: "Summary", peakMemoryBytes: yield* peakMemoryBytes })
})

/** The standard output is for messages alone. */
const log = Logger.layer([Logger.withConsoleError(Logger.formatSimple)])

/** Runs the program of the process. Its task is the argument of the process. */
export const runMain = (
  program: (task: unknown) => Effect.Effect<void, unknown, FileSystem.FileSystem | Stdio.Stdio | Scope.Scope>
): void =>
  NodeRuntime.runMain(
    Effect.suspend(() => program(process.argv[2])).pipe(
      Effect.scoped,
      Effect.tapCause((cause) => Console.error(Cause.pretty(cause))),
      Effect.provide(Layer.mergeAll(NodeFileSystem.layer, NodeStdio.layer, log)),
      Effect.provideService(References.MinimumLogLevel, "Warn")
    ),
    { disableErrorReporting: true }
  )
