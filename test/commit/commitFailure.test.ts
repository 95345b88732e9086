/** The state of a store after a failed commit, and which fibers receive its error. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { EngineFull } from "../../src/Engine.ts"
import type { StoreService } from "../../src/index.ts"
import * as FaultyEngine from "../support/engines/faultyEngine.ts"
import { faultyStore, start, turns, until, withLog } from "../support/harness.ts"

const { corrupted, diskFull, inputOutput, readersFull } = FaultyEngine.faults

/** Everything under some keys. */
const read = (store: StoreService, keys: ReadonlyArray<string>) =>
  Effect.map(store.getMany(keys), ({ found }) => Object.fromEntries(found))

const isSettled = (store: StoreService, faulty: FaultyEngine.FaultyEngine, commits: number) =>
  Effect.andThen(until(() => faulty.calls("commit") === commits), Effect.andThen(turns(5), store.size))

describe("after a failed commit", () => {
  it.effect.each([diskFull, inputOutput, corrupted, readersFull])(
    "with code $code its writes stay pending and readable, and the next commit includes them",
    (fault) =>
      Effect.gen(function*() {
        const { faulty, open, store } = yield* faultyStore()
        yield* store.putMany({ kept: 0, gone: 0 })
        yield* store.put("a", 1)
        yield* store.put("b", 1)
        yield* store.delete("gone")
        yield* faulty.fail("commit", fault)
        assert.strictEqual(yield* Effect.flip(store.flush), fault)

        const expected = { kept: 0, a: 1, b: 1 }
        const keys = ["kept", "gone", "a", "b"]
        assert.deepStrictEqual(yield* read(store, keys), expected)
        assert.isFalse(yield* store.has("gone"))
        assert.strictEqual(yield* store.size, 3)
        assert.strictEqual((yield* store.stats).pending, 3)

        yield* store.flush
        assert.strictEqual((yield* store.stats).pending, 0)
        assert.deepStrictEqual(yield* read(store, keys), expected)
        yield* store.close({ strict: true })
        assert.deepStrictEqual(yield* read(yield* open, keys), expected)
      })
  )

  it.effect("newer writes of the same keys replace its writes", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore()
      yield* store.put("overwritten", "old")
      yield* store.put("deleted", "old")
      yield* store.put("untouched", "old")
      yield* store.delete("back")
      const held = yield* faulty.holdCommit
      yield* faulty.fail("commit", diskFull)
      const flushing = yield* start(store.flush)
      yield* held.isWanted
      yield* store.put("overwritten", "new")
      yield* store.delete("deleted")
      yield* store.put("back", "new")
      yield* store.put("other", "new")
      yield* held.release
      assert.strictEqual(yield* Effect.flip(Fiber.join(flushing)), diskFull)

      const keys = ["overwritten", "deleted", "untouched", "back", "other"]
      const expected = { overwritten: "new", untouched: "old", back: "new", other: "new" }
      assert.deepStrictEqual(yield* read(store, keys), expected)
      assert.strictEqual((yield* store.stats).pending, 5)
      yield* store.flush
      // One write of each key, in one commit
      assert.strictEqual(faulty.batches().at(-1)?.length, 5)
      yield* store.close({ strict: true })
      assert.deepStrictEqual(yield* read(yield* open, keys), expected)
    }))

  it.effect("the interval starts again, and the commit is tried again at its end", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "1 second" })
      yield* faulty.failAlways("commit", diskFull)
      yield* store.put("a", 1)
      for (const commits of [1, 2, 3]) {
        yield* TestClock.adjust("999 millis")
        yield* turns(10)
        assert.strictEqual(faulty.calls("commit"), commits - 1)
        yield* TestClock.adjust("1 millis")
        yield* isSettled(store, faulty, commits)
      }
      yield* faulty.heal
      yield* TestClock.adjust("1 second")
      yield* until(() => faulty.calls("commit") === 4)
      yield* store.flush
      assert.strictEqual((yield* store.stats).pending, 0)
    }))

  it.effect("at most two batches are in memory after any number of failures", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 10, batchBytes: 1000 })
      yield* faulty.failAlways("commit", diskFull)
      let refused = 0
      for (let index = 0; index < 300; index++) {
        yield* Effect.catchTag(store.put(`key ${index}`, "x".repeat(index)), "EngineFailure", () =>
          Effect.sync(() => {
            refused++
          }))
        const { pending, pendingBytes } = yield* store.stats
        assert.isAtMost(pending, 20)
        assert.isAtMost(pendingBytes, 2000 + 320)
      }
      assert.isAtLeast(refused, 250)
      yield* faulty.heal
      yield* store.flush
      assert.isAtLeast(yield* store.size, 10)
    }))
})

describe("the error of a failed commit", () => {
  it.effect("reaches every flush that waited, and no other call", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore()
        const held = yield* faulty.holdCommit
        yield* faulty.fail("commit", diskFull)
        yield* store.put("a", 1)
        const fibers = yield* Effect.replicateEffect(start(Effect.flip(store.flush)), 10)
        yield* held.release
        assert.deepStrictEqual(yield* Fiber.joinAll(fibers), Array.from({ length: 10 }, () => diskFull))
        assert.strictEqual(faulty.calls("commit"), 1)
        yield* store.put("b", 1)
        yield* store.flush
        assert.deepStrictEqual(log, [])
      })
    ))

  it.effect("reaches the next put exactly once when no fiber waited, and is logged", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, path, store } = yield* faultyStore({ batchSize: 2 })
        yield* faulty.fail("commit", inputOutput)
        yield* store.put("a", 1)
        yield* store.put("b", 1)
        yield* isSettled(store, faulty, 1)
        assert.strictEqual(log.length, 1)
        assert.strictEqual(log[0]?.level, "WARN")
        assert.include(log[0]?.text, `A commit of the store at ${path} failed`)

        // Reads and deletions do not fail for it
        assert.strictEqual(yield* store.getOrFail("a"), 1)
        yield* store.delete("a")
        assert.strictEqual(yield* Effect.flip(store.put("c", 1)), inputOutput)
        assert.isFalse(yield* store.has("c"))
        yield* store.put("c", 2)
        yield* store.flush
        assert.deepStrictEqual(yield* read(store, ["a", "b", "c"]), { b: 1, c: 2 })
      })
    ))

  it.effect("reaches an update in the same way, and the update changes nothing", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 1 })
      yield* faulty.fail("commit", inputOutput)
      yield* store.put("a", 1)
      yield* isSettled(store, faulty, 1)
      assert.strictEqual(yield* Effect.flip(store.update("a", () => Option.some(2))), inputOutput)
      assert.strictEqual(yield* store.getOrFail("a"), 1)
      yield* store.update("a", () => Option.some(3))
      assert.strictEqual(yield* store.getOrFail("a"), 3)
    }))

  it.effect("reaches the next put when the flush that waited was interrupted", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const held = yield* faulty.holdCommit
      yield* faulty.fail("commit", diskFull)
      yield* store.put("a", 1)
      const flushing = yield* start(store.flush)
      yield* held.isWanted
      yield* Fiber.interrupt(flushing)
      yield* held.release
      yield* turns(5)
      assert.strictEqual(yield* Effect.flip(store.put("b", 1)), diskFull)
      yield* store.put("b", 1)
    }))

  it.effect("is dropped after a later commit has written the writes", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 1 })
      yield* faulty.fail("commit", inputOutput)
      yield* store.put("a", 1)
      yield* isSettled(store, faulty, 1)
      yield* store.flush
      yield* store.put("b", 1)
    }))

  it.effect("reaches a put that waited for room", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 1 })
      const held = yield* faulty.holdCommit
      yield* faulty.failAlways("commit", diskFull)
      yield* store.put("a", 1)
      yield* held.isWanted
      yield* store.put("b", 1)
      const waiting = yield* start(Effect.flip(store.put("c", 1)))
      assert.isUndefined(waiting.pollUnsafe())
      yield* held.release
      assert.strictEqual(yield* Fiber.join(waiting), diskFull)
      assert.isFalse(yield* store.has("c"))
      yield* faulty.heal
    }))

  it.effect("does not fail a deletion, not even one that waited", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 1 })
      yield* store.putMany({ a: 0, b: 0, c: 0 })
      const held = yield* faulty.holdCommit
      yield* faulty.failAlways("commit", diskFull)
      yield* store.delete("a")
      yield* held.isWanted
      yield* store.delete("b")
      const waiting = yield* start(store.delete("c"))
      yield* held.release
      yield* Fiber.join(waiting)
      for (const key of ["d", "e", "f"]) yield* store.delete(key)
      assert.strictEqual(yield* store.size, 0)
      yield* faulty.heal
      yield* store.flush
      assert.strictEqual(yield* store.size, 0)
    }))

  it.effect("does not fail a read that commits first, but the next put", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ autoFlushOnRead: true })
      yield* store.put("a", 1)
      yield* faulty.fail("commit", diskFull)
      assert.isTrue(Option.isNone(yield* store.get("missing")))
      assert.strictEqual(faulty.calls("commit"), 1)
      assert.strictEqual(yield* store.getOrFail("a"), 1)
      assert.strictEqual(yield* Effect.flip(store.put("b", 1)), diskFull)
    }))
})

describe("a failing putMany, deleteMany or clear", () => {
  it.effect("makes none of its writes and does not change the pending writes", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore()
      yield* store.putMany({ a: "stored", b: "stored" })
      yield* store.put("a", "pending")
      yield* store.put("c", "pending")
      yield* store.delete("b")
      const before = { a: "pending", c: "pending" }
      const keys = ["a", "b", "c", "d"]
      for (
        const call of [store.putMany({ a: "many", b: "many", d: "many" }), store.deleteMany(["a", "c"]), store.clear]
      ) {
        // Pending writes are committed first where a call writes over them: both commits fail
        yield* faulty.failAlways("commit", diskFull)
        assert.strictEqual(yield* Effect.flip(call), diskFull)
        yield* faulty.heal
        assert.deepStrictEqual(yield* read(store, keys), before)
        assert.strictEqual((yield* store.stats).pending, 3)
      }
      yield* store.close({ strict: true })
      assert.deepStrictEqual(yield* read(yield* open, keys), before)
    }))

  it.effect("reports its error only to its caller", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore()
        yield* faulty.fail("commit", diskFull)
        assert.strictEqual(yield* Effect.flip(store.putMany({ a: 1 })), diskFull)
        yield* store.put("b", 1)
        yield* faulty.failAlways("commit", diskFull)
        assert.strictEqual(yield* Effect.flip(store.clear), diskFull)
        yield* faulty.heal
        yield* store.put("c", 1)
        yield* store.flush
        assert.deepStrictEqual(log, [])
      })
    ))

  it.effect("is refused for a pair that is not valid, before anything is written", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.put("pending", 1)
      const entries = [["good", 1], ["bad", () => 0]] as const
      assert.propertyVal(yield* Effect.flip(store.putMany(entries)), "_tag", "ValueEncoding")
      assert.propertyVal(yield* Effect.flip(store.putMany([["good", 1], ["", 1]])), "_tag", "KeyEncoding")
      assert.propertyVal(yield* Effect.flip(store.deleteMany(["pending", ""])), "_tag", "KeyEncoding")
      assert.isFalse(yield* store.has("good"))
      assert.isTrue(yield* store.has("pending"))
      assert.strictEqual(faulty.calls("commit"), 0)
    }))
})

describe("a clear", () => {
  it.effect("deletes stored and pending values, but not values that are put while it runs", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore()
      yield* store.putMany({ stored: 1, both: 1 })
      yield* store.put("pending", 1)
      yield* store.put("both", 2)
      const held = yield* faulty.holdCommit
      const clearing = yield* start(store.clear)
      yield* held.isWanted
      const putting = yield* start(store.put("both", 3))
      yield* held.release
      yield* Fiber.join(clearing)
      yield* Fiber.join(putting)
      assert.deepStrictEqual(yield* read(store, ["stored", "pending", "both"]), { both: 3 })
      assert.strictEqual(yield* store.size, 1)
      yield* store.close({ strict: true })
      assert.deepStrictEqual(yield* read(yield* open, ["stored", "pending", "both"]), { both: 3 })
    }))

  it.effect("succeeds on an empty store any number of times", () =>
    Effect.gen(function*() {
      const { open, store } = yield* faultyStore()
      for (let round = 0; round < 5; round++) yield* store.clear
      yield* store.put("a", 1)
      yield* store.clear
      yield* store.clear
      assert.strictEqual(yield* store.size, 0)
      yield* store.put("b", 1)
      yield* store.close({ strict: true })
      const again = yield* open
      yield* again.clear
      assert.strictEqual(yield* again.size, 0)
    }))
})

describe("faults of the engine outside commits", () => {
  it.effect("a failing read fails with EngineFailure, and pending values can still be read", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.putMany({ stored: 1 })
      yield* store.put("pending", 2)
      yield* faulty.failAlways("get", readersFull)
      yield* faulty.failAlways("has", readersFull)
      const calls = [
        store.get("stored"),
        store.getOrFail("stored"),
        store.getMany(["pending", "stored"]),
        store.has("stored"),
        store.deleteOrFail("stored"),
        store.update("stored", () => Option.some(2)),
        store.size,
        store.stats
      ]
      for (const call of calls) assert.strictEqual(yield* Effect.flip<unknown, unknown, never>(call), readersFull)
      assert.isTrue(readersFull.isRetryable)
      assert.strictEqual(yield* store.getOrFail("pending"), 2)
      assert.isTrue(yield* store.has("pending"))
      yield* faulty.heal
      assert.deepStrictEqual(yield* read(store, ["stored", "pending"]), { stored: 1, pending: 2 })
    }))

  it.effect("a resize that fails loses no write, and the next commit repeats it", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore({ mapSize: "1 MiB" })
      const value = "x".repeat(2 * 1024 * 1024)
      yield* store.put("large", value)
      yield* faulty.fail("resize", inputOutput)
      assert.strictEqual(yield* Effect.flip(store.flush), inputOutput)
      assert.strictEqual(yield* store.getOrFail("large"), value)
      yield* store.put("small", 1)
      yield* store.flush
      assert.isAbove((yield* store.stats).mapSize, 2 * 1024 * 1024)
      yield* store.close({ strict: true })
      assert.strictEqual(yield* Effect.flatMap(open, (again) => again.getOrFail("large")), value)
    }))

  it.effect("a failed resize is repeated before the next commit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ mapSize: "1 MiB" })
      yield* store.put("a", 1)
      yield* faulty.fail("commit", new EngineFull({ mapSize: 1024 * 1024, needed: 1024 * 1024 }))
      yield* faulty.failAlways("resize", inputOutput)
      assert.strictEqual(yield* Effect.flip(store.flush), inputOutput)
      assert.strictEqual(yield* Effect.flip(store.flush), inputOutput)
      assert.strictEqual(faulty.calls("commit"), 1)
      yield* faulty.heal
      yield* store.flush
      assert.strictEqual(faulty.calls("commit"), 2)
    }))

  it.effect("an engine that reports a full map at random only costs another try", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ mapSize: "1 MiB" })
      yield* faulty.fail("commit", new EngineFull({ mapSize: 1024 * 1024, needed: 1024 * 1024 }))
      yield* store.put("a", 1)
      yield* store.flush
      assert.strictEqual(faulty.calls("commit"), 2)
      assert.strictEqual((yield* store.stats).mapSize, 1024 * 1024)
    }))
})
