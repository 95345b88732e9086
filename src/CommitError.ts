/**
 * The errors of writing: the file is full, or the engine failed.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { bytes, count } from "./internal/quantity.ts"
import { LostWrites, showLost } from "./LostWrites.ts"

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
