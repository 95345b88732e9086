/** What is said of keys that are too long. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Collection } from "../../src/index.ts"
import { inStore } from "../support/fixtures/collections.ts"

describe("a key that is too long", () => {
  it.effect("is described with its length, the limit and advice", () =>
    inStore(Effect.gen(function*() {
      const texts = yield* Collection.make("texts", { key: Schema.String, value: Schema.Int })
      const error = yield* Effect.flip(texts.put("k".repeat(2000), 1))
      assert.include(
        error.message,
        "it has 2,002 bytes, the longest key has 1,978 bytes; shorten it, or use a hash of it as the key."
      )
    })))

  it.effect("names the longest element of a compound key", () =>
    inStore(Effect.gen(function*() {
      const texts = yield* Collection.make("texts", {
        key: Schema.Tuple([Schema.Int, Schema.String, Schema.String]),
        value: Schema.Int
      })
      const error = yield* Effect.flip(texts.put([1, "short", "é".repeat(1000)], 1))
      assert.include(error.message, "(its longest element, number 3, has 2,000 bytes), the longest key has 1,978 bytes")
    })))

  it.effect("of an index says how many bytes the key of the record has", () =>
    inStore(Effect.gen(function*() {
      const texts = yield* Collection.make("texts", {
        key: Schema.String,
        value: Schema.String,
        indexes: { byText: { key: Schema.String, of: (text) => text } }
      })
      yield* texts.put("k", "t".repeat(1500))
      const error = yield* Effect.flip(texts.put("k".repeat(500), "t".repeat(1500)))
      assert.include(error, { _tag: "KeyEncoding", collection: "texts.byText" })
      assert.include(
        error.message,
        "it has 1,502 bytes and the key of its record has 502 bytes, together they may have 1,978 bytes; shorten one " +
          "of them, or index the beginning or a hash of the value."
      )
      assert.strictEqual(yield* texts.size, 1)
    })))
})
