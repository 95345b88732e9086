/** `count` and `deleteRange`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { statSync } from "node:fs"
import { join } from "node:path"
import { Store } from "../../src/index.ts"
import * as FaultyEngine from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { faultyStore, start, temporaryFolder, withStore } from "../support/harness.ts"
import { inRange, readByHand, type TestRange } from "../support/streaming.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const keyOf = (index: number): string => `key ${String(index).padStart(5, "0")}`

const entries = Array.from({ length: 1000 }, (_, index) => [keyOf(index), index] as const)

const keys = (range: TestRange = {}) => Effect.flatMap(Store, (store) => Stream.runCollect(store.keys(range)))

const Range = Schema.Struct({
  gte: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 }))),
  lt: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 }))),
  reverse: Schema.optional(Schema.Boolean),
  offset: Schema.optionalKey(between(0, 5)),
  limit: Schema.optionalKey(between(0, 12))
})

describe("deleteRange", () => {
  it.effect("refuses an empty prefix, which every key has", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany({ a: 1, b: 2 })
      for (const prefix of ["", new Uint8Array(0)]) {
        const error = yield* Effect.flip(store.deleteRange({ prefix }))
        assert.nestedPropertyVal(error, "reason._tag", "Empty")
        assert.include(error.message, "clear")
      }
      assert.strictEqual(yield* store.size, 2)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect.prop(
    "deletes the keys of the range, stored or pending, returns their number, and leaves the other keys",
    {
      stored: Schema.Array(between(0, 30)),
      pending: Schema.Array(Schema.Tuple([between(0, 30), Schema.Boolean])),
      ranges: Schema.Array(Range).check(Schema.isBetweenLength(1, 4))
    },
    ({ pending, ranges, stored }) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const model = new Map<string, string>(stored.map((index) => [keyOf(index), "stored"]))
        yield* withStore({ path, durability: "noSync" }, (store) =>
          Effect.gen(function*() {
            yield* store.putMany(model)
            for (const [index, isDeletion] of pending) {
              if (isDeletion) model.delete(keyOf(index))
              else model.set(keyOf(index), "pending")
              yield* isDeletion ? store.delete(keyOf(index)) : store.put(keyOf(index), "pending")
            }
            for (const { gte, lt, ...rest } of ranges) {
              const range: TestRange = {
                ...rest,
                ...(gte === undefined ? {} : { gte: keyOf(gte) }),
                ...(lt === undefined ? {} : { lt: keyOf(lt) })
              }
              const doomed = inRange(Array.from(model.keys(), (key) => [new TextEncoder().encode(key), key]), range)
              assert.strictEqual(yield* store.count(range), doomed.length)
              assert.strictEqual(yield* store.deleteRange(range), doomed.length)
              for (const [, key] of doomed) model.delete(key)
              assert.strictEqual(yield* store.count(), model.size)
              assert.deepStrictEqual(new Map(yield* Stream.runCollect(store.entries())), model)
            }
          }))
        yield* withStore({ path }, (store) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(new Map(yield* Stream.runCollect(store.entries())), model)
          }))
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 25, size: 30, seed: "deleteRange" } }
  )

  it.effect("is one transaction with the pending writes, and on disk when it returns", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.putMany({ a: 1, b: 2, c: 3 })
      yield* store.put("d", 4)
      assert.strictEqual(yield* store.deleteRange({ gte: "b" }), 3)
      assert.deepStrictEqual(spy.commits().at(-1)?.toSorted(), ["-b", "-c", "-d"])
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.strictEqual(yield* store.size, 1)
    }))

  it.effect("of an empty range makes no transaction", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.putMany({ a: 1 })
      yield* store.put("pending", 1)
      const before = spy.transactions()
      for (const range of [{ prefix: "b" }, { limit: 0 }, { offset: 9 }, { gt: "b", lt: "a" }]) {
        assert.strictEqual(yield* store.deleteRange(range), 0)
      }
      assert.strictEqual(spy.transactions(), before)
      assert.strictEqual((yield* store.stats).pending, 1)
    }))

  it.effect("does not delete keys that are put into the range during its commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.putMany(entries)
      const commit = yield* spy.hold("commit")
      const deleting = yield* start(store.deleteRange({ prefix: "key" }))
      yield* commit.begun
      const putting = yield* start(store.put(keyOf(5), "new"))
      yield* store.put("key new", "new")
      yield* commit.release
      assert.strictEqual(yield* Fiber.join(deleting), entries.length)
      yield* Fiber.join(putting)
      assert.deepStrictEqual(yield* Stream.runCollect(store.entries()), [[keyOf(5), "new"], ["key new", "new"]])
    }))

  it.effect("that the engine cannot commit deletes nothing", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.putMany(entries)
      yield* store.put("pending", 1)
      yield* faulty.fail("commit", FaultyEngine.faults.diskFull)
      assert.deepStrictEqual(yield* Effect.flip(store.deleteRange({})), FaultyEngine.faults.diskFull)
      assert.strictEqual(yield* store.count(), entries.length + 1)
      assert.deepStrictEqual(yield* Stream.runCollect(store.entries({ prefix: "key" })), entries)
      assert.strictEqual(yield* store.deleteRange({}), entries.length + 1)
      assert.strictEqual(yield* store.count(), 0)
    }))

  it.effect("makes room in a full store, and deletes all or nothing if a stream prevents that", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "512 KiB", durability: "noSync" })
      const limit = 512 * 1024
      const fill = Effect.gen(function*() {
        for (let index = 0;; index++) {
          const put = store.putMany({ [keyOf(index)]: `${index} ${"x".repeat(3000)}` })
          const isFull = yield* Effect.as(put, false).pipe(Effect.catchTag("MapFull", () => Effect.succeed(true)))
          if (isFull) return index
        }
      })
      const filled = yield* fill
      const read = yield* readByHand(store.keys())
      yield* read.next
      let left = filled
      // Each takes pages that the stream keeps from being used again
      for (;;) {
        const deletion = Effect.catchTag(store.deleteRange({ limit: 1 }), "MapFull", () => Effect.succeed(0))
        const deleted = yield* deletion
        left -= deleted
        assert.strictEqual(yield* store.count(), left)
        if (deleted === 0) break
        assert.isAtMost(statSync(join(path, "data.mdb")).size, limit)
      }
      yield* read.end
      assert.strictEqual(yield* store.deleteRange({ prefix: "key" }), left)
      assert.isAtMost(statSync(join(path, "data.mdb")).size, limit)
      assert.isAbove(yield* fill, filled / 2)
    }))

  it.effect("that is interrupted deletes all or nothing", () =>
    Effect.gen(function*() {
      const store = yield* Store
      for (let turns = 0; turns < 30; turns++) {
        yield* store.putMany(entries)
        const deleting = yield* start(store.deleteRange({ prefix: "key" }))
        yield* Effect.repeat(Effect.yieldNow, { times: turns })
        yield* Fiber.interrupt(deleting)
        assert.include([0, entries.length], yield* store.count())
        assert.strictEqual((yield* store.stats).snapshots, 0)
      }
    }).pipe(Effect.provide(Store.layerTemp({ durability: "noSync" }))))
})

describe("count", () => {
  it.effect("is the number of keys of the range, with offset and limit", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(entries)
      yield* store.delete(keyOf(3))
      yield* store.put("z", 1)
      assert.strictEqual(yield* store.count(), entries.length)
      for (
        const range of [
          { prefix: "key 000" },
          { gt: keyOf(2), lte: keyOf(500), offset: 10 },
          { reverse: true, limit: 700 },
          { gt: "key", lt: "z", offset: 990, limit: 300 }
        ]
      ) assert.strictEqual(yield* store.count(range), (yield* keys(range)).length)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("is of one state of the store", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 100_000 })
      yield* store.putMany(entries)
      const before = spy.transactions()
      const counting = yield* start(store.count())
      const [, ...rest] = entries
      // Runs between the parts that are counted
      for (const [key] of rest) yield* store.delete(key)
      yield* store.flush
      assert.strictEqual(yield* Fiber.join(counting), entries.length)
      assert.isAbove(spy.transactions(), before)
      assert.strictEqual(yield* store.count(), 1)
    }))
})
