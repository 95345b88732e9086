/**
 * A durable, buffered, typed object store for Effect 4, on LMDB.
 *
 * @since 0.1.0
 */
export * as Backend from "./Backend.ts"
export type { Commit } from "./Backend.ts"
export type { Change, ChangeLogOptions, ChangesOptions, ChangeWithPrevious, PollOptions, WatchEvent } from "./Change.ts"
export * as Collection from "./Collection.ts"
export * from "./CollectionError.ts"
export * as Engine from "./Engine.ts"
export { type Entries, type Found, type ListOf, type StoreWrite } from "./Entries.ts"
export { type ByteString, type Key } from "./Key.ts"
export { type KeyPrefix, type KeySchema, type OrderedKey, type PrefixOf } from "./KeySchema.ts"
export * as LmdbEngine from "./LmdbEngine.ts"
export { LostWrites } from "./LostWrites.ts"
export { type Range, type StreamRange, type WatchRange } from "./Range.ts"
export { Store } from "./Store.ts"
export { type StoreChanges } from "./StoreChanges.ts"
export * from "./StoreError.ts"
export { StoreHolder } from "./StoreHolder.ts"
export { StoreLive } from "./StoreLive.ts"
export { type StoreModify } from "./StoreModify.ts"
export { type StoreNamespace } from "./StoreNamespace.ts"
export { type StoreOpening } from "./StoreOpening.ts"
export { type BackendStoreOptions, type StoreOptions } from "./StoreOptions.ts"
export { type PutOptions, type StoreRecords, type StoreSnapshot } from "./StoreRecords.ts"
export { type Stats, type StoreService } from "./StoreService.ts"
export {
  type Compaction,
  type CompactOptions,
  type ImportedEntry,
  type ImportOptions,
  type RestoreOptions,
  StoreNotEmpty
} from "./StoreTransfer.ts"
export { type WriteOptions } from "./WriteOptions.ts"
