/**
 * What every implementation of Effect's `PersistedQueueStore` does.
 *
 * The first part has the cases of Effect's own suite (`PersistedQueueTest.ts`) in other words, and runs them on Effect's
 * memory layer too. No case of it is left out. Where that suite lets a second pass so that a queue can do what it should not,
 * these cases offer and take an element of another queue.
 */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { allGiven, assertWaits, Item, openQueue } from "../support/fixtures/queues.ts"
import { start } from "../support/harness.ts"

const delayed = Store.layerWithBackend(
  Effect.flatMap(LocalBackend.makeTemp(), (local) => DelayedBackend.make(local, { seed: 1 })),
  { name: "delayed" }
)

const layers = {
  "Effect's memory layer": PersistedQueue.layer.pipe(Layer.provideMerge(PersistedQueue.layerStoreMemory)),
  "a store": Layer.provide(LmdbPersistedQueue.layer(), Store.layerTemp()),
  "a shared store": Layer.provide(LmdbPersistedQueue.layer(), Store.layerTemp({ shared: true })),
  "a store whose reads wait": Layer.provide(LmdbPersistedQueue.layer(), delayed)
}

for (const [name, layer] of Object.entries(layers)) {
  it.layer(layer)(`PersistedQueue in ${name}`, (it) => {
    it.effect("gives an offered element to the handler, decoded, and returns what the handler returns", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("offer and take")
        yield* queue.offer({ n: 42n })
        assert.strictEqual(yield* queue.take(({ n }) => Effect.succeed(n + 1n)), 43n)
      }))

    it.effect("gives elements in the order of their offers", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("order")
        const numbers = Array.from({ length: 20 }, (_, n) => BigInt(n))
        yield* Effect.forEach(numbers, (n) => queue.offer({ n }))
        const taken = yield* Effect.forEach(numbers, () => queue.take(({ n }) => Effect.succeed(n)))
        assert.deepStrictEqual(taken, numbers)
      }))

    it.effect("returns the id of the offer, which the handler gets too", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("ids")
        const id = yield* queue.offer({ n: 1n })
        assert.strictEqual(yield* queue.take((_, metadata) => Effect.succeed(metadata.id)), id)
        assert.strictEqual(yield* queue.offer({ n: 1n }, { id: "mine" }), "mine")
        assert.strictEqual(yield* queue.take((_, metadata) => Effect.succeed(metadata.id)), "mine")
      }))

    it.effect("gives the element of an interrupted handler to the next, and does not count the attempt", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("interrupt")
        yield* queue.offer({ n: 42n })
        const taken = yield* Deferred.make<number>()
        const first = yield* start(
          queue.take((_, { attempts }) => Effect.andThen(Deferred.succeed(taken, attempts), Effect.never))
        )
        const second = yield* start(queue.take(({ n }, { attempts }) => Effect.succeed([n, attempts])))
        assert.strictEqual(yield* Deferred.await(taken), 1)
        yield* assertWaits(second)
        yield* Fiber.interrupt(first)
        assert.deepStrictEqual(yield* Fiber.join(second), [42n, 1])
      }))

    it.effect("gives the element of a failed handler again after the delay of its retry, with the next attempt", () =>
      Effect.gen(function*() {
        const queue = yield* PersistedQueue.make({
          name: "failure",
          schema: Item,
          retrySchedule: Schedule.exponential("1 second")
        })
        yield* queue.offer({ n: 42n })
        for (const [attempt, seconds] of [[1, 1], [2, 2], [3, 4]] as const) {
          const error = yield* Effect.flip(queue.take((_, { attempts }) => Effect.fail(attempts)))
          assert.strictEqual(error, attempt)
          const next = yield* start(queue.take((_, { attempts }) => Effect.succeed(attempts)))
          yield* TestClock.adjust(1000 * seconds - 1)
          yield* assertWaits(next)
          yield* Fiber.interrupt(next)
          yield* TestClock.adjust(1)
        }
        assert.strictEqual(yield* queue.take((_, { attempts }) => Effect.succeed(attempts)), 4)
      }))

    it.effect("ignores an offer whose id is in the queue: pending, in work, or completed", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("idempotent")
        const offer = (n: bigint) => queue.offer({ n }, { id: "a", delay: 0 })
        yield* offer(1n)
        yield* offer(2n)
        const first = yield* queue.take(({ n }) => Effect.as(offer(3n), n))
        assert.strictEqual(first, 1n)
        yield* offer(4n)
        const next = yield* start(queue.take(Effect.succeed))
        yield* assertWaits(next)
        yield* Fiber.interrupt(next)
      }))

    it.effect("keeps the ids of each queue apart", () =>
      Effect.gen(function*() {
        const first = yield* openQueue("first")
        const second = yield* openQueue("second")
        yield* first.offer({ n: 1n }, { id: "a" })
        yield* second.offer({ n: 2n }, { id: "a" })
        assert.strictEqual(yield* second.take(({ n }) => Effect.succeed(n)), 2n)
        assert.strictEqual(yield* first.take(({ n }) => Effect.succeed(n)), 1n)
      }))

    it.effect("does not give an element that is in work, or was completed", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("in work")
        yield* queue.offer({ n: 42n })
        const taken = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        const first = yield* start(
          queue.take(() => Effect.andThen(Deferred.succeed(taken, undefined), Deferred.await(release)))
        )
        yield* Deferred.await(taken)
        const second = yield* start(queue.take(Effect.succeed))
        yield* TestClock.adjust("5 minutes")
        yield* assertWaits(second)
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(first)
        yield* TestClock.adjust("5 minutes")
        yield* assertWaits(second)
        yield* Fiber.interrupt(second)
      }))

    it.effect("does not give an element whose attempts are used up", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("exhausted", { maxAttempts: 2 })
        yield* queue.offer({ n: 42n })
        for (const attempt of [1, 2]) {
          assert.strictEqual(yield* Effect.flip(queue.take((_, { attempts }) => Effect.fail(attempts))), attempt)
          yield* TestClock.adjust("1 minute")
        }
        const next = yield* start(queue.take(Effect.succeed))
        yield* assertWaits(next)
        yield* Fiber.interrupt(next)
      }))

    it.effect("passes over an element that does not decode, for good", () =>
      Effect.gen(function*() {
        const queues = yield* PersistedQueue.PersistedQueueStore
        const queue = yield* openQueue("dead letters")
        yield* queues.offer({ name: "dead letters", id: "bad", element: { n: null }, isCustomId: true })
        yield* queue.offer({ n: 42n })
        assert.strictEqual(yield* queue.take(({ n }) => Effect.succeed(n)), 42n)
        const next = yield* start(queue.take(Effect.succeed))
        yield* TestClock.adjust("1 minute")
        yield* assertWaits(next)
        yield* Fiber.interrupt(next)
      }))

    it.effect("fails an offer that does not encode with the error of the schema, and offers nothing", () =>
      Effect.gen(function*() {
        const queue = yield* PersistedQueue.make({ name: "encode", schema: Schema.NonEmptyString })
        const error = yield* Effect.flip(queue.offer("", { id: "a" }))
        assert.strictEqual(error._tag, "SchemaError")
        yield* queue.offer("text", { id: "a" })
        assert.strictEqual(yield* queue.take(Effect.succeed), "text")
      }))

    it.effect("gives a delayed element when its delay has passed and not before, without an attempt for it", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("delay")
        yield* queue.offer({ n: 1n }, { delay: "10 minutes" })
        const fiber = yield* start(queue.take(({ n }, { attempts }) => Effect.succeed([n, attempts])))
        yield* assertWaits(fiber)
        yield* TestClock.adjust("599999 millis")
        yield* assertWaits(fiber)
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1n, 1])
      }))

    it.effect("gives other elements while one is delayed, and ignores the delay of an offer again", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("delays")
        yield* queue.offer({ n: 1n }, { id: "late", delay: "1 minute" })
        yield* queue.offer({ n: 1n }, { id: "late" })
        yield* queue.offer({ n: 2n }, { delay: -1 })
        assert.strictEqual(yield* queue.take(({ n }) => Effect.succeed(n)), 2n)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* queue.take(({ n }) => Effect.succeed(n)), 1n)
      }))

    it.effect("stores nothing for an infinite delay: the id can be offered again", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("infinite")
        assert.strictEqual(yield* queue.offer({ n: 1n }, { id: "a", delay: Infinity }), "a")
        yield* queue.offer({ n: 2n }, { id: "a" })
        assert.strictEqual(yield* queue.take(({ n }) => Effect.succeed(n)), 2n)
      }))

    it.effect("gives an element once to many fibers that wait", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("crowd")
        const seen: Array<bigint> = []
        const fibers = yield* Effect.replicateEffect(
          start(queue.take(({ n }) => Effect.andThen(Effect.yieldNow, Effect.sync(() => seen.push(n))))),
          60
        )
        const numbers = Array.from({ length: 50 }, (_, n) => BigInt(n))
        yield* Effect.forEach(numbers, (n) => queue.offer({ n }), { concurrency: "unbounded" })
        yield* allGiven
        yield* Effect.repeat(Effect.yieldNow, { until: () => seen.length >= 50 })
        yield* allGiven
        assert.sameMembers(seen, numbers)
        yield* Fiber.interruptAll(fibers)
        assert.strictEqual(seen.length, 50)
      }))

    it.effect("loses nothing to fibers that are interrupted while they wait", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("interrupted waits")
        const numbers = Array.from({ length: 40 }, (_, n) => BigInt(n))
        const taken: Array<bigint> = []
        // One half is interrupted at some moment between its wait and its handler, or in its handler.
        const interrupted = (turns: number) =>
          Effect.gen(function*() {
            const fiber = yield* start(queue.take(() => Effect.never))
            yield* Effect.repeat(Effect.yieldNow, { times: turns })
            yield* Fiber.interrupt(fiber)
          })
        yield* Effect.all([
          Effect.forEach(numbers, (n) => queue.offer({ n }), { concurrency: 4, discard: true }),
          Effect.forEach(numbers, (n) => interrupted(Number(n)), { concurrency: 4, discard: true }),
          Effect.forEach(
            numbers,
            () => queue.take(({ n }, { attempts }) => Effect.sync(() => taken.push(n, BigInt(attempts)))),
            { concurrency: 4, discard: true }
          )
        ], { concurrency: "unbounded" })
        assert.sameMembers(taken.filter((_, index) => index % 2 === 0), numbers)
        assert.isTrue(taken.every((attempts, index) => index % 2 === 0 || attempts === 1n))
      }))

    it.effect("completes an element only if its handler succeeds: a defect is a failure", () =>
      Effect.gen(function*() {
        const queue = yield* openQueue("defect", { maxAttempts: 1 })
        yield* queue.offer({ n: 1n })
        const exit = yield* Effect.exit(queue.take(() => Effect.die("defect")))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        const next = yield* start(queue.take(Effect.succeed))
        yield* assertWaits(next)
        yield* Fiber.interrupt(next)
      }))

    it.effect("offers an id again when the cleanup has deleted its completed element, and not before", () =>
      Effect.gen(function*() {
        const queues = yield* PersistedQueue.PersistedQueueStore
        const queue = yield* openQueue("cleanup", { maxAttempts: 1 })
        const cleanUp = (failed?: Duration.Duration) =>
          queues.cleanup({ timeToLive: Duration.minutes(1), failedTimeToLive: failed })
        yield* queue.offer({ n: 1n }, { id: "completed" })
        yield* queue.take(Effect.succeed)
        yield* queue.offer({ n: 1n }, { id: "failed" })
        yield* Effect.flip(queue.take(() => Effect.fail("boom")))
        yield* queue.offer({ n: 1n }, { id: "pending", delay: "1 hour" })

        const offerAll = Effect.forEach(["completed", "failed", "pending"], (id) => queue.offer({ n: 2n }, { id }))
        const next = yield* start(queue.take((_, { id }) => Effect.succeed(id)))
        yield* TestClock.adjust(59_999)
        yield* cleanUp()
        yield* offerAll
        yield* assertWaits(next)
        yield* TestClock.adjust(1)
        yield* cleanUp()
        yield* offerAll
        assert.strictEqual(yield* Fiber.join(next), "completed")

        const last = yield* start(queue.take((_, { id }) => Effect.succeed(id)))
        yield* assertWaits(last)
        yield* cleanUp(Duration.minutes(1))
        yield* offerAll
        assert.strictEqual(yield* Fiber.join(last), "failed")
      }))
  })
}
