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
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { ABORT, type Database, open as openLmdb, type RootDatabase } from "lmdb"
import { Buffer } from "node:buffer"
import { statSync } from "node:fs"
import {
  type Batch,
  Engine,
  EngineFull,
  type EngineOptions,
  type EngineStats,
  type Environment,
  type Snapshot
} from "../Engine.ts"
import { ByteString } from "../Key.ts"
import { type EngineFailure, OpenFailed } from "../StoreError.ts"
import * as BackupFile from "./backupFile.ts"
import * as DatabaseFile from "./databaseFile.ts"
import { lastPages, mapSizeFor, mapSizeOf, numbersPerPage, pageSize } from "./fileLimit.ts"
import { failure, refuse, revealCommitError } from "./lmdbErrors.ts"
import { figure, usedBytesOf } from "./lmdbFigures.ts"
import { readRange } from "./lmdbRange.ts"

const fileName = "data.mdb"

/** What LMDB allows for pages of 4096 bytes. */
const maxKeyBytes = 1978

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

/** Each open snapshot has a slot in the table of readers, as long as no other shares its moment. */
const maxReaders = 2048

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
  /** The size that the native map was asked to have. */
  readonly wantedMapSize: number
  /** The size that it had when it was opened: more where the file is longer. */
  readonly nativeMapSize: number
  /** Whether the files stayed open through a resize, for the sake of snapshots: the native map is of any size then. */
  readonly isPinned: boolean
  /** Whether another thread of the process has the file open: they share a map, of any size too. */
  readonly isShared: boolean
}

interface WritableFiles extends Files {
  readonly records: Records
  readonly meta: Records
}

const isWritable = (files: Files): files is WritableFiles => files.records !== undefined && files.meta !== undefined

/** Writes the version of the layout into a new file, and refuses a file with another. */
const checkFormat = (meta: Records, { path, readOnly }: EngineOptions): void => {
  const [version] = meta.getBinary(formatKey) ?? []
  if (version === undefined) {
    if (!readOnly) meta.putSync(formatKey, formatVersion)
  } else if (version !== formatVersion[0]) {
    const detail = `its format is version ${version}, this package knows version ${formatVersion[0]}`
    throw new OpenFailed({ reason: "UnsupportedFormat", path, detail })
  }
}

const openFiles = (options: EngineOptions, mapSize: number): Files => {
  const root = openLmdb({
    path: options.path,
    noSubdir: !options.subdirectory,
    readOnly: options.readOnly,
    mapSize,
    maxDbs: maxDatabases,
    maxReaders,
    noSync: options.durability === "noSync",
    overlappingSync: false,
    // The library would begin each transaction with a promise of its own that nobody can listen to.
    eventTurnBatching: false,
    compression: options.compression,
    ...(options.readOnly ? {} : { pageSize }),
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
    if (meta !== undefined) checkFormat(meta, options)
    const figures = root.getStats()
    const nativeMapSize = figure(figures, "mapSize")
    const fileEnd = (figure(figures, "lastPageNumber") + 1) * pageSize
    return {
      root,
      records,
      meta,
      wantedMapSize: mapSize,
      nativeMapSize,
      isPinned: false,
      isShared: nativeMapSize > Math.max(mapSize, fileEnd)
    }
  } catch (cause) {
    void root.close()
    throw cause
  }
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

/** The most pages that one write copies: its path in the tree, and as many beside it. */
const pathPagesOf = (records: Records): number => 2 * (figure(records.getStats(), "treeDepth") + 1)

/** The most pages that a batch frees: each write copies its path in the tree, and drops the pages of a large value. */
const freedBy = ({ records }: WritableFiles, batch: Batch): number => {
  const pathPages = pathPagesOf(records)
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
const prepareLoosePages = ({ meta }: WritableFiles): void => {
  // Two such values fill a page.
  const filler = new Uint8Array(Math.floor(pageSize * 0.45))
  const keys = Array.from({ length: 2 * loosePages }, (_, index) => ByteString(`filler${index}`))
  for (const key of keys) void meta.put(key, filler)
  for (const key of keys) void meta.remove(key)
}

/** Takes as many pages in a row as the end of a commit may want for its list of free pages. */
const takeLastPages = ({ meta }: WritableFiles, freed: number): void => {
  if (freed > numbersPerPage / 2) {
    void meta.put(ByteString("filler"), new Uint8Array((lastPages(freed) - 1) * pageSize))
  }
}

/** The most pages that a batch takes: each write copies its path in the tree, and a large value has pages of its own. */
const takenBy = ({ records }: WritableFiles, batch: Batch): number => {
  const pathPages = pathPagesOf(records)
  let taken = 2 * pathPages
  for (const [, value] of batch.writes) taken += pathPages + Math.ceil((value?.length ?? 0) / pageSize) + 1
  return taken
}

/** Runs a transaction, and undoes it unless it stays within the native map. */
const within = (
  files: WritableFiles,
  mapSize: number,
  batch: Batch,
  write: () => typeof ABORT | void
): Promise<Outcome> => {
  const { nativeMapSize, records, wantedMapSize } = files
  const isLimitSeen = !files.isPinned && !files.isShared
  let outcome: Outcome = "written"
  const abort = (needed: number) => {
    outcome = new EngineFull({ mapSize, needed })
    return ABORT
  }
  return records.childTransaction(() => {
    const before = records.getStats()
    const present = figure(before, "mapSize")
    if (isLimitSeen && present !== nativeMapSize) return abort(mapSize)
    if (!isLimitSeen && present > wantedMapSize) {
      const end = figure(before, "lastPageNumber") + 1
      if ((end + takenBy(files, batch)) * pageSize > wantedMapSize) return abort(mapSize + 1)
    }
    const result = write()
    const grown = figure(records.getStats(), "mapSize")
    if (grown === present || grown <= wantedMapSize) return result
    // The engine grows its map to twice the need.
    return abort(Math.max(mapSize + 1, Math.ceil(grown / 2)))
  }).catch(revealCommitError).then(() => outcome)
}

/** What happened to a batch. */
type Outcome = "written" | EngineFull

const writeBatch = (files: Files, batch: Batch, mapSize: number): Promise<Outcome> => {
  if (!isWritable(files)) return Promise.reject(new Error("the database is read-only"))
  if (batch.clear || files.isPinned || files.isShared || files.nativeMapSize <= files.wantedMapSize) {
    return within(files, mapSize, batch, () => writeAll(files, batch))
  }
  // The file is in the pages that were held back. The same writes take the same pages: what
  // they leave for the end of the commit is tried out in a transaction that is undone.
  return within(files, mapSize, batch, () => {
    const freed = freedBy(files, batch)
    writeAll(files, batch)
    prepareLoosePages(files)
    takeLastPages(files, freed)
    return ABORT
  }).then((outcome) =>
    outcome === "written"
      ? within(files, mapSize, batch, () => {
        writeAll(files, batch)
        prepareLoosePages(files)
      })
      : outcome
  )
}

// ---------------------------------------------------------------------------
// the engine
// ---------------------------------------------------------------------------

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer)

const open = Effect.fnUntraced(function*(options: EngineOptions) {
  const path = yield* Path.Path
  const file = options.subdirectory ? path.join(options.path, fileName) : options.path
  const header = yield* DatabaseFile.prepare(file, options)
  const pages = Option.match(header, { onNone: () => 0, onSome: ({ lastPage }) => lastPage + 1 })

  let mapSize = mapSizeOf(pages, options)
  const start = yield* Effect.try({
    try: () => openFiles(options, mapSizeFor(mapSize, false)),
    catch: refuse(options)
  })
  let files: Files | undefined = start
  let openSnapshots = 0

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

  const mustResize = (): boolean => files !== undefined && files.isPinned && !files.isShared && openSnapshots === 0

  const environment: Environment = {
    maxKeyBytes,
    get: (key) => run("get", ({ records }) => records?.getBinaryFast(key)),
    has: (key) => run("has", ({ records }) => records !== undefined && records.doesExist(key)),
    read: (request) => run("read", ({ records }) => readRange(records, request, undefined)),
    snapshot: () =>
      run("snapshot", ({ records, root }): Snapshot => {
        const transaction = (records ?? root).useReadTransaction()
        openSnapshots++
        return {
          read: (request) => run("read", () => readRange(records, request, transaction)),
          release: () => {
            openSnapshots--
            transaction.done()
          }
        }
      }),
    commit: (batch) =>
      Effect.suspend(() => Effect.fromResult(run("commit", (opened) => opened))).pipe(
        Effect.flatMap((opened): Effect.Effect<Outcome, EngineFailure> =>
          mustResize()
            ? Effect.succeed(new EngineFull({ mapSize, needed: mapSize }))
            : Effect.tryPromise({ try: () => writeBatch(opened, batch, mapSize), catch: failure("commit") })
        ),
        Effect.flatMap((outcome) => outcome === "written" ? Effect.void : Effect.fail(outcome)),
        Effect.uninterruptible
      ),
    resize: (newMapSize, { useReserve }) =>
      Effect.uninterruptible(Effect.suspend(() => {
        const wantedMapSize = mapSizeFor(newMapSize, useReserve)
        mapSize = newMapSize
        if (files !== undefined && openSnapshots > 0) {
          files = { ...files, wantedMapSize, isPinned: true }
          return Effect.void
        }
        return Effect.andThen(
          closeFiles,
          Effect.try({
            try: () => {
              files = openFiles(options, wantedMapSize)
            },
            catch: failure("resize")
          })
        )
      })),
    mustResize,
    stats: () =>
      run("stats", ({ records, root }): EngineStats => {
        const figures = (records ?? root).getStats()
        return {
          entries: records === undefined ? 0 : figure(figures, "entryCount"),
          mapSize,
          usedBytes: usedBytesOf(figures),
          fileBytes: statSync(file).size,
          pageSize,
          readers: figure(figures, "numReaders")
        }
      }),
    backup: (target, { compact }) =>
      Effect.suspend(() => Effect.fromResult(run("backup", (opened) => opened))).pipe(
        Effect.flatMap(({ root }) => {
          const place = { path: target, subdirectory: options.subdirectory, fileName }
          if (options.encryptionKey === undefined) {
            return BackupFile.write(place, (partial) =>
              Effect.tryPromise(() =>
                root.backup(options.subdirectory ? partial.folder : partial.file, compact)
              ))
          }
          if (compact) return Effect.fail(failure("backup")(new Error("an encrypted store cannot be compacted")))
          // The library's own copy of an encrypted file cannot be opened, or is not encrypted.
          return BackupFile.write(place, (partial) =>
            Effect.acquireUseRelease(
              Effect.sync(() => root.useReadTransaction()),
              () => BackupFile.copyBytes(file, partial.file, 2 * pageSize),
              (reader) => Effect.sync(() => reader.done())
            ))
        }),
        Effect.provide(platform),
        Effect.uninterruptible
      )
  }
  return environment
})

/**
 * Provides LMDB as the engine of a store: the same engine to all, so that all know
 * which files are open.
 */
export const layer: Layer.Layer<Engine> = Layer.succeed(
  Engine,
  Engine.of({ fileName, open: (options) => Effect.provide(open(options), platform) })
)
