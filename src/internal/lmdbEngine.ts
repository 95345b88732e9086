/**
 * The engine on LMDB, through the package `lmdb`.
 *
 * This is the only file that touches the native library. What the library does
 * that is not in its manual, and what this file does about it:
 *
 * - It grows its map by itself, so `MDB_MAP_FULL` never comes. A batch is written
 *   in a child transaction and thrown away when the map grew meanwhile. The map is
 *   opened somewhat smaller than the limit, because a commit takes pages for its
 *   list of free pages after the batch is written.
 * - After such a growth the limit cannot be seen any more: only closing and
 *   opening again, in `resize`, sets it anew.
 * - Without `overlappingSync` a commit writes the pages, waits for the disk and
 *   only then writes the meta page, all outside the main thread. With it, the same
 *   calls wait for the disk on the main thread, or `close` may never return.
 * - The error behind "Commit failed" is the rejection of a second promise, which
 *   ends the process when nobody listens to it.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { ABORT, type Database, open as openLmdb, type RootDatabase } from "lmdb"
import { Buffer } from "node:buffer"
import { statSync } from "node:fs"
import { type Batch, Engine, EngineFull, type EngineOptions, type EngineStats, type Environment } from "../Engine.ts"
import { ByteString } from "../Key.ts"
import { EngineFailure, OpenFailed, type OpenFailedReason } from "../StoreError.ts"
import * as DatabaseFile from "./databaseFile.ts"

const fileName = "data.mdb"

/** What LMDB allows for pages of 4096 bytes. */
const maxKeyBytes = 1978

const newPageSize = 4096

/**
 * No data is kept in the unnamed database: clearing it drops the named ones, and
 * clearing it while it is empty corrupts the list of free pages.
 */
const recordsName = "records"

/** Holds what the file says of itself: under `format` the version of its layout. */
const metaName = "meta"
const formatKey = ByteString("format")
const formatVersion = Uint8Array.of(1)

/** Enough for the named databases of hundreds of collections. */
const maxDatabases = 1024

// ---------------------------------------------------------------------------
// the limit
// ---------------------------------------------------------------------------

/** Pages held back for deletions: a full file needs some to delete anything. */
const reservePages = 16

/** How many page numbers of the list of free pages fill a page. */
const numbersPerPage = 500

/**
 * The most pages that the end of a commit takes from behind the end of the file,
 * after the batch is written: for the list of the pages that it freed.
 */
const lastPages = (freed: number): number => 2 + Math.ceil(freed / numbersPerPage)

/**
 * Pages held back for that. They suffice for one commit and a clear after it; once
 * the file is that long, commits are tried out first (`writeBatch`).
 */
const commitPages = (pages: number): number => 4 + 2 * lastPages(pages)

const mapSizeFor = (mapSize: number, pageSize: number, useReserve: boolean): number => {
  const pages = Math.floor(mapSize / pageSize)
  return (pages - commitPages(pages) - (useReserve ? 0 : reservePages)) * pageSize
}

// ---------------------------------------------------------------------------
// errors
// ---------------------------------------------------------------------------

const retryableCodes: ReadonlySet<number> = new Set([
  -30790, // MDB_READERS_FULL
  4, // EINTR
  5, // EIO
  11, // EAGAIN
  12, // ENOMEM
  23, // ENFILE
  24, // EMFILE
  27, // EFBIG
  28, // ENOSPC
  122 // EDQUOT
])

const codeOf = (cause: unknown): number =>
  Predicate.hasProperty(cause, "code") && Predicate.isNumber(cause.code) ? cause.code : 0

const errnoOf = (cause: unknown): number =>
  Predicate.hasProperty(cause, "errno") && Predicate.isNumber(cause.errno) ? Math.abs(cause.errno) : codeOf(cause)

const textOf = (cause: unknown): string => Predicate.isError(cause) ? cause.message : String(cause)

const failure = (operation: string) => (cause: unknown): EngineFailure => {
  const code = errnoOf(cause)
  return new EngineFailure({ operation, code, detail: textOf(cause), isRetryable: retryableCodes.has(code), cause })
}

const reasonsByCode: ReadonlyMap<number, OpenFailedReason> = new Map([
  [1, "Permission"], // EPERM
  [13, "Permission"], // EACCES
  [30, "Permission"], // EROFS
  [2, "Missing"], // ENOENT
  [20, "Missing"], // ENOTDIR
  [-30793, "NotADatabase"], // MDB_INVALID
  [-30794, "NotADatabase"], // MDB_VERSION_MISMATCH
  [-30776, "Encrypted"] // MDB_ENV_ENCRYPTION
])

const refuse = (options: EngineOptions) => (cause: unknown): OpenFailed => {
  // A wrong key turns every page into noise, which shows as one of these.
  const isNoise = options.encryptionKey !== undefined && codeOf(cause) < 0
  const reason = isNoise ? "Encrypted" : reasonsByCode.get(errnoOf(cause)) ?? "Engine"
  return new OpenFailed({ path: options.path, reason, detail: textOf(cause), cause })
}

/** Gives the error that is hidden behind "Commit failed", which otherwise ends the process. */
const revealCommitError = (error: unknown): Promise<never> =>
  Predicate.hasProperty(error, "commitError")
    // The hidden error comes in the same turn of the event loop, if it comes.
    ? Promise.race([error.commitError, new Promise((resolve) => setImmediate(resolve))])
      .then(() => Promise.reject(error))
    : Promise.reject(error)

// ---------------------------------------------------------------------------
// the open files
// ---------------------------------------------------------------------------

const keyEncoder = {
  writeKey: (key: ByteString, target: Buffer, start: number): number => start + target.write(key, start, "latin1"),
  readKey: (source: Buffer, start: number, end: number): string => source.toString("latin1", start, end)
}

type Records = Database<Uint8Array, ByteString>

interface Files {
  readonly root: RootDatabase
  /** `undefined` on a read-only file that never had a record. */
  readonly records: Records | undefined
  readonly meta: Records | undefined
  readonly pageSize: number
  /** The size that the native map was asked to have. */
  readonly wantedMapSize: number
  /** The size that it had when it was opened: more where the file is longer. */
  readonly nativeMapSize: number
}

interface WritableFiles extends Files {
  readonly records: Records
  readonly meta: Records
}

const isWritable = (files: Files): files is WritableFiles => files.records !== undefined && files.meta !== undefined

const figure = (figures: object, name: string): number =>
  Predicate.hasProperty(figures, name) && Predicate.isNumber(figures[name]) ? figures[name] : 0

const openFiles = (options: EngineOptions, mapSize: number): Files => {
  const root = openLmdb({
    path: options.path,
    noSubdir: !options.subdirectory,
    readOnly: options.readOnly,
    mapSize,
    maxDbs: maxDatabases,
    noSync: options.durability === "noSync",
    overlappingSync: false,
    // The library would begin each transaction with a promise of its own that nobody can listen to.
    eventTurnBatching: false,
    compression: options.compression,
    ...(options.readOnly ? {} : { pageSize: newPageSize }),
    ...(options.encryptionKey === undefined ? {} : { encryptionKey: Redacted.value(options.encryptionKey) })
  })
  try {
    // The declaration hides that a missing database of a read-only file is `undefined`.
    const openDatabase = (name: string): Records | undefined => {
      const databaseOptions = { name, encoding: "binary" as const, keyEncoder }
      return root.openDB(databaseOptions)
    }
    const records = openDatabase(recordsName)
    const meta = openDatabase(metaName)
    const figures = root.getStats()
    return {
      root,
      records,
      meta,
      pageSize: figure(figures, "pageSize"),
      wantedMapSize: mapSize,
      nativeMapSize: figure(figures, "mapSize")
    }
  } catch (cause) {
    void root.close()
    throw cause
  }
}

/** The bytes of all pages in use: the trees of all databases, of the free list, and two meta pages. */
const usedBytesOf = (figures: object, pageSize: number): number => {
  const pagesOf = (tree: object): number =>
    figure(tree, "treeBranchPageCount") + figure(tree, "treeLeafPageCount") + figure(tree, "overflowPages")
  const treeAt = (name: string): number =>
    Predicate.hasProperty(figures, name) && Predicate.isObject(figures[name]) ? pagesOf(figures[name]) : 0
  return (pagesOf(figures) + treeAt("root") + treeAt("free") + 2) * pageSize
}

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

const writeAll = (files: WritableFiles, batch: Batch): void => {
  const { meta, records } = files
  if (batch.clear) records.clearSync()
  let isEmpty = !batch.clear
  for (const [key, value] of batch.writes) {
    isEmpty = false
    if (value === null) void records.remove(key)
    else void records.put(key, value)
  }
  // A transaction that writes nothing is none, and freed pages come of age by transactions.
  if (isEmpty) void meta.put(formatKey, formatVersion)
}

/** The most pages that a batch frees: each write copies its path in the tree, and drops the pages of a large value. */
const freedBy = ({ pageSize, records }: WritableFiles, batch: Batch): number => {
  const pathPages = 2 * (figure(records.getStats(), "treeDepth") + 1)
  let freed = 2 * pathPages
  for (const [key] of batch.writes) {
    freed += pathPages + Math.ceil((records.getBinaryFast(key)?.length ?? 0) / pageSize)
  }
  return freed
}

const loosePages = 12

/**
 * Takes pages for a transaction and gives them back to it, loose: the end of its
 * commit takes the pages of trees from these, and not from behind the end of the file.
 */
const prepareLoosePages = ({ meta, pageSize }: WritableFiles): void => {
  // Two such values fill a page.
  const filler = new Uint8Array(Math.floor(pageSize * 0.45))
  const keys = Array.from({ length: 2 * loosePages }, (_, index) => ByteString(`filler${index}`))
  for (const key of keys) void meta.put(key, filler)
  for (const key of keys) void meta.remove(key)
}

/** Takes as many pages in a row as the end of a commit may want for its list of free pages. */
const takeLastPages = ({ meta, pageSize }: WritableFiles, freed: number): void => {
  if (freed > numbersPerPage / 2) {
    void meta.put(ByteString("filler"), new Uint8Array((lastPages(freed) - 1) * pageSize))
  }
}

/** Runs a transaction, and undoes it unless it stays within the native map. */
const within = (files: WritableFiles, mapSize: number, write: () => typeof ABORT | void): Promise<Outcome> => {
  const { nativeMapSize, records } = files
  let outcome: Outcome = "written"
  return records.childTransaction(() => {
    if (figure(records.getStats(), "mapSize") !== nativeMapSize) {
      outcome = new EngineFull({ mapSize, needed: mapSize })
      return ABORT
    }
    const result = write()
    const grown = figure(records.getStats(), "mapSize")
    if (grown === nativeMapSize) return result
    // The engine grows its map to twice the need.
    outcome = new EngineFull({ mapSize, needed: Math.max(mapSize + 1, Math.ceil(grown / 2)) })
    return ABORT
  }).catch(revealCommitError).then(() => outcome)
}

/** What happened to a batch. */
type Outcome = "written" | EngineFull

const writeBatch = (files: Files, batch: Batch, mapSize: number): Promise<Outcome> => {
  if (!isWritable(files)) return Promise.reject(new Error("the database is read-only"))
  if (batch.clear || files.nativeMapSize <= files.wantedMapSize) {
    return within(files, mapSize, () => writeAll(files, batch))
  }
  // The file is in the pages that were held back. The same writes take the same pages: what
  // they leave for the end of the commit is tried out in a transaction that is undone.
  return within(files, mapSize, () => {
    const freed = freedBy(files, batch)
    writeAll(files, batch)
    prepareLoosePages(files)
    takeLastPages(files, freed)
    return ABORT
  }).then((outcome) =>
    outcome === "written"
      ? within(files, mapSize, () => {
        writeAll(files, batch)
        prepareLoosePages(files)
      })
      : outcome
  )
}

// ---------------------------------------------------------------------------
// backup
// ---------------------------------------------------------------------------

const alreadyExists = 17

/**
 * Copies into a place beside the target and renames when all is there and on disk,
 * so that a copy that was cut short is never taken for a whole one.
 */
const backupTo = Effect.fnUntraced(function*(
  files: Files,
  options: EngineOptions,
  target: string,
  compact: boolean
): Effect.fn.Return<void, EngineFailure, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const fail = failure("backup")
  const folder = options.subdirectory ? target : path.dirname(target)
  const file = options.subdirectory ? path.join(target, fileName) : target
  yield* Effect.mapError(DatabaseFile.makeFolder(folder), fail)
  if (yield* Effect.mapError(fs.exists(file), fail)) {
    return yield* new EngineFailure({
      operation: "backup",
      code: alreadyExists,
      detail: `there is already something at ${file}`,
      isRetryable: false
    })
  }
  yield* fs.makeTempDirectoryScoped({ directory: folder, prefix: ".backup-" }).pipe(
    Effect.flatMap((partialFolder) => {
      const partial = path.join(partialFolder, fileName)
      return Effect.tryPromise(() => files.root.backup(options.subdirectory ? partialFolder : partial, compact)).pipe(
        Effect.andThen(Effect.scoped(Effect.flatMap(fs.open(partial, { flag: "r+" }), (handle) => handle.sync))),
        Effect.andThen(fs.rename(partial, file))
      )
    }),
    Effect.scoped,
    Effect.mapError((error) => fail(error.cause ?? error))
  )
})

// ---------------------------------------------------------------------------
// the engine
// ---------------------------------------------------------------------------

/** Without the scope of the moment, which must not take the place of that of the caller. */
const platformOnly = Effect.map(
  Effect.context<FileSystem.FileSystem | Path.Path>(),
  Context.pick(FileSystem.FileSystem, Path.Path)
)

const open = Effect.fnUntraced(function*(options: EngineOptions) {
  const path = yield* Path.Path
  const platform = yield* platformOnly
  const file = options.subdirectory ? path.join(options.path, fileName) : options.path
  const folder = path.dirname(file)

  if (!options.readOnly) yield* DatabaseFile.makeFolder(folder)
  yield* DatabaseFile.checkAccess(folder, { writable: !options.readOnly })
  const header = yield* DatabaseFile.inspect(file)
  if (Option.isNone(header) && options.readOnly) {
    return yield* new OpenFailed({ path: file, reason: "Missing", detail: "there is no database at this path" })
  }
  if (Option.isSome(header)) {
    yield* DatabaseFile.checkAccess(file, { writable: !options.readOnly })
    if (header.value.encrypted !== (options.encryptionKey !== undefined)) {
      const detail = header.value.encrypted
        ? "the file is encrypted and no encryptionKey was given"
        : "an encryptionKey was given and the file is not encrypted"
      return yield* new OpenFailed({ path: file, reason: "Encrypted", detail })
    }
  }
  const pageSize = Option.match(header, { onNone: () => newPageSize, onSome: (found) => found.pageSize })

  let mapSize = options.mapSize
  const start = yield* Effect.try({
    try: () => openFiles(options, mapSizeFor(mapSize, pageSize, false)),
    catch: refuse(options)
  })
  let files: Files | undefined = start

  const closeFiles = Effect.suspend(() => {
    if (files === undefined) return Effect.void
    const { root } = files
    files = undefined
    return Effect.ignore(Effect.tryPromise(() => root.close()))
  })
  yield* Effect.addFinalizer(() => closeFiles)

  /** Runs a call of the library, whose every error is an `EngineFailure`. */
  const run = <A>(operation: string, call: (files: Files) => A): Result.Result<A, EngineFailure> => {
    try {
      if (files === undefined) throw new Error("the environment is closed")
      return Result.succeed(call(files))
    } catch (cause) {
      return Result.fail(failure(operation)(cause))
    }
  }

  const environment: Environment = {
    maxKeyBytes,
    get: (key) => run("get", ({ records }) => records?.getBinaryFast(key)),
    has: (key) => run("has", ({ records }) => records !== undefined && records.doesExist(key)),
    commit: (batch) =>
      Effect.suspend(() => Effect.fromResult(run("commit", (opened) => opened))).pipe(
        Effect.flatMap((opened) =>
          Effect.tryPromise({ try: () => writeBatch(opened, batch, mapSize), catch: failure("commit") })
        ),
        Effect.flatMap((outcome) => outcome === "written" ? Effect.void : Effect.fail(outcome)),
        Effect.uninterruptible
      ),
    resize: (newMapSize, { useReserve }) =>
      Effect.uninterruptible(Effect.andThen(
        closeFiles,
        Effect.try({
          try: () => {
            files = openFiles(options, mapSizeFor(newMapSize, pageSize, useReserve))
            mapSize = newMapSize
          },
          catch: failure("resize")
        })
      )),
    stats: () =>
      run("stats", ({ records, root }): EngineStats => {
        const figures = (records ?? root).getStats()
        return {
          entries: records === undefined ? 0 : figure(figures, "entryCount"),
          mapSize,
          usedBytes: usedBytesOf(figures, pageSize),
          fileBytes: statSync(file).size,
          pageSize,
          readers: figure(figures, "numReaders")
        }
      }),
    backup: (target, { compact }) =>
      Effect.suspend(() => Effect.fromResult(run("backup", (opened) => opened))).pipe(
        Effect.flatMap((opened) => backupTo(opened, options, target, compact)),
        Effect.provide(platform),
        Effect.uninterruptible
      )
  }
  return environment
})

/**
 * Provides LMDB as the engine of a store.
 */
export const layer: Layer.Layer<Engine> = Layer.effect(
  Engine,
  Effect.gen(function*() {
    const platform = yield* platformOnly
    return Engine.of({ open: (options) => Effect.provide(open(options), platform) })
  })
).pipe(Layer.provide([NodeFileSystem.layer, NodePath.layer]))
