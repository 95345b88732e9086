/**
 * Writes batches with the functions of the library, and estimates beforehand how many pages a batch
 * takes and frees.
 */
import type { Batch } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import { lastPages, numbersPerPage, pageSize } from "./mapSize.ts"
import { figure, freePagesOf, isListOnOnePage, pagesOf } from "./pageCount.ts"

/** The part of a database of the library that writing a batch needs. */
export interface Writable {
  readonly put: (key: ByteString, value: Uint8Array) => unknown
  readonly remove: (key: ByteString) => unknown
  readonly clearSync: () => void
  readonly getBinaryFast: (key: ByteString) => Uint8Array | undefined
  readonly getStats: () => object
}

/** The databases of a file. */
export interface Target {
  readonly databases: ReadonlyMap<string, Writable>
  /** The database `meta`, which has the version of the file format under the key `format`. */
  readonly meta: Writable
}

export const formatKey = ByteString("format")
export const formatVersion = Uint8Array.of(1)

export const databaseOf = ({ databases }: Target, name: string): Writable => {
  const database = databases.get(name)
  if (database === undefined) throw new Error(`there is no database ${JSON.stringify(name)}`)
  return database
}

/** Makes the writes of a batch. */
export const writeAll = (target: Target, batch: Batch): void => {
  let hasValues = false
  for (const name of batch.clear) databaseOf(target, name).clearSync()
  for (const [name, key, value] of batch.writes) {
    const database = databaseOf(target, name)
    if (value === null) database.remove(key)
    else {
      hasValues = true
      database.put(key, value)
    }
  }
  // LMDB drops a transaction without changes, and the next one gets its number. Freed pages become usable only after
  // further transactions, so a batch of deletions makes sure that its transaction counts.
  if (!hasValues) target.meta.put(formatKey, formatVersion)
}

/** The most pages that one write copies: the path from the root, and as many pages beside it. */
const pathPagesOf = (database: Writable): number => 2 * (figure(database.getStats(), "treeDepth") + 1)

/** Finds the most pages that one write in a database copies, once for each database. */
const pathPagesIn = (target: Target): (name: string) => number => {
  const found = new Map<string, number>()
  return (name) => {
    const pages = found.get(name) ?? pathPagesOf(databaseOf(target, name))
    found.set(name, pages)
    return pages
  }
}

/** The trees of database names and of `meta`, which a commit changes too. */
const treesBeside = 2

/** The length of the header of a large value's first page, in bytes. */
const pageHeaderBytes = 24

/** How many pages a large value has. A smaller value counts as a large one of one page. */
export const valuePagesOf = (value: Uint8Array | null | undefined): number =>
  value === null || value === undefined ? 0 : Math.ceil((pageHeaderBytes + value.length) / pageSize)

/**
 * Estimates the most pages that a batch frees: each write copies a path in its tree and frees the pages of a
 * large value. No page is freed twice.
 */
export const freedBy = (target: Target, batch: Batch): number => {
  const pathPages = pathPagesIn(target)
  let freed = treesBeside * pathPagesOf(target.meta)
  for (const [name, key] of batch.writes) {
    freed += pathPages(name) + valuePagesOf(databaseOf(target, name).getBinaryFast(key))
  }
  return Math.min(freed, pagesOf(target.meta.getStats()))
}

/** Estimates the most pages that a batch takes: each write copies a path in its tree, and may have a large value. */
export const takenBy = (target: Target, batch: Batch): number => {
  const pathPages = pathPagesIn(target)
  let taken = treesBeside * pathPagesOf(target.meta)
  for (const [name, , value] of batch.writes) {
    taken += pathPages(name) + valuePagesOf(value) + 1
  }
  return taken
}

/** The most single pages that the end of a commit takes for the list of free pages. */
export const mostListPages = 16

/** The most such pages if the list is on one page: its copy, two pages for a split, and one for each of two long records. */
const fewListPages = 5

/** Estimates, before a batch is written, the most single pages that its commit takes for the list of free pages. */
export const listPagesFor = (target: Target, freed: number): number => {
  const figures = target.meta.getStats()
  const trees = [...target.databases.values(), target.meta].map((tree) => tree.getStats())
  return isListOnOnePage(figures) && freePagesOf(figures, trees) + freed <= numbersPerPage / 2
    ? fewListPages
    : mostListPages
}

/**
 * Allocates pages in a transaction and frees them again. They stay loose pages of the transaction: the
 * end of its commit uses them, and does not allocate pages after the end of the file.
 */
export const prepareLoosePages = ({ meta }: Target, pages: number): void => {
  // Two such values fill a page. In a tree of several levels, some find room in existing pages: two more make up for
  // that. In a tree of one level, the new root page does.
  const filler = new Uint8Array(Math.floor(pageSize * 0.45))
  const fillers = 2 * pages + (figure(meta.getStats(), "treeDepth") > 1 ? 2 : 0)
  const keys = Array.from({ length: fillers }, (_, index) => ByteString(`filler${String.fromCharCode(index)}`))
  for (const key of keys) meta.put(key, filler)
  for (const key of keys) meta.remove(key)
}

/** Allocates as many consecutive pages as the end of a commit may need for the list of the pages that it freed. */
export const takeLastPages = ({ meta }: Target, freed: number): void => {
  if (freed > numbersPerPage / 2) {
    meta.put(ByteString("filler"), new Uint8Array((lastPages(freed) - 1) * pageSize))
  }
}
