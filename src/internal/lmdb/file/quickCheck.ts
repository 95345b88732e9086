/**
 * Checks those pages of a database file whose number hardly depends on the number of records: the
 * list of free pages, the tree with the names of the databases, and the root page of each
 * database. The engine trusts these pages as soon as it opens the file or writes to it.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { pageSize } from "../mapSize.ts"
import * as PageLayout from "./pageLayout.ts"

/** The content of a page is not possible in an undamaged file. */
export class PageDamaged extends Data.TaggedError("PageDamaged")<{ readonly page: number }> {}

/** A database has flags that this package never sets. */
class ForeignTree extends Data.TaggedError("ForeignTree")<{ readonly name: string }> {}

/** Reads `count` pages from page `first` on. The bytes are fewer at the end of the file. */
type ReadPages<E> = (first: number, count: number) => Effect.Effect<Uint8Array, E>

/** The pages of a file, and what is known about all of them. */
export interface Pages<E> {
  readonly read: ReadPages<E>
  /** The number of the last page. */
  readonly lastPage: number
  /** The number of the last transaction. */
  readonly transactionId: bigint
  /** The encryption key; `undefined` if the pages are not encrypted. */
  readonly secret: string | undefined
}

/** The most levels of a tree that the engine supports. */
const mostLevels = 32

const isInside = (page: number, count: number, lastPage: number): boolean =>
  page > 1 && count > 0 && page + count - 1 <= lastPage

/** Reads the consecutive pages of a run, and checks their common header. */
const readPages = Effect.fnUntraced(function*<E>(pages: Pages<E>, [page, count]: PageLayout.PageRun) {
  const { lastPage, read, secret, transactionId } = pages
  const damaged = new PageDamaged({ page })
  if (!isInside(page, count, lastPage)) return yield* damaged
  const bytes = yield* read(page, count)
  if (bytes.length < count * pageSize) return yield* damaged
  if (!PageLayout.isPage(PageLayout.viewOf(bytes), page, transactionId)) return yield* damaged
  return PageLayout.viewOf(secret === undefined ? bytes : PageLayout.decrypt(bytes, secret))
})

/** A node of a leaf page, with its page. */
interface Leaf {
  readonly page: number
  readonly view: DataView
  readonly node: PageLayout.Node
}

/** Reads the nodes of all leaf pages of a tree, in order. */
const leavesOf = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number) {
  const seen = new Set<number>()
  const leaves: Array<Leaf> = []
  let level = [root]
  for (let depth = 1; level.length > 0; depth++) {
    const next: Array<number> = []
    for (const page of level) {
      const view = yield* readPages(pages, [page, 1])
      const found = PageLayout.treePageOf(view)
      // If two pages refer to the same page, the engine may loop forever.
      if (found === undefined || seen.has(page) || depth > mostLevels) {
        return yield* new PageDamaged({ page })
      }
      seen.add(page)
      for (const node of found.nodes) {
        if (found.isBranch) next.push(PageLayout.pageBelow(view, node))
        else leaves.push({ page, view, node })
      }
    }
    level = next
  }
  return leaves
})

/** Reads the data of a node, which may be on other pages. */
const dataOf = Effect.fnUntraced(function*<E>(pages: Pages<E>, { node, page, view }: Leaf) {
  const bytes = PageLayout.dataBytesOf(view, node)
  if (!PageLayout.isLarge(view, node)) {
    return new DataView(view.buffer, view.byteOffset + PageLayout.dataAtOf(view, node), bytes)
  }
  const run = PageLayout.runOf(view, node)
  if (run === undefined) return yield* new PageDamaged({ page })
  const large = yield* readPages(pages, run)
  if (PageLayout.overflowPagesOf(large) !== run[1]) return yield* new PageDamaged({ page: run[0] })
  return new DataView(large.buffer, large.byteOffset + PageLayout.headerBytes, bytes)
})

// A list has many thousands of numbers, and this takes a tenth of the time of `getBigInt64`.
const numberAt = (view: DataView, place: number): number =>
  view.getInt32(8 * place + 4, true) * 2 ** 32 + view.getUint32(8 * place, true)

/** Calls `each` with every run of free pages in a record of the list; returns `false` if the record is damaged. */
const forEachRun = (record: DataView, lastPage: number, each: (run: PageLayout.PageRun) => void): boolean => {
  const places = Math.floor(record.byteLength / 8)
  const length = places === 0 ? 0 : numberAt(record, 0)
  if (places === 0 || length < 0 || length >= places) return false
  for (let place = 1; place <= length; place++) {
    const entry = numberAt(record, place)
    // Zero marks an unused place.
    if (entry === 0) continue
    // A negative entry is the negated length of a run, which begins with the next entry. The last entry means nothing.
    if (entry < 0 && place === length) continue
    const run: PageLayout.PageRun = entry > 0 ? [entry, 1] : [numberAt(record, ++place), -entry]
    if (!isInside(...run, lastPage)) return false
    each(run)
  }
  return true
}

/**
 * Checks the list of free pages, and returns those runs of free pages that end at page `from`
 * or after it.
 */
export const checkFreeList = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number, from: number) {
  const runs: Array<PageLayout.PageRun> = []
  let before = -1n
  for (const leaf of yield* leavesOf(pages, root)) {
    const { node, page, view } = leaf
    if (PageLayout.keyBytesOf(view, node) !== 8) return yield* new PageDamaged({ page })
    // The keys of the records are numbers of transactions.
    const key = view.getBigUint64(PageLayout.keyAtOf(node), true)
    const isList = key > before && forEachRun(yield* dataOf(pages, leaf), pages.lastPage, (run) => {
      if (run[0] + run[1] > from) runs.push(run)
    })
    if (!isList) return yield* new PageDamaged({ page })
    before = key
  }
  return runs
})

const nameOf = ({ node, view }: Leaf): string =>
  // A stored name ends with a zero byte.
  new TextDecoder().decode(PageLayout.keyIn(view, node).subarray(0, -1))

/** A record of the unnamed database: a database, or a record of another program, which has no tree. */
interface NameEntry {
  readonly name: string
  readonly tree: PageLayout.Tree | undefined
}

/** Checks the tree with the names of the databases, and the root page of each; returns the records of the tree. */
export const checkDatabases = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number) {
  const all: Array<NameEntry> = []
  for (const leaf of yield* leavesOf(pages, root)) {
    const name = nameOf(leaf)
    if (!PageLayout.isName(leaf.view, leaf.node)) {
      all.push({ name, tree: undefined })
      continue
    }
    const tree = PageLayout.treeOf(leaf.view, leaf.node)
    if (tree === undefined) return yield* new PageDamaged({ page: leaf.page })
    if (tree.flags !== 0) return yield* new ForeignTree({ name })
    all.push({ name, tree })
    if (tree.root === undefined) continue
    if (PageLayout.treePageOf(yield* readPages(pages, [tree.root, 1])) === undefined) {
      return yield* new PageDamaged({ page: tree.root })
    }
  }
  return all
})
