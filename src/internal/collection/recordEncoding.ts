/**
 * Encodes a record of a collection: its value through the schema, the time at which it expires, and its index entries.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import { type KeyEncoding, type ShownKey, ValueEncoding } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import { tooLong } from "../value/valueCodec.ts"
import type { Definition, Index } from "./collectionDefinition.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"

/** An encoded record. */
export interface EncodedRecord<out Value = unknown> {
  /** The decoded value, from which the index keys were computed. */
  readonly value: Value
  readonly key: ByteString
  readonly bytes: Uint8Array
  readonly entries: ReadonlyArray<CollectionRecord.IndexEntry>
}

/** Fails with `KeyEncoding` if the key of an index entry is too long for the engine. */
export const checkEntry = (
  index: { readonly isUnique: boolean; readonly key: Pick<KeyCodec<KeySchema>, "checkLength"> },
  indexKey: ByteString,
  key: ByteString
) => index.key.checkLength(indexKey, index.isUnique ? 0 : key.length)

const refuse = <Key>(
  { name }: { readonly name: string },
  shownKey: () => ShownKey<Key>,
  detail: string
): Effect.Effect<never, ValueEncoding<Key>> =>
  Effect.fail(new ValueEncoding({ ...shownKey(), collection: name, detail }))

/** Computes the entries of a record in one index. */
const entriesIn = <Value, K extends KeySchema>(
  index: Index<Value, K>,
  key: ByteString,
  value: Value
): Effect.Effect<ReadonlyArray<CollectionRecord.IndexEntry>, KeyEncoding, K["EncodingServices"]> =>
  Settled.flatMap(
    index.keysOf(value),
    (indexKeys) =>
      Settled.all(indexKeys.map((indexKey) =>
        Effect.fromResult(
          Result.map(checkEntry(index, indexKey, key), (): CollectionRecord.IndexEntry => [index.slot, indexKey])
        )
      ))
  )

/** Computes the index entries of a record, and puts them before the bytes of its value. */
const addEntries = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, Key>(
  definition: Definition<K, V, I>,
  key: ByteString,
  value: V["Type"],
  bytes: Uint8Array,
  shownKey: () => ShownKey<Key>
): Effect.Effect<EncodedRecord<V["Type"]>, KeyEncoding | ValueEncoding<Key>, I[keyof I]["EncodingServices"]> =>
  Settled.flatMap(
    Settled.all(Array.from(definition.indexes.values(), (index) => entriesIn(index, key, value))),
    (found): Effect.Effect<EncodedRecord<V["Type"]>, ValueEncoding<Key>> => {
      const { maxBytes } = definition.value
      const entries = found.flat()
      const record = CollectionRecord.join(entries, bytes)
      return record.length <= maxBytes
        ? Effect.succeed({ value, key, bytes: record, entries })
        : refuse(definition, shownKey, `with its entries in indexes, ${tooLong(record.length, maxBytes)}`)
    }
  )

/** Puts the time at which a record expires before its value. */
const addTime = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, Key>(
  definition: Definition<K, V, I>,
  value: V["Type"],
  bytes: Uint8Array,
  shownKey: () => ShownKey<Key>
): Effect.Effect<Uint8Array, ValueEncoding<Key>> => {
  const { expires, value: { maxBytes } } = definition
  if (expires === undefined) return Exit.succeed(bytes)
  const time = expires(value)
  if (Result.isFailure(time)) return refuse(definition, shownKey, time.failure)
  const timed = CollectionRecord.withTime(time.success, bytes)
  return timed.length <= maxBytes
    ? Exit.succeed(timed)
    : refuse(definition, shownKey, tooLong(timed.length, maxBytes))
}

/** Encodes a record with its entries. */
export const encode = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>, Key>(
  definition: Definition<K, V, I>,
  key: ByteString,
  given: ValueInput<V>,
  shownKey: () => ShownKey<Key>
): Effect.Effect<
  EncodedRecord<V["Type"]>,
  KeyEncoding | ValueEncoding<Key>,
  V["EncodingServices"] | I[keyof I]["EncodingServices"]
> =>
  Settled.flatMap(
    definition.value.encode(given, shownKey),
    ({ bytes: plain, value }) =>
      Settled.flatMap(addTime(definition, value, plain, shownKey), (bytes): Effect.Effect<
        EncodedRecord<V["Type"]>,
        KeyEncoding | ValueEncoding<Key>,
        I[keyof I]["EncodingServices"]
      > =>
        definition.indexes.size === 0
          ? Effect.succeed({ value, key, bytes, entries: [] })
          : addEntries(definition, key, value, bytes, shownKey))
  )
