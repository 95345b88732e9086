/**
 * Defines what stores and collections are built on: reads that may wait, and commits that are data.
 *
 * A backend keeps sorted records in named databases. Stores and collections encode keys and values, maintain indexes
 * and run transactions on top of it. The backend of `Store.layer` buffers writes in memtables and commits them to
 * an `Engine` in this process, which is LMDB. A backend on a database server
 * answers reads later, and validates commits on the server.
 *
 * **Details**
 *
 * A backend keeps values, which are bytes, under keys of at least one byte. It orders keys by their bytes.
 *
 * A backend guarantees:
 *
 * - A read that begins after a write has returned sees the write, in every fiber of the process.
 * - A read that begins after `commit` has returned sees what was committed.
 * - A `snapshot` shows the state of one moment: it includes all writes that returned before the call, and none that
 *   began after the call returned.
 * - `commit` applies all of its writes or none, and only if everything that it was computed from is unchanged.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CommitSubscription, LogSubscriptionOptions, Subscription, SubscriptionOptions } from "./BackendChanges.ts"
import type { CommittedSnapshot, NextSnapshot, Reader, Snapshot } from "./BackendReader.ts"
import type { EngineReaders, EngineStats, KeyRange, Write } from "./Engine.ts"
import type { ByteString } from "./Key.ts"
import type { ChangesMissed, Closed, CommitError, EngineFailure } from "./StoreError.ts"
import type { StoreOpening } from "./StoreOpening.ts"

export * from "./BackendChanges.ts"
export * from "./BackendReader.ts"

/**
 * Describes one read, so that a commit can check that it would have the same result.
 *
 * **Details**
 *
 * The fingerprint of a value of at most 64 bytes is `=` and the bytes as Latin-1 text. The fingerprint of a longer value
 * is its SHA-256 in base64. The fingerprint of a missing value is `undefined`. The digest of a range is the SHA-256, in
 * base64, of its records in the order of their keys: for each record, the lengths of key and value in bytes, as unsigned
 * 32-bit numbers in little-endian order, then the key, then the value (empty if values were not read).
 *
 * @category models
 * @since 0.1.0
 */
export type Read =
  | {
    readonly _tag: "Value"
    readonly database: string
    readonly key: ByteString
    readonly fingerprint: string | undefined
  }
  | { readonly _tag: "Existence"; readonly database: string; readonly key: ByteString; readonly exists: boolean }
  | { readonly _tag: "Count"; readonly database: string; readonly count: number }
  | {
    readonly _tag: "Range"
    readonly database: string
    readonly range: KeyRange
    readonly values: boolean
    readonly digest: string
  }

/**
 * Describes an atomic batch of writes: some databases are cleared, and then the writes are applied, at most one for each
 * key.
 *
 * @category models
 * @since 0.1.0
 */
export interface WriteBatch extends Iterable<Write> {
  /** The databases that are cleared before the writes. */
  readonly cleared: Iterable<string>
  /** Which of the writes delete a record because it has expired. Subscribers receive these as `Expired`. */
  readonly expired?: Iterable<readonly [database: string, key: ByteString]> | undefined
}

/**
 * Describes a commit as data: what its writes were computed from, and the writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommitRequest {
  /** The reads that must still have the same results. Otherwise nothing is written. */
  readonly reads: Iterable<Read>
  readonly writes: WriteBatch
  /**
   * Makes the reader that validates `reads` from a reader of everything stored: it hides what has expired by then. Called
   * when the request is decided. Default: the reader of everything stored.
   */
  readonly view?: ((stored: Reader) => Reader) | undefined
  /**
   * Returns further deletions, which are committed with the writes. Called when the request is decided, with a reader of
   * everything stored. They delete the entries of expired records that the writes replace: the caller could not see these
   * records.
   */
  readonly deletions?: ((stored: Reader) => Effect.Effect<ReadonlyArray<Write>, EngineFailure>) | undefined
  /** Of the requests in one transaction, those with a higher priority are decided first. Default: 0. */
  readonly priority?: number
  /**
   * Tells whether this process still permits the writes. Called when the request is decided: another definition may
   * have taken over a collection after the writes were computed.
   */
  readonly isPermitted?: () => boolean
  /**
   * Called when the request is accepted for the coming commit: `nextSnapshot` shows its writes from then on. The
   * commit may still fail or find a conflict. A backend that accepts nothing beforehand does not call it.
   */
  readonly onAccepted?: () => void
}

/**
 * Contains the result and the writes of a read-modify-write step.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step<A> {
  readonly result: A
  /** The writes of the step. They are applied together. */
  readonly writes: ReadonlyArray<Write>
}

/**
 * Returns the failure of a call that may no longer write; `undefined` while it may.
 *
 * **Details**
 *
 * While a call waits for room or for another commit, its store may close, or another definition may take over
 * a collection that it writes to. A backend calls the function in the turn of the event loop in which it takes the
 * writes.
 *
 * @category models
 * @since 0.1.0
 */
export type Refusal = (writes: ReadonlyArray<Write>) => Effect.Effect<never, Closed> | undefined

/**
 * Makes the refusal of a call. A backend calls it in the turn of the event loop in which the call begins or has to wait.
 *
 * @category models
 * @since 0.1.0
 */
export type Admission = () => Refusal

/**
 * Configures a read-modify-write step.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepOptions {
  readonly admission: Admission
  /** Whether the step writes only deletions. They are accepted even if the file is full. */
  readonly isDeleting: boolean
  /**
   * Makes the step atomic across all processes, and durable when it returns. The function returns the write that the step
   * is expected to make, from the current state. `undefined`: the step is atomic for the fibers of this process.
   */
  readonly exact?: ((reader: Reader) => Write) | undefined
}

/**
 * Checks that a collection is still as this process has opened it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionGuard {
  /** Tells whether the catalog entry of the collection is as this process has opened it. */
  readonly isAsOpened: (present: Reader) => Effect.Effect<boolean, EngineFailure>
  /** Stops this process from writing to the collection, because another process has taken it over. */
  readonly giveUp: () => void
  /** Tells whether `giveUp` was called. */
  readonly isGivenUp: () => boolean
}

/**
 * Checks and repairs pending writes to collections that other processes may have changed after the writes were buffered.
 *
 * **Details**
 *
 * The functions run when pending writes are committed. A backend that commits every write with what it was computed from
 * does not need them.
 *
 * @category models
 * @since 0.1.0
 */
export interface PendingChecks {
  /** The guards of collections, by the names of the collections. */
  readonly guards: Map<string, CollectionGuard>
  /** By databases of records: returns deletions of the index entries of a stored record that a pending write replaces. */
  readonly entryDeletions: Map<
    string,
    (
      present: Reader,
      key: ByteString,
      write: Uint8Array | null
    ) => Effect.Effect<ReadonlyArray<Write>, EngineFailure>
  >
}

/**
 * Describes the size and the pending writes of a backend.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackendStats extends EngineStats {
  /** The number of distinct keys with a pending write. */
  readonly pending: number
  /** The size of the pending writes, keys and encoded values, in bytes. */
  readonly pendingBytes: number
}

/**
 * Keeps sorted records in named databases, for stores and collections.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend {
  /** The maximum length of a key, in bytes. */
  readonly maxKeyBytes: number
  /** The maximum length of a value, in bytes. */
  readonly maxValueBytes: number
  /** Identifies this opening among those of all processes. Missing if the backend knows nothing of other processes. */
  readonly opening?: StoreOpening | undefined

  /** Reads the current state, pending writes included. Use it while `isReadable` is true, or inside `whileReadable`. */
  readonly reader: Reader
  /**
   * Tells whether `reader` can be used now and answers at once. The reader of LMDB cannot be used while the file is being
   * resized. A backend whose reads wait always returns `false`: its reads run inside `whileReadable`.
   */
  readonly isReadable: () => boolean
  /** Runs an effect when `reader` can be used, and keeps it usable until the effect ends. */
  readonly whileReadable: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Tells whether a key has a pending write. */
  readonly isPending: (database: string, key: ByteString) => boolean
  /** Returns the pending writes that no commit has taken. */
  readonly pendingWrites: () => Iterable<Write>

  /** Prepares the opening of a snapshot. Run it outside `whileReadable`: it may resize the file, which waits for reads. */
  readonly beforeSnapshot: Effect.Effect<void>
  /**
   * Opens a snapshot, pending writes included. It may be called inside `whileReadable`: if commits wait for readers, it
   * must not wait for a commit.
   */
  readonly snapshot: () => Effect.Effect<Snapshot, EngineFailure>
  /**
   * Opens a snapshot that also has the writes of requests that are being committed or were accepted. A backend that
   * does not know them gives a snapshot like any other.
   */
  readonly nextSnapshot: () => Effect.Effect<NextSnapshot, EngineFailure>

  /** Lists the names of all databases. */
  readonly databases: () => Effect.Effect<ReadonlyArray<string>, EngineFailure>
  /** Opens a database that another process may have created. Does nothing if it does not exist. */
  readonly openDatabase: (name: string) => Effect.Effect<void, EngineFailure>
  /**
   * Opens databases, while no commit runs. Creates those that do not exist, all of them or none. A caller that waits can
   * be interrupted. The databases are created nevertheless.
   */
  readonly createDatabases: (names: ReadonlyArray<string>) => Effect.Effect<void, EngineFailure>

  /**
   * Buffers the writes of one call, all of them in the same commit. Fails with the error of an earlier commit that no
   * fiber has received yet. It may write when it is called, before its effect runs: call it inside an effect.
   */
  readonly write: (writes: ReadonlyArray<Write>, admission: Admission) => Effect.Effect<void, CommitError | Closed>
  /**
   * Buffers the deletions of one call in the same way. They are accepted even if the file is full, and never fail with the
   * error of an earlier commit.
   */
  readonly remove: (writes: ReadonlyArray<Write>, admission: Admission) => Effect.Effect<void, Closed>
  /**
   * Reads and writes in one step: no other fiber writes what the step has read before the step writes.
   * The step may run more than once. Only its last run counts.
   */
  readonly step: <A, E>(
    step: (reader: Reader) => Effect.Effect<Step<A>, E>,
    options: StepOptions
  ) => Effect.Effect<A, E | CommitError | Closed>
  /**
   * Commits a batch after the pending writes. It is durable when it returns `true`. Returns `false` if nothing was
   * written, because something that it was computed from has changed, or because it is no longer permitted. A request
   * without writes only checks its reads.
   */
  readonly commit: (request: CommitRequest, admission: Admission) => Effect.Effect<boolean, CommitError | Closed>
  /**
   * Commits a batch in a separate transaction, before the pending writes. `prepare` runs while no other commit
   * runs. It returns `undefined` if there is nothing to commit. Once begun, it cannot be interrupted.
   */
  readonly commitAlone: (
    prepare: Effect.Effect<CommitRequest | undefined, EngineFailure>
  ) => Effect.Effect<boolean, CommitError>
  /** Commits the pending writes. They are durable when it returns. */
  readonly flush: Effect.Effect<void, CommitError | Closed>
  /** Commits the pending writes. If the commit fails, the next write fails with its error. */
  readonly flushQuietly: Effect.Effect<void>
  /** The checks of pending writes. Collections add theirs when they are opened. */
  readonly checks: PendingChecks

  /** Subscribes to what this process commits, until the scope closes. */
  readonly subscribe: (options: SubscriptionOptions) => Effect.Effect<Subscription, never, Scope.Scope>
  /**
   * Subscribes to what all processes commit after a transaction, from the change log, until the scope closes. Fails with
   * `ChangesMissed` if the log begins after that transaction.
   */
  readonly subscribeToLog: (
    options: LogSubscriptionOptions
  ) => Effect.Effect<Subscription<EngineFailure>, ChangesMissed | EngineFailure, Scope.Scope>
  /** Whether all processes write a change log, so that `subscribeToLog` gives every commit. */
  readonly hasLog: boolean
  /** Subscribes to the numbers of the transactions of all processes, until the scope closes. */
  readonly commits: (
    options: { readonly pollInterval: Duration.Duration; readonly capacity: number }
  ) => Effect.Effect<CommitSubscription, EngineFailure, Scope.Scope>
  /** Opens a snapshot of the committed records, without pending writes. */
  readonly committedSnapshot: () => Effect.Effect<CommittedSnapshot, EngineFailure>
  /** Whether other processes can commit. */
  readonly hasOtherWriters: boolean

  /** Reads the statistics of the backend. */
  readonly stats: Effect.Effect<BackendStats, EngineFailure>
  /** Reads the size of the pages of each database, in bytes, by its name. Missing if the backend does not know it. */
  readonly databaseBytes?: Effect.Effect<ReadonlyMap<string, number>, EngineFailure> | undefined
  /** Lists the readers, and frees the slots of processes that have ended. Missing if the backend has no list. */
  readonly readers?: {
    readonly list: Effect.Effect<EngineReaders, EngineFailure>
    readonly clear: Effect.Effect<number, EngineFailure>
  } | undefined
  /** Writes a consistent copy of the committed records to a path at which no file exists. */
  readonly backup: (path: string, options: { readonly compact: boolean }) => Effect.Effect<void, EngineFailure>

  /**
   * Makes the last commit, and ends all subscriptions. `beforeClosing` runs after the last read has ended. No read
   * begins after that.
   */
  readonly close: (beforeClosing: Effect.Effect<void>) => Effect.Effect<void, CommitError>
}
