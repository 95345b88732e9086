/** Values that the engine cannot write are refused when they are put, and nothing else suffers from them. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { freemem } from "node:os"
import { Collection, Store } from "../../src/index.ts"
import { maxValueBytes } from "../../src/internal/lmdb/file/pageLayout.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

// Only to end a hang.

const gibibyte = 2 ** 30

/** A store whose values may have 1,000 bytes. */
const small = openWith({ flushInterval: "Infinity" }, () => ({ maxValueBytes: 1000 }))

describe("a value that is too long", () => {
  it.effect("fails with ValueEncoding and the limit in every method, and the old value stays", () =>
    Effect.gen(function*() {
      const { store } = yield* small
      const large = "x".repeat(998)
      yield* store.putMany({ a: "there" })
      const errors = [
        yield* Effect.flip(store.put("a", large)),
        yield* Effect.flip(store.putMany({ b: 1, a: large })),
        yield* Effect.flip(store.update("a", () => Option.some(large))),
        yield* Effect.flip(store.withTransaction(store.put("a", large)))
      ]
      for (const error of errors) {
        assert.strictEqual(error._tag, "ValueEncoding")
        assert.include(error.message, "it has 1002 bytes when encoded, and a value may have 1000 at most")
      }
      yield* store.put("c", "x".repeat(996))
      yield* store.flush
      assert.strictEqual(yield* store.getOrFail("a"), "there")
      assert.isFalse(yield* store.has("b"))
    }))

  it.effect("is distinguished to the byte from one that fits, including its checksum and index entries", () =>
    Effect.gen(function*() {
      const { store } = yield* openWith({ checksums: true }, () => ({ maxValueBytes: 1000 }))
      yield* store.put("a", "x".repeat(991))
      assert.include((yield* Effect.flip(store.put("a", "x".repeat(992)))).message, "it has 1001 bytes")

      const open = Collection.make("texts", {
        key: Schema.String,
        value: Schema.String,
        indexes: { byText: { key: Schema.String, of: (text) => text.slice(0, 500) } }
      })
      const texts = yield* Effect.provideService(open, Store, store)
      yield* texts.put("a", "x".repeat(400))
      const error = yield* Effect.flip(texts.put("b", "x".repeat(900)))
      assert.strictEqual(error._tag, "ValueEncoding")
      assert.match(error.message, /key "b" in collection "texts".* with its entries in indexes, it has \d+ bytes/)
    }))

  /** Finds the longest text that fits. The text alone would fit with some more bytes. */
  const checkLimit = Effect.fnUntraced(function*(
    put: (text: string) => Effect.Effect<void, { readonly message: string }>
  ) {
    const refusal = (length: number) => Effect.map(Effect.flip(put("x".repeat(length))), ({ message }) => message)
    const longest = 1995 - Number(/it has (\d+) bytes/.exec(yield* refusal(995))?.[1])
    assert.include(yield* refusal(longest + 1), "it has 1001 bytes")
    yield* put("x".repeat(longest))
  })

  it.effect("is told from one that fits by its last byte, with the time at which it expires", () =>
    Effect.gen(function*() {
      const { store } = yield* small
      const open = Collection.make("texts", {
        key: Schema.String,
        value: Schema.String,
        expires: () => Duration.hours(1)
      })
      const texts = yield* Effect.provideService(open, Store, store)
      yield* checkLimit((text) => texts.put("a", text))
    }))

  it.effect("is told from one that fits by its last byte, with an entry in an index", () =>
    Effect.gen(function*() {
      const { store } = yield* small
      const open = Collection.make("texts", {
        key: Schema.String,
        value: Schema.String,
        indexes: { byText: { key: Schema.String, of: (text) => text.slice(0, 100) } }
      })
      const texts = yield* Effect.provideService(open, Store, store)
      yield* checkLimit((text) => texts.put("a", text))
    }))

  // Encoding it takes some times its own length.
  it.effect.skipIf(freemem() < 12 * gibibyte)(
    "of more than 2 GiB is refused, and the store continues to work",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* withStore({ path, flushInterval: "Infinity" }, (store) =>
          Effect.gen(function*() {
            yield* store.put("a", 1)
            const error = yield* Effect.flip(store.put("a", new Uint8Array(2 * gibibyte)))
            assert.strictEqual(error._tag, "ValueEncoding")
            assert.include(error.message, "a value may have 2147479528 at most")
            // More than the codec can write
            const longer = yield* Effect.flip(store.put("a", new Uint8Array(4.5 * gibibyte)))
            assert.strictEqual(longer._tag, "ValueEncoding")
            yield* store.flush
            assert.strictEqual(yield* store.getOrFail("a"), 1)
          }))
      })
  )

  it("has another limit with compression", () => {
    assert.deepStrictEqual([false, true].map(maxValueBytes), [2_147_479_528, 1_073_741_823])
  })
})
