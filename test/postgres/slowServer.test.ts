/** A server whose answers come late: the store is correct, only slower, and interrupted calls leave nothing open on the server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { numberIn } from "../../src/internal/postgres/server.ts"
import { inRealTime } from "../../src/internal/postgres/sqlFailure.ts"
import * as PostgresStore from "../../src/Postgres.ts"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { below, increment } from "../support/fixtures/transactions.ts"
import { serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"

const delay = 20

/** Connects through a proxy that delays answers, under a name that the server shows. */
const slowly = Effect.gen(function*() {
  const table = yield* PostgresStores.freshTable
  const url = new URL(serverUrl())
  const proxy = yield* CuttingProxy.make(Number(url.port), 1)
  url.port = `${proxy.port}`
  const sql = yield* PostgresStores.connectTo(url.href, { maxConnections: 6, applicationName: table })
  const open = (options: PostgresStore.PostgresStoreOptions = {}) =>
    Effect.provideService(PostgresStore.make({ table, ...options }), SqlClient.SqlClient, sql)
  const store = yield* open()
  proxy.delayMillis = delay
  return { open, proxy, sql, store, table }
})

/** How many connections with this name are in a transaction but run nothing. */
const openTransactions = Effect.fnUntraced(function*(name: string) {
  const sql = yield* PostgresStores.connect
  const [row] = yield* Effect.flatMap(sql.reserve, (connection) =>
    connection.executeValues(
      "SELECT count(*)::float8 FROM pg_stat_activity WHERE application_name = $1 AND state LIKE 'idle in transaction%'",
      [name]
    ))
  return numberIn(row?.[0]) ?? -1
}, Effect.scoped)

/** Waits until no connection is in a transaction. The client gives up statements in the background. */
const untilNoneIsOpen = (name: string, attempts = 100): Effect.Effect<number, unknown> =>
  Effect.flatMap(openTransactions(name), (count) =>
    count === 0 || attempts === 0
      ? Effect.succeed(count)
      : Effect.andThen(inRealTime(Effect.sleep("20 millis")), untilNoneIsOpen(name, attempts - 1)))

/** Takes all connections of the pool at the same time. */
const useAll = (sql: SqlClient.SqlClient) =>
  Effect.scoped(
    Effect.forEach(below(6), () =>
      Effect.flatMap(sql.reserve, (connection) =>
        connection.executeValues("SELECT now() = statement_timestamp(), pg_current_xact_id_if_assigned() IS NULL", [])))
  )

describe("a server whose answers come 20 ms late", () => {
  it.effect("gives the same results, only slower", () =>
    Effect.gen(function*() {
      const { store } = yield* slowly
      const before = performance.now()
      yield* Effect.forEach(below(8), () => store.update("count", increment), { concurrency: "unbounded" })
      assert.isAtLeast(performance.now() - before, delay)
      yield* store.put("pending", 1)
      assert.strictEqual(yield* store.getOrFail("pending"), 1)
      assert.strictEqual(yield* store.getOrFail("count"), 8)
      yield* Effect.forEach(
        below(4),
        () =>
          store.withTransaction(Effect.gen(function*() {
            const count = Number(yield* store.getOrFail("count"))
            yield* store.put("count", count + 1)
          })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([...yield* Stream.runCollect(store.entries())], [["count", 12], ["pending", 1]])
    }))

  it.effect("is left without open transactions by interrupted transactions and streams", () =>
    Effect.gen(function*() {
      const { sql, store, table } = yield* slowly
      yield* store.putMany(below(20).map((number) => [`key ${number}`, number] as const))
      yield* store.flush
      const calls = [
        store.withTransaction(Effect.andThen(store.getMany(["key 1", "key 2"]), store.put("key 1", 0))),
        Stream.runDrain(Stream.mapEffect(store.entries(), () => Effect.yieldNow)),
        Stream.runDrain(Stream.take(store.entries(), 1)),
        store.update("key 3", increment),
        store.withTransaction(Stream.runDrain(store.entries()))
      ]
      yield* Effect.forEach(
        below(50),
        (round) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(calls[round % calls.length] ?? Effect.void)
            // Each round is interrupted at another point of its way to the server and back.
            yield* inRealTime(Effect.sleep(`${(round * 7) % 130} millis`))
            yield* Fiber.interrupt(fiber)
          }),
        { concurrency: 5, discard: true }
      )
      assert.strictEqual(yield* untilNoneIsOpen(table), 0)
      yield* useAll(sql)
      assert.strictEqual(yield* store.size, 20)
      assert.strictEqual((yield* Stream.runCollect(store.entries())).length, 20)
      assert.strictEqual((yield* store.stats).readers, 0)
    }))

  it.effect("is left without open transactions by stores that close while they open snapshots", () =>
    Effect.gen(function*() {
      const { open, sql, table } = yield* slowly
      for (const round of below(12)) {
        const scope = yield* Scope.make()
        const store = yield* Scope.provide(open({ flushInterval: "Infinity" }), scope)
        const reading = yield* Effect.forkChild(Effect.exit(Stream.runDrain(store.entries())))
        yield* inRealTime(Effect.sleep(`${round * 9} millis`))
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.interrupt(reading)
      }
      assert.strictEqual(yield* untilNoneIsOpen(table), 0)
      yield* useAll(sql)
    }))
})
