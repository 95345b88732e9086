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
import { type ScenarioId, scenarioIds, stepsOf } from "../bench/plan.ts"
import { portScaleOf, type PortScenarioId, portScenarioIds, portSystemNames } from "../bench/ports/plan.ts"
import { PortRows, rowOf, showRow } from "../bench/ports/result.ts"
import { participantsOf } from "../bench/ports/runner.ts"
import { portScenarios } from "../bench/ports/scenarios.ts"
import { portSystems } from "../bench/ports/systems.ts"
import { type Row, Rows, rowsOf } from "../bench/result.ts"
import { fill, scenarios } from "../bench/scenarios.ts"
import * as Stopwatch from "../bench/stopwatch.ts"
import { draw } from "../bench/svg.ts"
import { systemNames, systemOf } from "../bench/systems.ts"
import { hangLimit } from "../support/timeLimits.ts"

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
      const options = ["--quick", "--records", "50", "--folder", folder, "--json", json]
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
        assert.isAtLeast(row.longestPauseMillis, 0)
        assert.strictEqual(row.ratio === 1, row.system === "lmdb")
        assert.include(table, `| ${row.scenario.padEnd(14)} |         50 | ${row.system} `)
      }
      assert.deepStrictEqual(yield* fs.readDirectory(folder), ["rows.json"])
    }).pipe(Effect.scoped))
})

const sample = (operations: number, milliseconds: number, longestPauseMillis: number) => ({
  _tag: "Sample" as const,
  operations,
  milliseconds,
  longestPauseMillis
})

const row = (system: Row["system"], records: number, ratio: number): Row => ({
  scenario: "get",
  records,
  system,
  opsPerSecond: 1,
  ratio,
  peakMemoryBytes: 1,
  longestPauseMillis: 1
})

describe("its results", () => {
  it("are medians, and ratios of the time of an operation", () => {
    const rows = rowsOf({ scenario: "get", records: 10, slowOnly: false }, [
      { system: "lmdb", samples: [sample(10, 10, 1), sample(10, 30, 3), sample(10, 20, 9)], peakMemoryBytes: 1 },
      { system: "effect-lmdb", samples: [sample(10, 5, 4), sample(20, 30, 2)], peakMemoryBytes: 2 }
    ])
    const common = { scenario: "get", records: 10 } as const
    assert.deepStrictEqual(rows, [
      { ...common, system: "lmdb", opsPerSecond: 500, ratio: 1, peakMemoryBytes: 1, longestPauseMillis: 3 },
      { ...common, system: "effect-lmdb", opsPerSecond: 1000, ratio: 0.5, peakMemoryBytes: 2, longestPauseMillis: 3 }
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
      }), hangLimit)
  }

  it.effect("has a row for each scenario, with the ratios of times", () =>
    Effect.gen(function*() {
      const measured = rowOf("kv-get", [
        { system: "memory", samples: [sample(10, 10, 1)], peakMemoryBytes: 1 },
        { system: "effect-lmdb", samples: [sample(10, 20, 1)], peakMemoryBytes: 1 },
        { system: "SQL on SQLite", samples: [sample(10, 80, 1)], peakMemoryBytes: 1 }
      ])
      assert.deepStrictEqual(measured.opsPerSecond, { "memory": 1000, "effect-lmdb": 500, "SQL on SQLite": 125 })
      assert.match(showRow(measured), /\| +2 \| +0\.25 \| in all +\|$/u)
      const [decoded] = yield* Schema.decodeEffect(PortRows)(yield* Schema.encodeEffect(PortRows)([measured]))
      assert.deepStrictEqual(decoded, measured)
      const { opsPerSecond } = rowOf("limit-window", [
        { system: "memory", samples: [sample(1, 1, 1)], peakMemoryBytes: 1 },
        { system: "effect-lmdb", samples: [sample(1, 1, 1)], peakMemoryBytes: 1 }
      ])
      assert.deepStrictEqual(
        participantsOf("limit-window"),
        portSystemNames.filter((system) => opsPerSecond[system] !== undefined)
      )
    }))
})
