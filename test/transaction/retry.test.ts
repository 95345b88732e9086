/** How often a transaction runs, and what it comes to when it is always in conflict. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Store, type StoreService, TransactionConflict } from "../../src/index.ts"
import { contentOf, increment, leaving, numberOf, openSeeded, seed } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns, until } from "../support/harness.ts"

describe("after a conflict", () => {
  /** Runs a transaction that conflicts a number of times, and returns how often it ran. */
  const runs = Effect.fnUntraced(function*(
    store: StoreService,
    times: number,
    retry?: Schedule.Schedule<unknown>
  ) {
    const outside = yield* leaving
    let count = 0
    const exit = yield* Effect.exit((retry === undefined ? store.withTransaction : store.withTransactionRetry(retry))(
      Effect.gen(function*() {
        count++
        yield* store.get("a")
        yield* store.put("mine", count)
        if (count <= times) yield* outside(store.update("a", increment))
        return count
      })
    ))
    return { count, exit }
  })

  it.effect("it runs again until it is committed, and returns only the result of the last run", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const { exit } = yield* runs(store, 5)
      assert.deepStrictEqual(yield* exit, 6)
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 6, mine: 6 })
    }))

  it.effect.each([
    { what: "by default a hundred times more", option: undefined, call: undefined, attempts: 101 },
    { what: "by the option of the store", option: Schedule.recurs(3), call: undefined, attempts: 4 },
    { what: "by the option of the call", option: Schedule.recurs(3), call: Schedule.recurs(1), attempts: 2 },
    { what: "not at all", option: Schedule.recurs(3), call: Schedule.recurs(0), attempts: 1 }
  ])(
    "it runs again $what, and then fails with the number of runs and writes nothing",
    ({ attempts, call, option }) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, transactionRetry: option, durability: "noSync" })
        yield* store.putMany(seed)
        const { count, exit } = yield* runs(store, Infinity, call)
        assert.strictEqual(count, attempts)
        assert.deepStrictEqual(yield* Effect.flip(exit), new TransactionConflict({ path, attempts }))
        yield* store.flush
        assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 1 + attempts })
      })
  )

  it.effect("it waits for the delays of the schedule", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      let waits = 0
      const retry = Schedule.tap(Schedule.spaced("1 minute"), () => Effect.sync(() => waits++))
      const fiber = yield* start(runs(store, 2, retry))
      for (const wait of [1, 2]) {
        yield* until(() => waits === wait)
        yield* turns(20)
        yield* TestClock.adjust("59 seconds")
        yield* turns(20)
        assert.strictEqual(yield* numberOf(store, "a"), 1 + wait)
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual((yield* Fiber.join(fiber)).count, 3)
    }))

  it.effect("its own failure is not a conflict: it does not run again, even if other fibers have written", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const outside = yield* leaving
      let count = 0
      const error = yield* Effect.flip(store.withTransaction(Effect.gen(function*() {
        count++
        yield* store.get("a")
        yield* outside(store.put("a", 10))
        return yield* Effect.fail("no")
      })))
      assert.deepStrictEqual([error, count], ["no", 1])
    }))

  it.effect("a TransactionConflict of its own effect is a failure like any other", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const mine = new TransactionConflict({ path: "mine", attempts: 7 })
      let count = 0
      const error = yield* Effect.flip(store.withTransaction(Effect.suspend(() => {
        count++
        return Effect.fail(mine)
      })))
      assert.strictEqual(error, mine)
      assert.strictEqual(count, 1)
    }))

  it.effect("it can be interrupted between two runs, and no snapshot stays open", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      let waits = 0
      const retry = Schedule.tap(Schedule.spaced("1 minute"), () => Effect.sync(() => waits++))
      const fiber = yield* start(runs(store, Infinity, retry))
      yield* until(() => waits === 1)
      yield* turns(20)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* store.stats).snapshots, 0)
      assert.isFalse(yield* store.has("mine"))
    }))
})
