/**
 * The options of a store, and what they mean when they are not given.
 *
 * @since 0.1.0
 */
import type * as ByteSize from "effect/ByteSize"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import type { Key } from "./Key.ts"

/**
 * What a store is opened with. Only `path` is required.
 *
 * **Details**
 *
 * Sizes take what `ByteSize` takes (`"64 MiB"`, a number of bytes), times what
 * `Duration` takes (`"1 second"`, a number of milliseconds). An option that makes
 * no sense is an `OpenFailed` with the reason `BadOption` and the option's name.
 *
 * @category options
 * @since 0.1.0
 */
export interface StoreOptions {
  /**
   * The folder of the store, or its file when `subdirectory` is `false`. Missing folders are made.
   * New files and folders are for their owner only.
   */
  readonly path: string
  /** Whether `path` is a folder. Default: `true`. */
  readonly subdirectory?: boolean | undefined
  /**
   * Whether writes are refused; no database is created then. A reader has to write to the lock file, unless the mode
   * of the database lets nobody write to it (`chmod a-w`). Default: `false`.
   */
  readonly readOnly?: boolean | undefined
  /**
   * Whether several processes, or threads, may have the store open for writing at the same time. Every one
   * of them must set it. `insert`, `update`, `deleteOrFail` and the writes of a collection with a unique index
   * are then checked inside of the commit and return after it, so that they are exact across processes.
   * Without it, one process writes at a time. Processes that only read are let in with and without it.
   * Default: `false`.
   */
  readonly shared?: boolean | undefined
  /**
   * How long to wait for another process that has the store open, before the opening fails with `AlreadyOpen`.
   * An infinite duration waits until that process ends. Default: 3 seconds.
   */
  readonly lockTimeout?: Duration.Input | undefined
  /**
   * Whether the store is locked against other processes. With `false` the program itself must see to it that
   * no two processes write, that all processes are of one PID namespace, and that no process opens the store while
   * another one creates it. Otherwise the data may be damaged, or the event loop may stop. It is for platforms
   * and file systems without locks, where opening fails with `LockUnavailable`. Default: `true`.
   */
  readonly lock?: boolean | undefined
  /**
   * Whether the store may be opened in a worker thread. When a thread ends with `worker.terminate()` while LMDB
   * works for it, the whole process aborts or hangs. Set it only where threads close their stores before they end.
   * Several threads also need `shared`. Default: `false`.
   */
  readonly allowWorkerThread?: boolean | undefined
  /** How many pending writes, counted by distinct keys, start a commit. Default: 1000. */
  readonly batchSize?: number | undefined
  /** How many bytes of pending writes, encoded, start a commit. Default: 4 MiB. */
  readonly batchBytes?: ByteSize.Input | undefined
  /** No write stays pending for longer; an infinite duration turns this off. Default: 1 second. */
  readonly flushInterval?: Duration.Input | undefined
  /**
   * Whether a read that the pending writes do not answer commits them first.
   *
   * Reads see pending writes in any case. A commit that fails does not fail the
   * read: its error reaches the next `put`, `flush` or `close`. `size`, `count` and streams
   * are reads; `stats`, `changes` and the `verify` of a collection only observe, and commit
   * nothing. Default: `false`.
   */
  readonly autoFlushOnRead?: boolean | undefined
  /** The encoding of string keys; `"binary"` refuses strings. Default: `"utf8"`. */
  readonly keyEncoding?: "utf8" | "utf16le" | "latin1" | "ascii" | "binary" | undefined
  /** What happens to a character of a key that the encoding cannot express. Default: `"strict"`, an error. */
  readonly keyErrors?: "strict" | "replace" | "ignore" | undefined
  /** The normal form that string keys are brought into. Default: none. */
  readonly keyNormalization?: "NFC" | "NFD" | "NFKC" | "NFKD" | undefined
  /** Shows a key in error messages in place of the built-in rule. */
  readonly formatKey?: ((key: Key) => string) | undefined
  /** The initial size of the map, at least 256 KiB. Default: 64 MiB, or `maxMapSize` where that is less. */
  readonly mapSize?: ByteSize.Input | undefined
  /**
   * The hard limit of the file. A file of an earlier, higher limit that ends within some 32 KiB of
   * this one may have no page left to delete with. Default: none.
   */
  readonly maxMapSize?: ByteSize.Input | undefined
  /**
   * The schedule by which a batch is tried again after the map grew for it.
   * Default: at once, at most ten times, each time at least twice the size. Schedules cannot be
   * compared: where a process opens a path twice, that of the first counts until the store closes.
   */
  readonly resize?: Schedule.Schedule<unknown> | undefined
  /**
   * The schedule by which a transaction runs again after a conflict. Default: at once,
   * at most a hundred times.
   */
  readonly transactionRetry?: Schedule.Schedule<unknown> | undefined
  /**
   * `"sync"`: a commit is on disk when it returns. `"noSync"`: the operating
   * system decides when; a crash of the machine may then damage the file.
   * Default: `"sync"`.
   */
  readonly durability?: "sync" | "noSync" | undefined
  /**
   * What happens when the store closes and its last commit fails, so that pending writes are lost.
   * `"die"`: the scope fails with a defect, the `MapFull` or `EngineFailure` whose `lost` names the
   * keys, and a program that `NodeRuntime.runMain` runs exits with code 1. `"log"`: the error is
   * logged and the scope closes as if nothing had happened. Default: `"die"`.
   */
  readonly closeFailure?: "die" | "log" | undefined
  /**
   * The permissions of files that are created, as for `chmod`, less the mask of the process;
   * they must let their owner read and write. Folders can be entered by whoever may read the
   * files. What is there keeps its permissions. Default: `0o600`, for the owner only.
   */
  readonly fileMode?: number | undefined
  /**
   * Whether values of about 1000 bytes and more are compressed (LZ4). Values that were compressed can be
   * read without this option too. Default: `false`.
   */
  readonly compression?: boolean | undefined
  /**
   * Whether each value that is written gets a checksum (CRC-32, five bytes), so that a bit
   * that flips on the disk is a `ValueDecoding` and not another value. Values that have one
   * are checked whenever they are read, also without this option. Default: `false`.
   */
  readonly checksums?: boolean | undefined
  /**
   * Whether every page of the file is checked when it is opened; damage is then an `OpenFailed`.
   * The engine trusts its pages, and a damaged one may end the process otherwise. What is checked
   * in any case are the header, the list of free pages and the roots. It takes about a second or
   * two for each gigabyte, three times that for an encrypted file. Default: only files of at most
   * 64 MiB, so that no opening takes long.
   */
  readonly verify?: boolean | undefined
  /** Encrypts the file (ChaCha8); 32 bytes of UTF-8. Default: none. */
  readonly encryptionKey?: Redacted.Redacted | undefined
}

/**
 * What a store on any backend is opened with. The other options of a store are those of LMDB's files.
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
  /** What errors, logs and metrics call the store, where those of a store on LMDB have its path. */
  readonly name: string
}
