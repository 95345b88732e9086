/** A server that has no room: a trigger refuses records with the code that a full disk has. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PostgresStores from "../support/postgresStore.ts"

/** Refuses all new records of a table. */
const fillUp = (table: string): ReadonlyArray<string> => [
  `CREATE FUNCTION ${table}_full() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$`,
  `CREATE TRIGGER full_disk BEFORE INSERT ON ${table} EXECUTE FUNCTION ${table}_full()`
]

const makeRoom = (table: string): ReadonlyArray<string> => [`DROP FUNCTION ${table}_full CASCADE`]

describe("a server whose disk is full", () => {
  it.effect("fails commits with a retryable error, keeps pending writes, and commits them when there is room", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const sql = yield* PostgresStores.connect
      const store = yield* PostgresStores.openOn({ table, flushInterval: "Infinity" })
      yield* store.put("before", 1, { durable: true })
      yield* Effect.forEach(fillUp(table), (text) => PostgresStores.run(sql, text))

      yield* store.put("pending", 2)
      const flushed = yield* Effect.flip(store.flush)
      const transacted = yield* Effect.flip(store.withTransaction(store.put("transacted", 3)))
      const updated = yield* Effect.flip(store.update("before", Option.map(() => 4)))
      for (const error of [flushed, transacted, updated]) {
        assert.strictEqual(error._tag, "EngineFailure")
        assert.propertyVal(error, "isRetryable", true)
        assert.include(error.message, "No space left on device")
        assert.include(error.message, "53100")
      }
      assert.strictEqual(yield* store.getOrFail("pending"), 2)
      assert.strictEqual(yield* store.getOrFail("before"), 1)

      yield* Effect.forEach(makeRoom(table), (text) => PostgresStores.run(sql, text))
      yield* store.flush
      const other = yield* PostgresStores.openOn({ table })
      assert.deepStrictEqual(
        [...(yield* other.getMany(["before", "pending", "transacted"])).found],
        [["before", 1], ["pending", 2]]
      )
    }))
})
