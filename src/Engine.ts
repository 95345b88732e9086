/**
 * Defines what a store needs from a storage engine in its process.
 *
 * The store encodes keys and values, buffers writes, and retries. The engine keeps sorted records in a file,
 * reads them synchronously, and commits a batch of writes in one transaction. `Store.layer` uses LMDB as its engine.
 * Tests use engines that fail on demand.
 *
 * **Details**
 *
 * Reads are synchronous and return an `Exit`, so that the store can answer a read without a suspension, and
 * so that LMDB's write transaction can check what a batch was computed from. An `Exit` is an `Effect`:
 * a reader of an engine is also a `Reader` of a `Backend`. Every operation that waits for the disk is an effect.
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
import type { EngineReaders } from "./EngineReaders.ts"
import type { ByteString } from "./Key.ts"
import type { EngineFailure, OpenFailed } from "./StoreError.ts"
import type { StoreOpening } from "./StoreOpening.ts"

export type * from "./EngineReaders.ts"

/**
 * Describes one write to a named database: a value to store under a key, or `null` to delete the key.
 *
 * @category models
 * @since 0.1.0
 */
export type Write = readonly [database: string, key: ByteString, value: Uint8Array | null]

/**
 * Configures how an engine opens an environment.
 *
 * @category options
 * @since 0.1.0
 */
export interface EngineOptions {
  /** The folder, or the file if `subdirectory` is `false`. */
  readonly path: string
  /** Whether `path` is a folder that contains the files. */
  readonly subdirectory: boolean
  /** Whether the environment only reads. No file and no database is created. */
  readonly readOnly: boolean
  /** Whether other processes may also have the file open for writing. */
  readonly shared: boolean
  /** Whether the file is locked against other processes. */
  readonly lock: boolean
  /** How long to wait for another process that has the file open, before opening fails. */
  readonly lockTimeout: Duration.Duration
  /** Whether the file may be opened in a worker thread. */
  readonly allowWorkerThread: boolean
  /** The initial size of the map, in bytes. The file cannot be longer until `resize`. */
  readonly mapSize: number
  /**
   * The limit of the file size, in bytes. If the file is longer than `mapSize`, its map is made larger, up to this
   * limit. If the file is longer than the limit itself, the map has a few pages more than the file, because
   * deletions need free pages.
   */
  readonly maxMapSize: number | undefined
  /**
   * `"sync"`: a commit is on disk when it returns. `"relaxed"`: it is on disk when the next one returns, or the environment
   * closes. `"noSync"`: the operating system writes it later.
   */
  readonly durability: "sync" | "relaxed" | "noSync"
  /** The permissions of new files. The `umask` of the process is applied. */
  readonly fileMode: number
  /** Whether values are compressed. */
  readonly compression: boolean
  /** Whether all pages of the file are checked before it is used. `undefined`: only if the file is small. */
  readonly verify: boolean | undefined
  /** The key that encrypts the file: 32 bytes. */
  readonly encryptionKey: Redacted.Redacted | undefined
}

/**
 * Describes the size of an open environment after the last commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineStats {
  /** The size of the map, in bytes. */
  readonly mapSize: number
  /** The size of all pages in use, in bytes. */
  readonly usedBytes: number
  /** The length of the file, in bytes. */
  readonly fileBytes: number
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The highest number of slots for read transactions in use at the same time, in all processes. */
  readonly readers: number
}

/**
 * Reports that a batch does not fit into the map. Nothing was written.
 *
 * **Details**
 *
 * The caller must call `resize` before the next commit, even with the same size. Until then the engine refuses to
 * commit, because LMDB may have enlarged its map and would not keep the limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class EngineFull extends Data.TaggedError("EngineFull")<{
  /** The size of the map that was too small, in bytes. */
  readonly mapSize: number
  /**
   * The size, in bytes, that the batch needs at least. If it is equal to `mapSize`, a `resize` to the same size is
   * enough.
   */
  readonly needed: number
}> {}

/**
 * Describes what one transaction writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Batch {
  /** The databases that are cleared before the writes. */
  readonly clear: ReadonlyArray<string>
  /** The writes: at most one for each key. */
  readonly writes: Iterable<Write>
  /** Which writes delete a record because it has expired, by database and key. An engine can ignore it. */
  readonly expired?: ReadonlyMap<string, ReadonlySet<ByteString>> | undefined
  /**
   * Called inside the transaction when the batch is written and fits. The wait for the disk comes after it, and
   * the commit may still fail. An engine that cannot tell this moment does not call it.
   */
  readonly onFitted?: () => void
  /** Called when reads begin to see the batch. Not called if the transaction fails. */
  readonly onWritten?: () => void
}

/**
 * Decides inside a write transaction what it writes. `undefined` aborts the transaction.
 *
 * **Details**
 *
 * `present` reads the state before the transaction. `transactionId` is the number of the transaction, which `commit`
 * returns. A plan is synchronous. It runs again if the transaction is tried again: only its last run counts.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = (present: Reader, transactionId: number) => Exit.Exit<Batch | undefined, EngineFailure>

/**
 * Describes one end of a range of keys.
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
 * Describes a range of keys in the order of their bytes. An end that is `undefined` has no bound.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyRange {
  readonly from: Bound | undefined
  readonly to: Bound | undefined
}

/**
 * Describes which part of a range one call reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface RangeRequest extends KeyRange {
  /** Whether the range is read from its last key to its first. */
  readonly reverse: boolean
  /** Whether values are read. If not, the bytes of the values are empty. */
  readonly values: boolean
  /** The maximum number of records. */
  readonly maxRecords: number
  /** Reading stops after the record whose value brings the total size of the values to this many bytes. */
  readonly maxBytes: number
}

/**
 * Contains the records of a part of a range.
 *
 * @category models
 * @since 0.1.0
 */
export interface RangePart {
  readonly records: ReadonlyArray<readonly [key: ByteString, value: Uint8Array]>
  /** The range after these records that is still to be read; `undefined` at its end. */
  readonly rest: KeyRange | undefined
}

/**
 * Reads records synchronously. A database that does not exist is read as an empty one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  /**
   * Reads a value and decodes it. Returns `undefined` if the key has none.
   *
   * **Gotchas**
   *
   * The bytes are valid only while `decode` runs, because the engine reuses their memory for the next read. Only the
   * first `length` bytes of their `ArrayBuffer` belong to the value.
   */
  readonly get: <A>(
    database: string,
    key: ByteString,
    decode: (bytes: Uint8Array) => A
  ) => Exit.Exit<A | undefined, EngineFailure>

  /** Reads values and decodes them, in the order of the list. A key without a value gives `undefined`. */
  readonly getMany: <A>(
    database: string,
    keys: ReadonlyArray<ByteString>,
    decode: (bytes: Uint8Array, at: number) => A
  ) => Exit.Exit<ReadonlyArray<A | undefined>, EngineFailure>

  /** Tells whether a key has a value. */
  readonly has: (database: string, key: ByteString) => Exit.Exit<boolean, EngineFailure>

  /** Reads a part of a range. */
  readonly read: (database: string, request: RangeRequest) => Exit.Exit<RangePart, EngineFailure>

  /** Counts the records of a database. */
  readonly count: (database: string) => Exit.Exit<number, EngineFailure>
}

/**
 * Reads the records of one moment. Later writes do not change what it reads.
 *
 * **Gotchas**
 *
 * While a snapshot is open, the engine cannot reuse its pages, and the file grows: release it soon.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot extends Reader {
  /** Releases the snapshot. It must not be read after that. */
  readonly release: () => void
}

/**
 * Reads and writes the records of an open file. Reads see the state after the last commit. While a commit runs, they see
 * the state before it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Environment extends Reader {
  /** The maximum length of a key, in bytes. */
  readonly maxKeyBytes: number

  /** The maximum length of a value, in bytes. */
  readonly maxValueBytes: number

  /** Identifies this opening among those of all processes. Missing if the engine knows nothing of other processes. */
  readonly opening?: StoreOpening | undefined

  /** Lists the names of all databases that are open. */
  readonly databases: () => ReadonlyArray<string>

  /**
   * Opens a database if it exists. Does not wait for other processes.
   *
   * **Details**
   *
   * An environment that only reads or is `shared` also opens what other processes have created: when it is read, and when a
   * snapshot is opened.
   */
  readonly openDatabase: (name: string) => Exit.Exit<void, EngineFailure>

  /**
   * Opens databases. Creates those that do not exist, all of them or none, unless the environment only reads.
   * Waits for other processes that write, but only if a database has to be created.
   *
   * **Gotchas**
   *
   * It must not run at the same time as a commit.
   */
  readonly createDatabases: (names: ReadonlyArray<string>) => Effect.Effect<void, EngineFailure>

  /** Opens a snapshot of the current state. */
  readonly snapshot: () => Exit.Exit<Snapshot, EngineFailure>

  /**
   * Returns the number of the last transaction, of any process, that reads see.
   *
   * **Details**
   *
   * A snapshot that is opened in the same turn includes this transaction, and possibly later ones of other processes.
   * While a commit runs, the number may be lower than that of the last transaction of another process.
   */
  readonly transactionId: () => Exit.Exit<number, EngineFailure>

  /**
   * Commits one transaction: all of its writes or none. With `durability: "sync"`, it is on disk when the effect returns.
   *
   * **Details**
   *
   * Returns the number of the transaction, or `undefined` if its plan has aborted it. Later transactions have higher
   * numbers, without gaps. An empty batch commits a transaction too. Only one commit may run at a time. Once begun, it
   * cannot be interrupted. Fails with `EngineFull` if the batch does not fit into the map, and with `EngineFailure` for
   * every other reason.
   */
  readonly commit: (plan: Plan) => Effect.Effect<number | undefined, EngineFull | EngineFailure>

  /**
   * Sets the size of the map, which is the limit that `commit` keeps. A map is never smaller than its file.
   *
   * **Details**
   *
   * Deletions from a full file need a few free pages. The engine reserves some pages of the map for them.
   * With `useReserve`, the next commits may use these pages.
   *
   * While a snapshot is open, the engine cannot see the exact limit. It then estimates how many pages a batch needs,
   * and never too few.
   *
   * **Gotchas**
   *
   * While it runs, no other method may be called. Open snapshots may be read and released.
   */
  readonly resize: (
    mapSize: number,
    options: { readonly useReserve: boolean }
  ) => Effect.Effect<void, EngineFailure>

  /**
   * Tells whether a `resize` to the same size would make the exact limit visible again, because the snapshots that were
   * open during the last `resize` have been released.
   */
  readonly mustResize: () => boolean

  /** Reads the statistics of the environment. */
  readonly stats: () => Exit.Exit<EngineStats, EngineFailure>

  /** Reads the size of the pages of each database, in bytes, by its name. Missing if the engine does not know it. */
  readonly databaseBytes?: (() => Exit.Exit<ReadonlyMap<string, number>, EngineFailure>) | undefined

  /** Lists the readers, and frees the slots of processes that have ended. Missing if the engine has no list. */
  readonly readers?: {
    readonly list: () => Exit.Exit<EngineReaders, EngineFailure>
    readonly clear: () => Exit.Exit<number, EngineFailure>
  } | undefined

  /**
   * Writes a consistent copy of the committed records to a path at which no file exists, while the environment is in
   * use. Once begun, it cannot be interrupted.
   */
  readonly backup: (path: string, options: { readonly compact: boolean }) => Effect.Effect<void, EngineFailure>
}

/**
 * Opens environments. They are closed at the end of their scope.
 *
 * @category services
 * @since 0.1.0
 */
export class Engine extends Context.Service<Engine, {
  /** The name of the file inside the folder of a store. */
  readonly fileName: string
  /** Opens or creates the environment at a path. Waits for other processes up to `lockTimeout`. It can be interrupted. */
  readonly open: (options: EngineOptions) => Effect.Effect<Environment, OpenFailed, Scope.Scope>
}>()("effect-lmdb/Engine") {}
