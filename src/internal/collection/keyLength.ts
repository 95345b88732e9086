/**
 * Says that a key of a collection or of an index is too long, which part of it is, and what to do.
 */
import * as Predicate from "effect/Predicate"
import { Buffer } from "node:buffer"
import { count } from "../quantity.ts"

const lengthOf = (element: unknown): number =>
  Predicate.isString(element) ? Buffer.byteLength(element) : element instanceof Uint8Array ? element.length : 0

/** Names the longest text or bytes among the elements of a compound key. */
const longestElement = (key: unknown): string => {
  if (!Array.isArray(key) || key.length < 2) return ""
  const lengths = key.map(lengthOf)
  const longest = Math.max(...lengths)
  return longest === 0
    ? ""
    : ` (its longest element, number ${lengths.indexOf(longest) + 1}, has ${count(longest, "byte")})`
}

/**
 * Describes a key that is too long. An entry of an index that is not unique also has the key of its record, of
 * `recordBytes`.
 */
export const describe = (key: unknown, bytes: number, recordBytes: number, maxBytes: number): string => {
  const own = `it has ${count(bytes, "byte")}${longestElement(key)}`
  return recordBytes === 0
    ? `${own}, the longest key has ${count(maxBytes, "byte")}; shorten it, or use a hash of it as the key.`
    : `${own} and the key of its record has ${count(recordBytes, "byte")}, together they may have ` +
      `${count(maxBytes, "byte")}; shorten one of them, or index the beginning or a hash of the value.`
}
