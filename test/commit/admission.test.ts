import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Store, type StoreService } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const pendingOf = (store: StoreService) => Effect.map(store.stats, (stats) => stats.pending)

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

const putAll = (store: StoreService, keys: Iterable<string>) =>
  Effect.forEach(keys, (key) => store.put(key, `value of ${key}`), { discard: true })

const Key = Schema.Literals(["a", "b", "c", "d", "e", "f", "g"])
const Operation = Schema.Union([
  Schema.Struct({ type: Schema.tag("put"), key: Key, value: Schema.Int }),
  Schema.Struct({ type: Schema.tag("delete"), key: Key }),
  Schema.Struct({ type: Schema.tag("increment"), key: Key }),
  Schema.Struct({ type: Schema.tag("putMany"), entries: Schema.Array(Schema.Tuple([Key, Schema.Int])) }),
  Schema.Struct({ type: Schema.tag("flush") })
])
type Operation = typeof Operation.Type

const increment = (value: Option.Option<unknown>) => Option.some(Number(Option.getOrElse(value, () => 0)) + 1)

const applyTo = (store: StoreService, operation: Operation) => {
  switch (operation.type) {
    case "put":
      return store.put(operation.key, operation.value)
    case "delete":
      return store.delete(operation.key)
    case "increment":
      return Effect.asVoid(store.update(operation.key, increment))
    case "putMany":
      return store.putMany(operation.entries)
    case "flush":
      return store.flush
  }
}

const applyToModel = (model: Map<string, number>, operation: Operation): void => {
  switch (operation.type) {
    case "put":
      return void model.set(operation.key, operation.value)
    case "delete":
      return void model.delete(operation.key)
    case "increment":
      return void model.set(operation.key, (model.get(operation.key) ?? 0) + 1)
    case "putMany":
      for (const [key, value] of operation.entries) model.set(key, value)
      return
    case "flush":
  }
}

const assertIs = Effect.fnUntraced(function*(store: StoreService, model: ReadonlyMap<string, number>) {
  const { found, missing } = yield* store.getMany(Key.literals)
  assert.deepStrictEqual(
    found,
    new Map(Key.literals.flatMap((key) => {
      const value = model.get(key)
      return value === undefined ? [] : [[key, value] as const]
    }))
  )
  assert.deepStrictEqual(missing, Key.literals.filter((key) => !model.has(key)))
  assert.strictEqual(yield* store.size, model.size)
  for (const key of Key.literals) assert.strictEqual(yield* store.has(key), model.has(key))
})

describe("buffering", () => {
  it.effect("buffer_overflow_triggers_autoflush: the batchSize-th key starts a commit in the background", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 3 })
      const held = yield* spy.hold("commit")
      yield* putAll(store, ["a", "b"])
      yield* turns(10)
      assert.strictEqual(yield* pendingOf(store), 2)
      yield* store.put("c", "value of c")
      yield* held.begun
      assert.strictEqual(yield* pendingOf(store), 3, "they stay readable until they are on disk")
      assert.deepStrictEqual(yield* store.get("a"), Option.some("value of a"))
      yield* held.release
      yield* store.flush
      assert.strictEqual(yield* pendingOf(store), 0)
      assert.deepStrictEqual(spy.commits(), [["a", "b", "c"]])
      const { found } = yield* store.getMany(["a", "b", "c"])
      assert.strictEqual(found.size, 3)
    }))

  it.effect("buffer_overflow_triggers_autoflush: batchBytes starts one too, counted by keys and encoded values", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchBytes: 1000 })
      const held = yield* spy.hold("commit")
      yield* store.put("a", "x".repeat(900))
      const { pendingBytes } = yield* store.stats
      assert.isAbove(pendingBytes, 900)
      assert.isBelow(pendingBytes, 1000)
      yield* store.put("b", "x".repeat(100))
      yield* held.begun
      yield* held.release
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["a", "b"]])
      assert.strictEqual((yield* store.stats).pendingBytes, 0)
    }))

  it.effect("buffer_overflow_triggers_autoflush: a batch that has waited for flushInterval is committed", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ flushInterval: "5 seconds" })
      const held = yield* spy.hold("commit")
      yield* store.put("a", 1)
      yield* TestClock.adjust("4999 millis")
      yield* store.put("b", 2)
      yield* turns(10)
      assert.deepStrictEqual(spy.commits(), [])
      yield* TestClock.adjust("1 millis")
      yield* held.begun
      yield* held.release
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["a", "b"]])
    }))

  it.effect("buffer_overflow_triggers_autoflush: a third batch waits until the first is on disk", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 2 })
      const held = yield* spy.hold("commit")
      yield* putAll(store, ["a", "b"])
      yield* held.begun
      yield* putAll(store, ["c", "d"])
      const fifth = yield* start(store.put("e", 5))
      yield* turns(10)
      assert.strictEqual(fifth.pollUnsafe(), undefined)
      assert.isFalse(yield* store.has("e"))
      yield* store.put("d", "again")
      yield* held.release
      yield* Fiber.join(fifth)
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["a", "b"], ["c", "d"], ["e"]])
      assert.deepStrictEqual(yield* store.get("d"), Option.some("again"))
    }))

  it.effect("buffer_overflow_with_mixed_operations: puts and deletes count alike", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 4 })
      yield* putAll(store, ["a", "b"])
      yield* store.flush
      const held = yield* spy.hold("commit")
      yield* store.put("c", 3)
      yield* store.delete("a")
      yield* store.put("d", 4)
      yield* store.delete("missing")
      yield* held.begun
      yield* held.release
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["a", "b"], ["c", "-a", "d", "-missing"]])
      assert.isFalse(yield* store.has("a"))
      assert.deepStrictEqual(yield* store.get("c"), Option.some(3))
    }))

  it.effect("buffer_state_with_overwrites: one key put thrice, deleted and put again is one pending write", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 2 })
      yield* store.put("a", 0)
      const { pendingBytes } = yield* store.stats
      for (const value of [1, 2, 3]) {
        yield* store.put("a", value)
        assert.deepStrictEqual(yield* store.get("a"), Option.some(value))
        assert.strictEqual((yield* store.stats).pendingBytes, pendingBytes)
      }
      yield* store.delete("a")
      assert.deepStrictEqual(yield* store.get("a"), Option.none())
      yield* store.put("a", 4)
      yield* turns(10)
      assert.strictEqual(yield* pendingOf(store), 1)
      assert.deepStrictEqual(spy.commits(), [])
      yield* store.flush
      assert.deepStrictEqual(yield* store.get("a"), Option.some(4))
      assert.deepStrictEqual(spy.commits(), [["a"]])
    }))

  it.effect("buffer_consistency_across_operations: 7 distinct keys are pending and read right", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open({ batchSize: 100 })
      yield* putAll(store, ["a", "b", "c", "d", "e"])
      yield* store.delete("b")
      yield* store.put("c", "new")
      yield* store.put("f", 6)
      yield* store.delete("g")
      assert.strictEqual(yield* pendingOf(store), 7)
      const { found, missing } = yield* store.getMany(["a", "b", "c", "d", "e", "f", "g", "h"])
      assert.deepStrictEqual([...found.keys()], ["a", "c", "d", "e", "f"])
      assert.strictEqual(found.get("c"), "new")
      assert.deepStrictEqual(missing, ["b", "g", "h"])
      assert.isFalse(yield* store.has("unknown"))
    }))

  it.effect.prop(
    "buffer_consistency_across_operations: any operations read as those of a Map, at once and after reopening",
    { operations: Schema.Array(Operation), batchSize: Schema.Literals([1, 2, 3, 1000]) },
    ({ batchSize, operations }) =>
      Effect.scoped(Effect.gen(function*() {
        const path = yield* temporaryFolder
        const model = new Map<string, number>()
        yield* Effect.scoped(Effect.gen(function*() {
          const store = yield* Store.make({ path, batchSize })
          for (const operation of operations) {
            yield* applyTo(store, operation)
            applyToModel(model, operation)
            yield* assertIs(store, model)
          }
        }))
        yield* assertIs(yield* Store.make({ path, readOnly: true }), model)
      })),
    { arbitrary: { runs: 25 } }
  )

  it.live.each([6, 7, 11])(
    "a writer that yields between its steps (%i) is resumed whichever commit ends in between",
    (operations) =>
      Effect.gen(function*() {
        const store = yield* Store.make({ path: yield* temporaryFolder, batchSize: 2, flushInterval: "Infinity" })
        // A busy event loop: a fiber that yields continues after commits that end in between
        const busy = new Scheduler.MixedScheduler("async", (run) => {
          const timer = setTimeout(run, 2)
          return () => clearTimeout(timer)
        })
        yield* putAll(store, range(0, 120).map((index) => `key ${index % 97}`)).pipe(
          Effect.provideService(Scheduler.Scheduler, busy),
          Effect.provideService(Scheduler.MaxOpsBeforeYield, operations)
        )
        yield* store.flush
        assert.strictEqual(yield* store.size, 97)
      })
  )

  it.effect("a loop of writes lets other fibers run while a commit waits for its transaction", () =>
    Effect.gen(function*() {
      const batchSize = 100
      const { spy, store } = yield* SpyEngine.open({ batchSize, flushInterval: "Infinity" })
      const held = yield* spy.hold("commit")
      const seen = new Set<number>()
      const writer = yield* start(putAll(store, range(0, 2 * batchSize - 2).map((index) => `key ${index}`)))
      while (writer.pollUnsafe() === undefined) {
        seen.add(yield* pendingOf(store))
        yield* Effect.yieldNow
      }
      assert.isAbove(seen.size, 8)
      yield* held.release
    }))

  it.effect("a single writer fills the next batch while the previous one is committed", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 2 })
      for (let committed = 0; committed < 3; committed++) {
        const first = yield* spy.hold("commit")
        const second = yield* spy.hold("commit")
        const writer = yield* start(putAll(store, range(0, 9).map((index) => `${committed} ${index}`)))
        yield* first.begun
        yield* first.release
        yield* second.begun
        yield* turns(10)
        assert.strictEqual(yield* pendingOf(store), 4)
        yield* second.release
        yield* Fiber.join(writer)
        yield* store.flush
      }
    }))

  it.effect("exact_batch_size_boundary: every third put commits, two more stay pending", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 3 })
      for (const batch of [["a", "b", "c"], ["d", "e", "f"]]) {
        const held = yield* spy.hold("commit")
        yield* putAll(store, batch.slice(0, 2))
        yield* turns(10)
        assert.strictEqual(yield* pendingOf(store), 2)
        yield* putAll(store, batch.slice(2))
        yield* held.begun
        yield* held.release
        yield* store.flush
        assert.strictEqual(yield* pendingOf(store), 0)
      }
      assert.deepStrictEqual(spy.commits(), [["a", "b", "c"], ["d", "e", "f"]])
    }))

  it.effect("buffer_with_get_many: stored, pending, deleted, missing and repeated keys in one call", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* putAll(store, ["stored", "deleted", "overwritten"])
      yield* store.flush
      yield* putAll(store, ["pending"])
      yield* store.delete("deleted")
      yield* store.put("overwritten", "new")
      const { found, missing } = yield* store.getMany(
        ["missing", "pending", "deleted", "stored", "overwritten", "stored", "missing"]
      )
      assert.deepStrictEqual([...found], [
        ["pending", "value of pending"],
        ["stored", "value of stored"],
        ["overwritten", "new"]
      ])
      assert.deepStrictEqual(missing, ["missing", "deleted", "missing"])
      assert.strictEqual(spy.commits().length, 1)
    }))

  it.effect("buffer_with_get_many: with autoFlushOnRead it commits only when a key is not among the pending ones", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ autoFlushOnRead: true })
      yield* putAll(store, ["a", "b"])
      yield* store.getMany(["b", "a"])
      assert.deepStrictEqual(spy.commits(), [])
      yield* store.getMany(["b", "other"])
      assert.deepStrictEqual(spy.commits(), [["a", "b"]])
    }))

  it.effect("buffer_persistence_on_close: what was pending is there after close and reopening", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      yield* putAll(store, ["a", "b"])
      yield* store.delete("b")
      yield* store.close()
      const reopened = yield* Store.make({ path })
      assert.deepStrictEqual(yield* reopened.get("a"), Option.some("value of a"))
      assert.strictEqual(yield* reopened.size, 1)
    }))

  it.effect("buffer_with_context_manager_exception: a scope that ends in an error commits what is pending", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const exit = yield* Store.make({ path }).pipe(
        Effect.tap((store) => store.put("a", 1)),
        Effect.andThen(Effect.fail("the body failed")),
        Effect.scoped,
        Effect.flip
      )
      assert.strictEqual(exit, "the body failed")
      const reopened = yield* Store.make({ path })
      assert.deepStrictEqual(yield* reopened.get("a"), Option.some(1))
    }))

  it.effect("large_batch_size_performance: 999 writes are pending and readable, the 1000th commits them as one", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const held = yield* spy.hold("commit")
      yield* putAll(store, range(0, 999).map(String))
      yield* turns(10)
      assert.strictEqual(yield* pendingOf(store), 999)
      assert.deepStrictEqual(yield* store.get("500"), Option.some("value of 500"))
      yield* store.put("999", "value of 999")
      yield* held.begun
      yield* held.release
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [range(0, 1000).map(String)])
      for (const key of ["0", "500", "999"]) {
        assert.deepStrictEqual(yield* store.get(key), Option.some(`value of ${key}`))
      }
    }))

  it.effect("autoflush_on_read_true_triggers_flush: a get of another key commits, one that the buffer answers does not", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ autoFlushOnRead: true })
      yield* store.put("a", 1)
      yield* store.delete("b")
      yield* store.get("a")
      yield* store.get("b")
      assert.isFalse(yield* store.has("b", { flush: true }))
      assert.deepStrictEqual(spy.commits(), [])
      assert.deepStrictEqual(yield* store.get("missing"), Option.none())
      assert.deepStrictEqual(spy.commits(), [["a", "-b"]])
    }))

  it.effect("autoflush_on_read_false_does_not_flush: nor is it needed, pending writes are read all the same", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.put("a", 1)
      assert.deepStrictEqual(yield* store.get("missing"), Option.none())
      yield* turns(10)
      assert.strictEqual(yield* pendingOf(store), 1)
      assert.deepStrictEqual(yield* store.get("a"), Option.some(1))
      assert.deepStrictEqual(spy.commits(), [])
    }))

  it.effect("flush: one transaction in the order of the first writes; none when nothing is pending", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.flush
      yield* putAll(store, ["c", "a", "b"])
      yield* store.put("c", "again")
      yield* store.flush
      yield* store.flush
      assert.strictEqual(spy.transactions(), 1)
      assert.deepStrictEqual(spy.commits(), [["c", "a", "b"]])
    }))
})
