import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { type Entries, Store, type StoreService } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

const pairs = (count: number) => range(count).map((n) => [`key ${n}`, n] as const)

const pendingOf = (store: StoreService) => Effect.map(store.stats, (stats) => stats.pending)

/** Opens a copy of the file of a store as it is on disk now, while the store stays open. */
const openOnDisk: (path: string) => ReturnType<typeof Store.make> = Effect.fnUntraced(function*(path: string) {
  const copy = yield* temporaryFolder
  const fs = yield* Effect.provide(FileSystem.FileSystem, NodeFileSystem.layer)
  yield* Effect.orDie(fs.copyFile(`${path}/data.mdb`, `${copy}/data.mdb`))
  return yield* Store.make({ path: copy, readOnly: true })
})

const broken = function*(): Generator<readonly [string, number]> {
  yield ["a", 1]
  throw new Error("the source broke")
}

const fourValues = { a: "text", b: 2, c: [1, 2, 3], d: { nested: { list: [null, true] } } }

const sources: ReadonlyArray<readonly [name: string, entries: () => Entries]> = [
  ["put_many_atomic_with_dict: a record", () => fourValues],
  ["put_many_atomic_with_dict: a record without a prototype", () => ({ __proto__: null, ...fourValues })],
  ["put_many_atomic_with_dict: a Map", () => new Map(Object.entries(fourValues))],
  ["put_many_atomic_with_list_of_tuples: an array of pairs", () => Object.entries(fourValues)],
  ["put_many_atomic_with_list_of_tuples: a Set of pairs", () => new Set(Object.entries(fourValues))],
  ["put_many_generator_input: an iterator that can be run through once", () => Object.entries(fourValues).values()]
]

describe("putMany", () => {
  for (const [name, entries] of sources) {
    it.effect(`${name} is stored in one transaction and on disk when it returns`, () =>
      Effect.gen(function*() {
        const { path, spy, store } = yield* SpyEngine.open()
        yield* store.putMany(entries())
        assert.deepStrictEqual(spy.commits(), [["a", "b", "c", "d"]])
        const onDisk = yield* openOnDisk(path)
        for (const reader of [store, onDisk]) {
          const { found } = yield* reader.getMany(["a", "b", "c", "d"])
          assert.deepStrictEqual<unknown>([...found], Object.entries(fourValues))
        }
      }))
  }

  it.effect("put_many_always_atomic: 10 values at batchSize 3 are one transaction, with the pending writes before them", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 3 })
      yield* store.put("pending", 1)
      yield* store.putMany(pairs(10))
      assert.deepStrictEqual(spy.commits(), [["pending", ...range(10).map((n) => `key ${n}`)]])
      assert.strictEqual(yield* store.size, 11)
    }))

  it.effect("put_many_always_atomic: no read sees its values before its commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const held = yield* spy.hold("commit")
      const fiber = yield* start(store.putMany(pairs(3)))
      yield* held.begun
      yield* turns(10)
      assert.strictEqual(fiber.pollUnsafe(), undefined)
      assert.strictEqual(yield* store.size, 0)
      yield* store.put("meanwhile", 1)
      yield* held.release
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["key 0", "key 1", "key 2"], ["meanwhile"]])
      assert.strictEqual(yield* store.size, 4)
    }))

  it.effect("put_many_duplicate_keys_last_wins: also of keys of different kinds", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.putMany([["a", 1], ["b", 1], ["a", 2], [bytes("a"), 3]])
      assert.deepStrictEqual(yield* store.get("a"), Option.some(3))
      assert.strictEqual(yield* store.size, 2)
    }))

  it.effect("put_many_empty_input: succeeds without a transaction", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      for (const entries of [{}, [], new Map<string, unknown>()]) yield* store.putMany(entries)
      assert.strictEqual(spy.transactions(), 0)
      yield* store.putMany({ a: 1 })
      assert.deepStrictEqual(yield* store.get("a"), Option.some(1))
    }))

  it.effect("put_many_with_map_resize: 2 MB go into a map of 1 MiB", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, mapSize: "1 MiB", maxMapSize: "100 MiB" })
      yield* store.putMany([["a", "x".repeat(1_000_000)], ["b", "y".repeat(1_000_000)]])
      assert.deepStrictEqual(yield* store.get("b"), Option.some("y".repeat(1_000_000)))
    }))

  it.effect("put_many_atomic_rollback_on_error: too large for the limit, it writes nothing, and the pending writes are committed", () =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* SpyEngine.open({ mapSize: "1 MiB", maxMapSize: "1 MiB" })
      yield* store.putMany({ old: 1 })
      yield* store.put("pending", 2)
      const error = yield* Effect.flip(store.putMany({ small: 3, large: "x".repeat(2_000_000), old: 4 }))
      assert(error._tag === "MapFull")
      assert.strictEqual(error.pending, 3)
      assert.deepStrictEqual(spy.commits(), [["old"], ["pending"]])
      for (const reader of [store, yield* openOnDisk(path)]) {
        assert.deepStrictEqual(yield* reader.get("old"), Option.some(1))
        assert.deepStrictEqual(yield* reader.get("pending"), Option.some(2))
        assert.strictEqual(yield* reader.size, 2)
      }
      yield* store.putMany({ small: 3 })
      assert.deepStrictEqual(yield* store.get("small"), Option.some(3), "it is no longer in the way")
    }))

  it.effect("put_many_atomic_rollback_on_error: with one key or value that is not valid it writes nothing", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.put("pending", 1)
      const badKey = yield* Effect.flip(store.putMany([["a", 1], ["", 2], ["b", 3]]))
      assert.strictEqual(badKey._tag, "KeyEncoding")
      const badValue = yield* Effect.flip(store.putMany([["a", 1], ["b", { run: () => 1 }], ["c", 3]]))
      assert(badValue._tag === "ValueEncoding")
      assert.strictEqual(badValue.shownKey, "\"b\"")
      assert.deepStrictEqual(spy.commits(), [])
      assert.strictEqual(yield* pendingOf(store), 1, "what was pending waits on")
      assert.strictEqual(yield* store.size, 1)
    }))

  it.effect("put_many_atomic_rollback_on_error: an iterable that throws halfway writes nothing", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const exit = yield* Effect.exit(store.putMany(broken()))
      assert(Exit.isFailure(exit))
      assert.include(String(exit.cause), "the source broke")
      assert.deepStrictEqual(spy.commits(), [])
      assert.strictEqual(yield* store.size, 0)
      yield* store.putMany({ a: 2 })
      assert.deepStrictEqual(yield* store.get("a"), Option.some(2))
    }))

  it.effect("put_many_with_bytes_keys: with keyEncoding binary", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, keyEncoding: "binary" })
      yield* store.putMany([[bytes("a"), 1], [Uint8Array.of(0, 255), 2]])
      assert.deepStrictEqual(yield* store.get(Uint8Array.of(0, 255)), Option.some(2))
      const error = yield* Effect.flip(store.putMany({ a: 1 }))
      assert.strictEqual(error._tag, "KeyEncoding")
    }))

  it.effect("put_many_mixed_types: every kind of value is read back equal", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const values = new Map<string, unknown>(Object.entries({
        text: "text",
        integer: 42,
        bigint: 2n ** 80n,
        float: 3.14,
        negativeZero: -0,
        list: [1, "two", null],
        record: { a: { b: 1 } },
        null: null,
        undefined,
        true: true,
        set: new Set([1, 2]),
        map: new Map([["a", 1]]),
        date: new Date(0),
        bytes: Uint8Array.of(1, 2, 3)
      }))
      yield* Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.putMany(values)))
      const { found } = yield* Effect.flatMap(Store.make({ path }), (store) => store.getMany(values.keys()))
      assert.deepStrictEqual(found, values)
    }))

  it.effect("put_many_generator_input: a generator is consumed once, lazily, when the effect runs", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      let taken = 0
      const write = store.putMany(function*() {
        for (const n of range(10)) {
          taken++
          yield [`key ${n}`, n] as const
        }
      }())
      assert.strictEqual(taken, 0)
      yield* write
      assert.strictEqual(taken, 10)
      const { found } = yield* store.getMany(pairs(10).map(([key]) => key))
      assert.deepStrictEqual<unknown>([...found], pairs(10))
    }))

  it.effect("put_many_preserves_existing_buffer: both are in one transaction, and the newer value of a key wins", () =>
    Effect.gen(function*() {
      const { path, store } = yield* SpyEngine.open()
      yield* store.put("old", 1)
      yield* store.put("both", "pending")
      yield* store.putMany({ new: 2, both: "putMany" })
      assert.strictEqual(yield* pendingOf(store), 0)
      const { found } = yield* Effect.flatMap(openOnDisk(path), (onDisk) => onDisk.getMany(["old", "new", "both"]))
      assert.deepStrictEqual([...found], [["old", 1], ["new", 2], ["both", "putMany"]])
      yield* store.put("both", "later")
      assert.deepStrictEqual(yield* store.get("both"), Option.some("later"))
    }))

  it.effect("put_many_readonly_raises_error: ReadOnly", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.putMany({ a: 1 })))
      const store = yield* Store.make({ path, readOnly: true })
      for (const entries of [{ a: 2 }, {}]) {
        assert.strictEqual((yield* Effect.flip(store.putMany(entries)))._tag, "ReadOnly")
      }
      assert.deepStrictEqual(yield* store.get("a"), Option.some(1))
    }))

  it.effect("put_many_closed_db_raises_error: Closed, also with nothing to write", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.close()
      for (const entries of [{ a: 2 }, {}]) {
        const error = yield* Effect.flip(store.putMany(entries))
        assert.strictEqual(error._tag, "Closed")
        assert.include(error.message, "closed")
      }
    }))

  it.effect("put_many_generator_with_map_resize: 50 x 20 KB from a generator into a map of 512 KiB", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ mapSize: "512 KiB", maxMapSize: "8 MiB" })
      yield* store.putMany(function*() {
        for (const n of range(50)) yield [`key ${n}`, String(n % 10).repeat(20_000)] as const
      }())
      assert.strictEqual(spy.commits().length, 1)
      assert.strictEqual((yield* store.stats).mapSize, 8 * 1024 * 1024)
      for (const n of range(50)) {
        assert.deepStrictEqual(yield* store.get(`key ${n}`), Option.some(String(n % 10).repeat(20_000)))
      }
    }))
})
