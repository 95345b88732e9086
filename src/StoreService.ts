/**
 * Defines the methods of a store, and its statistics.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Commit } from "./Backend.ts"
import type { Change, ChangesOptions, ChangeWithPrevious, PollOptions, SinceError, WatchEvent } from "./Change.ts"
import type { Entries, Found, ListOf, StoreWrite } from "./Entries.ts"
import type { TypeId } from "./internal/storeTypeId.ts"
import type { Key } from "./Key.ts"
import type { Range, StreamRange, WatchRange } from "./Range.ts"
import type {
  ChangesMissed,
  Closed,
  EngineFailure,
  KeyEncoding,
  KeyNotFound,
  MapFull,
  ReadOnly,
  TransactionConflict,
  ValueDecoding,
  ValueEncoding
} from "./StoreError.ts"
import type { StoreModify } from "./StoreModify.ts"
import type { WriteOptions } from "./WriteOptions.ts"

/**
 * Describes the size and the state of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** The number of keys of the untyped store with a value, pending writes included. Collections have `size`. */
  readonly entries: number
  /** The number of distinct keys with a pending write. */
  readonly pending: number
  /** The size of the pending writes, keys and encoded values, in bytes. */
  readonly pendingBytes: number
  /** The size of the memory map, in bytes. The file cannot be longer until the map grows. */
  readonly mapSize: number
  /** The option `maxMapSize`, in bytes. */
  readonly maxMapSize: Option.Option<number>
  /** The size of all pages in use after the last commit, in bytes. The other pages of the file are free. */
  readonly usedBytes: number
  /** The length of the file, in bytes. */
  readonly fileBytes: number
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The highest number of LMDB reader slots that were in use at the same time, in all processes. */
  readonly readers: number
  /** The number of snapshots that streams and transactions of this process have open. */
  readonly snapshots: number
  /** How many records this process has deleted because they had expired, since it opened the store. */
  readonly expired: number
}

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
 * Reads a store as it was at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreSnapshot
  extends Pick<StoreService, "get" | "getOrFail" | "getMany" | "keys" | "values" | "entries" | "count" | "size">
{
  /** Tells whether a key has a value. */
  readonly has: (key: Key) => Effect.Effect<boolean, KeyEncoding | Closed | EngineFailure>
}

/**
 * Reads and writes the records of a store.
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
 * Inside `withTransaction`, all writes are visible only to the transaction until it is committed.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreService extends StoreModify {
  /** The internal part of the store, for collections. */
  readonly [TypeId]: unknown

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
   * use `snapshot: false`. Each part is then read from the present state: keys are still in order, each at most once.
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
   * transaction. It has the records of the store, not those of collections: for these, read in `withTransaction`.
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
   * Deletes all records of the store, pending writes included, in one transaction. Collections stay. Durable when it
   * returns.
   */
  readonly clear: Effect.Effect<void, ReadOnly | Closed | MapFull | EngineFailure>

  /** Commits the pending writes. When it returns, all earlier writes are durable. */
  readonly flush: Effect.Effect<void, ReadOnly | Closed | MapFull | EngineFailure>

  /** Reads the statistics of the store. It never commits pending writes first, not even with `autoFlushOnRead`. */
  readonly stats: Effect.Effect<Stats, Closed | EngineFailure>

  /**
   * Commits the pending writes and copies the store to another path, while it is in use.
   *
   * **Details**
   *
   * There must be no store at the path. The copy is a folder, or a file if the store has `subdirectory: false`. With
   * `compact`, the copy has no free pages. LMDB cannot compact an encrypted store: that is an `EngineFailure`.
   */
  readonly backup: (
    path: string,
    options?: { readonly compact?: boolean | undefined }
  ) => Effect.Effect<void, Closed | MapFull | EngineFailure>

  /**
   * Runs an effect as a transaction: all of its writes are committed or none, and it is isolated from all other
   * reads and writes. Durable when it returns.
   *
   * **Details**
   *
   * It takes one argument, so that it can be a step of `pipe` and of `Effect.fn`:
   * `Effect.fn("move")(function*() { ... }, store.withTransaction)`.
   *
   * Every call on this store and its collections inside the effect, and in fibers that the effect
   * forks, reads one snapshot and the writes of the transaction. No other fiber sees these writes before the commit,
   * and no other fiber waits for the transaction. A failure, a defect or an interruption discards all of the writes.
   *
   * At the end, the commit checks that everything the transaction has read is unchanged. If another fiber, thread or
   * process has changed some of it, the transaction conflicts and the effect runs again, by the schedule
   * `transactionRetry` of the store. When the schedule ends, the call fails with `TransactionConflict`. A
   * transaction that only reads never conflicts and never waits for a writer.
   *
   * Inside another transaction on the same store, the call is a nested transaction: its failure discards its own
   * writes only. If sibling fibers change what it has read, it runs again, even if it has failed: it may
   * have failed because it read two states.
   *
   * `MapFull` and `EngineFailure` are errors of its commit. It fails with `Closed` if the store or the outer transaction
   * has ended.
   *
   * **Gotchas**
   *
   * The effect can run more than once. Whatever it does besides calls on the store is not undone. After a conflict it
   * reads what other transactions are about to commit, and its result or failure counts only if they are committed.
   * Otherwise it runs again. All writes are kept in memory until the commit. `flush` and `backup` inside the effect concern
   * the store, without the writes of the transaction. A fiber that uses the store after the transaction in which it was
   * forked has ended fails with `Closed`.
   */
  readonly withTransaction: <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | TransactionConflict | MapFull | EngineFailure | Closed, R>

  /**
   * Runs an effect as `withTransaction` does. After a conflict, it runs again by the given schedule.
   *
   * **Details**
   *
   * The schedule is the first argument, so that the returned function can be a step of `pipe` and of `Effect.fn`, like
   * `withTransaction`. With `Schedule.recurs(0)`, the effect runs once: the first conflict is a `TransactionConflict`.
   *
   * **Example** (A step of Effect.fn)
   *
   * ```ts
   * import { Effect, Option, Schedule } from "effect"
   * import { Store, type StoreService } from "effect-lmdb"
   *
   * const visitsOf = (store: StoreService) =>
   *   Effect.fn("visits")(function*(page: string) {
   *     return yield* store.update(page, Option.map((visits) => Number(visits) + 1))
   *   }, store.withTransactionRetry(Schedule.recurs(3)))
   *
   * const program = Effect.flatMap(Store, (store) => visitsOf(store)("home"))
   *
   * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
   * ```
   */
  readonly withTransactionRetry: (
    retry: Schedule.Schedule<unknown>
  ) => <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | TransactionConflict | MapFull | EngineFailure | Closed, R>

  /**
   * Streams the changes that this process commits, in the order of the commits, from when the stream starts until the
   * store closes.
   *
   * **Details**
   *
   * A commit gives one change for each key that was written. Transactions that share a commit are told as one: of a key
   * that several of them have written, the last write. Keys are strings, decoded by the option `keyEncoding`, or bytes
   * with `decodeKeys: false`. A commit never waits for a subscriber. If more than `capacity`
   * changes wait for a subscriber, it gets those and then fails with `ChangesMissed`.
   *
   * A `Put` says by its `kind` whether it inserted or updated. With `previous: true`, each change has the value before the
   * transaction.
   *
   * With `since`, the changes after that transaction are told first, and those of other processes too. They come from
   * the change log (option `changeLog`); `ChangesMissed` says that it does not reach back so far.
   *
   * **Gotchas**
   *
   * Without `since`, the stream does not have the changes of other processes.
   */
  readonly changes: {
    (
      options?: ChangesOptions<undefined> & {
        readonly decodeKeys?: true | undefined
        readonly previous?: false | undefined
      }
    ): Stream.Stream<Change<string, unknown, ValueDecoding<Key>>, KeyEncoding | ChangesMissed | Closed>
    <const S extends number | undefined = undefined>(
      options: ChangesOptions<S> & { readonly decodeKeys: false; readonly previous: true }
    ): Stream.Stream<
      ChangeWithPrevious<Uint8Array, unknown, ValueDecoding<Key>>,
      KeyEncoding | ChangesMissed | Closed | SinceError<S>
    >
    <const S extends number | undefined = undefined>(
      options: ChangesOptions<S> & { readonly decodeKeys?: true | undefined; readonly previous: true }
    ): Stream.Stream<
      ChangeWithPrevious<string, unknown, ValueDecoding<Key>>,
      KeyEncoding | ChangesMissed | Closed | SinceError<S>
    >
    <const S extends number | undefined = undefined>(
      options: ChangesOptions<S> & { readonly decodeKeys: false; readonly previous?: false | undefined }
    ): Stream.Stream<
      Change<Uint8Array, unknown, ValueDecoding<Key>>,
      KeyEncoding | ChangesMissed | Closed | SinceError<S>
    >
    (
      options: ChangesOptions<number> & {
        readonly since: number
        readonly decodeKeys?: true | undefined
        readonly previous?: false | undefined
      }
    ): Stream.Stream<Change<string, unknown, ValueDecoding<Key>>, KeyEncoding | ChangesMissed | Closed | EngineFailure>
  }

  /**
   * The commits of all processes: those of this process at once, those of others when they are noticed, by default
   * within 50 milliseconds.
   *
   * **Details**
   *
   * A commit says its transaction, and not what it changed: with a change log, `changes({ since })` says that. One
   * element stands for all commits of other processes up to its `transactionId`. When more than 1,024 wait for a
   * subscriber, the oldest are dropped.
   */
  readonly commits: (options?: PollOptions) => Stream.Stream<Commit, Closed | EngineFailure>

  /**
   * The value of a key, and then each other value that is committed; `none` where there is none.
   *
   * **Details**
   *
   * It commits what is pending and gives the value, and then waits for commits: no value is missed in between. A value that is
   * the same as the last one is not told again. A consumer that is slow gets only the last value.
   *
   * Commits of other processes are told too, with `shared` and `readOnly`: when they are noticed.
   */
  readonly watch: (
    key: Key,
    options?: PollOptions
  ) => Stream.Stream<Option.Option<unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>

  /**
   * The entries of a range, and then what each transaction changes of them: what a live query needs.
   *
   * **Details**
   *
   * It commits what is pending and gives a `Snapshot`, and then `Changes`, one for each transaction: no change is missed or told
   * twice. So the entries always are those after the transaction `transactionId`. Another `Snapshot` follows a `clear`, more
   * than `capacity` changes that wait, and commits of other processes if the store keeps no change log. The entries of a snapshot
   * are all in memory.
   */
  readonly watchRange: {
    (
      range: WatchRange & { readonly decodeKeys: false }
    ): Stream.Stream<WatchEvent<Uint8Array, unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
    (
      range?: WatchRange & { readonly decodeKeys?: true | undefined }
    ): Stream.Stream<WatchEvent<string, unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
  }

  /**
   * Commits the pending writes and closes this handle on the store. The end of the scope does the same. Later calls
   * do nothing.
   *
   * **Details**
   *
   * The handle is closed even if the call fails. The store closes with its last handle. If the last commit fails then,
   * the pending writes are lost. With `strict`, the call fails with an error whose `lost` names the keys. Without it,
   * the same error is a defect, or is logged with `closeFailure: "log"`.
   *
   * While the store has other handles, a failed commit loses nothing: the writes stay pending. With `strict`, the call
   * fails with the error. Without it, the next `put`, `flush` or `close` of another handle does.
   */
  readonly close: {
    (options: { readonly strict: true }): Effect.Effect<void, MapFull | EngineFailure>
    (options?: { readonly strict?: false | undefined }): Effect.Effect<void>
  }
}
