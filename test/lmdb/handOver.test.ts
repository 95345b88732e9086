/** Which commits LMDB's thread writes: those that certainly fit, in a file to which only this process writes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import type { Batch, EngineOptions, Plan } from "../../src/Engine.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import { bytes, copy, countOf, key, mebibyte, open, valueOf } from "../support/environment.ts"

/** A plan that puts a value, and counts its runs and the calls of `onFitted`. */
const putting = (name: string, length: number, more: Partial<Batch> = {}) => {
  const seen = { runs: 0, fitted: 0, ids: new Array<number>() }
  const plan: Plan = (_, id) => {
    seen.runs++
    seen.ids.push(id)
    return Exit.succeed({
      clear: [],
      writes: [[recordsDatabase, key(name), bytes(length)]],
      onFitted: () => {
        seen.fitted++
      },
      ...more
    })
  }
  return { plan, seen }
}

/** How often a commit runs a plan that puts a value of 100 bytes. */
const runsOf = Effect.fnUntraced(function*(options: Partial<EngineOptions>, more?: Partial<Batch>) {
  const { environment } = yield* open({ mapSize: 16 * mebibyte, ...options })
  const { plan, seen } = putting("a", 100, more)
  const id = yield* environment.commit(plan)
  assert.strictEqual(id, seen.ids.at(-1))
  assert.strictEqual(id, valueOf(environment.transactionId()))
  assert.deepStrictEqual(valueOf(environment.get(recordsDatabase, key("a"), copy)), bytes(100))
  assert.strictEqual(seen.fitted, 1)
  return seen.runs
})

describe("a batch that certainly fits", () => {
  it.effect("is decided when its commit begins, before there is a transaction", () =>
    Effect.gen(function*() {
      const { environment } = yield* open({ mapSize: 16 * mebibyte })
      // The first commit also empties the close record, for which it waits.
      yield* environment.commit(putting("first", 10).plan)
      for (let round = 1; round <= 20; round++) {
        const { plan, seen } = putting(`key ${round}`, 1000)
        const fiber = yield* Effect.forkChild(environment.commit(plan), { startImmediately: true })
        assert.deepStrictEqual([seen.runs, seen.fitted], [1, 1])
        assert.strictEqual(countOf(environment), round)
        assert.strictEqual(yield* Fiber.join(fiber), seen.ids[0])
        assert.strictEqual(countOf(environment), round + 1)
      }
    }))

  it.effect("is not written if a database is missing, not even in part", () =>
    Effect.gen(function*() {
      const { environment } = yield* open({ mapSize: 16 * mebibyte })
      const before = valueOf(environment.transactionId())
      const writes: Batch["writes"] = [[recordsDatabase, key("a"), bytes(10)], ["missing", key("b"), bytes(10)]]
      const error = yield* Effect.flip(environment.commit(() => Exit.succeed({ clear: [], writes })))
      assert.strictEqual(error._tag, "EngineFailure")
      assert.strictEqual(valueOf(environment.transactionId()), before)
      assert.strictEqual(countOf(environment), 0)
    }))

  it.effect("is decided once", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* runsOf({}), 1)
      assert.strictEqual(yield* runsOf({ durability: "noSync" }), 1)
      assert.strictEqual(yield* runsOf({ encryptionKey: Redacted.make("k".repeat(32)) }), 1)
    }))
})

describe("a batch is decided inside its transaction", () => {
  it.effect("if it may not fit: then its plan runs again", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* runsOf({ mapSize: 160 * 1024 }), 2)
    }))

  it.effect("if it clears a database", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* runsOf({}, { clear: [recordsDatabase] }), 2)
    }))

  it.effect("if other processes may write, or values are compressed", () =>
    Effect.gen(function*() {
      for (const options of [{ shared: true }, { lock: false }, { compression: true }]) {
        const { environment } = yield* open({ mapSize: 16 * mebibyte, ...options })
        yield* environment.commit(putting("first", 10).plan)
        const { plan, seen } = putting("a", 100)
        const fiber = yield* Effect.forkChild(environment.commit(plan), { startImmediately: true })
        assert.strictEqual(seen.runs, 0)
        yield* Fiber.join(fiber)
        assert.strictEqual(seen.runs, 1)
      }
    }))
})
