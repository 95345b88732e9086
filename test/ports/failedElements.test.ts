/** Failed elements: looking at them, trying them again, deleting them. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as TestClock from "effect/testing/TestClock"
import { type Engine, Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import { FailedElements } from "../../src/PersistedQueue.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { assertWaits, hold, live, openQueue, startHold } from "../support/fixtures/queues.ts"
import { type LogEntry, start, temporaryFolder, withLog } from "../support/harness.ts"

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

  it.effect("goes on after a page whose last element was deleted or has failed again", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      yield* fail("q", ["a", "b", "c", "d", "e"])
      const first = yield* failed.peek({ name: "q", limit: 2 })
      yield* failed.purge({ name: "q", ids: ["a", "b"] })
      const second = yield* failed.peek({ name: "q", limit: 1, after: first.next })
      assert.deepStrictEqual(second.items.map(({ id }) => id), ["c"])
      yield* failed.requeue({ name: "q", ids: ["c"] })
      const { end } = yield* hold("q", { maxAttempts: 1 })
      yield* end(Exit.fail("again"))
      const third = yield* failed.peek({ name: "q", limit: Number.MAX_SAFE_INTEGER, after: second.next })
      assert.deepStrictEqual(third.items.map(({ id }) => id), ["d", "e", "c"])
      assert.isUndefined(third.next)
    }).pipe(Effect.provide(live())))

  it.effect("fails for a cursor that it has not given, or has given for another queue", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      yield* fail("other", ["a", "b"])
      const { next = "" } = yield* failed.peek({ name: "other", limit: 1 })
      for (const after of ["nonsense", "", next]) {
        const error = yield* Effect.flip(failed.peek({ name: "q", limit: 1, after }))
        assert.strictEqual(error._tag, "PersistedQueueError")
        assert.deepInclude(error.cause, { _tag: "InvalidCursor" })
      }
    }).pipe(Effect.provide(live())))

  it.effect("refuses what does not select a page", () =>
    Effect.gen(function*() {
      const failed = yield* FailedElements
      const pages: ReadonlyArray<unknown> = [
        { name: "q" },
        { name: "q", limit: 0 },
        { name: "q", limit: 1.5 },
        { name: undefined, limit: 1 },
        { name: "q", limit: 1, after: 5 }
      ]
      for (const page of pages) {
        // @ts-expect-error it selects no page
        const error = yield* Effect.flip(failed.peek(page))
        assert.strictEqual(error._tag, "PersistedQueueError")
        assert.include(error.message, "failed elements: `")
      }
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

const database = "collection/effect.PersistedQueue"

/** The queues of the store in a folder. */
const queuesAt = (path: string) =>
  LmdbPersistedQueue.layer().pipe(Layer.provideMerge(Store.layer({ path })), Layer.fresh)

/** Damages the values of elements of a closed store, by their places in the order of the keys, or all their bytes. */
const damageValues = Effect.fnUntraced(function*(path: string, places: ReadonlyArray<number>, isWhole = false) {
  const records = yield* recordsOf(path, database)
  const damaged = places.flatMap((place) => records.slice(place, place + 1)).map(([key, record]): Engine.Write => {
    // The index entries come before the value.
    const kept = isWhole ? 0 : 5 + record.readUInt32LE(1)
    return [database, key, Buffer.concat([record.subarray(0, kept), Buffer.of(0xc1)])]
  })
  assert.strictEqual(damaged.length, places.length)
  yield* tamper(path, damaged)
})

describe.each([["its value", false], ["all of it", true]])("a failed element that is damaged: %s", (_, isWhole) => {
  /** Lets five elements fail, damages the second and the third, and runs a test in the next process. */
  const afterDamage = <A, E>(
    test: (
      failed: FailedElements["Service"],
      log: ReadonlyArray<LogEntry>
    ) => Effect.Effect<A, E, FailedElements | PersistedQueue.PersistedQueueStore>
  ) =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* Effect.provide(fail("q", ["a", "b", "c", "d", "e"]), queuesAt(path))
        yield* damageValues(path, [1, 2], isWhole)
        yield* Effect.provide(Effect.flatMap(FailedElements, (failed) => test(failed, log)), queuesAt(path))
      })
    ).pipe(Effect.scoped)

  it.effect("is left out of all pages; the log tells of it once", () =>
    afterDamage((failed, log) =>
      Effect.gen(function*() {
        const first = yield* failed.peek({ name: "q", limit: 2 })
        assert.deepStrictEqual(first.items.map(({ id }) => id), ["a", "d"])
        const second = yield* failed.peek({ name: "q", limit: 2, after: first.next })
        assert.deepStrictEqual(second.items.map(({ id }) => id), ["e"])
        assert.isUndefined(second.next)
        assert.deepStrictEqual(yield* idsOf("q"), ["a", "d", "e"])
        const told = log.filter(({ level, text }) => level === "ERROR" && text.includes("is left out"))
        assert.strictEqual(told.length, 2)
      })
    ))

  it.effect("stays when all are requeued, and is deleted with all", () =>
    afterDamage((failed) =>
      Effect.gen(function*() {
        const all = { name: "q", ids: "all" } as const
        assert.strictEqual(yield* failed.requeue(all), 3)
        assert.deepStrictEqual(yield* idsOf("q"), [])
        const held = yield* Effect.replicateEffect(hold("q", { maxAttempts: 1 }), 3)
        yield* Effect.forEach(held, ({ end }) => end(Exit.fail("boom")))
        assert.strictEqual(yield* failed.purge(all), 5)
        assert.strictEqual(yield* failed.purge(all), 0)
        // Their ids can be offered again.
        const queues = yield* PersistedQueue.PersistedQueueStore
        yield* queues.offer({ name: "q", id: "b", element: 2, isCustomId: true })
        assert.strictEqual((yield* hold("q")).element, 2)
      })
    ))

  it.effect("is deleted by its id", () =>
    afterDamage((failed) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* failed.requeue({ name: "q", ids: ["b"] }), 0)
        assert.strictEqual(yield* failed.purge({ name: "q", ids: ["a", "b", "c", "missing"] }), 3)
        assert.deepStrictEqual(yield* idsOf("q"), ["d", "e"])
        const queues = yield* PersistedQueue.PersistedQueueStore
        yield* queues.offer({ name: "q", id: "b", element: 2, isCustomId: true })
        assert.deepStrictEqual(yield* idsOf("q"), ["d", "e"])
        assert.strictEqual((yield* hold("q")).element, 2)
      })
    ))
})

describe("an element that is damaged and has not failed", () => {
  it.effect("is not purged", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const offers = Effect.flatMap(
        PersistedQueue.PersistedQueueStore,
        (queues) => queues.offer({ name: "q", id: "a", element: 1, isCustomId: true })
      )
      yield* Effect.provide(offers, queuesAt(path))
      yield* damageValues(path, [0])
      const purge = Effect.flatMap(FailedElements, (failed) => failed.purge({ name: "q", ids: ["a"] }))
      assert.strictEqual(yield* Effect.provide(purge, queuesAt(path)), 0)
      assert.strictEqual((yield* recordsOf(path, database)).length, 1)
    }).pipe(Effect.scoped))
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
      const store = yield* Store
      assert.strictEqual(yield* store.withTransaction(failed.purge({ name: "q", ids: "all" })), ids.length)
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
