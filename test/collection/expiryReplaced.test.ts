/** Writes over records that were written, and have expired, after a transaction had read their keys. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Collection, Store } from "../../src/index.ts"
import { stopSweeper } from "../support/expiring.ts"
import { start } from "../support/harness.ts"

const Sessions = Collection.make("sessions", {
  key: Schema.Int,
  value: Schema.Struct({ user: Schema.String, minutes: Schema.NullOr(Schema.Int) }),
  indexes: {
    user: { key: Schema.String, of: ({ user }) => user },
    token: { key: Schema.String, of: ({ user }) => user, unique: true }
  },
  expires: ({ minutes }) => minutes === null ? undefined : Duration.minutes(minutes)
})

describe("a transaction that writes over a record", () => {
  it.effect("deletes its index entries even though it has read the key as absent", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const sessions = yield* Sessions
      yield* stopSweeper(store)
      const hasRead = yield* Deferred.make<void>()
      const isExpired = yield* Deferred.make<void>()
      const writing = yield* start(store.withTransaction(Effect.gen(function*() {
        yield* sessions.put(1, { user: "new", minutes: null })
        yield* Deferred.succeed(hasRead, undefined)
        yield* Deferred.await(isExpired)
      })))
      yield* Deferred.await(hasRead)
      yield* sessions.put(1, { user: "old", minutes: 1 })
      yield* store.flush
      yield* TestClock.adjust("1 minute")
      yield* Deferred.succeed(isExpired, undefined)
      yield* Fiber.join(writing)
      assert.strictEqual(yield* sessions.indexes.user.count({ equals: "old" }), 0)
      assert.isFalse(yield* sessions.indexes.token.has("old"))
      assert.deepStrictEqual(yield* sessions.verify, [])
      yield* sessions.insert(2, { user: "old", minutes: null })
    }).pipe(Effect.provide(Store.layerTemp())))
})

describe("an update", () => {
  it.live("never makes a record permanent, whenever the record expires", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* Effect.forEach(
        Array.from({ length: 100 }, (_, number) => `${number}`),
        (key) =>
          Effect.gen(function*() {
            yield* store.put(key, 1, { ttl: "3 millis" })
            // Until it is gone: some of the updates are made in the moment in which its time comes.
            while (yield* store.has(key)) yield* store.update(key, (current) => current)
          }),
        { discard: true }
      )
      assert.strictEqual(yield* store.size, 0)
    }).pipe(Effect.provide(Store.layerTemp({ durability: "noSync" }))))
})
