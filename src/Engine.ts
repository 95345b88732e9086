/**
 * What a storage engine must do: the only door of a store to the disk.
 *
 * The store above it knows keys as byte strings and values as bytes; it buffers,
 * encodes, locks and retries. The engine below it keeps sorted records in a file,
 * reads them at once and commits batches of writes as one. LMDB is the engine
 * that `Store.layer` brings along; tests put one here that fails on demand.
 *
 * **Details**
 *
 * Reads end at once and give an `Exit`, so that the store can answer a read in one step, and
 * so that LMDB's write transaction can check what a batch was computed from. An `Exit` is an `Effect`:
 * a reader of an engine is a `Reader` of a `Backend` too. Everything that waits for the disk is an effect.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { ByteString } from "./Key.ts"
import type { EngineFailure, OpenFailed } from "./StoreError.ts"

/**
 * One write of a batch, to a named database: a value to keep under a key, or `null`
 * to delete it.
 *
 * @category models
 * @since 0.1.0
 */
export type Write = readonly [database: string, key: ByteString, value: Uint8Array | null]

/**
 * What an engine needs to open an environment.
 *
 * @category options
 * @since 0.1.0
 */
export interface EngineOptions {
  /** The folder, or the file when `subdirectory` is `false`. */
  readonly path: string
  /** Whether `path` is a folder that holds the files. */
  readonly subdirectory: boolean
  /** Whether writes are refused and nothing is created. */
  readonly readOnly: boolean
  /** Whether other processes may have the file open for writing too. */
  readonly shared: boolean
  /** Whether the file is locked against other processes. */
  readonly lock: boolean
  /** How long to wait for another process that has the file open. */
  readonly lockTimeout: Duration.Duration
  /** Whether the file may be opened in a worker thread. */
  readonly allowWorkerThread: boolean
  /** The size of the map in bytes: the file stays within it until `resize`. */
  readonly mapSize: number
  /**
   * The limit of the file in bytes, where it has one. The map of a file that is longer
   * than `mapSize` is made larger within it; a file that is longer than the limit itself
   * gets a few pages more, without which nothing could be deleted.
   */
  readonly maxMapSize: number | undefined
  /** Whether a commit is on disk when it returns. */
  readonly durability: "sync" | "noSync"
  /** The permissions of files that are created, less the mask of the process. */
  readonly fileMode: number
  /** Whether values are compressed. */
  readonly compression: boolean
  /** Whether all pages of the file are checked before it is used; `undefined`: when it is small. */
  readonly verify: boolean | undefined
  /** The key, 32 bytes, that encrypts the file. */
  readonly encryptionKey: Redacted.Redacted | undefined
}

/**
 * The figures of an open environment, as of the last commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineStats {
  /** The size of the map, in bytes. */
  readonly mapSize: number
  /** The bytes of all pages that hold live data or structure. */
  readonly usedBytes: number
  /** The length of the file, in bytes. */
  readonly fileBytes: number
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The most slots for read transactions that were in use at a time, in all processes. */
  readonly readers: number
}

/**
 * A batch does not fit into the map: nothing was written.
 *
 * **Details**
 *
 * Whoever gets it calls `resize` before the next commit, also to keep the size:
 * until then the engine refuses to commit, because it cannot see the limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class EngineFull extends Data.TaggedError("EngineFull")<{
  /** The size of the map that was too small, in bytes. */
  readonly mapSize: number
  /**
   * A size, in bytes, that the batch is known to need at least; equal to
   * `mapSize` when only the limit has to be set anew.
   */
  readonly needed: number
}> {}

/**
 * What one transaction writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batch {
  /** The databases whose records are all deleted before the writes are made. */
  readonly clear: ReadonlyArray<string>
  /** The writes, one of a key at the most. */
  readonly writes: Iterable<Write>
  /** Called at the moment from which on the batch is read, and not when it fails. */
  readonly onWritten?: () => void
}

/**
 * Decides inside of a transaction what it writes, from what it finds; `undefined`
 * gives the transaction up.
 *
 * **Details**
 *
 * `transactionId` is the number that `commit` gives for the transaction.
 *
 * It is synchronous, and run again when a transaction is tried again: only the last
 * run counts.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = (present: Reader, transactionId: number) => Exit.Exit<Batch | undefined, EngineFailure>

/**
 * One end of a range of keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bound {
  readonly key: ByteString
  /** Whether the key itself belongs to the range. */
  readonly inclusive: boolean
}

/**
 * A range of keys in the order of their bytes; an end that is `undefined` is open.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyRange {
  readonly from: Bound | undefined
  readonly to: Bound | undefined
}

/**
 * What is read of a range at a time.
 *
 * @category models
 * @since 0.1.0
 */
export interface RangeRequest extends KeyRange {
  /** Whether the range is read from its end. */
  readonly reverse: boolean
  /** Whether values are read; without, their bytes are empty. */
  readonly values: boolean
  /** How many records are read at the most. */
  readonly maxRecords: number
  /** Reading stops behind the record with which the values have this many bytes. */
  readonly maxBytes: number
}

/**
 * A part of a range.
 *
 * @category models
 * @since 0.1.0
 */
export interface RangePart {
  readonly records: ReadonlyArray<readonly [key: ByteString, value: Uint8Array]>
  /** What is left of the range behind these records, `undefined` where nothing is. */
  readonly rest: KeyRange | undefined
}

/**
 * Reads records at once. A database that does not exist is empty.
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
   * The bytes are valid only while `decode` runs: the engine reads into the same memory again. Of this
   * memory only the first `length` bytes belong to the value.
   */
  readonly get: <A>(
    database: string,
    key: ByteString,
    decode: (bytes: Uint8Array) => A
  ) => Exit.Exit<A | undefined, EngineFailure>

  /** Reads values and decodes them, in the order of their keys in the list; `undefined` where there is none. */
  readonly getMany: <A>(
    database: string,
    keys: ReadonlyArray<ByteString>,
    decode: (bytes: Uint8Array, at: number) => A
  ) => Exit.Exit<ReadonlyArray<A | undefined>, EngineFailure>

  /** Says whether there is a value under the key. */
  readonly has: (database: string, key: ByteString) => Exit.Exit<boolean, EngineFailure>

  /** Reads a part of a range. */
  readonly read: (database: string, request: RangeRequest) => Exit.Exit<RangePart, EngineFailure>

  /** Says how many records there are. */
  readonly count: (database: string) => Exit.Exit<number, EngineFailure>
}

/**
 * The records as they were at one moment, whatever is written meanwhile.
 *
 * **Gotchas**
 *
 * The pages of a snapshot are not used again while it is open: release it soon.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot extends Reader {
  /** Gives the snapshot up; nothing may be read from it any more. */
  readonly release: () => void
}

/**
 * An open file with its records, which it reads as they are at present; while a commit
 * runs, as they were before it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment extends Reader {
  /** The longest key, in bytes. */
  readonly maxKeyBytes: number

  /** The longest value, in bytes. */
  readonly maxValueBytes: number

  /** The names of the databases that there are. */
  readonly databases: () => ReadonlyArray<string>

  /** Opens a database if there is one of that name. Does not wait for other processes. */
  readonly openDatabase: (name: string) => Exit.Exit<void, EngineFailure>

  /**
   * Opens databases, and creates those that do not exist, all or none, if the file can be written to.
   * Waits for a process that writes, but only when there is something to create.
   *
   * **Gotchas**
   *
   * Not to be run while a commit runs.
   */
  readonly createDatabases: (names: ReadonlyArray<string>) => Effect.Effect<void, EngineFailure>

  /** Opens a snapshot of the present records. */
  readonly snapshot: () => Exit.Exit<Snapshot, EngineFailure>

  /**
   * Makes one transaction, all or nothing; it is on disk when the effect returns
   * (`durability: "sync"`). Gives the number of the transaction, by which they
   * follow one another, or `undefined` when its plan gave it up.
   *
   * **Details**
   *
   * Not to be run twice at a time. Once begun it cannot be interrupted. An empty
   * batch makes a transaction too.
   */
  readonly commit: (plan: Plan) => Effect.Effect<number | undefined, EngineFull | EngineFailure>

  /**
   * Sets the size of the map, and with it the limit that `commit` keeps. A map is
   * never smaller than its file.
   *
   * **Details**
   *
   * The engine holds back some pages of the map for deletions, since a full file
   * needs a few free pages to delete anything; `useReserve` gives them free.
   *
   * While a snapshot is open the limit is kept by an estimate of what a batch needs,
   * which is more than it will take.
   *
   * **Gotchas**
   *
   * Nothing else may be called while it runs, but to read or release a snapshot.
   */
  readonly resize: (
    mapSize: number,
    options: { readonly useReserve: boolean }
  ) => Effect.Effect<void, EngineFailure>

  /**
   * Whether `resize` would let the limit be seen exactly again: it was resized while
   * snapshots were open, and they are gone.
   */
  readonly mustResize: () => boolean

  /** The figures of the environment. */
  readonly stats: () => Exit.Exit<EngineStats, EngineFailure>

  /**
   * Writes a consistent copy to a path where there is none yet, while the
   * environment is in use. Once begun it cannot be interrupted.
   */
  readonly backup: (path: string, options: { readonly compact: boolean }) => Effect.Effect<void, EngineFailure>
}

/**
 * A storage engine: it opens environments. The scope closes what was opened.
 *
 * @category services
 * @since 0.1.0
 */
export class Engine extends Context.Service<Engine, {
  /** The name of the file inside the folder of a store. */
  readonly fileName: string
  /** Opens or creates the environment at a path. Waits for other processes; the wait can be interrupted. */
  readonly open: (options: EngineOptions) => Effect.Effect<Environment, OpenFailed, Scope.Scope>
}>()("effect-lmdb/Engine") {}
