/** Writes with `{ durable: true }`: on disk when they return, or not made. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { entriesOf } from "../support/expiring.ts"
import { all, openUsers, userOf } from "../support/fixtures/collections.ts"
import { below, contentOf, increment, openSeeded, seed } from "../support/fixtures/transactions.ts"
import { faultyStore, start, turns } from "../support/harness.ts"

const durable = { durable: true } as const

const together = <A, E, R>(count: number, use: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(below(count), use, { concurrency: "unbounded" })

const ada = userOf("Ada", 36, ["maths"])

describe("a durable write", () => {
  it.effect("of the store is on disk when it returns, with the earlier pending writes", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded({ flushInterval: "Infinity" })
      const commits = () => spy.commits().slice(1)
      yield* store.put("pending", 1)
      yield* store.put("a", 2, durable)
      assert.deepStrictEqual(commits(), [["pending", "a"]])
      assert.deepStrictEqual(yield* store.update("a", increment, durable), Option.some(3))
      yield* store.delete("b", durable)
      yield* store.deleteOrFail("c", durable)
      assert.deepStrictEqual(commits().slice(1), [["a"], ["-b"], ["-c"]])
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.strictEqual((yield* Effect.flip(store.deleteOrFail("c", durable)))._tag, "KeyNotFound")
      assert.deepStrictEqual(yield* contentOf(store), { a: 3, pending: 1 })
    }))

  it.effect("of a collection is on disk with its index entries, and is checked like any other write", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      const users = yield* Effect.provideService(openUsers, Store, store)
      const before = spy.commits().length
      yield* users.insert(1, ada, durable)
      yield* users.put(2, userOf("Bob", 7), durable)
      yield* users.update(2, () => Option.some(userOf("Bob", 8)), durable)
      assert.strictEqual(spy.commits().length, before + 3)
      assert.strictEqual((yield* Effect.flip(users.insert(1, ada, durable)))._tag, "KeyExists")
      assert.strictEqual((yield* Effect.flip(users.put(3, ada, durable)))._tag, "UniqueViolation")
      yield* users.deleteOrFail(2, durable)
      yield* users.delete(2, durable)
      assert.strictEqual((yield* Effect.flip(users.deleteOrFail(2, durable)))._tag, "KeyNotFound")
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.deepStrictEqual(yield* all(users.entries()), [[1, ada]])
      assert.deepStrictEqual(yield* users.verify, [])
    }))

  it.effect("may be a read-modify-write", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      const users = yield* Effect.provideService(openUsers, Store, store)
      yield* users.insert(1, ada, durable)
      const before = spy.commits().length
      assert.strictEqual((yield* users.patch(1, { age: 37 }, durable)).age, 37)
      assert.strictEqual((yield* users.updateOrFail(1, () => ada, durable)).age, 36)
      assert.strictEqual(
        yield* users.modify(1, (found) => ["gone", Option.filter(found, () => false)], durable),
        "gone"
      )
      yield* store.put("count", 1, durable)
      assert.strictEqual(yield* store.updateOrFail("count", Number, durable), 1)
      assert.strictEqual(yield* store.modify("count", () => ["two", Option.some(2)], durable), "two")
      assert.strictEqual(spy.commits().length, before + 6)
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.strictEqual((yield* Effect.flip(users.patch(1, { age: 1 }, durable)))._tag, "KeyNotFound")
      assert.strictEqual((yield* Effect.flip(store.updateOrFail("no", Number, durable)))._tag, "KeyNotFound")
      const misspelt: object = { durabel: true }
      assert.strictEqual((yield* Effect.flip(users.modify(1, () => [1, Option.none()], misspelt)))._tag, "KeyEncoding")
      assert.strictEqual(yield* store.getOrFail("count"), 2)
    }))

  it.effect("may be a read-modify-write by many fibers, and no update is lost", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      const next = store.modify("next", (found) => {
        const number = Option.match(found, { onNone: () => 0, onSome: Number })
        return [number, Option.some(number + 1)]
      }, durable)
      const numbers = yield* together(200, () => next)
      assert.deepStrictEqual(numbers.toSorted((a, b) => a - b), below(200))
    }))

  it.effect("shares commits: a thousand fibers make a few commits, also if they write one key", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      yield* together(1000, (n) => store.put(`${n}`, n, durable))
      assert.isBelow(spy.transactions(), 10)
      const counts = yield* together(500, () => store.update("count", increment, durable))
      assert.strictEqual(new Set(counts.map(Option.getOrUndefined)).size, 500)
      assert.strictEqual(yield* store.getOrFail("count"), 500)
      assert.isBelow(spy.transactions(), 100)
    }))

  it.effect("by many fibers that insert one key succeeds once", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open()
      const users = yield* Effect.provideService(openUsers, Store, store)
      const exits = yield* together(50, (n) => Effect.exit(users.insert(1, userOf(`User ${n}`, n), durable)))
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      assert.strictEqual(yield* users.size, 1)
      assert.deepStrictEqual(yield* users.verify, [])
    }))

  it.effect("is visible after its commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const held = yield* spy.hold("commit")
      const putting = yield* start(store.put("a", 1, durable))
      yield* held.begun
      yield* turns(10)
      assert.deepStrictEqual(yield* store.get("a"), Option.none())
      assert.isUndefined(putting.pollUnsafe())
      yield* held.release
      yield* Fiber.join(putting)
      assert.strictEqual(yield* store.getOrFail("a"), 1)
    }))

  it.effect("that fails writes nothing, not with a later commit either", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const writes: ReadonlyArray<(to: StoreService) => Effect.Effect<unknown, unknown>> = [
        (to) => to.put("a", 1, durable),
        (to) => to.update("a", increment, durable),
        (to) => to.delete("kept", durable),
        (to) => to.deleteOrFail("kept", durable)
      ]
      yield* store.put("kept", 1, durable)
      for (const write of writes) {
        yield* faulty.fail("commit", faults.diskFull)
        assert.strictEqual(yield* Effect.flip(write(store)), faults.diskFull)
        yield* store.flush
        assert.deepStrictEqual(yield* contentOf(store), { kept: 1 })
      }
    }))

  it.effect("inside a transaction is a part of it: it is on disk or undone with the transaction", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const commits = spy.commits().length
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("d", 4, durable)
        yield* store.update("a", increment, durable)
        assert.strictEqual(spy.commits().length, commits)
      }))
      assert.deepStrictEqual(spy.commits().slice(commits), [["d", "a"]])
      yield* Effect.flip(store.withTransaction(Effect.andThen(store.delete("a", durable), Effect.fail("no"))))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 2, d: 4 })
    }))

  it.effect("is buffered with durable: false, and refused with unknown options", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded({ flushInterval: "Infinity" })
      const commits = spy.commits().length
      yield* store.put("d", 4, { durable: false })
      yield* store.delete("a", { durable: undefined })
      assert.strictEqual(spy.commits().length, commits)
      const misspelt: object = { durabel: true }
      assert.strictEqual((yield* Effect.flip(store.put("d", 5, misspelt)))._tag, "KeyEncoding")
      assert.strictEqual(yield* store.getOrFail("d"), 4)
    }))

  it.effect("of a value with a ttl is on disk when it returns, and expires", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      yield* store.put("code", 1, { ttl: "1 minute", durable: true })
      assert.strictEqual(spy.commits().length, 1)
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.strictEqual(yield* entriesOf(store), 1)
      assert.strictEqual(yield* store.getOrFail("code"), 1)
      yield* TestClock.adjust("59999 millis")
      assert.isTrue(yield* store.has("code"))
      yield* TestClock.adjust("1 millis")
      assert.isFalse(yield* store.has("code"))
      // What is put after that is a new record
      yield* store.put("code", 2, { ttl: "2 minutes", durable: true })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* store.getOrFail("code"), 2)
    }))

  it.effect("keeps the ttl of each fiber, and shares commits", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      yield* together(100, (n) => store.put(`${n}`, n, { ttl: n % 2 === 0 ? "1 minute" : "2 minutes", durable: true }))
      assert.isBelow(spy.transactions(), 10)
      assert.strictEqual(yield* store.size, 100)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* store.size, 50)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* store.size, 0)
    }))

  it.effect("of a collection whose records expire is on disk with its time", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      const open = Collection.make("sessions", {
        key: Schema.String,
        value: Schema.String,
        expires: () => Duration.minutes(1)
      })
      const sessions = yield* Effect.provideService(open, Store, store)
      const commits = spy.commits().length
      yield* sessions.put("a", "ada", durable)
      yield* sessions.insert("b", "bob", durable)
      assert.strictEqual(spy.commits().length, commits + 2)
      assert.strictEqual(yield* entriesOf(store), 2)
      yield* TestClock.adjust("30 seconds")
      yield* sessions.update("b", Option.map((name) => name), durable)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* all(sessions.entries()), [["b", "bob"]])
      yield* sessions.insert("a", "again", durable)
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.deepStrictEqual(yield* all(sessions.entries()), [["a", "again"], ["b", "bob"]])
      assert.deepStrictEqual(yield* sessions.verify, [])
    }))

  it.effect("is refused with a ttl that is not valid, and nothing is committed", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "Infinity" })
      const wrong = yield* Effect.flip(store.put("a", 1, { ttl: Number.NaN, durable: true }))
      assert.strictEqual(wrong._tag, "KeyEncoding")
      const misspelt: object = { ttl: "1 minute", durabel: true }
      assert.strictEqual((yield* Effect.flip(store.put("a", 1, misspelt)))._tag, "KeyEncoding")
      const durableAlready: object = { ttl: "1 minute", durable: true }
      assert.strictEqual((yield* Effect.flip(store.putMany({ a: 1 }, durableAlready)))._tag, "KeyEncoding")
      assert.deepStrictEqual(spy.commits(), [])
    }))
})
