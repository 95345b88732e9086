/** Read-modify-write on the store without schemas. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { expectTypeOf } from "vitest"
import { type Key, type KeyNotFound, Store, type TransactionConflict } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"

const inStore = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, Store.layerTemp({ flushInterval: "Infinity" }))

/** The mistake of a program: it changes its copy, and returns nothing. */
const changeCopy = (current: unknown): void => {
  Object.assign(Object(current), { n: 2 })
}

const numberOf = (current: Option.Option<unknown>): number => Option.match(current, { onNone: () => 0, onSome: Number })

describe("update", () => {
  it.effect("commits nothing if its function returns what it was given", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.put("a", { n: 1 })
      yield* store.flush
      const transactions = spy.transactions()
      assert.deepStrictEqual(yield* store.update("a", (current) => current), Option.some({ n: 1 }))
      assert.deepStrictEqual(yield* store.update("b", (current) => current), Option.none())
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* store.flush
      assert.strictEqual(spy.transactions(), transactions)
      // A new Option is a new value, also if it has the same content.
      yield* store.update("a", Option.map((value) => value))
      yield* store.flush
      assert.deepStrictEqual(spy.commits().at(-1), ["a"])
    }))

  it.effect("writes nothing in a shared store either", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ shared: true })
      yield* store.put("a", 1)
      yield* store.flush
      const commits = spy.commits().length
      assert.deepStrictEqual(yield* store.update("a", (current) => current), Option.some(1))
      assert.deepStrictEqual(spy.commits().slice(commits).flat(), [])
      assert.strictEqual(yield* store.getOrFail("a"), 1)
    }))
})

describe("updateOrFail", () => {
  it.effect("replaces a value that exists, or fails with KeyNotFound", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 1)
      assert.strictEqual(yield* store.updateOrFail("a", (n) => Number(n) + 1), 2)
      assert.strictEqual(yield* store.getOrFail("a"), 2)
      const missing = store.updateOrFail("b", () => 1)
      assert.include(yield* Effect.flip(missing), { _tag: "KeyNotFound", key: "b" })
      expectTypeOf<KeyNotFound<Key>>().toExtend<Effect.Error<typeof missing>>()
      assert.isFalse(yield* store.has("b"))
    })))

  it.effect("refuses undefined as the next value, because the compiler accepts a function that returns nothing", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const counters = yield* store.namespace("counters")
      for (const records of [store, counters]) {
        yield* records.put("a", { n: 1 })
        const error = yield* Effect.flip(records.updateOrFail("a", changeCopy))
        assert.include(error.message, "the function of updateOrFail has returned undefined")
        assert.strictEqual(error._tag, "ValueEncoding")
        assert.deepStrictEqual(yield* records.getOrFail("a"), { n: 1 })
        // A value that is undefined can stay so.
        yield* records.put("b", undefined)
        assert.isUndefined(yield* records.updateOrFail("b", (current) => current))
      }
    })))
})

describe("modify", () => {
  it.effect("returns the result of the step that was stored", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const next = store.modify("n", (current) => [numberOf(current), Option.some(numberOf(current) + 1)])
      expectTypeOf<Effect.Success<typeof next>>().toEqualTypeOf<number>()
      const given = yield* Effect.all(Array.from({ length: 50 }, () => next), { concurrency: "unbounded" })
      assert.deepStrictEqual(given, Array.from({ length: 50 }, (_, n) => n))
      assert.strictEqual(yield* store.modify("n", (current) => [numberOf(current), Option.none()]), 50)
      assert.isFalse(yield* store.has("n"))
      // @ts-expect-error it returns no pair
      const error = yield* Effect.flip(store.modify("n", () => 1))
      assert.include(error.message, "the function of modify must return [result, next]")
    })))

  it.effect("keeps the time at which a value expires", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 1, { ttl: "1 minute" })
      yield* store.put("b", 1, { ttl: "1 minute" })
      yield* store.modify("a", (current) => [undefined, Option.some(numberOf(current) + 1)])
      yield* store.modifyEffect("b", (current) => Effect.succeed([undefined, Option.some(numberOf(current) + 1)]))
      assert.deepStrictEqual([...(yield* store.getMany(["a", "b"])).found], [["a", 2], ["b", 2]])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* store.getMany(["a", "b"])).missing, ["a", "b"])
    })))
})

describe("a modify that deletes", () => {
  it.effect("returns what was there", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 1)
      const take = store.modify("a", (current) => [current, Option.none()])
      assert.deepStrictEqual(yield* take, Option.some(1))
      assert.deepStrictEqual(yield* take, Option.none())
      assert.isFalse(yield* store.has("a"))
    })))
})

describe("modifyEffect", () => {
  it.effect("is one transaction with what the effect does", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const add = store.modifyEffect("count", (current) => {
        const count = numberOf(current) + 1
        return Effect.as(store.put(`item ${count}`, count), [count, Option.some(count)] as const)
      })
      expectTypeOf<Extract<Effect.Error<typeof add>, TransactionConflict>>().toEqualTypeOf<TransactionConflict>()
      assert.strictEqual(yield* add, 1)
      assert.deepStrictEqual(spy.commits(), [["item 1", "count"]])
      const failing = store.modifyEffect(
        "count",
        () => Effect.andThen(store.put("other", 1), Effect.fail("refused" as const))
      )
      assert.strictEqual(yield* Effect.flip(failing), "refused")
      assert.isFalse(yield* store.has("other"))
      // In an open transaction it is a part of that.
      yield* Effect.flip(store.withTransaction(Effect.andThen(add, Effect.fail("no"))))
      assert.strictEqual(yield* store.getOrFail("count"), 1)
    }))

  it.effect("refuses a function that returns no effect", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 1)
      const noEffects: ReadonlyArray<() => unknown> = [() => undefined, () => Promise.resolve(["a", Option.none()])]
      for (const f of noEffects) {
        // @ts-expect-error it returns no effect
        const error = yield* Effect.flip(store.modifyEffect<unknown, never, never>("a", f))
        assert.include(error.message, "the function of modifyEffect must return an Effect")
      }
      // @ts-expect-error it is no function
      const noFunction = store.modifyEffect<unknown, never, never>("a", "b")
      assert.include((yield* Effect.flip(noFunction)).message, "modifyEffect needs a function")
      assert.strictEqual(yield* store.getOrFail("a"), 1)
    })))
})

describe("putMany", () => {
  it.effect("takes what map makes of an array", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = [{ id: "a", name: "Ada" }, { id: "b", name: "Bea" }]
      yield* store.putMany(users.map((user) => [user.id, user]))
      assert.deepStrictEqual(yield* store.getOrFail("b"), users[1])
      // @ts-expect-error a number is no key
      assert.strictEqual((yield* Effect.flip(store.putMany(users.map((user) => [1, user]))))._tag, "KeyEncoding")
    })))
})
