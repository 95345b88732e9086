/**
 * The records of `BackingPersistence` in a store: one collection for all store ids, whose records expire.
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as PortCollection from "./portCollection.ts"
import { storageKey } from "./storageKey.ts"

/** The id of the store, and the key. */
const Key = Schema.Tuple([Schema.String, Schema.String])

type Key = typeof Key.Type

const Result = Schema.Struct({
  /** The id of the store and the key, if one of them is stored under its hash. */
  id: Schema.optionalKey(Key),
  /** What `Schema.toCodecJson` has made of a result. */
  value: Schema.ObjectKeyword,
  /** How long it lives from the time it was set, in milliseconds. */
  ttl: Schema.optionalKey(Schema.Number)
})

type Result = typeof Result.Type

/** Opens the collection. The store decides by its `Clock` when a record ends. */
export const open = PortCollection.make("effect.Persistence", {
  key: Key,
  value: Result,
  expires: ({ ttl }) => ttl === undefined ? undefined : Duration.millis(ttl)
})

export type PersistedResults = Effect.Success<typeof open>

/** Returns the key of a record. */
export const keyOf = (storeId: string, key: string): Key => [storageKey(storeId), storageKey(key)]

/** Returns the record of a key with a value. */
export const recordOf = (storeId: string, key: string, value: object, ttl: Duration.Duration | undefined): Result => {
  const [storedId, stored] = keyOf(storeId, key)
  return {
    value,
    ...(storedId === storeId && stored === key ? {} : { id: [storeId, key] }),
    ...(ttl === undefined ? {} : { ttl: Duration.toMillis(ttl) })
  }
}
