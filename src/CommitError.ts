/**
 * Defines the errors of commits: the file is full, or the engine has failed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { bytes, count } from "./internal/quantity.ts"
import { LostWrites, showLost } from "./LostWrites.ts"

/**
 * The writes of a commit do not fit into the file, whose size `maxMapSize` limits.
 *
 * **Details**
 *
 * The file is unchanged. The field `outcome` says what has happened to the writes:
 *
 * - `pending`: nothing is lost. The writes stay pending and readable, and the next commit tries again. If `put` or
 *   `update` fails with it, the error is of earlier writes, and their own write was not accepted.
 * - `notMade`: `putMany`, `deleteMany`, `deleteRange`, `clear`, a transaction or a write of a collection has made none of
 *   its writes. Other pending writes stay pending.
 * - `lost`: the store has closed. `lost` names the keys.
 *
 * Delete pending or stored keys, `clear` the store, or open it with a larger `maxMapSize`.
 *
 * Deletions after a `MapFull` make room. They may be committed before the waiting values, in several transactions if
 * necessary.
 *
 * @category errors
 * @since 0.1.0
 */
export class MapFull extends Schema.TaggedError<MapFull>("effect-lmdb/MapFull")("MapFull", {
  /** The limit in bytes: `maxMapSize`, or the size of the map if `resize` allows no more growth. */
  limit: Schema.Number,
  /** The length of the file, in bytes. */
  used: Schema.Number,
  /** The number of writes that did not fit. */
  pending: Schema.Number,
  /** Whether these writes are pending, not made, or lost. */
  outcome: Schema.Literals(["pending", "notMade", "lost"]),
  /** The lost writes, with the outcome `lost`. */
  lost: Schema.optional(LostWrites)
}) {
  /** Says the limit, the length of the file, how many writes did not fit, whether they are lost, and what to do. */
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
 * LMDB or the file system has failed: an input or output error, a full disk, a damaged file, too many readers, or files
 * that were moved. Of a store on PostgreSQL: the server has failed or does not answer.
 *
 * **Details**
 *
 * `code` is a positive `errno` of the operating system (5: input/output, 28: no space left), or a negative code of LMDB
 * from its `lmdb.h` (-30796: corrupted, -30790: readers full). It is 0 if the engine has given none. Pending writes stay
 * pending, unless the store was closing. Then `lost` names their keys.
 *
 * A commit fails if the file of the store or its lock file was removed or renamed (`code` 2) or replaced (`code` 116)
 * while the store was open. The store writes nothing to the new file, and can still be read. Put the file back, or close
 * the store and open it again.
 *
 * With `code` 12, the address space of the process is too small for the map to grow, for example because of `ulimit -v`.
 *
 * A database server has no `code`. `sqlState` has its error code if it has answered: `42501` is a missing right, `53100` a full
 * disk. `outcome` is `unknown` if the answer to a commit was lost and the server does not tell what it has done. Then
 * the transaction or the call was made completely or not at all, and making it again could do everything twice.
 *
 * @category errors
 * @since 0.1.0
 */
export class EngineFailure extends Schema.TaggedError<EngineFailure>("effect-lmdb/EngineFailure")("EngineFailure", {
  /** The operation that failed: `get`, `commit`, `grow`, `backup` ... */
  operation: Schema.String,
  /** The error code of the operating system (positive) or of LMDB (negative); 0 if the engine has given none. */
  code: Schema.Number,
  /** The SQLSTATE of a database server, if the server has answered. */
  sqlState: Schema.optional(Schema.String),
  /** The error message of the engine. */
  detail: Schema.String,
  /**
   * Whether the same call may succeed later, after space or readers have become free or the server can be reached. The call
   * has written nothing, or its writes stay pending, so making it again does nothing twice.
   */
  isRetryable: Schema.Boolean,
  /** `unknown` if a database server may have made the commit or not. Not set if the call has made no commit. */
  outcome: Schema.optional(Schema.Literal("unknown")),
  /** The lost writes, if the last commit of a closing store has failed. */
  lost: Schema.optional(LostWrites),
  /** The value that the engine has thrown. */
  cause: Schema.optional(Schema.Defect())
}) {
  /** Says which operation failed, the message of the engine, and what is lost. */
  override get message(): string {
    const code = this.sqlState === undefined ? `code ${this.code}` : `SQLSTATE ${this.sqlState}`
    const whatHappened = `The engine failed to ${this.operation} (${code}): ${this.detail}`
    return this.lost === undefined ? whatHappened : `${whatHappened}. ${showLost(this.lost)}`
  }
}

/**
 * The errors of a commit: of pending writes, of `putMany`, or of a transaction.
 *
 * @category errors
 * @since 0.1.0
 */
export type CommitError = MapFull | EngineFailure
