/**
 * Describes the kinds of stored keys, such as `[string, number]`.
 */
import * as DateTime from "effect/DateTime"
import * as Predicate from "effect/Predicate"
import type { OrderedKey } from "../../KeySchema.ts"

/** The kind of a key as text: `string`, `number`, `bigint`, `boolean`, `Date`, `DateTime`, `bytes`, or a list of kinds. */
const kindOf = (key: OrderedKey): string => {
  if (Predicate.isDate(key)) return "Date"
  if (key instanceof Uint8Array) return "bytes"
  if (DateTime.isDateTime(key)) return "DateTime"
  return typeof key === "object" ? `[${key.map(kindOf).join(", ")}]` : typeof key
}

/** The kinds of the first and the last key. Kinds have an order, so keys between them can have further kinds only if the two differ. */
export const kindsOf = (first: OrderedKey | undefined, last: OrderedKey | undefined): ReadonlyArray<string> => [
  ...new Set([first, last].flatMap((key) => key === undefined ? [] : [kindOf(key)]))
]
