/**
 * Reads the pages of a database file. The layout is that of the structures `MDB_page_header`,
 * `MDB_meta`, `MDB_node`, `MDB_ovpage` and `MDB_db` in the engine's `mdb.c` on a 64-bit
 * machine.
 */
import { chacha8 } from "@noble/ciphers/chacha.js"
import { pageSize } from "../mapSize.ts"

// The header of a page has the number of the page and of its transaction (never encrypted), padding, flags, and the
// bounds of the free space in the page; a page of a large value has the number of its pages instead. The engine
// encrypts the bytes from `plainBytes` on with ChaCha8: each page on its own, and all pages of a large value together.
const plainBytes = 16
/** The length of the header of a page, in bytes. */
export const headerBytes = 24
const branchFlag = 0x01
const leafFlag = 0x02
const overflowFlag = 0x04

// After the header come the offsets of the nodes, two bytes each, relative to the end of the header. A node has the
// number of a page (6 bytes), or the length of its data (4) and flags (2); then the length of its key (2), its key and
// its data.
const nodeBytes = 8
const bigDataFlag = 0x01
const databaseFlag = 0x02
const bigDataBytes = 24
const databaseBytes = 48

/** The length of the longest key that LMDB allows with pages of this size, in bytes. */
export const maxKeyBytes = 1978

/**
 * The longest value: with the header of its first page it has as many bytes as Linux writes in one call. The engine
 * writes a value in one call, and takes a partial write for an error of the disk.
 */
const longestValue = 0x7fff_f000 - headerBytes

/** The longest value that the library can decompress: it allocates twice as many bytes, in a number of 31 bits. */
const longestCompressed = 0x3fff_ffff

/** The length of the longest value, in bytes. */
export const maxValueBytes = (isCompressed: boolean): number => isCompressed ? longestCompressed : longestValue

/** The root of an empty tree. */
const noPage = 0xffff_ffff_ffff_ffffn

/** Consecutive pages: the number of the first, and how many there are. */
export type PageRun = readonly [first: number, count: number]

/** The description of a database (a B+tree), which a meta page or the record with its name contains. */
export interface Tree {
  /** How its keys are ordered, and whether it has duplicate keys; 0 for databases of this package. */
  readonly flags: number
  /** How many levels of pages it has. */
  readonly depth: number
  /** How many records it has. */
  readonly entries: bigint
  /** The number of its root page; `undefined` if it has no records. */
  readonly root: number | undefined
}

/** Reads the description of a database. */
const treeAt = (view: DataView, at: number): Tree => {
  const root = view.getBigUint64(at + 40, true)
  return {
    flags: view.getUint16(at + 4, true),
    depth: view.getUint16(at + 6, true),
    entries: view.getBigUint64(at + 32, true),
    root: root === noPage ? undefined : Number(root)
  }
}

/** Makes a view of bytes. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Decrypts a page, or the pages of a large value, or only the first of these. */
export const decrypt = (pages: Uint8Array, secret: string): Uint8Array => {
  const nonce = new Uint8Array(12)
  nonce.set(pages.subarray(0, 8), 4)
  const decrypted = pages.slice()
  decrypted.set(chacha8(new TextEncoder().encode(secret), nonce, pages.subarray(plainBytes)), plainBytes)
  return decrypted
}

// ---------------------------------------------------------------------------
// meta pages
// ---------------------------------------------------------------------------

/** The content of the newer meta page of a database file. */
export interface DatabaseHeader {
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The number of the last page in use. */
  readonly lastPage: number
  /** Whether the pages after the meta pages are encrypted. */
  readonly encrypted: boolean
  /** The number of the transaction that made this state. */
  readonly transactionId: bigint
  /** The database of free pages. */
  readonly freeList: Tree
  /** The unnamed database, which contains the names of the others. */
  readonly names: Tree
}

/** The offsets in a meta page, in bytes. The header of a page of stock LMDB has only 16 bytes. */
const offsetOf = {
  pageNumber: 0,
  pageFlags: 18,
  magic: 24,
  magicOfStockLmdb: 16,
  version: 28,
  pageSize: 48,
  environmentFlags: 52,
  // The low byte of the environment's flags is that of the flags of the free list.
  freeList: 48,
  names: 96,
  lastPage: 144,
  transactionId: 152
} as const
/** The length of a meta page as far as it is used, in bytes. */
export const metaBytes = 160
const magicNumber = 0xbeefc0de
const dataVersion = 2
const metaPageFlag = 0x08
const encryptionFlag = 0x2000
const integerKeysFlag = 0x08
export const largestPageSize = 65_536

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0

/** Reads meta page 0 or 1 at an offset; returns `undefined` if it is not one. */
export const readMeta = (head: DataView, at: number, number: bigint): DatabaseHeader | undefined => {
  if (head.byteLength < at + metaBytes) return undefined
  const bytesOfPage = head.getUint32(at + offsetOf.pageSize, true)
  const transactionId = head.getBigUint64(at + offsetOf.transactionId, true)
  const freeList = treeAt(head, at + offsetOf.freeList)
  const names = treeAt(head, at + offsetOf.names)
  const isMeta = head.getBigUint64(at + offsetOf.pageNumber, true) === number &&
    (head.getUint16(at + offsetOf.pageFlags, true) & metaPageFlag) !== 0 &&
    head.getUint32(at + offsetOf.magic, true) === magicNumber &&
    (head.getUint32(at + offsetOf.version, true) & 0xffff) === dataVersion &&
    (freeList.flags & 0xff) === integerKeysFlag && (names.flags & 0xff) === 0 &&
    isPowerOfTwo(bytesOfPage) && bytesOfPage >= 512 && bytesOfPage <= largestPageSize &&
    // To find the newer meta page, the engine uses this number and not the position.
    (transactionId === 0n || transactionId % 2n === number)
  if (!isMeta) return undefined
  return {
    pageSize: bytesOfPage,
    transactionId,
    lastPage: Number(head.getBigUint64(at + offsetOf.lastPage, true)),
    freeList,
    names,
    encrypted: (head.getUint16(at + offsetOf.environmentFlags, true) & encryptionFlag) !== 0
  }
}

/** Whether a file begins with a meta page of stock LMDB, whose format differs. */
export const isStockLmdb = (head: DataView): boolean =>
  head.byteLength >= offsetOf.magicOfStockLmdb + 4 && head.getUint32(offsetOf.magicOfStockLmdb, true) === magicNumber

// ---------------------------------------------------------------------------
// pages of trees, and of large values
// ---------------------------------------------------------------------------

/** Whether the header of a page has the given number, and a transaction that is not newer than `transactionId`. */
export const isPage = (page: DataView, number: number, transactionId: bigint): boolean =>
  // The engine would treat a page of a later transaction as a page that it has in memory.
  page.getBigUint64(0, true) === BigInt(number) && page.getBigUint64(8, true) <= transactionId

/** How many pages a large value has if this is its first page; `undefined` if it is not. */
export const overflowPagesOf = (page: DataView): number | undefined =>
  page.getUint16(18, true) === overflowFlag ? page.getUint32(20, true) : undefined

/** A node of a tree page: its offset in the page. It is a number, because a check reads many thousands of nodes. */
export type Node = number

const flagsOf = (page: DataView, node: Node): number => page.getUint16(node + 4, true)

/** The number of the child page of a node in a branch page. */
export const pageBelow = (page: DataView, node: Node): number =>
  page.getUint32(node, true) + flagsOf(page, node) * 2 ** 32

/** The length of the data of a node in a leaf page, in bytes. */
export const dataBytesOf = (page: DataView, node: Node): number => page.getUint32(node, true)

/** The length of the key of a node, in bytes. */
export const keyBytesOf = (page: DataView, node: Node): number => page.getUint16(node + 6, true)

/** The offset of the key of a node in the page. */
export const keyAtOf = (node: Node): number => node + nodeBytes

/** The key of a node. */
export const keyIn = (page: DataView, node: Node): Uint8Array =>
  new Uint8Array(page.buffer, page.byteOffset + keyAtOf(node), keyBytesOf(page, node))

/** The offset of the data of a node in the page, or of the reference to data on other pages. */
export const dataAtOf = (page: DataView, node: Node): number => keyAtOf(node) + keyBytesOf(page, node)

/** Whether a node in a leaf page contains its data, and the data is not the description of a database. */
export const isPlain = (page: DataView, node: Node): boolean => flagsOf(page, node) === 0

/** Whether the data of a node in a leaf page is on other pages. */
export const isLarge = (page: DataView, node: Node): boolean => (flagsOf(page, node) & bigDataFlag) !== 0

/** Whether the key of a node in a leaf page is the name of a database. */
export const isName = (page: DataView, node: Node): boolean => flagsOf(page, node) === databaseFlag

/** The description of the database whose name a node has; `undefined` if the data has another length. */
export const treeOf = (page: DataView, node: Node): Tree | undefined =>
  dataBytesOf(page, node) === databaseBytes ? treeAt(page, dataAtOf(page, node)) : undefined

/** The pages that contain the data of a node; `undefined` if they are too few. */
export const runOf = (page: DataView, node: Node): PageRun | undefined => {
  const at = dataAtOf(page, node)
  const count = Number(page.getBigUint64(at + 16, true))
  // There may be more pages than needed, if a transaction wrote the data twice.
  return count * pageSize >= headerBytes + dataBytesOf(page, node)
    ? [Number(page.getBigUint64(at, true)), count]
    : undefined
}

/** How many bytes of data of a node are in its page. */
const bytesInPage = (page: DataView, node: Node, isBranch: boolean): number => {
  if (isBranch) return 0
  return isLarge(page, node) ? bigDataBytes : dataBytesOf(page, node)
}

/** The content of a tree page. */
export interface TreePage {
  readonly isBranch: boolean
  readonly nodes: ReadonlyArray<Node>
}

/** Reads a tree page; returns `undefined` if it is not one, or if its nodes do not fill it without gaps up to its end. */
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
    const end = dataAtOf(page, node) + bytesInPage(page, node, isBranch)
    if (end > pageSize) return undefined
    nodes.push(node)
    free -= end + (end % 2) - node
  }
  return free === 0 ? { isBranch, nodes } : undefined
}
