/**
 * Checks the files of a database before the engine opens them.
 *
 * The engine maps a file into memory and trusts it. A file that is not a database, that is
 * shorter than its header says, that is damaged, or that was encrypted with another key
 * ends the process. So this module checks the folder, the meta pages, and the pages whose
 * number does not depend on the size of the file (`quickCheck.ts`). It checks all other
 * pages (`fullCheck.ts`) if the options ask for it, or if the file is small. It skips both
 * checks of pages if the file is exactly as it was when the store was closed (`closeRecord.ts`).
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import type { OpenFailed } from "../../../StoreError.ts"
import { metaDatabase } from "../../databases.ts"
import { pageSize as supportedPageSize } from "../mapSize.ts"
import * as CloseRecord from "./closeRecord.ts"
import {
  checkAccess,
  isWritableByAnybody,
  makeFolder,
  openFailed,
  openMany,
  statOption,
  toOpenFailed,
  typeOf
} from "./fileAccess.ts"
import * as FullCheck from "./fullCheck.ts"
import * as LockFile from "./lockFile.ts"
import {
  type DatabaseHeader,
  isStockLmdb,
  largestPageSize,
  metaBytes,
  type PageRun,
  readMeta,
  viewOf
} from "./pageLayout.ts"
import * as QuickCheck from "./quickCheck.ts"

const describeForeign = (head: DataView): string =>
  isStockLmdb(head)
    ? "the file is a database of stock LMDB, whose format differs from this engine's"
    : "the file is not a database of this engine"

/** Says that another program made a file with this engine. */
export const foreignFile =
  "another program made this database with lmdb-js; open it with that program, or give the store a path of its own"

/** A file that is being checked. */
interface OpenFile {
  readonly path: string
  readonly handle: FileSystem.File
}

const readAt = ({ handle, path }: OpenFile, position: number, length: number): Effect.Effect<Uint8Array, OpenFailed> =>
  handle.readAlloc(length, { position: BigInt(position) }).pipe(
    Effect.map(Option.getOrElse(() => new Uint8Array(0))),
    Effect.mapError(toOpenFailed(path))
  )

const lengthOf = ({ handle, path }: OpenFile): Effect.Effect<number, OpenFailed> =>
  handle.stat.pipe(
    Effect.map(({ size }) => Number(size)),
    Effect.mapError(toOpenFailed(path))
  )

/** Checks the meta pages, which are at the start of the given bytes. */
const headerIn = Effect.fnUntraced(function*(
  path: string,
  bytes: Uint8Array
): Effect.fn.Return<DatabaseHeader, OpenFailed> {
  const head = viewOf(bytes)
  const first = readMeta(head, 0, 0n)
  if (first === undefined) return yield* openFailed(path, "NotADatabase", describeForeign(head))
  const { encrypted, pageSize } = first
  const second = readMeta(head, pageSize, 1n)
  if (second === undefined || second.pageSize !== pageSize || second.encrypted !== encrypted) {
    return bytes.length < 2 * pageSize
      ? yield* openFailed(path, "Truncated", `the file ends within its meta pages, after ${bytes.length} bytes`)
      : yield* openFailed(path, "NotADatabase", "the second meta page is damaged")
  }
  if (pageSize !== supportedPageSize) {
    return yield* openFailed(
      path,
      "UnsupportedFormat",
      `its pages have ${pageSize} bytes, not ${supportedPageSize}`
    )
  }
  return second.transactionId > first.transactionId ? second : first
})

/** Reads and checks the meta pages of a database file. */
const readHeader = (file: OpenFile): Effect.Effect<DatabaseHeader, OpenFailed> =>
  Effect.flatMap(readAt(file, 0, largestPageSize + metaBytes), (bytes) => headerIn(file.path, bytes))

/** Whether runs of pages include every page from `from` to `lastPage`. */
const includesTail = (runs: ReadonlyArray<PageRun>, from: number, lastPage: number): boolean => {
  let end = from
  for (const [first, count] of runs.toSorted(([a], [b]) => a - b)) {
    if (first > end) return false
    end = Math.max(end, first + count)
  }
  return end > lastPage
}

/**
 * Which pages are checked: those that a wrong encryption key makes unreadable, those whose number does not depend on the
 * number of records, or all.
 */
type Extent = "names" | "few" | "all"

/** How a file is checked. */
interface CheckOptions {
  /** The encryption key; `undefined` if the file is not encrypted. */
  readonly secret: string | undefined
  readonly extent: Extent
}

/**
 * The size, in bytes, up to which all pages of a file are checked by default. It takes about
 * 0.1 s, and by default no opening should take longer.
 */
const smallFile = 64 * 1024 * 1024

/** Decides which pages are checked. Only the option `verify` checks all pages of a file that is as its last close left it. */
const extentOf = (
  file: OpenFile,
  verify: boolean | undefined,
  isUnchanged: boolean
): Effect.Effect<Extent, OpenFailed> => {
  if (verify === true) return Effect.succeed("all")
  if (isUnchanged) return Effect.succeed("names")
  if (verify === false) return Effect.succeed("few")
  return Effect.map(lengthOf(file), (bytes) => bytes <= smallFile ? "all" : "few")
}

/** Fails if a page that the engine will follow is damaged. */
const checkPages = Effect.fnUntraced(function*(
  file: OpenFile,
  { freeList, lastPage, names, pageSize, transactionId }: DatabaseHeader,
  { extent, secret }: CheckOptions
): Effect.fn.Return<void, OpenFailed> {
  const fileBytes = yield* lengthOf(file)
  const pageCount = Math.floor(fileBytes / pageSize)
  const isWhole = extent === "all"
  const pages: QuickCheck.Pages<OpenFailed> = {
    lastPage,
    transactionId,
    secret,
    read: (first, count) => readAt(file, first * pageSize, count * pageSize)
  }

  const truncated = (page: number): OpenFailed =>
    openFailed(
      file.path,
      "Truncated",
      `the file has ${fileBytes} bytes and should have at least ${(page + 1) * pageSize}`
    )
  const refusePage = (page: number): OpenFailed =>
    page <= lastPage && page >= pageCount
      ? truncated(page)
      : openFailed(file.path, "NotADatabase", `its page ${page} is damaged`)

  const checkFew = Effect.gen(function*() {
    const from = isWhole ? 0 : pageCount
    const free = freeList.root === undefined || extent === "names"
      ? []
      : yield* QuickCheck.checkFreeList(pages, freeList.root, from)
    // Pages at the end that a transaction allocated and freed are never written, so the file may end before them.
    if (extent !== "names" && !includesTail(free, pageCount, lastPage)) return yield* truncated(lastPage)
    const named = names.root === undefined ? [] : yield* QuickCheck.checkDatabases(pages, names.root)
    // A process that was killed while it created the file left no database, or only the first one.
    if (named.length > 0 && !named.some(({ name, tree }) => tree !== undefined && name === metaDatabase)) {
      return yield* openFailed(file.path, "UnsupportedFormat", foreignFile)
    }
    return { free, databases: named.flatMap(({ tree }) => tree === undefined ? [] : [tree]) }
  })
  const { databases, free } = yield* Effect.catchTags(checkFew, {
    ForeignTree: ({ name }) =>
      openFailed(file.path, "UnsupportedFormat", `its database "${name}" is of a kind that this package does not make`),
    PageDamaged: ({ page }) => {
      const isRoot = page === freeList.root || page === names.root
      // Decrypted with a wrong key, the first page that is checked looks damaged.
      return secret !== undefined && isRoot && page > 1 && page < pageCount
        ? openFailed(file.path, "Encrypted", "the encryptionKey is not the one that the file was encrypted with")
        : refusePage(page)
    }
  })
  if (!isWhole) return
  const contents = { freeList, names, databases, free, pageCount: Math.min(pageCount, lastPage + 1) }
  yield* Effect.catchTag(FullCheck.check(pages, contents), "PageDamaged", ({ page }) => refusePage(page))
})

/** How often a file is checked if another process keeps writing to it. */
const mostChecks = 5

/** Reads the meta pages, and reads them again if they look damaged: another process may be writing one of them. */
const readStableHeader = (file: OpenFile): Effect.Effect<DatabaseHeader, OpenFailed> =>
  Effect.retry(readHeader(file), { times: mostChecks })

/** The header of a file at the end of its check, and whether its pages were checked. */
interface CheckedPages {
  readonly header: DatabaseHeader
  /** `false` if the file changed too fast to check. */
  readonly isChecked: boolean
}

/**
 * Checks the pages of a file whose header was read before. Another process may have written
 * to the pages since then. So a damaged page is an error only if the header is still the
 * same afterwards; otherwise the check starts over with the new header.
 */
const checkStable = (
  file: OpenFile,
  header: DatabaseHeader,
  options: CheckOptions,
  checks = 1
): Effect.Effect<CheckedPages, OpenFailed> =>
  checkPages(file, header, options).pipe(
    Effect.as({ header, isChecked: true }),
    Effect.catch((error) =>
      Effect.flatMap(readStableHeader(file), (current): Effect.Effect<CheckedPages, OpenFailed> => {
        if (current.transactionId === header.transactionId) return Effect.fail(error)
        // The process that writes has the file open, so it is usable.
        return checks === mostChecks
          ? Effect.succeed({ header: current, isChecked: false })
          : checkStable(file, current, options, checks + 1)
      })
    )
  )

/** The options of a store that say how its file is opened. */
export interface OpenOptions {
  readonly subdirectory: boolean
  readonly readOnly: boolean
  readonly encryptionKey: Redacted.Redacted | undefined
  readonly verify: boolean | undefined
  /** The permissions of files that are created. */
  readonly fileMode: number
}

/** What a check has found out about a database file. */
export interface CheckedFile {
  /** `None` if the file is missing or empty, so that the engine will create a database. */
  readonly header: Option.Option<DatabaseHeader>
  /** Whether all pages are known to be valid. */
  readonly isSound: boolean
  /** Whether the file is exactly as it was when the store was closed cleanly. */
  readonly isUnchanged: boolean
}

/** Fails unless a key is given exactly if the file is encrypted. */
const checkEncryption = (
  path: string,
  { encrypted }: DatabaseHeader,
  encryptionKey: Redacted.Redacted | undefined
): Effect.Effect<void, OpenFailed> => {
  if (encrypted !== (encryptionKey === undefined)) return Effect.void
  const detail = encrypted
    ? "the file is encrypted and no encryptionKey was given"
    : "an encryptionKey was given and the file is not encrypted"
  return Effect.fail(openFailed(path, "Encrypted", detail))
}

/** Checks the content of a database file. */
const checkContent = Effect.fnUntraced(function*(
  path: string,
  { encryptionKey, subdirectory, verify }: OpenOptions
): Effect.fn.Return<CheckedFile, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const unchanged = CloseRecord.unchangedMeta(path, CloseRecord.pathOf(yield* Path.Path, path, subdirectory))
  const isUnchanged = unchanged !== undefined
  yield* Effect.try({ try: () => openMany(path), catch: toOpenFailed(path) })
  if (unchanged !== undefined && encryptionKey === undefined && verify !== true) {
    const header = yield* headerIn(path, unchanged)
    yield* checkEncryption(path, header, encryptionKey)
    return { header: Option.some(header), isSound: true, isUnchanged }
  }
  return yield* fs.open(path, { flag: "r" }).pipe(
    Effect.mapError(toOpenFailed(path)),
    Effect.flatMap(Effect.fnUntraced(function*(handle) {
      const file: OpenFile = { path, handle }
      const header = yield* readStableHeader(file)
      yield* checkEncryption(path, header, encryptionKey)
      const secret = encryptionKey === undefined ? undefined : Redacted.value(encryptionKey)
      const extent = yield* extentOf(file, verify, isUnchanged)
      const checked = yield* checkStable(file, header, { secret, extent })
      const isSound = isUnchanged || (extent === "all" && checked.isChecked)
      return { header: Option.some(checked.header), isSound, isUnchanged }
    })),
    Effect.scoped
  )
})

/**
 * Checks that the engine can open a file of another program: its meta pages, and that its length is at least what they
 * say.
 */
export const checkForeign = Effect.fnUntraced(function*(
  path: string
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const info = yield* statOption(path)
  if (!Option.exists(info, (stats) => stats.isFile() && stats.size > 0)) {
    return yield* openFailed(path, "Missing", "there is no database at this path")
  }
  yield* fs.open(path, { flag: "r" }).pipe(
    Effect.mapError(toOpenFailed(path)),
    Effect.flatMap(Effect.fnUntraced(function*(handle) {
      const file: OpenFile = { path, handle }
      const { encrypted, lastPage, pageSize } = yield* readStableHeader(file)
      if (encrypted) return yield* openFailed(path, "Encrypted", "a file that is encrypted cannot be imported")
      const bytes = yield* lengthOf(file)
      const least = (lastPage + 1) * pageSize
      if (bytes < least) {
        return yield* openFailed(path, "Truncated", `the file has ${bytes} bytes and should have at least ${least}`)
      }
    })),
    Effect.scoped
  )
})

// Readers of such a file use no lock file, because no process writes. Root could write all the same, and is refused too.
const notWritable = "its mode allows nobody to write to it; run chmod u+w on it, or open it with readOnly: true"

/** The path of LMDB's lock file of a database. */
export const lockFileOf = (path: Path.Path, file: string, subdirectory: boolean): string =>
  subdirectory ? path.join(path.dirname(file), "lock.mdb") : `${file}-lock`

/** The path of the file that the processes of a store lock. */
export const storeLockOf = (path: Path.Path, file: string, subdirectory: boolean): string =>
  subdirectory ? path.join(path.dirname(file), "store.lock") : `${file}-store.lock`

/** A file in which the engine will create a database. */
const newFile: CheckedFile = { header: Option.none(), isSound: true, isUnchanged: false }

/** Creates missing folders, and checks an existing file. */
export const check = Effect.fnUntraced(function*(
  file: string,
  options: OpenOptions
): Effect.fn.Return<CheckedFile, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const { fileMode, readOnly } = options
  const folder = path.dirname(file)
  const access = { writable: !readOnly }
  if (!readOnly) yield* makeFolder(folder, fileMode)
  yield* checkAccess(folder, access)
  const info = yield* statOption(file)
  if (Option.isSome(info) && !info.value.isFile()) {
    return yield* openFailed(file, "NotADatabase", `it must be a file, and is a ${typeOf(info.value)}`)
  }
  const isNew = Option.isNone(info) || info.value.size === 0
  if (isNew && readOnly) return yield* openFailed(file, "Missing", "there is no database at this path")
  const checked = isNew ? newFile : yield* checkContent(file, options)
  if (Option.isSome(info)) {
    yield* checkAccess(file, access)
    if (!readOnly && !isWritableByAnybody(info.value.mode)) return yield* openFailed(file, "Permission", notWritable)
  }
  return checked
})

/** Makes sure that the engine can open its lock file. */
export const prepareLock = Effect.fnUntraced(function*(
  file: string,
  { fileMode, readOnly, subdirectory }: OpenOptions,
  isNew: boolean
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const info = yield* statOption(file)
  const databaseMode = isNew ? undefined : Option.getOrUndefined(info)?.mode
  yield* LockFile.prepare(lockFileOf(path, file, subdirectory), file, { fileMode, readOnly, databaseMode })
})
