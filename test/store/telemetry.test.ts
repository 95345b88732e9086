/** Spans of commits and transactions, and the figures that are shown when a program reads its metrics. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"
import { Store } from "../../src/index.ts"
import * as Metrics from "../../src/internal/commit/metrics.ts"
import { swept } from "../support/expiring.ts"
import { openUsers, userOf } from "../support/fixtures/collections.ts"
import { begin, below, increment, leaving, openSeeded } from "../support/fixtures/transactions.ts"
import { faultyStore, start, temporaryFolder, turns } from "../support/harness.ts"
import { named, withSpans } from "../support/spans.ts"

const linkedIds = ({ links }: Tracer.NativeSpan) => links.map(({ span }) => span.spanId).toSorted()

const idsOf = (spans: ReadonlyArray<Tracer.NativeSpan>) => spans.map(({ spanId }) => spanId).toSorted()

describe("the span of a commit", () => {
  it.effect("has the path, and links to the spans of the transactions and flushes that wait for it", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const { path, store } = yield* faultyStore({ flushInterval: "Infinity" })
        yield* store.put("pending", 1)
        yield* Effect.all([
          store.withTransaction(store.put("a", 1)),
          store.withTransaction(store.put("b", 1)),
          Effect.withSpan(store.putMany({ c: 1 }), "operation"),
          Effect.withSpan(store.put("d", 1, { durable: true }), "operation"),
          Effect.withSpan(store.flush, "operation"),
          // It does not wait
          Effect.withSpan(store.put("e", 1), "other")
        ], { concurrency: "unbounded" })
        const [commit, ...others] = named(spans, "Store.commit")
        assert.deepStrictEqual(others, [])
        assert.strictEqual(commit?.attributes.get("path"), path)
        const waiting = [...named(spans, "Store.withTransaction"), ...named(spans, "operation")]
        assert.strictEqual(waiting.length, 5)
        assert.deepStrictEqual(commit && linkedIds(commit), idsOf(waiting))
      })
    ))

  it.effect("links to a fiber that started to wait while the commit ran, and has at most 128 links", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
        const held = yield* faulty.holdCommit
        yield* store.put("a", 1)
        const first = yield* start(Effect.withSpan(store.flush, "first"))
        yield* held.isWanted
        const second = yield* start(Effect.withSpan(store.flush, "second"))
        yield* turns(5)
        yield* held.release
        yield* Fiber.joinAll([first, second])
        const [commit] = named(spans, "Store.commit")
        assert.deepStrictEqual(
          commit && linkedIds(commit),
          idsOf([...named(spans, "first"), ...named(spans, "second")])
        )
        yield* Effect.forEach(below(200), (n) => store.withTransaction(store.put(`${n}`, n)), {
          concurrency: "unbounded"
        })
        const large = named(spans, "Store.commit").at(-1)
        assert.strictEqual(large?.links.length, 128)
      })
    ))
})

describe("the span of a transaction", () => {
  it.effect("has the number of runs of its effect, also if the last run conflicts", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const { store } = yield* openSeeded()
        const outside = yield* leaving
        let runs = 0
        const conflicting = (times: number) =>
          Effect.gen(function*() {
            yield* store.get("a")
            yield* store.put("mine", ++runs)
            if (runs <= times) yield* outside(store.update("a", increment))
          })
        yield* store.withTransaction(store.get("a"))
        yield* store.withTransaction(conflicting(2))
        runs = 0
        yield* Effect.flip(store.withTransactionRetry(Schedule.recurs(4))(conflicting(Infinity)))
        const attempts = named(spans, "Store.withTransaction").map(({ attributes }) => attributes.get("attempts"))
        assert.deepStrictEqual(attempts, [1, 3, 5])
      })
    ))
})

describe("the metrics", () => {
  it.effect("count each call that reads once, inside and outside transactions", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const { reads } = Metrics.make(path)
      const users = yield* Effect.provideService(openUsers, Store, store)
      const countOf = (call: Effect.Effect<unknown, unknown>) =>
        Effect.gen(function*() {
          const before = (yield* Metric.value(reads)).count
          yield* Effect.exit(call)
          return (yield* Metric.value(reads)).count - before
        })
      const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        store.get("a"),
        store.getOrFail("none"),
        store.has("a"),
        store.has("a", { flush: true }),
        store.getMany(["a", "b"]),
        store.size,
        store.count(),
        Stream.runDrain(store.entries()),
        Stream.runDrain(store.keys({ snapshot: false })),
        users.get(1),
        users.indexes.byEmail.get("ada@example.com"),
        users.size
      ]
      for (const [at, call] of calls.entries()) {
        assert.strictEqual(yield* countOf(call), 1, `${at}`)
        assert.strictEqual(yield* countOf(store.withTransaction(call)), 1, `${at}`)
      }
      assert.strictEqual(yield* countOf(store.put("a", 1)), 0)
    }))

  it.effect("continue when the store is opened again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const { reads } = Metrics.make(path)
      for (const count of [1, 2]) {
        yield* Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.get("a")))
        assert.strictEqual((yield* Metric.value(reads)).count, count)
      }
    }))

  it.effect("count unique violations, of buffered, durable and nested writes", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const { uniqueViolations } = Metrics.make(path)
      const users = yield* Effect.provideService(openUsers, Store, store)
      const ada = userOf("Ada", 36)
      yield* users.insert(1, ada)
      yield* Effect.flip(users.insert(2, ada))
      yield* Effect.flip(users.put(2, ada, { durable: true }))
      yield* Effect.flip(users.update(2, () => Option.some(ada)))
      yield* Effect.flip(users.putMany([[2, ada]]))
      yield* Effect.flip(users.insert(1, ada))
      assert.strictEqual((yield* Metric.value(uniqueViolations)).count, 4)
    }))

  it.effect("count subscribers that miss changes", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const { missedChanges } = Metrics.make(path)
      const goesOn = yield* Deferred.make<void>()
      const slow = yield* start(Stream.runForEach(store.changes({ capacity: 1 }), () => Deferred.await(goesOn)))
      yield* turns(10)
      for (const n of below(5)) yield* store.putMany({ [`${n}`]: n, more: n })
      yield* Deferred.succeed(goesOn, undefined)
      assert.strictEqual((yield* Effect.flip(Fiber.join(slow)))._tag, "ChangesMissed")
      assert.strictEqual((yield* Metric.value(missedChanges)).count, 1)
    }))

  it.effect("count followers of the change log that start before the log", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded({ changeLog: { retention: { commits: 2 } } })
      const { missedChanges } = Metrics.make(path)
      for (const n of below(5)) yield* store.putMany({ n })
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(store.changes({ since: 0 }))))._tag, "ChangesMissed")
      assert.strictEqual((yield* Metric.value(missedChanges)).count, 1)
    }))

  it.effect("count deleted expired records", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const { expiredRecords } = Metrics.make(path)
      yield* store.putMany({ code: 1, other: 2 }, { ttl: "1 minute" })
      yield* TestClock.adjust("1 minute")
      yield* swept(store, 2)
      assert.strictEqual((yield* Metric.value(expiredRecords)).count, 2)
    }))

  it.effect("show the number of open snapshots and the age of the oldest", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const { oldestSnapshotAge, openSnapshots } = Metrics.make(path)
      const figures = Effect.all([
        Effect.map(Metric.value(openSnapshots), ({ value }) => value),
        Effect.map(Metric.value(oldestSnapshotAge), ({ value }) => value)
      ])
      assert.deepStrictEqual(yield* figures, [0, 0])
      const first = yield* begin(store)
      yield* first.inside(store.get("a"))
      yield* TestClock.adjust("3 seconds")
      const second = yield* begin(store)
      yield* second.inside(store.get("a"))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* figures, [2, 5000])
      yield* first.commit
      assert.deepStrictEqual(yield* figures, [1, 2000])
      yield* second.commit
      assert.deepStrictEqual(yield* figures, [0, 0])
    }))

  it.effect("name the unit of the duration of commits, with buckets from 0.25 milliseconds to 30 seconds", () =>
    Effect.gen(function*() {
      const { path } = yield* openSeeded()
      const { commitDuration } = Metrics.make(path)
      const { buckets, count } = yield* Metric.value(commitDuration)
      assert.strictEqual(commitDuration.id, "effect_lmdb_commit_duration_milliseconds")
      assert.strictEqual(commitDuration.attributes?.["time_unit"], "milliseconds")
      assert.strictEqual(count, 1)
      assert.deepStrictEqual(buckets.map(([limit]) => limit).slice(0, 5), [0.25, 0.5, 1, 2, 5])
    }))
})
