/**
 * The methods of a store, and its figures.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"
import type { Change, ChangesOptions } from "./Change.ts"
import type { Entries, Found, ListOf } from "./Entries.ts"
import type * as StoreInternals from "./internal/store/storeInternals.ts"
import type { Key } from "./Key.ts"
import type { Range, StreamRange } from "./Range.ts"
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

/**
 * The figures of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** How many keys have a value, pending writes included. */
  readonly entries: number
  /** How many distinct keys have a pending write. */
  readonly pending: number
  /** The encoded size of the pending writes, in bytes. */
  readonly pendingBytes: number
  /** The size of the map, in bytes: the file stays within it until the map grows. */
  readonly mapSize: number
  /** The limit of the map, in bytes. */
  readonly maxMapSize: Option.Option<number>
  /** The bytes of all pages in use as of the last commit; the rest of the file is free for reuse. */
  readonly usedBytes: number
  /** The length of the file, in bytes. */
  readonly fileBytes: number
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The most slots for readers that were in use at a time, in all processes. */
  readonly readers: number
  /** How many snapshots streams hold open in this process. */
  readonly snapshots: number
}

/**
 * The methods of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreService {
  /** What the collections on the store are made of. */
  readonly [StoreInternals.TypeId]: StoreInternals.StoreInternals

  /**
   * Keeps a value under a key; visible at once, on disk after the next commit.
   *
   * **Details**
   *
   * The value is encoded at once: what the caller changes later is not stored.
   * Waits only while two batches are pending, or while a transaction that writes to the
   * same key is being committed. A put that fails has stored nothing;
   * `MapFull` and `EngineFailure` come from the commit of earlier writes.
   */
  readonly put: (
    key: Key,
    value: unknown
  ) => Effect.Effect<void, KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure>

  /** Reads a value, a fresh copy each time; `none` where there is none. */
  readonly get: (
    key: Key
  ) => Effect.Effect<Option.Option<unknown>, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>

  /** Reads a value, or fails with `KeyNotFound`. */
  readonly getOrFail: (
    key: Key
  ) => Effect.Effect<unknown, KeyEncoding | KeyNotFound<Key> | ValueDecoding<Key> | Closed | EngineFailure>

  /**
   * Says whether there is a value. `flush` overrides `autoFlushOnRead`: whether
   * pending writes are committed first when they do not answer the question.
   */
  readonly has: (
    key: Key,
    options?: { readonly flush?: boolean | undefined }
  ) => Effect.Effect<boolean, KeyEncoding | Closed | EngineFailure>

  /**
   * Deletes a value, buffered as a put is; deleting what is not there is fine.
   *
   * **Details**
   *
   * A deletion is taken even when nothing fits into the file any more. It never
   * gives the error of a commit; that stays for the next put.
   */
  readonly delete: (key: Key) => Effect.Effect<void, KeyEncoding | ReadOnly | Closed>

  /**
   * Deletes a value, or fails with `KeyNotFound`. Buffered as a put is.
   *
   * **Details**
   *
   * With the option `shared` it is decided inside of the commit, and on disk when it returns: of several
   * processes that delete one key at the same time, one succeeds. `MapFull` is given in that case only.
   */
  readonly deleteOrFail: (
    key: Key
  ) => Effect.Effect<void, KeyEncoding | KeyNotFound<Key> | ReadOnly | Closed | MapFull | EngineFailure>

  /**
   * Reads a value, computes the next and keeps it, as one step to all other fibers;
   * `none` deletes. Gives the next value. Buffered as a put is.
   *
   * **Details**
   *
   * With the option `shared` it is one step to all other processes too, visible and on disk when it returns.
   *
   * **Gotchas**
   *
   * `f` may be called again: when the update had to wait for room in the buffer, or when another process or
   * fiber has written the value meanwhile. With `shared` it is then called while no other process can commit.
   */
  readonly update: (
    key: Key,
    f: (current: Option.Option<unknown>) => Option.Option<unknown>
  ) => Effect.Effect<
    Option.Option<unknown>,
    KeyEncoding | ValueEncoding<Key> | ValueDecoding<Key> | ReadOnly | Closed | MapFull | EngineFailure
  >

  /**
   * Keeps many values in one transaction: all of them or none, on disk when it
   * returns. The last of equal keys wins.
   *
   * **Details**
   *
   * Pending writes are committed with it, or before it. A `put` of one of its keys
   * waits while it is being committed, and comes after it.
   */
  readonly putMany: (
    entries: Entries
  ) => Effect.Effect<void, KeyEncoding | ValueEncoding<Key> | ReadOnly | Closed | MapFull | EngineFailure>

  /**
   * Reads many values, all from the same state of the store. With `decodeKeys` the
   * result has the keys as strings in the encoding of the store.
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
   * The keys of a range, in the order of their bytes, as strings in the encoding of
   * the store or, with `decodeKeys: false`, as bytes.
   *
   * **Details**
   *
   * The stream is one snapshot of the store from the moment it starts, pending
   * writes included, whatever is written while it runs, and takes no more memory for
   * a longer range. It gives the snapshot up when it ends, fails or is interrupted.
   * Closing the store ends it with `Closed`.
   *
   * **Gotchas**
   *
   * While a stream is open, pages that are freed cannot be used again and the file
   * grows. For a slow reader `snapshot: false` reads each part of the range as it is
   * then: keys still come in order, each at most once.
   */
  readonly keys: {
    (
      range: StreamRange & { readonly decodeKeys: false }
    ): Stream.Stream<Uint8Array, KeyEncoding | Closed | EngineFailure>
    (
      range?: StreamRange & { readonly decodeKeys?: true | undefined }
    ): Stream.Stream<string, KeyEncoding | Closed | EngineFailure>
  }

  /** The values of a range, in the order of their keys; a stream like that of `keys`. */
  readonly values: (
    range?: StreamRange
  ) => Stream.Stream<unknown, KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>

  /** The keys and values of a range; a stream like that of `keys`. */
  readonly entries: {
    (
      range: StreamRange & { readonly decodeKeys: false }
    ): Stream.Stream<readonly [Uint8Array, unknown], KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
    (
      range?: StreamRange & { readonly decodeKeys?: true | undefined }
    ): Stream.Stream<readonly [string, unknown], KeyEncoding | ValueDecoding<Key> | Closed | EngineFailure>
  }

  /** How many keys of a range have a value, pending writes included. */
  readonly count: (range?: Range) => Effect.Effect<number, KeyEncoding | Closed | EngineFailure>

  /**
   * Deletes what a range holds when it is called, in one transaction: all of it or
   * nothing, on disk when it returns. Gives the number of keys, which it has in memory
   * at a time.
   */
  readonly deleteRange: (
    range: Range
  ) => Effect.Effect<number, KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure>

  /** Deletes many values in one transaction: all of them or none, on disk when it returns. */
  readonly deleteMany: (
    keys: ListOf<Key>
  ) => Effect.Effect<void, KeyEncoding | ReadOnly | Closed | MapFull | EngineFailure>

  /** How many keys have a value, pending writes included. */
  readonly size: Effect.Effect<number, Closed | EngineFailure>

  /** Deletes everything in one transaction, pending writes too; on disk when it returns. */
  readonly clear: Effect.Effect<void, ReadOnly | Closed | MapFull | EngineFailure>

  /** Commits what is pending: when it returns, all that was written before is on disk. */
  readonly flush: Effect.Effect<void, ReadOnly | Closed | MapFull | EngineFailure>

  /** The figures of the store. Commits nothing, whatever `autoFlushOnRead` says. */
  readonly stats: Effect.Effect<Stats, Closed | EngineFailure>

  /**
   * Commits what is pending and copies the store to a path where there is none,
   * while it is in use. `compact` leaves free pages out, which the engine cannot do
   * with an encrypted store: that is an `EngineFailure`. The copy is laid out as the
   * store is: a folder, or a file with `subdirectory: false`.
   */
  readonly backup: (
    path: string,
    options?: { readonly compact?: boolean | undefined }
  ) => Effect.Effect<void, Closed | MapFull | EngineFailure>

  /**
   * Runs an effect as a transaction: all of its writes are made or none, as if nobody
   * else had read or written meanwhile. On disk when it returns.
   *
   * **Details**
   *
   * It takes one argument, so that it is a step of `pipe` and of `Effect.fn`:
   * `Effect.fn("move")(function*() { ... }, store.withTransaction)`.
   *
   * Every call on this store and its collections inside of the effect, and in fibers
   * that it forks, reads one snapshot and what the transaction has written. Nobody else
   * sees that before it is committed, and nobody waits for it. A failure, a defect and
   * an interruption undo all of it.
   *
   * It is committed if everything that it has read would be read the same, whoever has
   * written: other fibers, other threads or other processes. Else the effect runs again,
   * by the schedule `transactionRetry` of the store, and in the end fails with `TransactionConflict`. Who only reads is never in conflict, and never
   * waits for a writer.
   *
   * Inside of another transaction on the same store it is a part of that one: its failure
   * undoes what it has written, and no more. Where fibers beside it changed what it has read,
   * it runs again, also when it failed: it may have failed because it saw two states.
   *
   * **Gotchas**
   *
   * The effect may run more than once: what it does besides calls on the store is not
   * undone. All that it writes is kept in memory until the end. `flush` and `backup` inside
   * of it are those of the store and see nothing of the transaction. A fiber that outlives
   * the transaction it was forked in gets `Closed`.
   */
  readonly withTransaction: <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | TransactionConflict | MapFull | EngineFailure | Closed, R>

  /**
   * Runs an effect as `withTransaction` does, with a schedule of its own for the runs after a conflict.
   *
   * **Details**
   *
   * The schedule comes first, so that what it gives is a step of `pipe` and of `Effect.fn`, as `withTransaction`
   * is. `Schedule.recurs(0)` does not run the effect again: the first conflict is a `TransactionConflict`.
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
   * The changes that this process commits, in the order of the commits: one of each key
   * of a transaction, from when the stream starts until the store closes.
   *
   * **Details**
   *
   * Keys are strings in the encoding of the store or, with `decodeKeys: false`, bytes. No
   * writer waits for a subscriber: one for whom more than `capacity` changes wait gets
   * those, and then `ChangesMissed`.
   *
   * **Gotchas**
   *
   * What other processes commit is not told.
   */
  readonly changes: {
    (
      options: ChangesOptions & { readonly decodeKeys: false }
    ): Stream.Stream<Change<Uint8Array, unknown, ValueDecoding<Key>>, KeyEncoding | ChangesMissed | Closed>
    (
      options?: ChangesOptions & { readonly decodeKeys?: true | undefined }
    ): Stream.Stream<Change<string, unknown, ValueDecoding<Key>>, KeyEncoding | ChangesMissed | Closed>
  }

  /**
   * Commits what is pending and closes the store for this holder; the scope does
   * the same. Later calls do nothing.
   *
   * **Details**
   *
   * It closes in any case. When the last commit fails, pending writes are lost. `strict`
   * then fails with an error whose `lost` names the keys. Without `strict` the same error
   * is a defect, or is logged with `closeFailure: "log"`.
   *
   * While the path has other holders nothing is lost: a commit that fails leaves its writes
   * to them, and its error for their next `put`, `flush` or `close`; `strict` fails with it.
   */
  readonly close: {
    (options: { readonly strict: true }): Effect.Effect<void, MapFull | EngineFailure>
    (options?: { readonly strict?: false | undefined }): Effect.Effect<void>
  }
}
