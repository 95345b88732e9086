/**
 * Refuses a batch for which the disk may have no room, if the engine would not survive the failed
 * write.
 *
 * The engine formats a message about a failed write into a buffer of 100 bytes (`mdb_page_flush`
 * of lmdb 3.5.6). If the file and the values are large, the message is longer, overwrites other
 * memory, and the process ends some time later.
 */
import * as Result from "effect/Result"
import { statfsSync } from "node:fs"
import type { Batch } from "../../Engine.ts"
import { EngineFailure } from "../../StoreError.ts"
import { databaseOf, freedBy, mostListPages, type Target, valuePagesOf } from "./lmdbBatch.ts"
import { lastPages, pageSize } from "./mapSize.ts"
import { figure, pagesOf } from "./pageCount.ts"

/** The most bytes that a record takes in a page besides its key and value. */
const recordBytes = 24

/** A value of more bytes is stored on its own pages. */
const largestInPage = pageSize / 4

/** Pages for the tree of database names and for the database `meta`. */
const pagesBeside = 16

/**
 * Estimates the most pages that the commit of a batch takes, including the list of free pages at its
 * end. A page of a tree is copied at most once, and is split at most once before half of it is new.
 */
export const mostPagesOf = (target: Target, batch: Batch): number => {
  const databases = new Set(batch.clear.map((name) => databaseOf(target, name)))
  let last: string | undefined
  let count = 0
  let bytes = 0
  let valuePages = 0
  for (const [name, key, value] of batch.writes) {
    if (name !== last) databases.add(databaseOf(target, name))
    last = name
    count++
    bytes += recordBytes + key.length
    if (value === null) continue
    if (value.length > largestInPage) valuePages += valuePagesOf(value)
    else bytes += value.length
  }
  let depth = 0
  let treePages = 0
  for (const database of databases) {
    const figures = database.getStats()
    depth = Math.max(depth, figure(figures, "treeDepth"))
    treePages += figure(figures, "treeBranchPageCount") + figure(figures, "treeLeafPageCount")
  }
  const copied = Math.min(2 * count * (depth + 1), treePages)
  const split = Math.min(count, treePages) + Math.ceil(4 * bytes / pageSize)
  const listed = mostListPages + lastPages(pagesOf(target.meta.getStats()))
  // Each database has a root page, and a record in the tree of database names.
  return copied + 2 * (split + databases.size) + valuePages + listed + pagesBeside
}

/** Disk space that other programs may use up during the commit. */
const marginBytes = 1024 * 1024

/** The free bytes on the disk of a file; `Infinity` if the system does not say. */
const freeBytesOf = (file: string): number =>
  Result.match(Result.try(() => statfsSync(file)), {
    onFailure: () => Infinity,
    onSuccess: ({ bavail, blocks, bsize }) => blocks === 0 ? Infinity : bavail * bsize
  })

/** The engine's message without its numbers: the position in the file, and the sizes of the write. */
const text = "Attempting to write page at position , size , blocks , buffer sizes   "

/** The longest message that does no harm: the buffer and its padding, without the zero byte at the end. */
const longestMessage = 103

/** The most digits of a position, which the engine prints as a number of 32 bits. */
const longestPosition = 10

/** How many runs of consecutive pages the engine writes in one call. */
const mostRuns = 64

const digitsOf = (count: number): number => String(Math.ceil(count)).length

/** The length of the longest message about a failed write of a batch that takes up to `mostPages` pages. */
const messageLengthOf = (target: Target, batch: Batch, mostPages: number): number => {
  const pages = pagesOf(target.meta.getStats())
  // The list of freed pages is one run of pages.
  let longestRun = lastPages(batch.clear.length > 0 ? pages : freedBy(target, batch))
  for (const [, , value] of batch.writes) longestRun = Math.max(longestRun, valuePagesOf(value))
  const position = Math.min(longestPosition, digitsOf((pages + mostPages) * pageSize))
  return text.length + position + digitsOf(mostRuns * longestRun * pageSize) + digitsOf(mostRuns) +
    3 * digitsOf(longestRun * pageSize)
}

/** Refuses a batch if `free` bytes may not suffice and the engine would not survive that. */
export const refusalWith = (free: number, target: Target, batch: Batch): EngineFailure | undefined => {
  const mostPages = mostPagesOf(target, batch)
  const needed = mostPages * pageSize + marginBytes
  if (free >= needed || messageLengthOf(target, batch, mostPages) <= longestMessage) return undefined
  return new EngineFailure({
    operation: "commit",
    code: 28,
    detail: `No space left on device: the commit may take ${needed} bytes, ${free} are free`,
    isRetryable: true
  })
}

/** Refuses a batch for which the disk of the file may have no room. */
export const refusal = (file: string, target: Target, batch: Batch): EngineFailure | undefined =>
  refusalWith(freeBytesOf(file), target, batch)
