/**
 * Checks the option `changeLog`.
 */
import * as ByteSize from "effect/ByteSize"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { ChangeLogOptions as GivenOptions } from "../../Change.ts"
import type { ChangeLogOptions, Retention } from "../commit/changeLog.ts"

/** Describes the valid values, for the error message. */
export const expected =
  "{ retention } with a duration of more than zero, or with { age, commits, bytes } of which at " +
  "least one is given; commits is a whole number of at least 1, bytes a size of at least 1 byte; previous is true or false"

type Limits = Exclude<GivenOptions["retention"], Duration.Input>

const limitNames: ReadonlySet<string> = new Set(["age", "commits", "bytes"])

const isLimits = (retention: GivenOptions["retention"]): retention is Limits =>
  Predicate.isObject(retention) && !Duration.isDuration(retention) &&
  Object.keys(retention).every((name) => limitNames.has(name))

const ageOf = (age: Duration.Input | undefined): Option.Option<number> =>
  age === undefined
    ? Option.some(Infinity)
    : Option.map(Option.filter(Duration.fromInput(age), Duration.isPositive), Duration.toMillis)

const commitsOf = (commits: number | undefined): Option.Option<number> =>
  Option.filter(
    Option.some(commits ?? Infinity),
    (count) => count === Infinity || (Number.isSafeInteger(count) && count >= 1)
  )

const bytesOf = (bytes: ByteSize.Input | undefined): Option.Option<number> =>
  bytes === undefined
    ? Option.some(Infinity)
    : Option.filter(Option.flatMap(ByteSize.fromInput(bytes), ByteSize.toNumber), (size) => size >= 1)

const retentionOf = (given: GivenOptions["retention"]): Option.Option<Retention> => {
  const limits: Limits = isLimits(given) ? given : { age: given }
  return Object.values(limits).every((limit) => limit === undefined)
    ? Option.none()
    : Option.all({ age: ageOf(limits.age), commits: commitsOf(limits.commits), bytes: bytesOf(limits.bytes) })
}

const optionNames: ReadonlySet<string> = new Set(["retention", "previous"])

/** Checks the option and fills in the defaults. Returns `none` if the option is not valid. */
export const resolve = (given: GivenOptions | undefined): Option.Option<ChangeLogOptions | undefined> => {
  if (given === undefined) return Option.some(undefined)
  const { previous = false, retention } = given
  return !Object.keys(given).every((name) => optionNames.has(name)) || !Predicate.isBoolean(previous)
    ? Option.none()
    : Option.map(retentionOf(retention), (limits) => ({ retention: limits, previous }))
}
