/** Values of the store that expire. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Store, type StoreService } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { entriesOf, stopSweeper, storedIn, swept } from "../support/expiring.ts"
import { start, temporaryFolder, turns, withStore } from "../support/harness.ts"
import { show, subscribe } from "../support/subscribing.ts"

const minute = TestClock.adjust("1 minute")

/** Everything that a store says of its keys and values. */
const seen = Effect.fnUntraced(function*(store: StoreService, keys: ReadonlyArray<string>) {
  const { found, missing } = yield* store.getMany(keys)
  return {
    get: yield* Effect.forEach(keys, (key) => Effect.map(store.get(key), Option.getOrNull)),
    has: yield* Effect.forEach(keys, (key) => store.has(key)),
    found: [...found],
    missing,
    keys: yield* Stream.runCollect(store.keys()),
    values: yield* Stream.runCollect(store.values()),
    reverse: yield* Stream.runCollect(store.entries({ reverse: true })),
    live: yield* Stream.runCollect(store.keys({ snapshot: false })),
    last: yield* Stream.runCollect(store.keys({ reverse: true, limit: 1 })),
    count: yield* store.count(),
    size: yield* store.size,
    entries: (yield* store.stats).entries
  }
})

/** What a store says that has these values. */
const expected = (
  values: Readonly<Record<string, unknown>>,
  keys: ReadonlyArray<string>
): Effect.Success<ReturnType<typeof seen>> => {
  const present = Object.keys(values).toSorted()
  return {
    get: keys.map((key) => values[key] ?? null),
    has: keys.map((key) => key in values),
    found: keys.flatMap((key) => key in values ? [[key, values[key]] as const] : []),
    missing: keys.filter((key) => !(key in values)),
    keys: present,
    values: present.map((key) => values[key]),
    reverse: present.toReversed().map((key) => [key, values[key]] as const),
    live: present,
    last: present.slice(-1),
    count: present.length,
    size: present.length,
    entries: present.length
  }
}

const keys = ["a", "b", "c", "d"]

describe("a value with a ttl", () => {
  for (const sweeps of [true, false]) {
    for (const flushes of [true, false]) {
      const mode = `${sweeps ? "with" : "without"} the sweeper, ${flushes ? "committed" : "pending"}`
      it.effect(`is absent for every read from its time on: ${mode}`, () =>
        Effect.gen(function*() {
          const store = yield* Store.make({ path: yield* temporaryFolder })
          if (!sweeps) yield* stopSweeper(store)
          yield* store.put("a", 1, { ttl: "2 minutes" })
          yield* store.put("b", 2)
          yield* store.put("c", 3, { ttl: "1 minute" })
          yield* store.put("d", 4, { ttl: Duration.minutes(3) })
          if (flushes) yield* store.flush
          assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 1, b: 2, c: 3, d: 4 }, keys))
          yield* TestClock.adjust("59999 millis")
          assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 1, b: 2, c: 3, d: 4 }, keys))
          yield* TestClock.adjust("1 millis")
          assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 1, b: 2, d: 4 }, keys))
          yield* minute
          assert.deepStrictEqual(yield* seen(store, keys), expected({ b: 2, d: 4 }, keys))
          yield* minute
          assert.deepStrictEqual(yield* seen(store, keys), expected({ b: 2 }, keys))
          if (sweeps) yield* swept(store, 3)
          assert.strictEqual(yield* storedIn(store, "records"), sweeps ? 1 : 4)
          assert.strictEqual(yield* entriesOf(store), sweeps ? 0 : 3)
          assert.deepStrictEqual(yield* seen(store, keys), expected({ b: 2 }, keys))
        }))
    }
  }

  it.effect("is permanent after a put without a ttl, keeps its time in an update, and otherwise has the last time", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      for (const key of keys) yield* store.put(key, 1, { ttl: "1 minute" })
      yield* store.put("a", 2)
      yield* store.update("b", Option.map((n) => Number(n) + 1))
      yield* store.put("c", 2, { ttl: "2 minutes" })
      yield* store.put("d", 2, { ttl: undefined })
      yield* minute
      assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 2, c: 2, d: 2 }, keys))
      yield* minute
      assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 2, d: 2 }, keys))
      yield* swept(store, 2)
      assert.strictEqual(yield* entriesOf(store), 0)
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 2, d: 2 }, keys))
    }))

  it.effect("is absent for update, deleteOrFail, getOrFail and deleteRange", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* stopSweeper(store)
      yield* store.put("a", 1, { ttl: "1 minute" })
      yield* minute
      assert.strictEqual((yield* Effect.flip(store.getOrFail("a")))._tag, "KeyNotFound")
      assert.strictEqual((yield* Effect.flip(store.deleteOrFail("a")))._tag, "KeyNotFound")
      assert.strictEqual(yield* store.deleteRange({ prefix: "a" }), 0)
      const next = yield* store.update("a", (current) => Option.some(Option.isNone(current) ? "new" : "old"))
      assert.deepStrictEqual(next, Option.some("new"))
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(yield* store.get("a"), Option.some("new"))
    }))

  it.effect("of putMany is the same for all of its values, also if it defines structures", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const many = Array.from({ length: 500 }, (_, at) => [`k${at}`, { first: at, second: "x" }] as const)
      yield* store.putMany(many, { ttl: "1 minute" })
      yield* store.putMany({ a: 1 }, {})
      assert.deepStrictEqual(yield* store.getOrFail("k7"), { first: 7, second: "x" })
      assert.strictEqual(yield* store.size, 501)
      yield* minute
      assert.strictEqual(yield* store.size, 1)
      yield* swept(store, 500)
      assert.strictEqual(yield* storedIn(store, "records"), 1)
      assert.strictEqual((yield* store.stats).expired, 500)
    }))

  it.effect("that is not positive deletes the value, and an infinite ttl makes it permanent", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("a", 1)
      yield* store.put("a", 2, { ttl: 0 })
      yield* store.put("b", 1, { ttl: "-1 seconds" })
      yield* store.put("c", 1, { ttl: "Infinity" })
      yield* store.putMany({ d: 1 }, { ttl: 0 })
      assert.deepStrictEqual(yield* seen(store, keys), expected({ c: 1 }, keys))
      assert.strictEqual(yield* entriesOf(store), 0)
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("c", 2, { ttl: 0 })
        assert.isFalse(yield* store.has("c"))
      }))
      assert.strictEqual(yield* store.size, 0)
    }))

  it.effect("that is not a duration is refused, and so are unknown options", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const bad: ReadonlyArray<object> = [
        { ttl: "soon" },
        { ttl: null },
        { ttl: Number.NaN },
        { TTL: 1 },
        { ttl: new Date() }
      ]
      for (const options of bad) {
        const error = yield* Effect.flip(store.put("a", 1, options))
        assert.strictEqual(error._tag === "KeyEncoding" && error.reason._tag, "Argument", JSON.stringify(options))
        assert.strictEqual((yield* Effect.flip(store.putMany({ a: 1 }, options)))._tag, "KeyEncoding")
      }
      assert.strictEqual(yield* store.size, 0)
    }))

  it.effect("has a key of any length", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const lengths = [1, 1960, 1961, 1962, 1963, 1978]
      for (const length of lengths) yield* store.put("x".repeat(length), length, { ttl: "1 minute" })
      yield* store.flush
      assert.strictEqual(yield* store.size, lengths.length)
      yield* minute
      assert.strictEqual(yield* store.size, 0)
      yield* swept(store, lengths.length)
      assert.strictEqual(yield* entriesOf(store), 0)
      assert.strictEqual(yield* storedIn(store, "records"), 0)
    }))
})

describe("the sweeper", () => {
  it.effect("reports expired records to subscribers, and only these", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const told = yield* subscribe(store.changes())
      yield* store.put("a", 1, { ttl: "1 minute" })
      yield* store.put("b", 2, { ttl: "1 minute" })
      yield* store.put("c", 3, { ttl: "1 minute" })
      yield* store.flush
      yield* store.delete("b")
      yield* store.put("c", 4)
      yield* store.flush
      yield* minute
      yield* swept(store, 1)
      yield* store.put("a", 5)
      yield* store.close()
      const changes = yield* Effect.forEach(yield* told, show)
      assert.deepStrictEqual(changes, ["a=1", "b=2", "c=3", "-b", "c=4", "xa", "a=5"])
    }))

  it.effect("deletes what has expired while another record is written again all the time", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
      yield* store.putMany(Array.from({ length: 200 }, (_, at) => [`cold${at}`, at] as const), { ttl: "90 seconds" })
      let puts = 0
      const putHot = Effect.andThen(Effect.suspend(() => store.put("hot", puts++, { ttl: "1 hour" })), Effect.yieldNow)
      yield* store.put("hot", 0, { ttl: "30 seconds" })
      // From now on the entry of the record is earlier than its time
      yield* putHot
      const writer = yield* Effect.forkChild(Effect.forever(putHot))
      yield* TestClock.adjust("90 seconds")
      yield* swept(store, 200)
      yield* Fiber.interrupt(writer)
      assert.strictEqual(yield* store.size, 1)
      assert.strictEqual(yield* storedIn(store, "records"), 1)
    }))

  it.effect("deletes 10,000 records in batches", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const told = yield* subscribe(store.changes())
      const many = Array.from({ length: 10_000 }, (_, at) => [`k${at}`, at] as const)
      yield* store.putMany(many, { ttl: "1 minute" })
      yield* minute
      assert.strictEqual(yield* store.size, 0)
      yield* swept(store, 10_000)
      assert.strictEqual(yield* storedIn(store, "records"), 0)
      assert.strictEqual(yield* entriesOf(store), 0)
      yield* store.close()
      const expired = (yield* told).filter(({ _tag }) => _tag === "Expired")
      assert.strictEqual(expired.length, 10_000)
      assert.strictEqual(new Set(expired.map(({ transactionId }) => transactionId)).size, 10)
    }))

  it.effect("deletes records that expired while the store was closed", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.putMany({ a: 1, b: 2 }, { ttl: "30 minutes" }))
      yield* withStore({ path }, (store) => Effect.andThen(store.put("c", 3, { ttl: "1 hour" }), store.size)).pipe(
        Effect.map((size) => assert.strictEqual(size, 3))
      )
      yield* TestClock.adjust("30 minutes")
      yield* withStore({ path, readOnly: true }, (store) => seen(store, keys)).pipe(
        Effect.map((found) => assert.deepStrictEqual(found, expected({ c: 3 }, keys)))
      )
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* seen(store, keys), expected({ c: 3 }, keys))
          yield* swept(store, 2)
          assert.strictEqual(yield* storedIn(store, "records"), 1)
          yield* TestClock.adjust("30 minutes")
          assert.deepStrictEqual(yield* seen(store, keys), expected({}, keys))
          yield* swept(store, 3)
        }))
    }))

  it.effect("deletes a record whose put waited for room while it looked for the next one", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 1 })
      // Wakes the sweeper after a minute, which finds nothing to delete then.
      yield* store.put("a", 1, { ttl: "1 minute" })
      yield* store.put("a", 1, { ttl: "1 hour" })
      yield* store.flush
      const committing = yield* spy.hold("commit")
      yield* store.put("b", 2)
      yield* committing.begun
      yield* store.put("c", 3)
      const waiting = yield* start(store.put("d", 4, { ttl: "2 minutes" }))
      yield* minute
      yield* turns(20)
      assert.isUndefined(waiting.pollUnsafe())
      yield* committing.release
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 1, b: 2, c: 3, d: 4 }, keys))
      yield* minute
      assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 1, b: 2, c: 3 }, keys))
      yield* swept(store, 1)
    }))

  it.effect("keeps a record that was put again just before its deletion", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      for (const key of keys) yield* store.put(key, 1, { ttl: "1 minute" })
      yield* store.flush
      yield* minute
      yield* Effect.forEach(keys, (key) => store.put(key, 2), { concurrency: "unbounded" })
      yield* store.flush
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* seen(store, keys), expected({ a: 2, b: 2, c: 2, d: 2 }, keys))
    }))
})

describe("a transaction", () => {
  it.effect("uses one time, and runs again if a record that it has read expires before its commit", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* stopSweeper(store)
      yield* store.put("a", 1, { ttl: "1 minute" })
      const reads: Array<Option.Option<unknown>> = []
      yield* store.withTransaction(Effect.gen(function*() {
        reads.push(yield* store.get("a"))
        if (reads.length === 1) yield* minute
        reads.push(yield* store.get("a"))
        yield* store.put("b", reads.length)
      }))
      const one = Option.some(1)
      assert.deepStrictEqual(reads, [one, one, Option.none(), Option.none()])
      assert.strictEqual(yield* store.getOrFail("b"), 4)
    }))

  it.effect("that has not read an expired record does not conflict with the sweeper", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.putMany({ a: 1, b: 2 }, { ttl: "1 minute" })
      yield* store.put("c", 3)
      yield* minute
      let runs = 0
      yield* store.withTransaction(Effect.gen(function*() {
        runs++
        assert.strictEqual(yield* store.size, 1)
        assert.deepStrictEqual(yield* Stream.runCollect(store.keys()), ["c"])
        yield* swept(store, 2)
        yield* store.put("d", 4)
      }))
      assert.strictEqual(runs, 1)
    }))

  it.effect("can write values that expire, which are absent from their time on", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("a", 1, { ttl: "1 minute" })
        yield* store.putMany({ b: 2 }, { ttl: "2 minutes" })
        assert.strictEqual(yield* store.size, 2)
      }))
      yield* minute
      assert.deepStrictEqual(yield* seen(store, keys), expected({ b: 2 }, keys))
      yield* minute
      yield* swept(store, 2)
      assert.strictEqual(yield* store.size, 0)
    }))
})
