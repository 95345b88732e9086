/**
 * What a value is, for the message of an error that says what was given. Shows nothing of what is in it.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { types } from "node:util"

/** The kind of a value, as in `number`, `array`, `date`. */
const kindOf = (value: unknown): string => {
  if (value === null) return "null"
  if (typeof value !== "object") return typeof value
  // Anything that is asked of a proxy may throw.
  if (types.isProxy(value)) return "proxy"
  if (Array.isArray(value)) return "array"
  if (types.isPromise(value)) return "promise"
  if (Effect.isEffect(value)) return "Effect"
  const tag = Result.getOrElse(
    Result.try(() => Object.prototype.toString.call(value).slice(8, -1)),
    () => "object"
  )
  return tag === "URL" ? tag : tag.toLowerCase()
}

/** A noun with its article, as in `an array`. */
export const withArticle = (noun: string): string => `${/^[aeio]/i.test(noun) ? "an" : "a"} ${noun}`

/** The kind of a value in a sentence, as in `undefined`, `an array`, `a number`. */
export const describeKind = (value: unknown): string =>
  value === undefined || value === null ? String(value) : withArticle(kindOf(value))
