/** A standby, and its promotion when the primary server dies. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { increment } from "../support/fixtures/transactions.ts"
import { start } from "../support/harness.ts"
import * as Standby from "../support/postgresStandby.ts"
import * as PostgresStores from "../support/postgresStore.ts"

describe("a standby", () => {
  it.live("can be read, refuses a store that writes, and has each acknowledged write when it is promoted", () =>
    Effect.gen(function*() {
      const { primary, standby } = yield* Standby.start
      const proxy = yield* CuttingProxy.make(primary.port, 1)
      const url = new URL(primary.url)
      url.port = `${proxy.port}`
      const options = { table: "failover", patience: "60 seconds" } as const
      const store = yield* PostgresStores.openOn(options, url.href)
      yield* store.put("greeting", "hello", { durable: true })

      const refused = yield* Effect.flip(Effect.scoped(PostgresStores.openOn({ table: "failover" }, standby.url)))
      assert.strictEqual(refused.reason._tag, "Permission")
      const reader = yield* PostgresStores.openOn({ table: "failover", readOnly: true }, standby.url)
      assert.strictEqual(yield* reader.getOrFail("greeting"), "hello")

      const seen: Array<unknown> = []
      yield* start(
        Stream.runForEach(store.changes({ since: 0 }), (change) =>
          change._tag === "Put" && change.key === "count"
            ? Effect.map(change.value, (value) => void seen.push(value))
            : Effect.void)
      )
      let acknowledged = 0
      const writer = yield* start(Effect.forever(Effect.map(store.update("count", increment), () => {
        acknowledged++
      })))
      yield* PostgresStores.waitUntil(() => acknowledged >= 20)
      primary.kill()
      const atKill = acknowledged
      yield* Standby.promote(standby)
      proxy.target = standby.port
      yield* PostgresStores.waitUntil(() => acknowledged >= atKill + 20)
      yield* Fiber.interrupt(writer)

      const counted = Number(yield* store.getOrFail("count"))
      // The last step may have been committed after its fiber was interrupted.
      assert.include([acknowledged, acknowledged + 1], counted)
      yield* PostgresStores.waitUntil(() => seen.length >= counted)
      assert.deepStrictEqual(seen, Array.from({ length: counted }, (_, at) => at + 1))
    }))
})
