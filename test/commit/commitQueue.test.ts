/** When a commit of pending writes begins, and when it must not. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { faults } from "../support/engines/faultyEngine.ts"
import { faultyStore, start, turns, until, withLog } from "../support/harness.ts"

const commitsOf = (faulty: Effect.Success<ReturnType<typeof faultyStore>>["faulty"]) =>
  faulty.batches().map((batch) => batch.map(([, key]) => String(key)))

describe("a requested commit", () => {
  it.effect("delays a deletion when the buffer is full, also while another commit runs", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 1, flushInterval: "Infinity" })
      const held = yield* faulty.holdCommit
      const many = yield* start(store.putMany({ many: 1 }))
      yield* held.isWanted
      yield* store.put("a", 1)
      const deleting = yield* start(store.delete("b"))
      yield* turns(10)
      assert.isUndefined(deleting.pollUnsafe())
      yield* held.release
      yield* Fiber.joinAll([many, deleting])
      yield* store.flush
      assert.deepStrictEqual(commitsOf(faulty), [["many"], ["a"], ["b"]])
    }))

  it.effect("whose writes another commit has written does not write newer ones", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 2, flushInterval: "Infinity" })
      const first = yield* faulty.holdCommit
      const one = yield* start(store.putMany({ one: 1 }))
      yield* first.isWanted
      const other = yield* start(store.putMany({ other: 1 }))
      yield* store.put("a", 1)
      yield* store.put("b", 1)
      const second = yield* faulty.holdCommit
      yield* first.release
      yield* second.isWanted
      yield* store.put("newer", 1)
      yield* second.release
      yield* Fiber.joinAll([one, other])
      yield* turns(20)
      assert.deepStrictEqual(commitsOf(faulty), [["one"], ["a", "b", "other"]])
      assert.strictEqual((yield* store.stats).pending, 1)
    }))
})

describe("fibers that write and wait in the same turn", () => {
  it.effect("share one commit, also with fibers that come while another commit runs", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const putDurably = (key: string) => Effect.andThen(store.put(key, 1), store.flush)
      const all = ["a", "b", "c", "d"]
      yield* Effect.forEach(all, putDurably, { concurrency: "unbounded" })
      assert.deepStrictEqual(commitsOf(faulty), [all])
      const held = yield* faulty.holdCommit
      const first = yield* start(putDurably("first"))
      yield* held.isWanted
      const others = yield* start(Effect.forEach(all, putDurably, { concurrency: "unbounded" }))
      yield* turns(10)
      yield* held.release
      yield* Fiber.joinAll([first, others])
      assert.deepStrictEqual(commitsOf(faulty), [all, ["first"], all])
    }))

  it.effect("share one commit if they run transactions", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const all = ["a", "b", "c", "d"]
      yield* Effect.forEach(all, (key) => store.withTransaction(store.put(key, 1)), { concurrency: "unbounded" })
      assert.deepStrictEqual(commitsOf(faulty), [all])
    }))

  it.effect("do not wait for other fibers if their writes fill a batch", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 2, flushInterval: "Infinity" })
      yield* Effect.forEach(["a", "b", "c", "d"], (key) => Effect.andThen(store.put(key, 1), store.flush), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(commitsOf(faulty), [["a", "b"], ["c", "d"]])
    }))
})

describe("the interval", () => {
  it.effect("starts only at the first pending write", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "1 second" })
      yield* store.put("a", 1)
      yield* TestClock.adjust("600 millis")
      yield* store.put("b", 1)
      yield* TestClock.adjust("400 millis")
      yield* until(() => faulty.calls("commit") === 1)
      yield* store.flush
      yield* store.put("c", 1)
      yield* TestClock.adjust("999 millis")
      yield* turns(20)
      assert.strictEqual(faulty.calls("commit"), 1)
      yield* TestClock.adjust("1 millis")
      yield* until(() => faulty.calls("commit") === 2)
    }))
})

describe("a read that commits first", () => {
  it.effect("reads at once if nothing is pending", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ autoFlushOnRead: true })
      assert.deepStrictEqual(yield* store.get("missing"), Option.none())
      assert.strictEqual(faulty.calls("commit"), 0)
    }))
})

describe("the last commit", () => {
  it.effect("reports its error to the fiber that closes the store, and does not say that its writes stay pending", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
        yield* store.put("a", 1)
        yield* faulty.failAlways("commit", faults.diskFull)
        yield* Effect.flip(store.close({ strict: true }))
        assert.isFalse(log.some(({ text }) => text.includes("stay pending")))
      })
    ))
})
