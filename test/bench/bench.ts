/**
 * Compares this store with the bare engine and with what else keeps records on disk.
 *
 *     npm run bench                                all scenarios, up to ten million records
 *     npm run bench -- --quick                     all scenarios, ten thousand records, two minutes
 *     npm run bench -- --scenario get,put --system effect-lmdb,node:sqlite
 *     npm run bench -- --largest 100000            all scenarios, up to a hundred thousand records
 *     npm run bench -- --json rows.json            for chart.ts
 *     npm run bench -- ports                       Effect's storage interfaces: in memory, in this store, in SQL on SQLite
 *
 * All systems do the same work on the same records, on disk and as durable (see the
 * files in `systems`), and what they give is checked. Ratios of one run can be compared,
 * times of different runs and machines cannot.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { availableParallelism } from "node:os"
import { names } from "./names.ts"
import { effortOf, scenarioIds, stepsOf } from "./plan.ts"
import { portScenarioIds } from "./ports/plan.ts"
import { PortScenario } from "./ports/protocol.ts"
import * as PortResult from "./ports/result.ts"
import * as PortRunner from "./ports/runner.ts"
import { ScenarioId, SystemName } from "./protocol.ts"
import { head, type Row, Rows, rowsOf, showRow } from "./result.ts"
import * as Runner from "./runner.ts"
import { systemOf, yardstick } from "./systems.ts"
import type { RunOptions } from "./workers.ts"

const common = {
  quick: Flag.Boolean("quick").pipe(
    Flag.withDescription("Few records and few samples: two minutes"),
    Flag.withDefault(false)
  ),
  json: Flag.File("json").pipe(Flag.withDescription("Writes the rows to a file"), Flag.optional),
  folder: Flag.Directory("folder").pipe(
    Flag.withDescription("Where the stores are kept while it runs: a disk, not memory. Default: the temporary folder"),
    Flag.optional
  )
}

const flags = {
  ...common,
  scenario: names("scenario", ScenarioId, "Only these scenarios, with commas between them").pipe(
    Flag.withDefault(scenarioIds)
  ),
  system: names("system", SystemName, `Only these systems, with commas between them, and ${yardstick}`).pipe(
    Flag.withDefault(SystemName.literals)
  ),
  records: Flag.Int("records").pipe(
    Flag.withDescription("So many records in each scenario in place of those planned"),
    Flag.optional
  ),
  largest: Flag.Finite("largest").pipe(
    Flag.withDescription("Leaves out what is planned with more records than these"),
    Flag.withDefault(Infinity)
  )
}

/** Says what machine this is, and makes the folder of a run. */
const begin = Effect.fnUntraced(function*(quick: boolean, folder: Option.Option<string>) {
  const fs = yield* FileSystem.FileSystem
  yield* Console.log(
    `Node ${process.version}, ${process.platform} ${process.arch}, ${availableParallelism()} cores\n`
  )
  const options: RunOptions = {
    effort: effortOf(quick),
    folder: yield* fs.makeTempDirectoryScoped({
      prefix: "effect-lmdb-bench-",
      directory: Option.getOrUndefined(folder)
    })
  }
  return options
})

/** The systems that can be used here, the yardstick first. */
const usable = (wanted: ReadonlyArray<typeof SystemName.Type>) =>
  Effect.filter(
    SystemName.literals.filter((name) => name === yardstick || wanted.includes(name)),
    (name) =>
      (systemOf(name).probe ?? Effect.void).pipe(
        Effect.as(true),
        Effect.catch((error) => Effect.as(Console.log(`${name} is left out: ${String(error)}\n`), false))
      )
  )

const ports = Command.make(
  "ports",
  {
    ...common,
    scenario: names("scenario", PortScenario, "Only these scenarios, with commas between them").pipe(
      Flag.withDefault(portScenarioIds)
    )
  },
  Effect.fnUntraced(function*({ folder, json, quick, scenario }) {
    const fs = yield* FileSystem.FileSystem
    const options = yield* begin(quick, folder)
    yield* Console.log(PortResult.head)
    const rows = yield* Effect.forEach(scenario, (id) =>
      PortRunner.run(id, options).pipe(
        Effect.map((measured) => PortResult.rowOf(id, measured)),
        Effect.tap((row) => Console.log(PortResult.showRow(row)))
      ))
    if (Option.isSome(json)) {
      yield* fs.writeFileString(json.value, `${yield* Schema.encodeEffect(PortResult.PortRows)(rows)}\n`)
    }
  }, Effect.scoped)
).pipe(Command.withDescription("Compares Effect's storage interfaces in memory, in this store and in SQL on SQLite."))

const program = Command.make(
  "bench",
  flags,
  Effect.fnUntraced(function*({ folder, json, largest, quick, records, scenario, system }) {
    const fs = yield* FileSystem.FileSystem
    const options = yield* begin(quick, folder)
    const systems = yield* usable(system)
    yield* Console.log(head)
    const rows: Array<Row> = []
    for (const step of stepsOf({ scenarios: scenario, quick, largest, records: Option.getOrUndefined(records) })) {
      const measured = rowsOf(step, yield* Runner.run(step, systems, options))
      yield* Effect.forEach(measured, (row) => Console.log(showRow(row)), { discard: true })
      rows.push(...measured)
    }
    if (Option.isSome(json)) yield* fs.writeFileString(json.value, `${yield* Schema.encodeEffect(Rows)(rows)}\n`)
  }, Effect.scoped)
).pipe(Command.withDescription("Compares stores on disk."), Command.withSubcommands([ports]))

program.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
