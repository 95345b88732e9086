/**
 * What other processes commit between the commits of this one, and what that does to
 * writes that are pending meanwhile.
 *
 * A put to a record deletes those entries in the indexes that the record had when it was
 * put. Where another process has committed another record since, that one's entries have
 * to go instead, and which these are is only known inside of the transaction. The numbers
 * of transactions follow one another: a process that is alone knows it by them, and looks
 * at nothing.
 */
import * as Result from "effect/Result"
import type { Reader, Write } from "../Engine.ts"
import type { ByteString } from "../Key.ts"
import type { EngineFailure } from "../StoreError.ts"
import { fromWrites, type PendingWrite, type WriteSet } from "./writeSet.ts"

/** The writes that delete the entries of the record that is there, unless what is written over it keeps them. */
export type EntryDeletions = (
  present: Reader,
  key: ByteString,
  write: PendingWrite
) => Result.Result<ReadonlyArray<Write>, EngineFailure>

/** What is known of the commits of other processes. */
export interface OtherCommits {
  /** By the databases of the records that are in indexes. */
  readonly entryDeletions: Map<string, EntryDeletions>
  /** How often others are known to have committed in between, or may have. */
  readonly count: () => number
  /** Takes down a transaction of this process. */
  readonly committed: (transactionId: number) => void
  /**
   * Pending writes as they are right inside of a transaction; `since` is the count when the
   * first of them was made.
   */
  readonly complete: <W extends Iterable<Write>>(
    writes: W,
    since: number,
    present: Reader,
    transactionId: number
  ) => Result.Result<W | WriteSet, EngineFailure>
}

/** Makes what is known when a file is opened. */
export const make = (): OtherCommits => {
  const entryDeletions = new Map<string, EntryDeletions>()
  let last: number | undefined
  let count = 0

  const countBefore = (transactionId: number): number =>
    last !== undefined && transactionId === last + 1 ? count : count + 1

  const withDeletions = (writes: Iterable<Write>, present: Reader): Result.Result<WriteSet, EngineFailure> => {
    const completed = fromWrites(writes)
    for (const [database, deletionsOf] of entryDeletions) {
      for (const [key, write] of completed.entriesOf(database)) {
        const deletions = deletionsOf(present, key, write)
        if (Result.isFailure(deletions)) return Result.fail(deletions.failure)
        for (const [index, entry] of deletions.success) {
          if (completed.get(index, entry) === undefined) completed.set(index, entry, null)
        }
      }
    }
    return Result.succeed(completed)
  }

  return {
    entryDeletions,
    count: () => count,
    committed: (transactionId) => {
      count = countBefore(transactionId)
      last = transactionId
    },
    complete: (writes, since, present, transactionId) =>
      entryDeletions.size === 0 || countBefore(transactionId) === since
        ? Result.succeed(writes)
        : withDeletions(writes, present)
  }
}
