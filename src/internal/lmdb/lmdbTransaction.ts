/**
 * Makes transactions in the way of the library, which look at the records and at the limit
 * inside of them, and can be undone.
 *
 * They are child transactions, whose writes are made on the main thread. The library can
 * make writes in its own thread, which is faster; but what it then says of a full disk
 * overflows its memory, and ends the process.
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

/** What transactions are made with: a database of the library. */
interface Transactable extends Writable {
  readonly childTransaction: (action: () => unknown) => Promise<unknown>
  readonly getWriteTxnId: () => number
}

/** The files that are written to. */
export interface WritableFiles extends Target {
  readonly meta: Transactable
  /** The size that the native map was asked to have. */
  readonly wantedMapSize: number
  /** The size that it had when it was opened: more where the file is longer. */
  readonly nativeMapSize: number
  /** Whether the files stayed open through a resize, for the sake of snapshots: the native map is of any size then. */
  readonly isPinned: boolean
  /** Whether another thread of the process has the file open: they share a map, of any size too. */
  readonly isShared: boolean
}

/** What a transaction is made within. */
export interface TransactionOptions {
  /** The size of the map, in bytes. */
  readonly mapSize: number
  readonly file: string
  /** What the library takes for the wish to undo a transaction. */
  readonly abort: unknown
}

/** What became of a transaction: its number, `undefined` where its plan gave it up, or that it did not fit. */
export type Outcome = number | undefined | EngineFull

/** Decides inside of a transaction with this number what it writes. */
export type Decide = (transactionId: number) => Batch | undefined

/** Runs a plan in the way of the library, which undoes a transaction that throws. */
export const decideBy = (plan: Plan, present: Reader, transactionId: number): Batch | undefined => {
  const decided = plan(present, transactionId)
  if (Exit.isFailure(decided)) throw Cause.squash(decided.cause)
  return decided.value
}

/**
 * The length that a batch may give the file, in bytes, where the engine could not make its map large enough. It does
 * that by itself in the transaction, to twice the length, and ends the process where it fails.
 */
const unmappableEnd = (files: WritableFiles, batch: Batch, before: object): number | undefined => {
  if (!AddressSpace.isLimited()) return undefined
  const end = (pagesOf(before) + DiskSpace.mostPagesOf(files, batch)) * pageSize
  return end > figure(before, "mapSize") && !AddressSpace.hasRoomFor(2 * end) ? end : undefined
}

/** Runs a transaction, and undoes it unless it stays within the native map. */
const within = (
  files: WritableFiles,
  { abort, file, mapSize }: TransactionOptions,
  decide: Decide,
  write: (batch: Batch) => unknown
): Promise<Outcome> => {
  const { meta, nativeMapSize, wantedMapSize } = files
  const isLimitSeen = !files.isPinned && !files.isShared
  let outcome: Outcome
  const refuse = (needed: number) => {
    outcome = new EngineFull({ mapSize, needed })
    return abort
  }
  return meta.childTransaction(() => {
    const before = meta.getStats()
    const present = figure(before, "mapSize")
    if (isLimitSeen && present !== nativeMapSize) return refuse(mapSize)
    const transactionId = meta.getWriteTxnId()
    const batch = decide(transactionId)
    if (batch === undefined) return abort
    const refused = DiskSpace.refusal(file, files, batch)
    if (refused !== undefined) throw refused
    const end = unmappableEnd(files, batch, before)
    // A resize gives the addresses of the present map back. It cannot while others use them.
    if (end !== undefined && !isLimitSeen) throw AddressSpace.failure("commit", AddressSpace.noRoomFor(2 * end))
    if (end !== undefined) return refuse(Math.max(mapSize + 1, end))
    const mustEstimate = !isLimitSeen && present > wantedMapSize
    if (mustEstimate && (pagesOf(before) + takenBy(files, batch)) * pageSize > wantedMapSize) return refuse(mapSize + 1)
    const result = write(batch)
    const grown = figure(meta.getStats(), "mapSize")
    // The engine grows its map to twice the need.
    if (grown !== present && grown > wantedMapSize) return refuse(Math.max(mapSize + 1, Math.ceil(grown / 2)))
    outcome = transactionId
    return result
  }).catch(revealCommitError).then(() => outcome)
}

/** Makes a transaction of what is decided inside of it. */
export const transact = (files: WritableFiles, options: TransactionOptions, decide: Decide): Promise<Outcome> => {
  if (files.isPinned || files.isShared || files.nativeMapSize <= files.wantedMapSize) {
    return within(files, options, decide, (batch) => writeAll(files, batch))
  }
  // The file is in the pages that were held back. The same writes take the same pages: what
  // they leave for the end of the commit, and for deletions later, is tried out in a
  // transaction that is undone.
  // Whoever clears frees more than he takes: that needs no trial.
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
