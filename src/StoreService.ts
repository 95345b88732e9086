/**
 * Defines the methods of a store, and its statistics.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"
import type { Commit } from "./Backend.ts"
import type { PollOptions } from "./Change.ts"
import type { TypeId } from "./internal/storeTypeId.ts"
import type { Closed, EngineFailure, MapFull, NamespaceFailed, ReadOnly, TransactionConflict } from "./StoreError.ts"
import type { StoreNamespace } from "./StoreNamespace.ts"
import type { StoreOpening } from "./StoreOpening.ts"
import type { StoreRecords } from "./StoreRecords.ts"

/**
 * Describes the size and the state of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** The number of records of the store itself, pending writes included. Namespaces and collections have `size`. */
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
 * Reads and writes the records of a store, and gives access to its namespaces.
 *
 * **Details**
 *
 * The methods for records are those of `StoreRecords`. They concern the records of the store itself, and no others: each
 * namespace and each collection has its own keys. The other methods concern the store as a whole.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoreService extends StoreRecords {
  /** The internal part of the store, for collections. */
  readonly [TypeId]: unknown

  /** Identifies the opening of the store by this process. All handles of the process on the store have the same one. */
  readonly opening: StoreOpening

  /**
   * Opens a namespace: records that have keys of their own, with all methods that the store has for its own records.
   *
   * **Details**
   *
   * A name is text of at most 255 bytes without `/` and U+0000. The first call for a name creates the namespace at once,
   * and a transaction around the call does not undo that. Later calls give further handles on the same records. Other
   * namespaces, the store itself and collections never see these records, also under the same name.
   *
   * Calls on a namespace take part in `withTransaction` of the store. `flush`, `backup`, `stats`, `commits` and `close`
   * concern the store with all of its namespaces.
   *
   * In a read-only store, a namespace that does not exist is empty until another process creates it.
   *
   * **Gotchas**
   *
   * A store has room for about 1,000 namespaces, collections and indexes together (a file has at most 1,024 databases), and `clear` of a namespace does not
   * give its place back. Beyond that the call fails with `NamespaceFailed`, reason `TooManyDatabases`. So use a
   * namespace for a kind of data. For each tenant or user, use a collection whose key is a tuple.
   *
   * **Example** (Sessions beside settings)
   *
   * ```ts
   * import { Console, Effect } from "effect"
   * import { Store } from "effect-lmdb"
   *
   * const program = Effect.gen(function*() {
   *   const store = yield* Store
   *   const sessions = yield* store.namespace("sessions")
   *   const settings = yield* store.namespace("settings")
   *   yield* sessions.put("ada", { page: 3 }, { ttl: "30 minutes" })
   *   yield* settings.put("ada", { theme: "dark" })
   *   yield* sessions.clear
   *   yield* Console.log(yield* sessions.size, yield* settings.size) // => 0 1
   * })
   *
   * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
   * ```
   */
  readonly namespace: (name: string) => Effect.Effect<StoreNamespace, NamespaceFailed | Closed | EngineFailure>

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
   * Every call on this store, its namespaces and its collections inside the effect, and in fibers that the effect
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
   * Tells whether the fiber is in a transaction of this store. A library can refuse there what must not be undone or run
   * again.
   */
  readonly inTransaction: Effect.Effect<boolean>

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
