/** Keys and values of a collection that are much longer than what is in them: refused, and at once. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Collection } from "../../src/index.ts"
import { inStore } from "../support/fixtures/collections.ts"

/** More than is looked at, and few enough that a test fails which looks at all of them. */
const many = 2_000_000

const sparse = (length = many): Array<unknown> => Object.assign([], { length })

/** An array with nothing in it, and how often it was looked at. */
const makeWatched = () => {
  let looks = 0
  const look = <A>(found: A): A => {
    looks++
    return found
  }
  const array = new Proxy(sparse(), {
    get: (target, key, receiver): unknown => look(Reflect.get(target, key, receiver)),
    has: (target, key) => look(Reflect.has(target, key))
  })
  return { array, looks: () => looks }
}

/** What a program without types passes. */
const untyped = (input: unknown): never => {
  // @ts-expect-error that is what it is for
  return input
}

describe("an array that is longer than its contents", () => {
  it.effect.each<
    readonly [
      Schema.Codec<unknown, string | boolean | ReadonlyArray<string | number>>,
      make: (array: Array<unknown>) => unknown
    ]
  >([
    [Schema.Boolean, (array) => array],
    [Schema.Literals(["a", "b"]), (array) => [array]],
    [Schema.Tuple([Schema.String, Schema.Int]), (array) => array],
    [Schema.Tuple([Schema.String, Schema.Int]), (array) => ["a", array]],
    [Schema.Array(Schema.String), (array) => [[array]]]
  ])(
    "is refused as a key, and shown without reading all elements: %#",
    ([schema, make]) =>
      inStore(Effect.gen(function*() {
        const collection = yield* Collection.make("keys", { key: schema, value: Schema.Int })
        const { array, looks } = makeWatched()
        const error = yield* Effect.flip(collection.get(untyped(make(array))))
        assert.strictEqual(error._tag, "KeyEncoding")
        assert.isBelow(error.message.length, 200)
        assert.isBelow(looks(), 100)
      }))
  )

  it.effect("is shown by its kind if it is text or a number of many digits", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* Collection.make("keys", {
        key: Schema.Tuple([Schema.String, Schema.BigInt]),
        value: Schema.Int
      })
      const wide = yield* Effect.flip(collection.get(["a", 2n ** 20_000n]))
      assert.include(wide.message, "[object Array]")
      const long = yield* Effect.flip(collection.get(["x".repeat(20_000), 1n]))
      assert.include(long.message, "[object Array]")
      const large = yield* Effect.flip(collection.get(untyped(2n ** 20_000n)))
      assert.include(large.message, "Bad key [bigint]")
      const digits = yield* Effect.flip(collection.get(untyped(2n ** 100n)))
      assert.include(digits.message, "Bad key 1267650600228229401496703205376n")
    })))

  it.effect.each<readonly [Schema.Codec<unknown, unknown>, make: (array: Array<unknown>) => unknown]>([
    [Schema.Array(Schema.Unknown), (array) => array],
    [Schema.UniqueArray(Schema.Any), (array) => array],
    [Schema.Struct({ list: Schema.Array(Schema.UndefinedOr(Schema.Int)) }), (list) => ({ list })],
    [
      Schema.ReadonlyMap(Schema.String, Schema.mutable(Schema.Array(Schema.Undefined))),
      (list) => new Map([["a", list]])
    ],
    [Schema.Struct({ list: Schema.Array(Schema.Void), at: Schema.DateTimeUtc }), (list) => ({ list })]
  ])(
    "is refused as a value of a schema that would read all elements: %#",
    ([schema, make]) =>
      inStore(Effect.gen(function*() {
        const collection = yield* Collection.make("values", { key: Schema.Int, value: schema })
        const { array, looks } = makeWatched()
        const error = yield* Effect.flip(collection.put(1, untyped(make(array))))
        assert.include(error, {
          _tag: "ValueEncoding",
          detail: "its arrays with holes have more than 1,000,000 elements"
        })
        assert.isBelow(looks(), 100)
      }))
  )

  it.effect("is refused if a schema that accepts anything has stored it", () =>
    inStore(Effect.gen(function*() {
      const before = yield* Collection.make("values", { key: Schema.Int, value: Schema.Unknown })
      yield* before.put(1, sparse())
      assert.deepStrictEqual(yield* before.getOrFail(1), sparse())
      const error = yield* Effect.flip(Collection.make("values", {
        key: Schema.Int,
        value: Schema.Array(Schema.Unknown),
        version: 2,
        migrations: { 1: Effect.succeed }
      }))
      assert.nestedInclude(error, { _tag: "CollectionFailed", "reason._tag": "Migration" })
      assert.include(error.message, "are not a value: its arrays with holes have more than 1,000,000 elements")
    })))

  it.effect("is refused in a suspended schema, and in many smaller pieces", () =>
    inStore(Effect.gen(function*() {
      const recursive = Schema.Array(Schema.suspend(() => Schema.Unknown))
      const behind = yield* Collection.make("behind", { key: Schema.Int, value: recursive })
      const pieces = yield* Collection.make("pieces", { key: Schema.Int, value: Schema.Array(Schema.Unknown) })
      for (
        const error of [
          yield* Effect.flip(behind.put(1, sparse())),
          yield* Effect.flip(pieces.put(1, Array.from({ length: 1001 }, () => sparse(1000))))
        ]
      ) {
        assert.include(error, {
          _tag: "ValueEncoding",
          detail: "its arrays with holes have more than 1,000,000 elements"
        })
      }
      yield* pieces.put(1, Array.from({ length: 100 }, () => sparse(1000)))
    })))

  it.effect("does not include complete arrays and arrays with few holes", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* Collection.make("values", { key: Schema.Int, value: Schema.Array(Schema.Unknown) })
      const full = Array.from({ length: 1_000_001 }, () => 0)
      yield* collection.put(1, full)
      assert.deepStrictEqual(yield* collection.getOrFail(1), full)
      yield* collection.put(2, sparse(1000))
      assert.deepStrictEqual(yield* collection.getOrFail(2), Array.from({ length: 1000 }))
    })))
})
