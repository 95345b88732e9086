/**
 * What other processes commit between the commits of this one, and what that does to
 * writes that are pending meanwhile.
 *
 * A put to a record deletes those entries in the indexes that the record had when it was
 * put. Where another process has committed another record since, that one's entries have
 * to go instead, and which these are is only known inside of the transaction. Where another
 * process has begun to migrate a collection or to build other indexes for it, this process
 * may not write to it any more. The numbers of transactions follow one another: a process
 * that is alone knows it by them, and looks at nothing.
 */
import * as Result from "effect/Result"
import type { Reader, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { fromWrites, type PendingWrite, type WriteSet } from "../buffer/writeSet.ts"
import { collectionDatabase, indexDatabases } from "../databases.ts"
import { type OpenDefinitions } from "../transaction/openDefinitions.ts"

/** The writes that delete the entries of the record that is there, unless what is written over it keeps them. */
export type EntryDeletions = (
  present: Reader,
  key: ByteString,
  write: PendingWrite
) => Result.Result<ReadonlyArray<Write>, EngineFailure>

/** Whether a collection is still as this process opened it. */
type Guard = (present: Reader) => Result.Result<boolean, EngineFailure>

/** What is known of the commits of other processes. */
export interface OtherCommits {
  /** By the databases of the records that are in indexes. */
  readonly entryDeletions: Map<string, EntryDeletions>
  /** By the names of the collections that are open. */
  readonly guards: Map<string, Guard>
  /** Gives up the collections that another process has taken over. */
  readonly look: (present: Reader) => Result.Result<void, EngineFailure>
  /** How often others are known to have committed in between, or may have. */
  readonly count: () => number
  /** Takes down a transaction of this process. */
  readonly committed: (transactionId: number) => void
  /**
   * Pending writes as they are right inside of a transaction; `since` is the count when the
   * first of them was made. Those to a collection that another process has taken over are left out.
   */
  readonly complete: <W extends Iterable<Write>>(
    writes: W,
    since: number,
    present: Reader,
    transactionId: number
  ) => Result.Result<W | WriteSet, EngineFailure>
  /** Gives, once, how many records were left out of the commit that was made last, by the names of their collections. */
  readonly takeLeftOut: () => ReadonlyMap<string, number>
}

/** Makes what is known when a file is opened. */
export const make = (definitions: OpenDefinitions): OtherCommits => {
  const entryDeletions = new Map<string, EntryDeletions>()
  const guards = new Map<string, Guard>()
  let leftOut = new Map<string, number>()
  let last: number | undefined
  let count = 0

  const isNext = (transactionId: number): boolean => last !== undefined && transactionId === last + 1

  const countBefore = (transactionId: number): number => isNext(transactionId) ? count : count + 1

  const look = (present: Reader): Result.Result<void, EngineFailure> => {
    for (const [name, isAsOpened] of guards) {
      const result = isAsOpened(present)
      if (Result.isFailure(result)) return Result.fail(result.failure)
      if (!result.success) definitions.giveUp(name)
    }
    return Result.void
  }

  /** Leaves out what would be written to collections that were given up. */
  const withoutGivenUp = (writes: WriteSet): void => {
    for (const name of guards.keys()) {
      if (!definitions.isGivenUp(name)) continue
      const records = writes.entriesOf(collectionDatabase(name)).size
      if (records === 0) continue
      leftOut.set(name, Math.max(records, leftOut.get(name) ?? 0))
      writes.removeAll(collectionDatabase(name))
      const databases = new Set(Array.from(writes, ([database]) => database))
      for (const database of databases) if (database.startsWith(indexDatabases(name))) writes.removeAll(database)
    }
  }

  const withDeletions = (writes: Iterable<Write>, present: Reader): Result.Result<WriteSet, EngineFailure> => {
    const completed = fromWrites(writes)
    withoutGivenUp(completed)
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
    guards,
    look,
    count: () => count,
    committed: (transactionId) => {
      count = countBefore(transactionId)
      last = transactionId
    },
    complete: (writes, since, present, transactionId) => {
      const looked = isNext(transactionId) || guards.size === 0 ? Result.void : look(present)
      if (Result.isFailure(looked)) return Result.fail(looked.failure)
      return guards.size === 0 || countBefore(transactionId) === since
        ? Result.succeed(writes)
        : withDeletions(writes, present)
    },
    takeLeftOut: () => {
      const taken = leftOut
      leftOut = new Map()
      return taken
    }
  }
}
