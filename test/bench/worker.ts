/**
 * Measures one system in one scenario, in a process of its own: its memory is that of
 * the system, and no other code has made the compiler's guesses worse. See `protocol.ts`
 * for how it is talked to.
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
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { Message, type Sample, Task } from "./protocol.ts"
import { fill, type Run, scenarios } from "./scenarios.ts"
import * as Stopwatch from "./stopwatch.ts"
import { systemOf } from "./systems.ts"

const say = (message: Message) => Effect.flatMap(Schema.encodeEffect(Message)(message), Console.log)

const load = Effect.fnUntraced(function*({ folder, records, scenario, system }: Task) {
  const open = yield* systemOf(system).open
  yield* fill(open, { folder, records, scenario })
})

/** Runs until enough time was measured. */
const takeSample = Effect.fnUntraced(function*(run: Run, sampleMillis: number) {
  // The garbage of what came before is not to be collected in this one's time. Needs --expose-gc
  globalThis.gc?.()
  const stopwatch = Stopwatch.make()
  let operations = 0
  do operations += yield* run(stopwatch)
  while (stopwatch.elapsed() < sampleMillis)
  const sample: Sample = {
    _tag: "Sample",
    operations,
    milliseconds: stopwatch.elapsed(),
    longestPauseMillis: stopwatch.longestPause()
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

const measure = Effect.fnUntraced(function*({ folder, records, sampleMillis, scenario, scratch, system }: Task) {
  const open = yield* systemOf(system).open
  const run = yield* scenarios[scenario]({ open, records, loaded: folder, scratch })
  yield* say({ _tag: "Ready" })
  const { stdin } = yield* Stdio.Stdio
  yield* stdin.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach(() => Effect.flatMap(takeSample(run, sampleMillis), say))
  )
  yield* say({ _tag: "Summary", peakMemoryBytes: yield* peakMemoryBytes })
})

/** The standard output is for messages alone. */
const log = Logger.layer([Logger.withConsoleError(Logger.formatSimple)])

const program = Effect.gen(function*() {
  const task = yield* Schema.decodeUnknownEffect(Task)(process.argv[2])
  yield* task.do === "load" ? load(task) : measure(task)
}).pipe(
  Effect.scoped,
  Effect.tapCause((cause) => Console.error(Cause.pretty(cause))),
  Effect.provide(Layer.mergeAll(NodeFileSystem.layer, NodeStdio.layer, log)),
  Effect.provideService(References.MinimumLogLevel, "Warn")
)

NodeRuntime.runMain(program, { disableErrorReporting: true })
