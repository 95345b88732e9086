/**
 * The error of opening a store.
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
  Engine: why
})

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
  /** Why: an object with `_tag`, as `Effect.catchReason` takes it. */
  reason: OpenFailedReason,
  /** The folder or file that was to be opened. */
  path: Schema.String,
  /** What the operating system or the engine said, where it did. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Says what is wrong and what to do, as the reason has it. */
  get detail(): string {
    return this.reason.detail
  }
  /** Names the option that makes no sense (`BadOption`), or has another value where the store is open (`AlreadyOpen`). */
  get option(): string | undefined {
    return "option" in this.reason ? this.reason.option : undefined
  }
  /** Tells which process has the store open, with the reason `AlreadyOpen`, where it is known. */
  get holder(): StoreHolder | undefined {
    return "holder" in this.reason ? this.reason.holder : undefined
  }
  /** Says what could not be opened and why. */
  override get message(): string {
    return this.option === undefined
      ? `Cannot open the store at ${this.path}: ${this.detail}`
      : `Cannot open the store at ${this.path}: option ${this.option}: ${this.detail}`
  }
}
