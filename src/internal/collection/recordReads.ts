/**
 * Reads the records of a collection by their keys.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
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

/**
 * Reads by a key: searches a reader, and calls `use` with the result. Both are top-level functions, because it runs for
 * each record that is read, and closures would be made for each.
 */
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
  self: CollectionReader<K, V, I>,
  key: K["Type"],
  search: (self: CollectionReader<K, V, I>, reader: Reader, key: K["Type"], bytes: ByteString) => Effect.Effect<F, E>,
  use: (self: CollectionReader<K, V, I>, found: F, key: K["Type"], bytes: ByteString) => Effect.Effect<A, E2, R>
): Effect.Effect<A, E | E2 | KeyEncoding | Closed | EngineFailure, R | K["EncodingServices"]> =>
  Effect.withFiber(
    (fiber): Effect.Effect<A, E | E2 | KeyEncoding | Closed | EngineFailure, R | K["EncodingServices"]> => {
      const { access, definition: { database, key: keyCodec } } = self
      const encoded = keyCodec.encode(key)
      if (Settled.isSucceeded(encoded)) {
        const reader = StoreAccess.readerAtOnce(access, fiber)
        if (reader !== undefined) {
          const found = search(self, reader, key, encoded.value)
          return Settled.isSucceeded(found)
            ? use(self, found.value, key, encoded.value)
            : Effect.flatMap(found, (value) => use(self, value, key, encoded.value))
        }
      }
      return Effect.flatMap(encoded, (bytes) =>
        Effect.flatMap(
          StoreAccess.read(access, (reader) => search(self, reader, key, bytes), {
            isPending: () => access.handle.core.backend.isPending(database, bytes)
          }),
          (found) => use(self, found, key, bytes)
        ))
    }
  )

/** Reads the encoded form of a value. */
const find = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { definition }: CollectionReader<K, V, I>,
  reader: Reader,
  key: K["Type"],
  bytes: ByteString
): Effect.Effect<Found | undefined, ValueDecoding<K["Type"]> | EngineFailure> =>
  findRecord(definition, reader, bytes, () => shown(definition, key, bytes))

/** Decodes the encoded form of a value that was read by its key. */
const decodeFound = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { definition }: CollectionReader<K, V, I>,
  key: K["Type"],
  { encoded, key: bytes }: Found
) => definition.value.decodeEncoded(encoded, () => shown(definition, key, bytes))

const decodeOption = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  found: Found | undefined,
  key: K["Type"]
): Effect.Effect<Option.Option<V["Type"]>, ValueDecoding<K["Type"]>, V["DecodingServices"]> =>
  found === undefined ? Effect.succeedNone : Settled.map(decodeFound(self, key, found), Option.some)

const decodeOrFail = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  found: Found | undefined,
  key: K["Type"],
  bytes: ByteString
): Effect.Effect<V["Type"], ValueDecoding<K["Type"]> | KeyNotFound<K["Type"]>, V["DecodingServices"]> =>
  found === undefined ? Effect.fail(keyNotFound(self.definition, key, bytes)) : decodeFound(self, key, found)

const hasRecord = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { definition: { database } }: CollectionReader<K, V, I>,
  reader: Reader,
  _key: K["Type"],
  bytes: ByteString
): Effect.Effect<boolean, EngineFailure> => reader.has(database, bytes)

const isFound = (_self: unknown, found: boolean): Effect.Effect<boolean> => Exit.succeed(found)

/** Reads a value, or `none` if the key has no record. */
export const get = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  key: K["Type"]
): ReturnType<Collection<K, V, I>["get"]> => readKey(self, key, find, decodeOption)

/** Reads a value. Fails with `KeyNotFound` if the key has no record. */
export const getOrFail = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  key: K["Type"]
): ReturnType<Collection<K, V, I>["getOrFail"]> => readKey(self, key, find, decodeOrFail)

/** Tests whether a key has a record. */
export const has = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  self: CollectionReader<K, V, I>,
  key: K["Type"]
): ReturnType<Collection<K, V, I>["has"]> => readKey(self, key, hasRecord, isFound)

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
