/** Lost connections, lost answers and a killed server: nothing is lost, and nothing is written twice. */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { below, increment } from "../support/fixtures/transactions.ts"
import { start } from "../support/harness.ts"
import { ownServer, serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"

/** Opens a store through a proxy. */
const throughProxy = Effect.fnUntraced(
  function*(
    seed: number,
    options: { readonly flushInterval?: Duration.Input; readonly patience?: Duration.Input } = {}
  ) {
    const url = new URL(serverUrl())
    const proxy = yield* CuttingProxy.make(Number(url.port), seed)
    url.port = `${proxy.port}`
    const table = yield* PostgresStores.freshTable
    const store = yield* PostgresStores.openOn({ table, patience: "30 seconds", ...options }, url.href)
    const direct = yield* PostgresStores.openOn({ table })
    return { proxy, store, direct, table }
  }
)

describe("a proxy that cuts connections", () => {
  for (const cuts of ["both", "answers"] as const) {
    it.effect(`and loses ${cuts === "both" ? "requests and answers" : "answers"} counts each acknowledged step once`, () =>
      Effect.gen(function*() {
        const { direct, proxy, store } = yield* throughProxy(cuts === "both" ? 1 : 2)
        proxy.cuts = cuts
        proxy.cutPart = 0.15
        yield* Effect.forEach(
          below(4),
          (counter) => Effect.repeat(store.update(`counter ${counter}`, increment), { times: 29 }),
          { concurrency: "unbounded", discard: true }
        )
        proxy.cutPart = 0
        assert.isAbove(proxy.cut, 3)
        for (const counter of below(4)) assert.strictEqual(yield* direct.getOrFail(`counter ${counter}`), 30)
      }))
  }

  it.effect("loses no buffered write, and logs each once", () =>
    Effect.gen(function*() {
      const { direct, proxy, store } = yield* throughProxy(3, { flushInterval: "Infinity" })
      proxy.cutPart = 0.1
      for (const round of below(30)) {
        yield* store.put(`key ${round}`, round)
        yield* store.put("last", round)
        yield* store.flush
      }
      proxy.cutPart = 0
      assert.isAbove(proxy.cut, 3)
      assert.strictEqual(yield* direct.size, 31)
      yield* direct.put("end", true, { durable: true })
      const changes = yield* Stream.runCollect(
        Stream.takeUntil(direct.changes({ since: 0 }), (change) => change._tag === "Put" && change.key === "end")
      )
      const puts = changes.flatMap((change) => change._tag === "Put" ? [change.key] : [])
      assert.strictEqual(puts.filter((key) => key === "last").length, 30)
    }))
})

describe("answers that are lost for longer than the patience of the store", () => {
  const withoutAnswers = Effect.gen(function*() {
    const parts = yield* throughProxy(4, { flushInterval: "Infinity", patience: "200 millis" })
    parts.proxy.cuts = "answers"
    yield* parts.store.putMany({ "key": 0 })
    return parts
  })

  /** Runs a commit whose answer is lost: the commit waits on the server until the proxy cuts answers. */
  const losingAnswer = Effect.fnUntraced(function*<A, E>(
    { proxy, table }: Effect.Success<typeof withoutAnswers>,
    commit: Effect.Effect<A, E>
  ) {
    const sql = yield* PostgresStores.connect
    const connection = yield* sql.reserve
    yield* connection.executeValuesUnprepared("BEGIN", [])
    yield* connection.executeValues(`SELECT number FROM ${table}_store FOR UPDATE`, [])
    const committing = yield* start(Effect.exit(commit))
    const waiting = connection.executeValues("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)", [])
    yield* Effect.repeat(waiting, { until: ([row]) => row?.[0] === true })
    proxy.cutPart = 1
    yield* connection.executeValuesUnprepared("COMMIT", [])
    const exit = yield* Fiber.join(committing)
    return yield* Effect.flip(exit)
  }, Effect.scoped)

  it.effect("leave the outcome of a transaction unknown: it is not retryable, and was made once", () =>
    Effect.gen(function*() {
      const parts = yield* withoutAnswers
      const { direct, proxy, store } = parts
      const counting = Effect.gen(function*() {
        yield* store.put("key", Number(yield* store.getOrFail("key")) + 1)
      })
      const failure = yield* losingAnswer(parts, store.withTransaction(counting))
      assert.propertyVal(failure, "_tag", "EngineFailure")
      assert.propertyVal(failure, "outcome", "unknown")
      assert.propertyVal(failure, "isRetryable", false)
      assert.include(failure.message, "may have made the commit")
      assert.strictEqual(yield* direct.getOrFail("key"), 1)
      // This one never reaches the server: each new connection is cut before it can be used.
      const unsent = yield* Effect.flip(store.putMany({ "unsent": true }))
      assert.notProperty(unsent, "outcome")
      assert.propertyVal(unsent, "isRetryable", true)
      proxy.cutPart = 0
      yield* store.putMany({ "sent": true })
      assert.isFalse(yield* direct.has("unsent"))
      assert.isTrue(yield* direct.has("sent"))
    }))

  it.effect("keep buffered writes pending, and the next commit asks what became of them", () =>
    Effect.gen(function*() {
      const parts = yield* withoutAnswers
      const { direct, proxy, store } = parts
      yield* store.put("key", 2)
      const failure = yield* losingAnswer(parts, store.flush)
      assert.notProperty(failure, "outcome")
      assert.propertyVal(failure, "isRetryable", true)
      proxy.cutPart = 0
      yield* direct.put("key", 3, { durable: true })
      yield* store.flush
      assert.strictEqual(yield* direct.getOrFail("key"), 3)
    }))
})

describe("an error of the server", () => {
  it.effect("has its SQLSTATE", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table })
      yield* store.putMany({ "key": 0 })
      const sql = yield* PostgresStores.connect
      yield* Effect.flatMap(sql.reserve, (connection) => connection.executeValues(`DROP TABLE ${table}`, []))
      const failures = [yield* Effect.flip(store.get("key")), yield* Effect.flip(store.putMany({ "key": 1 }))]
      for (const failure of failures) {
        assert.propertyVal(failure, "sqlState", "42P01")
        assert.propertyVal(failure, "isRetryable", false)
        assert.include(failure.message, "(SQLSTATE 42P01)")
      }
    }))
})

describe("a server that is killed", () => {
  it.effect("and started again has all acknowledged writes, and the store continues to work", () =>
    Effect.gen(function*() {
      const server = ownServer()
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table, patience: "60 seconds" }, server.url)
      let acknowledged = 0
      const writer = yield* start(Effect.forever(Effect.map(store.update("count", increment), () => {
        acknowledged++
      })))
      for (const _ of below(2)) {
        const before = acknowledged
        yield* PostgresStores.waitUntil(() => acknowledged >= before + 20)
        server.kill()
        const atKill = acknowledged
        yield* Effect.sync(server.restart)
        yield* PostgresStores.waitUntil(() => acknowledged >= atKill + 5)
      }
      yield* Fiber.interrupt(writer)
      const counted = Number(yield* store.getOrFail("count"))
      // The last step may have been committed after its fiber was interrupted.
      assert.include([acknowledged, acknowledged + 1], counted)
    }))

  it.effect("fails calls with a typed error after the patience of the store, and keeps pending writes", () =>
    Effect.gen(function*() {
      const server = ownServer()
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn(
        { table, patience: "200 millis", flushInterval: "Infinity" },
        server.url
      )
      yield* store.put("a", 1)
      server.kill()
      const flushed = yield* Effect.flip(store.flush)
      const read = yield* Effect.flip(store.get("b"))
      yield* store.put("c", 3)
      assert.strictEqual(yield* store.getOrFail("a"), 1)
      yield* Effect.sync(server.restart)
      for (const error of [flushed, read]) {
        assert.propertyVal(error, "_tag", "EngineFailure")
        assert.propertyVal(error, "isRetryable", true)
      }
      yield* store.flush
      const other = yield* PostgresStores.openOn({ table }, server.url)
      assert.strictEqual(yield* other.getOrFail("a"), 1)
      assert.strictEqual(yield* other.getOrFail("c"), 3)
    }))
})
