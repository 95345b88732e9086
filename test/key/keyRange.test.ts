/** Ranges of keys: their ends, what they hold, and where two overlap. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { KeyRange } from "../../src/Engine.ts"
import * as KeyCodec from "../../src/internal/key/keyCodec.ts"
import { afterPrefix, contains, intersect, toKeyRange } from "../../src/internal/key/keyRange.ts"
import { ByteString, toBytes } from "../../src/Key.ts"
import { boundArbitrary, byBytes, keyArbitrary } from "../support/fixtures/byteKeys.ts"

describe("the end of a prefix", () => {
  it.effect.prop(
    "is after all keys with the prefix, and before all later keys",
    { prefix: keyArbitrary, key: keyArbitrary, more: keyArbitrary },
    ({ key, more, prefix }) =>
      Effect.sync(() => {
        const range: KeyRange = { from: { key: prefix, inclusive: true }, to: afterPrefix(prefix) }
        assert.strictEqual(contains(range, key), key.startsWith(prefix))
        assert.isTrue(contains(range, prefix))
        assert.isTrue(contains(range, ByteString(prefix + more)))
        assert.isTrue(contains(range, ByteString(prefix.padEnd(1978, "\u00ff"))))
      }),
    { arbitrary: { runs: 500, seed: "prefix" } }
  )

  it("does not exist if all bytes of the prefix are 0xFF", () => {
    for (const length of [1, 2, 1978]) assert.isUndefined(afterPrefix(ByteString("\u00ff".repeat(length))))
    assert.deepStrictEqual(afterPrefix(ByteString("a\u00ff\u00ff")), { key: ByteString("b"), inclusive: false })
    assert.deepStrictEqual(afterPrefix(ByteString("\u0000")), { key: ByteString("\u0001"), inclusive: false })
  })
})

const trap = () => assert.fail("it was looked into")

describe("a range of keys", () => {
  const keys = KeyCodec.make({ encoding: "binary" })

  it.effect.prop(
    "contains the keys that satisfy its bounds and its prefix",
    {
      ends: Arbitrary.array(
        Arbitrary.all([
          Arbitrary.schema(Schema.Literals(["gt", "gte", "lt", "lte", "prefix"])),
          keyArbitrary
        ]),
        { maxLength: 5 }
      ),
      key: keyArbitrary
    },
    ({ ends, key }) =>
      Effect.sync(() => {
        const given = new Map(ends)
        const range = Object.fromEntries(Array.from(given, ([end, value]) => [end, toBytes(value)]))
        const holds = (end: "gt" | "gte" | "lt" | "lte" | "prefix", check: (end: ByteString) => boolean): boolean => {
          const value = given.get(end)
          return value === undefined || check(value)
        }
        assert.strictEqual(
          contains(Result.getOrThrow(toKeyRange(range, keys)), key),
          holds("gt", (end) => byBytes(key, end) > 0) &&
            holds("gte", (end) => byBytes(key, end) >= 0) &&
            holds("lt", (end) => byBytes(key, end) < 0) &&
            holds("lte", (end) => byBytes(key, end) <= 0) &&
            holds("prefix", (prefix) => key.startsWith(prefix))
        )
      }),
    { arbitrary: { runs: 1000, seed: "ends" } }
  )

  it("is refused if its prefix is not a key", () => {
    for (const prefix of [{ byteLength: 0 }, new Proxy({}, { get: trap }), null, 0]) {
      // @ts-expect-error a program without types passes anything
      const refused = toKeyRange({ prefix }, keys)
      assert.nestedInclude(Result.getOrUndefined(Result.flip(refused)), {
        _tag: "KeyEncoding",
        "reason._tag": "WrongType"
      })
    }
  })
})

describe("the overlap of two ranges", () => {
  it.effect.prop(
    "contains the keys that both have",
    { ends: Arbitrary.all([boundArbitrary, boundArbitrary, boundArbitrary, boundArbitrary]), key: keyArbitrary },
    ({ ends: [from, to, otherFrom, otherTo], key }) =>
      Effect.sync(() => {
        const [one, other] = [{ from, to }, { from: otherFrom, to: otherTo }]
        assert.strictEqual(contains(intersect(one, other), key), contains(one, key) && contains(other, key))
      }),
    { arbitrary: { runs: 1000, seed: "overlap" } }
  )
})
