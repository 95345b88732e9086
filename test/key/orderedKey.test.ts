import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { make } from "../../src/internal/key/orderedKeyCodec.ts"
import * as Key from "../../src/Key.ts"
import type { KeyPrefix, KeySchema, OrderedKey } from "../../src/KeySchema.ts"
import {
  Byte,
  Bytes,
  cases,
  compare,
  mixed,
  nested,
  Numbers,
  sign,
  Texts,
  tupleOf
} from "../support/fixtures/orderedValues.ts"

const codecOf = (schema: KeySchema) => Result.getOrThrowWith(make(schema), (problem) => new Error(problem))

const encoderOf = (schema: KeySchema) => {
  const { encode } = codecOf(schema)
  return (value: OrderedKey) => Result.getOrThrowWith(encode(value), (problem) => new Error(problem))
}

const refusal = (result: Result.Result<unknown, string>): string => {
  assert(Result.isFailure(result), "it was accepted")
  return result.failure
}

const refusalOf = (schema: KeySchema, value: unknown): string => {
  // @ts-expect-error a program without types passes anything
  return refusal(codecOf(schema).encode(value))
}

const hex = (bytes: string) => Buffer.from(bytes, "latin1").toString("hex")

const trap = (): never => {
  throw new Error("from the caller")
}

describe("an ordered key", () => {
  for (const [name, schema, values] of cases) {
    const codec = codecOf(schema)
    const encode = encoderOf(schema)

    it.prop(`preserves the order of ${name}`, { left: values, right: values }, ({ left, right }) => {
      assert.strictEqual(sign(encode(left), encode(right)), Math.sign(compare(left, right)))
    })

    it.prop(`decodes to ${name}`, { value: values }, ({ value }) => {
      const bytes = encode(value)
      assert.isAbove(bytes.length, 0)
      assert.deepStrictEqual(Result.getOrThrow(codec.decode(bytes)), value)
    })

    it.prop(
      `preserves the order of ${name} with any bytes after it`,
      { left: values, right: values, after: Bytes, afterOther: Bytes },
      ({ after, afterOther, left, right }) => {
        const [bytes, other] = [encode(left), encode(right)]
        const [followed, otherFollowed] = [bytes + Key.fromBytes(after), other + Key.fromBytes(afterOther)]
        const order = compare(left, right)
        assert.strictEqual(
          sign(followed, otherFollowed),
          Math.sign(order === 0 ? Buffer.compare(after, afterOther) : order)
        )
        assert.deepStrictEqual(
          Result.getOrThrow(codec.decodePart(Key.ByteString(`${other}${followed}`), other.length)),
          { value: left, end: other.length + bytes.length }
        )
      }
    )

    it.prop(
      `does not decode a damaged ${name} to another value`,
      { value: values, at: Schema.Finite, byte: Byte, garbage: Bytes },
      ({ at, byte, garbage, value }) => {
        const bytes = encode(value)
        const index = Math.floor(Math.abs(at)) % bytes.length
        const changed = bytes.slice(0, index) + String.fromCharCode(byte) + bytes.slice(index + 1)
        const damaged = [changed, bytes.slice(0, index), bytes.slice(0, 1) + Key.fromBytes(garbage)]
        for (const stored of damaged.map((text) => Key.ByteString(text))) {
          const decoded = codec.decode(stored)
          if (Result.isSuccess(decoded)) assert.strictEqual(encode(decoded.success), stored)
        }
        assert.match(refusal(codec.decode(Key.ByteString(`${bytes}x`))), /after/)
      }
    )
  }

  it.prop("of text begins with its prefix", { text: Texts, prefix: Texts }, ({ prefix, text }) => {
    const { encode, encodePrefix } = codecOf(Schema.String)
    const bytes = Result.getOrThrow(encode(text))
    assert.strictEqual(bytes.startsWith(Result.getOrThrow(encodePrefix(prefix))), text.startsWith(prefix))
  })

  it.prop("of bytes begins with its prefix", { value: Bytes, prefix: Bytes }, ({ prefix, value }) => {
    const { encode, encodePrefix } = codecOf(Schema.Uint8Array)
    const bytes = Result.getOrThrow(encode(value))
    const begins = Buffer.compare(value.subarray(0, prefix.length), prefix) === 0
    assert.strictEqual(bytes.startsWith(Result.getOrThrow(encodePrefix(prefix))), begins)
  })

  it.prop(
    "of a tuple begins with its first elements",
    { value: tupleOf(tupleOf(Texts, Bytes), Numbers, Texts), other: tupleOf(tupleOf(Texts, Bytes), Numbers, Texts) },
    ({ other, value }) => {
      const { encode, encodePrefix } = codecOf(nested)
      const bytes = Result.getOrThrow(encode(value))
      for (const length of [0, 1, 2, 3]) {
        const [own, prefix] = [value.slice(0, length), other.slice(0, length)]
        assert.isTrue(bytes.startsWith(Result.getOrThrow(encodePrefix(own))))
        assert.strictEqual(bytes.startsWith(Result.getOrThrow(encodePrefix(prefix))), compare(own, prefix) === 0)
      }
    }
  )

  it.prop(
    "of a tuple begins with its first elements and the beginning of the next text",
    { first: Texts, second: Texts, otherFirst: Texts, otherSecond: Texts, length: Numbers },
    ({ first, length, otherFirst, otherSecond, second }) => {
      const { encode, encodeStart } = codecOf(Schema.Tuple([Schema.String, Schema.String]))
      const bytes = Result.getOrThrow(encode([first, second]))
      const beginning = Array.from(second).slice(0, Math.abs(Math.trunc(length)) % 4).join("")
      for (const [text, start] of [[otherFirst, otherSecond], [first, otherSecond], [first, beginning]] as const) {
        const starts = first === text && second.startsWith(start)
        assert.strictEqual(bytes.startsWith(Result.getOrThrow(encodeStart([text, start]))), starts)
      }
      assert.isTrue(bytes.startsWith(Result.getOrThrow(encodeStart([]))))
    }
  )

  it("refuses a prefix of kinds that have none", () => {
    assert.strictEqual(refusal(codecOf(Schema.Number).encodePrefix("1")), "a number has no prefix")
    assert.strictEqual(
      refusal(codecOf(Schema.Tuple([Schema.String, Schema.Number])).encodeStart(["a", 1])),
      "element 1: a number has no prefix"
    )
    assert.strictEqual(refusal(codecOf(nested).encodePrefix([["a"]])), "element 0: expected 2 elements, got 1")
    assert.strictEqual(refusal(codecOf(nested).encodePrefix("a")), "expected a tuple, got a string")
    assert.strictEqual(
      refusal(codecOf(Schema.Tuple([Schema.String])).encodePrefix(["a", "b"])),
      "expected 1 element, got 2"
    )
  })

  it("of a union begins with its prefix of that kind", () => {
    const { encode, encodePrefix } = codecOf(
      Schema.Union([Schema.String, Schema.Tuple([Schema.String, Schema.String])])
    )
    const begins = (value: OrderedKey, prefix: string | ReadonlyArray<OrderedKey>) =>
      Result.getOrThrow(encode(value)).startsWith(Result.getOrThrow(encodePrefix(prefix)))
    assert.isTrue(begins("ab", "a"))
    assert.isTrue(begins(["a", "b"], ["a"]))
    assert.isFalse(begins(["a", "b"], "a"))
    assert.strictEqual(refusal(encodePrefix(Uint8Array.of(1))), "expected a string or a tuple, got an object")
  })

  it("always has the same bytes", () => {
    const stored: ReadonlyArray<readonly [OrderedKey, string]> = [
      [false, "1000"],
      [true, "1001"],
      [-0, "207fffffffffffffff"],
      [0, "208000000000000000"],
      [1, "20bff0000000000000"],
      [-1, "20400fffffffffffff"],
      [0n, "3080"],
      [1n, "308101"],
      [-1n, "307efe"],
      [256n, "30820100"],
      [-(2n ** 64n), "3076feffffffffffffffff"],
      [2n ** (8n * 0x7fn - 8n), `30ff0000007f01${"00".repeat(0x7e)}`],
      [new Date(0), "408000000000000000"],
      [DateTime.makeUnsafe(0), "508000000000000000"],
      [DateTime.fromEpochSeconds(-0), "508000000000000000"],
      ["", "6000"],
      ["a\0é\x01", "60610101c3a9010200"],
      [Uint8Array.of(0xff, 0, 1, 2), "70ff010101020200"]
    ]
    for (const [value, bytes] of stored) assert.strictEqual(hex(encoderOf(mixed)(value)), bytes)
    assert.strictEqual(hex(encoderOf(Schema.Tuple([]))([])), "8000")
    assert.strictEqual(hex(encoderOf(Schema.Tuple([Schema.String]))(["a"])), "8060610000")
  })

  it("uses the encoded side of its schema", () => {
    assert.strictEqual(hex(encoderOf(Schema.NumberFromString)("1")), "603100")
    assert.strictEqual(hex(encoderOf(Schema.DateTimeUtcFromMillis)(0)), "208000000000000000")
    assert.strictEqual(hex(encoderOf(Schema.DateTimeUtcFromDate)(new Date(0))), "408000000000000000")
    assert.strictEqual(hex(encoderOf(Schema.Tuple([Schema.NumberFromString]))(["1"])), "8060310000")
  })

  it("accepts literals, enums, brands and checks", () => {
    const Positive = Schema.BigInt.check(Schema.isGreaterThanBigInt(0n))
    const Day = Schema.Date.annotate({ description: "a day" }).pipe(Schema.brand("Day"))
    const schemas: ReadonlyArray<readonly [KeySchema, OrderedKey]> = [
      [Schema.Literal(1), 1],
      [Schema.Literals([1n, 2n]), 2n],
      [Schema.Literal(true), true],
      [Schema.Enum({ Up: "up", Down: "down" }), "up"],
      [Schema.Enum({ Up: "up", Down: 0 }), 0],
      [Schema.TemplateLiteral(["user:", Schema.Int]), "user:1"],
      [Schema.String.pipe(Schema.brand("UserId")), "id"],
      [Schema.NonEmptyString, "a"],
      [Schema.Int, 7],
      [Positive, 1n],
      [Day, new Date(0)],
      [Schema.NonEmptyArray(Schema.String), ["a", "b"]]
    ]
    for (const [schema, value] of schemas) {
      assert.deepStrictEqual(Result.getOrThrow(codecOf(schema).decode(encoderOf(schema)(value))), value)
    }
  })

  it("refuses schemas without an order", () => {
    const refused: ReadonlyArray<readonly [Schema.Constraint, string]> = [
      [Schema.Struct({ a: Schema.String }), "an object has no order; use a tuple of its fields"],
      [Schema.Record(Schema.String, Schema.String), "an object has no order; use a tuple of its fields"],
      [Schema.Null, "null has no order"],
      [Schema.NullOr(Schema.String), "null has no order"],
      [Schema.UndefinedOr(Schema.String), "undefined has no order"],
      [Schema.Symbol, "symbol has no order"],
      [Schema.Unknown, "unknown has no order"],
      [Schema.Any, "any has no order"],
      [Schema.Never, "never has no order"],
      [Schema.Union([]), "never has no values"],
      [Schema.Duration, "effect/schema/Duration has no known order"],
      [Schema.instanceOf(Date), "a declared schema has no known order"],
      [Schema.suspend(() => Schema.String), "a recursive schema has no known order"],
      [
        Schema.DateTimeZoned,
        "one time in two zones has no order; use a tuple of a DateTimeUtc and the name of the zone"
      ],
      [Schema.Literal("\ud800"), "the string has a lone surrogate, which is not valid text"],
      [Schema.Tuple([Schema.String, Schema.Tuple([Schema.Null])]), "element 1: element 0: null has no order"],
      [Schema.Array(Schema.Null), "rest: null has no order"],
      [
        Schema.Tuple([Schema.optionalKey(Schema.String)]),
        "an optional element has no known order; make it required, or use an array"
      ],
      [
        Schema.TupleWithRest(Schema.Tuple([]), [Schema.String, Schema.Number]),
        "elements after the rest of an array have no order"
      ]
    ]
    for (const [schema, problem] of refused) {
      // @ts-expect-error a program without types passes any schema
      assert.strictEqual(refusal(make(schema)), problem)
    }
  })

  it("refuses values that are not ordered", () => {
    const { proxy, revoke } = Proxy.revocable([], {})
    revoke()
    const given = new Uint8Array(8)
    structuredClone(given.buffer, { transfer: [given.buffer] })
    const refused: ReadonlyArray<readonly [KeySchema, unknown, string]> = [
      [Schema.Number, Number.NaN, "NaN has no order"],
      [Schema.Number, "1", "expected a number, got a string"],
      [Schema.String, undefined, "expected a string, got undefined"],
      [Schema.String, "a\ud800", "the string has a lone surrogate, which is not valid text"],
      [Schema.BigInt, 1, "expected a bigint, got a number"],
      [Schema.Boolean, null, "expected a boolean, got null"],
      [Schema.Date, new Date(Number.NaN), "the Date is invalid"],
      [Schema.Date, 0, "expected a Date, got a number"],
      [
        Schema.DateTimeUtc,
        DateTime.fromEpochSeconds(0.1234),
        "the DateTime.Utc is not a whole number of milliseconds, or is outside the range of a Date"
      ],
      [
        Schema.DateTimeUtc,
        DateTime.makeZonedUnsafe(0, { timeZone: "Europe/London" }),
        "expected a DateTime.Utc, got an object"
      ],
      [Schema.Uint8Array, [1], "expected a Uint8Array, got an array"],
      [nested, [["a", Uint8Array.of(1)], Number.NaN, "b"], "element 1: NaN has no order"],
      [nested, [], "expected 3 elements, got 0"],
      [Schema.NonEmptyArray(Schema.String), [], "expected at least 1 element, got 0"],
      [Schema.Tuple([Schema.String]), ["", ""], "expected 1 element, got 2"],
      [Schema.Array(Schema.String), "a", "expected an array, got a string"],
      [Schema.Tuple([Schema.String]), [undefined], "element 0: expected a string, got undefined"],
      [Schema.Literals(["a", "b"]), 1, "expected a string, got a number"],
      [Schema.Union([Schema.String, Schema.Number]), 1n, "expected a string or a number, got a bigint"],
      [Schema.Union([Schema.String, Schema.Number]), Number.NaN, "NaN has no order"],
      [mixed, new Proxy({}, { getPrototypeOf: trap, get: trap, has: trap }), "the value cannot be read"],
      [nested, proxy, "the value cannot be read"],
      [nested, new Proxy([], { get: trap }), "the value cannot be read"],
      [Schema.Date, Object.create(Date.prototype), "the value cannot be read"],
      [Schema.Uint8Array, given, "the value cannot be read"]
    ]
    for (const [schema, value, problem] of refused) assert.strictEqual(refusalOf(schema, value), problem)
  })

  it("refuses bytes of another kind, and empty bytes", () => {
    const kind = /not those of a key/
    assert.match(refusal(codecOf(Schema.String).decode(encoderOf(Schema.Uint8Array)(Uint8Array.of(97)))), kind)
    assert.match(refusal(codecOf(nested).decode(encoderOf(Schema.Array(Schema.String))(["a"]))), kind)
    for (const [, schema] of cases) assert.match(refusal(codecOf(schema).decode(Key.ByteString(""))), kind)
    // Milliseconds that no Date has, leading zeros, minus zero, a length in the long form that is short, no end
    const bytes = [
      "40c340000000000000",
      "40bfe0000000000000",
      "407fffffffffffffff",
      "30820001",
      "307f",
      "30ff0000000101",
      "60",
      "6061",
      "7061"
    ]
    for (const text of bytes) {
      assert.match(refusal(codecOf(mixed).decode(Key.fromBytes(Buffer.from(text, "hex")))), kind)
    }
  })

  it("has a type that names kinds without an order", () => {
    class Id extends Schema.Class<Id>("Id")({ id: Schema.String }) {}
    const schemas = [
      Schema.Tuple([Schema.NumberFromString, Schema.DateFromString]) satisfies KeySchema,
      // @ts-expect-error a struct
      Schema.Struct({ a: Schema.String }) satisfies KeySchema,
      // @ts-expect-error a class
      Id satisfies KeySchema,
      // @ts-expect-error null
      Schema.NullOr(Schema.String) satisfies KeySchema,
      // @ts-expect-error a zoned time
      Schema.DateTimeZoned satisfies KeySchema,
      // @ts-expect-error an element that can be missing
      Schema.Tuple([Schema.optionalKey(Schema.String)]) satisfies KeySchema,
      // @ts-expect-error an element that can be undefined
      Schema.Tuple([Schema.UndefinedOr(Schema.String)]) satisfies KeySchema
    ]
    assert.lengthOf(schemas, 7)

    const prefixes: ReadonlyArray<KeyPrefix<readonly [string, number, boolean]>> = [[], ["a"], ["a", 1], [
      "a",
      1,
      true
    ]]
    assert.lengthOf(prefixes, 4)
    const text: KeyPrefix<"ab" | "ac"> = "a"
    assert.strictEqual(text, "a")
    // @ts-expect-error the first element is a string
    const wrong: KeyPrefix<readonly [string, number]> = [1]
    // @ts-expect-error numbers have no prefix
    const none: KeyPrefix<number> = 1
    assert.deepStrictEqual([wrong, none], [[1], 1])
  })
})
