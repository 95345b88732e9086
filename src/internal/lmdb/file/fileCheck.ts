/**
 * Looks at the files of a database before the engine does.
 *
 * The engine maps a file into memory and trusts it: a file that is something
 * else, that is shorter than its header says, that is damaged, or that was encrypted
 * with another key ends the process instead of failing. So it is looked at first: the
 * folder, the meta pages, those pages that are few however large the file is
 * (`quickCheck.ts`), and all others where that was asked for or they are not many
 * (`fullCheck.ts`).
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import type { OpenFailed } from "../../../StoreError.ts"
import { metaDatabase } from "../../databases.ts"
import { pageSize as supportedPageSize } from "../mapSize.ts"
import { checkAccess, folderMode, isWritableByAnybody, lookAt, openMany, refuse, refuseFile } from "./fileAccess.ts"
import * as FullCheck from "./fullCheck.ts"
import * as LockFile from "./lockFile.ts"
import { type PageRow, type Tree, treeAt, viewOf } from "./pageLayout.ts"
import * as QuickCheck from "./quickCheck.ts"

/** What the meta pages of a database file say. */
export interface DatabaseHeader {
  /** The size of a page, in bytes. */
  readonly pageSize: number
  /** The number of the last page in use. */
  readonly lastPage: number
  /** Whether the pages behind the meta pages are encrypted. */
  readonly encrypted: boolean
  /** The number of the transaction that made this state. */
  readonly transactionId: bigint
  /** Its list of free pages. */
  readonly freeList: Tree
  /** The names of its databases. */
  readonly names: Tree
}

// The layout of a meta page, from the structures MDB_page_header and MDB_meta of
// the engine's mdb.c on a 64-bit machine. Stock LMDB has a header of 16 bytes.
const offsetOf = {
  pageNumber: 0,
  pageFlags: 18,
  magic: 24,
  magicOfStockLmdb: 16,
  version: 28,
  pageSize: 48,
  environmentFlags: 52,
  // The flags of the free list are the low byte of those of the file.
  freeList: 48,
  names: 96,
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

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0

/** Reads the meta page of a number, 0 or 1; `undefined` where there is none. */
const readMeta = (head: DataView, at: number, number: bigint): DatabaseHeader | undefined => {
  if (head.byteLength < at + metaBytes) return undefined
  const pageSize = head.getUint32(at + offsetOf.pageSize, true)
  const transactionId = head.getBigUint64(at + offsetOf.transactionId, true)
  const freeList = treeAt(head, at + offsetOf.freeList)
  const names = treeAt(head, at + offsetOf.names)
  const isMeta = head.getBigUint64(at + offsetOf.pageNumber, true) === number &&
    (head.getUint16(at + offsetOf.pageFlags, true) & metaPageFlag) !== 0 &&
    head.getUint32(at + offsetOf.magic, true) === magicNumber &&
    (head.getUint32(at + offsetOf.version, true) & 0xffff) === dataVersion &&
    (freeList.flags & 0xff) === integerKeysFlag && (names.flags & 0xff) === 0 &&
    isPowerOfTwo(pageSize) && pageSize >= 512 && pageSize <= largestPageSize &&
    // The engine goes by this number, not by the place, to find the newer one.
    (transactionId === 0n || transactionId % 2n === number)
  if (!isMeta) return undefined
  return {
    pageSize,
    transactionId,
    lastPage: Number(head.getBigUint64(at + offsetOf.lastPage, true)),
    freeList,
    names,
    encrypted: (head.getUint16(at + offsetOf.environmentFlags, true) & encryptionFlag) !== 0
  }
}

const describeForeign = (head: DataView): string =>
  head.byteLength >= offsetOf.magicOfStockLmdb + 4 &&
    head.getUint32(offsetOf.magicOfStockLmdb, true) === magicNumber
    ? "the file is a database of stock LMDB, whose format differs from this engine's"
    : "the file is not a database of this engine"

/** What is wrong with a file that another program of the engine has made. */
export const foreignFile =
  "another program made this database with lmdb-js; open it with that program, or give the store a path of its own"

/** A file that is being looked at. */
interface OpenFile {
  readonly path: string
  readonly handle: FileSystem.File
}

const readAt = ({ handle, path }: OpenFile, position: number, length: number): Effect.Effect<Uint8Array, OpenFailed> =>
  handle.readAlloc(length, { position: BigInt(position) }).pipe(
    Effect.map(Option.getOrElse(() => new Uint8Array(0))),
    Effect.mapError(refuseFile(path))
  )

const lengthOf = ({ handle, path }: OpenFile): Effect.Effect<number, OpenFailed> =>
  handle.stat.pipe(
    Effect.map(({ size }) => Number(size)),
    Effect.mapError(refuseFile(path))
  )

/** Reads and checks the meta pages of a database file. */
const readHeader = Effect.fnUntraced(function*(file: OpenFile): Effect.fn.Return<DatabaseHeader, OpenFailed> {
  const bytes = yield* readAt(file, 0, largestPageSize + metaBytes)
  const head = viewOf(bytes)
  const first = readMeta(head, 0, 0n)
  if (first === undefined) return yield* refuse(file.path, "NotADatabase", describeForeign(head))
  const { encrypted, pageSize } = first
  const second = readMeta(head, pageSize, 1n)
  if (second === undefined || second.pageSize !== pageSize || second.encrypted !== encrypted) {
    return bytes.length < 2 * pageSize
      ? yield* refuse(file.path, "Truncated", `the file ends within its meta pages, after ${bytes.length} bytes`)
      : yield* refuse(file.path, "NotADatabase", "the second meta page is damaged")
  }
  if (pageSize !== supportedPageSize) {
    return yield* refuse(file.path, "UnsupportedFormat", `its pages have ${pageSize} bytes, not ${supportedPageSize}`)
  }
  return second.transactionId > first.transactionId ? second : first
})

/** Whether rows of pages are all that there is from a page on up to the last. */
const isRest = (rows: ReadonlyArray<PageRow>, from: number, lastPage: number): boolean => {
  let end = from
  for (const [first, count] of rows.toSorted(([a], [b]) => a - b)) {
    if (first > end) return false
    end = Math.max(end, first + count)
  }
  return end > lastPage
}

/** How a file is looked at. */
interface Look {
  /** The key, where the file is encrypted. */
  readonly secret: string | undefined
  /** Whether all of its pages are looked at; `undefined`: when they are few. */
  readonly verify: boolean | undefined
}

/**
 * Files up to this size are looked at as a whole unless the options say otherwise: that
 * takes about a tenth of a second, and no opening should take longer by default.
 */
const smallFile = 64 * 1024 * 1024

/** Fails unless the pages that the engine follows are what they should be. */
const checkPages = Effect.fnUntraced(function*(
  file: OpenFile,
  { freeList, lastPage, names, pageSize, transactionId }: DatabaseHeader,
  { secret, verify }: Look
): Effect.fn.Return<void, OpenFailed> {
  const fileBytes = yield* lengthOf(file)
  const pageCount = Math.floor(fileBytes / pageSize)
  const isWhole = verify ?? fileBytes <= smallFile
  const pages: QuickCheck.Pages<OpenFailed> = {
    lastPage,
    transactionId,
    secret,
    read: (first, count) => readAt(file, first * pageSize, count * pageSize)
  }

  const truncated = (page: number): OpenFailed =>
    refuse(
      file.path,
      "Truncated",
      `the file has ${fileBytes} bytes, and needs ${(page + 1) * pageSize} at least`
    )
  const refusePage = (page: number): OpenFailed =>
    page <= lastPage && page >= pageCount
      ? truncated(page)
      : refuse(file.path, "NotADatabase", `its page ${page} is damaged`)

  const checkFew = Effect.gen(function*() {
    const from = isWhole ? 0 : pageCount
    const free = freeList.root === undefined ? [] : yield* QuickCheck.checkFreeList(pages, freeList.root, from)
    // The engine does not write a page at the end of the file that it takes and frees at once.
    if (!isRest(free, pageCount, lastPage)) return yield* truncated(lastPage)
    const named = names.root === undefined ? [] : yield* QuickCheck.checkDatabases(pages, names.root)
    // A process that was killed while it made the file has left none, or the first alone.
    if (named.length > 0 && !named.some(({ name, tree }) => tree !== undefined && name === metaDatabase)) {
      return yield* refuse(file.path, "UnsupportedFormat", foreignFile)
    }
    return { free, databases: named.flatMap(({ tree }) => tree === undefined ? [] : [tree]) }
  })
  const { databases, free } = yield* Effect.catchTags(checkFew, {
    ForeignTree: ({ name }) =>
      refuse(file.path, "UnsupportedFormat", `its database "${name}" is of a kind that this package does not make`),
    PageDamaged: ({ page }) => {
      const isRoot = page === freeList.root || page === names.root
      // With a wrong key, the first page that is looked at is noise.
      return secret !== undefined && isRoot && page > 1 && page < pageCount
        ? refuse(file.path, "Encrypted", "the encryptionKey is not the one that the file was encrypted with")
        : refusePage(page)
    }
  })
  if (!isWhole) return
  const contents = { freeList, names, databases, free, pageCount: Math.min(pageCount, lastPage + 1) }
  yield* Effect.catchTag(FullCheck.check(pages, contents), "PageDamaged", ({ page }) => refusePage(page))
})

/** How often a file is looked at that another process writes to meanwhile. */
const mostLooks = 5

/** Reads the meta pages, of which another process may write one meanwhile: what looks damaged is read again. */
const readHeaderAgain = (file: OpenFile): Effect.Effect<DatabaseHeader, OpenFailed> =>
  Effect.retry(readHeader(file), { times: mostLooks })

/**
 * Checks the pages of a file, whose header was read before. Another process may have
 * written to pages that were in use then: the file is damaged only when what looks so
 * is the last that was committed.
 */
const checkUnchanged = (
  file: OpenFile,
  header: DatabaseHeader,
  look: Look,
  looks = 1
): Effect.Effect<DatabaseHeader, OpenFailed> =>
  checkPages(file, header, look).pipe(
    Effect.as(header),
    Effect.catch((error) =>
      Effect.flatMap(readHeaderAgain(file), (present) => {
        if (present.transactionId === header.transactionId) return Effect.fail(error)
        // Whoever writes that much has the file open, and it holds.
        return looks === mostLooks ? Effect.succeed(present) : checkUnchanged(file, present, look, looks + 1)
      })
    )
  )

/**
 * Makes a folder and its missing parents, for files of a mode.
 *
 * Each parent is looked at by itself: the recursive call of Node never returns
 * where a file system refuses new folders, such as `/proc`.
 */
export const makeFolder: (
  folder: string,
  fileMode: number
) => Effect.Effect<void, OpenFailed, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function*(folder: string, fileMode: number) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const info = yield* lookAt(folder)
    if (Option.isSome(info)) {
      if (info.value.type === "Directory") return
      return yield* refuse(folder, "Missing", "a folder is wanted here, and a file is in its place")
    }
    const parent = path.dirname(folder)
    if (parent !== folder) yield* makeFolder(parent, fileMode)
    yield* Effect.catchIf(
      fs.makeDirectory(folder, { mode: folderMode(fileMode) }),
      (error) => error.reason._tag === "AlreadyExists",
      () => Effect.void
    ).pipe(Effect.mapError(refuseFile(folder)))
  }
)

/** What of the options of a store says how its file is opened. */
export interface Opening {
  readonly subdirectory: boolean
  readonly readOnly: boolean
  readonly encryptionKey: Redacted.Redacted | undefined
  readonly verify: boolean | undefined
  /** The permissions of files that are created. */
  readonly fileMode: number
}

/** Checks what is in a database file, and gives what it says of itself. */
const inspect = Effect.fnUntraced(function*(
  path: string,
  { encryptionKey, verify }: Opening
): Effect.fn.Return<DatabaseHeader, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.mapError(openMany(path), refuseFile(path))
  return yield* fs.open(path, { flag: "r" }).pipe(
    Effect.mapError(refuseFile(path)),
    Effect.flatMap(Effect.fnUntraced(function*(handle) {
      const file: OpenFile = { path, handle }
      const header = yield* readHeaderAgain(file)
      if (header.encrypted === (encryptionKey === undefined)) {
        const detail = header.encrypted
          ? "the file is encrypted and no encryptionKey was given"
          : "an encryptionKey was given and the file is not encrypted"
        return yield* refuse(path, "Encrypted", detail)
      }
      const secret = encryptionKey === undefined ? undefined : Redacted.value(encryptionKey)
      return yield* checkUnchanged(file, header, { secret, verify })
    })),
    Effect.scoped
  )
})

// A reader of such a file needs no lock file, because nobody writes. So the user root, who could write, is refused too.
const frozen = "its mode lets nobody write to it; run chmod u+w on it, or open it with readOnly: true"

/** Where the lock file of a database is. */
export const lockFileOf = (path: Path.Path, file: string, subdirectory: boolean): string =>
  subdirectory ? path.join(path.dirname(file), "lock.mdb") : `${file}-lock`

/**
 * Makes missing folders, and looks at what is there. Gives what the file says of itself, none
 * for a new one or an empty one, which the engine makes a database of.
 */
export const look = Effect.fnUntraced(function*(
  file: string,
  opening: Opening
): Effect.fn.Return<Option.Option<DatabaseHeader>, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const { fileMode, readOnly } = opening
  const folder = path.dirname(file)
  const access = { writable: !readOnly }
  if (!readOnly) yield* makeFolder(folder, fileMode)
  yield* checkAccess(folder, access)
  const info = yield* lookAt(file)
  if (Option.isSome(info) && info.value.type !== "File") {
    return yield* refuse(file, "NotADatabase", `a file is wanted, this is a ${info.value.type.toLowerCase()}`)
  }
  const isNew = Option.isNone(info) || Number(info.value.size) === 0
  if (isNew && readOnly) return yield* refuse(file, "Missing", "there is no database at this path")
  const header = isNew ? Option.none() : Option.some(yield* inspect(file, opening))
  if (Option.isSome(info)) {
    yield* checkAccess(file, access)
    if (!readOnly && !isWritableByAnybody(info.value.mode)) return yield* refuse(file, "Permission", frozen)
  }
  return header
})

/** Sees to it that the engine can open its lock file. */
export const prepareLock = Effect.fnUntraced(function*(
  file: string,
  { fileMode, readOnly, subdirectory }: Opening,
  isNew: boolean
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const info = yield* lookAt(file)
  const databaseMode = isNew ? undefined : Option.getOrUndefined(info)?.mode
  yield* LockFile.prepare(lockFileOf(path, file, subdirectory), file, { fileMode, readOnly, databaseMode })
})
