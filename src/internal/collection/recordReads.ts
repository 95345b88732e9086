/**
 * Reads the records of a collection by their keys.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Reader } from "../../Backend.ts"
import type { ValueSchema } from "../../CollectionOptions.ts"
import type { Collection } from "../../CollectionService.ts"
import type { ListOf } from "../../Entries.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { Closed, EngineFailure, KeyEncoding, KeyNotFound, ValueDecoding } from "../../StoreError.ts"
import { copyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import { type Definition, findRecord, type Found, keyNotFound, shown } from "./collectionDefinition.ts"
import * as KeyLists from "./keyLists.ts"

/** An open collection, for the methods that read. */
export interface CollectionReader<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> {
  readonly access: StoreAccess.StoreAccess
  readonly definition: Definition<K, V, I>
}

/** Reads by a key, and calls `use` with the result. */
const readKey = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  F,
  E,
  A,
  E2,
  R
>(
  { access, definition: { database, key: keyCodec } }: CollectionReader<K, V, I>,
  key: K["Type"],
  find: (reader: Reader, bytes: ByteString) => Effect.Effect<F, E>,
  use: (found: F, bytes: ByteString) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E | E2 | KeyEncoding | Closed | EngineFailure, R | K["EncodingServices"]> =>
  Effect.withFiber((fiber) =>
    Settled.flatMap(keyCodec.encode(key), (bytes) =>
      StoreAccess.find(
        access,
        fiber,
        (reader) => find(reader, bytes),
        (found) => use(found, bytes),
        { isPending: () => access.handle.core.backend.isPending(database, bytes) }
      ))
  )

/** Reads a record, and calls `use` with its value in the encoded form. */
const readRecord = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, A, E, R>(
  self: CollectionReader<K, V, I>,
  key: K["Type"],
  use: (found: Found | undefined, bytes: ByteString) => Effect.Effect<A, E, R>
) =>
  readKey(
    self,
    key,
    (reader, bytes) => findRecord(self.definition, reader, bytes, () => shown(self.definition, key, bytes)),
    use
  )

/** Decodes the encoded form of a value that was read by its key. */
const decodeFound = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { definition }: CollectionReader<K, V, I>,
  key: K["Type"],
  { encoded, key: bytes }: Found
) => definition.value.decodeEncoded(encoded, () => shown(definition, key, bytes))

/** Reads a value, or `none` if the key has no record. */
export const get = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  key: K["Type"]
): ReturnType<Collection<K, V, I>["get"]> =>
  readRecord(
    self,
    key,
    (found) => found === undefined ? Effect.succeedNone : Settled.map(decodeFound(self, key, found), Option.some)
  )

/** Reads a value. Fails with `KeyNotFound` if the key has no record. */
export const getOrFail = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  key: K["Type"]
): ReturnType<Collection<K, V, I>["getOrFail"]> =>
  readRecord(
    self,
    key,
    (
      found,
      bytes
    ): Effect.Effect<V["Type"], ValueDecoding<K["Type"]> | KeyNotFound<K["Type"]>, V["DecodingServices"]> =>
      found === undefined ? Effect.fail(keyNotFound(self.definition, key, bytes)) : decodeFound(self, key, found)
  )

/** Tests whether a key has a record. */
export const has = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  key: K["Type"]
): ReturnType<Collection<K, V, I>["has"]> =>
  readKey(self, key, (reader, bytes) => reader.has(self.definition.database, bytes), Effect.succeed)

/** Reads many values of one moment. */
export const getMany = Effect.fnUntraced(function*<
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>
>({ access, definition }: CollectionReader<K, V, I>, keys: ListOf<K["Type"]>) {
  const { database, key: keyCodec, name, value: valueCodec } = definition
  const named = yield* KeyLists.encodeKeys(keyCodec, keys, name)
  const records = yield* StoreAccess.read(
    access,
    (reader) => reader.getMany(database, named.map(([, bytes]) => bytes), (record) => copyOf(record))
  )
  return yield* KeyLists.decodeFound(
    named,
    records,
    (record, key, bytes) => valueCodec.decode(record, () => shown(definition, key, bytes))
  )
})

/** Counts the records, pending writes included. */
export const size = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { access, definition: { database } }: CollectionReader<K, V, I>
): Collection<K, V, I>["size"] => StoreAccess.read(access, (reader) => reader.count(database), { isOneMoment: true })
