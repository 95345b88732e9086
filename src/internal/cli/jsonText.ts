/**
 * JSON as text for a terminal. JSON leaves the characters U+007F to U+009F as they are, and a terminal obeys some of them.
 */
import * as Predicate from "effect/Predicate"

const obeyed = /[\u007f-\u009f\u2028\u2029]/g

const escaped = (character: string): string => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`

/** Writes a value as JSON, in which control characters are escapes. */
export const jsonText = (value: object | string | number | boolean | null | undefined, indent = 0): string => {
  const text: unknown = JSON.stringify(value, null, indent)
  return Predicate.isString(text) ? text.replace(obeyed, escaped) : "null"
}
