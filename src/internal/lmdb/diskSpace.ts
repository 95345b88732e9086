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

/** What a batch writes. */
interface BatchSize {
  /** The databases that it writes to or clears. */
  readonly names: ReadonlySet<string>
  readonly count: number
  /** The bytes that its records take in pages of trees. */
  readonly bytes: number
  /** The pages of its large values. */
  readonly valuePages: number
  /** The pages of its largest value. */
  readonly longestValue: number
}

const sizeOf = (batch: Batch): BatchSize => {
  const names = new Set(batch.clear)
  let last: string | undefined
  let count = 0
  let bytes = 0
  let valuePages = 0
  let longestValue = 0
  for (const [name, key, value] of batch.writes) {
    if (name !== last) names.add(name)
    last = name
    count++
    bytes += recordBytes + key.length
    if (value === null) continue
    const pages = valuePagesOf(value)
    longestValue = Math.max(longestValue, pages)
    if (value.length > largestInPage) valuePages += pages
    else bytes += value.length
  }
  return { names, count, bytes, valuePages, longestValue }
}

/** The databases that a batch writes to. */
interface Trees {
  /** The depth of the deepest tree. */
  readonly depth: number
  /** The pages of all trees, without those of large values. */
  readonly pages: number
  /** The pages of all large values. */
  readonly valuePages: number
}

const treesOf = (target: Target, names: Iterable<string>): Trees => {
  let depth = 0
  let pages = 0
  let valuePages = 0
  for (const name of names) {
    const figures = databaseOf(target, name).getStats()
    depth = Math.max(depth, figure(figures, "treeDepth"))
    pages += figure(figures, "treeBranchPageCount") + figure(figures, "treeLeafPageCount")
    valuePages += figure(figures, "overflowPages")
  }
  return { depth, pages, valuePages }
}

/** The largest trees that a file of some pages can have: each page of a tree that is not a leaf has two children or more. */
const largestTrees = (filePages: number): Trees => ({
  depth: 1 + Math.ceil(Math.log2(filePages + 1)),
  pages: filePages,
  valuePages: filePages
})

const copiedPages = ({ count }: BatchSize, { depth, pages }: Trees): number => Math.min(2 * count * (depth + 1), pages)

/** A page of a tree is copied at most once, and is split at most once before half of it is new. */
const pagesFor = (size: BatchSize, trees: Trees, filePages: number): number => {
  const split = Math.min(size.count, trees.pages) + Math.ceil(4 * size.bytes / pageSize)
  const listed = mostListPages + lastPages(filePages)
  // Each database has a root page, and a record in the tree of database names.
  return copiedPages(size, trees) + 2 * (split + size.names.size) + size.valuePages + listed + pagesBeside
}

/** Estimates the most pages that the commit of a batch takes, including the list of free pages at its end. */
export const mostPagesOf = (target: Target, batch: Batch): number => {
  const size = sizeOf(batch)
  return pagesFor(size, treesOf(target, size.names), pagesOf(target.meta.getStats()))
}

/** A batch, and an estimate of its pages from the length of the file alone. */
export interface Estimate {
  readonly batch: Batch
  readonly size: BatchSize
  /** The pages of the file before the batch. */
  readonly filePages: number
  /** The most pages that the commit takes. `mostPagesOf` may be less, but takes longer: it asks the library for figures. */
  readonly mostPages: number
}

/** Estimates the pages of a batch for a file of some pages. */
export const estimate = (batch: Batch, filePages: number): Estimate => {
  const size = sizeOf(batch)
  return { batch, size, filePages, mostPages: pagesFor(size, largestTrees(filePages), filePages) }
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

/** The length of the longest message about a failed write into a file that has up to `pages` pages after it. */
const messageLength = (pages: number, longestRun: number): number =>
  text.length + Math.min(longestPosition, digitsOf(pages * pageSize)) + digitsOf(mostRuns * longestRun * pageSize) +
  digitsOf(mostRuns) + 3 * digitsOf(longestRun * pageSize)

/** The longest run of pages that the commit of a batch writes. The list of freed pages is one run. */
const longestRunOf = ({ longestValue }: BatchSize, freed: number): number => Math.max(lastPages(freed), longestValue)

/** Refuses a batch if `free` bytes may not suffice and the engine would not survive that. */
export const refusalWith = (free: number, target: Target, batch: Batch): EngineFailure | undefined => {
  const size = sizeOf(batch)
  const filePages = pagesOf(target.meta.getStats())
  const mostPages = pagesFor(size, treesOf(target, size.names), filePages)
  const needed = mostPages * pageSize + marginBytes
  if (free >= needed) return undefined
  const freed = batch.clear.length > 0 ? filePages : freedBy(target, batch)
  if (messageLength(filePages + mostPages, longestRunOf(size, freed)) <= longestMessage) return undefined
  return new EngineFailure({
    operation: "commit",
    code: 28,
    detail: `No space left on device: the commit may take ${needed} bytes, ${free} are free`,
    isRetryable: true
  })
}

/** Whether the engine certainly survives a failed write of a batch. Reads no records. */
export const isHarmless = (target: Target, { batch, filePages, mostPages, size }: Estimate): boolean => {
  const isShort = (freed: number): boolean =>
    messageLength(filePages + mostPages, longestRunOf(size, Math.min(freed, filePages))) <= longestMessage
  if (isShort(filePages)) return true
  if (batch.clear.length > 0) return false
  const trees = treesOf(target, size.names)
  return isShort(copiedPages(size, trees) + trees.valuePages + pagesBeside)
}

/** Refuses a batch for which the disk of the file may have no room. Asks for the free space only if it matters. */
export const refusal = (file: string, target: Target, estimated: Estimate): EngineFailure | undefined =>
  isHarmless(target, estimated) ? undefined : refusalWith(freeBytesOf(file), target, estimated.batch)
