/** What changes, the change log and watches tell of records that expire. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Store } from "../../src/index.ts"
import { swept } from "../support/expiring.ts"
import { start, temporaryFolder, withStore } from "../support/harness.ts"

describe("a record that has expired", () => {
  it.effect("is Expired in the change log, also when the store was opened again", () =>
    Effect.gen(function*() {
      const options = { path: yield* temporaryFolder, changeLog: { retention: { commits: 100 }, previous: true } }
      yield* withStore(options, (store) =>
        Effect.gen(function*() {
          yield* store.put("session", 1, { ttl: "1 minute" })
          yield* store.put("user", 2)
          yield* store.flush
          yield* TestClock.adjust("1 minute")
          yield* swept(store, 1)
        }))
      const changes = yield* withStore(options, (store) =>
        Stream.runCollect(Stream.take(store.changes({ since: 0, previous: true }), 3)))
      const told = yield* Effect.forEach(changes, (change) =>
        change._tag === "Clear" ? Effect.succeed("clear") : Effect.map(
          change.previous,
          (previous) =>
            `${change._tag} ${change.key} ${
              String(Option.getOrElse(previous, () => "none"))
            }`
        ))
      assert.deepStrictEqual(told, ["Put session none", "Put user none", "Expired session 1"])
    }))

  it.effect("counts as absent for a put that comes before the sweeper", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const kinds = yield* start(Stream.runCollect(Stream.take(store.changes({ previous: true }), 2)))
      yield* store.put("session", 1, { ttl: "1 minute" })
      yield* store.flush
      // The put is made in the turn in which the time is over.
      yield* Effect.andThen(TestClock.setTime(60_000), store.putMany({ session: 2 }))
      const [first, second] = yield* Fiber.join(kinds)
      assert.isTrue(first?._tag === "Put" && first.kind === "insert")
      if (second?._tag === "Put") {
        assert.strictEqual(second.kind, "insert")
        assert.deepStrictEqual(yield* second.previous, Option.none())
      } else assert.strictEqual(second?._tag, "Expired")
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("is not in the first state of a watch, and is removed from a running watch", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("session", 1, { ttl: "1 minute" })
      yield* store.flush
      const values = yield* start(Stream.runCollect(Stream.take(store.watch("session"), 2)))
      yield* Effect.yieldNow
      yield* TestClock.adjust("1 minute")
      const seen = yield* Fiber.join(values)
      assert.deepStrictEqual(seen, [Option.some(1), Option.none()])
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(store.watch("session"), 1)), [Option.none()])
    }).pipe(Effect.provide(Store.layerTemp())))
})
