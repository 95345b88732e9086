/** Lost connections, lost answers and a killed server: nothing is lost, and nothing is written twice. */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { inRealTime } from "../../src/internal/postgres/sqlFailure.ts"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { below } from "../support/fixtures/transactions.ts"
import { start } from "../support/harness.ts"
import { ownServer, serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"

const increment = Option.match({
  onNone: () => Option.some(1),
  onSome: (count: unknown) => Option.some(Number(count) + 1)
})

/** Waits until something holds, in real time. */
const waitUntil = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => holds() ? Effect.void : Effect.andThen(inRealTime(Effect.sleep("5 millis")), waitUntil(holds)))

/** Opens a store through a proxy. */
const throughProxy = Effect.fnUntraced(
  function*(seed: number, options: { readonly flushInterval?: Duration.Input } = {}) {
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
        yield* waitUntil(() => acknowledged >= before + 20)
        server.kill()
        const atKill = acknowledged
        yield* Effect.sync(server.restart)
        yield* waitUntil(() => acknowledged >= atKill + 5)
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
