/**
 * Looks at the pages of a database file before the engine does.
 *
 * Only at those that are few however many records there are: the list of free pages,
 * the tree that holds the names of the databases, and the root of each. The engine
 * follows all of them as soon as it opens a file or writes to it, and trusts them.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { pageSize } from "../mapSize.ts"
import * as PageLayout from "./pageLayout.ts"

/** A page is not what it should be. */
export class PageDamaged extends Data.TaggedError("PageDamaged")<{ readonly page: number }> {}

/** A database is of a kind that this package does not make. */
class ForeignTree extends Data.TaggedError("ForeignTree")<{ readonly name: string }> {}

/** Reads pages from a number on; fewer bytes where the file ends. */
type ReadPages<E> = (first: number, count: number) => Effect.Effect<Uint8Array, E>

/** What the pages are looked at with. */
export interface Pages<E> {
  readonly read: ReadPages<E>
  /** The number of the last page. */
  readonly lastPage: number
  /** The number of the last transaction. */
  readonly transactionId: bigint
  /** The key, where the pages are encrypted. */
  readonly secret: string | undefined
}

/** The engine follows no more levels. */
const mostLevels = 32

const isInside = (page: number, count: number, lastPage: number): boolean =>
  page > 1 && count > 0 && page + count - 1 <= lastPage

/** Reads pages that belong together, and checks what their header says of them all. */
const readPages = Effect.fnUntraced(function*<E>(pages: Pages<E>, [page, count]: PageLayout.PageRow) {
  const { lastPage, read, secret, transactionId } = pages
  const damaged = new PageDamaged({ page })
  if (!isInside(page, count, lastPage)) return yield* damaged
  const bytes = yield* read(page, count)
  if (bytes.length < count * pageSize) return yield* damaged
  if (!PageLayout.isPage(PageLayout.viewOf(bytes), page, transactionId)) return yield* damaged
  return PageLayout.viewOf(secret === undefined ? bytes : PageLayout.decrypt(bytes, secret))
})

/** A node of a leaf, with the page that it is on. */
interface Leaf {
  readonly page: number
  readonly view: DataView
  readonly node: PageLayout.Node
}

/** The nodes of all leaves of a tree, in order. */
const leavesOf = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number) {
  const seen = new Set<number>()
  const leaves: Array<Leaf> = []
  let level = [root]
  for (let depth = 1; level.length > 0; depth++) {
    const next: Array<number> = []
    for (const page of level) {
      const view = yield* readPages(pages, [page, 1])
      const found = PageLayout.treePageOf(view)
      // A page that has two ways to it leads the engine in circles.
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

/** The data of a node, which may be on pages of its own. */
const dataOf = Effect.fnUntraced(function*<E>(pages: Pages<E>, { node, page, view }: Leaf) {
  const bytes = PageLayout.dataBytesOf(view, node)
  if (!PageLayout.isLarge(view, node)) {
    return new DataView(view.buffer, view.byteOffset + PageLayout.dataAtOf(view, node), bytes)
  }
  const row = PageLayout.rowOf(view, node)
  if (row === undefined) return yield* new PageDamaged({ page })
  const large = yield* readPages(pages, row)
  if (PageLayout.overflowPagesOf(large) !== row[1]) return yield* new PageDamaged({ page: row[0] })
  return new DataView(large.buffer, large.byteOffset + PageLayout.headerBytes, bytes)
})

// Many thousands of them are read: this takes a tenth of the time of `getBigInt64`.
const numberAt = (view: DataView, place: number): number =>
  view.getInt32(8 * place + 4, true) * 2 ** 32 + view.getUint32(8 * place, true)

/** Gives each row of pages that a record of the list of free pages names; `false` where one is none. */
const forEachRow = (record: DataView, lastPage: number, each: (row: PageLayout.PageRow) => void): boolean => {
  const places = Math.floor(record.byteLength / 8)
  const length = places === 0 ? 0 : numberAt(record, 0)
  if (places === 0 || length < 0 || length >= places) return false
  for (let place = 1; place <= length; place++) {
    const entry = numberAt(record, place)
    // A gap
    if (entry === 0) continue
    // A negative entry says how many pages follow one another from the next one on; at the end it says nothing.
    if (entry < 0 && place === length) continue
    const row: PageLayout.PageRow = entry > 0 ? [entry, 1] : [numberAt(record, ++place), -entry]
    if (!isInside(...row, lastPage)) return false
    each(row)
  }
  return true
}

/**
 * Checks the list of free pages, and gives those rows of pages in it that reach a page
 * or lie behind it.
 */
export const checkFreeList = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number, from: number) {
  const rows: Array<PageLayout.PageRow> = []
  let before = -1n
  for (const leaf of yield* leavesOf(pages, root)) {
    const { node, page, view } = leaf
    if (PageLayout.keyBytesOf(view, node) !== 8) return yield* new PageDamaged({ page })
    // The records stand under the numbers of transactions.
    const key = view.getBigUint64(PageLayout.keyAtOf(node), true)
    const isList = key > before && forEachRow(yield* dataOf(pages, leaf), pages.lastPage, (row) => {
      if (row[0] + row[1] > from) rows.push(row)
    })
    if (!isList) return yield* new PageDamaged({ page })
    before = key
  }
  return rows
})

const nameOf = ({ node, view }: Leaf): string =>
  // A zero byte is behind it.
  new TextDecoder().decode(PageLayout.keyIn(view, node).subarray(0, -1))

/** What there is under a key of the unnamed database: a database, or a record of another program. */
interface Named {
  readonly name: string
  readonly tree: PageLayout.Tree | undefined
}

/** Checks the tree that holds the names of the databases, and the root of each; gives what is in it. */
export const checkDatabases = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number) {
  const all: Array<Named> = []
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
