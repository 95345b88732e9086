import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import {
  Engine,
  type Key,
  type KeyEncodingReason,
  Store,
  type StoreOptions,
  type StoreService
} from "../../src/index.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import * as LmdbEngine from "../../src/internal/lmdb/lmdbEngine.ts"
import { ByteString } from "../../src/Key.ts"
import { temporaryFolder, withStore, writing } from "../support/harness.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

const temporaryStore = (options?: Omit<StoreOptions, "path">) =>
  Effect.flatMap(temporaryFolder, (path) => Store.make({ ...options, path }))

/** A program without types passes anything as a key. */
const untyped = (key: unknown): Key => {
  // @ts-expect-error that is what it is for
  return key
}

/** Every method refuses the key, with the same reason and message. */
const assertRefused = Effect.fnUntraced(function*(store: StoreService, key: Key, reason: KeyEncodingReason["_tag"]) {
  const good = bytes("good")
  const errors = [
    yield* Effect.flip(store.put(key, 1)),
    yield* Effect.flip(store.get(key)),
    yield* Effect.flip(store.getOrFail(key)),
    yield* Effect.flip(store.has(key)),
    yield* Effect.flip(store.delete(key)),
    yield* Effect.flip(store.deleteOrFail(key)),
    yield* Effect.flip(store.update(key, Option.some)),
    yield* Effect.flip(store.putMany([[good, 1], [key, 1]])),
    yield* Effect.flip(store.getMany([good, key])),
    yield* Effect.flip(store.deleteMany([good, key]))
  ]
  for (const error of errors) {
    assert(error._tag === "KeyEncoding", error._tag)
    assert.strictEqual(error.reason._tag, reason)
    assert.strictEqual(error.message, errors[0]?.message)
  }
  assert.strictEqual((yield* store.stats).pending, 0)
  assert.strictEqual(yield* store.size, 0)
  return errors[0]?.message
})

const putAndReopen = Effect.fnUntraced(function*(keys: ReadonlyArray<Key>, options?: Omit<StoreOptions, "path">) {
  const path = yield* temporaryFolder
  yield* withStore(
    { ...options, path },
    (store) => Effect.forEach(keys.entries(), ([index, key]) => store.put(key, index), { discard: true })
  )
  const store = yield* Store.make({ ...options, path })
  for (const [index, key] of keys.entries()) assert.deepStrictEqual(yield* store.get(key), Option.some(index))
  assert.strictEqual(yield* store.size, keys.length)
})

/** Writes bytes that no store wrote. */
const writeRaw = (path: string, key: string, value: Uint8Array) =>
  Effect.gen(function*() {
    const engine = yield* Engine.Engine
    const environment = yield* engine.open({
      path,
      subdirectory: true,
      readOnly: false,
      shared: false,
      lock: true,
      lockTimeout: Duration.zero,
      allowWorkerThread: false,
      mapSize: 1024 * 1024,
      maxMapSize: undefined,
      durability: "sync",
      compression: false,
      verify: undefined,
      fileMode: 0o600,
      encryptionKey: undefined
    })
    yield* environment.createDatabases([recordsDatabase])
    yield* environment.commit(writing([ByteString(key), value]))
  }).pipe(Effect.scoped, Effect.provide(LmdbEngine.layer))

describe("keys", () => {
  it.effect("none_key_handling: null and undefined are refused by every method", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore()
      for (const key of [null, undefined]) {
        assert.include(yield* assertRefused(store, untyped(key), "WrongType"), `Bad key ${key}`)
      }
    }))

  it.effect("invalid_key_types: bytes of any kind work, numbers, objects and arrays are refused at the call", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore({ keyEncoding: "binary" })
      for (const key of [1, { a: 1 }, ["a"], true, Symbol("a")]) yield* assertRefused(store, untyped(key), "WrongType")
      yield* assertRefused(store, "text", "StringNotAllowed")
      yield* store.put(bytes("a"), 1)
      for (const key of [Buffer.from("a"), bytes("a").buffer, new DataView(bytes("a").buffer)]) {
        assert.deepStrictEqual(yield* store.get(key), Option.some(1))
      }
    }))

  it.effect("empty_keys: an empty key is refused by every method", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore({ keyErrors: "ignore" })
      for (const key of ["", new Uint8Array(), new ArrayBuffer(0), "\ud800"]) yield* assertRefused(store, key, "Empty")
    }))

  it.effect("empty_str_key_without_encoding_is_rejected: as every string is", () =>
    Effect.gen(function*() {
      yield* assertRefused(yield* temporaryStore({ keyEncoding: "binary" }), "", "StringNotAllowed")
    }))

  it.effect("very_long_keys: 1978 bytes are stored, and one more byte is refused by the call", () =>
    Effect.gen(function*() {
      yield* putAndReopen(["k".repeat(500), "k".repeat(1000), "k".repeat(1978), new Uint8Array(1978).fill(255)])
      const store = yield* temporaryStore()
      for (const key of ["k".repeat(1979), new Uint8Array(1979), "é".repeat(990), "k".repeat(1_000_000)]) {
        yield* assertRefused(store, key, "TooLong")
      }
      yield* store.put("good", 1)
      yield* store.flush
      assert.deepStrictEqual(yield* store.get("good"), Option.some(1))
    }))

  it.effect("special_characters_in_keys: NUL, tab, newlines, emoji, slashes and brackets are read back", () =>
    putAndReopen([
      "\0",
      "a\0b",
      "a\tb",
      "a\nb",
      "a\r\nb",
      "👍🏽",
      "a/b\\c",
      "[a]{b}(c)",
      "'\"`",
      " ",
      "..",
      "\ufeff",
      "__proto__",
      Uint8Array.of(255)
    ]))

  it.effect("unicode_edge_cases: 8 scripts, and with NFC composed and decomposed á are one key", () =>
    Effect.gen(function*() {
      yield* putAndReopen(["Latin", "Ελληνικά", "Русский", "עברית", "العربية", "हिन्दी", "中文", "日本語", "한국어"], {
        keyNormalization: "NFC"
      })
      const store = yield* temporaryStore({ keyNormalization: "NFC" })
      yield* store.put("\u00e1", 1)
      assert.deepStrictEqual(yield* store.get("a\u0301"), Option.some(1))
    }))

  it.effect("unicode_edge_cases: a character that an encoding cannot express is refused, replaced or left out", () =>
    Effect.gen(function*() {
      yield* assertRefused(yield* temporaryStore(), "a\ud800", "LoneSurrogate")
      yield* assertRefused(yield* temporaryStore({ keyEncoding: "ascii" }), "né", "NotInEncoding")
      const replacing = yield* temporaryStore({ keyEncoding: "ascii", keyErrors: "replace" })
      yield* replacing.put("né", 1)
      assert.deepStrictEqual(yield* replacing.get("n?"), Option.some(1))
      const ignoring = yield* temporaryStore({ keyEncoding: "ascii", keyErrors: "ignore" })
      yield* ignoring.put("né", 1)
      assert.deepStrictEqual(yield* ignoring.get("n"), Option.some(1))
    }))
})

describe("values", () => {
  it.effect("unpickleable_objects: functions, symbols and promises are refused by put, and nothing is pending", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore()
      for (const value of [() => 1, { deep: [Symbol("a")] }, Promise.resolve(1), new WeakMap()]) {
        const error = yield* Effect.flip(store.put("key", value))
        assert.strictEqual(error._tag, "ValueEncoding")
        assert.include(error.message, "\"key\"")
        const fromUpdate = yield* Effect.flip(store.update("key", () => Option.some(value)))
        assert.strictEqual(fromUpdate._tag, "ValueEncoding")
      }
      assert.strictEqual((yield* store.stats).pending, 0)
    }))

  it.effect("large_values: 1 KB, 1 MB and 10 MB are committed and read back under a limit of 100 MiB", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore({ maxMapSize: "100 MiB", durability: "noSync" })
      for (const size of [1000, 1_000_000, 10_000_000]) {
        const value = { list: [1, 2, 3], content: new Uint8Array(size).fill(size % 251) }
        yield* store.put("key", value)
        yield* store.flush
        assert.isTrue(Buffer.from(value.content).equals(yield* contentOf(store)))
      }
    }))

  it.effect("corrupted_pickle_data_in_buffer: pending bytes cannot be damaged from outside, they are a copy", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore()
      const value = Uint8Array.of(1, 2, 3)
      yield* store.put("key", value)
      value.fill(255)
      const read = yield* store.getOrFail("key")
      assert.deepStrictEqual(read, Uint8Array.of(1, 2, 3))
      if (read instanceof Uint8Array) read.fill(255)
      assert.deepStrictEqual(yield* store.getOrFail("key"), Uint8Array.of(1, 2, 3))
    }))

  it.effect("unpickle_failure_raises_runtimeerror: bytes that are not a value give ValueDecoding with the key", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* writeRaw(path, "bad", bytes("not a value"))
      const store = yield* Store.make({ path })
      yield* store.put("good", 1)
      const errors = [
        yield* Effect.flip(store.get("bad")),
        yield* Effect.flip(store.getOrFail("bad")),
        yield* Effect.flip(store.getMany(["good", "bad"])),
        yield* Effect.flip(store.update("bad", Option.some))
      ]
      for (const error of errors) {
        assert.strictEqual(error._tag, "ValueDecoding")
        assert.include(error.message, "\"bad\"")
      }
      assert.isTrue(yield* store.has("bad"))
      yield* store.put("bad", "mended")
      assert.deepStrictEqual(yield* store.get("bad"), Option.some("mended"))
    }))
})

const contentOf = Effect.fnUntraced(function*(store: StoreService) {
  const value = yield* store.getOrFail("key")
  assert(typeof value === "object" && value !== null && "content" in value && value.content instanceof Uint8Array)
  return value.content
})

describe("opening and closing", () => {
  it.effect("database_reopening_patterns: closed and reopened five times and read-only, everything is there", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (const n of range(5)) {
        yield* withStore({ path }, (store) => store.put(`key ${n}`, n))
        yield* withStore({ path, readOnly: true }, (store) =>
          Effect.gen(function*() {
            const { found, missing } = yield* store.getMany(range(5).map((m) => `key ${m}`))
            assert.deepStrictEqual([...found.values()], range(n + 1))
            assert.strictEqual(missing.length, 4 - n)
          }))
      }
    }))

  it.effect("context_manager_exception_handling: a scope that ends in a defect commits the pending writes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const exit = yield* Effect.exit(
        withStore({ path }, (store) => Effect.andThen(store.put("a", 1), Effect.die("defect")))
      )
      assert(Exit.isFailure(exit))
      assert.deepStrictEqual(yield* withStore({ path }, (store) => store.get("a")), Option.some(1))
    }))

  it.effect("context_manager_exception_handling: a path that cannot be opened is OpenFailed", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      yield* withStore({ path: `${folder}/file`, subdirectory: false }, (store) => store.put("a", 1))
      const failures: ReadonlyArray<readonly [StoreOptions, string]> = [
        [{ path: `${folder}/missing`, readOnly: true }, "Missing"],
        [{ path: `${folder}/file/below` }, "Missing"],
        [{ path: "" }, "BadOption"],
        [{ path: "a\0b" }, "BadOption"],
        [{ path: folder, batchSize: 0 }, "BadOption"],
        [{ path: folder, batchSize: -1 }, "BadOption"]
      ]
      for (const [options, reason] of failures) {
        const error = yield* Effect.flip(Store.make(options))
        assert.strictEqual(error._tag, "OpenFailed")
        assert.strictEqual(error.reason._tag, reason)
      }
    }))

  it.effect("map_resize_limits: the map grows without a limit, and MapFull occurs with a limit of its size", () =>
    Effect.gen(function*() {
      const unlimited = yield* temporaryStore({ mapSize: "1 MiB" })
      yield* unlimited.put("large", "x".repeat(2_000_000))
      yield* unlimited.flush
      assert.deepStrictEqual((yield* unlimited.stats).maxMapSize, Option.none())

      const limited = yield* temporaryStore({ mapSize: "1 MiB", maxMapSize: "1 MiB" })
      yield* limited.put("large", "x".repeat(2_000_000))
      assert.strictEqual((yield* Effect.flip(limited.flush))._tag, "MapFull")
      assert.strictEqual((yield* limited.stats).mapSize, 1024 * 1024)
      yield* limited.delete("large")
    }))

  it.effect("readonly_operations_comprehensive: all ways of reading work, none writes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.putMany({ a: 1, b: 2 }))
      const store = yield* Store.make({ path, readOnly: true, autoFlushOnRead: true })
      assert.deepStrictEqual(yield* store.get("a"), Option.some(1))
      assert.strictEqual(yield* store.getOrFail("b"), 2)
      assert.isTrue(yield* store.has("a", { flush: true }))
      assert.isFalse(yield* store.has("missing"))
      const { found, missing } = yield* store.getMany(["b", "missing"])
      assert.deepStrictEqual([...found], [["b", 2]])
      assert.deepStrictEqual(missing, ["missing"])
      assert.strictEqual(yield* store.size, 2)
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* store.close({ strict: true })
    }))

  it.effect("double_close: three closes succeed, strict or not", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore()
      yield* store.put("a", 1)
      yield* store.close()
      yield* store.close({ strict: true })
      yield* store.close()
      assert.strictEqual((yield* Effect.flip(store.put("a", 2)))._tag, "Closed")
    }))

  it.effect("operations_after_close_error: every method fails with Closed, even with a key that is not valid", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      yield* store.close()
      const errors = [
        yield* Effect.flip(store.put("a", 1)),
        yield* Effect.flip(store.get("a")),
        yield* Effect.flip(store.get("")),
        yield* Effect.flip(store.getOrFail("a")),
        yield* Effect.flip(store.has("a")),
        yield* Effect.flip(store.delete("a")),
        yield* Effect.flip(store.deleteOrFail("a")),
        yield* Effect.flip(store.update("a", Option.some)),
        yield* Effect.flip(store.putMany({})),
        yield* Effect.flip(store.getMany([])),
        yield* Effect.flip(store.deleteMany([])),
        yield* Effect.flip(store.size),
        yield* Effect.flip(store.clear),
        yield* Effect.flip(store.flush),
        yield* Effect.flip(store.stats),
        yield* Effect.flip(store.backup(`${path}/copy`))
      ]
      for (const error of errors) {
        assert.strictEqual(error._tag, "Closed")
        assert.include(error.message, "is closed or closing")
      }
    }))

  it.effect("get_many_edge_cases: no keys, all missing, 100 duplicates, strings and bytes mixed", () =>
    Effect.gen(function*() {
      const store = yield* temporaryStore()
      yield* store.put("a", 1)
      const none = yield* store.getMany([])
      assert.deepStrictEqual([none.found.size, none.missing.length], [0, 0])
      assert.deepStrictEqual((yield* store.getMany(["x", "y"])).missing, ["x", "y"])
      const many = yield* store.getMany(range(100).flatMap(() => ["a", "x"]))
      assert.deepStrictEqual([...many.found], [["a", 1]])
      assert.deepStrictEqual(many.missing, range(100).map(() => "x"))
      const key = bytes("a")
      const mixed = yield* store.getMany(["a", key])
      assert.deepStrictEqual([...mixed.found], [["a", 1], [key, 1]])
    }))
})
