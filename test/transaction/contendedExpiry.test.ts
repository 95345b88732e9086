/** Transactions that run again on what the commits under way will leave, and read records that expire. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import type { Environment, Plan } from "../../src/Engine.ts"
import type { StoreService } from "../../src/index.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import { stopSweeper, storedIn } from "../support/expiring.ts"
import { increment } from "../support/fixtures/transactions.ts"
import { start, turns, until } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

/** A store without a sweeper, whose first commit waits for the disk from the moment at which its batch fits. */
const openHeld = Effect.gen(function*() {
  const fitted = yield* Deferred.make<void>()
  const release = yield* Deferred.make<void>()
  let commits = 0
  const { store } = yield* openWith(
    { flushInterval: "Infinity", durability: "noSync" },
    (environment: Environment) => ({
      commit: (plan: Plan) =>
        Effect.suspend(() => {
          if (commits++ > 0) return environment.commit(plan)
          const planned = plan(environment, 0)
          if (Exit.isSuccess(planned)) planned.value?.onFitted?.()
          return Deferred.succeed(fitted, undefined).pipe(
            Effect.andThen(Deferred.await(release)),
            Effect.andThen(environment.commit(plan))
          )
        }).pipe(Effect.uninterruptible)
    })
  )
  yield* stopSweeper(store)
  return { commits: () => commits, fitted, release, store }
})

/** A transaction that counts up and notes in each run whether there is a session; later runs wait before they read. */
const countSeeing = Effect.fnUntraced(function*(store: StoreService, before: Effect.Effect<void>) {
  const seen: Array<boolean> = []
  let begun = 0
  const fiber = yield* start(store.withTransaction(Effect.gen(function*() {
    if (begun++ > 0) yield* before
    seen.push(yield* store.has("session"))
    yield* store.update("count", increment)
    return seen.at(-1)
  })))
  return { begun: () => begun, fiber, seen }
})

describe("a contended transaction", () => {
  it.effect("does not find a record that has expired when it runs again", () =>
    Effect.gen(function*() {
      const { commits, fitted, release, store } = yield* openHeld
      yield* store.put("session", 1, { ttl: "1 minute" })
      const expired = yield* Deferred.make<void>()
      const first = yield* start(store.withTransaction(store.update("count", increment)))
      const second = yield* countSeeing(store, Deferred.await(expired))
      const third = yield* countSeeing(store, Deferred.await(expired))
      yield* Deferred.await(fitted)
      yield* until(() => second.begun() === 2)
      yield* TestClock.adjust("1 minute")
      yield* Deferred.succeed(expired, undefined)
      // Both run again and are accepted while the disk still keeps the first commit back
      yield* until(() => second.seen.length === 2 && third.seen.length === 2)
      yield* turns(20)
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(first)
      assert.isFalse(yield* Fiber.join(second.fiber))
      assert.isFalse(yield* Fiber.join(third.fiber))
      assert.deepStrictEqual([second.seen, third.seen], [[true, false], [true, false]])
      assert.strictEqual(yield* store.getOrFail("count"), 3)
      assert.strictEqual(commits(), 2)
      // It is still stored: the reads hid it
      assert.strictEqual(yield* storedIn(store, recordsDatabase), 2)
    }))

  it.effect("does not find an expired record that the running commit writes", () =>
    Effect.gen(function*() {
      const { commits, fitted, release, store } = yield* openHeld
      // The first record that expires makes a database, which takes time
      yield* store.put("other", 1, { ttl: "1 hour" })
      const expired = yield* Deferred.make<void>()
      const first = yield* start(store.withTransaction(
        Effect.andThen(store.put("session", 1, { ttl: "1 minute" }), store.update("count", increment))
      ))
      const present = yield* countSeeing(store, Effect.void)
      const late = yield* countSeeing(store, Deferred.await(expired))
      yield* Deferred.await(fitted)
      yield* until(() => present.seen.length === 2 && late.begun() === 2)
      assert.deepStrictEqual(present.seen, [false, true])
      yield* TestClock.adjust("1 minute")
      yield* Deferred.succeed(expired, undefined)
      yield* until(() => late.seen.length === 2)
      yield* turns(20)
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(first)
      assert.isFalse(yield* Fiber.join(late.fiber))
      assert.isFalse(yield* Fiber.join(present.fiber))
      assert.deepStrictEqual(late.seen[1], false)
      assert.strictEqual(yield* store.getOrFail("count"), 3)
      assert.isAtMost(commits(), 4)
    }))

  it.effect("that was accepted runs again if a record that it has read expires before its commit", () =>
    Effect.gen(function*() {
      const { fitted, release, store } = yield* openHeld
      yield* store.put("session", 1, { ttl: "1 minute" })
      const first = yield* start(store.withTransaction(store.update("count", increment)))
      const second = yield* countSeeing(store, Effect.void)
      yield* Deferred.await(fitted)
      yield* until(() => second.seen.length === 2)
      yield* turns(20)
      yield* TestClock.adjust("1 minute")
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(first)
      assert.isFalse(yield* Fiber.join(second.fiber))
      assert.deepStrictEqual(second.seen, [true, true, false])
      assert.strictEqual(yield* store.getOrFail("count"), 2)
    }))
})
