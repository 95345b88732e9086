/**
 * Checks what a call is given besides keys and values: ranges, lists, options. Programs in
 * JavaScript pass anything, and a variable that is `undefined` passes the compiler.
 *
 * A property that narrows a range down must have a value: `{ prefix: undefined }` does not mean all keys.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import { types } from "node:util"
import { EngineFailure, KeyEncoding } from "../../StoreError.ts"
import { describeKind } from "../value/kindOf.ts"
import { pathProblem } from "./pathProblem.ts"

/** Says what is wrong with a value, if anything. */
type Check = (value: unknown) => string | undefined

/** What an options object may have, each with what its value must be. */
type Checks = ReadonlyMap<string, Check>

/** The name of what is wrong, and what is wrong with it. */
interface Problem {
  readonly name: string
  readonly detail: string
}

// -----------------------------------------------------------------------------
// What a value must be
// -----------------------------------------------------------------------------

/** Anything but `undefined`; the codec of keys looks at the rest. */
const given: Check = (value) =>
  value === undefined
    ? "it is undefined; leave it out where it is not meant to choose any keys, or check where the undefined comes from"
    : undefined

/** A whole number, or `Infinity`. */
const wholeNumber: Check = (value) =>
  value === Infinity || (Number.isInteger(value) && Number(value) >= 0)
    ? undefined
    : `it must be a whole number of at least 0, or Infinity, and is ${
      typeof value === "number" ? value : describeKind(value)
    }; leave it out where there is none`

const optional = (check: Check): Check => (value) => value === undefined ? undefined : check(value)

/** `true` or `false`; `undefined` is what it is by default. */
const flag: Check = optional((value) => typeof value === "boolean" ? undefined : "it must be true or false")

const oneOf = (...allowed: ReadonlyArray<string>): Check =>
  optional((value) => allowed.some((each) => each === value) ? undefined : `it must be one of ${allowed.join(", ")}`)

const cut = { offset: wholeNumber, limit: wholeNumber }
const ends = { prefix: given, gt: given, gte: given, lt: given, lte: given }

const checksOf = (checks: Readonly<Record<string, Check>>): Checks => new Map(Object.entries(checks))

/** The range of `count` and `deleteRange`. */
export const rangeChecks = checksOf({ ...ends, ...cut, reverse: flag })

/** The range of a stream of a store. */
export const streamChecks = checksOf({ ...ends, ...cut, reverse: flag, snapshot: flag, decodeKeys: flag })

/** The range of `first` and `last`. */
export const endChecks = checksOf({ ...ends, equals: given, offset: wholeNumber })

/** The range of a stream of a collection. */
export const typedChecks = checksOf({
  ...ends,
  ...cut,
  equals: given,
  reverse: flag,
  snapshot: flag,
  undecodable: oneOf("fail", "skip", "result")
})

const changes = { prefix: given, capacity: optional(wholeNumber) }

/** The options of `changes` of a store. */
export const changesChecks = checksOf({ ...changes, decodeKeys: flag })

/** The options of `changes` of a collection. */
export const typedChangesChecks = checksOf(changes)

export const hasChecks = checksOf({ flush: flag })
export const getManyChecks = checksOf({ decodeKeys: flag })
const backupChecks = checksOf({ compact: flag })

// -----------------------------------------------------------------------------
// Objects
// -----------------------------------------------------------------------------

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

const problemIn = (what: string, value: unknown, checks: Checks): Problem | undefined => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { name: what, detail: `it must be an object, and is ${describeKind(value)}` }
  }
  let found = 0
  // An instance of a class may inherit what it is asked for.
  for (const name in value) {
    const checkValue = checks.get(name)
    if (checkValue === undefined) {
      return { name, detail: `${what} has no such property; it has ${[...checks.keys()].join(", ")}` }
    }
    const detail = checkValue(Reflect.get(value, name))
    if (detail !== undefined) return { name, detail }
    found++
  }
  // A map, or a date, would choose everything.
  return found === 0 && !isPlain(value)
    ? { name: what, detail: `it must be a plain object, and is ${describeKind(value)}` }
    : undefined
}

/** Says what is wrong with an options object. A proxy or a getter may throw. */
const check = (
  what: string,
  value: unknown,
  checks: Checks
): Option.Option<Problem> =>
  Option.fromUndefinedOr(
    Result.getOrElse(
      Result.try(() => problemIn(what, value, checks)),
      () => ({ name: what, detail: "it cannot be read" })
    )
  )

/** Refuses an argument of a call that may fail with a `KeyEncoding`. */
const badArgument = ({ detail, name }: Problem, collection?: string): KeyEncoding =>
  new KeyEncoding({
    reason: { _tag: "Argument", detail: `${detail}.` },
    key: undefined,
    shownKey: name,
    ...(collection === undefined ? {} : { collection })
  })

/** Says that the arguments of a call make no sense. */
const EINVAL = 22

/** Refuses an argument of a call that fails with no `KeyEncoding`. */
export const badCall = (operation: string, { detail, name }: Problem): EngineFailure =>
  new EngineFailure({ operation, code: EINVAL, detail: `${name}: ${detail}`, isRetryable: false })

/** Says what is wrong with the arguments of `withTransaction` and `withTransactionRetry`. */
export const transactionProblem = (effect: unknown, retry: unknown): Problem | undefined => {
  if (!Effect.isEffect(effect)) {
    return {
      name: "effect",
      detail: `it must be an Effect, as Effect.gen makes of a generator function, and is ${describeKind(effect)}`
    }
  }
  return Schedule.isSchedule(retry)
    ? undefined
    : { name: "retry", detail: `it must be a Schedule, and is ${describeKind(retry)}` }
}

/** Says what is wrong with the arguments of `backup`. */
export const backupProblem = (target: unknown, options: unknown): Problem | undefined => {
  const problem = pathProblem(target)
  if (problem !== undefined) return { name: "path", detail: problem }
  return options === undefined
    ? undefined
    : Option.getOrUndefined(check("the options of backup", options, backupChecks))
}

/** Checks a range or options. */
export const checked = (
  what: string,
  value: unknown,
  checks: Checks,
  collection?: string
): Effect.Effect<void, KeyEncoding> =>
  Option.match(check(what, value, checks), {
    onNone: () => Effect.void,
    onSome: (problem) => Effect.fail(badArgument(problem, collection))
  })

// -----------------------------------------------------------------------------
// Lists
// -----------------------------------------------------------------------------

const isIterable = (value: object): value is Iterable<unknown> =>
  typeof Reflect.get(value, Symbol.iterator) === "function"

/** Text and bytes are iterable, and are one key. */
const isOne = (value: object): boolean => types.isStringObject(value) || types.isUint8Array(value)

const problemInList = (what: string, value: unknown): Problem | undefined => {
  if (typeof value === "object" && value !== null && isIterable(value) && !isOne(value)) return undefined
  return { name: what, detail: `it must be a list, and is ${describeKind(value)}; give an array` }
}

const readable = (what: string, look: () => Problem | undefined): Problem | undefined =>
  Result.getOrElse(Result.try(look), () => ({ name: what, detail: "it cannot be read" }))

/** Refuses a value that is not a list of keys or of entries. */
export const notAList = (what: "keys" | "entries", value: unknown, collection?: string): KeyEncoding | undefined => {
  const problem = readable(what, () => problemInList(what, value))
  return problem && badArgument(problem, collection)
}

/** Refuses what `putMany` of a store cannot take: neither a list, nor a record. */
export const notEntries = (value: unknown): KeyEncoding | undefined => {
  const problem = readable("entries", () => {
    if (Predicate.isObject(value) && isPlain(value) && !isIterable(value)) return undefined
    const wrong = problemInList("entries", value)
    return wrong && { ...wrong, detail: `${wrong.detail} of pairs, a Map or a record` }
  })
  return problem && badArgument(problem)
}

/** Refuses an entry that is not a pair of a key and a value. */
export const notAPair = (entry: unknown, collection?: string): KeyEncoding | undefined =>
  Array.isArray(entry) && entry.length === 2
    ? undefined
    : badArgument(
      { name: "entries", detail: `an entry must be a pair [key, value], and one is ${describeKind(entry)}` },
      collection
    )

// -----------------------------------------------------------------------------
// Functions
// -----------------------------------------------------------------------------

/** What is in it is looked at when it is encoded. */
const isOptionOf = <A>(next: unknown): next is Option.Option<A> => Option.isOption(next)

const wantedOfUpdate = "it must give Option.some(value) to keep a value, or Option.none() to delete it"

/** What the function of `update` gives, or what is wrong with it. */
export const nextOf = <A>(
  f: (current: Option.Option<A>) => Option.Option<A>,
  current: Option.Option<A>
): Result.Result<Option.Option<A>, string> => {
  if (!Predicate.isFunction(f)) {
    return Result.fail(`update needs a function, and has ${describeKind(f)}; ${wantedOfUpdate}`)
  }
  const next: unknown = f(current)
  if (isOptionOf<A>(next)) return Result.succeed(next)
  return types.isPromise(next) || Effect.isEffect(next)
    ? Result.fail(
      `the function of update gave ${describeKind(next)}; ${wantedOfUpdate}, at once: ` +
        "where that takes time, use withTransaction"
    )
    : Result.fail(`the function of update gave ${describeKind(next)}; ${wantedOfUpdate}`)
}

/** Refuses to delete by a prefix that every key has: it comes from a variable without text. */
export const emptyPrefix = (range: unknown): KeyEncoding | undefined => {
  // A getter that throws is refused where the range is checked.
  const prefix = Result.getOrUndefined(
    Result.try(() => Predicate.hasProperty(range, "prefix") ? range.prefix : undefined)
  )
  const isEmpty = prefix === "" || (ArrayBuffer.isView(prefix) && prefix.byteLength === 0)
  return isEmpty
    ? new KeyEncoding({
      reason: {
        _tag: "Empty",
        detail: "every key begins with an empty prefix. Use clear to delete all keys, or leave the prefix out"
      },
      key: prefix,
      shownKey: "prefix"
    })
    : undefined
}
