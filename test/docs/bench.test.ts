/**
 * The benchmark measures what it says: every system does every scenario right, a wrong
 * answer ends it, and a run writes the rows that were promised. No times are looked at.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import { fileURLToPath } from "node:url"
import type { Open } from "../bench/driver.ts"
import * as ImportTime from "../bench/importTime.ts"
import { effortOf, type ScenarioId, scenarioIds, stepsOf } from "../bench/plan.ts"
import { portScaleOf, type PortScenarioId, portScenarioIds, portSystemNames } from "../bench/ports/plan.ts"
import { PortRows, rowOf, showRow } from "../bench/ports/result.ts"
import { participantsOf } from "../bench/ports/runner.ts"
import { portScenarios } from "../bench/ports/scenarios.ts"
import { portSystems } from "../bench/ports/systems.ts"
import * as Postgres from "../bench/postgres.ts"
import * as PostgresProcesses from "../bench/postgresProcesses.ts"
import { type Row, Rows, rowsOf } from "../bench/result.ts"
import { fill, scenarios } from "../bench/scenarios.ts"
import * as Stopwatch from "../bench/stopwatch.ts"
import { draw } from "../bench/svg.ts"
import { type SystemName, systemNames, systemOf, yardstick } from "../bench/systems.ts"
import * as Targets from "../bench/targets.ts"
import type { ProcessResult } from "../bench/workers.ts"
import { testLimit } from "../support/timeLimits.ts"

/** Fills a store, and runs a scenario on it twice, as a sample does. */
const runTwice = Effect.fnUntraced(function*(open: Open, scenario: ScenarioId, records: number) {
  const fs = yield* FileSystem.FileSystem
  const loaded = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-test-" })
  const scratch = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-test-" })
  yield* fill(open, { folder: loaded, records, scenario })
  const run = yield* scenarios[scenario]({ open, records, loaded, scratch })
  const stopwatch = Stopwatch.make()
  const operations = [yield* run(stopwatch), yield* run(stopwatch)]
  assert.isAbove(stopwatch.elapsed(), 0)
  return operations
}, Effect.scoped)

/** Systems whose native code cannot be loaded here. */
const unusable = new Set(
  await Effect.runPromise(
    Effect.filter(systemNames, (name) => Effect.isFailure(systemOf(name).probe ?? Effect.void))
  )
)

layer(NodeServices.layer, { excludeTestServices: true })("the benchmark", (it) => {
  for (const name of systemNames) {
    const { lacks = [], open } = systemOf(name)
    it.effect.skipIf(unusable.has(name))(`${name} gives right answers`, () =>
      Effect.gen(function*() {
        for (const scenario of scenarioIds.filter((id) => !lacks.includes(id))) {
          const [first = 0, second] = yield* runTwice(yield* open, scenario, scenario === "value-10MB" ? 1 : 30)
          assert.isAbove(first, 0)
          assert.strictEqual(second, first)
        }
      }))
  }

  it.effect("the first calls of a process are 1,000 where a scenario reads", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const open = yield* systemOf("lmdb").open
      const loaded = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-test-" })
      yield* fill(open, { folder: loaded, records: 1500, scenario: "get" })
      const run = yield* scenarios.get({ open, records: 1500, loaded, scratch: loaded })
      const stopwatch = Stopwatch.make()
      assert.deepStrictEqual([yield* run(stopwatch, true), yield* run(stopwatch)], [1000, 1500])
      assert.strictEqual(stopwatch.pauses().length, 2)
      assert.isAbove(stopwatch.cpu(), 0)
    }).pipe(Effect.scoped))

  it.effect("imports the compiled package in new processes", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-test-" })
      const time = yield* ImportTime.measure({ folder, effort: { ...effortOf(true), processes: 1 } })
      assert.isAbove(time.wallMillis, 0)
      assert.isAbove(time.cpuMillis, 0)
    }).pipe(Effect.scoped), testLimit)

  it.effect("a wrong answer is an error", () =>
    Effect.gen(function*() {
      const open = yield* systemOf("effect-lmdb").open
      const forgetful: Open = (folder, options) =>
        Effect.map(open(folder, options), (driver) => ({
          ...driver,
          get: (keys) => driver.get(keys.slice(1)),
          putDurably: (entries) => driver.putDurably(entries.slice(1))
        }))
      for (const scenario of ["get", "put-durable"] as const) {
        const error = yield* Effect.flip(runTwice(forgetful, scenario, 30))
        assert.match(String(error), /WrongResult/)
      }
    }))

  it.effect("a run writes a row for each scenario and system", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
      const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-test-" })
      const json = `${folder}/rows.json`
      const program = fileURLToPath(new URL("../bench/bench.ts", import.meta.url))
      const options = ["--quick", "--processes", "1", "--records", "50", "--folder", folder, "--json", json]
      const choice = ["--scenario", "get,index-lookup", "--system", "effect-lmdb"]
      const table = yield* spawner.string(
        ChildProcess.make(process.execPath, [program, ...options, ...choice], { stderr: "inherit" })
      )
      const rows = yield* Schema.decodeEffect(Rows)(yield* fs.readFileString(json))

      assert.deepStrictEqual(rows.map(({ records, scenario, system }) => `${scenario} ${records} ${system}`), [
        "get 50 lmdb",
        "get 50 effect-lmdb",
        "index-lookup 50 lmdb"
      ])
      for (const row of rows) {
        assert.isAbove(row.opsPerSecond, 0)
        assert.isAbove(row.peakMemoryBytes, 0)
        assert.isAbove(row.first?.opsPerSecond ?? 0, 0)
        assert.isAbove(row.cpuMicros, 0)
        assert.isAtLeast(row.spread, 0)
        assert.isAtLeast(row.pause99Millis, row.pauseMillis)
        assert.strictEqual(row.ratio === 1, row.system === "lmdb")
        assert.include(table, `| ${row.scenario.padEnd(21)} |         50 | ${row.system} `)
      }
      assert.deepStrictEqual(yield* fs.readDirectory(folder), ["rows.json"])
    }).pipe(Effect.scoped))
})

const sample = (operations: number, milliseconds: number, ...pausesMillis: ReadonlyArray<number>) => ({
  _tag: "Sample" as const,
  operations,
  milliseconds,
  cpuMillis: milliseconds / 2,
  pausesMillis
})

const processOf = (
  samples: ProcessResult["samples"],
  first?: ProcessResult["first"],
  peakMemoryBytes = 1
): ProcessResult => ({ first, samples, peakMemoryBytes })

const row = (system: SystemName, records: number, ratio: number): Row => ({
  scenario: "get",
  records,
  system,
  opsPerSecond: 1 / ratio,
  spread: 0,
  ratio,
  cpuMicros: 1,
  peakMemoryBytes: 1,
  pauseMillis: 1,
  pause99Millis: 1
})

describe("its results", () => {
  it("are medians of processes with their spread, and ratios of the time of an operation", () => {
    const rows = rowsOf({ scenario: "get", records: 10, slowOnly: false }, [
      {
        system: "lmdb",
        processes: [
          processOf([sample(10, 10, 1), sample(10, 30, 3), sample(10, 20, 9)], sample(10, 40, 1), 1),
          processOf([sample(10, 40, 2)], sample(10, 80, 1), 5),
          processOf([sample(10, 10, 2)], sample(10, 20, 1), 3)
        ]
      },
      { system: "effect-lmdb", processes: [processOf([sample(10, 5, 4), sample(20, 30, 2)], sample(10, 20, 1))] }
    ])
    const common = { scenario: "get", records: 10 } as const
    assert.deepStrictEqual(rows, [
      {
        ...common,
        system: "lmdb",
        opsPerSecond: 500,
        spread: 0.75,
        ratio: 1,
        first: { opsPerSecond: 250, spread: 0.75, ratio: 1, cpuMicros: 2000 },
        cpuMicros: 1000,
        peakMemoryBytes: 3,
        pauseMillis: 2,
        pause99Millis: 9
      },
      {
        ...common,
        system: "effect-lmdb",
        opsPerSecond: 1000,
        spread: 0,
        ratio: 0.5,
        first: { opsPerSecond: 500, spread: 0, ratio: 0.5, cpuMicros: 1000 },
        cpuMicros: 500,
        peakMemoryBytes: 1,
        pauseMillis: 3,
        pause99Millis: 4
      }
    ])
  })

  it("are drawn with a bar for each system except the reference", () => {
    const rows = [row("lmdb", 1000, 1), row("effect-lmdb", 10, 3), row("effect-lmdb", 1000, 0.5)]
    const svg = draw(rows, { systems: systemNames, mostRecords: 1000 })
    assert.deepStrictEqual(Array.from(svg.matchAll(/<title>(.*?)<\/title><\/rect>/g), ([, title]) => title), [
      "effect-lmdb, get, 1000 records: 0.5×"
    ])
  })
})

const rowOfGet = (system: SystemName, opsPerSecond: number, firstPerSecond: number): Row => ({
  ...row(system, 100_000, 1),
  opsPerSecond,
  first: { opsPerSecond: firstPerSecond, spread: 0, ratio: 1, cpuMicros: 1 / firstPerSecond }
})

const typedGetVerdict = (spread: number) =>
  Targets.outcomesOf(
    [{ ...rowOfGet("effect-lmdb", 100, 40), spread: 0 }, { ...rowOfGet("effect-lmdb collection", 80, 40), spread }],
    { wallMillis: 1, cpuMillis: 1 }
  )[0]?.met

describe("its targets", () => {
  it("are compared with the peers in the same run, and are left out where nothing was measured", () => {
    const rows = [
      rowOfGet("effect-lmdb", 100, 30),
      rowOfGet("effect-lmdb collection", 50, 30),
      rowOfGet("node:sqlite", 9, 40)
    ]
    const outcomes = Targets.outcomesOf(rows, { wallMillis: 59, cpuMillis: 70 })
    assert.deepStrictEqual(outcomes.map(({ about, atMost, cpu, met, value }) => [about, value, cpu, atMost, met]), [
      ["first 1,000 calls", "1.33", "1.33", "1", "no"],
      ["typed `get` to untyped", "2", "1", "1.4", "no"],
      ["`import` after `effect`", "59 ms", "70 ms", "60 ms", "yes"]
    ])
  })

  it("are unsure if the spreads of the processes allow both", () => {
    assert.deepStrictEqual([typedGetVerdict(0.1), typedGetVerdict(0.2)], ["yes", "unsure"])
  })

  it("limit the pauses of 99 of 100 commits", () => {
    const commits: Row = { ...row("effect-lmdb", 100_000, 1), scenario: "commit-1000", pause99Millis: 2.5 }
    const [pause] = Targets.outcomesOf([commits], { wallMillis: 1, cpuMillis: 1 })
    assert.deepStrictEqual([pause?.value, pause?.met], ["2.5 ms", "no"])
  })

  it("have a step for each scenario that they need, with the systems that can do it", () => {
    const steps = Targets.stepsOf(100_000)
    assert.isTrue(steps.every(({ records }) => records <= 100_000))
    const counter = steps.find(({ scenario }) => scenario === "counter")
    assert.isDefined(counter)
    if (counter === undefined) return
    const systems = systemNames.filter((name) => Targets.needs(counter, name))
    assert.deepStrictEqual(systems, [yardstick, "effect-lmdb", "node:sqlite", "Effect SQL"])
  })
})

describe("its plan", () => {
  it("has every scenario, with few records for scenarios that are slow to fill", () => {
    const steps = stepsOf({ scenarios: scenarioIds, quick: true, records: undefined })
    assert.deepStrictEqual(new Set(steps.map(({ scenario }) => scenario)), new Set(scenarioIds))
    assert.isTrue(steps.every(({ records }) => records <= 100_000))
  })

  it("accepts other numbers of records, but no more large values than planned", () => {
    const steps = stepsOf({ scenarios: ["get", "value-10MB"], quick: true, records: 50 })
    assert.deepStrictEqual(steps.map(({ records }) => records), [50, 2])
  })
})

/** Runs a scenario of the interfaces twice, as a sample does. */
const runPortsTwice = Effect.fnUntraced(function*(system: (typeof portSystemNames)[number], scenario: PortScenarioId) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-test-" })
  const ports = yield* portSystems[system](folder, portScaleOf(scenario).isDurable)
  const run = yield* portScenarios[scenario](ports)
  const stopwatch = Stopwatch.make()
  const operations = [yield* run(stopwatch), yield* run(stopwatch)]
  assert.isAbove(stopwatch.elapsed(), 0)
  return operations
}, Effect.scoped)

layer(NodeServices.layer, { excludeTestServices: true })("the benchmark of the interfaces", (it) => {
  for (const system of portSystemNames) {
    it.effect(`${system} gives right answers`, () =>
      Effect.gen(function*() {
        // With more fibers there is only more of the same
        for (const scenario of portScenarioIds.filter((id) => !/-(?:16|200)$/u.test(id))) {
          if (!participantsOf(scenario).includes(system)) continue
          const [first = 0, second] = yield* runPortsTwice(system, scenario)
          assert.isAbove(first, 0)
          assert.strictEqual(second, first)
        }
      }), testLimit)
  }

  it.effect("has a row for each scenario, with the ratios of times", () =>
    Effect.gen(function*() {
      const measured = rowOf("kv-get", [
        { system: "memory", processes: [processOf([sample(10, 10, 1)])] },
        { system: "effect-lmdb", processes: [processOf([sample(10, 20, 1)])] },
        { system: "SQL on SQLite", processes: [processOf([sample(10, 80, 1)])] }
      ])
      assert.deepStrictEqual(measured.opsPerSecond, { "memory": 1000, "effect-lmdb": 500, "SQL on SQLite": 125 })
      assert.match(showRow(measured), /\| +2 \| +0\.25 \| in all +\|$/u)
      const [decoded] = yield* Schema.decodeEffect(PortRows)(yield* Schema.encodeEffect(PortRows)([measured]))
      assert.deepStrictEqual(decoded, measured)
      const { opsPerSecond } = rowOf("limit-window", [
        { system: "memory", processes: [processOf([sample(1, 1, 1)])] },
        { system: "effect-lmdb", processes: [processOf([sample(1, 1, 1)])] }
      ])
      assert.deepStrictEqual(
        participantsOf("limit-window"),
        portSystemNames.filter((system) => opsPerSecond[system] !== undefined)
      )
    }))
})

layer(NodeServices.layer, { excludeTestServices: true })("the benchmark of stores on PostgreSQL", (it) => {
  it.effect("gives right answers, and has a row for each scenario", () =>
    Effect.gen(function*() {
      const shown: Array<string> = []
      const effort = { records: 1000, sampleMillis: 0, rounds: 1, delays: [1] }
      const rows = yield* Postgres.measure(
        effort,
        (measured) => Effect.sync(() => void shown.push(Postgres.showRow(effort, measured)))
      )
      assert.deepStrictEqual(rows.map(({ scenario }) => scenario), Postgres.scenarios.map(({ name }) => name))
      for (const { opsPerSecond } of rows) assert.isTrue([...opsPerSecond.values()].every((speed) => speed > 0))
      assert.match(shown.join("\n"), /^\| get, 256 fibers +\| +[\d,]+ \|/m)
    }), testLimit)

  it.effect("adds up what several processes do on one store", () =>
    Effect.gen(function*() {
      const effort = { records: 100, sampleMillis: 0, rounds: 1, processes: [2], scenarios: ["durable put, 32 fibers"] }
      const rows = yield* PostgresProcesses.measure(effort, () => Effect.void)
      assert.deepStrictEqual(rows.map(({ system }) => system), ["LMDB", "PostgreSQL"])
      for (const measured of rows) {
        assert.isAbove(measured.opsPerSecond.get(2) ?? 0, 0)
        assert.match(PostgresProcesses.showRow(effort, measured), /^\| durable put, 32 fibers +\| \w+ +\| +[\d,]+ \|$/)
      }
    }), testLimit)
})
