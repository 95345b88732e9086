/** Four processes on one store on PostgreSQL: what they promise each other, also with lost connections and a killed server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import process from "node:process"
import { afterAll, beforeAll } from "vitest"
import { Store } from "../../src/index.ts"
import { inRealTime } from "../../src/internal/postgres/sqlFailure.ts"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { openUsers } from "../support/fixtures/collections.ts"
import { below, numberOf } from "../support/fixtures/transactions.ts"
import { start } from "../support/harness.ts"
import { ownServer, serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import { makeWorker, type RunningTask, type Task, type Worker } from "../support/postgresTask.ts"

// The server of this file is killed.
process.env["STORE_TEST_PG_FSYNC"] ??= "on"

const workers = 4

/** The processes live for all tests of this file. */
const scope = Scope.makeUnsafe()
let processes: ReadonlyArray<Worker> = []
beforeAll(async () => {
  processes = await Effect.runPromise(
    Scope.provide(Effect.forEach(below(workers + 1), () => makeWorker), scope)
  )
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

/** Begins the same task in the first processes. */
const beginAll = (task: Pick<Task, "name" | "table"> & Partial<Task>): Effect.Effect<ReadonlyArray<RunningTask>> =>
  Effect.forEach(
    processes.slice(0, task.workers ?? workers),
    ({ begin }, worker) => begin({ url: task.url ?? serverUrl(), workers, rounds: 0, accounts: 0, ...task, worker })
  )

const resultsOf = (tasks: ReadonlyArray<RunningTask>) =>
  Effect.forEach(tasks, ({ result }) => result, { concurrency: "unbounded" })

const sumOf = (values: Iterable<unknown>) => [...values].reduce((sum: number, value) => sum + Number(value), 0)

describe("four processes", () => {
  it.effect("that move money among accounts show a fifth one the right sum at every moment", () =>
    Effect.gen(function*() {
      const accounts = 20
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table })
      yield* store.putMany(below(accounts).map((number) => [`account ${number}`, 100] as const))
      const working = yield* start(
        Effect.flatMap(beginAll({ name: "transfer", table, rounds: 12, accounts }), resultsOf)
      )
      const sums: Array<number> = []
      while (working.pollUnsafe() === undefined) {
        sums.push(sumOf(yield* Stream.runCollect(store.values({ prefix: "account" }))))
        const read = yield* store.withTransaction(store.getMany(below(accounts).map((number) => `account ${number}`)))
        sums.push(sumOf(read.found.values()))
      }
      assert.isAbove(sums.length, 4)
      assert.deepStrictEqual([...new Set(sums)], [100 * accounts])
      const values = yield* Stream.runCollect(store.values({ prefix: "account" }))
      assert.strictEqual(sumOf(values), 100 * accounts)
      assert.isAbove(new Set(values).size, 1)
    }))

  it.effect("leave one doctor on call in each shift", () =>
    Effect.gen(function*() {
      const shifts = below(25)
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table })
      yield* store.putMany(
        shifts.flatMap((shift) => below(2).map((doctor) => [`shift ${shift} doctor ${doctor}`, true] as const))
      )
      const left = yield* Effect.flatMap(beginAll({ name: "leaveShifts", table, rounds: shifts.length }), resultsOf)
      for (const shift of shifts) {
        const onCall = yield* Stream.runCollect(store.values({ prefix: `shift ${shift} ` }))
        assert.sameMembers([...onCall], [true, false], `shift ${shift}`)
      }
      assert.strictEqual(sumOf(left), shifts.length)
    }))

  it.effect("take each address once", () =>
    Effect.gen(function*() {
      const rounds = 25
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table })
      const users = yield* Effect.provideService(openUsers, Store, store)
      const results = yield* Effect.flatMap(beginAll({ name: "takeAddresses", table, rounds }), resultsOf)
      const won = yield* Schema.decodeUnknownEffect(Schema.Array(Schema.Array(Schema.Int)))(results)
      assert.deepStrictEqual(won.flat().toSorted((a, b) => a - b), below(rounds))
      assert.strictEqual(yield* users.size, rounds)
      assert.deepStrictEqual(yield* users.verify, [])
    }))
})

const Followed = Schema.Array(Schema.Tuple([Schema.Int, Schema.String, Schema.Unknown]))

describe("a process that follows the changes of three others", () => {
  it.effect("misses nothing and sees nothing twice while its connections are cut", () =>
    Effect.gen(function*() {
      const [writers, rounds] = [3, 20]
      const table = yield* PostgresStores.freshTable
      const url = new URL(serverUrl())
      const proxy = yield* CuttingProxy.make(Number(url.port), 7)
      url.port = `${proxy.port}`
      const [, , , , follower] = processes
      const following = yield* follower?.begin({
        name: "follow",
        url: url.href,
        table,
        worker: 0,
        workers: writers,
        rounds,
        accounts: 0
      }) ?? Effect.die(new Error("no process"))
      proxy.cutPart = 0.1
      const writing = yield* start(
        Effect.flatMap(beginAll({ name: "write", table, workers: writers, rounds }), resultsOf)
      )
      while (writing.pollUnsafe() === undefined) {
        yield* inRealTime(Effect.sleep("100 millis"))
        proxy.cutAll()
      }
      proxy.cutPart = 0
      yield* Fiber.join(writing)
      const seen = yield* Effect.flatMap(following.result, Schema.decodeUnknownEffect(Followed))
      assert.isAbove(proxy.cut, 5)
      const numbers = seen.map(([number]) => number)
      assert.deepStrictEqual(numbers, numbers.toSorted((a, b) => a - b))
      for (const writer of below(writers)) {
        const of = (part: string): ReadonlyArray<unknown> =>
          seen.flatMap(([, key, value]) => key === `writer ${writer} ${part}` ? [value] : [])
        for (const part of ["durable", "first", "second"]) {
          assert.deepStrictEqual<ReadonlyArray<unknown>>(of(part), below(rounds), part)
        }
        for (const round of below(rounds)) {
          assert.deepStrictEqual<ReadonlyArray<unknown>>(of(`pending ${round}`), [round])
        }
        assert.strictEqual(seen.filter(([, key]) => key === `done ${writer}`).length, 1)
        // What one commit wrote has one number.
        const numbersOf = (part: string) =>
          seen.flatMap(([number, key]) => key === `writer ${writer} ${part}` ? [number] : [])
        assert.deepStrictEqual(numbersOf("first"), numbersOf("second"))
      }
      assert.strictEqual(seen.length, writers * (4 * rounds + 1))
    }))
})

describe("a server that is killed while four processes count", () => {
  it.effect("has all acknowledged commits after its start, and none twice", () =>
    Effect.gen(function*() {
      const server = ownServer()
      const table = yield* PostgresStores.freshTable
      const tasks = yield* beginAll({ name: "count", table, url: server.url })
      const counted = () => tasks.map((task) => task.counted())
      const ended = yield* start(resultsOf(tasks))
      const isBeyond = (counts: ReadonlyArray<number>, steps: number) => () =>
        ended.pollUnsafe() !== undefined || counted().every((count, worker) => count >= (counts[worker] ?? 0) + steps)
      for (const _ of below(2)) {
        yield* PostgresStores.waitUntil(isBeyond(counted(), 10))
        server.kill()
        const atKill = counted()
        yield* Effect.sync(server.restart)
        yield* PostgresStores.waitUntil(isBeyond(atKill, 5))
      }
      for (const task of tasks) yield* task.end
      const acknowledged = yield* Fiber.join(ended)
      const store = yield* PostgresStores.openOn({ table }, server.url)
      const stored = yield* Effect.forEach(below(workers), (worker) => numberOf(store, `counter ${worker}`))
      assert.deepStrictEqual(stored, acknowledged)
      // The log has each step once.
      yield* store.put("end", true, { durable: true })
      const changes = yield* Stream.runCollect(Stream.takeUntil(
        store.changes({ since: 0 }),
        (change) => change._tag === "Put" && change.key === "end"
      ))
      for (const worker of below(workers)) {
        const values = yield* Effect.forEach(
          changes.filter((change) => change._tag === "Put" && change.key === `counter ${worker}`),
          (change) => change._tag === "Put" ? change.value : Effect.void
        )
        assert.deepStrictEqual(values, below(stored[worker] ?? 0).map((step) => step + 1))
      }
    }))
})
