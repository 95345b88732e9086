/**
 * What a page of a database file is made of: from the structures `MDB_page_header`,
 * `MDB_node`, `MDB_ovpage` and `MDB_db` of the engine's `mdb.c` on a 64-bit machine.
 */
import { chacha8 } from "@noble/ciphers/chacha.js"
import { pageSize } from "../mapSize.ts"

// The header of a page: its number and transaction, which are never encrypted, padding, flags, and where its free
// room begins and ends, or how many pages a large value has. The engine encrypts from `plainBytes` on with ChaCha8,
// each page, and all pages of a large value as one, under its number.
const plainBytes = 16
/** The bytes of a page before what it holds. */
export const headerBytes = 24
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

/** The longest key that LMDB allows for pages of this size. */
export const maxKeyBytes = 1978

/**
 * The longest value: with the head of its first page it fills as many pages as the system writes in one call. The engine writes a
 * value in one, and takes one that is cut short for an error of the disk.
 */
const longestValue = 0x7fff_f000 - headerBytes

/** The longest value that the library can decompress: it wants room for twice as many bytes, counted in 31 bits. */
const longestCompressed = 0x3fff_ffff

/** The longest value, in bytes. */
export const maxValueBytes = (isCompressed: boolean): number => isCompressed ? longestCompressed : longestValue

/** Stands for no page: the root of an empty tree. */
const noPage = 0xffff_ffff_ffff_ffffn

/** A row of pages: the number of the first, and how many they are. */
export type PageRow = readonly [first: number, count: number]

/** A database, as it is described where its name stands, and in a meta page. */
export interface Tree {
  /** How its keys are ordered, and whether they may be there more than once; 0 is the usual. */
  readonly flags: number
  /** How many levels of pages it has. */
  readonly depth: number
  /** How many records it has. */
  readonly entries: bigint
  /** The number of the page at its root, where it has any records. */
  readonly root: number | undefined
}

/** Reads the description of a database. */
export const treeAt = (view: DataView, at: number): Tree => {
  const root = view.getBigUint64(at + 40, true)
  return {
    flags: view.getUint16(at + 4, true),
    depth: view.getUint16(at + 6, true),
    entries: view.getBigUint64(at + 32, true),
    root: root === noPage ? undefined : Number(root)
  }
}

/** Looks at bytes as numbers. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Decrypts a page, or pages that belong together, or the first of them. */
export const decrypt = (pages: Uint8Array, secret: string): Uint8Array => {
  const nonce = new Uint8Array(12)
  nonce.set(pages.subarray(0, 8), 4)
  const decrypted = pages.slice()
  decrypted.set(chacha8(new TextEncoder().encode(secret), nonce, pages.subarray(plainBytes)), plainBytes)
  return decrypted
}

/** Whether a page says that it has a number, and is not of a transaction that is yet to come. */
export const isPage = (page: DataView, number: number, transactionId: bigint): boolean =>
  // The engine takes a page of a later transaction for one that it has in memory.
  page.getBigUint64(0, true) === BigInt(number) && page.getBigUint64(8, true) <= transactionId

/** How many pages the large value has that begins with a page; `undefined` where none does. */
export const overflowPagesOf = (page: DataView): number | undefined =>
  page.getUint16(18, true) === overflowFlag ? page.getUint32(20, true) : undefined

/** What is at a place in a page of a tree: where in the page it begins. There are many thousands of them. */
export type Node = number

const flagsOf = (page: DataView, node: Node): number => page.getUint16(node + 4, true)

/** The page that a node of a branch leads to. */
export const pageBelow = (page: DataView, node: Node): number =>
  page.getUint32(node, true) + flagsOf(page, node) * 2 ** 32

/** The length of the data of a node of a leaf. */
export const dataBytesOf = (page: DataView, node: Node): number => page.getUint32(node, true)

/** The length of the key of a node. */
export const keyBytesOf = (page: DataView, node: Node): number => page.getUint16(node + 6, true)

/** Where in the page the key of a node is. */
export const keyAtOf = (node: Node): number => node + nodeBytes

/** The key of a node. */
export const keyIn = (page: DataView, node: Node): Uint8Array =>
  new Uint8Array(page.buffer, page.byteOffset + keyAtOf(node), keyBytesOf(page, node))

/** Where in the page the data of a node is, or all that is said of data that is on pages of its own. */
export const dataAtOf = (page: DataView, node: Node): number => keyAtOf(node) + keyBytesOf(page, node)

/** Whether the data of a node of a leaf is in the leaf, and is no description of a database. */
export const isPlain = (page: DataView, node: Node): boolean => flagsOf(page, node) === 0

/** Whether the data of a node of a leaf is on pages of its own. */
export const isLarge = (page: DataView, node: Node): boolean => (flagsOf(page, node) & bigDataFlag) !== 0

/** Whether a node of a leaf is the name of a database. */
export const isName = (page: DataView, node: Node): boolean => flagsOf(page, node) === databaseFlag

/** The description of the database whose name a node is; `undefined` where it has another length. */
export const treeOf = (page: DataView, node: Node): Tree | undefined =>
  dataBytesOf(page, node) === databaseBytes ? treeAt(page, dataAtOf(page, node)) : undefined

/** The pages on which the data of a node is. */
export const rowOf = (page: DataView, node: Node): PageRow | undefined => {
  const at = dataAtOf(page, node)
  const count = Number(page.getBigUint64(at + 16, true))
  // They may be more than are needed, where the data was written twice in a transaction.
  return count * pageSize >= headerBytes + dataBytesOf(page, node)
    ? [Number(page.getBigUint64(at, true)), count]
    : undefined
}

/** How many bytes of data a node has in its page. */
const ownBytesOf = (page: DataView, node: Node, isBranch: boolean): number => {
  if (isBranch) return 0
  return isLarge(page, node) ? bigDataBytes : dataBytesOf(page, node)
}

/** What a page of a tree holds. */
export interface TreePage {
  readonly isBranch: boolean
  readonly nodes: ReadonlyArray<Node>
}

/** Reads a page of a tree; `undefined` where it is none, or its nodes are not one behind the other up to its end. */
export const treePageOf = (page: DataView): TreePage | undefined => {
  const flags = page.getUint16(18, true)
  const lower = page.getUint16(20, true)
  const upper = page.getUint16(22, true)
  const isBranch = flags === branchFlag
  if (page.getUint16(16, true) !== 0 || (!isBranch && flags !== leafFlag)) return undefined
  if (lower === 0 || lower % 2 !== 0 || lower > upper || upper > pageSize - headerBytes) return undefined
  const nodes: Array<Node> = []
  let free = pageSize - headerBytes - upper
  for (let place = 0; place < lower; place += 2) {
    const offset = page.getUint16(headerBytes + place, true)
    const node: Node = headerBytes + offset
    if (offset < upper || offset % 2 !== 0 || node + nodeBytes > pageSize) return undefined
    const end = dataAtOf(page, node) + ownBytesOf(page, node, isBranch)
    if (end > pageSize) return undefined
    nodes.push(node)
    free -= end + (end % 2) - node
  }
  return free === 0 ? { isBranch, nodes } : undefined
}
