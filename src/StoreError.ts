/**
 * Every error that a store can fail with.
 *
 * Each one is a tagged, yieldable class: catch it with `Effect.catchTag`, act on
 * its fields, show its `message` to a person. Each method of `Store` lists in its
 * type exactly the errors of this module that it can give.
 *
 * Keys stand in errors only as they are shown to a person (`formatKey`); values
 * never do.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { bytes, count } from "./internal/quantity.ts"
import { LostWrites, showLost } from "./LostWrites.ts"
import { StoreHolder } from "./StoreHolder.ts"

const inCollection = ({ collection }: { readonly collection?: string | undefined }): string =>
  collection === undefined ? "" : ` in collection "${collection}"`

/**
 * Writes do not fit into the file under `maxMapSize`.
 *
 * **Details**
 *
 * What is on disk is as before. What became of the writes is the field `outcome`:
 *
 * - `pending`: nothing is lost, they stay pending and readable. The next commit takes
 *   them along. From `put` and `update` it is the error of earlier writes; their own
 *   was not taken.
 * - `notMade`: `putMany`, `deleteMany`, `deleteRange`, `clear`, a transaction or a write of a
 *   collection made none of its writes. Other writes that are pending stay pending.
 * - `lost`: the store closed. `lost` names the keys.
 *
 * Delete pending or stored keys, `clear` the store, or open it with a larger `maxMapSize`.
 *
 * Deletions made after a `MapFull` are there to make room: they may be committed
 * ahead of the values that wait, in as many transactions as it takes.
 *
 * @category errors
 * @since 0.1.0
 */
export class MapFull extends Schema.TaggedError<MapFull>("effect-lmdb/MapFull")("MapFull", {
  /** `maxMapSize` in bytes, or the size of the map where `resize` allowed no more growth. */
  limit: Schema.Number,
  /** The length of the file, in bytes. */
  used: Schema.Number,
  /** How many writes did not fit. */
  pending: Schema.Number,
  /** What became of these writes. */
  outcome: Schema.Literals(["pending", "notMade", "lost"]),
  /** What is lost, with the outcome `lost`. */
  lost: Schema.optional(LostWrites)
}) {
  /** Says the limit, the file's length, how many writes did not fit, what became of them, and what to do. */
  override get message(): string {
    const whatHappened = `${count(this.pending, "write")} did not fit: they need more room than is left in the file, ` +
      `which has ${bytes(this.used)} of at most ${bytes(this.limit)}.`
    const advice = "delete keys, clear the store or raise maxMapSize"
    switch (this.outcome) {
      case "pending":
        return `${whatHappened} They stay pending and readable; ${advice}, and the next commit takes them along.`
      case "notMade":
        return `${whatHappened} None of them was made; ${advice}, and try again.`
      case "lost":
        return `${whatHappened} Raise maxMapSize before you open the store again, or delete keys then.${
          this.lost === undefined ? "" : ` ${showLost(this.lost)}`
        }`
    }
  }
}

/**
 * The store is closed, or closing; or the transaction that the call belongs to has
 * ended; or the collection was opened by another definition since.
 *
 * **Details**
 *
 * A fiber that was forked inside of a transaction belongs to it, and may outlive it:
 * what it asks of the store then fails with `what: "Transaction"`.
 *
 * A collection that was opened again, with other schemas or indexes, in this process or in
 * another one, is written to by that definition alone: writes of an earlier one fail with
 * `what: "Collection"`, since they would lack in the indexes or be of another version.
 *
 * @category errors
 * @since 0.1.0
 */
export class Closed extends Schema.TaggedError<Closed>("effect-lmdb/Closed")("Closed", {
  /** The folder or file of the store. */
  path: Schema.String,
  /** What has ended. */
  what: Schema.Literals(["Store", "Transaction", "Collection"])
}) {
  /** Says what has ended. */
  override get message(): string {
    switch (this.what) {
      case "Store":
        return `The store at ${this.path} is closed or closing.`
      case "Transaction":
        return `The transaction on the store at ${this.path} has ended; a fiber that was forked inside of it still used it.`
      case "Collection":
        return `This definition of a collection of the store at ${this.path} may not write any more: another definition ` +
          "of the collection, in this process or another one, has taken it over; start this process again with the " +
          "program that the other one runs."
    }
  }
}

/**
 * A transaction was given up: each time that it was to be committed, others had
 * written what it had read.
 *
 * **Details**
 *
 * Nothing of it was written. The schedule of its retries is the option
 * `transactionRetry`.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionConflict extends Schema.TaggedError<TransactionConflict>("effect-lmdb/TransactionConflict")(
  "TransactionConflict",
  {
    /** The folder or file of the store. */
    path: Schema.String,
    /** How often the transaction ran. */
    attempts: Schema.Number
  }
) {
  /** Says how often it ran and what to do. */
  override get message(): string {
    return `A transaction on the store at ${this.path} was given up after ${count(this.attempts, "attempt")}: others ` +
      "wrote what it had read. Make it shorter, or give transactionRetry a longer schedule."
  }
}

/**
 * A subscriber to the changes of a store was too slow: more changes than its
 * capacity were waiting for it. It gets those that waited, and then this error.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChangesMissed extends Schema.TaggedError<ChangesMissed>("effect-lmdb/ChangesMissed")("ChangesMissed", {
  /** The folder or file of the store. */
  path: Schema.String,
  /** How many changes may wait. */
  capacity: Schema.Number
}) {
  /** Says how many changes may wait and what to do. */
  override get message(): string {
    return `More than ${
      count(this.capacity, "change")
    } of the store at ${this.path} waited for a subscriber. Read what ` +
      "is stored and subscribe again, or give a larger capacity."
  }
}

/**
 * Why a key was refused.
 *
 * **Details**
 *
 * - `Empty`: no bytes are left, LMDB has no empty keys
 * - `TooLong`: more bytes than the engine allows (1978)
 * - `LoneSurrogate`: the string is not well-formed Unicode (`keyErrors: "strict"`)
 * - `NotInEncoding`: a character that `keyEncoding` cannot express (`keyErrors: "strict"`)
 * - `StringNotAllowed`: a string although `keyEncoding` is `"binary"`
 * - `WrongType`: neither a string nor bytes
 * - `NotDecodable`: a stored key that is no text in `keyEncoding`, when text was asked for, or
 *   does not decode by the schema of its collection
 * - `Schema`: not a key of the schema of its collection, or one that has no order (`NaN`)
 * - `Argument`: what chooses keys makes no sense: a range with an end that is `undefined`, with a
 *   property that ranges do not have or with a limit that is no whole number; a list of keys that is
 *   text or bytes. `key` names it
 *
 * @category errors
 * @since 0.1.0
 */
export const KeyEncodingReason = Schema.Literals([
  "Empty",
  "TooLong",
  "LoneSurrogate",
  "NotInEncoding",
  "StringNotAllowed",
  "WrongType",
  "NotDecodable",
  "Schema",
  "Argument"
])

/**
 * Why a key was refused, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type KeyEncodingReason = typeof KeyEncodingReason.Type

/**
 * A key was refused, before anything was read or written.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyEncoding extends Schema.TaggedError<KeyEncoding>("effect-lmdb/KeyEncoding")("KeyEncoding", {
  /** Why the key was refused. */
  reason: KeyEncodingReason,
  /** The key as it is shown to a person, or the name of the argument. */
  key: Schema.String,
  /** What is wrong with it and what to do. */
  detail: Schema.String,
  /** The collection, or the index as `collection.index`, where it is the key of one. */
  collection: Schema.optional(Schema.String)
}) {
  /** Shows the key, what is wrong with it and what to do. */
  override get message(): string {
    const what = this.reason === "Argument" ? `argument ${this.key.replace(/^the /, "")}` : `key ${this.key}`
    return `Bad ${what}${inCollection(this)}: ${this.detail}`
  }
}

/**
 * There is no value under the key, and the method called wants one.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyNotFound extends Schema.TaggedError<KeyNotFound>("effect-lmdb/KeyNotFound")("KeyNotFound", {
  /** The key as it is shown to a person. */
  key: Schema.String,
  /** The collection, or the index as `collection.index`, where it was looked for in one. */
  collection: Schema.optional(Schema.String)
}) {
  /** Shows the key. */
  override get message(): string {
    return `Key not found${inCollection(this)}: ${this.key}`
  }
}

/**
 * The value cannot be stored: it is or contains a function, a symbol, a promise
 * or another thing that has no bytes, or it has more bytes than the engine can write.
 *
 * @category errors
 * @since 0.1.0
 */
export class ValueEncoding extends Schema.TaggedError<ValueEncoding>("effect-lmdb/ValueEncoding")("ValueEncoding", {
  /** The key, as shown to a person, under which the value was to be stored. */
  key: Schema.String,
  /** What cannot be stored. */
  detail: Schema.String,
  /** The collection that it was to be stored in, if any. */
  collection: Schema.optional(Schema.String),
  /** What the codec threw, or what the schema says. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Shows the key and what cannot be stored. */
  override get message(): string {
    return `The value for key ${this.key}${inCollection(this)} cannot be stored: ${this.detail}`
  }
}

/**
 * The bytes stored under the key are not a value that this package wrote, or the value does not fit the schema of
 * its collection.
 *
 * @category errors
 * @since 0.1.0
 */
export class ValueDecoding extends Schema.TaggedError<ValueDecoding>("effect-lmdb/ValueDecoding")("ValueDecoding", {
  /** The key as it is shown to a person. */
  key: Schema.String,
  /** What is wrong with the bytes. */
  detail: Schema.String,
  /** The collection that they are stored in, if any. */
  collection: Schema.optional(Schema.String),
  /** What the codec threw, or what the schema says. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Shows the key and what is wrong with the bytes under it, or with their value. */
  override get message(): string {
    if (Schema.isSchemaError(this.cause)) {
      return `The value stored under key ${this.key}${inCollection(this)} does not fit the schema: ${this.detail}`
    }
    return `The bytes stored under key ${this.key}${inCollection(this)} are not a value: ${this.detail}`
  }
}

/**
 * A write on a store that was opened with `readOnly: true`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadOnly extends Schema.TaggedError<ReadOnly>("effect-lmdb/ReadOnly")("ReadOnly", {
  /** The folder or file of the store. */
  path: Schema.String
}) {
  /** Says which store is read-only. */
  override get message(): string {
    return `The store at ${this.path} was opened read-only; writes are not allowed.`
  }
}

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

/**
 * The engine failed: input or output, a full disk, corruption, too many readers, files that were moved.
 *
 * **Details**
 *
 * `code` is a positive `errno` of the operating system (5 input/output, 28 no
 * space left), or a negative code of LMDB as in its `lmdb.h` (-30796 corrupted,
 * -30790 readers full); 0 where the engine gave none. Writes that were pending
 * stay pending, unless the store was closing: `lost` then names their keys.
 *
 * A commit fails when the file of the store or its lock file was removed or renamed
 * (`code` 2) or replaced (`code` 116) while the store was open. Nothing is written to the file that is
 * there now. The store can still be read. Put the file back, or close the store and open it again.
 *
 * The map of a store cannot grow where the process has no addresses for it (`code` 12), as
 * under `ulimit -v`.
 *
 * @category errors
 * @since 0.1.0
 */
export class EngineFailure extends Schema.TaggedError<EngineFailure>("effect-lmdb/EngineFailure")("EngineFailure", {
  /** What the engine was asked to do: `get`, `commit`, `grow`, `backup` ... */
  operation: Schema.String,
  /** The engine's own number for what happened. */
  code: Schema.Number,
  /** What the engine said. */
  detail: Schema.String,
  /** Whether the same call may succeed later, when space or readers are free again. */
  isRetryable: Schema.Boolean,
  /** What is lost, where the last commit of a store that closed failed. */
  lost: Schema.optional(LostWrites),
  /** What the engine threw. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Says what the engine was doing, what it said, and what is lost. */
  override get message(): string {
    const whatHappened = `The engine failed to ${this.operation} (code ${this.code}): ${this.detail}`
    return this.lost === undefined ? whatHappened : `${whatHappened}. ${showLost(this.lost)}`
  }
}

/**
 * What a commit of pending writes, of `putMany` or of a transaction can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type CommitError = MapFull | EngineFailure
