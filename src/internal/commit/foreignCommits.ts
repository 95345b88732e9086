/**
 * Repairs pending writes after other processes have committed.
 *
 * A put to a collection deletes the index entries that the stored record had when the put was
 * buffered. If another process has replaced that record since, this commit must delete
 * the entries of the replacement. Only a read inside LMDB's write transaction shows which these are. If another process has
 * begun to migrate a collection or to build other indexes for it, this process may no longer write to
 * it. LMDB numbers its transactions without gaps: if the number of a transaction follows that of the last
 * transaction of this process, no other process has committed, and nothing is repaired.
 */
import * as Exit from "effect/Exit"
import type { PendingChecks } from "../../Backend.ts"
import type { Reader as EngineReader, Write } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { fromWrites, type WriteSet } from "../buffer/writeSet.ts"
import { collectionDatabase, indexDatabases } from "../databases.ts"
import * as Settled from "../settled.ts"

/** Counts the commits of other processes, and repairs pending writes after them. */
export class ForeignCommits implements PendingChecks {
  readonly entryDeletions: PendingChecks["entryDeletions"] = new Map()
  readonly guards: PendingChecks["guards"] = new Map()
  #leftOut = new Map<string, number>()
  #last: number | undefined
  #count = 0

  /** The number of gaps between the transactions of this process. In each gap, other processes may have committed. */
  get count(): number {
    return this.#count
  }

  #isNext(transactionId: number): boolean {
    return this.#last !== undefined && transactionId === this.#last + 1
  }

  #countBefore(transactionId: number): number {
    return this.#isNext(transactionId) ? this.#count : this.#count + 1
  }

  /** Records that this process has committed a transaction. */
  committed(transactionId: number): void {
    this.#count = this.#countBefore(transactionId)
    this.#last = transactionId
  }

  /**
   * Repairs pending writes. Leaves out the writes to a collection that another process has taken over.
   * Call it inside LMDB's write transaction. `seen` is the `count` before the first of the writes was buffered.
   */
  repair<W extends Iterable<Write>>(
    writes: W,
    seen: number,
    present: EngineReader,
    transactionId: number
  ): Exit.Exit<W | WriteSet, EngineFailure> {
    const checked = this.#isNext(transactionId) || this.guards.size === 0 ? Exit.void : this.#checkGuards(present)
    if (Exit.isFailure(checked)) return Exit.failCause(checked.cause)
    return this.guards.size === 0 || this.#countBefore(transactionId) === seen
      ? Exit.succeed(writes)
      : this.#repaired(writes, present)
  }

  /** Takes the numbers of records that the last commit left out, by the names of their collections. */
  takeLeftOut(): ReadonlyMap<string, number> {
    const taken = this.#leftOut
    if (taken.size > 0) this.#leftOut = new Map()
    return taken
  }

  /** Gives up the collections that another process has taken over. */
  #checkGuards(present: EngineReader): Exit.Exit<void, EngineFailure> {
    for (const guard of this.guards.values()) {
      const result = Settled.exitOf(guard.isAsOpened(present))
      if (Exit.isFailure(result)) return Exit.failCause(result.cause)
      if (!result.value) guard.giveUp()
    }
    return Exit.void
  }

  #leaveOutGivenUp(writes: WriteSet): void {
    for (const [name, guard] of this.guards) {
      if (!guard.isGivenUp()) continue
      const records = writes.entriesOf(collectionDatabase(name)).size
      if (records === 0) continue
      this.#leftOut.set(name, Math.max(records, this.#leftOut.get(name) ?? 0))
      writes.removeAll(collectionDatabase(name))
      const databases = new Set(Array.from(writes, ([database]) => database))
      for (const database of databases) if (database.startsWith(indexDatabases(name))) writes.removeAll(database)
    }
  }

  #repaired(writes: Iterable<Write>, present: EngineReader): Exit.Exit<WriteSet, EngineFailure> {
    const repaired = fromWrites(writes)
    this.#leaveOutGivenUp(repaired)
    for (const [database, deletionsOf] of this.entryDeletions) {
      for (const [key, write] of repaired.entriesOf(database)) {
        const deletions = Settled.exitOf(deletionsOf(present, key, write))
        if (Exit.isFailure(deletions)) return Exit.failCause(deletions.cause)
        for (const [index, entry] of deletions.value) {
          if (repaired.get(index, entry) === undefined) repaired.set(index, entry, null)
        }
      }
    }
    return Exit.succeed(repaired)
  }
}
