/**
 * The keys that a record has in an index: one that `of` gives, or several that `each` gives.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { IndexDefinition, IndexKey } from "../../CollectionOptions.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { KeyEncoding } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import { describeKind } from "../value/kindOf.ts"
import type { KeyCodec } from "./typedCodecs.ts"

const advice = "`of` gives one key of a record; for several keys give `each` in its place"

/** Whether `of` has given a key. The compiler sees to its type, and the codec refuses any other value. */
const isKey = <Key>(given: IndexKey<Key>): given is Key => given !== undefined && !Option.isOption(given)

/** The key that `of` has given, if any. */
const keyOf = <Key>(given: IndexKey<Key>): Option.Option<Key> => {
  if (isKey(given)) return Option.some(given)
  return Option.isOption(given) ? given : Option.none()
}

/** Refuses what an index function has given. */
const refuse = (index: string, given: unknown, detail: string): KeyEncoding =>
  new KeyEncoding({
    reason: { _tag: "Schema", detail: `${detail}.` },
    key: given,
    shownKey: describeKind(given),
    collection: index
  })

/** An array that is no key is taken for several keys, which `of` does not give. */
const explain = (error: KeyEncoding, given: unknown): KeyEncoding =>
  Array.isArray(given) && error.reason._tag === "Schema"
    ? new KeyEncoding({
      reason: { _tag: "Schema", detail: `${error.detail}\n${advice}.` },
      key: given,
      shownKey: error.shownKey,
      collection: error.collection
    })
    : error

/** Makes what gives the keys of a record, each once. `index` is its name as `collection.index`. */
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
          refuse(index, keys, "`each` must give an array of keys, or undefined; for one key give `of` in its place")
        )
    }
  }
  const { of } = definition
  return (value) => {
    const given = keyOf<K["Type"]>(of(value))
    if (Option.isNone(given)) return Effect.succeed([])
    // An empty array was no key where `of` gave several.
    if (Array.isArray(given.value) && given.value.length === 0) {
      return Effect.fail(
        refuse(index, given.value, `an empty array is no key; give undefined or Option.none() for none. ${advice}`)
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
