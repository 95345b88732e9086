/**
 * Every error that a store can fail with.
 *
 * Each one is a tagged, yieldable class: catch it with `Effect.catchTag`, act on
 * its fields, show its `message` to a person. Each method of `Store` lists in its
 * type exactly the errors of this module that it can give.
 *
 * An error about a key has the key itself, and a text of it that `formatKey` decides. Logs and
 * encoded errors have only the text. Values stand in no error.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { CollectionFailed } from "./CollectionError.ts"
import { EngineFailure, MapFull } from "./CommitError.ts"
import { count } from "./internal/quantity.ts"
import { KeyEncoding } from "./KeyError.ts"
import { OpenFailed } from "./OpenFailed.ts"
import { ValueDecoding, ValueEncoding } from "./ValueError.ts"

export * from "./CommitError.ts"
export * from "./KeyError.ts"
export * from "./OpenFailed.ts"
export * from "./ValueError.ts"

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
 * **Details**
 *
 * With `since` it is the error of a subscriber whose transaction is older than the change log, or not in it: the store keeps no log
 * (option `changeLog`), its log began later, or the file was replaced by a copy.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChangesMissed extends Schema.TaggedError<ChangesMissed>("effect-lmdb/ChangesMissed")("ChangesMissed", {
  /** The folder or file of the store. */
  path: Schema.String,
  /** How many changes may wait; 0 where the changes were to come from the change log. */
  capacity: Schema.Number,
  /** The transaction after which the subscriber wanted the changes of the log. */
  since: Schema.optionalKey(Schema.Number)
}) {
  /** Says what was missed and what to do. */
  override get message(): string {
    if (this.since !== undefined) {
      return `The change log of the store at ${this.path} does not have all changes after transaction ${this.since}. Read ` +
        "what is stored, as with watchRange, and go on after the transaction of that. The option changeLog says " +
        "how long a store keeps its changes."
    }
    return `More than ${
      count(this.capacity, "change")
    } of the store at ${this.path} waited for a subscriber. Read what ` +
      "is stored and subscribe again, or give a larger capacity."
  }
}

/**
 * An error of the infrastructure: a request that meets one has no better answer than to fail.
 *
 * **Details**
 *
 * | error | why a request cannot answer it |
 * | --- | --- |
 * | `MapFull`, `EngineFailure` | the disk, the file or the limit of the store: an operator acts, not the request |
 * | `Closed`, `ReadOnly` | the store has another life cycle or other options than the program expects |
 * | `OpenFailed`, `CollectionFailed` | the program cannot start |
 * | `ValueDecoding` | stored data is damaged, or older than its schema: the next request meets it too |
 * | `KeyEncoding`, `ValueEncoding` | the program passed what cannot be stored, which is a bug |
 *
 * The other errors are answers, and an application acts on each: `KeyNotFound`, `KeyExists` and
 * `UniqueViolation`, `InvalidCursor` (tell the caller), `TransactionConflict` (tell the caller to try again), `ChangesMissed`
 * (read again and subscribe again) and `DuplicateKeys` (repair the records that it lists).
 *
 * **Gotchas**
 *
 * Where a key comes from outside, as a path of a URL does, a `KeyEncoding` is the caller's fault: decode the
 * key by a schema first, or catch `KeyEncoding` before `Store.orDie`.
 *
 * @category errors
 * @since 0.1.0
 */
export type StoreError =
  | MapFull
  | EngineFailure
  | Closed
  | ReadOnly
  | OpenFailed
  | CollectionFailed
  | KeyEncoding
  | ValueEncoding
  | ValueDecoding

const storeErrors = [
  MapFull,
  EngineFailure,
  Closed,
  ReadOnly,
  OpenFailed,
  CollectionFailed,
  KeyEncoding,
  ValueEncoding,
  ValueDecoding
]

/**
 * Says whether a value is an error of the infrastructure. `Store.orDie` makes defects of these.
 *
 * **Example** (Another answer for all of them)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { isStoreError, Store } from "effect-lmdb"
 *
 * const program = Effect.flatMap(Store, (store) => store.getOrFail("greeting")).pipe(
 *   Effect.catch((error) => Effect.succeed(isStoreError(error) ? "try again later" : error.message))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Store.layerTemp()))
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isStoreError = (value: unknown): value is StoreError =>
  storeErrors.some((storeError) => value instanceof storeError)
