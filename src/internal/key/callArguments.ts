/**
 * Checks the arguments of a call other than keys and values: ranges, lists and options. A program in
 * JavaScript can pass anything, and the compiler accepts a variable that is `undefined`.
 *
 * A property that restricts a range must have a value: `{ prefix: undefined }` does not select all keys.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import { types } from "node:util"
import { EngineFailure, KeyEncoding } from "../../StoreError.ts"
import { describeKind } from "../value/kindOf.ts"
import { pathProblem } from "./pathProblem.ts"

/** Says what is wrong with a value, or returns `undefined`. */
type Check = (value: unknown) => string | undefined

/** The properties that an object may have, each with the check of its value. */
export type Checks = ReadonlyMap<string, Check>

/** The name of an argument or property, and what is wrong with it. */
interface Problem {
  readonly name: string
  readonly detail: string
}

// -----------------------------------------------------------------------------
// What a value must be
// -----------------------------------------------------------------------------

/** Accepts anything but `undefined`. The key codec checks the value later. */
const given: Check = (value) =>
  value === undefined
    ? "it is undefined; leave it out if it should not restrict the range, or check where the undefined comes from"
    : undefined

/** Accepts a whole number or `Infinity`. */
const wholeNumber: Check = (value) =>
  value === Infinity || (Number.isInteger(value) && Number(value) >= 0)
    ? undefined
    : `it must be a whole number of at least 0, or Infinity, and is ${
      typeof value === "number" ? value : describeKind(value)
    }; leave it out to set no limit`

const optional = (check: Check): Check => (value) => value === undefined ? undefined : check(value)

/** Accepts `true` and `false`, and `undefined` for the default. */
const flag: Check = optional((value) => typeof value === "boolean" ? undefined : "it must be true or false")

const oneOf = (...allowed: ReadonlyArray<string>): Check =>
  optional((value) => allowed.some((each) => each === value) ? undefined : `it must be one of ${allowed.join(", ")}`)

const paging = { offset: wholeNumber, limit: wholeNumber }
const bounds = { prefix: given, gt: given, gte: given, lt: given, lte: given }

const checksOf = (checks: Readonly<Record<string, Check>>): Checks => new Map(Object.entries(checks))

/** The range of `count` and `deleteRange`. */
export const rangeChecks = checksOf({ ...bounds, ...paging, reverse: flag })

/** The range of a stream of a store. */
export const streamChecks = checksOf({ ...bounds, ...paging, reverse: flag, snapshot: flag, decodeKeys: flag })

/** The properties that restrict a range of keys of a collection. */
const typedBounds = { ...bounds, startsWith: given, equals: given }

/** The range of `first` and `last`. */
export const endChecks = checksOf({ ...typedBounds, offset: wholeNumber })

/** The range of a stream of a collection. */
export const typedChecks = checksOf({
  ...typedBounds,
  ...paging,
  reverse: flag,
  snapshot: flag,
  undecodable: oneOf("fail", "skip", "result")
})

/** Accepts the size of a page. */
const pageSize: Check = (value) =>
  Number.isInteger(value) && Number(value) >= 1
    ? undefined
    : `it must be a whole number of at least 1, and is ${typeof value === "number" ? value : describeKind(value)}`

/** Accepts a cursor; `undefined` stands for the first page. */
const cursor: Check = optional((value) =>
  typeof value === "string" ? undefined : `it must be the \`next\` of a page, and is ${describeKind(value)}`
)

/** The range of `deleteRange` of a collection. */
export const deleteChecks = checksOf({ ...typedBounds, ...paging, reverse: flag })

/** The range of `page`. */
export const pageChecks = checksOf({ ...typedBounds, reverse: flag, limit: pageSize, after: cursor })

/** Whether a value can be passed to `Duration.fromInput`, which tells whether it is a duration. */
const isDurationInput = (value: unknown): value is Duration.Input =>
  Predicate.isString(value) || Predicate.isNumber(value) || Predicate.isBigInt(value) || Predicate.isObject(value)

/** Accepts a duration of more than zero. */
const interval: Check = optional((value) =>
  isDurationInput(value) && Option.exists(Duration.fromInput(value), Duration.isPositive)
    ? undefined
    : "it must be a duration of more than zero"
)

const poll = { pollInterval: interval }

/** Accepts the number of a transaction. */
const transaction: Check = optional((value) =>
  Number.isSafeInteger(value) && Number(value) >= 0
    ? undefined
    : "it must be the number of a transaction, as changes have it"
)

const changes = {
  ...poll,
  prefix: given,
  capacity: optional(wholeNumber),
  since: transaction,
  previous: flag
}

/** The options of `commits` and of `watch`. */
export const pollChecks = checksOf(poll)

const watched = { ...bounds, ...poll, capacity: optional(wholeNumber) }

/** The range of `watchRange` of a store. */
export const watchChecks = checksOf({ ...watched, decodeKeys: flag })

/** The range of `watchRange` of a collection. */
export const typedWatchChecks = checksOf({ ...watched, equals: given })

/** The options of `changes` of a store. */
export const changesChecks = checksOf({ ...changes, decodeKeys: flag })

/** The options of `changes` of a collection. */
export const typedChangesChecks = checksOf(changes)

export const hasChecks = checksOf({ flush: flag })
export const getManyChecks = checksOf({ decodeKeys: flag })
export const writeChecks = checksOf({ durable: flag })
const backupChecks = checksOf({ compact: flag })

// -----------------------------------------------------------------------------
// Objects
// -----------------------------------------------------------------------------

/** Whether an object has no class. */
export const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

const problemIn = (what: string, value: unknown, checks: Checks): Problem | undefined => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { name: what, detail: `it must be an object, and is ${describeKind(value)}` }
  }
  let found = 0
  // `for in` also visits inherited properties: an instance of a class may inherit some.
  for (const name in value) {
    const checkValue = checks.get(name)
    if (checkValue === undefined) {
      return { name, detail: `${what} has no such property; it has ${[...checks.keys()].join(", ")}` }
    }
    const detail = checkValue(Reflect.get(value, name))
    if (detail !== undefined) return { name, detail }
    found++
  }
  // Without this, a `Map` or a `Date` would select all keys.
  return found === 0 && !isPlain(value)
    ? { name: what, detail: `it must be a plain object, and is ${describeKind(value)}` }
    : undefined
}

/** Says what is wrong with an object. A proxy or a getter of it may throw. */
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

/** The error for an argument of a call that can fail with `KeyEncoding`. */
const badArgument = ({ detail, name }: Problem, collection?: string): KeyEncoding =>
  new KeyEncoding({
    reason: { _tag: "Argument", detail: `${detail}.` },
    key: undefined,
    shownKey: name,
    ...(collection === undefined ? {} : { collection })
  })

/** The errno for an invalid argument. */
const EINVAL = 22

/** The error for an argument of a call that cannot fail with `KeyEncoding`. */
export const badCall = (operation: string, { detail, name }: Problem): EngineFailure =>
  new EngineFailure({ operation, code: EINVAL, detail: `${name}: ${detail}`, isRetryable: false })

/** Says what is wrong with the arguments of `withTransaction` and `withTransactionRetry`, or returns `undefined`. */
export const transactionProblem = (effect: unknown, retry: unknown): Problem | undefined => {
  if (!Effect.isEffect(effect)) {
    return {
      name: "effect",
      detail: `it must be an Effect, and is ${describeKind(effect)}; Effect.gen makes one of a generator function`
    }
  }
  return Schedule.isSchedule(retry)
    ? undefined
    : { name: "retry", detail: `it must be a Schedule, and is ${describeKind(retry)}` }
}

/** Says what is wrong with the arguments of `backup`, or returns `undefined`. */
export const backupProblem = (target: unknown, options: unknown): Problem | undefined => {
  const problem = pathProblem(target)
  if (problem !== undefined) return { name: "path", detail: problem }
  return options === undefined
    ? undefined
    : Option.getOrUndefined(check("the options of backup", options, backupChecks))
}

/** Fails if a range or options are not valid. */
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

/** Fails if options are not valid, for a call that cannot fail with `KeyEncoding`. */
export const checkedCall = (operation: string, value: unknown, checks: Checks): Effect.Effect<void, EngineFailure> =>
  Option.match(check(`the options of ${operation}`, value, checks), {
    onNone: () => Effect.void,
    onSome: (problem) => Effect.fail(badCall(operation, problem))
  })

const isDurationObject = (value: object): boolean =>
  Duration.isDuration(value) || Array.isArray(value) || isPlain(value)

/** A duration is checked by `ttlOf`. */
const unchecked: Check = () => undefined

export const putChecks = checksOf({ ttl: unchecked, durable: flag })
export const putManyChecks = checksOf({ ttl: unchecked })

/** Returns the time to live of the records of a call. Fails if the options are not valid. */
export const ttlOf = (
  what: string,
  options: { readonly ttl?: Duration.Input | undefined },
  checks: Checks
): Result.Result<Duration.Duration | undefined, KeyEncoding> => {
  const problem = Option.getOrUndefined(check(what, options, checks))
  if (problem !== undefined) return Result.fail(badArgument(problem))
  const { ttl } = options
  if (ttl === undefined) return Result.succeed(undefined)
  const detail = `it must be a duration, such as "30 minutes", and is ${
    Predicate.isNumber(ttl) ? ttl : describeKind(ttl)
  }`
  // `Duration.fromInput` would accept these as a duration of zero.
  const isNone = ttl === null || Number.isNaN(ttl) || (typeof ttl === "object" && !isDurationObject(ttl))
  const duration = isNone ? Option.none() : Duration.fromInput(ttl)
  return Result.fromOption(duration, () => badArgument({ name: "ttl", detail }))
}

// -----------------------------------------------------------------------------
// Lists
// -----------------------------------------------------------------------------

const isIterable = (value: object): value is Iterable<unknown> =>
  typeof Reflect.get(value, Symbol.iterator) === "function"

/** Whether a value is a single key although it is iterable: text or bytes. */
const isSingleKey = (value: object): boolean => types.isStringObject(value) || types.isUint8Array(value)

const problemInList = (what: string, value: unknown): Problem | undefined => {
  if (typeof value === "object" && value !== null && isIterable(value) && !isSingleKey(value)) return undefined
  return { name: what, detail: `it must be a list, and is ${describeKind(value)}; give an array` }
}

/** Runs a check that may throw, because it runs getters of the value. */
const guarded = (what: string, find: () => Problem | undefined): Problem | undefined =>
  Result.getOrElse(Result.try(find), () => ({ name: what, detail: "it cannot be read" }))

/** The error for a value that is not a list of keys or of entries, if it is not one. */
export const notAList = (
  what: "keys" | "entries" | "writes",
  value: unknown,
  collection?: string
): KeyEncoding | undefined => {
  const problem = guarded(what, () => problemInList(what, value))
  return problem && badArgument(problem, collection)
}

/** The error for an argument of `putMany` that is neither a list nor a record. */
export const notEntries = (value: unknown): KeyEncoding | undefined => {
  const problem = guarded("entries", () => {
    if (Predicate.isObject(value) && isPlain(value) && !isIterable(value)) return undefined
    const wrong = problemInList("entries", value)
    return wrong && { ...wrong, detail: `${wrong.detail} of pairs, a Map or a record` }
  })
  return problem && badArgument(problem)
}

/** The error for an entry that is not a pair of a key and a value. */
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

/** Does not check the value in the `Option`: encoding it will. */
const isOptionOf = <A>(next: unknown): next is Option.Option<A> => Option.isOption(next)

const resultOfUpdate = "it must give Option.some(value) to keep a value, or Option.none() to delete it"

/** Runs the function of `update`; fails if it, or its result, is not valid. */
export const nextOf = <A>(
  f: (current: Option.Option<A>) => Option.Option<A>,
  current: Option.Option<A>
): Result.Result<Option.Option<A>, string> => {
  if (!Predicate.isFunction(f)) {
    return Result.fail(`update needs a function, and has ${describeKind(f)}; ${resultOfUpdate}`)
  }
  const next: unknown = f(current)
  if (isOptionOf<A>(next)) return Result.succeed(next)
  return types.isPromise(next) || Effect.isEffect(next)
    ? Result.fail(
      `the function of update gave ${describeKind(next)}; ${resultOfUpdate}, synchronously: ` +
        "use withTransaction if it has to wait for something"
    )
    : Result.fail(`the function of update gave ${describeKind(next)}; ${resultOfUpdate}`)
}

const isEmpty = (key: unknown): boolean => key === "" || (ArrayBuffer.isView(key) && key.byteLength === 0)

/** Whether every key begins with the prefix of a range, or every key with the parts before its last one. */
const restrictsNothing = (prefix: unknown, isStart: boolean): boolean =>
  isEmpty(prefix) || (Array.isArray(prefix) && (prefix.length === 0 || (isStart && isEmpty(prefix.at(-1)))))

/** The error for deleting with an empty prefix: every key has it, and it mostly comes from an empty variable. */
export const emptyPrefix = (range: unknown): KeyEncoding | undefined => {
  const isStart = Predicate.hasProperty(range, "startsWith")
  // The check of the range refuses a getter that throws.
  const prefix = Result.getOrUndefined(
    Result.try(() => isStart ? range.startsWith : Predicate.hasProperty(range, "prefix") ? range.prefix : undefined)
  )
  if (!restrictsNothing(prefix, isStart)) return undefined
  const detail = Array.isArray(prefix) && prefix.length > 0
    ? "its last part is empty, and every text begins with that. Leave the part out, with prefix in place of startsWith"
    : "every key begins with an empty prefix. Use clear to delete all keys, or leave the prefix out"
  return new KeyEncoding({
    reason: { _tag: "Empty", detail },
    key: prefix,
    shownKey: isStart ? "startsWith" : "prefix"
  })
}
