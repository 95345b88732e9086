/** Failed elements: looking at them, trying them again, deleting them. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as TestClock from "effect/testing/TestClock"
import { Store } from "../../src/index.ts"
import { FailedElements } from "../../src/PersistedQueue.ts"
import { assertWaits, hold, live, openQueue, startHold } from "../support/fixtures/queues.ts"
import { start } from "../support/harness.ts"

/** Offers elements to a queue and lets each fail for good, one a second. */
const fail = Effect.fnUntraced(function*(name: string, ids: ReadonlyArray<string>) {
  const queues = yield* PersistedQueue.PersistedQueueStore
  for (const id of ids) {
    yield* queues.offer({ name, id, element: `element ${id}`, isCustomId: true })
    const held = yield* hold(name, { maxAttempts: 1 })
    yield* held.end(Exit.fail(`failure ${id}`))
    yield* TestClock.adjust("1 second")
  }
})

const idsOf = (name: string) =>
  Effect.flatMap(
    FailedElements,
    (failed) => Effect.map(failed.peek({ name, limit: 100 }), ({ items }) => items.map(({ id }) => id))
  )

describe("peek", () => {
  it.effect("gives the failed elements of a queue page by page, the oldest failure first", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      yield* fail("q", ["c", "a", "b"])
      yield* fail("other", ["d"])
      const first = yield* failed.peek({ name: "q", limit: 2 })
      assert.deepStrictEqual(
        first.items.map(({ attempts, element, failedAt, id }) => [id, element, attempts, failedAt.epochMilliseconds]),
        [["c", "element c", 1, 0], ["a", "element a", 1, 1000]]
      )
      assert.include(first.items[0]?.failure, "failure c")
      const second = yield* failed.peek({ name: "q", limit: 2, after: first.next })
      assert.deepStrictEqual(second.items.map(({ id }) => id), ["b"])
      assert.isUndefined(second.next)
    }).pipe(Effect.provide(live())))

  it.effect("has the cause of an element that does not decode, with the value that was offered", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      const queues = yield* PersistedQueue.PersistedQueueStore
      const queue = yield* openQueue("q")
      yield* queues.offer({ name: "q", id: "bad", element: { n: null }, isCustomId: true })
      const taker = yield* start(queue.take(Effect.succeed))
      yield* assertWaits(taker)
      yield* assertWaits(taker)
      const { items: [item] } = yield* failed.peek({ name: "q", limit: 1 })
      assert.deepStrictEqual([item?.id, item?.element, item?.attempts], ["bad", { n: null }, 1])
      assert.include(item?.failure, "Expected")
    }).pipe(Effect.provide(live())))

  it.effect("fails for a cursor that it has not given", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      const error = yield* Effect.flip(failed.peek({ name: "q", limit: 1, after: "nonsense" }))
      assert.strictEqual(error._tag, "PersistedQueueError")
    }).pipe(Effect.provide(live())))
})

describe("requeue", () => {
  it.effect("gives failed elements again after those that wait, with all attempts, and wakes up who waits", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      yield* fail("q", ["a", "b", "c"])
      const taker = yield* startHold("q")
      yield* assertWaits(taker)
      assert.strictEqual(yield* failed.requeue({ name: "q", ids: ["b", "b", "missing"] }), 1)
      const { attempts, end, id } = yield* Fiber.join(taker)
      assert.deepStrictEqual([id, attempts], ["b", 1])
      yield* end(Exit.void)
      assert.deepStrictEqual(yield* idsOf("q"), ["a", "c"])
      // An element that is completed has not failed.
      assert.strictEqual(yield* failed.requeue({ name: "q", ids: ["b"] }), 0)
      const queues = yield* PersistedQueue.PersistedQueueStore
      yield* queues.offer({ name: "q", id: "d", element: 1, isCustomId: true })
      assert.strictEqual(yield* failed.requeue({ name: "q", ids: "all" }), 2)
      const order = yield* Effect.replicateEffect(hold("q"), 3)
      assert.deepStrictEqual(order.map((held) => held.id), ["d", "a", "c"])
      assert.deepStrictEqual(yield* idsOf("q"), [])
    }).pipe(Effect.provide(live())))

  it.effect("belongs to the transaction in which it is called", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const failed = yield* FailedElements
      yield* fail("q", ["a"])
      const requeued = failed.requeue({ name: "q", ids: "all" })
      yield* Effect.flip(store.withTransaction(Effect.andThen(requeued, Effect.fail("boom"))))
      assert.deepStrictEqual(yield* idsOf("q"), ["a"])
    }).pipe(Effect.provide(live())))
})

describe("purge", () => {
  it.effect("deletes failed elements of the queue and no others; their ids can be offered again", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      const queues = yield* PersistedQueue.PersistedQueueStore
      yield* fail("q", ["a", "b", "c"])
      yield* fail("other", ["a"])
      yield* queues.offer({ name: "q", id: "d", element: 1, isCustomId: true, delay: Duration.hours(1) })
      assert.strictEqual(yield* failed.purge({ name: "q", ids: ["a", "d"] }), 1)
      assert.deepStrictEqual(yield* idsOf("q"), ["b", "c"])
      assert.strictEqual(yield* failed.purge({ name: "q", ids: "all" }), 2)
      assert.deepStrictEqual(yield* idsOf("q"), [])
      assert.deepStrictEqual(yield* idsOf("other"), ["a"])
      yield* queues.offer({ name: "q", id: "a", element: 2, isCustomId: true })
      assert.strictEqual((yield* hold("q")).element, 2)
    }).pipe(Effect.provide(live())))
})

describe("more elements than a transaction changes", () => {
  it.live("are all requeued, purged and cleaned up", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      const queues = yield* PersistedQueue.PersistedQueueStore
      const ids = Array.from({ length: 1100 }, (_, n) => `${n}`)
      const each = <E, R>(effect: (id: string) => Effect.Effect<unknown, E, R>) =>
        Effect.forEach(ids, effect, { concurrency: 300, discard: true })
      const failAll = each(() => Effect.flatMap(hold("q", { maxAttempts: 1 }), ({ end }) => end(Exit.fail("boom"))))
      yield* each((id) => queues.offer({ name: "q", id, element: id, isCustomId: true }))
      yield* failAll
      assert.strictEqual(yield* failed.requeue({ name: "q", ids: "all" }), ids.length)
      yield* failAll
      assert.strictEqual(yield* failed.purge({ name: "q", ids: "all" }), ids.length)
      yield* each((id) => queues.offer({ name: "q", id, element: id, isCustomId: true }))
      yield* failAll
      yield* queues.cleanup({ timeToLive: Duration.zero, failedTimeToLive: Duration.zero })
      assert.deepStrictEqual(yield* idsOf("q"), [])
    }).pipe(Effect.provide(live())))
})

describe("a selection", () => {
  it.effect("is refused if it is neither a list of ids nor all: text is a list of its letters", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      yield* fail("q", ["u", "s", "e", "r", "user"])
      const selections: ReadonlyArray<unknown> = [
        { name: "q", ids: "user" },
        { name: "q", ids: "ALL" },
        { name: "q", ids: undefined },
        { name: "q", ids: 5 },
        { name: "q", ids: ["u", undefined] },
        { name: undefined, ids: "all" }
      ]
      for (const selection of selections) {
        for (const change of [failed.purge, failed.requeue]) {
          // @ts-expect-error it is no selection
          const error = yield* Effect.flip(change(selection))
          assert.strictEqual(error._tag, "PersistedQueueError")
          assert.include(error.message, "failed elements: `")
        }
      }
      assert.deepStrictEqual(yield* idsOf("q"), ["u", "s", "e", "r", "user"])
    }).pipe(Effect.provide(live())))
})
