/**
 * Computes when a record expires, from what the program gives.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { describeKind } from "../value/kindOf.ts"

/** The latest time that a `Date` can have. A record with a later expiry never expires. */
const latestTime = 8.64e15

/** Rounds a time up to whole milliseconds since 1970, at least 0. Returns `undefined` if the record never expires. */
const timeOf = (time: number): number | undefined => time > latestTime ? undefined : Math.max(0, Math.ceil(time))

/** The time at which a record expires that is written now with this time to live. */
export const afterDuration = (ttl: Duration.Duration, now: number): number | undefined =>
  timeOf(now + Duration.toMillis(ttl))

const wanted = "a DateTime, a Date, a Duration, an Option of these, or undefined"

/** When a record expires, by the result of the option `expires` of its collection. Fails with what is wrong with it. */
export const ofGiven = (given: unknown, now: number): Result.Result<number | undefined, string> => {
  if (given === undefined) return Result.succeed(undefined)
  if (Option.isOption(given)) return ofGiven(Option.getOrUndefined(given), now)
  if (Duration.isDuration(given)) return Result.succeed(afterDuration(given, now))
  if (DateTime.isDateTime(given)) return Result.succeed(timeOf(DateTime.toEpochMillis(given)))
  if (given instanceof Date) {
    const time = given.getTime()
    return Number.isNaN(time) ? Result.fail("`expires` gave an invalid Date") : Result.succeed(timeOf(time))
  }
  return Result.fail(`\`expires\` gave ${describeKind(given)}; it must give ${wanted}`)
}
