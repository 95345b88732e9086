/**
 * Shows numbers, sizes and values in tables.
 */
import * as ByteSize from "effect/ByteSize"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Inspect from "../../Inspect.ts"

/** Shows a number of bytes: `4.1 MiB`. */
export const bytes = (size: number | undefined): string =>
  size === undefined ? "" : ByteSize.format(ByteSize.bytes(size), { precision: 1 })

const wholeNumber = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 })

/** Shows a number: `135,233`. */
export const number = (value: number): string => wholeNumber.format(value)

/** Shows a time. */
export const time = (value: DateTime.Utc | undefined): string => value === undefined ? "" : DateTime.formatIso(value)

/** A stored value as JSON. Every stored value has a JSON form. */
export const valueJson = (decoded: unknown): Schema.Json => Result.getOrElse(Inspect.valueToJson(decoded), () => null)

/** Shows a value in one line. */
export const value = (stored: Inspect.StoredRecord["value"]): string =>
  Result.match(stored, {
    onSuccess: (decoded) => JSON.stringify(valueJson(decoded)),
    onFailure: ({ detail }) => `(damaged: ${detail})`
  })

/** A record as JSON: its key, its value, and when it expires. A value that does not decode has an error in its place. */
export const recordJson = (
  { expires, key, value: stored }: Inspect.StoredRecord
): Readonly<Record<string, Schema.Json>> => ({
  key: Inspect.keyToJson(key),
  ...Result.match(stored, {
    onSuccess: (decoded): Record<string, Schema.Json> => ({ value: valueJson(decoded) }),
    onFailure: (error): Record<string, Schema.Json> => ({ error: error.message })
  }),
  ...(expires === undefined ? {} : { expires: DateTime.formatIso(expires) })
})
