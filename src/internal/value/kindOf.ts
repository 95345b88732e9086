/**
 * Names the kind of a value for an error message. The name shows nothing of the content of the value, because
 * that may be secret.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { types } from "node:util"

/** Names the kind of a value: `number`, `array`, `date`. */
const kindOf = (value: unknown): string => {
  if (value === null) return "null"
  if (typeof value !== "object") return typeof value
  // Every operation on a proxy may throw.
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

/** Puts the article before a noun: `an array`. */
export const withArticle = (noun: string): string => `${/^[aeio]/i.test(noun) ? "an" : "a"} ${noun}`

/** Names the kind of a value in a sentence: `undefined`, `an array`, `a number`. */
export const describeKind = (value: unknown): string =>
  value === undefined || value === null ? String(value) : withArticle(kindOf(value))
