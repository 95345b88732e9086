/** A copy of all that a store has in another store. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { join } from "node:path"
import { Collection, Store } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { stopSweeper, storedIn, swept } from "../support/expiring.ts"
import { all, userOf, users } from "../support/fixtures/collections.ts"
import { faultyStore, start, temporaryFolder } from "../support/harness.ts"

const entries = (count: number, size: number) =>
  Array.from({ length: count }, (_, index) => [`key ${String(index).padStart(6, "0")}`, "x".repeat(size)] as const)

/** Two stores, the second with options of its own. */
const twoStores = Effect.fnUntraced(
  function*(options: { readonly compression?: boolean; readonly maxMapSize?: string } = {}) {
    const folder = yield* temporaryFolder
    const from = yield* Store.make({ path: join(folder, "from") })
    const to = yield* Store.make({
      path: join(folder, "to"),
      ...(options.compression === undefined ? {} : { compression: options.compression }),
      ...(options.maxMapSize === undefined ? {} : { mapSize: "256 KiB", maxMapSize: "1 MiB" })
    })
    return { folder, from, to }
  }
)

const openUsers = Collection.make("users", users)

describe("a copy of a store", () => {
  it.effect("has its records, collections and indexes, pending writes included", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores({ compression: true })
      const source = yield* Effect.provideService(openUsers, Store, from)
      yield* from.putMany(entries(3000, 400))
      // Records with the same fields share their names, which are stored elsewhere
      yield* source.putMany(
        Array.from({ length: 500 }, (_, key) => [key, userOf(`u${key}`, key % 50, ["a", "b"])] as const)
      )
      yield* from.put("pending", { deep: [1, new Date(5), new Map([["k", 1n]])] })
      yield* Store.copy(from, to)
      assert.strictEqual(yield* to.size, 3001)
      assert.deepStrictEqual(yield* to.getOrFail("pending"), { deep: [1, new Date(5), new Map([["k", 1n]])] })
      const target = yield* Effect.provideService(openUsers, Store, to)
      assert.deepStrictEqual(yield* all(target.entries()), yield* all(source.entries()))
      assert.strictEqual((yield* target.indexes.byEmail.getOrFail("u7@example.com")).name, "u7")
      assert.deepStrictEqual(yield* target.verify, [])
      // It is a store like any other from then on
      yield* target.put(1000, userOf("new", 1))
      yield* to.put("other", { a: 1 })
      yield* to.flush
      assert.isFalse(yield* from.has("other"))
    }))

  it.effect("may be on another backend, and back", () =>
    Effect.gen(function*() {
      const { folder, from } = yield* twoStores()
      const source = yield* Effect.provideService(openUsers, Store, from)
      yield* source.putMany(Array.from({ length: 300 }, (_, key) => [key, userOf(`u${key}`, key % 50)] as const))
      yield* from.putMany(entries(600, 100))
      const slow = yield* DelayedStore.open({ path: join(folder, "slow") }, { seed: 1 })
      const back = yield* Store.make({ path: join(folder, "back") })
      yield* Store.copy(from, slow)
      yield* Store.copy(slow, back)
      const target = yield* Effect.provideService(openUsers, Store, back)
      assert.deepStrictEqual(yield* all(target.entries()), yield* all(source.entries()))
      assert.deepStrictEqual(yield* target.verify, [])
      assert.deepStrictEqual(yield* all(back.entries()), yield* all(from.entries()))
    }))

  it.effect.each([{ ttl: "1 minute" }, { ttl: "10 minutes" }])(
    "has records that expire when those of the store do, although their first time has passed: $ttl",
    ({ ttl }) =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const path = join(folder, "from")
        const keys = Array.from({ length: 500 }, (_, at) => `k${at}`)
        yield* Effect.scoped(Effect.gen(function*() {
          const store = yield* Store.make({ path })
          yield* store.put("gone", 0, { ttl: "1 minute" })
          yield* Effect.forEach(keys, (key) => store.put(key, 0, { ttl: "1 minute" }))
          // Records that live longer than their entries of expiry say
          if (ttl !== "1 minute") yield* Effect.forEach(keys, (key) => store.put(key, 1, { ttl: "10 minutes" }))
          yield* store.put("stays", 0)
        }))
        // A store that is read-only deletes nothing
        const from = yield* Store.make({ path, readOnly: true })
        const to = yield* Store.make({ path: join(folder, "to") })
        if (ttl !== "1 minute") yield* TestClock.adjust("61 seconds")
        yield* Store.copy(from, to)
        assert.strictEqual(yield* to.size, ttl === "1 minute" ? 502 : 501)
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(yield* to.size, 1)
        assert.deepStrictEqual(yield* to.get("k0"), Option.none())
        yield* swept(to, ttl === "1 minute" ? 501 : 500)
        assert.strictEqual(yield* storedIn(to, "records"), 1)
      })
  )

  it.effect("knows that records may expire: a write over an expired one deletes its index entries", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores()
      const value = Schema.Struct({ tag: Schema.String })
      const byTag = { key: Schema.String, of: ({ tag }: { readonly tag: string }) => tag }
      const sessions = Collection.make("sessions", {
        key: Schema.Int,
        value,
        expires: () => Duration.minutes(1),
        indexes: { byTag }
      })
      yield* (yield* Effect.provideService(sessions, Store, from)).put(1, { tag: "old" })
      yield* Store.copy(from, to)
      yield* stopSweeper(to)
      const target = yield* Effect.provideService(
        Collection.make("sessions", { key: Schema.Int, value, indexes: { byTag } }),
        Store,
        to
      )
      yield* TestClock.adjust("1 minute")
      yield* target.put(1, { tag: "new" })
      assert.deepStrictEqual(yield* target.indexes.byTag.collect({ equals: "old" }), [])
      assert.deepStrictEqual(yield* target.verify, [])
    }))

  it.effect("does not have the change log, whose numbers belong to its file", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const changeLog = { retention: { commits: 100 } }
      const from = yield* Store.make({ path: join(folder, "from"), changeLog })
      const to = yield* Store.make({ path: join(folder, "to"), changeLog })
      for (const value of [1, 2, 3]) {
        yield* from.put("a", value)
        yield* from.flush
      }
      yield* Store.copy(from, to)
      const told = yield* Stream.runCollect(to.changes({ since: 0 }).pipe(Stream.take(1)))
      assert.deepStrictEqual(told.map((change) => change._tag === "Clear" ? "Clear" : change.key), ["a"])
      yield* to.put("b", 1)
      yield* to.flush
      assert.deepStrictEqual(yield* all(to.keys()), ["a", "b"])
    }))

  it.effect("is one state of the store while other fibers write", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores()
      const round = (number: number) => from.putMany(entries(2000, 500).map(([key]) => [key, number] as const))
      yield* round(0)
      const writer = yield* start(Effect.forEach([1, 2, 3, 4, 5], round))
      yield* Store.copy(from, to)
      yield* Fiber.join(writer)
      const values = new Set(yield* all(to.values()))
      assert.strictEqual(values.size, 1)
    }))

  it.effect("needs an empty target that is not the same store", () =>
    Effect.gen(function*() {
      const { folder, from, to } = yield* twoStores()
      yield* from.put("a", 1)
      yield* to.put("b", 2)
      for (const _ of ["pending", "on disk"]) {
        assert.include(yield* Effect.flip(Store.copy(from, to)), { _tag: "StoreNotEmpty", path: join(folder, "to") })
        yield* to.flush
      }
      assert.include(yield* Effect.flip(Store.copy(from, from)), { _tag: "StoreNotEmpty" })
      assert.deepStrictEqual(yield* all(to.keys()), ["b"])
      const counters = yield* Store.make({ path: join(folder, "counters") })
      yield* Effect.provideService(
        Collection.make("counters", { key: Schema.String, value: Schema.Number }),
        Store,
        counters
      )
      assert.include(yield* Effect.flip(Store.copy(from, counters)), { _tag: "StoreNotEmpty" })
      yield* counters.close()
      assert.include(yield* Effect.flip(Store.copy(from, counters)), { _tag: "Closed" })
      yield* from.flush
      const reading = yield* Effect.scoped(Effect.flatMap(Store.make({ path: join(folder, "new") }), () => Effect.void))
        .pipe(
          Effect.andThen(Store.make({ path: join(folder, "new"), readOnly: true }))
        )
      assert.include(yield* Effect.flip(Store.copy(from, reading)), { _tag: "ReadOnly" })
    }))

  it.effect("is deleted again if it does not fit or is interrupted", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores({ maxMapSize: "1 MiB" })
      yield* from.putMany(entries(5000, 1000))
      assert.include(yield* Effect.flip(Store.copy(from, to)), { _tag: "MapFull" })
      assert.strictEqual(yield* to.size, 0)
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const held = yield* faulty.holdCommit
      const copying = yield* start(Store.copy(from, store))
      yield* held.isWanted
      const interrupting = yield* start(Fiber.interrupt(copying))
      yield* held.release
      yield* Fiber.join(interrupting)
      assert.strictEqual(yield* store.size, 0)
      yield* Store.copy(from, store)
      assert.strictEqual(yield* store.size, 5000)
    }))

  it.effect("that fails on the disk leaves an empty store", () =>
    Effect.gen(function*() {
      const { from } = yield* twoStores()
      yield* from.putMany(entries(5000, 1000))
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      yield* faulty.fail("commit", faults.inputOutput, 3)
      assert.strictEqual(yield* Effect.flip(Store.copy(from, store)), faults.inputOutput)
      assert.strictEqual(yield* store.size, 0)
    }))

  it.effect("is read and committed part by part", () =>
    Effect.gen(function*() {
      const { from } = yield* twoStores()
      yield* from.putMany(entries(5000, 1000))
      yield* from.put("long", "x".repeat(3_000_000))
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      yield* Store.copy(from, store)
      assert.strictEqual(yield* store.size, 5001)
      const sizes = faulty.batches().map((batch) => batch.reduce((sum, [, , value]) => sum + (value?.length ?? 0), 0))
      assert.isAbove(sizes.length, 10)
      assert.isBelow(Math.max(...sizes), 3_000_000 + 2 * 1024 * 1024)
      assert.isBelow(sizes.toSorted((a, b) => b - a)[1] ?? 0, 2 * 1024 * 1024)
    }))
})
