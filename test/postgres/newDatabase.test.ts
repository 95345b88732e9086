/** A follower whose database another process creates while the follower reads the log. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as PostgresStore from "../../src/Postgres.ts"
import { start } from "../support/harness.ts"
import * as PostgresStores from "../support/postgresStore.ts"

/** A client that does something before the first statement that reads the log. */
const before = (sql: SqlClient.SqlClient, table: string, first: Effect.Effect<void>): SqlClient.SqlClient => {
  let isDone = false
  const reserve = Effect.map(sql.reserve, (connection) => ({
    ...connection,
    executeValues: (text: string, parameters: ReadonlyArray<unknown>) => {
      if (isDone || !text.includes(`FROM ${table}_log l`)) return connection.executeValues(text, parameters)
      isDone = true
      return Effect.andThen(first, connection.executeValues(text, parameters))
    }
  }))
  return new Proxy(sql, {
    get: (target, name) => {
      const own: unknown = Reflect.get(target, name)
      return name === "reserve" ? reserve : own
    }
  })
}

describe("a follower of changes", () => {
  it.effect("misses no commit of a process that creates the database while the follower reads the log", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const writer = yield* PostgresStores.openOn({ table })
      const sql = yield* PostgresStores.connect
      const written = yield* Latch.make()
      const store = yield* Effect.provideService(
        PostgresStore.make({ table }),
        SqlClient.SqlClient,
        before(
          sql,
          table,
          Effect.andThen(Effect.orDie(writer.put("first", 1, { durable: true })), written.open)
        )
      )
      const following = yield* start(Stream.runCollect(Stream.takeUntil(
        store.changes({ since: 0 }),
        (change) => change._tag === "Put" && change.key === "last"
      )))
      yield* written.await
      yield* writer.put("last", 2, { durable: true })
      const changes = yield* Fiber.join(following)
      assert.deepStrictEqual(changes.map((change) => change._tag === "Put" ? change.key : change._tag), [
        "first",
        "last"
      ])
    }))
})
