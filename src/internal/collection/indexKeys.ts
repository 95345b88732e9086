/**
 * Computes the keys of a record in an index: at most one with `of`, any number with `each`.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { IndexDefinition, IndexKey } from "../../CollectionOptions.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { KeyEncoding } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import { describeKind } from "../value/kindOf.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"

const advice = "`of` gives one key of a record; for several keys use `each` instead"

/** Tests whether `of` has returned a key. The compiler checks its type, and the codec refuses any other value. */
const isKey = <Key>(given: IndexKey<Key>): given is Key => given !== undefined && !Option.isOption(given)

/** Returns the key that `of` has returned; `none` if it has returned none. */
const keyOf = <Key>(given: IndexKey<Key>): Option.Option<Key> => {
  if (isKey(given)) return Option.some(given)
  return Option.isOption(given) ? given : Option.none()
}

/** Makes the error for a result of an index function that is not valid. */
const refuse = (index: string, given: unknown, detail: string): KeyEncoding =>
  new KeyEncoding({
    reason: { _tag: "Schema", detail: `${detail}.` },
    key: given,
    shownKey: describeKind(given),
    collection: index
  })

/** Adds advice to the error if `of` has returned an array that is not a key: several keys may have been meant. */
const explain = (error: KeyEncoding, given: unknown): KeyEncoding =>
  Array.isArray(given) && error.reason._tag === "Schema"
    ? new KeyEncoding({
      reason: { _tag: "Schema", detail: `${error.detail}\n${advice}.` },
      key: given,
      shownKey: error.shownKey,
      collection: error.collection
    })
    : error

/** Makes the function that computes the distinct keys of a record. `index` is the name `collection.index`, for errors. */
export const make = <Value, K extends KeySchema>(
  definition: IndexDefinition<Value, K>,
  key: KeyCodec<K>,
  index: string
): (value: Value) => Effect.Effect<ReadonlyArray<ByteString>, KeyEncoding, K["EncodingServices"]> => {
  if (definition.each !== undefined) {
    const { each } = definition
    return (value) => {
      const keys: unknown = each(value)
      if (keys === undefined) return Effect.succeed([])
      return Array.isArray(keys)
        ? Settled.map(Settled.all(keys.map(key.encode)), (encoded) => [...new Set(encoded)])
        : Effect.fail(
          refuse(index, keys, "`each` must give an array of keys, or undefined; for one key use `of` instead")
        )
    }
  }
  const { of } = definition
  return (value) => {
    const given = keyOf<K["Type"]>(of(value))
    if (Option.isNone(given)) return Effect.succeed([])
    // In earlier versions of the package, `of` could give several keys, and an empty array meant no key. Refuse it now.
    if (Array.isArray(given.value) && given.value.length === 0) {
      return Effect.fail(
        refuse(index, given.value, `an empty array is not a key; for no key give undefined or Option.none(). ${advice}`)
      )
    }
    const encoded = key.encode(given.value)
    return Settled.isSucceeded(encoded)
      ? Effect.succeed([encoded.value])
      : Effect.mapBoth(encoded, {
        onFailure: (error) => explain(error, given.value),
        onSuccess: (bytes) => [bytes]
      })
  }
}
