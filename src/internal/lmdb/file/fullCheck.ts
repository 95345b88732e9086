/**
 * Looks at every page of a database file that the engine can come to.
 *
 * The engine trusts what a page says of itself and of others: a damaged one ends the
 * process, or is written over another. All pages are read once, one after the other,
 * each is checked by itself, and then the trees are followed in memory.
 */
import * as Effect from "effect/Effect"
import { ByteString, fromBytes } from "../../../Key.ts"
import { pageSize } from "../mapSize.ts"
import * as PageLayout from "./pageLayout.ts"
import { PageDamaged, type Pages } from "./quickCheck.ts"

/** What a file says that it consists of. */
export interface Contents {
  readonly freeList: PageLayout.Tree
  /** The names of the databases. */
  readonly names: PageLayout.Tree
  readonly databases: ReadonlyArray<PageLayout.Tree>
  /** The pages that are free. */
  readonly free: ReadonlyArray<PageLayout.PageRow>
  /** How many pages there are in the file. */
  readonly pageCount: number
}

/** How many pages are read at a time. */
const pagesAtOnce = 1024

/** What is remembered of a page of a tree. */
interface Visited {
  readonly isBranch: boolean
  readonly nodes: number
  /** The pages that a branch leads to. */
  readonly below: ReadonlyArray<number>
  /** Of a branch the keys that are between the pages it leads to, of a leaf the first and the last. */
  readonly keys: ReadonlyArray<ByteString>
  /** Whether its keys are in the order of their bytes, each once. */
  readonly isOrdered: boolean
  /** Where the values are that a leaf has no room for. */
  readonly large: ReadonlyArray<PageLayout.PageRow>
  /** Whether there is a name of a database among its keys. */
  readonly hasNames: boolean
}

/** All pages that look like what they could be; not all of them are in use. */
interface Found {
  readonly trees: ReadonlyMap<number, Visited>
  /** How many pages those have with which a large value begins. */
  readonly large: ReadonlyMap<number, number>
}

const isBefore = (page: DataView, a: PageLayout.Node, b: PageLayout.Node): boolean => {
  const bytesOfA = PageLayout.keyBytesOf(page, a)
  const bytesOfB = PageLayout.keyBytesOf(page, b)
  const shorter = Math.min(bytesOfA, bytesOfB)
  const inA = PageLayout.keyAtOf(a)
  const inB = PageLayout.keyAtOf(b)
  let index = 0
  // Four at a time, since keys side by side mostly begin alike.
  while (index + 4 <= shorter && page.getUint32(inA + index) === page.getUint32(inB + index)) index += 4
  for (; index < shorter; index++) {
    const difference = page.getUint8(inA + index) - page.getUint8(inB + index)
    if (difference !== 0) return difference < 0
  }
  return bytesOfA < bytesOfB
}

const isOrdered = (page: DataView, nodes: ReadonlyArray<PageLayout.Node>): boolean => {
  let previous: PageLayout.Node | undefined
  for (const node of nodes) {
    if (previous !== undefined && !isBefore(page, previous, node)) return false
    previous = node
  }
  return true
}

const keyOf = (page: DataView, node: PageLayout.Node): ByteString => fromBytes(PageLayout.keyIn(page, node))

const none: ReadonlyArray<never> = []

const visitBranch = (page: DataView, nodes: ReadonlyArray<PageLayout.Node>): Visited => {
  // The first key of a branch is never looked at.
  const between = nodes.slice(1)
  return {
    isBranch: true,
    nodes: nodes.length,
    below: nodes.map((node) => PageLayout.pageBelow(page, node)),
    keys: between.map((node) => keyOf(page, node)),
    isOrdered: isOrdered(page, between),
    large: none,
    hasNames: false
  }
}

/** The first node and the last. */
const endsOf = (nodes: ReadonlyArray<PageLayout.Node>): ReadonlyArray<PageLayout.Node> => {
  const first = nodes[0]
  const last = nodes.at(-1)
  return first === undefined || last === undefined ? none : [first, last]
}

const visitLeaf = (page: DataView, nodes: ReadonlyArray<PageLayout.Node>): Visited | undefined => {
  const large: Array<PageLayout.PageRow> = []
  let hasNames = false
  for (const node of nodes) {
    const keyBytes = PageLayout.keyBytesOf(page, node)
    if (keyBytes === 0 || keyBytes > PageLayout.maxKeyBytes) return undefined
    if (PageLayout.isPlain(page, node)) continue
    if (PageLayout.isName(page, node)) hasNames = true
    else if (PageLayout.isLarge(page, node)) {
      const row = PageLayout.rowOf(page, node)
      if (row === undefined) return undefined
      large.push(row)
    } else return undefined
  }
  return {
    isBranch: false,
    nodes: nodes.length,
    below: none,
    keys: endsOf(nodes).map((node) => keyOf(page, node)),
    isOrdered: isOrdered(page, nodes),
    large,
    hasNames
  }
}

const visit = (page: DataView): Visited | undefined => {
  const tree = PageLayout.treePageOf(page)
  if (tree === undefined) return undefined
  return tree.isBranch ? visitBranch(page, tree.nodes) : visitLeaf(page, tree.nodes)
}

/** Reads all pages behind the meta pages. */
const findAll = Effect.fnUntraced(function*<E>({ read, secret, transactionId }: Pages<E>, pageCount: number) {
  const trees = new Map<number, Visited>()
  const large = new Map<number, number>()
  for (let first = 2; first < pageCount; first += pagesAtOnce) {
    const bytes = yield* read(first, Math.min(pagesAtOnce, pageCount - first))
    for (let at = 0; at + pageSize <= bytes.length; at += pageSize) {
      const stored = bytes.subarray(at, at + pageSize)
      const number = first + at / pageSize
      // Noise where a page was never written to, and within a large value
      if (!PageLayout.isPage(PageLayout.viewOf(stored), number, transactionId)) continue
      const page = PageLayout.viewOf(secret === undefined ? stored : PageLayout.decrypt(stored, secret))
      const visited = visit(page)
      if (visited !== undefined) trees.set(number, visited)
      const count = PageLayout.overflowPagesOf(page)
      if (count !== undefined) large.set(number, count)
    }
  }
  const found: Found = { trees, large }
  return found
})

/** Takes pages for a use; `false` where there are none, or they have another use. */
type Take = (row: PageLayout.PageRow) => boolean

const makeTake = (pageCount: number): Take => {
  const isTaken = new Uint8Array(pageCount)
  return ([first, count]) => {
    if (first < 2 || first + count > pageCount || isTaken.subarray(first, first + count).includes(1)) return false
    isTaken.fill(1, first, first + count)
    return true
  }
}

/** What a tree holds. Of the list of free pages the keys are numbers. */
type Kind = "free" | "names" | "records"

/** A page that something leads to, and between which keys its own are. */
interface Lead {
  readonly number: number
  readonly from: ByteString
  readonly to: ByteString | undefined
}

const isBetween = ({ keys }: Visited, { from, to }: Lead): boolean =>
  keys.every((key) => key >= from && (to === undefined || key < to))

const isRight = (kind: Kind, page: Visited, lead: Lead): boolean =>
  (kind === "names" || !page.hasNames) &&
  (kind === "free" || (page.isOrdered && isBetween(page, lead) && (!page.isBranch || page.nodes > 1)))

const leadsOf = ({ below, keys }: Visited, { from, to }: Lead): ReadonlyArray<Lead> =>
  below.map((number, index) => ({ number, from: keys[index - 1] ?? from, to: keys[index] ?? to }))

/** Follows a tree from its root; gives the number of a page that is not what it should be. */
const follow = ({ large, trees }: Found, take: Take, tree: PageLayout.Tree, kind: Kind): number | undefined => {
  if (tree.root === undefined) return undefined
  let entries = 0
  let level: ReadonlyArray<Lead> = [{ number: tree.root, from: ByteString(""), to: undefined }]
  for (let depth = 1; level.length > 0; depth++) {
    const next: Array<ReadonlyArray<Lead>> = []
    for (const lead of level) {
      const { number } = lead
      const page = trees.get(number)
      // The engine goes from one leaf to the next, and takes what is at their level for a leaf.
      if (page === undefined || page.isBranch === (depth === tree.depth)) return number
      if (!isRight(kind, page, lead) || !take([number, 1])) return number
      for (const row of page.large) if (large.get(row[0]) !== row[1] || !take(row)) return row[0]
      if (page.isBranch) next.push(leadsOf(page, lead))
      else entries += page.nodes
    }
    level = next.flat()
  }
  return BigInt(entries) === tree.entries ? undefined : tree.root
}

/** Gives the number of a page that is not what it should be. */
const findDamage = (found: Found, { databases, free, freeList, names, pageCount }: Contents): number | undefined => {
  const take = makeTake(pageCount)
  for (const [first, count] of free) {
    // The engine does not write free pages at the end of the file: they may begin behind it.
    const inFile = Math.min(count, pageCount - first)
    if (inFile > 0 && !take([first, inFile])) return first
  }
  const inStructure = follow(found, take, freeList, "free") ?? follow(found, take, names, "names")
  return databases.reduce((damaged, tree) => damaged ?? follow(found, take, tree, "records"), inStructure)
}

/** Fails unless every page that a file leads to is what it should be, and is led to once. */
export const check = Effect.fnUntraced(function*<E>(pages: Pages<E>, contents: Contents) {
  const page = findDamage(yield* findAll(pages, contents.pageCount), contents)
  if (page !== undefined) return yield* new PageDamaged({ page })
})
