/**
 * Checks every page of a database file that the engine can reach.
 *
 * The engine trusts the content of pages: a damaged page ends the process, or makes the engine
 * overwrite another page. The check reads all pages once in their order, and checks each page
 * on its own. It then follows the trees in memory.
 */
import * as Effect from "effect/Effect"
import { ByteString, fromBytes } from "../../../Key.ts"
import { pageSize } from "../mapSize.ts"
import * as PageLayout from "./pageLayout.ts"
import { PageDamaged, type Pages } from "./quickCheck.ts"

/** The trees and the free pages of a file. */
export interface Contents {
  readonly freeList: PageLayout.Tree
  /** The names of the databases. */
  readonly names: PageLayout.Tree
  readonly databases: ReadonlyArray<PageLayout.Tree>
  /** The pages that are free. */
  readonly free: ReadonlyArray<PageLayout.PageRun>
  /** How many pages there are in the file. */
  readonly pageCount: number
}

/** How many pages one read takes: 4 MiB. */
const pagesAtOnce = 1024

/** What the check remembers of a tree page. */
interface PageSummary {
  readonly isBranch: boolean
  readonly nodes: number
  /** The numbers of the child pages of a branch page. */
  readonly children: ReadonlyArray<number>
  /** In a branch page the keys that separate its children, in a leaf page the first key and the last. */
  readonly keys: ReadonlyArray<ByteString>
  /** Whether its keys are in the order of their bytes, without duplicates. */
  readonly isOrdered: boolean
  /** The pages of its large values. */
  readonly large: ReadonlyArray<PageLayout.PageRun>
  /** Whether one of its keys is the name of a database. */
  readonly hasNames: boolean
}

/** The pages of a file that are valid on their own. Some of them may be free. */
interface ValidPages {
  readonly trees: ReadonlyMap<number, PageSummary>
  /** The number of pages of each large value, by its first page. */
  readonly large: ReadonlyMap<number, number>
}

const isBefore = (page: DataView, a: PageLayout.Node, b: PageLayout.Node): boolean => {
  const bytesOfA = PageLayout.keyBytesOf(page, a)
  const bytesOfB = PageLayout.keyBytesOf(page, b)
  const shorter = Math.min(bytesOfA, bytesOfB)
  const inA = PageLayout.keyAtOf(a)
  const inB = PageLayout.keyAtOf(b)
  let index = 0
  // Compares four bytes at a time: neighbouring keys mostly have a common prefix.
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

const summarizeBranch = (page: DataView, nodes: ReadonlyArray<PageLayout.Node>): PageSummary => {
  // The engine never reads the first key of a branch page.
  const between = nodes.slice(1)
  return {
    isBranch: true,
    nodes: nodes.length,
    children: nodes.map((node) => PageLayout.pageBelow(page, node)),
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

const summarizeLeaf = (page: DataView, nodes: ReadonlyArray<PageLayout.Node>): PageSummary | undefined => {
  const large: Array<PageLayout.PageRun> = []
  let hasNames = false
  for (const node of nodes) {
    const keyBytes = PageLayout.keyBytesOf(page, node)
    if (keyBytes === 0 || keyBytes > PageLayout.maxKeyBytes) return undefined
    if (PageLayout.isPlain(page, node)) continue
    if (PageLayout.isName(page, node)) hasNames = true
    else if (PageLayout.isLarge(page, node)) {
      const run = PageLayout.runOf(page, node)
      if (run === undefined) return undefined
      large.push(run)
    } else return undefined
  }
  return {
    isBranch: false,
    nodes: nodes.length,
    children: none,
    keys: endsOf(nodes).map((node) => keyOf(page, node)),
    isOrdered: isOrdered(page, nodes),
    large,
    hasNames
  }
}

const summarize = (page: DataView): PageSummary | undefined => {
  const tree = PageLayout.treePageOf(page)
  if (tree === undefined) return undefined
  return tree.isBranch ? summarizeBranch(page, tree.nodes) : summarizeLeaf(page, tree.nodes)
}

/** Reads all pages after the meta pages, and keeps those that are valid. */
const readValidPages = Effect.fnUntraced(function*<E>({ read, secret, transactionId }: Pages<E>, pageCount: number) {
  const trees = new Map<number, PageSummary>()
  const large = new Map<number, number>()
  for (let first = 2; first < pageCount; first += pagesAtOnce) {
    const bytes = yield* read(first, Math.min(pagesAtOnce, pageCount - first))
    for (let at = 0; at + pageSize <= bytes.length; at += pageSize) {
      const stored = bytes.subarray(at, at + pageSize)
      const number = first + at / pageSize
      // A page that was never written, or a later page of a large value, has no valid header.
      if (!PageLayout.isPage(PageLayout.viewOf(stored), number, transactionId)) continue
      const page = PageLayout.viewOf(secret === undefined ? stored : PageLayout.decrypt(stored, secret))
      const summary = summarize(page)
      if (summary !== undefined) trees.set(number, summary)
      const count = PageLayout.overflowPagesOf(page)
      if (count !== undefined) large.set(number, count)
    }
  }
  const valid: ValidPages = { trees, large }
  return valid
})

/** Marks pages as used; returns `false` if they are not in the file, or are used already. */
type Claim = (run: PageLayout.PageRun) => boolean

const makeClaim = (pageCount: number): Claim => {
  const isUsed = new Uint8Array(pageCount)
  return ([first, count]) => {
    if (first < 2 || first + count > pageCount || isUsed.subarray(first, first + count).includes(1)) return false
    isUsed.fill(1, first, first + count)
    return true
  }
}

/** The content of a tree. The keys of the list of free pages are numbers, which have another order than bytes. */
type TreeKind = "free" | "names" | "records"

/** A reference to a page, with the bounds of its keys. */
interface PageReference {
  readonly number: number
  readonly from: ByteString
  readonly to: ByteString | undefined
}

const isWithinBounds = ({ keys }: PageSummary, { from, to }: PageReference): boolean =>
  keys.every((key) => key >= from && (to === undefined || key < to))

const isValid = (kind: TreeKind, page: PageSummary, reference: PageReference): boolean =>
  (kind === "names" || !page.hasNames) &&
  (kind === "free" || (page.isOrdered && isWithinBounds(page, reference) && (!page.isBranch || page.nodes > 1)))

const childrenOf = ({ children, keys }: PageSummary, { from, to }: PageReference): ReadonlyArray<PageReference> =>
  children.map((number, index) => ({ number, from: keys[index - 1] ?? from, to: keys[index] ?? to }))

/** Follows a tree from its root; returns the number of a damaged page, if there is one. */
const follow = (
  { large, trees }: ValidPages,
  claim: Claim,
  tree: PageLayout.Tree,
  kind: TreeKind
): number | undefined => {
  if (tree.root === undefined) return undefined
  let entries = 0
  let level: ReadonlyArray<PageReference> = [{ number: tree.root, from: ByteString(""), to: undefined }]
  for (let depth = 1; level.length > 0; depth++) {
    const next: Array<ReadonlyArray<PageReference>> = []
    for (const reference of level) {
      const { number } = reference
      const page = trees.get(number)
      // All leaf pages must be at the same depth: the engine treats every page at that depth as a leaf page.
      if (page === undefined || page.isBranch === (depth === tree.depth)) return number
      if (!isValid(kind, page, reference) || !claim([number, 1])) return number
      for (const run of page.large) if (large.get(run[0]) !== run[1] || !claim(run)) return run[0]
      if (page.isBranch) next.push(childrenOf(page, reference))
      else entries += page.nodes
    }
    level = next.flat()
  }
  return BigInt(entries) === tree.entries ? undefined : tree.root
}

/** Returns the number of a damaged page, if there is one. */
const findDamage = (
  valid: ValidPages,
  { databases, free, freeList, names, pageCount }: Contents
): number | undefined => {
  const claim = makeClaim(pageCount)
  for (const [first, count] of free) {
    // The engine never writes some free pages at the end, so a run may extend beyond the end of the file.
    const inFile = Math.min(count, pageCount - first)
    if (inFile > 0 && !claim([first, inFile])) return first
  }
  const inStructure = follow(valid, claim, freeList, "free") ?? follow(valid, claim, names, "names")
  return databases.reduce((damaged, tree) => damaged ?? follow(valid, claim, tree, "records"), inStructure)
}

/** Fails if a page that the engine can reach is damaged, or is used twice. */
export const check = Effect.fnUntraced(function*<E>(pages: Pages<E>, contents: Contents) {
  const page = findDamage(yield* readValidPages(pages, contents.pageCount), contents)
  if (page !== undefined) return yield* new PageDamaged({ page })
})
