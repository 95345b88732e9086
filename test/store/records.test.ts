import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Key, Store } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { temporaryFolder } from "../support/harness.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

const mebibyte = 1024 * 1024

describe("basic operations", () => {
  for (const subdirectory of [true, false]) {
    for (const autoFlushOnRead of [true, false]) {
      const title = `put_get_delete_exists_basic: subdirectory ${subdirectory}, autoFlushOnRead ${autoFlushOnRead}`
      it.effect(title, () =>
        Effect.gen(function*() {
          const folder = yield* temporaryFolder
          const path = subdirectory ? folder : `${folder}/store.db`
          yield* Effect.scoped(Effect.gen(function*() {
            const store = yield* Store.make({ path, subdirectory, autoFlushOnRead })
            yield* store.put("user:1", { name: "Ada", tags: ["a", "b"] })
            yield* store.put(bytes("user:2"), [1, 2, 3])
            assert.isTrue(yield* store.has("user:1"))
            assert.deepStrictEqual(yield* store.get("user:1"), Option.some({ name: "Ada", tags: ["a", "b"] }))
            assert.deepStrictEqual(yield* store.get("missing"), Option.none())
            assert.strictEqual(Option.getOrElse(yield* store.get("missing"), () => "default"), "default")
            yield* store.delete("user:1")
            assert.isFalse(yield* store.has("user:1"))
            yield* store.flush
            assert.deepStrictEqual(yield* store.get("user:1"), Option.none())
            assert.deepStrictEqual(yield* store.get("user:2"), Option.some([1, 2, 3]))
          }))
          const reopened = yield* Store.make({ path, subdirectory, readOnly: true })
          assert.deepStrictEqual(yield* reopened.get("user:1"), Option.none())
          assert.deepStrictEqual(yield* reopened.get("user:2"), Option.some([1, 2, 3]))
        }))
    }
  }

  it.effect("key_normalization_bytes_like_and_str: keys of all kinds with the same bytes are the same key", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const view = bytes("é")
      const surrounded = Uint8Array.of(0, ...view, 0)
      const keys: ReadonlyArray<Key> = [
        "é",
        view,
        view.slice().buffer,
        new DataView(surrounded.buffer, 1, view.length),
        Buffer.from("é"),
        new Uint16Array(view.slice().buffer)
      ]
      yield* store.put(view, "value")
      for (const flushed of [false, true]) {
        for (const key of keys) {
          assert.deepStrictEqual(yield* store.get(key), Option.some("value"), `flushed: ${flushed}`)
        }
        yield* store.flush
      }
      assert.strictEqual(yield* store.size, 1)
    }))

  it.effect("key_normalization_bytes_like_and_str: a key is copied, its memory may change afterwards", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const key = bytes("key")
      yield* store.put(key, 1)
      key.fill(0)
      assert.isTrue(yield* store.has("key"))
      assert.isFalse(yield* store.has(key))
    }))

  it.effect("key_normalization_str_forbidden_without_encoding: here only with keyEncoding binary", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, keyEncoding: "binary" })
      const error = yield* Effect.flip(store.put("key", 1))
      assert(error._tag === "KeyEncoding")
      assert.strictEqual(error.reason._tag, "StringNotAllowed")
      yield* store.put(bytes("key"), 1)
      assert.deepStrictEqual(yield* store.get(bytes("key")), Option.some(1))
    }))

  it.effect("unicode_normalization_optional: without it two forms are two keys, with NFC one key, and bytes do not change", () =>
    Effect.gen(function*() {
      const composed = "caf\u00e9"
      const decomposed = "cafe\u0301"
      const plain = yield* Store.make({ path: yield* temporaryFolder })
      yield* plain.put(composed, 1)
      yield* plain.put(decomposed, 2)
      assert.strictEqual(yield* plain.size, 2)

      const normal = yield* Store.make({ path: yield* temporaryFolder, keyNormalization: "NFC" })
      yield* normal.put(decomposed, 1)
      yield* normal.put(composed, 2)
      assert.strictEqual(yield* normal.size, 1)
      assert.deepStrictEqual(yield* normal.get(decomposed), Option.some(2))
      assert.isFalse(yield* normal.has(bytes(decomposed)))
    }))

  it.effect("get_many_order_and_duplicates: found is keyed by the keys as asked, missing keeps order and duplicates", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("stored", 1)
      yield* store.flush
      yield* store.put("pending", 2)
      const { found, missing } = yield* store.getMany(["z", "stored", "a", "pending", "z", "stored", "m"])
      assert.deepStrictEqual([...found], [["stored", 1], ["pending", 2]])
      assert.deepStrictEqual(missing, ["z", "a", "z", "m"])

      const asked = bytes("stored")
      const unknown = bytes("unknown")
      const byBytes = yield* store.getMany([asked, unknown])
      assert.strictEqual(byBytes.found.get(asked), 1)
      assert.strictEqual(byBytes.missing[0], unknown)
    }))

  it.effect("get_many_order_and_duplicates: one bad key fails the call, and the keys may come from a generator", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("a", 1)
      const error = yield* Effect.flip(store.getMany(["a", ""]))
      assert.strictEqual(error._tag, "KeyEncoding")
      const { found, missing } = yield* store.getMany(function*() {
        yield "a"
        yield "b"
      }())
      assert.deepStrictEqual([...found], [["a", 1]])
      assert.deepStrictEqual(missing, ["b"])
    }))

  it.effect("get_many_decoding_variants: decodeKeys gives text for found and missing alike", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("é", 1)
      const { found, missing } = yield* store.getMany([bytes("é"), "ü", bytes("é"), bytes("ü")], { decodeKeys: true })
      assert.deepStrictEqual([...found], [["é", 1]])
      assert.deepStrictEqual(missing, ["ü", "ü"])
    }))

  it.effect("get_many_decoding_variants: a key that is not text fails, or is replaced with keyErrors replace", () =>
    Effect.gen(function*() {
      const noText = Uint8Array.of(0x61, 0xff)
      const strict = yield* Store.make({ path: yield* temporaryFolder })
      const error = yield* Effect.flip(strict.getMany([noText], { decodeKeys: true }))
      assert(error._tag === "KeyEncoding")
      assert.strictEqual(error.reason._tag, "NotDecodable")

      const lenient = yield* Store.make({ path: yield* temporaryFolder, keyErrors: "replace" })
      const { missing } = yield* lenient.getMany([noText], { decodeKeys: true })
      assert.deepStrictEqual(missing, ["a\ufffd"])

      const binary = yield* Store.make({ path: yield* temporaryFolder, keyEncoding: "binary" })
      const refused = yield* Effect.flip(binary.getMany([bytes("a")], { decodeKeys: true }))
      assert(refused._tag === "KeyEncoding")
      assert.strictEqual(refused.reason._tag, "NotDecodable")
    }))

  it.effect("readonly_guard: reads work, every write is ReadOnly, even one with nothing to write", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.put("a", 1)))
      const store = yield* Store.make({ path, readOnly: true })
      assert.deepStrictEqual(yield* store.get("a"), Option.some(1))
      for (
        const write of [
          store.put("a", 2),
          store.delete("a"),
          store.flush,
          store.putMany({ a: 2 }),
          store.putMany([]),
          store.deleteMany(["a"]),
          store.update("a", Option.some),
          store.clear
        ]
      ) {
        const error = yield* Effect.flip(write)
        assert.strictEqual(error._tag, "ReadOnly")
        assert.include(error.message, "writes are not allowed")
      }
      assert.deepStrictEqual(yield* store.get("a"), Option.some(1))
    }))

  it.effect("mapfull_auto_resize_allows_large_write: 2 MiB go into a map of 1 MiB", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, mapSize: "1 MiB" })
      const large = "x".repeat(2 * mebibyte)
      yield* store.put("large", large)
      yield* store.flush
      assert.deepStrictEqual(yield* store.get("large"), Option.some(large))
      assert.strictEqual((yield* store.stats).mapSize, 68_157_440)
    }))

  it.effect("mapfull_auto_resize_allows_large_write: the map grows only to the limit if that is less", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, mapSize: "1 MiB", maxMapSize: "3 MiB" })
      yield* store.put("large", "x".repeat(2 * mebibyte))
      yield* store.flush
      const stats = yield* store.stats
      assert.strictEqual(stats.mapSize, 3 * mebibyte)
      assert.isAtMost(stats.fileBytes, 3 * mebibyte)
    }))

  it.effect("mapfull_max_map_size_cap_raises: MapFull keeps the writes, and after the large one is deleted the rest fits", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ mapSize: "1 MiB", maxMapSize: "1 MiB" })
      yield* store.put("small", 1)
      yield* store.put("large", "x".repeat(2 * mebibyte))
      const error = yield* Effect.flip(store.flush)
      assert(error._tag === "MapFull")
      assert.strictEqual(error.limit, mebibyte)
      assert.strictEqual(error.pending, 2)
      assert.strictEqual((yield* store.stats).pending, 2)
      assert.deepStrictEqual(spy.commits(), [])
      assert.deepStrictEqual(yield* store.get("small"), Option.some(1))
      assert.isTrue(yield* store.has("large"))

      yield* store.delete("large")
      yield* store.flush
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.deepStrictEqual(spy.commits(), [["small", "-large"]])
      assert.deepStrictEqual(yield* store.get("small"), Option.some(1))
    }))

  it.effect("mapping_protocol_and_error_messages: getOrFail and deleteOrFail show the missing key", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const shown: ReadonlyArray<readonly [Key, string]> = [
        ["missing", "\"missing\""],
        [bytes("as text"), "\"as text\""],
        [Uint8Array.of(0xff, 0x00, 0x01), "0xff0001"],
        [new Uint8Array(16).fill(0xab), `0x${"ab".repeat(16)}`],
        [new Uint8Array(17).fill(0xab), `0x${"ab".repeat(8)}...(17 bytes)`],
        ["k".repeat(50), `"${"k".repeat(50)}"`],
        ["k".repeat(51), `"${"k".repeat(47)}..."`]
      ]
      for (const [key, text] of shown) {
        for (const error of [yield* Effect.flip(store.getOrFail(key)), yield* Effect.flip(store.deleteOrFail(key))]) {
          assert.strictEqual(error._tag, "KeyNotFound")
          assert.strictEqual(error.message, `Key not found: ${text}`)
        }
      }
    }))

  it.effect("mapping_protocol_and_error_messages: a stored null or undefined is a value", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("null", null)
      yield* store.put("undefined", undefined)
      for (const flushed of [false, true]) {
        assert.deepStrictEqual(yield* store.get("null"), Option.some(null), `flushed: ${flushed}`)
        assert.strictEqual(yield* store.getOrFail("undefined"), undefined)
        assert.deepStrictEqual(yield* store.get("undefined"), Option.some(undefined))
        assert.isTrue(yield* store.has("undefined"))
        yield* store.flush
      }
    }))

  it.effect("mapping_protocol_and_error_messages: formatKey replaces the default format of keys", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, formatKey: () => "<key>" })
      assert.strictEqual((yield* Effect.flip(store.getOrFail("secret"))).message, "Key not found: <key>")
    }))

  it.effect("mapping_protocol_and_error_messages: a path opened twice at once is one store", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* Store.make({ path })
      const second = yield* Store.make({ path })
      yield* first.put("a", 1)
      assert.deepStrictEqual(yield* second.get("a"), Option.some(1))
      yield* first.close()
      assert.strictEqual((yield* Effect.flip(first.get("a")))._tag, "Closed")
      assert.deepStrictEqual(yield* second.get("a"), Option.some(1))
    }))

  it.effect("values are encoded by put: later changes are not stored, and each get gives a new copy", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const value = { list: [1] }
      yield* store.put("a", value)
      value.list.push(2)
      const first = yield* store.getOrFail("a")
      assert.deepStrictEqual(first, { list: [1] })
      assert.notStrictEqual(yield* store.getOrFail("a"), first)
    }))
})
