/**
 * Changes the sources in many small ways, and sees whether the tests find each change.
 *
 *     npm run mutation                              all modules
 *     npm run mutation -- --mutate src/Key.ts       one of them
 *     npm run mutation -- --mutate src/Key.ts:20-40 some lines of it
 *     npm run mutation -- --mutate src/Key.ts --tests Key,range
 *
 * The changes that no test found are listed, and lie in `coverage/mutation` as a report.
 * Ends with an exit code of 1 where less than 90 % were found.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Stryker } from "@stryker-mutator/core"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { env } from "node:process"
import { modules } from "./modules.ts"

/** The score that a module has to reach, in percent. */
const wanted = 90

class MutationError extends Data.TaggedError("MutationError")<{ readonly message: string }> {}

const flags = {
  mutate: Flag.String("mutate").pipe(
    Flag.optional,
    Flag.withDescription("Some modules, with the range of their lines if not all of it: src/Key.ts:20-40")
  ),
  tests: Flag.String("tests").pipe(
    Flag.optional,
    Flag.withDescription("Other tests than those of the list, by name: Key,range")
  )
}

/** What came of the mutants of one module. */
interface Result {
  readonly module: string
  readonly mutants: number
  readonly killed: number
  readonly seconds: number
}

const scoreOf = ({ killed, mutants }: Result): number => mutants === 0 ? 100 : 100 * killed / mutants

const testsOf = (target: string, tests: Option.Option<string>): Effect.Effect<ReadonlyArray<string>, MutationError> => {
  const [module = target] = target.split(":")
  const names = Option.match(tests, { onNone: () => modules.get(module), onSome: (list) => list.split(",") })
  return names === undefined
    ? Effect.fail(new MutationError({ message: `${module} is not in test/mutation/modules.ts: name its --tests` }))
    : Effect.succeed(names.map((name) => `test/${name}.test.ts`))
}

/** Mutates one module, or some lines of it. */
const mutate = Effect.fnUntraced(function*(target: string, testFiles: ReadonlyArray<string>) {
  const start = yield* Clock.currentTimeMillis
  // Stryker's own `testFiles` would load the modules before it changes what runs only while they load
  env["MUTATION_TESTS"] = testFiles.join(",")
  const stryker = new Stryker({
    configFile: "test/mutation/stryker.json",
    mutate: [target],
    jsonReporter: { fileName: `coverage/mutation/${target.replace(/[/:]/g, "-")}.json` }
  })
  const mutants = yield* Effect.tryPromise({
    try: () => stryker.runMutationTest(),
    catch: (error) => new MutationError({ message: `${target}: ${String(error)}` })
  })
  const ofStatus = (...statuses: ReadonlyArray<string>): number =>
    mutants.filter(({ status }) => statuses.includes(status)).length
  const killed = ofStatus("Killed", "Timeout")
  const result: Result = {
    module: target,
    mutants: killed + ofStatus("Survived", "NoCoverage"),
    killed,
    seconds: ((yield* Clock.currentTimeMillis) - start) / 1000
  }
  return result
})

const showTable = (results: ReadonlyArray<Result>): string =>
  results.map((result) =>
    [
      result.module.padEnd(34),
      `${result.mutants}`.padStart(7),
      `${result.killed}`.padStart(7),
      `${scoreOf(result).toFixed(1)} %`.padStart(8),
      `${result.seconds.toFixed(0)} s`.padStart(8)
    ].join(" ")
  ).join("\n")

const mutation = Command.make("mutation", flags, (chosen) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    // A test that is ended in its midst leaves its files behind: with some mutants as many as the disk holds.
    env["TMPDIR"] = yield* fs.makeTempDirectoryScoped({ prefix: "mutation-" })
    const targets = Option.match(chosen.mutate, {
      onNone: () => [...modules.keys()],
      onSome: (list) => list.split(",")
    })
    const results: Array<Result> = []
    for (const target of targets) results.push(yield* mutate(target, yield* testsOf(target, chosen.tests)))
    yield* Console.log(`\n${"module".padEnd(34)} mutants  killed    score     time\n${showTable(results)}`)
    const weak = results.filter((result) => scoreOf(result) < wanted).map(({ module }) => module)
    if (weak.length > 0) {
      return yield* new MutationError({ message: `Less than ${wanted} % killed in ${weak.join(", ")}` })
    }
  }).pipe(Effect.scoped)).pipe(Command.withDescription("Sees whether the tests find changes of the sources"))

NodeRuntime.runMain(Effect.provide(Command.run(mutation, { version: "0.1.0" }), NodeServices.layer))
