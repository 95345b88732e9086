/**
 * Looks at the files of a database before the engine does.
 *
 * The engine maps a file into memory and trusts it: a file that is something
 * else, that is shorter than its header says, or that was encrypted with another
 * key ends the process instead of failing. So the folder and the two meta pages
 * are looked at first, and only what holds is handed over.
 */
import { chacha8 } from "@noble/ciphers/chacha.js"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import { OpenFailed, type OpenFailedReason } from "../StoreError.ts"
import { pageSize as supportedPageSize } from "./fileLimit.ts"

/** What the meta pages of a database file say. */
export interface DatabaseHeader {
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The number of the last page in use. */
  readonly lastPage: number
  /** Whether the pages behind the meta pages are encrypted. */
  readonly encrypted: boolean
  /** The numbers of the pages at the roots of its trees. */
  readonly roots: ReadonlyArray<number>
}

// The layout of a meta page, from the structures MDB_page_header and MDB_meta of
// the engine's mdb.c on a 64-bit machine. Stock LMDB has a header of 16 bytes.
const offsetOf = {
  pageFlags: 18,
  magic: 24,
  magicOfStockLmdb: 16,
  version: 28,
  pageSize: 48,
  environmentFlags: 52,
  // The same place: the flags of the free list in its low byte.
  freeListFlags: 52,
  databasesFlags: 100,
  rootOfFreeList: 88,
  rootOfDatabases: 136,
  lastPage: 144,
  transactionId: 152
} as const
const metaBytes = 160
const magicNumber = 0xbeefc0de
const dataVersion = 2
const metaPageFlag = 0x08
const encryptionFlag = 0x2000
const integerKeysFlag = 0x08
const largestPageSize = 65_536
const noPage = 0xffff_ffff_ffff_ffffn

const refuse = (path: string, reason: OpenFailedReason, detail: string, cause?: unknown): OpenFailed =>
  new OpenFailed(cause === undefined ? { path, reason, detail } : { path, reason, detail, cause })

/** Turns an error of the file system into the reason a store cannot be opened. */
const refuseFile = (path: string) => (error: PlatformError): OpenFailed => {
  switch (error.reason._tag) {
    case "NotFound":
      return refuse(path, "Missing", "there is nothing at this path", error)
    case "BadResource":
      return refuse(path, "Missing", "a part of this path is no folder", error)
    case "PermissionDenied":
      return refuse(path, "Permission", "this process may not read or write there", error)
    default:
      return refuse(path, "Engine", error.message, error)
  }
}

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0

/** Reads the meta page that starts at an offset; `undefined` where there is none. */
const readMeta = (head: DataView, at: number): (DatabaseHeader & { readonly transactionId: bigint }) | undefined => {
  if (head.byteLength < at + metaBytes) return undefined
  const pageSize = head.getUint32(at + offsetOf.pageSize, true)
  const isMeta = (head.getUint16(at + offsetOf.pageFlags, true) & metaPageFlag) !== 0 &&
    head.getUint32(at + offsetOf.magic, true) === magicNumber &&
    (head.getUint32(at + offsetOf.version, true) & 0xffff) === dataVersion &&
    head.getUint8(at + offsetOf.freeListFlags) === integerKeysFlag &&
    head.getUint8(at + offsetOf.databasesFlags) === 0 &&
    isPowerOfTwo(pageSize) && pageSize >= 512 && pageSize <= largestPageSize
  if (!isMeta) return undefined
  return {
    pageSize,
    lastPage: Number(head.getBigUint64(at + offsetOf.lastPage, true)),
    transactionId: head.getBigUint64(at + offsetOf.transactionId, true),
    roots: [offsetOf.rootOfFreeList, offsetOf.rootOfDatabases]
      .map((offset) => head.getBigUint64(at + offset, true))
      .filter((root) => root !== noPage)
      .map(Number),
    encrypted: (head.getUint16(at + offsetOf.environmentFlags, true) & encryptionFlag) !== 0
  }
}

const describeForeign = (head: DataView): string =>
  head.byteLength >= offsetOf.magicOfStockLmdb + 4 &&
    head.getUint32(offsetOf.magicOfStockLmdb, true) === magicNumber
    ? "the file is a database of stock LMDB, whose format differs from this engine's"
    : "the file is not a database of this engine"

/** What is at a path; none where there is nothing. */
const lookAt = Effect.fnUntraced(function*(
  path: string
): Effect.fn.Return<Option.Option<FileSystem.File.Info>, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.catchIf(
    Effect.asSome(fs.stat(path)),
    (error) => error.reason._tag === "NotFound",
    () => Effect.succeedNone
  ).pipe(Effect.mapError(refuseFile(path)))
})

/**
 * Reads and checks the meta pages of a database file.
 *
 * Gives none where there is no file yet or an empty one, which the engine makes a
 * database of.
 */
const inspect = Effect.fnUntraced(function*(
  file: string
): Effect.fn.Return<Option.Option<DatabaseHeader>, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const info = yield* lookAt(file)
  if (Option.isNone(info)) return Option.none()
  if (info.value.type !== "File") {
    return yield* refuse(file, "NotADatabase", `a file is wanted, this is a ${info.value.type.toLowerCase()}`)
  }
  const fileBytes = Number(info.value.size)
  if (fileBytes === 0) return Option.none()
  const bytes = yield* fs.open(file, { flag: "r" }).pipe(
    Effect.flatMap((handle) => handle.readAlloc(largestPageSize + metaBytes)),
    Effect.scoped,
    Effect.mapError(refuseFile(file))
  )
  const head = Option.match(bytes, {
    onNone: () => new DataView(new ArrayBuffer(0)),
    onSome: (read) => new DataView(read.buffer, read.byteOffset, read.byteLength)
  })
  const first = readMeta(head, 0)
  if (first === undefined) return yield* refuse(file, "NotADatabase", describeForeign(head))
  const second = readMeta(head, first.pageSize)
  if (second === undefined || second.pageSize !== first.pageSize || second.encrypted !== first.encrypted) {
    return fileBytes < 2 * first.pageSize
      ? yield* refuse(file, "Truncated", `the file ends within its meta pages, after ${fileBytes} bytes`)
      : yield* refuse(file, "NotADatabase", "the second meta page is damaged")
  }
  const header = second.transactionId > first.transactionId ? second : first
  const { lastPage, pageSize } = header
  const wanted = (lastPage + 1) * pageSize
  if (fileBytes < wanted) {
    return yield* refuse(file, "Truncated", `the file has ${fileBytes} bytes, its header tells of ${wanted}`)
  }
  if (pageSize !== supportedPageSize) {
    return yield* refuse(file, "UnsupportedFormat", `its pages have ${pageSize} bytes, not ${supportedPageSize}`)
  }
  return Option.some(header)
})

// The header of a page: its number and transaction, which are never encrypted, padding, flags, and where its free room
// begins and ends. The engine encrypts from there on with ChaCha8, each page under its number.
const plainBytes = 16
const headerBytes = 24
const branchFlag = 0x01
const leafFlag = 0x02

const decryptHeader = (page: Uint8Array, secret: string): Uint8Array => {
  const nonce = new Uint8Array(12)
  nonce.set(page.subarray(0, 8), 4)
  const decrypted = page.slice()
  decrypted.set(chacha8(new TextEncoder().encode(secret), nonce, page.subarray(plainBytes)), plainBytes)
  return decrypted
}

const isRootPage = (page: Uint8Array, pageNumber: number, pageSize: number): boolean => {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
  const flags = view.getUint16(18, true)
  return view.getBigUint64(0, true) === BigInt(pageNumber) && view.getUint16(16, true) === 0 &&
    (flags === branchFlag || flags === leafFlag) &&
    view.getUint16(20, true) <= view.getUint16(22, true) && view.getUint16(22, true) <= pageSize
}

/**
 * Fails unless the pages at the roots of a database are what they should be; with a
 * wrong encryption key they are noise, which the engine would follow out of its map.
 */
const checkRoots = Effect.fnUntraced(function*(
  file: string,
  { lastPage, pageSize, roots }: DatabaseHeader,
  secret: string | undefined
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  for (const root of roots) {
    const isInside = root > 1 && root <= lastPage
    const page = isInside
      ? yield* fs.open(file, { flag: "r" }).pipe(
        Effect.flatMap((handle) => handle.readAlloc(headerBytes, { position: BigInt(root * pageSize) })),
        Effect.scoped,
        Effect.mapError(refuseFile(file))
      )
      : Option.none()
    const isRight = Option.exists(page, (bytes) =>
      bytes.length === headerBytes &&
      isRootPage(secret === undefined ? bytes : decryptHeader(bytes, secret), root, pageSize))
    if (!isRight) {
      return yield* secret === undefined || !isInside
        ? refuse(file, "NotADatabase", "its meta page is damaged, or the root page that it names")
        : refuse(file, "Encrypted", "the encryptionKey is not the one that the file was encrypted with")
    }
  }
})

/**
 * Makes a folder and its missing parents, for their owner only.
 *
 * Each parent is looked at by itself: the recursive call of Node never returns
 * where a file system refuses new folders, such as `/proc`.
 */
export const makeFolder: (
  folder: string
) => Effect.Effect<void, OpenFailed, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function*(folder: string) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const info = yield* lookAt(folder)
    if (Option.isSome(info)) {
      if (info.value.type === "Directory") return
      return yield* refuse(folder, "Missing", "a folder is wanted here, and a file is in its place")
    }
    const parent = path.dirname(folder)
    if (parent !== folder) yield* makeFolder(parent)
    yield* Effect.catchIf(
      fs.makeDirectory(folder, { mode: 0o700 }),
      (error) => error.reason._tag === "AlreadyExists",
      () => Effect.void
    ).pipe(Effect.mapError(refuseFile(folder)))
  }
)

/** Fails unless this process may read, and write where wanted, an existing file or folder. */
const checkAccess = Effect.fnUntraced(function*(
  path: string,
  access: { readonly writable: boolean }
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.mapError(fs.access(path, { readable: true, writable: access.writable }), refuseFile(path))
})

/** What of the options of a store says how its file is opened. */
export interface Opening {
  readonly readOnly: boolean
  readonly encryptionKey: Redacted.Redacted | undefined
}

const checkEncryption = Effect.fnUntraced(function*(
  file: string,
  header: DatabaseHeader,
  encryptionKey: Redacted.Redacted | undefined
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem> {
  if (header.encrypted === (encryptionKey === undefined)) {
    const detail = header.encrypted
      ? "the file is encrypted and no encryptionKey was given"
      : "an encryptionKey was given and the file is not encrypted"
    return yield* refuse(file, "Encrypted", detail)
  }
  yield* checkRoots(file, header, encryptionKey === undefined ? undefined : Redacted.value(encryptionKey))
})

/**
 * Sees to it that the engine can open a database file: makes missing folders, and
 * looks at what is there. Gives what the file says of itself, none for a new one.
 */
export const prepare = Effect.fnUntraced(function*(
  file: string,
  { encryptionKey, readOnly }: Opening
): Effect.fn.Return<Option.Option<DatabaseHeader>, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const folder = path.dirname(file)
  const access = { writable: !readOnly }
  if (!readOnly) yield* makeFolder(folder)
  yield* checkAccess(folder, access)
  const header = yield* Effect.tap(inspect(file), (found) =>
    Option.isNone(found)
      ? Effect.void
      : Effect.andThen(checkAccess(file, access), checkEncryption(file, found.value, encryptionKey))).pipe(
      // Another process may write to the file meanwhile: what looks damaged is looked at again.
      Effect.retry({ times: 5, while: looksDamaged })
    )
  if (Option.isNone(header) && readOnly) return yield* refuse(file, "Missing", "there is no database at this path")
  return header
})

const looksDamaged = (error: OpenFailed): boolean =>
  error.reason === "Truncated" || error.reason === "NotADatabase" || error.reason === "Encrypted"
