/**
 * Compares the store with the bare engine, in one process and on the same records.
 *
 * Both keep the same records on disk, both see to it that what was written is there
 * when the time is taken, and both give the values back decoded. The engine runs with
 * its own defaults. Ratios of one run can be compared, times of different runs cannot.
 *
 *     npm run bench                 100,000 records
 *     npm run bench -- --quick      10,000 records
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { open, type RootDatabase } from "lmdb"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import { Bench } from "tinybench"
import { Store } from "../../src/index.ts"

const count = process.argv.includes("--quick") ? 10_000 : 100_000

const keys = Array.from({ length: count }, (_, index) => `record ${index}`)
const shuffled = keys.map((_, index) => keys[(index * 7919) % count] ?? "")
const wanted = shuffled.slice(0, 1000)

const makeRecord = (index: number) => ({
  id: index,
  name: `name ${index}`,
  tags: ["a", "b"],
  active: index % 2 === 0,
  score: index / 3
})

const check = (holds: boolean): void => {
  if (!holds) throw new Error("a system gave a wrong result")
}

/** What a system does in a scenario, and how many operations that is. */
interface Scenario {
  readonly name: string
  readonly operations: number
  readonly bare: (db: RootDatabase) => Promise<unknown>
  readonly store: (store: Store["Service"]) => Effect.Effect<unknown, unknown>
}

const scenarios: ReadonlyArray<Scenario> = [
  {
    name: "put, until all is on disk",
    operations: count,
    bare: (db) => {
      let last: Promise<boolean> | undefined
      for (const [index, key] of keys.entries()) last = db.put(key, makeRecord(index))
      return Promise.resolve(last).then(() => db.flushed)
    },
    store: Effect.fnUntraced(function*(store) {
      for (const [index, key] of keys.entries()) yield* store.put(key, makeRecord(index))
      yield* store.flush
    })
  },
  {
    name: "putMany of all against one batch",
    operations: count,
    bare: (db) =>
      db.batch(() => {
        for (const [index, key] of keys.entries()) void db.put(key, makeRecord(index))
      }).then(() => db.flushed),
    store: (store) => store.putMany(keys.map((key, index) => [key, makeRecord(index)] as const))
  },
  {
    name: "overwrites of 1,000 keys",
    operations: count,
    bare: (db) => {
      let last: Promise<boolean> | undefined
      for (let index = 0; index < count; index++) last = db.put(keys[index % 1000] ?? "", makeRecord(index))
      return Promise.resolve(last).then(() => db.flushed)
    },
    store: Effect.fnUntraced(function*(store) {
      for (let index = 0; index < count; index++) yield* store.put(keys[index % 1000] ?? "", makeRecord(index))
      yield* store.flush
    })
  },
  {
    name: "get, random",
    operations: count,
    bare: (db) => {
      for (const key of shuffled) check(db.get(key) !== undefined)
      return Promise.resolve()
    },
    store: Effect.fnUntraced(function*(store) {
      for (const key of shuffled) check((yield* store.get(key))._tag === "Some")
    })
  },
  {
    name: "has, random",
    operations: count,
    bare: (db) => {
      for (const key of shuffled) check(db.doesExist(key))
      return Promise.resolve()
    },
    store: Effect.fnUntraced(function*(store) {
      for (const key of shuffled) check(yield* store.has(key))
    })
  },
  {
    name: "getMany of 1,000",
    operations: wanted.length,
    bare: (db) => db.getMany([...wanted]).then((values) => check(values.length === wanted.length)),
    store: (store) => Effect.map(store.getMany(wanted), ({ found }) => check(found.size === wanted.length))
  },
  {
    name: "scan of all entries",
    operations: count,
    bare: (db) => {
      let seen = 0
      for (const { value } of db.getRange()) seen += value === undefined ? 0 : 1
      check(seen === count)
      return Promise.resolve()
    },
    store: (store) => Effect.map(Stream.runCount(store.entries()), (seen) => check(seen === count))
  }
]

const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

const measure = Effect.fnUntraced(function*(scenario: Scenario, db: RootDatabase, store: Store["Service"]) {
  const context = yield* Effect.context()
  const run = Effect.runPromiseWith(context)
  const bench = new Bench({ time: 1500, iterations: 5, warmupTime: 300, warmupIterations: 2 })
    .add("lmdb", () => scenario.bare(db))
    .add("effect-lmdb", () => run(scenario.store(store)))
  const tasks = yield* Effect.promise(() => bench.run())
  const [bare, ours] = tasks.map((task) => task.result.state === "completed" ? task.result.latency.p50 : Number.NaN)
  if (bare === undefined || ours === undefined) return yield* Effect.die("a task is missing")
  const perSecond = (milliseconds: number): string => number.format(scenario.operations * 1000 / milliseconds)
  yield* Console.log(
    `| ${scenario.name.padEnd(34)} | ${perSecond(bare).padStart(12)} | ${perSecond(ours).padStart(12)} | ${
      (ours / bare).toFixed(2).padStart(5)
    } |`
  )
})

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-bench-" })
  const db = yield* Effect.acquireRelease(
    Effect.sync(() => open({ path: join(folder, "bare") })),
    (opened) => Effect.promise(() => opened.close())
  )
  const store = yield* Store.make({ path: join(folder, "store") })
  yield* Console.log(
    `${
      number.format(count)
    } records, Node ${process.version}, ${process.platform} ${process.arch}, ${availableParallelism()} cores\n`
  )
  yield* Console.log(
    `| ${"operations a second".padEnd(34)} | ${"lmdb".padStart(12)} | ${"effect-lmdb".padStart(12)} | ratio |`
  )
  yield* Console.log(`| ${"-".repeat(34)} | ${"-".repeat(11)}: | ${"-".repeat(11)}: | ----: |`)
  for (const scenario of scenarios) yield* measure(scenario, db, store)
}).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

NodeRuntime.runMain(program)
