/** Keys of every kind, in the order of their values, through a real store. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { Collection, type OrderedKey } from "../../src/index.ts"
import { all, at, flush, inStore } from "../support/fixtures/collections.ts"
import { Bytes, compare, mixed, Numbers, Texts } from "../support/fixtures/orderedValues.ts"
import { temporaryFolder } from "../support/harness.ts"

const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)
const utc = (milliseconds: number) => DateTime.makeUnsafe(milliseconds)

class Point extends Schema.Class<Point>("Point")({ x: Schema.Number, y: Schema.Number }) {}

const PointKey = Schema.Tuple([Schema.Number, Schema.Number]).pipe(
  Schema.decodeTo(Point, {
    decode: SchemaGetter.transform(([x, y]) => ({ x, y })),
    encode: SchemaGetter.transform(({ x, y }) => [x, y] as const)
  })
)

const Level = { high: 10, low: -1, middle: 2 } as const

/** Puts keys in another order, some of them on disk already and some pending. */
const putShuffled = Effect.fnUntraced(function*<T, E extends OrderedKey>(
  schema: Schema.Codec<T, E>,
  values: ReadonlyArray<T>
) {
  const collection = yield* Collection.make("keys", { key: schema, value: Schema.Number })
  const numbered = values.map((key, number) => [key, number] as const)
  const shuffled = numbered.toSorted(([, a], [, b]) => a % 3 - b % 3 || b - a)
  for (const [key, number] of shuffled.slice(0, values.length / 2)) yield* collection.put(key, number)
  yield* flush
  for (const [key, number] of shuffled.slice(values.length / 2)) yield* collection.put(key, number)
  return collection
})

/** Values, in their order, as keys of a collection: pending, on disk, and opened again. */
const ordered = <T, E extends OrderedKey>(name: string, schema: Schema.Codec<T, E>, values: ReadonlyArray<T>) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(
        path,
        Effect.gen(function*() {
          const collection = yield* putShuffled(schema, values)
          assert.deepStrictEqual(yield* all(collection.keys()), values)
          assert.deepStrictEqual(yield* all(collection.values()), [...values.keys()])
        })
      )
      yield* at(
        path,
        Effect.gen(function*() {
          const { get, keys, values: read } = yield* Collection.make("keys", { key: schema, value: Schema.Number })
          assert.deepStrictEqual(yield* all(keys()), values)
          assert.deepStrictEqual(yield* all(keys({ reverse: true })), values.toReversed())
          for (const [number, key] of values.entries()) {
            assert.deepStrictEqual(yield* get(key), Option.some(number))
            assert.deepStrictEqual(yield* all(read({ equals: key })), [number])
            assert.deepStrictEqual(yield* all(keys({ gt: key })), values.slice(number + 1))
            assert.deepStrictEqual(yield* all(keys({ gte: key })), values.slice(number))
            assert.deepStrictEqual(yield* all(keys({ lt: key })), values.slice(0, number))
            assert.deepStrictEqual(yield* all(keys({ lte: key })), values.slice(0, number + 1))
          }
        })
      )
    }))

const millisecond = Schema.Number.pipe(Schema.brand("Millisecond"))

describe("keys are sorted by their values:", () => {
  ordered("whole numbers", Schema.Int, [-(2 ** 53) + 1, -256, -1, -0, 0, 1, 9, 10, 255, 2 ** 53 - 1])
  ordered("numbers", Schema.Number, [
    -Infinity,
    -1e300,
    -1.5,
    -1,
    -5e-324,
    -0,
    0,
    5e-324,
    0.1,
    1,
    1.5,
    1e300,
    Infinity
  ])
  ordered("bigints", Schema.BigInt, [-(2n ** 80n), -(2n ** 64n), -256n, -1n, 0n, 1n, 255n, 256n, 2n ** 64n, 2n ** 80n])
  ordered("booleans", Schema.Boolean, [false, true])
  ordered("dates", Schema.Date, [-8.64e15, -1, 0, 1, 8.64e15].map((time) => new Date(time)))
  ordered("times", Schema.DateTimeUtc, [-1000, 0, 1, 2000].map(utc))
  ordered("strings", Schema.String, [
    "",
    "\0",
    "\0\0",
    "A",
    "Z",
    "a",
    "a\0",
    "ab",
    "b",
    "\u00e9",
    "\uffff",
    "\u{10000}"
  ])
  ordered("bytes", Schema.Uint8Array, [bytes(), bytes(0), bytes(0, 0), bytes(0, 255), bytes(1), bytes(255)])
  ordered("literals", Schema.Literals(["b", "a", "ab"]), ["a", "ab", "b"])
  ordered("literals of several kinds", Schema.Literals(["a", 10, 9, true]), [true, 9, 10, "a"])
  ordered("enums", Schema.Enum(Level), [Level.low, Level.middle, Level.high])
  ordered("brands", millisecond, [-1, 2, 10].map((time) => millisecond.make(time)))
  ordered("refined forms", Schema.NonEmptyString.check(Schema.isMaxLength(3)), ["a", "aa", "b"])
  ordered("tuples", Schema.Tuple([Schema.String, Schema.Number]), [
    ["", 7],
    ["a", -1],
    ["a", 2],
    ["a", 10],
    ["a\0", 0],
    ["ab", -Infinity],
    ["b", -2]
  ])
  ordered("tuples in tuples", Schema.Tuple([Schema.Tuple([Schema.Boolean, Schema.BigInt]), Schema.Date]), [
    [[false, 5n], new Date(1)],
    [[true, -5n], new Date(0)],
    [[true, -5n], new Date(1)],
    [[true, 5n], new Date(0)]
  ])
  ordered("arrays", Schema.Array(Schema.String), [[], [""], ["", "a"], ["a"], ["a", "b"], ["ab"]])
  ordered("unions", Schema.Union([Schema.String, Schema.Number]), [-1, 1, 10, "", "1"])
  ordered("numbers as text, in the order of text", Schema.NumberFromString, [1, 10, 2, 9])
  ordered("dates as text", Schema.DateFromString, [new Date(0), new Date(1), new Date(86_400_000)])
  ordered("times as numbers", Schema.DateTimeUtcFromMillis, [-2, -1, 10].map(utc))
  ordered("objects of a class as tuples", PointKey, [
    new Point({ x: -1, y: 5 }),
    new Point({ x: 1, y: -5 }),
    new Point({ x: 1, y: 5 })
  ])

  const Keys = Arbitrary.array(
    Arbitrary.all({ kind: Arbitrary.schema(Schema.Literals([0, 1, 2])), number: Numbers, text: Texts, bytes: Bytes }),
    { minLength: 5, maxLength: 40 }
  )

  it.effect.prop("with any bytes", { keys: Keys }, ({ keys }) =>
    inStore(Effect.gen(function*() {
      const given = keys.map(({ bytes: some, kind, number, text }) => [number, text, some][kind] ?? number)
      const tuples = keys.map(({ number, text }) => [text, number] as const)
      const one = yield* putShuffled(mixed, given)
      const sorted = given.toSorted(compare)
      const distinct = sorted.filter((key, place) => place === 0 || compare(sorted[place - 1] ?? 0, key) !== 0)
      assert.deepStrictEqual(yield* all(one.keys()), distinct)

      const pairs = yield* Collection.make("pairs", {
        key: Schema.Tuple([Schema.String, Schema.Number]),
        value: Schema.Tuple([Schema.String, Schema.Number])
      })
      for (const tuple of tuples) yield* pairs.put(tuple, tuple)
      const entries = yield* all(pairs.entries())
      assert.deepStrictEqual(entries.map(([key]) => key), entries.map(([, value]) => value))
      assert.deepStrictEqual(entries.map(([key]) => key), entries.map(([key]) => key).toSorted(compare))
    })), { arbitrary: { runs: 10, seed: "keys" } })
})

describe("a range of a collection", () => {
  it.effect("with a prefix has the strings that begin with it", () =>
    inStore(Effect.gen(function*() {
      const words = ["", "par", "paris", "paris\u{10ffff}", "parma", "pb", "\u{10ffff}", "\u{10ffff}a"]
      const { count, keys } = yield* putShuffled(Schema.String, words)
      const startingWith = (prefix: string) => words.filter((word) => word.startsWith(prefix))
      for (const prefix of ["", "p", "par", "paris", "paris\u{10ffff}", "q", "\u{10ffff}"]) {
        assert.deepStrictEqual(yield* all(keys({ prefix })), startingWith(prefix))
        assert.deepStrictEqual(yield* all(keys({ prefix, reverse: true })), startingWith(prefix).toReversed())
        assert.strictEqual(yield* count({ prefix }), startingWith(prefix).length)
      }
      assert.deepStrictEqual(yield* all(keys({ prefix: "par", gt: "par", offset: 1, limit: 1 })), words.slice(3, 4))
      assert.deepStrictEqual(yield* all(keys({ prefix: "par", lt: "parb", reverse: true, limit: 1 })), ["par"])
    })))

  it.effect("with a prefix has the bytes that begin with it", () =>
    inStore(Effect.gen(function*() {
      const all255 = bytes(255, 255, 255)
      const { keys } = yield* putShuffled(Schema.Uint8Array, [bytes(), bytes(0), bytes(0, 1), bytes(255), all255])
      assert.deepStrictEqual(yield* all(keys({ prefix: bytes(0) })), [bytes(0), bytes(0, 1)])
      assert.deepStrictEqual(yield* all(keys({ prefix: bytes(255) })), [bytes(255), all255])
      assert.deepStrictEqual(yield* all(keys({ prefix: bytes(255, 255) })), [all255])
    })))

  it.effect("with a prefix has the tuples with these first elements", () =>
    inStore(Effect.gen(function*() {
      const schema = Schema.Tuple([Schema.String, Schema.Int, Schema.Boolean])
      const tuples = [["Par", 1, true], ["Paris", 1, false], ["Paris", 1, true], ["Paris", 2, true]] as const
      const { keys } = yield* putShuffled(schema, tuples)
      assert.deepStrictEqual(yield* all(keys({ prefix: ["Par"] })), tuples.slice(0, 1))
      assert.deepStrictEqual(yield* all(keys({ prefix: ["Paris"] })), tuples.slice(1))
      assert.deepStrictEqual(yield* all(keys({ prefix: ["Paris", 1] })), tuples.slice(1, 3))
      assert.deepStrictEqual(yield* all(keys({ prefix: ["Paris", 1, false] })), tuples.slice(1, 2))
      assert.deepStrictEqual(yield* all(keys({ prefix: [], reverse: true, offset: 3 })), tuples.slice(0, 1))
      assert.deepStrictEqual(yield* all(keys({ prefix: ["Paris"], gt: ["Paris", 1, true] })), tuples.slice(3))
    })))

  it.effect("with a prefix of a transformed key compares the encoded form", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* putShuffled(Schema.DateFromString, [new Date("2026-01-31"), new Date("2026-02-01")])
      assert.deepStrictEqual(yield* all(collection.keys({ prefix: "2026-02" })), [new Date("2026-02-01")])
    })))

  it.effect("satisfies all of its conditions", () =>
    inStore(Effect.gen(function*() {
      const { count, keys } = yield* putShuffled(Schema.Int, [1, 2, 3, 4, 5])
      assert.deepStrictEqual(yield* all(keys({ gt: 1, gte: 3, lt: 5, lte: 5 })), [3, 4])
      assert.deepStrictEqual(yield* all(keys({ equals: 3, gt: 3 })), [])
      assert.deepStrictEqual(yield* all(keys({ gt: 4, lt: 2 })), [])
      assert.deepStrictEqual(yield* all(keys({ gte: 2, reverse: true, offset: 1, limit: 2 })), [4, 3])
      assert.strictEqual(yield* count({ gte: 2, offset: 1, limit: 2 }), 2)
      assert.strictEqual(yield* count({ equals: 6 }), 0)
      assert.deepStrictEqual(yield* all(keys({ limit: 0 })), [])
      assert.deepStrictEqual(yield* all(keys({ offset: 9 })), [])
    })))
})
