/** What can be seen of a store from outside: spans, metrics and the log. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { join } from "node:path"
import { Store } from "../../src/index.ts"
import * as Metrics from "../../src/internal/commit/metrics.ts"
import * as FaultyEngine from "../support/engines/faultyEngine.ts"
import { faultyStore, temporaryFolder, turns, until, withLog } from "../support/harness.ts"
import { named, withSpans } from "../support/spans.ts"

describe("spans", () => {
  it.effect("exist for open, commit, grow, backup and close, and not for single reads and writes", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const path = join(folder, "store")
        yield* Effect.scoped(Effect.gen(function*() {
          const store = yield* Store.make({ path, mapSize: "256 KiB", flushInterval: "Infinity" })
          assert.deepStrictEqual(spans.map((span) => span.name), ["Store.open"])
          assert.strictEqual(spans[0]?.attributes.get("path"), path)

          yield* store.put("a", 1)
          yield* store.get("a")
          yield* store.getOrFail("a")
          yield* store.get("missing")
          yield* store.has("a")
          yield* store.getMany(["a", "b"])
          yield* store.update("a", () => Option.some(2))
          yield* store.delete("b")
          yield* store.size
          yield* store.stats
          assert.strictEqual(spans.length, 1)

          yield* store.flush
          assert.strictEqual(named(spans, "Store.commit")[0]?.attributes.get("writes"), 2)
          assert.strictEqual(spans.length, 2)

          yield* store.putMany({ large: "x".repeat(1_000_000) })
          const [growth] = named(spans, "Store.grow")
          assert.strictEqual(growth?.attributes.get("from"), 256 * 1024)
          assert.strictEqual(growth?.attributes.get("to"), (64 * 1024 + 256) * 1024)
          assert.strictEqual(Option.getOrUndefined(growth?.parent ?? Option.none())?._tag, "Span")

          yield* store.backup(join(folder, "copy"))
          assert.strictEqual(named(spans, "Store.backup").length, 1)
        }))
        assert.strictEqual(named(spans, "Store.close").length, 1)
        for (const span of spans) assert.strictEqual(span.status._tag, "Ended", span.name)
      })
    ))

  it.effect("of commits in the background are no children of the span in which the store was opened", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const store = yield* Effect.withSpan(Store.make({ path: yield* temporaryFolder }), "program")
        yield* store.put("a", 1)
        yield* TestClock.adjust("1 second")
        yield* until(() => named(spans, "Store.commit").length === 1)
        yield* store.flush
        assert.isTrue(Option.isNone(named(spans, "Store.commit")[0]?.parent ?? Option.none()))
      })
    ))
})

/** What a counter or gauge showed before and after. */
const difference = <E, R>(
  metric: Metric.Metric<number, { readonly count: number }>,
  effect: Effect.Effect<unknown, E, R>
) =>
  Effect.gen(function*() {
    const before = yield* Metric.value(metric)
    yield* effect
    const after = yield* Metric.value(metric)
    return after.count - before.count
  })

describe("metrics", () => {
  it.effect("count commits and their writes, and show their duration", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore()
      const metrics = Metrics.make(path)
      const work = Effect.gen(function*() {
        for (const key of ["a", "b", "c"]) yield* store.put(key, 1)
        yield* store.flush
        yield* store.putMany({ d: 1, e: 2 })
        yield* store.deleteMany(["a"])
      })
      const durations = Effect.map(Metric.value(metrics.commitDuration), (state) => state.count)
      const before = yield* durations
      assert.strictEqual(yield* difference(metrics.commits, work), 3)
      assert.strictEqual((yield* durations) - before, 3)
      assert.strictEqual(yield* difference(metrics.committedWrites, work), 6)
      // A failed commit is none
      yield* store.put("a", 1)
      yield* faulty.fail("commit", FaultyEngine.faults.diskFull)
      assert.strictEqual(yield* difference(metrics.commits, Effect.flip(store.flush)), 0)
    }))

  it.effect("show the pending writes at the time of the last commit", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore()
      const metrics = Metrics.make(path)
      const pending = Effect.map(Metric.value(metrics.pendingWrites), (state) => state.value)
      const bytes = Effect.map(Metric.value(metrics.pendingBytes), (state) => state.value)
      const held = yield* faulty.holdCommit
      yield* store.put("first", 1)
      const flushing = yield* Effect.forkChild(store.flush)
      yield* held.isWanted
      for (const key of ["a", "b", "c"]) yield* store.put(key, "x".repeat(1000))
      yield* held.release
      yield* until(() => flushing.pollUnsafe() !== undefined)
      assert.isAtLeast(yield* pending, 3)
      assert.isAtLeast(yield* bytes, 3000)
      yield* store.flush
      assert.strictEqual(yield* pending, 0)
      assert.strictEqual(yield* bytes, 0)
    }))

  it.effect("count growths and show the size of the map", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const metrics = Metrics.make(path)
      const store = yield* Store.make({ path, mapSize: "256 KiB" })
      assert.strictEqual((yield* Metric.value(metrics.mapSize)).value, 256 * 1024)
      const grow = store.putMany({ large: "x".repeat(1_000_000) })
      assert.strictEqual(yield* difference(metrics.growths, grow), 1)
      assert.strictEqual((yield* Metric.value(metrics.mapSize)).value, (64 * 1024 + 256) * 1024)
    }))

  it.effect("are separate for each store", () =>
    Effect.gen(function*() {
      const [first, second] = [yield* faultyStore(), yield* faultyStore()]
      const ofSecond = Metrics.make(second.path)
      assert.strictEqual(yield* difference(ofSecond.commits, first.store.putMany({ a: 1 })), 0)
      assert.strictEqual(yield* difference(ofSecond.commits, second.store.putMany({ a: 1 })), 1)
      const snapshots = yield* Metric.snapshot
      const stores = snapshots.filter(({ id }) => id === "effect_lmdb_commits").map(({ attributes }) =>
        attributes?.["store"]
      )
      assert.includeMembers(stores, [first.path, second.path])
    }))
})

describe("telemetry", () => {
  it.effect("never contains a key, a value or the encryption key", () =>
    withLog((log) =>
      withSpans((spans) =>
        Effect.gen(function*() {
          const folder = yield* temporaryFolder
          yield* Effect.scoped(Effect.gen(function*() {
            const { faulty, store } = yield* faultyStore({
              path: join(folder, "store"),
              batchSize: 2,
              mapSize: "256 KiB",
              // Keys that are lost when the store closes are named, as this shows them
              formatKey: () => "hidden",
              closeFailure: "log",
              encryptionKey: Redacted.make("SECRET".padEnd(32, "x"))
            })
            yield* store.putMany({ "SECRET stored": "SECRET".repeat(100_000) })
            yield* faulty.failAlways("commit", FaultyEngine.faults.diskFull)
            yield* store.put("SECRET key", "SECRET value")
            yield* store.put("SECRET key 2", { SECRET: ["SECRET"] })
            yield* until(() => log.some((entry) => entry.text.includes("failed")))
            yield* Effect.ignore(store.flush)
            yield* turns(5)
            yield* Effect.flip(store.update("SECRET key", () => Option.some(() => "SECRET")))
          }))
          assert.isAtLeast(log.length, 3)
          assert.notInclude(JSON.stringify(log), "SECRET")
          const attributes = spans.map((span) => [span.name, [...span.attributes], span.events])
          assert.isAtLeast(attributes.length, 4)
          assert.notInclude(JSON.stringify(attributes), "SECRET")
        })
      )
    ))
})
