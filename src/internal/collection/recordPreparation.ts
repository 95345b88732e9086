/**
 * Checks a record that is given in its stored form, and computes its index entries and its expiry time. Imports use it, so
 * that a file that says neither can be imported.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { MaintenanceServices } from "../../CollectionService.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { Definition } from "./collectionDefinition.ts"
import type { IndexEntry } from "./collectionRecord.ts"

/** A record that was checked. */
interface PreparedRecord {
  /** The value in its stored form, without fields that the schema does not have. */
  readonly value: unknown
  readonly expires: number | undefined
  readonly entries: ReadonlyArray<IndexEntry>
}

/** Checks a record, or fails with what is wrong with it. */
export type Prepare = (key: ByteString, value: unknown) => Effect.Effect<PreparedRecord, string>

/** The functions of the open collections. */
const preparations = new WeakMap<object, Prepare>()

const make = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { expires, indexes, key: keys, value: values }: Definition<K, V, I>,
  services: Context.Context<MaintenanceServices<K, V, I>>
): Prepare => {
  const prepare = Effect.fnUntraced(function*(key: ByteString, value: unknown) {
    const shownKey = () => keys.stored(key)
    yield* keys.decode(key)
    const closed = yield* values.withoutOtherFields(value, shownKey)
    const typed = yield* values.decodeEncoded(closed, shownKey)
    const entries: Array<IndexEntry> = []
    for (const index of indexes.values()) {
      for (const indexKey of yield* index.keysOf(typed)) entries.push([index.slot, indexKey])
    }
    const time = expires === undefined
      ? undefined
      : yield* Effect.mapError(Effect.fromResult(expires(typed)), (message) => ({ message }))
    return { value: closed, expires: time, entries }
  })
  return (key, value) => Effect.mapError(Effect.provideContext(prepare(key, value), services), ({ message }) => message)
}

/** Notes how the records of a collection are prepared. */
export const register = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  collection: object,
  definition: Definition<K, V, I>,
  services: Context.Context<MaintenanceServices<K, V, I>>
): void => {
  preparations.set(collection, make(definition, services))
}

/** Returns how the records of a collection are prepared; `undefined` if it is not a collection of this package. */
export const of = (collection: object): Prepare | undefined => preparations.get(collection)
