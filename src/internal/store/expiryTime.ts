/**
 * When a record expires, by what a program says.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { describeKind } from "../value/kindOf.ts"

/** The latest time that a `Date` can have. What expires after it stays. */
const latestTime = 8.64e15

/** A time in milliseconds since 1970, not before it; `undefined` where the record stays. */
const timeOf = (time: number): number | undefined => time > latestTime ? undefined : Math.max(0, Math.ceil(time))

/** When a record expires that is written now and stays for a while. */
export const afterDuration = (ttl: Duration.Duration, now: number): number | undefined =>
  timeOf(now + Duration.toMillis(ttl))

const wanted = "a DateTime, a Date, a Duration, an Option of these, or undefined"

/** When a record expires, by what the function of its collection gives; says what is wrong with anything else. */
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
