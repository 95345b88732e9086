/**
 * Encodes and decodes the keys of a place without schemas.
 *
 * Keys of collections and of indexes are decoded by the kind that their bytes name. Keys of the store and of namespaces
 * are text in the encoding of the store, or bytes if they are not such text.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { type ByteString, ByteString as toByteString, toBytes } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import { KeyEncoding } from "../../StoreError.ts"
import type { Place } from "../../StoreInspection.ts"
import type { RangeCodec } from "../collection/typedRanges.ts"
import { anyKeyCodec } from "../key/anyKeyCodec.ts"
import type { StoreAccess } from "../store/storeAccess.ts"

/** Keys of any kind, as a schema says them. */
export type AnyKey = Schema.Codec<OrderedKey, OrderedKey>

/** Encodes and decodes the keys of a place. */
export interface StoredKeys extends RangeCodec<AnyKey> {
  /** Decodes a key. Returns bytes that are not a key as they are. */
  readonly decode: (bytes: ByteString) => OrderedKey
}

/** Decodes a key of a collection. */
export const decodeAny = (bytes: ByteString): OrderedKey =>
  Result.getOrElse(anyKeyCodec.decode(bytes), (): OrderedKey => toBytes(bytes))

/** Decodes the index key at the beginning of an index entry. */
export const firstKeyOf = (entry: ByteString): OrderedKey =>
  Result.match(anyKeyCodec.decodePart(entry, 0), {
    onSuccess: ({ value }) => value,
    onFailure: (): OrderedKey => toBytes(entry)
  })

/** Makes the codec of the keys of a collection or of an index. `name` is their name in errors. */
const makeOrdered = ({ handle }: StoreAccess, name: string): StoredKeys => {
  const checked = (key: unknown, bytes: Result.Result<ByteString, string>) =>
    Effect.fromResult(Result.mapError(bytes, (detail) =>
      new KeyEncoding({
        reason: { _tag: "Schema", detail: `${detail}.` },
        key,
        shownKey: handle.keys.show(key),
        collection: name
      })))
  return {
    encode: (key) => checked(key, anyKeyCodec.encode(key)),
    encodePrefix: (prefix) => checked(prefix, anyKeyCodec.encodePrefix(prefix)),
    encodeStart: (start) => checked(start, anyKeyCodec.encodeStart(start)),
    decode: decodeAny
  }
}

/** The keys of an index. */
export const ofIndex = (access: StoreAccess, collection: string, index: string): StoredKeys =>
  makeOrdered(access, `${collection}.${index}`)

const makePlain = ({ handle: { keys } }: StoreAccess): StoredKeys => {
  const encode = (key: OrderedKey) =>
    typeof key === "string" || key instanceof Uint8Array
      ? Effect.fromResult(keys.encode(key))
      : Effect.fail(
        new KeyEncoding({
          reason: { _tag: "WrongType", detail: "a key of a store is text or bytes." },
          key,
          shownKey: keys.show(key)
        })
      )
  const encodePrefix = (prefix: OrderedKey) => prefix === "" ? Effect.succeed(toByteString("")) : encode(prefix)
  return {
    encode,
    encodePrefix,
    encodeStart: encodePrefix,
    decode: (bytes) => Result.getOrElse(keys.decode(bytes), (): OrderedKey => toBytes(bytes))
  }
}

/** The keys of the records of a place. */
export const ofPlace = (access: StoreAccess, place: Place): StoredKeys =>
  place._tag === "Collection" ? makeOrdered(access, place.name) : makePlain(access)
