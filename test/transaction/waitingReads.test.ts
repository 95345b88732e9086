/** Transactions on a backend whose reads wait: other fibers run while a call of a transaction reads. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { Store } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { openUsers, userOf } from "../support/fixtures/collections.ts"
import { below } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const open = Effect.flatMap(temporaryFolder, (path) => DelayedStore.open({ path, durability: "noSync" }))

const increment = Option.match({
  onNone: () => Option.some(1),
  onSome: (count: unknown) => Option.some(Number(count) + 1)
})

describe("fibers of one transaction", () => {
  it.effect("update a record one after the other", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.withTransaction(
        Effect.forEach(below(20), () => store.update("count", increment), { concurrency: "unbounded" })
      )
      assert.strictEqual(yield* store.getOrFail("count"), 20)
    }))

  it.effect("take a unique address once", () =>
    Effect.gen(function*() {
      const store = yield* open
      const users = yield* Effect.provideService(openUsers, Store, store)
      const taken = yield* store.withTransaction(
        Effect.forEach(
          below(10),
          (key) => Effect.result(users.insert(key, userOf("Ada", 20 + key))),
          { concurrency: "unbounded" }
        )
      )
      assert.strictEqual(taken.filter(({ _tag }) => _tag === "Success").length, 1)
      assert.deepStrictEqual(yield* users.verify, [])
      assert.strictEqual(yield* users.size, 1)
    }))

  it.effect("join it with any number of nested transactions", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.withTransaction(
        Effect.forEach(
          below(150),
          (key) => store.withTransaction(Effect.andThen(store.get(`k${key}`), store.put(`k${key}`, key))),
          { concurrency: "unbounded" }
        )
      )
      assert.strictEqual(yield* store.size, 150)
    }))

  it.effect("count records of one state while another fiber writes", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.putMany(below(10).map((key) => [`k${key}`, key] as const))
      const counts = yield* store.withTransaction(Effect.gen(function*() {
        // Moves a record: there are ten at any moment.
        const moves = yield* start(Effect.forEach(below(30), (number) =>
          Effect.andThen(
            store.withTransaction(
              Effect.andThen(store.delete(`k${number % 10}`), store.put(`k${number % 10}`, number))
            ),
            turns(1)
          )))
        const seen: Array<number> = []
        while (moves.pollUnsafe() === undefined) seen.push(yield* store.size)
        yield* Fiber.join(moves)
        return seen
      }))
      assert.isAbove(counts.length, 5)
      assert.deepStrictEqual(new Set(counts), new Set([10]))
    }))
})

describe("a fiber that outlives its transaction", () => {
  it.effect("cannot write to it any more, even if its read started before the end", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.put("count", 1)
      const outcomes = new Set<string>()
      for (const pauses of below(12)) {
        yield* store.put("count", 1)
        const late = yield* store.withTransaction(Effect.gen(function*() {
          yield* store.put("mark", pauses)
          const fiber = yield* Effect.forkDetach(Effect.result(store.update("count", increment)), {
            startImmediately: true
          })
          yield* turns(pauses)
          return fiber
        }))
        const result = yield* Fiber.join(late)
        outcomes.add(result._tag)
        if (result._tag === "Failure") assert.strictEqual(result.failure._tag, "Closed")
        assert.strictEqual(yield* store.getOrFail("count"), result._tag === "Success" ? 2 : 1)
      }
      assert.deepStrictEqual(outcomes, new Set(["Failure", "Success"]))
    }))

  it.effect("fails with Closed in a read that started before the end", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.putMany({ a: 1, b: 2 })
      for (const pauses of below(8)) {
        const late = yield* store.withTransaction(Effect.gen(function*() {
          const fiber = yield* Effect.forkDetach(Effect.result(store.size), { startImmediately: true })
          yield* turns(pauses)
          return fiber
        }))
        const result = yield* Fiber.join(late)
        if (result._tag === "Failure") assert.strictEqual(result.failure._tag, "Closed")
        else assert.strictEqual(result.success, 2)
      }
    }))
})

describe("a transaction", () => {
  it.effect("continues after its first read was interrupted", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.put("a", 1)
      for (const pauses of below(4)) {
        const value = yield* store.withTransaction(Effect.gen(function*() {
          const first = yield* start(store.get("a"))
          yield* turns(pauses)
          yield* Fiber.interrupt(first)
          return yield* store.getOrFail("a")
        }))
        assert.strictEqual(value, 1)
      }
      // No snapshot is left open.
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))
})
