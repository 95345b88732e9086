/**
 * Refuses a batch that the disk may have no room for, before anything of it is written.
 *
 * The engine must not find out by itself: what it says of a write that fails is longer than
 * the memory that it has for it (100 bytes in `mdb_page_flush` of lmdb 3.5.6), and the
 * process ends some time later.
 */
import * as Result from "effect/Result"
import { statfsSync } from "node:fs"
import type { Batch } from "../Engine.ts"
import { EngineFailure } from "../StoreError.ts"
import { lastPages, pageSize } from "./fileLimit.ts"
import { databaseOf, mostListPages, type Target, valuePagesOf, type Writable } from "./lmdbBatch.ts"
import { figure, pagesOf } from "./lmdbFigures.ts"

/** What a record takes in a page besides its key and value, at the most. */
const recordBytes = 24

/** Larger values are on pages of their own. */
const largestInPage = pageSize / 4

/** Pages for the trees of the names of databases, and of what the file says of itself. */
const pagesBeside = 16

/** The databases that a batch writes to. */
const databasesOf = (target: Target, { clear, writes }: Batch): ReadonlySet<Writable> => {
  const databases = new Set(clear.map((name) => databaseOf(target, name)))
  let last: string | undefined
  for (const [name] of writes) {
    if (name !== last) databases.add(databaseOf(target, name))
    last = name
  }
  return databases
}

/**
 * The most pages that a batch takes, its end of the commit included: each page of a tree is
 * copied once, and split once before more than half of it is new.
 */
export const mostPagesOf = (target: Target, batch: Batch): number => {
  let depth = 0
  let treePages = 0
  for (const database of databasesOf(target, batch)) {
    const figures = database.getStats()
    depth = Math.max(depth, figure(figures, "treeDepth"))
    treePages += figure(figures, "treeBranchPageCount") + figure(figures, "treeLeafPageCount")
  }
  let count = 0
  let bytes = 0
  let valuePages = 0
  for (const [, key, value] of batch.writes) {
    count++
    bytes += recordBytes + key.length
    if (value === null) continue
    if (value.length > largestInPage) valuePages += valuePagesOf(value)
    else bytes += value.length
  }
  const copied = Math.min(2 * count * (depth + 1), treePages)
  const split = Math.min(count, treePages) + Math.ceil(4 * bytes / pageSize)
  const listed = mostListPages + lastPages(pagesOf(target.meta.getStats()))
  return copied + 2 * split + valuePages + listed + pagesBeside
}

/** How many bytes of a disk are free; one that does not say so is taken to have room. */
const freeBytesOf = (folder: string): number =>
  Result.match(Result.try(() => statfsSync(folder)), {
    onFailure: () => Infinity,
    onSuccess: ({ bavail, bsize }) => bavail * bsize
  })

/** Says why a batch is not written: the disk that the file is on may have no room for it. */
export const refusal = (folder: string, target: Target, batch: Batch): EngineFailure | undefined => {
  const needed = mostPagesOf(target, batch) * pageSize
  const free = freeBytesOf(folder)
  if (free >= needed) return undefined
  return new EngineFailure({
    operation: "commit",
    code: 28,
    detail: `No space left on device: the commit may take ${needed} bytes, ${free} are free`,
    isRetryable: true
  })
}
