/**
 * Looks at the pages of a database file before the engine does.
 *
 * Only at those that are few however many records there are: the list of free pages,
 * the tree that holds the names of the databases, and the root of each. The engine
 * follows all of them as soon as it opens a file or writes to it, and trusts them.
 */
import { chacha8 } from "@noble/ciphers/chacha.js"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { pageSize } from "./fileLimit.ts"

/** A page is not what it should be. */
class PageDamaged extends Data.TaggedError("PageDamaged")<{ readonly page: number }> {}

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

/** A row of pages: the number of the first, and how many they are. */
export type PageRow = readonly [first: number, count: number]

// The header of a page: its number and transaction, which are never encrypted, padding, flags, and where its free
// room begins and ends, or how many pages a large value has. The engine encrypts from `plainBytes` on with ChaCha8,
// each page, and all pages of a large value as one, under its number.
const plainBytes = 16
const headerBytes = 24
const branchFlag = 0x01
const leafFlag = 0x02
const overflowFlag = 0x04

// Behind the header there are the places of the nodes, counted from there: two bytes each. A node has the number of
// a page (6 bytes) or the length of its data (4) and flags (2), the length of its key (2), and then these.
const nodeBytes = 8
const bigDataFlag = 0x01
const databaseFlag = 0x02
const bigDataBytes = 24
const databaseBytes = 48
const rootOfDatabase = 40

/** The engine follows no more levels. */
const mostLevels = 32
/** Stands for no page: the root of an empty tree. */
export const noPage = 0xffff_ffff_ffff_ffffn

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const decrypt = (pages: Uint8Array, secret: string): Uint8Array => {
  const nonce = new Uint8Array(12)
  nonce.set(pages.subarray(0, 8), 4)
  const decrypted = pages.slice()
  decrypted.set(chacha8(new TextEncoder().encode(secret), nonce, pages.subarray(plainBytes)), plainBytes)
  return decrypted
}

const isInside = (page: number, count: number, lastPage: number): boolean => page > 1 && page + count - 1 <= lastPage

/** Reads pages that belong together, and checks what their header says of them all. */
const readPages = Effect.fnUntraced(function*<E>(pages: Pages<E>, [page, count]: PageRow) {
  const { lastPage, read, secret, transactionId } = pages
  const damaged = new PageDamaged({ page })
  if (!isInside(page, count, lastPage)) return yield* damaged
  const bytes = yield* read(page, count)
  if (bytes.length < count * pageSize) return yield* damaged
  const header = viewOf(bytes)
  // The engine takes a page of a later transaction for one that it has in memory.
  if (header.getBigUint64(0, true) !== BigInt(page) || header.getBigUint64(8, true) > transactionId) {
    return yield* damaged
  }
  return viewOf(secret === undefined ? bytes : decrypt(bytes, secret))
})

/** What is at a place in a page of a tree. */
interface Node {
  readonly flags: number
  readonly key: DataView
  /** The data of a leaf, or all that is said of data that is on pages of its own. */
  readonly data: DataView
  /** The page that a branch leads to, or the length of the data of a leaf. */
  readonly number: number
}

const nodeAt = (page: DataView, offset: number, isBranch: boolean): Node | undefined => {
  const at = headerBytes + offset
  if (at + nodeBytes > pageSize) return undefined
  const flags = page.getUint16(at + 4, true)
  const keyAt = at + nodeBytes
  const dataAt = keyAt + page.getUint16(at + 6, true)
  const number = page.getUint32(at, true) + (isBranch ? flags * 2 ** 32 : 0)
  const dataBytes = isBranch ? 0 : (flags & bigDataFlag) === 0 ? number : bigDataBytes
  if (dataAt + dataBytes > pageSize) return undefined
  return {
    flags,
    number,
    key: new DataView(page.buffer, page.byteOffset + keyAt, dataAt - keyAt),
    data: new DataView(page.buffer, page.byteOffset + dataAt, dataBytes)
  }
}

/** The nodes of a page of a tree; `undefined` where it is none. */
const nodesOf = (page: DataView): { readonly isBranch: boolean; readonly nodes: ReadonlyArray<Node> } | undefined => {
  const flags = page.getUint16(18, true)
  const lower = page.getUint16(20, true)
  const upper = page.getUint16(22, true)
  const isBranch = flags === branchFlag
  if (page.getUint16(16, true) !== 0 || (!isBranch && flags !== leafFlag)) return undefined
  if (lower === 0 || lower % 2 !== 0 || lower > upper || upper > pageSize - headerBytes) return undefined
  const nodes: Array<Node> = []
  for (let place = 0; place < lower; place += 2) {
    const offset = page.getUint16(headerBytes + place, true)
    const node = offset < upper ? undefined : nodeAt(page, offset, isBranch)
    if (node === undefined) return undefined
    nodes.push(node)
  }
  return { isBranch, nodes }
}

/** The nodes of all leaves of a tree. */
const leavesOf = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number) {
  const seen = new Set<number>()
  const leaves: Array<Node & { readonly page: number }> = []
  let level = [root]
  for (let depth = 1; level.length > 0; depth++) {
    const next: Array<number> = []
    for (const page of level) {
      const found = nodesOf(yield* readPages(pages, [page, 1]))
      // A page that has two ways to it leads the engine in circles.
      if (found === undefined || seen.has(page) || depth > mostLevels) {
        return yield* new PageDamaged({ page })
      }
      seen.add(page)
      for (const node of found.nodes) {
        if (found.isBranch) next.push(node.number)
        else leaves.push({ ...node, page })
      }
    }
    level = next
  }
  return leaves
})

/** The data of a node, which may be on pages of its own. */
const dataOf = Effect.fnUntraced(function*<E>(pages: Pages<E>, { data, flags, number }: Node) {
  if ((flags & bigDataFlag) === 0) return data
  const first = Number(data.getBigUint64(0, true))
  const count = Math.ceil((headerBytes + number) / pageSize)
  const view = yield* readPages(pages, [first, count])
  if (view.getUint16(18, true) !== overflowFlag || view.getUint32(20, true) !== count) {
    return yield* new PageDamaged({ page: first })
  }
  return new DataView(view.buffer, view.byteOffset + headerBytes, number)
})

// Many thousands of them are read: this takes a tenth of the time of `getBigInt64`.
const numberAt = (view: DataView, place: number): number =>
  view.getInt32(8 * place + 4, true) * 2 ** 32 + view.getUint32(8 * place, true)

/** Gives each row of pages that a record of the list of free pages names; `false` where one is none. */
const forEachRow = (record: DataView, lastPage: number, each: (row: PageRow) => void): boolean => {
  const places = Math.floor(record.byteLength / 8)
  const length = places === 0 ? 0 : numberAt(record, 0)
  if (places === 0 || length < 0 || length >= places) return false
  for (let place = 1; place <= length; place++) {
    const entry = numberAt(record, place)
    // A gap
    if (entry === 0) continue
    // A negative entry says how many pages follow one another from the next one on; at the end it says nothing.
    if (entry < 0 && place === length) continue
    const row: PageRow = entry > 0 ? [entry, 1] : [numberAt(record, ++place), -entry]
    if (!isInside(...row, lastPage)) return false
    each(row)
  }
  return true
}

/** Checks the list of free pages, and gives those rows of pages in it that reach a page or lie behind it. */
export const checkFreeList = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number, from: number) {
  const rows: Array<PageRow> = []
  for (const leaf of yield* leavesOf(pages, root)) {
    const isList = leaf.key.byteLength === 8 && forEachRow(yield* dataOf(pages, leaf), pages.lastPage, (row) => {
      if (row[0] + row[1] > from) rows.push(row)
    })
    if (!isList) return yield* new PageDamaged({ page: leaf.page })
  }
  return rows
})

/** Checks the tree that holds the names of the databases, and the root of each. */
export const checkDatabases = Effect.fnUntraced(function*<E>(pages: Pages<E>, root: number) {
  for (const { data, flags, page } of yield* leavesOf(pages, root)) {
    if (flags !== databaseFlag) continue
    if (data.byteLength !== databaseBytes) return yield* new PageDamaged({ page })
    const rootOfIt = data.getBigUint64(rootOfDatabase, true)
    if (rootOfIt === noPage) continue
    const number = Number(rootOfIt)
    if (nodesOf(yield* readPages(pages, [number, 1])) === undefined) {
      return yield* new PageDamaged({ page: number })
    }
  }
})
