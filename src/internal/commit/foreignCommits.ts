/**
 * Repairs pending writes after other processes have committed.
 *
 * A put to a collection deletes the index entries that the stored record had when the put was
 * buffered. If another process has replaced that record since, the entries of its record have
 * to go instead, and only LMDB's write transaction shows which these are. If another process has
 * begun to migrate a collection or to build other indexes for it, this process may not write to
 * it any more. LMDB numbers its transactions without gaps, so a process whose number follows its
 * last one knows that no other process has committed, and repairs nothing.
 */
import * as Result from "effect/Result"
import type { Reader, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { fromWrites, type PendingWrite, type WriteSet } from "../buffer/writeSet.ts"
import { collectionDatabase, indexDatabases } from "../databases.ts"
import type { OpenDefinitions } from "../transaction/openDefinitions.ts"

/** Finds the writes that delete the index entries of the stored record, except those that `write` keeps. */
export type EntryDeletions = (
  present: Reader,
  key: ByteString,
  write: PendingWrite
) => Result.Result<ReadonlyArray<Write>, EngineFailure>

/** Whether a collection is still as this process opened it. */
type Guard = (present: Reader) => Result.Result<boolean, EngineFailure>

/** What is known of the commits of other processes. */
export class ForeignCommits {
  /** By the databases of the records that have index entries. */
  readonly entryDeletions = new Map<string, EntryDeletions>()
  /** By the names of the open collections. */
  readonly guards = new Map<string, Guard>()
  readonly #definitions: OpenDefinitions
  #leftOut = new Map<string, number>()
  #last: number | undefined
  #count = 0

  constructor(definitions: OpenDefinitions) {
    this.#definitions = definitions
  }

  /** How many gaps between transactions of this process others have committed in, or may have. */
  get count(): number {
    return this.#count
  }

  #isNext(transactionId: number): boolean {
    return this.#last !== undefined && transactionId === this.#last + 1
  }

  #countBefore(transactionId: number): number {
    return this.#isNext(transactionId) ? this.#count : this.#count + 1
  }

  /** Notes a transaction of this process. */
  committed(transactionId: number): void {
    this.#count = this.#countBefore(transactionId)
    this.#last = transactionId
  }

  /**
   * Repairs pending writes. Call it inside LMDB's write transaction; `seen` is the count when the
   * first of the writes was buffered. Leaves out the writes to a collection that another process
   * has taken over.
   */
  repair<W extends Iterable<Write>>(
    writes: W,
    seen: number,
    present: Reader,
    transactionId: number
  ): Result.Result<W | WriteSet, EngineFailure> {
    const checked = this.#isNext(transactionId) || this.guards.size === 0 ? Result.void : this.#checkGuards(present)
    if (Result.isFailure(checked)) return Result.fail(checked.failure)
    return this.guards.size === 0 || this.#countBefore(transactionId) === seen
      ? Result.succeed(writes)
      : this.#repaired(writes, present)
  }

  /** Gives, once, how many records the last commit left out, by the names of their collections. */
  takeLeftOut(): ReadonlyMap<string, number> {
    const taken = this.#leftOut
    if (taken.size > 0) this.#leftOut = new Map()
    return taken
  }

  /** Gives up the collections that another process has taken over. */
  #checkGuards(present: Reader): Result.Result<void, EngineFailure> {
    for (const [name, isAsOpened] of this.guards) {
      const result = isAsOpened(present)
      if (Result.isFailure(result)) return Result.fail(result.failure)
      if (!result.success) this.#definitions.giveUp(name)
    }
    return Result.void
  }

  #leaveOutGivenUp(writes: WriteSet): void {
    for (const name of this.guards.keys()) {
      if (!this.#definitions.isGivenUp(name)) continue
      const records = writes.entriesOf(collectionDatabase(name)).size
      if (records === 0) continue
      this.#leftOut.set(name, Math.max(records, this.#leftOut.get(name) ?? 0))
      writes.removeAll(collectionDatabase(name))
      const databases = new Set(Array.from(writes, ([database]) => database))
      for (const database of databases) if (database.startsWith(indexDatabases(name))) writes.removeAll(database)
    }
  }

  #repaired(writes: Iterable<Write>, present: Reader): Result.Result<WriteSet, EngineFailure> {
    const repaired = fromWrites(writes)
    this.#leaveOutGivenUp(repaired)
    for (const [database, deletionsOf] of this.entryDeletions) {
      for (const [key, write] of repaired.entriesOf(database)) {
        const deletions = deletionsOf(present, key, write)
        if (Result.isFailure(deletions)) return Result.fail(deletions.failure)
        for (const [index, entry] of deletions.success) {
          if (repaired.get(index, entry) === undefined) repaired.set(index, entry, null)
        }
      }
    }
    return Result.succeed(repaired)
  }
}
