/**
 * What stores and collections are built on: reads that may wait, and commits that are data.
 *
 * A backend keeps sorted records in named databases. Stores and collections know nothing else of it: they
 * encode keys and values, maintain indexes and run transactions above it. The backend of `Store.layer` buffers
 * writes in memtables and commits them to an `Engine` of this process, which is LMDB. A backend on a database server
 * answers later, and checks what a commit was computed from on the server.
 *
 * **Details**
 *
 * A backend keeps bytes under keys of at least one byte, and orders them by the bytes of the keys.
 *
 * It promises its callers:
 *
 * - A read that begins after a write has returned sees the write, in every fiber of the process.
 * - A read that begins after `commit` has returned sees what was committed.
 * - `snapshot` gives one moment: all that was written before it was asked for, and nothing that was written after it
 *   was given.
 * - `commit` makes all of its writes or none, and only if everything that it was computed from is still the same.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { EngineStats, KeyRange, RangePart, RangeRequest, Write } from "./Engine.ts"
import type { ByteString } from "./Key.ts"
import type { ChangesMissed, Closed, CommitError, EngineFailure } from "./StoreError.ts"

/**
 * Reads records. A database that does not exist is empty.
 *
 * **Details**
 *
 * LMDB answers at once: its effects are settled `Exit`s. A database server answers later. Code that reads
 * must be right for both.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  /**
   * Reads a value and decodes it; gives `undefined` where there is none.
   *
   * **Gotchas**
   *
   * The bytes are valid only while `decode` runs. Of their memory only the first `length` bytes belong to the
   * value.
   */
  readonly get: <A>(
    database: string,
    key: ByteString,
    decode: (bytes: Uint8Array) => A
  ) => Effect.Effect<A | undefined, EngineFailure>

  /**
   * Reads values and decodes them, in the order of their keys in the list; `undefined` where there is none. All of them
   * are those of one moment.
   */
  readonly getMany: <A>(
    database: string,
    keys: ReadonlyArray<ByteString>,
    decode: (bytes: Uint8Array, at: number) => A
  ) => Effect.Effect<ReadonlyArray<A | undefined>, EngineFailure>

  /** Says whether there is a value under the key. */
  readonly has: (database: string, key: ByteString) => Effect.Effect<boolean, EngineFailure>

  /** Reads a part of a range. */
  readonly read: (database: string, request: RangeRequest) => Effect.Effect<RangePart, EngineFailure>

  /** Says how many records there are. */
  readonly count: (database: string) => Effect.Effect<number, EngineFailure>
}

/**
 * The records as they were at one moment, whatever is written meanwhile.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot extends Reader {
  /**
   * Releases the snapshot; nothing may be read from it any more, and a read that waits fails with `EngineFailure`.
   * Only the first call does anything.
   */
  readonly release: () => void
}

/**
 * What a fiber has read, so that a commit can check that it would read the same again.
 *
 * **Details**
 *
 * A fingerprint is `=` and the bytes as Latin-1 text for a value of at most 64 bytes, and the SHA-256 of a longer
 * one in base64; `undefined` stands for no value. The digest of a range is the SHA-256, in base64, of its
 * records in the order of their keys: for each the lengths of key and value in bytes, as unsigned 32-bit numbers in
 * little-endian order, then the key, then the value (empty where values were not read).
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
 * Writes that are made as one: first some databases are cleared, then the writes are made, one of each key.
 *
 * @category models
 * @since 0.1.0
 */
export interface WriteBatch extends Iterable<Write> {
  /** The databases whose records are all deleted before the writes are made. */
  readonly cleared: Iterable<string>
}

/**
 * What is to be committed, as data: what it was computed from, and what it writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommitRequest {
  /** What must still be the same. Nothing is written otherwise. */
  readonly reads: Iterable<Read>
  readonly writes: WriteBatch
  /** Of requests that wait together, those of a higher priority are decided first. Default: 0. */
  readonly priority?: number
  /**
   * Whether this process still permits the writes. Asked when the request is decided: a collection may have been opened
   * by another definition since the writes were computed.
   */
  readonly isPermitted?: () => boolean
}

/**
 * What one step of reading and writing comes to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step<A> {
  readonly result: A
  /** What it writes, as one. */
  readonly writes: ReadonlyArray<Write>
}

/**
 * Gives what a call fails with when it may no longer write; `undefined` while it may.
 *
 * **Details**
 *
 * A call may wait, for room or for another commit. Meanwhile its store may close, or another definition may take over
 * a collection that it writes to. A backend asks in the turn in which it takes the writes.
 *
 * @category models
 * @since 0.1.0
 */
export type Refusal = (writes: ReadonlyArray<Write>) => Effect.Effect<never, Closed> | undefined

/**
 * Begins the admission of a call, in the turn in which the call begins or has to wait.
 *
 * @category models
 * @since 0.1.0
 */
export type Admission = () => Refusal

/**
 * How a step of reading and writing is made.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepOptions {
  readonly admission: Admission
  /** Whether it writes nothing but deletions: they are taken also where nothing else fits. */
  readonly isDeleting: boolean
  /**
   * Makes the step exact across all processes, and durable when it returns; says what it will write to its record, by
   * what a reader has now. `undefined`: one step to all fibers of this process.
   */
  readonly exact?: ((reader: Reader) => Write) | undefined
}

/**
 * What one transaction changed in a database.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommittedChanges {
  readonly transactionId: number
  /** Whether the database was cleared before the writes. */
  readonly isCleared: boolean
  /** The keys that were written, each with its value, or `null` where it was deleted. */
  readonly writes: ReadonlyArray<readonly [key: ByteString, value: Uint8Array | null]>
}

/**
 * The changes of one subscriber.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscription {
  /** Waits for the next transaction that changed anything in question. */
  readonly take: Effect.Effect<CommittedChanges, ChangesMissed | Cause.Done>
  /** Ends the subscription after the changes that wait. */
  readonly end: () => void
}

/**
 * What a subscriber is told of.
 *
 * @category options
 * @since 0.1.0
 */
export interface SubscriptionOptions {
  readonly database: string
  readonly contains: (key: ByteString) => boolean
  /** How many changes may wait; those of one transaction may be more. */
  readonly capacity: number
}

/**
 * Tells whether a collection is still as this process opened it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionGuard {
  /** Looks at what is stored about the collection. */
  readonly isAsOpened: (present: Reader) => Effect.Effect<boolean, EngineFailure>
  /** Lets this process write to the collection no more: another process has taken it over. */
  readonly giveUp: () => void
  /** Whether the collection was given up. */
  readonly isGivenUp: () => boolean
}

/**
 * Checks of pending writes to a collection, which other processes may have changed since the writes were made.
 *
 * **Details**
 *
 * They run when pending writes are committed. A backend that commits every write with what it was computed from
 * does not need them.
 *
 * @category models
 * @since 0.1.0
 */
export interface PendingChecks {
  /** The guards of collections, by the names of these. */
  readonly guards: Map<string, CollectionGuard>
  /** By databases of records: finds the writes that delete the index entries of a record which a pending write does not keep. */
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
 * The figures of a backend.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackendStats extends EngineStats {
  /** How many distinct keys are pending. */
  readonly pending: number
  /** The size of all pending writes, in bytes of keys and encoded values. */
  readonly pendingBytes: number
}

/**
 * What stores and collections are built on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backend {
  /** The longest key, in bytes. */
  readonly maxKeyBytes: number
  /** The longest value, in bytes. */
  readonly maxValueBytes: number

  /** Reads what there is at present, pending writes included. Use it while `isReadable`, or inside `whileReadable`. */
  readonly reader: Reader
  /**
   * Whether `reader` can be used now and answers at once. LMDB's cannot for a moment while the file is resized. A backend
   * whose reads wait always gives `false`: its reads run inside `whileReadable`.
   */
  readonly isReadable: () => boolean
  /** Runs an effect as soon as `reader` can be used, and keeps it usable until the effect ends. */
  readonly whileReadable: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Whether a key has a pending write. */
  readonly isPending: (database: string, key: ByteString) => boolean
  /** The pending writes that no commit has taken. */
  readonly pendingWrites: () => Iterable<Write>

  /** What has to happen before a snapshot is opened. Run it where no read waits for it. */
  readonly beforeSnapshot: Effect.Effect<void>
  /**
   * Opens a snapshot, pending writes included. It may be opened inside `whileReadable`: where commits wait for readers,
   * it must not wait for a commit.
   */
  readonly snapshot: () => Effect.Effect<Snapshot, EngineFailure>

  /** The names of the databases that exist. */
  readonly databases: () => Effect.Effect<ReadonlyArray<string>, EngineFailure>
  /** Opens a database that another process may have made since; does nothing where there is none of that name. */
  readonly openDatabase: (name: string) => Effect.Effect<void, EngineFailure>
  /**
   * Opens databases, and creates those that do not exist, all or none, while no commit runs. A caller that waits can be
   * interrupted; the databases are created nevertheless.
   */
  readonly createDatabases: (names: ReadonlyArray<string>) => Effect.Effect<void, EngineFailure>

  /**
   * Makes the writes of one call, as one. Fails with the error of an earlier commit that no fiber has got.
   * It may write when it is called, before its effect runs: call it inside of an effect.
   */
  readonly write: (writes: ReadonlyArray<Write>, admission: Admission) => Effect.Effect<void, CommitError | Closed>
  /** Makes the deletions of one call, as one, in the same way. They are taken also where nothing else fits. */
  readonly remove: (writes: ReadonlyArray<Write>, admission: Admission) => Effect.Effect<void, Closed>
  /**
   * Reads and writes in one step: no other fiber writes in between what the step has read.
   * The step may run again; only its last run counts.
   */
  readonly step: <A, E>(
    step: (reader: Reader) => Effect.Effect<Step<A>, E>,
    options: StepOptions
  ) => Effect.Effect<A, E | CommitError | Closed>
  /**
   * Commits a batch after the writes that are pending. Gives `false` where nothing was written, because something
   * that it was computed from is not the same any more, or because it is no longer permitted.
   */
  readonly commit: (request: CommitRequest, admission: Admission) => Effect.Effect<boolean, CommitError | Closed>
  /**
   * Commits a batch in a transaction of its own, before the writes that are pending. `prepare` runs when no other commit
   * runs; it gives `undefined` where there is nothing to commit. Once begun it cannot be interrupted.
   */
  readonly commitAlone: (
    prepare: Effect.Effect<CommitRequest | undefined, EngineFailure>
  ) => Effect.Effect<boolean, CommitError>
  /** Commits the pending writes: they are durable when it returns. */
  readonly flush: Effect.Effect<void, CommitError | Closed>
  /** Commits the pending writes, and leaves an error for the next write. */
  readonly flushQuietly: Effect.Effect<void>
  readonly checks: PendingChecks

  /** Subscribes to what is committed, until the scope closes. */
  readonly subscribe: (options: SubscriptionOptions) => Effect.Effect<Subscription, never, Scope.Scope>

  readonly stats: Effect.Effect<BackendStats, EngineFailure>
  /** Writes a consistent copy of what is committed to a path where there is nothing yet. */
  readonly backup: (path: string, options: { readonly compact: boolean }) => Effect.Effect<void, EngineFailure>

  /**
   * Makes the last commit and ends all subscriptions. `beforeClosing` runs after the last read, when no other can begin.
   */
  readonly close: (beforeClosing: Effect.Effect<void>) => Effect.Effect<void, CommitError>
}
