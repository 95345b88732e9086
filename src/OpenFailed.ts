/**
 * Defines the error of opening a store.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { StoreHolder } from "./StoreHolder.ts"

const why = {
  /** What is wrong and what to do. */
  detail: Schema.String
}

/**
 * Tells why a store could not be opened: the field `reason` of `OpenFailed`, by its `_tag`.
 *
 * **Details**
 *
 * - `BadOption`: the value of an option is not valid, or the process has too few addresses for a map of this size. The
 *   field `option` names the option.
 * - `Missing`: the store does not exist and `readOnly` does not allow to create it, or a parent is not a folder.
 * - `Permission`: the process may not read or write the folder or a file, or the file system is read-only. A reader
 *   must be able to write to the lock file, unless the mode of the database file allows no process to write to it.
 * - `NotADatabase`: the file is not a database, or it is a database of stock LMDB.
 * - `Truncated`: the file is shorter than its header says.
 * - `Encrypted`: the encryption key is missing or wrong, or the file is not encrypted.
 * - `UnsupportedFormat`: a later version of this package, or another program that uses the engine, has written the file.
 * - `AlreadyOpen`: another process, thread or copy of this package has the store open. The field `holder` names it if it
 *   is known. Or this process has it open with another value of the option that the field `option` names.
 * - `WorkerThread`: this is a worker thread, and the option `allowWorkerThread` is not set.
 * - `LockUnavailable`: the platform or the file system has no file locks, so other processes could open the store too.
 * - `Unreachable`: the database server of a store on PostgreSQL does not answer. Opening may succeed later.
 * - `Unsupported`: the database server is too old, or it cannot keep the promises of a store.
 * - `Engine`: the engine has failed for another reason, which is in `cause`.
 *
 * @category errors
 * @since 0.1.0
 */
export const OpenFailedReason = Schema.TaggedUnion({
  BadOption: { ...why, option: Schema.String },
  Missing: why,
  Permission: why,
  NotADatabase: why,
  Truncated: why,
  Encrypted: why,
  UnsupportedFormat: why,
  AlreadyOpen: { ...why, option: Schema.optional(Schema.String), holder: Schema.optional(StoreHolder) },
  WorkerThread: why,
  LockUnavailable: why,
  Unreachable: why,
  Unsupported: why,
  Engine: why
})

/**
 * The reason why a store could not be opened, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type OpenFailedReason = typeof OpenFailedReason.Type

/**
 * The store could not be opened. No file was changed.
 *
 * **Example** (Another answer for one reason)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Store } from "effect-lmdb"
 *
 * const program = Effect.scoped(Store.make({ path: "./none", readOnly: true })).pipe(
 *   Effect.asVoid,
 *   Effect.catchReason("OpenFailed", "Missing", ({ detail }) => Console.log(detail)) // => there is nothing at this path
 * )
 *
 * Effect.runPromise(program)
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class OpenFailed extends Schema.TaggedError<OpenFailed>("effect-lmdb/OpenFailed")("OpenFailed", {
  /** The reason: an object with `_tag`, for `Effect.catchReason`. */
  reason: OpenFailedReason,
  /** The folder or file of the store. */
  path: Schema.String,
  /** The error of the operating system or of the engine, if any. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Says what is wrong and what to do. The same as `reason.detail`. */
  get detail(): string {
    return this.reason.detail
  }
  /** Names the option that is not valid (`BadOption`), or that differs from the store that is open (`AlreadyOpen`). */
  get option(): string | undefined {
    return "option" in this.reason ? this.reason.option : undefined
  }
  /** Tells which process has the store open (`AlreadyOpen`), if it is known. */
  get holder(): StoreHolder | undefined {
    return "holder" in this.reason ? this.reason.holder : undefined
  }
  /** Says which store could not be opened and why. */
  override get message(): string {
    return this.option === undefined
      ? `Cannot open the store at ${this.path}: ${this.detail}`
      : `Cannot open the store at ${this.path}: option ${this.option}: ${this.detail}`
  }
}
