/**
 * Runs write transactions of the library that read records, check the limit of the map, and can be aborted.
 *
 * They are child transactions, which write on the main thread. The library can also write in its own
 * thread. That is faster, but its error message for a full disk overflows a buffer and ends the process.
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import { type Batch, EngineFull, type Plan, type Reader } from "../../Engine.ts"
import * as AddressSpace from "./addressSpace.ts"
import * as DiskSpace from "./diskSpace.ts"
import {
  freedBy,
  listPagesFor,
  prepareLoosePages,
  takeLastPages,
  takenBy,
  type Target,
  type Writable,
  writeAll
} from "./lmdbBatch.ts"
import { revealCommitError } from "./lmdbErrors.ts"
import { mapSizeFor, pageSize } from "./mapSize.ts"
import { figure, pagesOf } from "./pageCount.ts"

/** A database of the library that can run transactions. */
interface Transactable extends Writable {
  readonly childTransaction: (action: () => unknown) => Promise<unknown>
  readonly getWriteTxnId: () => number
}

/** The open databases, and the state of their map. */
export interface WritableFiles extends Target {
  readonly meta: Transactable
  /** The requested size of the native map, in bytes. */
  readonly wantedMapSize: number
  /** The size of the native map when it was opened, in bytes. It is more than requested if the file is longer. */
  readonly nativeMapSize: number
  /**
   * Whether the files stayed open during a resize because snapshots were open. The native map can then have any size.
   */
  readonly isPinned: boolean
  /** Whether another thread of the process has the file open. They share one map, which can have any size. */
  readonly isShared: boolean
}

/** The limits of a transaction. */
export interface TransactionOptions {
  /** The size of the map, in bytes. */
  readonly mapSize: number
  readonly file: string
  /** The value that aborts a transaction when its callback returns it. */
  readonly abort: unknown
}

/** The number of a committed transaction, `undefined` if its plan has aborted it, or `EngineFull` if it did not fit. */
export type Outcome = number | undefined | EngineFull

/** Decides inside the transaction with this number what it writes. `undefined` aborts it. */
export type Decide = (transactionId: number) => Batch | undefined

/** Runs a plan. Throws its error, because the library aborts a transaction whose callback throws. */
export const decideBy = (plan: Plan, present: Reader, transactionId: number): Batch | undefined => {
  const decided = plan(present, transactionId)
  if (Exit.isFailure(decided)) throw Cause.squash(decided.cause)
  return decided.value
}

/**
 * Checks that LMDB can enlarge its map for a batch. LMDB does this inside the transaction, to twice the new length of the
 * file, and ends the process if it fails. Returns the length that the file may have after the batch, in bytes, if the
 * process does not have enough addresses for that; `undefined` if it has.
 */
const unmappableEnd = (files: WritableFiles, batch: Batch, before: object): number | undefined => {
  if (!AddressSpace.isLimited()) return undefined
  const end = (pagesOf(before) + DiskSpace.mostPagesOf(files, batch)) * pageSize
  return end > figure(before, "mapSize") && !AddressSpace.hasRoomFor(2 * end) ? end : undefined
}

/** Runs a transaction. Aborts it if it does not fit into the native map. */
const within = (
  files: WritableFiles,
  { abort, file, mapSize }: TransactionOptions,
  decide: Decide,
  write: (batch: Batch) => unknown
): Promise<Outcome> => {
  const { meta, nativeMapSize, wantedMapSize } = files
  const lmdbEnforcesLimit = !files.isPinned && !files.isShared
  let outcome: Outcome
  const refuse = (needed: number) => {
    outcome = new EngineFull({ mapSize, needed })
    return abort
  }
  return meta.childTransaction(() => {
    const before = meta.getStats()
    const mapped = figure(before, "mapSize")
    if (lmdbEnforcesLimit && mapped !== nativeMapSize) return refuse(mapSize)
    const transactionId = meta.getWriteTxnId()
    const batch = decide(transactionId)
    if (batch === undefined) return abort
    const filePages = pagesOf(before)
    const estimated = DiskSpace.estimate(batch, filePages)
    const refused = DiskSpace.refusal(file, files, estimated)
    if (refused !== undefined) throw refused
    const end = unmappableEnd(files, batch, before)
    // A resize would free the addresses of the current map, but not while snapshots or other threads use it.
    if (end !== undefined && !lmdbEnforcesLimit) throw AddressSpace.failure("commit", AddressSpace.noRoomFor(2 * end))
    if (end !== undefined) return refuse(Math.max(mapSize + 1, end))
    const mustEstimate = !lmdbEnforcesLimit && mapped > wantedMapSize
    if (mustEstimate && (filePages + takenBy(files, batch)) * pageSize > wantedMapSize) return refuse(mapSize + 1)
    const result = write(batch)
    // A trial takes more pages than its batch.
    const canGrow = nativeMapSize > wantedMapSize || (filePages + estimated.mostPages) * pageSize > mapped
    const grown = canGrow ? figure(meta.getStats(), "mapSize") : mapped
    // LMDB enlarges its map to twice the size that it needs.
    if (grown !== mapped && grown > wantedMapSize) return refuse(Math.max(mapSize + 1, Math.ceil(grown / 2)))
    outcome = transactionId
    if (result !== abort) batch.onFitted?.()
    return result
  }).catch(revealCommitError).then(() => outcome)
}

/** Runs a transaction that decides inside itself what it writes. */
export const transact = (files: WritableFiles, options: TransactionOptions, decide: Decide): Promise<Outcome> => {
  if (files.isPinned || files.isShared || files.nativeMapSize <= files.wantedMapSize) {
    return within(files, options, decide, (batch) => writeAll(files, batch))
  }
  // The file extends into the emergency pages. A trial transaction, which is aborted, makes the same writes. They
  // take the same pages, so it shows whether enough pages are left for the end of the commit and for later deletions.
  // A batch that clears a database frees more pages than it takes, so it needs no trial.
  const heldPages = (Math.min(files.nativeMapSize, mapSizeFor(options.mapSize, true)) - files.wantedMapSize) / pageSize
  let isTrial = true
  let listPages = 0
  return within(files, options, decide, (batch) => {
    isTrial = batch.clear.length === 0
    if (!isTrial) return writeAll(files, batch)
    const freed = freedBy(files, batch)
    listPages = listPagesFor(files, freed)
    writeAll(files, batch)
    prepareLoosePages(files, listPages + Math.max(0, heldPages))
    takeLastPages(files, freed)
    return options.abort
  }).then((outcome) =>
    isTrial && typeof outcome === "number"
      ? within(files, options, decide, (batch) => {
        writeAll(files, batch)
        prepareLoosePages(files, listPages)
      })
      : outcome
  )
}
