/**
 * Describes what `Inspect` finds in a store.
 *
 * @since 0.2.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { show } from "./internal/inspect/place.ts"
import { similarTo } from "./internal/similarNames.ts"
import type { KeyPrefix, OrderedKey } from "./KeySchema.ts"
import type { ValueDecoding } from "./StoreError.ts"

/**
 * A part of a store that has records: the store itself, a namespace, or a collection.
 *
 * @category models
 * @since 0.2.0
 */
export type Place =
  | { readonly _tag: "Store" }
  | { readonly _tag: "Namespace"; readonly name: string }
  | { readonly _tag: "Collection"; readonly name: string }

/**
 * Describes an index of a collection.
 *
 * @category models
 * @since 0.2.0
 */
export interface IndexInfo {
  readonly name: string
  /** Whether no two records have the same key in the index. */
  readonly isUnique: boolean
  /** The version of the index in its definition. */
  readonly version: number
  /** Whether the index is being built: a program has started to build it, and it is not complete. */
  readonly isBuilding: boolean
  readonly entries: number
  /** The kinds of the first and the last index key, such as `[string, number]`. */
  readonly keyKinds: ReadonlyArray<string>
  /** The size of its pages, in bytes. `undefined` if the backend does not know it. */
  readonly bytes: number | undefined
}

/**
 * Describes a collection, from the catalog of the store.
 *
 * @category models
 * @since 0.2.0
 */
export interface CollectionInfo {
  readonly name: string
  /** Whether it belongs to a port, such as `effect-lmdb/PersistedQueue`. A program cannot open it by its name. */
  readonly isInternal: boolean
  /** The version of its records. `undefined` if the catalog entry cannot be read: `problem` says why. */
  readonly version: number | undefined
  /** The version to which its records are being migrated, if a migration is not complete. */
  readonly migratingTo: number | undefined
  readonly records: number
  /** The kinds of the first and the last key, such as `number`. Empty if it has no records. */
  readonly keyKinds: ReadonlyArray<string>
  readonly indexes: ReadonlyArray<IndexInfo>
  /** The size of the pages of its records, in bytes, without its indexes. `undefined` if the backend does not know it. */
  readonly bytes: number | undefined
  /** Why the catalog entry cannot be read. */
  readonly problem: string | undefined
}

/**
 * Describes a namespace.
 *
 * @category models
 * @since 0.2.0
 */
export interface NamespaceInfo {
  readonly name: string
  readonly records: number
  /** The size of its pages, in bytes. `undefined` if the backend does not know it. */
  readonly bytes: number | undefined
}

/**
 * Lists what a store contains.
 *
 * @category models
 * @since 0.2.0
 */
export interface Contents {
  /** The number of records of the store itself. */
  readonly records: number
  /** The size of their pages, in bytes. `undefined` if the backend does not know it. */
  readonly bytes: number | undefined
  readonly namespaces: ReadonlyArray<NamespaceInfo>
  readonly collections: ReadonlyArray<CollectionInfo>
}

/**
 * Describes the size and the state of a store.
 *
 * @category models
 * @since 0.2.0
 */
export interface StoreState {
  /** The length of the file, in bytes. */
  readonly fileBytes: number
  /** The size of all pages in use, in bytes. The other pages of the file are free. */
  readonly usedBytes: number
  /** The size of the memory map, in bytes. */
  readonly mapSize: number
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The highest number of LMDB reader slots that were in use at the same time, in all processes. */
  readonly readers: number
  /** The number of the last transaction. */
  readonly transactionId: number
  /** The log of changes (option `changeLog`), if the store has one. */
  readonly changeLog: ChangeLogInfo | undefined
}

/**
 * Describes the log of changes of a store.
 *
 * @category models
 * @since 0.2.0
 */
export interface ChangeLogInfo {
  /** The log has all transactions after this one. */
  readonly start: number
  /** The last transaction in the log. */
  readonly last: number
  readonly commits: number
  readonly bytes: number
  /** Whether the log has the values before each transaction. */
  readonly hasPrevious: boolean
}

/**
 * Contains a record as it is stored, decoded without schemas.
 *
 * @category models
 * @since 0.2.0
 */
export interface StoredRecord {
  /** The key in its encoded form: text or bytes in the store and in namespaces, any ordered value in a collection. */
  readonly key: OrderedKey
  /**
   * The value in its stored form, or the error of bytes that do not decode. It is `undefined` if the record was read
   * without its value.
   */
  readonly value: Result.Result<unknown, ValueDecoding>
  /** The bytes of the value, without the index entries and the time before it. */
  readonly bytes: Uint8Array
  /** When the record expires. */
  readonly expires: DateTime.Utc | undefined
  /** The keys of the record in its indexes. */
  readonly indexKeys: ReadonlyArray<readonly [index: string, key: OrderedKey]>
}

/**
 * Contains an entry of an index, with its record.
 *
 * @category models
 * @since 0.2.0
 */
export interface StoredEntry {
  readonly indexKey: OrderedKey
  /** The key of the record. */
  readonly key: OrderedKey
  /** `undefined` if the index has an entry for a record that does not exist. */
  readonly record: StoredRecord | undefined
}

/**
 * Something in a store that is not as it should be.
 *
 * **Details**
 *
 * - `Undecodable`: the key or the value of a record does not decode.
 * - `MissingEntry`: a record names an entry of an index, and the index does not have it.
 * - `StrayEntry`: an index has an entry that no record names.
 * - `UnreadableCollection`: the catalog entry of a collection cannot be read.
 *
 * @category models
 * @since 0.2.0
 */
export interface StoredProblem {
  readonly kind: "Undecodable" | "MissingEntry" | "StrayEntry" | "UnreadableCollection"
  readonly place: Place
  /** The name of the index, if the problem is in one. */
  readonly index?: string
  /** The key of the record, if it is known. */
  readonly key: OrderedKey | undefined
  readonly detail: string
}

/**
 * A range of stored keys.
 *
 * **Details**
 *
 * Keys are in their encoded form. `prefix` is the beginning of text or bytes, or the first elements of a tuple.
 * `startsWith` may also end inside the last text of a tuple.
 *
 * @category models
 * @since 0.2.0
 */
export interface StoredRange {
  readonly prefix?: KeyPrefix<OrderedKey>
  readonly startsWith?: KeyPrefix<OrderedKey>
  readonly equals?: OrderedKey
  readonly gt?: OrderedKey
  readonly gte?: OrderedKey
  readonly lt?: OrderedKey
  readonly lte?: OrderedKey
  /** Whether the range is read from its last key to its first. Default: `false`. */
  readonly reverse?: boolean
  /** How many records are skipped at the beginning. Default: 0. */
  readonly offset?: number
  /** The maximum number of records. Default: all. */
  readonly limit?: number
  /** Whether values are read and decoded. Default: `true`. */
  readonly values?: boolean
}

const PlaceSchema: Schema.Codec<Place> = Schema.TaggedUnion({
  Store: {},
  Namespace: { name: Schema.String },
  Collection: { name: Schema.String }
})

/**
 * A record cannot be written without the schemas of its collection.
 *
 * @category errors
 * @since 0.2.0
 */
export class NeedsSchema extends Schema.TaggedError<NeedsSchema>("effect-lmdb/NeedsSchema")("NeedsSchema", {
  place: PlaceSchema,
  /** Says why. */
  detail: Schema.String
}) {
  /** Says what cannot be written, and why. */
  override get message(): string {
    return `Records of ${show(this.place)} cannot be written without its schemas: ${this.detail}.`
  }
}

/**
 * The store has no namespace, collection or index of this name.
 *
 * @category errors
 * @since 0.2.0
 */
export class NotInStore extends Schema.TaggedError<NotInStore>("effect-lmdb/NotInStore")("NotInStore", {
  /** What is missing. */
  kind: Schema.Literals(["collection", "namespace", "index"]),
  /** Its name: that of an index is `collection.index`. */
  name: Schema.String,
  /** The names that exist. */
  known: Schema.Array(Schema.String)
}) {
  /** Says what is missing, and which names are similar. */
  override get message(): string {
    const similar = similarTo(this.name, this.known)
    return `The store has no ${this.kind} "${this.name}"${similar === "" ? "." : similar}`
  }
}
