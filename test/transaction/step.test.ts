/** A transaction as a step of `pipe` and of `Effect.fn`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { expectTypeOf } from "vitest"
import { type Closed, type EngineFailure, type MapFull, type TransactionConflict } from "../../src/index.ts"
import { contentOf, increment, leaving, openSeeded, seed } from "../support/fixtures/transactions.ts"

describe("a transaction as a step of Effect.fn", () => {
  it.effect("takes the arguments of the function, and is atomic", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const move = Effect.fn("move")(function*(from: string, to: string, fails: boolean) {
        yield* store.update(from, (value) => increment(value))
        yield* store.update(to, (value) => increment(value))
        if (fails) return yield* Effect.fail("too poor")
        return `${from} to ${to}`
      }, store.withTransaction)
      assert.strictEqual(yield* move("a", "b", false), "a to b")
      assert.strictEqual(yield* Effect.flip(move("a", "c", true)), "too poor")
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 2, b: 3 })
      type Added = TransactionConflict | MapFull | EngineFailure | Closed
      const plain = Effect.fn("plain")(function*(fails: boolean) {
        return fails ? yield* Effect.fail("no" as const) : 1
      }, store.withTransaction)
      expectTypeOf(plain).toEqualTypeOf<(fails: boolean) => Effect.Effect<number, "no" | Added>>()
    }))

  it.effect("runs again by a schedule of its own", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const outside = yield* leaving
      let runs = 0
      const alwaysInConflict = Effect.fn("alwaysInConflict")(function*(key: string) {
        runs++
        yield* store.get(key)
        yield* store.put("mine", runs)
        yield* outside(store.update(key, increment))
      }, store.withTransactionRetry(Schedule.recurs(2)))
      assert.include(yield* Effect.flip(alwaysInConflict("a")), { _tag: "TransactionConflict", attempts: 3 })
      const once = Effect.asVoid(store.get("b")).pipe(store.withTransactionRetry(Schedule.recurs(0)))
      yield* once
      assert.strictEqual(runs, 3)
    }))
})
