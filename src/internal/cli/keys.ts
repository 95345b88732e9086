/**
 * Reads keys from the command line, and shows stored keys.
 *
 * A word is a key of the kind that the keys of the place have: `10` is a number where keys are numbers, and text where
 * keys are text. A word in JSON is that value: `"10"` is text, `["FR",10]` a tuple, `{"$date":"2026-01-01T00:00:00Z"}` a
 * date. In a tuple, a number or a text takes the kind of that element in the stored keys, so a date may be plain text there.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Inspect from "../../Inspect.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import type { Store } from "../../Store.ts"
import type { Closed, EngineFailure, KeyEncoding } from "../../StoreError.ts"
import { Usage } from "./failures.ts"
import { jsonText } from "./jsonText.ts"
import type { BoundParameters } from "./parameters.ts"

/** Stored keys of a place, which show the kinds of its keys: the first and the last. Empty if it has none. */
export type Examples = ReadonlyArray<OrderedKey>

const isList = (key: unknown): key is ReadonlyArray<OrderedKey> => Array.isArray(key)

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

const asDate = (text: string): Option.Option<DateTime.Utc> =>
  // A number alone would be taken as a time.
  /^\d{4}-/.test(text) ? Option.map(DateTime.make(text), DateTime.toUtc) : Option.none()

/** Converts a word to the kind of an example. */
const asKindOf = (word: string, example: OrderedKey): Option.Option<OrderedKey> => {
  switch (typeof example) {
    case "string":
      return Option.some(word)
    case "number":
      return Option.filter(Option.some(Number(word)), (number) => word.trim() !== "" && !Number.isNaN(number))
    case "bigint":
      return /^-?\d+n?$/.test(word) ? Option.some(BigInt(word.replace("n", ""))) : Option.none()
    case "boolean":
      return word === "true" || word === "false" ? Option.some(word === "true") : Option.none()
    default:
      if (Predicate.isDate(example)) return Option.map(asDate(word), DateTime.toDateUtc)
      if (DateTime.isDateTime(example)) return asDate(word)
      return example instanceof Uint8Array && /^0x(?:[\da-f]{2})+$/i.test(word)
        ? Option.some(new Uint8Array(Buffer.from(word.slice(2), "hex")))
        : Option.none()
  }
}

/** Converts a value of JSON to the kind of an example: JSON has no dates and no bigints. */
const coerce = (value: unknown, example: OrderedKey | undefined): unknown => {
  if (Array.isArray(value)) {
    return value.map((element: unknown, at) =>
      coerce(element, isList(example) ? example[at] ?? example.at(-1) : undefined)
    )
  }
  if (example === undefined || typeof example === typeof value) return value
  return Predicate.isString(value) || Predicate.isNumber(value)
    ? Option.getOrElse(asKindOf(String(value), example), () => value)
    : value
}

const isOrderedKey = (value: unknown): value is OrderedKey =>
  Predicate.isString(value) || Predicate.isNumber(value) || Predicate.isBoolean(value) || Predicate.isBigInt(value) ||
  Predicate.isDate(value) || value instanceof Uint8Array || (DateTime.isDateTime(value) && DateTime.isUtc(value)) ||
  (Array.isArray(value) && value.every(isOrderedKey))

const inJson = (word: string): Option.Option<unknown> =>
  /^["[{]/.test(word)
    ? Option.flatMap(
      Result.getSuccess(Inspect.parseJson(word)),
      (json) => Result.getSuccess(Inspect.keyFromJson(json))
    )
    : Option.none()

const isTextOnly = (examples: Examples): boolean => examples.length > 0 && examples.every(Predicate.isString)

/** A word without any stored key to compare it with. */
const guess = (word: string): OrderedKey => {
  const number = asKindOf(word, 0)
  return Option.getOrElse(Option.orElse(number, () => asKindOf(word, true)), () => word)
}

const badKey = (word: string, examples: Examples): Usage =>
  new Usage({
    message: `"${word}" is not a key here: the keys look like ${examples.map((key) => show(key)).join(" and ")}. ` +
      "Write a tuple as JSON: '[\"FR\",10]'."
  })

/** Reads a key from a word. `isPrefix`: a plain word is the first element of a tuple. */
export const parse = (word: string, examples: Examples, isPrefix = false): Result.Result<OrderedKey, Usage> => {
  const json = inJson(word)
  if (Option.isSome(json)) {
    const example = examples.find((key) => typeof key === typeof json.value)
    const value = coerce(json.value, example)
    // Text that looks like an array is text where all keys are text.
    if (isOrderedKey(value) && !(isTextOnly(examples) && isList(value))) return Result.succeed(value)
    if (!isTextOnly(examples)) return Result.fail(badKey(word, examples))
  }
  if (examples.length === 0) return Result.succeed(guess(word))
  for (const example of examples) {
    const [element] = isList(example) ? example : []
    const key = isPrefix && element !== undefined
      ? Option.map(asKindOf(word, element), (first): OrderedKey => [first])
      : asKindOf(word, example)
    if (Option.isSome(key)) return Result.succeed(key.value)
  }
  return Result.fail(badKey(word, examples))
}

type ReadError = Inspect.NotInStore | KeyEncoding | Closed | EngineFailure

/** Reads the first and the last key of a place. The keys of the store and of namespaces are text. */
export const examplesOf = Effect.fnUntraced(function*(
  place: Inspect.Place
): Effect.fn.Return<Examples, ReadError, Store> {
  if (place._tag !== "Collection") return [""]
  const ends = [{ limit: 1 }, { limit: 1, reverse: true }]
  const found = yield* Effect.forEach(ends, (end) => Stream.runHead(Inspect.records(place, { ...end, values: false })))
  return found.flatMap(Option.match({ onNone: () => [], onSome: ({ key }) => [key] }))
})

/** Reads the first and the last key of an index. */
export const indexExamplesOf = Effect.fnUntraced(function*(
  collection: string,
  index: string
): Effect.fn.Return<Examples, ReadError, Store> {
  const ends = [{ limit: 1 }, { limit: 1, reverse: true }]
  const found = yield* Effect.forEach(
    ends,
    (end) => Stream.runHead(Inspect.entries(collection, index, { ...end, values: false }))
  )
  return found.flatMap(Option.match({ onNone: () => [], onSome: ({ indexKey }) => [indexKey] }))
})

const isPrefixKey = (key: OrderedKey): key is string | Uint8Array | ReadonlyArray<OrderedKey> =>
  Predicate.isString(key) || key instanceof Uint8Array || isList(key)

/** Reads the bounds of a range. */
export const rangeOf = Effect.fnUntraced(function*(
  given: BoundParameters,
  examples: Examples
): Effect.fn.Return<Inspect.StoredRange, Usage> {
  const read = (word: Option.Option<string>) =>
    Option.isNone(word) ? Effect.succeed(undefined) : Effect.fromResult(parse(word.value, examples))
  const readPrefix = Effect.fnUntraced(function*(word: Option.Option<string>) {
    if (Option.isNone(word)) return undefined
    const key = yield* Effect.fromResult(parse(word.value, examples, true))
    return isPrefixKey(key)
      ? key
      : yield* new Usage({ message: `Keys such as ${show(key)} have no prefix; use --gte and --lt.` })
  })
  const range = {
    prefix: yield* readPrefix(given.prefix),
    startsWith: yield* readPrefix(given.startsWith),
    equals: yield* read(given.equals),
    gte: yield* read(given.gte),
    gt: yield* read(given.gt),
    lte: yield* read(given.lte),
    lt: yield* read(given.lt)
  }
  return Object.fromEntries(Object.entries(range).filter(([, key]) => key !== undefined))
})

// ---------------------------------------------------------------------------
// showing
// ---------------------------------------------------------------------------

/** Shows a key as the user would write it: text as it is, tuples as JSON. */
export const show = (key: OrderedKey): string => {
  if (Predicate.isString(key)) return key
  if (Predicate.isNumber(key) || Predicate.isBoolean(key)) return String(key)
  if (Predicate.isBigInt(key)) return `${key}`
  if (Predicate.isDate(key)) return key.toISOString()
  if (key instanceof Uint8Array) return `0x${Buffer.from(key).toString("hex")}`
  return DateTime.isDateTime(key) ? DateTime.formatIso(key) : jsonText(Inspect.keyToJson(key))
}
