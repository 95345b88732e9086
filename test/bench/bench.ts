/**
 * Compares this store with the bare engine and with what else keeps records on disk.
 *
 *     npm run bench                                all scenarios, up to ten million records
 *     npm run bench -- --quick                     most systems, ten thousand records, few samples
 *     npm run bench -- --targets                   what this store is to reach, and whether it does
 *     npm run bench -- --scenario get,put --system effect-lmdb,node:sqlite
 *     npm run bench -- --largest 100000            all scenarios, up to a hundred thousand records
 *     npm run bench -- --json rows.json            for chart.ts
 *     npm run bench -- ports                       Effect's storage interfaces: in memory, in this store, in SQL on SQLite
 *     npm run bench -- postgres                    this store on PostgreSQL, near and far, in several processes, and on LMDB
 *
 * All systems do the same work on the same records, on disk and as durable (see the
 * files in `systems`), and what they give is checked. Ratios of one run can be compared,
 * times of different runs and machines cannot. The first calls of a process and its steady
 * state have columns of their own. A spread is half of the distance from the fastest process
 * to the slowest, as a part of their median.
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
import { availableParallelism, loadavg } from "node:os"
import * as ImportTime from "./importTime.ts"
import { names } from "./names.ts"
import { effortOf, scenarioIds, type Step, stepsOf } from "./plan.ts"
import { portScenarioIds } from "./ports/plan.ts"
import { PortScenario } from "./ports/protocol.ts"
import * as PortResult from "./ports/result.ts"
import * as PortRunner from "./ports/runner.ts"
import * as Postgres from "./postgres.ts"
import * as PostgresProcesses from "./postgresProcesses.ts"
import { ScenarioId, SystemName } from "./protocol.ts"
import { head, type Row, Rows, rowsOf, showRow } from "./result.ts"
import * as Runner from "./runner.ts"
import { systemOf, yardstick } from "./systems.ts"
import * as Targets from "./targets.ts"
import type { RunOptions } from "./workers.ts"

const common = {
  quick: Flag.Boolean("quick").pipe(
    Flag.withDescription("Few records and few samples"),
    Flag.withDefault(false)
  ),
  processes: Flag.Int("processes").pipe(
    Flag.withDescription("How many processes measure each system. Default: 3"),
    Flag.optional
  ),
  json: Flag.File("json").pipe(Flag.withDescription("Writes the rows to a file"), Flag.optional),
  folder: Flag.Directory("folder").pipe(
    Flag.withDescription("Where the stores are kept while it runs: a disk, not memory. Default: the temporary folder"),
    Flag.optional
  )
}

/** A quick run leaves out the slow systems: they would take half of its time. */
const quickSystems = SystemName.literals.filter((name) => systemOf(name).isSlow !== true)

const flags = {
  ...common,
  scenario: names("scenario", ScenarioId, "Only these scenarios, with commas between them").pipe(
    Flag.withDefault(scenarioIds)
  ),
  system: names("system", SystemName, `Only these systems, with commas between them, and ${yardstick}`).pipe(
    Flag.optional
  ),
  targets: Flag.Boolean("targets").pipe(
    Flag.withDescription("Measures what the targets of this store need, and tells which of them are met"),
    Flag.withDefault(false)
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

interface Common {
  readonly quick: boolean
  readonly processes: Option.Option<number>
  readonly folder: Option.Option<string>
}

/** The processes that ran or waited for a processor, on average over the last 1, 5 and 15 minutes. */
const loadOf = () => `load ${loadavg().map((load) => load.toFixed(1)).join(" ")}`

/** Says what machine this is and how busy it has been in the last minute. */
const sayWhere = Effect.suspend(() =>
  Console.log(
    `Node ${process.version}, ${process.platform} ${process.arch}, ${availableParallelism()} cores, ${loadOf()}\n`
  )
)

/** Says where it runs, and makes the folder of a run. */
const begin = Effect.fnUntraced(function*({ folder, processes, quick }: Common) {
  const fs = yield* FileSystem.FileSystem
  yield* sayWhere
  const options: RunOptions = {
    effort: {
      ...effortOf(quick),
      ...Option.match(processes, { onNone: () => ({}), onSome: (count) => ({ processes: count }) })
    },
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
  Effect.fnUntraced(function*({ json, scenario, ...settings }) {
    const fs = yield* FileSystem.FileSystem
    const options = yield* begin(settings)
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

const postgres = Command.make(
  "postgres",
  { quick: common.quick },
  Effect.fnUntraced(function*({ quick }) {
    yield* sayWhere
    const effort = { records: 20_000, sampleMillis: quick ? 50 : 500, rounds: 3, delays: [0, 1, 20] }
    yield* Console.log(Postgres.headFor(effort))
    yield* Postgres.measure(effort, (row) => Console.log(Postgres.showRow(effort, row)))
    const together = { ...effort, processes: [1, 2, 4], scenarios: PostgresProcesses.scenarioNames }
    yield* Console.log(`\n${PostgresProcesses.headFor(together)}`)
    yield* PostgresProcesses.measure(together, (row) => Console.log(PostgresProcesses.showRow(together, row)))
    yield* Console.log(`\n${loadOf()}`)
  })
).pipe(Command.withDescription("Compares this store on PostgreSQL with this store on LMDB."))

/** Measures the steps, and prints their rows. */
const measure = Effect.fnUntraced(function*(
  steps: ReadonlyArray<Step>,
  systemsOf: (step: Step) => ReadonlyArray<typeof SystemName.Type>,
  options: RunOptions
) {
  yield* Console.log(head)
  const rows: Array<Row> = []
  for (const step of steps) {
    const measured = rowsOf(step, yield* Runner.run(step, systemsOf(step), options))
    yield* Effect.forEach(measured, (row) => Console.log(showRow(row)), { discard: true })
    rows.push(...measured)
  }
  return rows
})

/** Measures what the targets need, and tells which are met. */
const checkTargets = Effect.fnUntraced(function*(quick: boolean, largest: number, options: RunOptions) {
  const wanted = Targets.stepsOf(quick ? Math.min(largest, 100_000) : largest)
  const systems = yield* usable(SystemName.literals)
  const rows = yield* measure(wanted, (step) => systems.filter((name) => Targets.needs(step, name)), options)
  const importing = yield* ImportTime.measure(options)
  yield* Console.log(`\n${Targets.head}`)
  yield* Effect.forEach(Targets.outcomesOf(rows, importing), (outcome) => Console.log(Targets.showOutcome(outcome)), {
    discard: true
  })
  return rows
})

const program = Command.make(
  "bench",
  flags,
  Effect.fnUntraced(function*({ json, largest, records, scenario, system, targets, ...settings }) {
    const fs = yield* FileSystem.FileSystem
    const options = yield* begin(settings)
    const { quick } = settings
    const rows = targets ? yield* checkTargets(quick, largest, options) : yield* Effect.flatMap(
      usable(Option.getOrElse(system, () => quick ? quickSystems : SystemName.literals)),
      (systems) =>
        measure(
          stepsOf({ scenarios: scenario, quick, largest, records: Option.getOrUndefined(records) }),
          () => systems,
          options
        )
    )
    yield* Console.log(`\n${loadOf()}`)
    if (Option.isSome(json)) yield* fs.writeFileString(json.value, `${yield* Schema.encodeEffect(Rows)(rows)}\n`)
  }, Effect.scoped)
).pipe(Command.withDescription("Compares stores on disk."), Command.withSubcommands([ports, postgres]))

program.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
