/**
 * Compares this store on PostgreSQL with this store on LMDB: the same calls by one fiber and by many, in one process. The
 * server runs on this machine, and waits for the disk. A proxy delays its answers, as a network does.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { deepStrictEqual } from "node:assert/strict"
import * as process from "node:process"
import { Store, type StoreService } from "../../src/index.ts"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { startAlone } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import { entryOf, idOf, keyOf, sumOf } from "./records.ts"
import { type Column, headOf, lineOf, median, showCount, showRatio } from "./table.ts"

/** What is done in a sample: so many operations, each checked. */
interface Scenario {
  readonly name: string
  readonly operations: number
  readonly run: (store: StoreService, records: number) => Effect.Effect<void, unknown>
}

const indexesOf = (count: number, records: number): ReadonlyArray<number> =>
  Array.from({ length: count }, () => Math.floor(Math.random() * records))

const keysOf = (count: number, records: number): ReadonlyArray<string> => indexesOf(count, records).map(keyOf)

const getBy = (fibers: number, operations: number): Scenario => ({
  name: `get, ${fibers} fiber${fibers === 1 ? "" : "s"}`,
  operations,
  run: Effect.fnUntraced(function*(store, records) {
    const indexes = indexesOf(operations, records)
    let sum = 0
    const get = (index: number) =>
      Effect.map(store.getOrFail(keyOf(index)), (record) => {
        sum += idOf(record)
      })
    yield* Effect.forEach(indexes, get, { concurrency: fibers, discard: true })
    deepStrictEqual(sum, sumOf(indexes))
  })
})

const durablePutBy = (fibers: number, operations: number): Scenario => ({
  name: `durable put, ${fibers} fiber${fibers === 1 ? "" : "s"}`,
  operations,
  run: (store, records) =>
    Effect.forEach(
      keysOf(operations, records),
      (key, at) => store.put(`new ${key}`, entryOf(at)[1], { durable: true }),
      { concurrency: fibers, discard: true }
    )
})

const transactionBy = (fibers: number, operations: number): Scenario => ({
  name: `transaction of 10, ${fibers} fiber${fibers === 1 ? "" : "s"}`,
  operations,
  run: (store, records) =>
    Effect.forEach(
      Array.from({ length: operations }, () => keysOf(10, records)),
      (keys) =>
        store.withTransaction(
          Effect.forEach(keys, (key, at) => store.put(`new ${key}`, entryOf(at)[1]), { discard: true })
        ),
      { concurrency: fibers, discard: true }
    )
})

/** The scenarios in the order of the table. */
export const scenarios: ReadonlyArray<Scenario> = [
  getBy(1, 100),
  getBy(32, 2000),
  getBy(256, 5000),
  {
    name: "getMany of 1,000, per record",
    operations: 1000,
    run: (store, records) =>
      Effect.map(
        store.getMany(keysOf(1000, records)),
        ({ found, missing }) => deepStrictEqual([missing.length, found.size > 0], [0, true])
      )
  },
  {
    name: "scan, per record",
    operations: 5000,
    run: (store) =>
      Effect.map(
        Stream.runFold(store.values({ limit: 5000 }), () => 0, (count) => count + 1),
        (count) => deepStrictEqual(count > 0, true)
      )
  },
  {
    name: "put, until all are committed",
    operations: 5000,
    run: (store) =>
      Effect.andThen(
        Effect.forEach(Array.from({ length: 5000 }, (_, at) => at), (at) => store.put(`put ${at}`, entryOf(at)[1]), {
          discard: true
        }),
        store.flush
      )
  },
  durablePutBy(1, 20),
  durablePutBy(32, 320),
  durablePutBy(256, 1024),
  transactionBy(1, 20),
  transactionBy(32, 160)
]

/** How a run is made. */
export interface PostgresEffort {
  readonly records: number
  /** How long a sample takes at least, in milliseconds. */
  readonly sampleMillis: number
  /** How many samples of each system are taken, in turn. */
  readonly rounds: number
  /** The places of the server: how late its answers are, in milliseconds. */
  readonly delays: ReadonlyArray<number>
}

/** Opens the same records in each system, until the scope closes. */
const openAll = Effect.fnUntraced(function*({ delays, records }: PostgresEffort) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-lmdb-bench-" })
  process.env["STORE_TEST_PG_FSYNC"] = "on"
  const url = new URL(startAlone().url)
  const port = Number(url.port)
  const openAt = Effect.fnUntraced(function*(delay: number) {
    if (delay > 0) {
      const proxy = yield* CuttingProxy.make(port, 1)
      proxy.delayMillis = delay
      url.port = `${proxy.port}`
    }
    return yield* PostgresStores.openOn({ table: "bench" }, url.href)
  })
  const stores = [yield* Store.make({ path: folder }), ...(yield* Effect.forEach(delays, openAt))]
  const entries = Array.from({ length: records }, (_, at) => entryOf(at))
  for (const store of stores.slice(0, 2)) {
    for (let at = 0; at < records; at += 5000) yield* store.putMany(entries.slice(at, at + 5000))
  }
  return stores
})

/** Runs a scenario for at least a time. Returns the operations in a second. */
const sample = Effect.fnUntraced(function*(
  { operations, run }: Scenario,
  store: StoreService,
  { records, sampleMillis }: PostgresEffort
) {
  const begin = performance.now()
  let runs = 0
  do {
    yield* run(store, records)
    runs++
  } while (performance.now() - begin < sampleMillis)
  return 1000 * runs * operations / (performance.now() - begin)
})

/** What was measured in one scenario. */
export interface PostgresRow {
  readonly scenario: string
  readonly opsPerSecond: ReadonlyMap<string, number>
}

const column = (system: string): Column<PostgresRow> => ({
  title: system,
  width: 17,
  isNumber: true,
  show: ({ opsPerSecond }) => showCount(opsPerSecond.get(system) ?? Number.NaN)
})

const systemsOf = ({ delays }: PostgresEffort): ReadonlyArray<string> => [
  "LMDB",
  ...delays.map((delay) => `PostgreSQL, ${delay} ms`)
]

const columnsOf = (effort: PostgresEffort): ReadonlyArray<Column<PostgresRow>> => {
  const [lmdb = "", nearest = ""] = systemsOf(effort)
  return [
    { title: "operations a second", width: 28, isNumber: false, show: ({ scenario }) => scenario },
    ...systemsOf(effort).map(column),
    {
      title: "LMDB to first",
      width: 13,
      isNumber: true,
      show: ({ opsPerSecond }) =>
        showRatio((opsPerSecond.get(lmdb) ?? Number.NaN) / (opsPerSecond.get(nearest) ?? Number.NaN))
    }
  ]
}

/** The head of the table, in Markdown. */
export const headFor = (effort: PostgresEffort): string => headOf(columnsOf(effort))

/** A row of the table. */
export const showRow = (effort: PostgresEffort, row: PostgresRow): string => lineOf(columnsOf(effort), row)

/** Measures all scenarios. Each round measures the systems one after the other, and the first round is not counted. */
export const measure = (effort: PostgresEffort, onRow: (row: PostgresRow) => Effect.Effect<void>) =>
  Effect.scoped(Effect.flatMap(openAll(effort), (stores) =>
    Effect.forEach(
      scenarios,
      Effect.fnUntraced(function*(scenario) {
        const systems = systemsOf(effort)
        const speeds = systems.map((): Array<number> => [])
        for (let round = 0; round <= effort.rounds; round++) {
          for (const [at, store] of stores.entries()) {
            const speed = yield* sample(scenario, store, effort)
            if (round > 0) speeds[at]?.push(speed)
          }
        }
        const row: PostgresRow = {
          scenario: scenario.name,
          opsPerSecond: new Map(systems.map((system, at) => [system, median(speeds[at] ?? [])]))
        }
        yield* onRow(row)
        return row
      })
    )))
