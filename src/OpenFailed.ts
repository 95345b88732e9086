/**
 * The error of opening a store.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { StoreHolder } from "./StoreHolder.ts"

/**
 * Why a store could not be opened.
 *
 * **Details**
 *
 * - `BadOption`: an option makes no sense, or a map of its size has no place; the field `option` names it
 * - `Missing`: nothing is there and `readOnly` forbids to create it, or a parent is no folder
 * - `Permission`: the folder or a file may not be read or written, or the file system is read-only. A reader
 *   has to write to the lock file, unless the mode of the database lets nobody write to it
 * - `NotADatabase`: the file is something else, or a database of stock LMDB
 * - `Truncated`: the file is shorter than its own header says
 * - `Encrypted`: the encryption key is missing, superfluous or wrong
 * - `UnsupportedFormat`: a later version of this package, or another program of the engine, wrote the file
 * - `AlreadyOpen`: another process, thread or copy of this package has it open, and is named in the field `holder`
 *   where it is known; or it is open in this process with another value of the option that the field `option` names
 * - `WorkerThread`: this is a worker thread, and the option `allowWorkerThread` is not set
 * - `LockUnavailable`: the platform or the file system has no locks to keep other processes out
 * - `Engine`: the engine refused for another reason; `cause` has it
 *
 * @category errors
 * @since 0.1.0
 */
export const OpenFailedReason = Schema.Literals([
  "BadOption",
  "Missing",
  "Permission",
  "NotADatabase",
  "Truncated",
  "Encrypted",
  "UnsupportedFormat",
  "AlreadyOpen",
  "WorkerThread",
  "LockUnavailable",
  "Engine"
])

/**
 * Why a store could not be opened, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type OpenFailedReason = typeof OpenFailedReason.Type

/**
 * The store could not be opened. No file was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class OpenFailed extends Schema.TaggedError<OpenFailed>("effect-lmdb/OpenFailed")("OpenFailed", {
  /** Why. */
  reason: OpenFailedReason,
  /** The folder or file that was to be opened. */
  path: Schema.String,
  /** What is wrong and what to do. */
  detail: Schema.String,
  /** The name of the option that makes no sense (`BadOption`), or is another where the store is open (`AlreadyOpen`). */
  option: Schema.optional(Schema.String),
  /** The process that has the store open, with the reason `AlreadyOpen`, where it is known. */
  holder: Schema.optional(StoreHolder),
  /** What the operating system or the engine said, where it did. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Says what could not be opened and why. */
  override get message(): string {
    return this.option === undefined
      ? `Cannot open the store at ${this.path}: ${this.detail}`
      : `Cannot open the store at ${this.path}: option ${this.option}: ${this.detail}`
  }
}
