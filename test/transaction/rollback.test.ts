/** What is left of a transaction that fails, dies or is interrupted: nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { StoreService } from "../../src/index.ts"
import { contentOf, increment, openSeeded, seed } from "../support/fixtures/transactions.ts"
import { start, turns } from "../support/harness.ts"

class Rate extends Context.Service<Rate, number>()("test/Rate") {}

/** Writes in all ways. */
const writes = (store: StoreService) =>
  Effect.all([
    store.getOrFail("a"),
    store.put("a", 10),
    store.delete("b"),
    store.update("c", increment),
    store.putMany({ d: 4 }),
    store.deleteMany(["a"]),
    store.clear,
    store.put("z", 1)
  ])

describe("a transaction that is undone", () => {
  const assertUntouched = Effect.fnUntraced(function*({ spy, store }: Effect.Success<ReturnType<typeof openSeeded>>) {
    assert.deepStrictEqual(yield* contentOf(store), seed)
    yield* store.flush
    assert.deepStrictEqual(yield* contentOf(store), seed)
    assert.strictEqual(spy.transactions(), 1)
    assert.strictEqual((yield* store.stats).snapshots, 0)
    yield* store.withTransaction(store.put("d", 4))
    assert.strictEqual(yield* store.getOrFail("d"), 4)
  })

  it.effect("by a failure fails with it and undoes all writes", () =>
    Effect.gen(function*() {
      const opened = yield* openSeeded()
      let runs = 0
      const error = yield* Effect.flip(opened.store.withTransaction(Effect.suspend(() => {
        runs++
        return Effect.andThen(writes(opened.store), Effect.fail("no"))
      })))
      assert.strictEqual(error, "no")
      assert.strictEqual(runs, 1)
      yield* assertUntouched(opened)
    }))

  it.effect("by a defect dies with it and undoes all writes", () =>
    Effect.gen(function*() {
      const opened = yield* openSeeded()
      const defect = new Error("defect")
      const exit = yield* Effect.exit(
        opened.store.withTransaction(Effect.andThen(writes(opened.store), Effect.die(defect)))
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === defect)
      yield* assertUntouched(opened)
    }))

  it.effect("by an interruption from outside undoes all writes", () =>
    Effect.gen(function*() {
      const opened = yield* openSeeded()
      const written = yield* Deferred.make<void>()
      const fiber = yield* start(opened.store.withTransaction(
        Effect.andThen(writes(opened.store), Effect.andThen(Deferred.succeed(written, undefined), Effect.never))
      ))
      yield* Deferred.await(written)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      yield* assertUntouched(opened)
    }))

  it.effect("by an interruption from inside undoes all writes", () =>
    Effect.gen(function*() {
      const opened = yield* openSeeded()
      const exit = yield* Effect.exit(
        opened.store.withTransaction(Effect.andThen(writes(opened.store), Effect.interrupt))
      )
      assert.isTrue(Exit.hasInterrupts(exit))
      yield* assertUntouched(opened)
    }))

  it.effect("by an interruption while it waits for its commit undoes all writes", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const first = yield* start(store.withTransaction(store.put("first", 1)))
      yield* held.begun
      const second = yield* start(store.withTransaction(writes(store)))
      yield* turns(10)
      yield* Fiber.interrupt(second)
      yield* held.release
      yield* Fiber.join(first)
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, first: 1 })
      assert.strictEqual(spy.transactions(), 2)
    }))

  it.effect("by an interruption after its commit has started is committed before the interruption returns", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const fiber = yield* start(
        store.withTransaction(Effect.all([store.put("b", 20), store.delete("c"), store.put("d", 4)]))
      )
      yield* held.begun
      const interrupting = yield* start(Fiber.interrupt(fiber))
      yield* turns(10)
      assert.isUndefined(interrupting.pollUnsafe())
      yield* held.release
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(yield* contentOf(store), { a: 1, b: 20, d: 4 })
      assert.deepStrictEqual(spy.commits().slice(1), [["b", "-c", "d"]])
    }))

  it.effect("by an error of a call undoes all writes, and a caught error undoes only that call", () =>
    Effect.gen(function*() {
      const opened = yield* openSeeded()
      const { store } = opened
      const bad = store.put("bad", () => 1)
      const error = yield* Effect.flip(store.withTransaction(Effect.andThen(writes(store), bad)))
      assert.strictEqual(error._tag, "ValueEncoding")
      yield* assertUntouched(opened)
      yield* store.withTransaction(Effect.andThen(store.put("e", 5), Effect.ignore(bad)))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, d: 4, e: 5 })
    }))

  it.effect("keeps the pending writes of others", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.put("a", 100)
      yield* store.put("pending", 1)
      yield* Effect.ignore(store.withTransaction(Effect.andThen(writes(store), Effect.fail("no"))))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 100, pending: 1 })
    }))

  it.effect("has the services of the effect around it", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const convert = store.withTransaction(
        Effect.flatMap(Rate, (rate) => store.update("a", Option.map((value) => Number(value) * rate)))
      )
      yield* Effect.provideService(convert, Rate, 7)
      assert.strictEqual(yield* store.getOrFail("a"), 7)
    }))
})
