/**
 * Lists the options of a store and their defaults.
 *
 * @since 0.1.0
 */
import type * as ByteSize from "effect/ByteSize"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import type { ChangeLogOptions } from "./Change.ts"
import type { Key } from "./Key.ts"

/**
 * Configures a store. Only `path` is required.
 *
 * **Details**
 *
 * Sizes are inputs of `ByteSize` (`"64 MiB"`, a number of bytes), durations are inputs of
 * `Duration` (`"1 second"`, a number of milliseconds). If an option is not valid, opening fails with `OpenFailed`,
 * with the reason `BadOption` and the name of the option.
 *
 * @category options
 * @since 0.1.0
 */
export interface StoreOptions {
  /**
   * The folder of the store, or its file if `subdirectory` is `false`. Missing folders are created.
   * Only their owner can read new files and folders (see `fileMode`).
   */
  readonly path: string
  /** Whether `path` is a folder. Default: `true`. */
  readonly subdirectory?: boolean | undefined
  /**
   * Whether writes fail with `ReadOnly`. The store must exist. A reader needs write access to the lock file, unless
   * the mode of the database file allows no user to write to it (`chmod a-w`). Default: `false`.
   */
  readonly readOnly?: boolean | undefined
  /**
   * Whether several processes or threads may have the store open for writing at the same time. All of them
   * must set this option. `insert`, `update`, `deleteOrFail` and the writes of a collection with a unique index
   * are then decided inside the commit and durable when they return, so they are atomic across processes.
   * Without the option, only one process can have the store open for writing. Processes that only read can open it in
   * both cases. Default: `false`.
   */
  readonly shared?: boolean | undefined
  /**
   * How long to wait for another process that has the store open. After this time, opening fails with the reason
   * `AlreadyOpen`. With an infinite duration, it waits until that process closes the store or ends. Default: 3 seconds.
   */
  readonly lockTimeout?: Duration.Input | undefined
  /**
   * Whether the store is locked against other processes. With `false`, the program itself must ensure that
   * only one process writes at a time, that all processes are in one PID namespace, and that no process opens the store
   * while another one creates it. Otherwise the data can be damaged, or the event loop can block for ever. Use `false`
   * only on platforms and file systems without locks, where opening fails with the reason `LockUnavailable`.
   * Default: `true`.
   */
  readonly lock?: boolean | undefined
  /**
   * Whether the store may be opened in a worker thread. If `worker.terminate()` ends a thread while LMDB
   * works for it, the whole process aborts or hangs. Set this only if threads close their stores before they end.
   * Several threads also need `shared`. Default: `false`.
   */
  readonly allowWorkerThread?: boolean | undefined
  /** The number of distinct keys with pending writes that starts a commit. Default: 1000. */
  readonly batchSize?: number | undefined
  /** The size of the pending writes, keys and encoded values, that starts a commit. Default: 4 MiB. */
  readonly batchBytes?: ByteSize.Input | undefined
  /** The longest time that a write stays pending before a commit starts. `Infinity` means no limit. Default: 1 second. */
  readonly flushInterval?: Duration.Input | undefined
  /**
   * Whether a read commits the pending writes first, unless they already contain its answer.
   *
   * Reads see pending writes with and without this option. A failed commit does not fail the
   * read: the next `put`, `flush` or `close` fails with its error. `size`, `count` and streams
   * commit too. `stats`, `changes` and the `verify` of a collection never do. Default: `false`.
   */
  readonly autoFlushOnRead?: boolean | undefined
  /** The encoding of string keys. With `"binary"`, keys must be bytes. Default: `"utf8"`. */
  readonly keyEncoding?: "utf8" | "utf16le" | "latin1" | "ascii" | "binary" | undefined
  /**
   * What happens to a character of a key that the encoding cannot express: `"strict"` fails with `KeyEncoding`,
   * `"replace"` writes a replacement character, `"ignore"` leaves it out. Default: `"strict"`.
   */
  readonly keyErrors?: "strict" | "replace" | "ignore" | undefined
  /** The Unicode normal form to which string keys are converted. Default: no conversion. */
  readonly keyNormalization?: "NFC" | "NFD" | "NFKC" | "NFKD" | undefined
  /** Formats a key for error messages. Default: text in quotation marks, other bytes in
   * hexadecimal. */
  readonly formatKey?: ((key: Key) => string) | undefined
  /** The initial size of the memory map, at least 256 KiB. Default: 64 MiB, or `maxMapSize` if that is less. */
  readonly mapSize?: ByteSize.Input | undefined
  /**
   * The limit of the file size. If the file was written under a higher limit and its length is within about 32 KiB of
   * this one, it may have no free pages left for deletions. Default: no limit.
   */
  readonly maxMapSize?: ByteSize.Input | undefined
  /**
   * The schedule by which a commit is tried again after the map has grown for it. Each growth at least doubles the map.
   * Default: without a delay, at most ten times. Schedules cannot be compared: if a process opens a path twice, the
   * schedule of the first handle is used until the store closes.
   */
  readonly resize?: Schedule.Schedule<unknown> | undefined
  /**
   * The schedule by which a transaction runs again after a conflict. Default: without a delay,
   * at most a hundred times.
   */
  readonly transactionRetry?: Schedule.Schedule<unknown> | undefined
  /**
   * When a commit is durable. `"sync"`: it is on disk when it returns. `"relaxed"`: a commit waits for the disk once and
   * not twice. A crash of the machine can undo the last commit, and never damages the file. Every commit is on disk when
   * the next one returns, or the store has closed. `"noSync"`: the operating system writes a commit later, and a crash of
   * the machine can damage the file. Default: `"sync"`. A crash of the process alone loses no commit, with any of the three.
   */
  readonly durability?: "sync" | "relaxed" | "noSync" | undefined
  /**
   * What happens if the last commit of a store fails when it closes, so that pending writes are lost.
   * `"die"`: the scope fails with a defect, the `MapFull` or `EngineFailure` whose `lost` names the
   * keys. A program that `NodeRuntime.runMain` runs then exits with code 1. `"log"`: the error is
   * logged, and the scope succeeds. Default: `"die"`.
   */
  readonly closeFailure?: "die" | "log" | undefined
  /**
   * The permissions of new files, as for `chmod`. The `umask` of the process is applied.
   * Their owner must be able to read and write them. New folders can be entered by every user who can read the
   * files. Existing files keep their permissions. Default: `0o600`, for the owner only.
   */
  readonly fileMode?: number | undefined
  /**
   * Whether values of about 1000 bytes or more are compressed (LZ4) when they are written. Compressed values can be
   * read with and without this option. Default: `false`.
   */
  readonly compression?: boolean | undefined
  /**
   * Whether each written value gets a checksum (CRC-32, five bytes). If a bit of it changes on the disk, a read then
   * fails with `ValueDecoding` and does not return a wrong value. A value that has a checksum
   * is checked with and without this option. Default: `false`.
   */
  readonly checksums?: boolean | undefined
  /**
   * Whether every page of the file is checked when it is opened. Opening then fails with `OpenFailed` if a page is
   * damaged. LMDB does not check pages, and a damaged page can end the process. The header, the list of
   * free pages and the root pages are checked with `false` too. The full check takes one or two seconds for each gigabyte,
   * and three times as long for an encrypted file. Default: `true` for files of at most 64 MiB, except that no page is checked
   * in a file that is exactly as it was when the store was last closed. Only `true` finds bits that the disk itself has
   * changed since then.
   */
  readonly verify?: boolean | undefined
  /**
   * Keeps the changes of the last commits in the file, so that `changes({ since })` can continue after a restart and gives
   * the commits of other processes. Default: no log.
   */
  readonly changeLog?: ChangeLogOptions | undefined
  /** The key that encrypts the file (ChaCha8): 32 bytes of UTF-8. Default: no encryption. */
  readonly encryptionKey?: Redacted.Redacted | undefined
}

/**
 * Configures a store on any backend. The other options of `StoreOptions` concern the files of LMDB.
 *
 * @category options
 * @since 0.1.0
 */
export interface BackendStoreOptions extends
  Pick<
    StoreOptions,
    | "readOnly"
    | "shared"
    | "autoFlushOnRead"
    | "keyEncoding"
    | "keyErrors"
    | "keyNormalization"
    | "formatKey"
    | "transactionRetry"
    | "closeFailure"
    | "checksums"
  >
{
  /** The name of the store in errors, logs and metrics. It is used in place of the path of a store on LMDB. */
  readonly name: string
}
