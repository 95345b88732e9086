/**
 * Encodes the list of keys of a call, and gives what was found for each of them.
 */
import * as Effect from "effect/Effect"
import type { ListOf } from "../../Entries.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { KeyEncoding } from "../../StoreError.ts"
import * as CallArguments from "../key/callArguments.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"

/** A key as the caller gave it, and its bytes. */
export type NamedKey<Key> = readonly [key: Key, bytes: ByteString]

/** Encodes the keys of a call. `name` is the name of the collection or the index, for errors. */
export const encodeKeys = Effect.fnUntraced(function*<K extends KeySchema>(
  codec: Pick<KeyCodec<K>, "encode">,
  keys: ListOf<K["Type"]>,
  name: string
): Effect.fn.Return<ReadonlyArray<NamedKey<K["Type"]>>, KeyEncoding, K["EncodingServices"]> {
  const noList = CallArguments.notAList("keys", keys, name)
  if (noList !== undefined) return yield* noList
  const named: Array<NamedKey<K["Type"]>> = []
  for (const key of keys) named.push([key, yield* codec.encode(key)])
  return named
})

/** Decodes what was read for each key, in the order of the keys. A key that occurs more than once is decoded once. */
export const decodeFound = Effect.fnUntraced(function*<Key, Read, Value, E, R>(
  named: ReadonlyArray<NamedKey<Key>>,
  records: ReadonlyArray<Read | undefined>,
  decode: (record: Read, key: Key, bytes: ByteString) => Effect.Effect<Value, E, R>
) {
  const found = new Map<Key, Value>()
  const missing: Array<Key> = []
  for (const [at, [key, bytes]] of named.entries()) {
    const record = records[at]
    if (record === undefined) missing.push(key)
    else if (!found.has(key)) found.set(key, yield* decode(record, key, bytes))
  }
  return { found, missing }
})
