/**
 * Defines all errors of a store.
 *
 * Each error is a tagged, yieldable class. Catch it with `Effect.catchTag`, use its fields, and show its `message` to
 * people. The type of each method of `Store` lists exactly the errors with which it can fail.
 *
 * An error about a key contains the key itself and a text of it, which the option `formatKey` makes. Logs and encoded
 * errors contain only the text. No error contains a value.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { CollectionFailed } from "./CollectionError.ts"
import { EngineFailure, MapFull } from "./CommitError.ts"
import { count } from "./internal/quantity.ts"
import { KeyEncoding } from "./KeyError.ts"
import { NamespaceFailed } from "./NamespaceFailed.ts"
import { OpenFailed } from "./OpenFailed.ts"
import { ValueDecoding, ValueEncoding } from "./ValueError.ts"

export * from "./CommitError.ts"
export * from "./KeyError.ts"
export * from "./NamespaceFailed.ts"
export * from "./OpenFailed.ts"
export * from "./ValueError.ts"

/**
 * The store is closed or closing, the transaction of the call has ended, or another definition has opened the collection.
 *
 * **Details**
 *
 * A fiber that was forked inside a transaction belongs to it. If it uses the store after the transaction has ended, the
 * call fails with `what: "Transaction"`.
 *
 * A read from a `snapshot` whose scope has ended fails with `what: "Snapshot"`.
 *
 * If a collection was opened again with other schemas or indexes, in this process or in another one, only the new
 * definition can write. Writes of the earlier one fail with `what: "Collection"`: they would miss index entries or have
 * the wrong version.
 *
 * @category errors
 * @since 0.1.0
 */
export class Closed extends Schema.TaggedError<Closed>("effect-lmdb/Closed")("Closed", {
  /** The folder or file of the store. */
  path: Schema.String,
  /** What has ended: the store, the transaction, the snapshot, or the definition of the collection. */
  what: Schema.Literals(["Store", "Transaction", "Snapshot", "Collection"])
}) {
  /** Says what has ended. */
  override get message(): string {
    switch (this.what) {
      case "Store":
        return `The store at ${this.path} is closed or closing.`
      case "Transaction":
        return `The transaction on the store at ${this.path} has ended, but a fiber that was forked inside it still used it.`
      case "Snapshot":
        return `The snapshot of the store at ${this.path} was released at the end of its scope.`
      case "Collection":
        return `This definition of a collection of the store at ${this.path} can no longer write: another definition ` +
          "of the collection, in this process or another one, has taken it over; restart this process with the " +
          "program that the other one runs."
    }
  }
}

/**
 * A call tried to write to a store that was opened with `readOnly: true`.
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
 * A transaction has conflicted each time: another fiber or process has written something that it had read, before it
 * could be committed. The schedule of its retries has ended.
 *
 * **Details**
 *
 * Nothing was written. The option `transactionRetry` sets the schedule.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionConflict extends Schema.TaggedError<TransactionConflict>("effect-lmdb/TransactionConflict")(
  "TransactionConflict",
  {
    /** The folder or file of the store. */
    path: Schema.String,
    /** The number of times that the transaction ran. */
    attempts: Schema.Number
  }
) {
  /** Says how many times it ran, and what to do. */
  override get message(): string {
    return `A transaction on the store at ${this.path} was given up after ${count(this.attempts, "attempt")}: other ` +
      "fibers or processes wrote what it had read. Make it shorter, or give transactionRetry a longer schedule."
  }
}

/**
 * A subscriber to the changes of a store was too slow: more changes than its capacity were waiting. It gets these
 * changes, and then this error.
 *
 * **Details**
 *
 * With `since`, the change log does not have all changes after the given transaction: the store keeps no log (option
 * `changeLog`), the log begins later, or the file was replaced by a copy.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChangesMissed extends Schema.TaggedError<ChangesMissed>("effect-lmdb/ChangesMissed")("ChangesMissed", {
  /** The folder or file of the store. */
  path: Schema.String,
  /** The number of changes that may wait; 0 with `since`. */
  capacity: Schema.Number,
  /** The option `since` of the subscriber, if it was given. */
  since: Schema.optionalKey(Schema.Number)
}) {
  /** Says which changes were missed, and what to do. */
  override get message(): string {
    if (this.since !== undefined) {
      return `The change log of the store at ${this.path} does not have all changes after transaction ${this.since}. Read ` +
        "what is stored, for example with watchRange, and continue after the transaction of that snapshot. A store keeps " +
        "its changes only with the option changeLog, which sets for how long."
    }
    return `More than ${
      count(this.capacity, "change")
    } of the store at ${this.path} waited for a subscriber. Read what ` +
      "is stored and subscribe again, or give a larger capacity."
  }
}

/**
 * The errors of the infrastructure. A request cannot handle them, and fails.
 *
 * **Details**
 *
 * | error | why a request cannot handle it |
 * | --- | --- |
 * | `MapFull`, `EngineFailure` | the disk, the file or the limit of the store needs an operator |
 * | `Closed`, `ReadOnly` | the program uses a store that it has closed or opened read-only |
 * | `OpenFailed`, `CollectionFailed`, `NamespaceFailed` | the program cannot start |
 * | `ValueDecoding` | stored data is damaged or does not fit the schema: the next request fails too |
 * | `KeyEncoding`, `ValueEncoding` | the program has passed a key or value that cannot be stored, which is a bug |
 *
 * An application handles each of the other errors: `KeyNotFound`, `KeyExists`, `UniqueViolation` and
 * `InvalidCursor` (tell the caller), `TransactionConflict` (tell the caller to try again), `ChangesMissed`
 * (read again and subscribe again) and `DuplicateKeys` (repair the records that it lists).
 *
 * **Gotchas**
 *
 * If a key comes from outside the program, such as from a URL, `KeyEncoding` is an error of the client: decode the key
 * by a schema first, or catch `KeyEncoding` before `Store.orDie`.
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
  | NamespaceFailed
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
  NamespaceFailed,
  KeyEncoding,
  ValueEncoding,
  ValueDecoding
]

/**
 * Tests whether a value is an error of the infrastructure. `Store.orDie` turns these errors into defects.
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
