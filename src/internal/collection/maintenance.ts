/**
 * Describes a collection for migrations, index building and index repair. They use records as bytes, without the types
 * of the schemas.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Reader } from "../../Backend.ts"
import { DuplicateKeys } from "../../CollectionError.ts"
import type { CollectionOptions, Migration, ValueSchema } from "../../CollectionOptions.ts"
import type { MaintenanceServices } from "../../CollectionService.ts"
import type { RangePart } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import type { EngineFailure, KeyEncoding, ShownKey, ValueDecoding } from "../../StoreError.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { StoreInternals } from "../store/storeInternals.ts"
import type * as Transaction from "../transaction/transaction.ts"
import * as Catalog from "./catalog.ts"
import { type Definition, storedIndexesOf } from "./collectionDefinition.ts"
import { recordKeyOf } from "./indexReads.ts"
import { checkEntry } from "./recordEncoding.ts"
import type { KeyCodec } from "./typedKeyCodec.ts"
import type { ValueCodec } from "./typedValueCodec.ts"

/** An index, without the types of its schemas. */
export interface MaintainedIndex {
  readonly name: string
  readonly isUnique: boolean
  readonly key: Pick<KeyCodec<KeySchema>, "endOf">
}

/** The errors of a record that cannot be in an index. */
export type IndexError = ValueDecoding | KeyEncoding

/** A collection, without the types of its schemas. */
export interface Maintained<R> {
  readonly internals: StoreInternals
  /** What the definition declares, as the catalog stores it. */
  readonly declared: Catalog.Declaration
  readonly database: string
  readonly indexes: ReadonlyMap<string, MaintainedIndex>
  readonly migrations: Readonly<Record<number, Migration<unknown, R>>>
  /** Whether records may expire. */
  readonly hasExpiry: boolean
  readonly raw: Pick<ValueCodec<ValueSchema>, "encodeRaw" | "decodeRaw">
  readonly shownKey: (key: ByteString) => ShownKey
  /** Fails if the schema does not decode the encoded form of a value. */
  readonly check: (encoded: unknown, key: ByteString) => Effect.Effect<unknown, ValueDecoding, R>
  /** Removes the fields that the schema does not have from the encoded form of a value. */
  readonly withoutOtherFields: (encoded: unknown, key: ByteString) => Effect.Effect<unknown, ValueDecoding>
  /** Computes the keys of a record in the indexes with these names. */
  readonly keysOf: (
    key: ByteString,
    record: Uint8Array,
    names: ReadonlySet<string>
  ) => Effect.Effect<ReadonlyArray<readonly [index: string, indexKey: ByteString]>, IndexError | EngineFailure, R>
  /** Decodes the key of a record. Returns the text of a key that does not decode. */
  readonly decodeKey: (key: ByteString) => Effect.Effect<unknown, never, R>
  /** Decodes an index key. Returns the text of a key that does not decode. */
  readonly decodeIndexKey: (index: string, key: ByteString) => Effect.Effect<unknown, never, R>
  /** Makes the signature of the definition with its indexes in these slots. */
  readonly signatureWith: (stored: ReadonlyArray<Catalog.StoredIndex>) => string
}

const decoded = <K extends KeySchema>(codec: KeyCodec<K>, key: ByteString) =>
  Effect.match(codec.decode(key), { onFailure: (): unknown => codec.show(key), onSuccess: (value): unknown => value })

/** Makes the description of a collection without the types of its schemas. */
export const make = <
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  R extends Record<number, unknown>
>(
  internals: StoreInternals,
  definition: Definition<K, V, I>,
  options: CollectionOptions<K, V, I, R>,
  signatureWith: (stored: ReadonlyArray<Catalog.StoredIndex>) => string
): Maintained<R[keyof R] | MaintenanceServices<K, V, I>> => {
  const { database, fingerprint, indexes, key: keyCodec, name, shape, value: valueCodec, version } = definition
  const keysOf = Effect.fnUntraced(function*(key: ByteString, record: Uint8Array, names: ReadonlySet<string>) {
    const value = yield* valueCodec.decode(record, () => keyCodec.stored(key))
    const found: Array<readonly [string, ByteString]> = []
    for (const index of indexes.values()) {
      if (!names.has(index.name)) continue
      for (const indexKey of yield* index.keysOf(value)) {
        yield* Effect.fromResult(checkEntry(index, indexKey, key))
        found.push([index.name, indexKey])
      }
    }
    return found
  })
  return {
    internals,
    declared: { name, version, fingerprint, shape, indexes: storedIndexesOf(definition) },
    database,
    indexes,
    migrations: options.migrations ?? {},
    hasExpiry: options.expires !== undefined,
    raw: valueCodec,
    shownKey: keyCodec.stored,
    check: (encoded, key) => valueCodec.decodeEncoded(encoded, () => keyCodec.stored(key)),
    withoutOtherFields: (encoded, key) => valueCodec.withoutOtherFields(encoded, () => keyCodec.stored(key)),
    keysOf,
    decodeKey: (key) => decoded(keyCodec, key),
    decodeIndexKey: (index, key) => {
      const codec = indexes.get(index)?.key
      return codec === undefined ? Effect.succeed(undefined) : decoded(codec, key)
    },
    signatureWith
  }
}

/** The most records and bytes of a part. One part takes a few tenths of a second at most, so that other fibers can run. */
const partRecords = 1024
const partBytes = 1024 * 1024

/** Reads the part of a database after a key; its first part if `after` is `undefined`. */
export const readPart = (
  reader: Reader,
  database: string,
  after: string | undefined
): Effect.Effect<RangePart, EngineFailure> =>
  reader.read(database, {
    from: after === undefined ? undefined : { key: ByteString(after), inclusive: false },
    to: undefined,
    reverse: false,
    values: true,
    maxRecords: partRecords,
    maxBytes: partBytes
  })

/**
 * Returns the key up to which a part was read; `undefined` if it is the last part. The last record does not show that:
 * pending writes may have deleted all records of a part.
 */
export const readTo = ({ rest }: RangePart): ByteString | undefined => rest?.from?.key

/** Runs a part of the work in a transaction of its own. */
export const inTransaction = <R, A, E, R2>(
  { internals: { access, transactions } }: Maintained<R>,
  use: (transaction: Transaction.Transaction) => Effect.Effect<A, E, R2>
) =>
  transactions.withTransaction(
    StoreAccess.enterToWrite(access, (transaction) =>
      transaction === undefined ? Effect.die("bug: withTransaction has begun no transaction") : use(transaction))
  )

/** Returns the key of the record that an index entry refers to; `undefined` if the entry is damaged. */
export const referencedKey = (index: MaintainedIndex, entry: RangePart["records"][number]): ByteString | undefined =>
  Result.getOrUndefined(recordKeyOf(index, entry))

/** The most duplicates that `DuplicateKeys` lists. */
export const maxDuplicates = 100

/** Makes the error that lists duplicates. */
export const duplicateKeys = Effect.fnUntraced(function*<R>(
  { declared: { name }, decodeIndexKey, decodeKey }: Maintained<R>,
  found: ReadonlyArray<Catalog.StoredDuplicate>,
  count: number
) {
  const groups = new Map<string, { readonly first: Catalog.StoredDuplicate; readonly keys: Array<string> }>()
  for (const duplicate of found) {
    const id = `${duplicate.index}\0${duplicate.indexKey}`
    const group = groups.get(id) ?? { first: duplicate, keys: [duplicate.holder] }
    if (!group.keys.includes(duplicate.key)) group.keys.push(duplicate.key)
    groups.set(id, group)
  }
  const duplicates = yield* Effect.forEach(groups.values(), ({ first, keys }) =>
    Effect.all({
      index: Effect.succeed(first.index),
      indexKey: decodeIndexKey(first.index, ByteString(first.indexKey)),
      keys: Effect.forEach(keys, (key) => decodeKey(ByteString(key)))
    }))
  return new DuplicateKeys({ collection: name, duplicates, count })
})
