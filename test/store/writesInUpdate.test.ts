/** An update whose function, or whose schema, itself writes the record that is updated. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Collection, Store } from "../../src/index.ts"
import { inStore } from "../support/fixtures/collections.ts"
import { increment } from "../support/fixtures/transactions.ts"

const plus = (more: number) => Option.map((n: unknown) => Number(n) + more)

/** Counts its calls, and runs an effect at once in the first ones. */
const runningAtFirst = (effect: Effect.Effect<unknown, unknown>, calls = 1) => {
  let called = 0
  return {
    run: () => {
      if (++called <= calls) Effect.runSync(effect)
    },
    called: () => called
  }
}

const numbersOf = (run: () => void) =>
  Collection.make("numbers", {
    key: Schema.String,
    value: Schema.Struct({ n: Schema.Number }),
    indexes: {
      byN: {
        key: Schema.Number,
        of: ({ n }) => {
          run()
          return n
        }
      }
    }
  })

describe("an update whose function writes the same record", () => {
  it.effect.each(["pending", "stored", "missing"] as const)(
    "runs again on the value that it wrote: %s",
    (state) =>
      inStore(Effect.gen(function*() {
        const store = yield* Store
        if (state !== "missing") yield* store.put("a", 1)
        if (state === "stored") yield* store.flush
        const inner = runningAtFirst(store.update("a", (n) => Option.some(Number(Option.getOrElse(n, () => 1)) + 100)))
        const next = yield* store.update("a", (n) => {
          inner.run()
          return plus(1)(n)
        })
        assert.deepStrictEqual(next, Option.some(102))
        assert.strictEqual(yield* store.getOrFail("a"), 102)
        assert.strictEqual(inner.called(), 2)
      }))
  )

  it.effect.each(["put", "delete"] as const)("loses no %s", (which) =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 1)
      const inner = runningAtFirst(which === "put" ? store.put("a", 5) : store.delete("a"))
      yield* store.update("a", (n) => {
        inner.run()
        return plus(1)(n)
      })
      assert.deepStrictEqual(yield* store.get("a"), which === "put" ? Option.some(6) : Option.none())
    })))

  it.effect("runs once if it writes other records", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 1)
      const inner = runningAtFirst(store.update("log", increment), 10)
      yield* store.update("a", (n) => {
        inner.run()
        return plus(1)(n)
      })
      assert.strictEqual(inner.called(), 1)
    })))

  it.effect("runs again in a transaction", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 1)
      yield* store.withTransaction(Effect.gen(function*() {
        const context = yield* Effect.context()
        const inner = runningAtFirst(Effect.provideContext(store.update("a", plus(100)), context))
        yield* store.update("a", (n) => {
          inner.run()
          return plus(1)(n)
        })
      }))
      assert.strictEqual(yield* store.getOrFail("a"), 102)
    })))

  it.effect("is refused if it does so each time, and its own writes stay", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.put("a", 0)
      const numbers = yield* numbersOf(() => undefined)
      yield* numbers.put("a", { n: 0 })
      const add = numbers.update("a", Option.map(({ n }) => ({ n: n + 1 })))
      const errors = [
        yield* Effect.flip(store.update("a", (n) => (Effect.runSync(store.update("a", plus(1))), n))),
        yield* Effect.flip(numbers.update("a", (n) => (Effect.runSync(add), n)))
      ]
      for (const error of errors) {
        assert.strictEqual(error._tag, "ValueEncoding")
        assert.include(error.message, "has itself written the record")
      }
      assert.deepStrictEqual([yield* store.getOrFail("a"), (yield* numbers.getOrFail("a")).n], [100, 100])
    })))
})

describe("an update of a collection", () => {
  it.effect.each(["function", "index"] as const)(
    "runs again if its %s writes the same record",
    (which) =>
      inStore(Effect.gen(function*() {
        let inner: ReturnType<typeof runningAtFirst> | undefined
        const runInner = () => inner?.run()
        const numbers = yield* numbersOf(() => which === "index" ? runInner() : undefined)
        yield* numbers.put("a", { n: 1 })
        inner = runningAtFirst(numbers.update("a", Option.map(({ n }) => ({ n: n + 100 }))))
        const next = yield* numbers.updateOrFail("a", ({ n }) => {
          if (which === "function") runInner()
          return { n: n + 1 }
        })
        assert.deepStrictEqual(next, { n: 102 })
        assert.deepStrictEqual(yield* numbers.getOrFail("a"), { n: 102 })
        assert.deepStrictEqual(yield* numbers.verify, [])
      }))
  )
})
