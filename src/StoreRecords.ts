/**
 * Defines the methods for untyped records, which a store and each of its namespaces have.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Entries, Found, ListOf, StoreWrite } from "./Entries.ts"
import type { Key } from "./Key.ts"
import type { Range, StreamRange } from "./Range.ts"
import type { StoreChanges } from "./StoreChanges.ts"
import type {
  Closed,
  EngineFailure,
  KeyEncoding,
  KeyNotFound,
  MapFull,
  ReadOnly,
  ValueDecoding,
  ValueEncoding
} from "./StoreError.ts"
import type { StoreModify } from "./StoreModify.ts"
import type { WriteOptions } from "./WriteOptions.ts"

/**
 * How values are put.
 *
 * @category options
 * @since 0.1.0
 */
export interface PutOptions extends WriteOptions {
  /**
   * How long the value stays, from now on by `Clock`. From then on no read, count or transaction finds it,
   * and it is deleted in the background. Default: it stays until it is deleted.
   */
  readonly ttl?: Duration.Input | undefined
}

/**
 * Reads the records of a store or a namespace as they were at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreSnapshot
  extends Pick<StoreRecords, "get" | "getOrFail" | "getMany" | "keys" | "values" | "entries" | "count" | "size">
{
  /** Tells whether a key has a value. */
  readonly has: (key: Key) => Effect.Effect<boolean, KeyEncoding | Closed | EngineFailure>
}

/**
 * Reads and writes records: those of a store itself, or those of a namespace.
 *
 * **Details**
 *
 * Each method fails with the errors in its type:
 *
 * - `KeyEncoding`: the key, range or list of keys is not valid.
 * - `ValueEncoding`: the value cannot be encoded. Nothing was stored.
 * - `ValueDecoding`: the stored bytes of a value are damaged.
 * - `ReadOnly`: a write to a store that was opened with `readOnly`.
 * - `Closed`: the store is closed, or the transaction that the fiber is in has ended.
 * - `MapFull`: a commit does not fit into `maxMapSize`, or `resize` allows no more growth.
 * - `EngineFailure`: LMDB or the file system has failed.
 *
 * A buffered write can fail with the `MapFull` or `EngineFailure` of an earlier commit, if no other call has received
 * that error. Nothing of the failed write is stored then. The writes of the failed commit stay pending.
 *
 * Inside `withTransaction` of the store, all writes are visible only to the transaction until it is committed.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreRecords extends StoreModify, StoreChanges {
  /**
   * Stores a value under a key. Buffered: visible to all fibers when it returns, durable after the next commit.
   *
   * **Details**
   *
   * The value is encoded at once. What the caller changes in it later is not stored.
   * The call waits only while one batch is being committed and the next is full, or while a batch or transaction that
   * writes the same key is being committed. A put that fails has stored nothing. `MapFull` and `EngineFailure` are
   * errors of an earlier commit.
   *
   * With `ttl` the value expires: no read finds it when that time has passed. A later `put` without `ttl` makes it
   * permanent; `update` keeps its time. A `ttl` that is not positive deletes the value.
   *
   * With `{ durable: true }` it is visible at its commit and on disk when it returns. Fibers share commits.
   */
  readonly put: (
    key: Key,
    value: unknown,
    options?: PutOptions
  ) => Effect.Effect<void, KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure>

  /** Reads a value. Returns a new copy each time, and `none` if the key has no value. */
  readonly get: (
    key: Key
  ) => Effect.Effect<Option.Option<unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>

  /** Reads a value. Fails with `KeyNotFound` if the key has no value. */
  readonly getOrFail: (
    key: Key
  ) => Effect.Effect<unknown, KeyEncoding | KeyNotFound<Key> | ValueDecoding<Key> | Closed | EngineFailure>

  /**
   * Tells whether a key has a value.
   *
   * **Details**
   *
   * `flush` overrides the option `autoFlushOnRead`: with `true`, pending writes are committed first, unless the key has
   * a pending write. A failed commit does not fail the read.
   */
  readonly has: (
    key: Key,
    options?: { readonly flush?: boolean | undefined }
  ) => Effect.Effect<boolean, KeyEncoding | Closed | EngineFailure>

  /**
   * Deletes a value, if there is one. Buffered: visible to all fibers when it returns, durable after the next commit.
   *
   * **Details**
   *
   * A deletion is accepted even if the file is full. It never fails with the error of an earlier commit. The next
   * `put` does. With `{ durable: true }` the deletion is on disk when the call returns, and fails as its commit does.
   */
  readonly delete: {
    (
      key: Key,
      options?: { readonly durable?: false | undefined }
    ): Effect.Effect<void, KeyEncoding | ReadOnly | Closed>
    (
      key: Key,
      options: WriteOptions
    ): Effect.Effect<void, KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure>
  }

  /**
   * Deletes a value. Fails with `KeyNotFound` if the key has no value. Buffered like a put.
   *
   * **Details**
   *
   * With the option `shared`, the commit decides whether the key has a value, and the deletion is durable when the call
   * returns. If several processes delete one key at the same time, one of them succeeds. The same applies with
   * `{ durable: true }`. Only in these cases can it fail with `MapFull`.
   */
  readonly deleteOrFail: (
    key: Key,
    options?: WriteOptions
  ) => Effect.Effect<void, KeyEncoding | KeyNotFound<Key> | ReadOnly | Closed | MapFull | EngineFailure>

  /**
   * Replaces a value by the result of a function of it, and returns the new value. `none` deletes. Buffered like a put.
   *
   * **Details**
   *
   * No other fiber of this process writes the key between the read and the write. With the option `shared`, no other
   * process does either, and the update is durable when the call returns. The same applies with
   * `{ durable: true }`.
   *
   * If `f` returns `current` itself, the same `Option`, nothing is written. `Option.map` makes a new one.
   *
   * **Gotchas**
   *
   * `f` can be called more than once: if the update waits for room in the buffer, or another fiber or
   * process writes the value before the update is complete. With `shared`, other processes cannot commit while it runs
   * again. Only the last result counts.
   *
   * `f` may write the same record, for example with `Effect.runSync`: it then runs again on the new value. If it does so
   * each of 100 times, the update fails with `ValueEncoding`.
   */
  readonly update: (
    key: Key,
    f: (current: Option.Option<unknown>) => Option.Option<unknown>,
    options?: WriteOptions
  ) => Effect.Effect<
    Option.Option<unknown>,
    KeyEncoding | ValueEncoding<Key> | ValueDecoding<Key> | ReadOnly | Closed | MapFull | EngineFailure
  >

  /**
   * Stores many values in one transaction: all of them or none. Visible and durable when it returns.
   *
   * **Details**
   *
   * If a key occurs more than once, its last value is stored. Pending writes are committed with the values or
   * before them. A `put` to one of the keys waits until the commit ends, and is applied after it. With `ttl` all of them
   * expire at the same time.
   */
  readonly putMany: {
    (
      entries: Iterable<readonly [Key, unknown]>,
      options?: Pick<PutOptions, "ttl">
    ): Effect.Effect<void, KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure>
    (
      entries: Entries,
      options?: Pick<PutOptions, "ttl">
    ): Effect.Effect<void, KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure>
  }

  /**
   * Stores and deletes many values in one transaction: all of it or nothing. Visible and durable when it returns.
   *
   * **Details**
   *
   * If a key occurs more than once, its last write counts. Deleting a key without a value succeeds. A value that is put
   * does not expire.
   *
   * **Example** (Renaming a key)
   *
   * ```ts
   * import { Effect } from "effect"
   * import { type Key, Store } from "effect-lmdb"
   *
   * const rename = Effect.fn("rename")(function*(from: Key, to: Key) {
   *   const store = yield* Store
   *   const value = yield* store.getOrFail(from)
   *   yield* store.writeMany([{ put: [to, value] }, { delete: from }])
   * })
   * ```
   */
  readonly writeMany: (
    writes: ListOf<StoreWrite>
  ) => Effect.Effect<void, KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure>

  /**
   * Reads many values, all from the same state of the store. Returns the values that were found, and the keys that have
   * none.
   *
   * **Details**
   *
   * With `decodeKeys`, the keys in the result are strings, decoded by the option `keyEncoding`.
   */
  readonly getMany: {
    (
      keys: ListOf<Key>,
      options: { readonly decodeKeys: true }
    ): Effect.Effect<Found<string>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
    <K extends Key>(
      keys: ListOf<K>,
      options?: { readonly decodeKeys?: false | undefined }
    ): Effect.Effect<Found<K>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
  }

  /**
   * Streams the keys of a range in the order of their bytes: strings, decoded by the option `keyEncoding`, or bytes with
   * `decodeKeys: false`.
   *
   * **Details**
   *
   * The stream takes a snapshot when it starts, pending writes included, and gives the keys of that snapshot. Later
   * writes do not change what it gives. It reads in parts, so a longer range takes no more memory. It
   * releases the snapshot when it ends, fails or is interrupted. When the store closes, the stream fails with `Closed`.
   *
   * **Gotchas**
   *
   * While a snapshot is open, LMDB cannot reuse the pages that commits free, so the file grows. A slow consumer can
   * use `snapshot: false`. Each part is then read from the current state: keys are still in order, each at most once.
   */
  readonly keys: {
    (
      range: StreamRange & { readonly decodeKeys: false }
    ): Stream.Stream<Uint8Array, KeyEncoding | Closed | EngineFailure>
    (
      range?: StreamRange & { readonly decodeKeys?: true | undefined }
    ): Stream.Stream<string, KeyEncoding | Closed | EngineFailure>
  }

  /** Streams the values of a range in the order of their keys. Reads from a snapshot as `keys` does. */
  readonly values: (
    range?: StreamRange
  ) => Stream.Stream<unknown, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>

  /** Streams the keys and values of a range in the order of the keys. Reads from a snapshot as `keys` does. */
  readonly entries: {
    (
      range: StreamRange & { readonly decodeKeys: false }
    ): Stream.Stream<readonly [Uint8Array, unknown], KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
    (
      range?: StreamRange & { readonly decodeKeys?: true | undefined }
    ): Stream.Stream<readonly [string, unknown], KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
  }

  /**
   * Opens a snapshot: a handle whose methods read the state of this moment, pending writes included, until the scope
   * closes. Later reads fail with `Closed`.
   *
   * **Details**
   *
   * It is for reports that need several calls on one state. Inside a transaction it does not have the writes of the
   * transaction. It has only the records whose method it is: those of the store itself, or of one namespace. To read others
   * of the same moment, read in `withTransaction`.
   *
   * **Gotchas**
   *
   * While a snapshot is open, LMDB cannot reuse the pages that commits free, so the file grows.
   *
   * **Example** (Two numbers that fit together)
   *
   * ```ts
   * import { Console, Effect } from "effect"
   * import { Store } from "effect-lmdb"
   *
   * const program = Effect.gen(function*() {
   *   const store = yield* Store
   *   yield* store.putMany({ "apple": 1, "pear": 2 })
   *   const snapshot = yield* store.snapshot
   *   yield* store.delete("pear")
   *   yield* Console.log(yield* snapshot.count(), yield* snapshot.getOrFail("pear")) // => 2 2
   * })
   *
   * Effect.runPromise(Effect.provide(Effect.scoped(program), Store.layerTemp()))
   * ```
   */
  readonly snapshot: Effect.Effect<StoreSnapshot, Closed | EngineFailure, Scope.Scope>

  /** Counts the keys of a range that have a value, pending writes included. Default: all keys. */
  readonly count: (range?: Range) => Effect.Effect<number, KeyEncoding | Closed | EngineFailure>

  /**
   * Deletes the keys of a range in one transaction: all of them or none. Durable when it returns. Returns their number.
   *
   * **Details**
   *
   * It deletes the keys that the range has when the call begins, and keeps them all in memory.
   */
  readonly deleteRange: (
    range: Range
  ) => Effect.Effect<number, KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure>

  /** Deletes many values in one transaction: all of them or none. Durable when it returns. */
  readonly deleteMany: (
    keys: ListOf<Key>
  ) => Effect.Effect<void, KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure>

  /** Counts the keys that have a value, pending writes included. */
  readonly size: Effect.Effect<number, Closed | EngineFailure>

  /**
   * Deletes all records, pending writes included, in one transaction. Durable when it returns. `clear` of a store deletes
   * the records of the store itself: those of its namespaces and collections stay.
   */
  readonly clear: Effect.Effect<void, ReadOnly | Closed | MapFull | EngineFailure>
}
