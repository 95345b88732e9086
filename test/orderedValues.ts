/**
 * Values that are keys, close to each other and far apart, and their order, written
 * down once more.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { KeySchema, OrderedKey } from "../src/KeySchema.ts"

/** How two values compare by `<`. */
export const sign = <A>(left: A, right: A): number => left < right ? -1 : left > right ? 1 : 0

const compareEach = <A>(left: ReadonlyArray<A>, right: ReadonlyArray<A>, compare: (a: A, b: A) => number): number => {
  for (const [index, element] of left.entries()) {
    const other = right[index]
    if (other === undefined) return 1
    const order = compare(element, other)
    if (order !== 0) return order
  }
  return left.length - right.length
}

const codePoints = (text: string) => Array.from(text, (character) => character.codePointAt(0) ?? 0)

const kinds: ReadonlyArray<(value: OrderedKey) => boolean> = [
  (value) => typeof value === "boolean",
  (value) => typeof value === "number",
  (value) => typeof value === "bigint",
  (value) => value instanceof Date,
  DateTime.isDateTime,
  (value) => typeof value === "string",
  (value) => value instanceof Uint8Array,
  Array.isArray
]

const kindOf = (value: OrderedKey) => kinds.findIndex((is) => is(value))

const isTuple = (value: OrderedKey): value is ReadonlyArray<OrderedKey> => Array.isArray(value)

/** The order that is promised. */
export const compare = (left: OrderedKey, right: OrderedKey): number => {
  if (kindOf(left) !== kindOf(right)) return kindOf(left) - kindOf(right)
  if (typeof left === "number" && left === right) return Object.is(left, right) ? 0 : Object.is(left, -0) ? -1 : 1
  if (typeof left === "string" && typeof right === "string") {
    return compareEach(codePoints(left), codePoints(right), sign)
  }
  if (left instanceof Uint8Array && right instanceof Uint8Array) return Buffer.compare(left, right)
  if (isTuple(left) && isTuple(right)) return compareEach(left, right, compare)
  if (DateTime.isDateTime(left) && DateTime.isDateTime(right)) {
    return sign(left.epochMilliseconds, right.epochMilliseconds)
  }
  return sign(left, right)
}

type Values = Arbitrary.Arbitrary<OrderedKey>

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const pick = <A>(values: ReadonlyArray<A>) =>
  Arbitrary.schema(integer(0, values.length - 1)).pipe(Arbitrary.filterMap((index) => {
    const value = values[index]
    return value === undefined ? Result.fail(index) : Result.succeed(value)
  }))
const several = <A>(item: Arbitrary.Arbitrary<A>, maxLength: number) =>
  Arbitrary.array(item, { minLength: 0, maxLength })
const either = <A>(...choices: ReadonlyArray<Arbitrary.Arbitrary<A>>): Arbitrary.Arbitrary<A> =>
  pick(choices).pipe(Arbitrary.flatMap((choice) => choice))

/** A byte, often one with a meaning of its own. */
export const Byte = either(pick([0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff]), Arbitrary.schema(integer(0, 255)))
export const Bytes = either(pick([[], [0], [0, 0], [1], [1, 1]]), several(Byte, 6)).pipe(
  Arbitrary.map((bytes) => Uint8Array.from(bytes))
)
const Doubles = Arbitrary.array(Byte, { minLength: 8, maxLength: 8 }).pipe(
  Arbitrary.map((bytes) => new DataView(Uint8Array.from(bytes).buffer).getFloat64(0)),
  Arbitrary.filter((value) => !Number.isNaN(value))
)
const special = [0, -0, 1, -1, 5e-324, -5e-324, 2 ** 53, 1e308, -1e308, Infinity, -Infinity, 0.1, 255, 256]
export const Numbers = either(pick(special), Doubles, Arbitrary.schema(integer(-3, 3)))
const Booleans = pick([false, true])
const BigInts = Arbitrary.schema(Schema.Tuple([integer(0, 1100), integer(-2, 2), Schema.Boolean])).pipe(
  Arbitrary.map(([bits, more, negative]) => (2n ** BigInt(bits) + BigInt(more)) * (negative ? -1n : 1n))
)
const Times = either(
  pick([0, 1, -1, 8.64e15, -8.64e15]),
  Arbitrary.schema(integer(-100, 100)),
  Arbitrary.schema(integer(-8.64e15, 8.64e15))
)
const Dates = Times.pipe(Arbitrary.map((time) => new Date(time)))
const DateTimes = Times.pipe(Arbitrary.map((time) => DateTime.makeUnsafe(time)))
const Characters = pick([
  "\0",
  "\x01",
  "\x02",
  "a",
  "b",
  "z",
  "\x7f",
  "\x80",
  "ÿ",
  "\ue000",
  "\uffff",
  "😀",
  "\u{10ffff}"
])
export const Texts = either(
  pick(["", "a", "ab", "a\0", "a\x01", "\0"]),
  several(Characters, 5).pipe(Arbitrary.map((characters) => characters.join("")))
)

/** Tuples of values of these kinds. */
export const tupleOf = (...items: ReadonlyArray<Values>): Arbitrary.Arbitrary<Array<OrderedKey>> =>
  items.reduce<Arbitrary.Arbitrary<Array<OrderedKey>>>(
    (tuples, item) => tuples.pipe(Arbitrary.flatMap((tuple) => item.pipe(Arbitrary.map((value) => [...tuple, value])))),
    Arbitrary.schema(Schema.Tuple([])).pipe(Arbitrary.map(() => []))
  )

/** A tuple in a tuple. */
export const nested = Schema.Tuple([Schema.Tuple([Schema.String, Schema.Uint8Array]), Schema.Number, Schema.String])
/** Any value that has an order. */
export const mixed = Schema.Union([
  Schema.Boolean,
  Schema.Number,
  Schema.BigInt,
  Schema.Date,
  Schema.DateTimeUtc,
  Schema.String,
  Schema.Uint8Array,
  Schema.Tuple([Schema.String]),
  Schema.Tuple([Schema.Number, Schema.Number])
])

/** Schemas, and values of their encoded side. */
export const cases: ReadonlyArray<readonly [name: string, schema: KeySchema, values: Values]> = [
  ["booleans", Schema.Boolean, Booleans],
  ["numbers", Schema.Number, Numbers],
  ["bigints", Schema.BigInt, BigInts],
  ["Dates", Schema.Date, Dates],
  ["DateTimes", Schema.DateTimeUtc, DateTimes],
  ["strings", Schema.String, Texts],
  ["bytes", Schema.Uint8Array, Bytes],
  ["literals", Schema.Literals(["b", "a", "ab", ""]), pick(["b", "a", "ab", ""])],
  ["pairs of strings", Schema.Tuple([Schema.String, Schema.String]), tupleOf(Texts, Texts)],
  ["pairs of numbers", Schema.Tuple([Schema.Number, Schema.Number]), tupleOf(Numbers, Numbers)],
  [
    "tuples of all kinds",
    Schema.Tuple([Schema.Boolean, Schema.BigInt, Schema.Date, Schema.DateTimeUtc, Schema.String, Schema.Uint8Array]),
    tupleOf(Booleans, BigInts, Dates, DateTimes, Texts, Bytes)
  ],
  ["nested tuples", nested, tupleOf(tupleOf(Texts, Bytes), Numbers, Texts)],
  ["arrays that are not empty", Schema.NonEmptyArray(Schema.String), either(tupleOf(Texts), tupleOf(Texts, Texts))],
  ["arrays of strings", Schema.Array(Schema.String), several(Texts, 3)],
  ["arrays of arrays", Schema.Array(Schema.Array(Schema.Uint8Array)), several(several(Bytes, 2), 2)],
  [
    "a union of all kinds",
    mixed,
    either<OrderedKey>(
      Booleans,
      Numbers,
      BigInts,
      Dates,
      DateTimes,
      Texts,
      Bytes,
      tupleOf(Texts),
      tupleOf(Numbers, Numbers)
    )
  ]
]
