/**
 * Converts stored records to what a command shows: without schemas as they are stored, with `--schema` by the schemas of
 * their collection.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Inspect from "../../Inspect.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import { jsonText } from "./jsonText.ts"

/** A record as it is shown. */
export interface Shown {
  /** The key in its encoded form. */
  readonly key: OrderedKey
  readonly keyJson: Schema.Json
  /** The value as JSON, or what is wrong with it. */
  readonly value: Result.Result<Schema.Json, string>
  readonly expires: DateTime.Utc | undefined
}

/** Converts records. */
export interface Presentation {
  readonly record: (record: Inspect.StoredRecord) => Effect.Effect<Shown>
}

/** A stored value as JSON. Every stored value has a JSON form. */
const valueJson = (decoded: unknown): Schema.Json => Result.getOrElse(Inspect.valueToJson(decoded), () => null)

/** Shows records as they are stored. */
export const asStored: Presentation = {
  record: ({ expires, key, value }) =>
    Effect.succeed({
      key,
      keyJson: Inspect.keyToJson(key),
      value: Result.mapBoth(value, { onSuccess: valueJson, onFailure: ({ detail }) => detail }),
      expires
    })
}

/** Shows a value in one line. */
export const valueText = ({ value }: Shown): string =>
  Result.match(value, { onSuccess: (json) => jsonText(json), onFailure: (detail) => `(not readable: ${detail})` })

/** A record as JSON: its key, its value, and when it expires. A value that does not decode has an error in its place. */
export const recordJson = ({ expires, keyJson, value }: Shown): Readonly<Record<string, Schema.Json>> => ({
  key: keyJson,
  ...Result.match(value, {
    onSuccess: (json): Record<string, Schema.Json> => ({ value: json }),
    onFailure: (error): Record<string, Schema.Json> => ({ error })
  }),
  ...(expires === undefined ? {} : { expires: DateTime.formatIso(expires) })
})
