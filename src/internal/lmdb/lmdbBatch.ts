/**
 * Writes batches in the way of the library, and says beforehand how many pages they
 * take.
 */
import type { Batch } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import { lastPages, numbersPerPage, pageSize } from "./mapSize.ts"
import { figure, freePagesOf, isListOnOnePage, pagesOf } from "./pageCount.ts"

/** What is written to: a database of the library. */
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
  /** Holds what the file says of itself: under `format` the version of its layout. */
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
  // A transaction that changes nothing is none: the next gets its number, and freed pages come of age by transactions.
  if (!hasValues) target.meta.put(formatKey, formatVersion)
}

/** The most pages that one write copies: its path in the tree, and as many beside it. */
const pathPagesOf = (database: Writable): number => 2 * (figure(database.getStats(), "treeDepth") + 1)

/** The most pages of the paths of a database, found once for each that is written to. */
const pathPagesIn = (target: Target): (name: string) => number => {
  const found = new Map<string, number>()
  return (name) => {
    const pages = found.get(name) ?? pathPagesOf(databaseOf(target, name))
    found.set(name, pages)
    return pages
  }
}

// The trees that hold the names of databases and what the file says of itself.
const treesBeside = 2

/** What comes before a large value on the first of its pages. */
const pageHeadBytes = 24

/** The pages of a large value; a smaller one is counted as large. */
export const valuePagesOf = (value: Uint8Array | null | undefined): number =>
  value === null || value === undefined ? 0 : Math.ceil((pageHeadBytes + value.length) / pageSize)

/**
 * The most pages that a batch frees: each write copies its path in the tree, and drops the pages of a large value,
 * and no page is freed twice.
 */
export const freedBy = (target: Target, batch: Batch): number => {
  const pathPages = pathPagesIn(target)
  let freed = treesBeside * pathPagesOf(target.meta)
  for (const [name, key] of batch.writes) {
    freed += pathPages(name) + valuePagesOf(databaseOf(target, name).getBinaryFast(key))
  }
  return Math.min(freed, pagesOf(target.meta.getStats()))
}

/** The most pages that a batch takes: each write copies its path in the tree, and a large value has pages of its own. */
export const takenBy = (target: Target, batch: Batch): number => {
  const pathPages = pathPagesIn(target)
  let taken = treesBeside * pathPagesOf(target.meta)
  for (const [name, , value] of batch.writes) {
    taken += pathPages(name) + valuePagesOf(value) + 1
  }
  return taken
}

/** The most pages that the end of a commit takes one by one for its list of free pages. */
export const mostListPages = 16

/** The same where the list is on one page: that one anew, two more to split it, and one for each of two long records. */
const fewListPages = 5

/** The most pages that the end of a commit takes one by one for its list of free pages, before the batch is written. */
export const listPagesFor = (target: Target, freed: number): number => {
  const figures = target.meta.getStats()
  const trees = [...target.databases.values(), target.meta].map((tree) => tree.getStats())
  return isListOnOnePage(figures) && freePagesOf(figures, trees) + freed <= numbersPerPage / 2
    ? fewListPages
    : mostListPages
}

/**
 * Takes pages for a transaction and gives them back to it, loose: the end of its
 * commit takes the pages of trees from these, and not from behind the end of the file.
 */
export const prepareLoosePages = ({ meta }: Target, pages: number): void => {
  // Two such values fill a page. Those that find room in pages of the tree make up for the page above all, if it is new.
  const filler = new Uint8Array(Math.floor(pageSize * 0.45))
  const fillers = 2 * pages + (figure(meta.getStats(), "treeDepth") > 1 ? 2 : 0)
  const keys = Array.from({ length: fillers }, (_, index) => ByteString(`filler${String.fromCharCode(index)}`))
  for (const key of keys) meta.put(key, filler)
  for (const key of keys) meta.remove(key)
}

/** Takes as many pages in a row as the end of a commit may want for its list of free pages. */
export const takeLastPages = ({ meta }: Target, freed: number): void => {
  if (freed > numbersPerPage / 2) {
    meta.put(ByteString("filler"), new Uint8Array((lastPages(freed) - 1) * pageSize))
  }
}
