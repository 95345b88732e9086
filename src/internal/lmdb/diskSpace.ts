/**
 * Refuses a batch that the disk may have no room for, where the engine must not find out by
 * itself.
 *
 * What the engine says of a write that fails is longer than the 100 bytes that it has for it
 * (`mdb_page_flush` of lmdb 3.5.6) where the values and the file are large, and the process
 * ends some time later.
 */
import * as Result from "effect/Result"
import { statfsSync } from "node:fs"
import type { Batch } from "../../Engine.ts"
import { EngineFailure } from "../../StoreError.ts"
import { databaseOf, freedBy, mostListPages, type Target, valuePagesOf } from "./lmdbBatch.ts"
import { lastPages, pageSize } from "./mapSize.ts"
import { figure, pagesOf } from "./pageCount.ts"

/** What a record takes in a page besides its key and value, at the most. */
const recordBytes = 24

/** Larger values are on pages of their own. */
const largestInPage = pageSize / 4

/** Pages for the trees of the names of databases, and of what the file says of itself. */
const pagesBeside = 16

/**
 * The most pages that a batch takes, its end of the commit included: each page of a tree is
 * copied once, and split once before more than half of it is new.
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
  // Each has a first page, and a place in the tree of their names.
  return copied + 2 * (split + databases.size) + valuePages + listed + pagesBeside
}

/** What others may take of a disk meanwhile. */
const marginBytes = 1024 * 1024

/** How many bytes of the disk that a file is on are free; one that does not say so is taken to have room. */
const freeBytesOf = (file: string): number =>
  Result.match(Result.try(() => statfsSync(file)), {
    onFailure: () => Infinity,
    onSuccess: ({ bavail, blocks, bsize }) => blocks === 0 ? Infinity : bavail * bsize
  })

/** The text without its numbers: the position in the file, and the sizes of what is written there. */
const text = "Attempting to write page at position , size , blocks , buffer sizes   "

/** The memory that there is for it, in fact, less the zero at its end. */
const longestMessage = 103

/** The engine counts positions in 32 bits. */
const longestPosition = 10

/** So many rows of pages it writes at a time. */
const mostRows = 64

const digitsOf = (count: number): number => String(Math.ceil(count)).length

/** The longest that the engine can say of a write of a batch, which takes so many pages at the most. */
const messageLengthOf = (target: Target, batch: Batch, mostPages: number): number => {
  const pages = pagesOf(target.meta.getStats())
  // All that is freed is listed in one row of pages.
  let row = lastPages(batch.clear.length > 0 ? pages : freedBy(target, batch))
  for (const [, , value] of batch.writes) row = Math.max(row, valuePagesOf(value))
  const position = Math.min(longestPosition, digitsOf((pages + mostPages) * pageSize))
  return text.length + position + digitsOf(mostRows * row * pageSize) + digitsOf(mostRows) +
    3 * digitsOf(row * pageSize)
}

/** Says why a batch is not written where so many bytes are free. */
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

/** Says why a batch is not written: the disk that the file is on may have no room for it. */
export const refusal = (file: string, target: Target, batch: Batch): EngineFailure | undefined =>
  refusalWith(freeBytesOf(file), target, batch)
