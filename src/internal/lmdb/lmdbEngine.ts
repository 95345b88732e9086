/**
 * The engine on LMDB, through the package `lmdb`.
 *
 * Only this folder uses the native library. The library has some properties that its manual does
 * not mention, and that this folder works around:
 *
 * - The library grows its map by itself, so it never reports `MDB_MAP_FULL`. A batch is written in a
 *   child transaction, which is aborted if the map grew meanwhile. The map is opened smaller than the
 *   limit, because a commit allocates pages for the list of free pages after the batch is written.
 * - After the map grew, the library does not show when the file reaches the limit. Only closing and
 *   opening the file, in `resize`, sets the limit again.
 * - Without `overlappingSync`, a commit writes the pages, waits for the disk and then writes the meta
 *   page, all outside the main thread. With `overlappingSync`, the same calls wait for the disk on the
 *   main thread, or `close` may never return.
 * - The library opens databases in write transactions on the main thread. This folder opens existing
 *   databases in read transactions (`lmdbOpening.ts`), and creates new ones in a transaction that waits
 *   for other processes outside the main thread.
 * - The real error of "Commit failed" is the rejection of a second promise, which ends the process if
 *   nothing handles it.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import { statSync } from "node:fs"
import {
  Engine,
  type EngineOptions,
  type EngineStats,
  type Environment,
  type Reader,
  type Snapshot
} from "../../Engine.ts"
import type { EngineFailure, OpenFailed } from "../../StoreError.ts"
import * as FilePlatform from "../filePlatform.ts"
import * as FileCheck from "./file/fileCheck.ts"
import * as FileIdentity from "./file/fileIdentity.ts"
import { checkAndLock } from "./file/fileOpening.ts"
import { maxKeyBytes, maxValueBytes } from "./file/pageLayout.ts"
import { copyTo, fileName } from "./lmdbBackup.ts"
import { commit } from "./lmdbCommit.ts"
import {
  closeMapped,
  type LmdbEnvironment,
  type MappedFile,
  openedFiles,
  openMapped,
  openReader,
  run
} from "./lmdbEnvironment.ts"
import { failure, refuse, revealCommitError } from "./lmdbErrors.ts"
import { type Files, noFiles, openDatabase } from "./lmdbFiles.ts"
import { readPresent } from "./lmdbReader.ts"
import { mustResize, resize } from "./lmdbResize.ts"
import { pageSize } from "./mapSize.ts"
import { figure, usedBytesOf } from "./pageCount.ts"

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** The state that callers outside a commit may see. */
const visible = (self: LmdbEnvironment): Reader => self.beforeCommit?.reader ?? self.present

const openSnapshot = (self: LmdbEnvironment): Exit.Exit<Snapshot, EngineFailure> =>
  run(self, "snapshot", (files): Snapshot => {
    const shared = self.beforeCommit ?? openReader(self, files)
    if (self.beforeCommit !== undefined) shared.share()
    self.openSnapshots++
    return {
      ...shared.reader,
      release: () => {
        self.openSnapshots--
        shared.release()
      }
    }
  })

/** Finds the number of the last visible transaction. */
const lastTransactionOf = (self: LmdbEnvironment): Exit.Exit<number, EngineFailure> =>
  run(self, "transactionId", ({ root }) => {
    // LMDB shows a commit before its promise resolves, and readers must not see it earlier.
    if (self.isCommitting) return self.lastTransaction
    // The library reads for the rest of a turn what its reader saw first: reads after this must see this transaction.
    root.resetReadTxn()
    self.lastTransaction = figure(root.getStats(), "lastTxnId")
    return self.lastTransaction
  })

const stats = (self: LmdbEnvironment): Exit.Exit<EngineStats, EngineFailure> =>
  run(self, "stats", ({ databases, meta, root }): EngineStats => {
    const trees = [...databases.values(), ...(meta === undefined ? [] : [meta])].map((tree) => tree.getStats())
    const figures = trees.at(-1) ?? root.getStats()
    return {
      mapSize: self.mapped.mapSize,
      usedBytes: usedBytesOf(figures, trees),
      fileBytes: statSync(self.file).size,
      pageSize,
      readers: figure(figures, "numReaders")
    }
  })

// ---------------------------------------------------------------------------
// databases
// ---------------------------------------------------------------------------

/** Opens a database that another process may have created. Does nothing if it does not exist. */
const openExisting = (self: LmdbEnvironment, name: string): Exit.Exit<void, EngineFailure> =>
  run(self, "open a database", (files) => {
    if (files.databases.has(name)) return
    const database = openDatabase(files.root, name, false)
    if (database === undefined) return
    self.mapped.files = { ...files, databases: new Map(files.databases).set(name, database) }
  })

/** Creates databases in one transaction. */
const makeDatabases = (
  { mapped }: LmdbEnvironment,
  { databases, meta, root }: Files,
  names: ReadonlyArray<string>
): Effect.Effect<void, EngineFailure> =>
  Effect.tryPromise({
    try: () => {
      const all = new Map(databases)
      return meta?.childTransaction(() => {
        for (const name of names) {
          const made = openDatabase(root, name, true)
          if (made !== undefined) all.set(name, made)
        }
      }).catch(revealCommitError).then(() => {
        // The store may have been closed meanwhile.
        if (mapped.files?.root === root) mapped.files = { ...mapped.files, databases: all }
      }) ?? Promise.resolve()
    },
    catch: failure("create a database")
  })

const createMissing = Effect.fnUntraced(function*(self: LmdbEnvironment, names: ReadonlyArray<string>) {
  for (const name of names) yield* openExisting(self, name)
  const files = yield* openedFiles(self, "create a database")
  const missing = names.filter((name) => !files.databases.has(name))
  if (missing.length > 0 && !self.options.readOnly) yield* Effect.uninterruptible(makeDatabases(self, files, missing))
})

/** Opens databases, and creates those that are missing. */
const createDatabases = (
  self: LmdbEnvironment,
  names: ReadonlyArray<string>
): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() =>
    names.every((name) => self.mapped.files?.databases.has(name))
      ? Effect.void
      : self.lock.alone(createMissing(self, names))
  )

// ---------------------------------------------------------------------------
// the engine
// ---------------------------------------------------------------------------

const backup = (self: LmdbEnvironment, target: string, compact: boolean): Effect.Effect<void, EngineFailure> =>
  openedFiles(self, "backup").pipe(
    Effect.flatMap(({ root }) => {
      // The library copies the open file. An encrypted file is copied by its path, which must still lead to that file.
      const refused = self.options.encryptionKey === undefined ? undefined : self.identity.refusal("backup")
      return refused === undefined
        ? copyTo(root, self.file, target, { ...self.options, compact })
        : Effect.fail(refused)
    }),
    Effect.provide(FilePlatform.layer),
    Effect.uninterruptible
  )

const toEnvironment = (self: LmdbEnvironment): Environment => ({
  maxKeyBytes,
  maxValueBytes: maxValueBytes(self.options.compression),
  databases: () => [...(self.mapped.files?.databases.keys() ?? [])],
  openDatabase: (name) => openExisting(self, name),
  createDatabases: (names) => createDatabases(self, names),
  get: (name, key, decode) => visible(self).get(name, key, decode),
  getMany: (name, keys, decode) => visible(self).getMany(name, keys, decode),
  has: (name, key) => visible(self).has(name, key),
  read: (name, request) => visible(self).read(name, request),
  count: (name) => {
    self.countedNames.add(name)
    return visible(self).count(name)
  },
  snapshot: () => openSnapshot(self),
  transactionId: () => lastTransactionOf(self),
  commit: (plan) => commit(self, plan),
  resize: (newMapSize, { useReserve }) => resize(self, newMapSize, useReserve),
  mustResize: () => mustResize(self),
  stats: () => stats(self),
  backup: (target, { compact }) => backup(self, target, compact)
})

const open = Effect.fnUntraced(function*(
  options: EngineOptions
): Effect.fn.Return<Environment, OpenFailed, Scope.Scope | Path.Path | FileSystem.FileSystem> {
  const { file, lock, prepare, storeLock } = yield* checkAndLock(options)
  const path = yield* Path.Path
  const mapped: MappedFile = { mapSize: options.mapSize, files: undefined }
  yield* Effect.addFinalizer(() => closeMapped(mapped))
  yield* lock.opening(Effect.flatMap(prepare, (pages) => openMapped(mapped, options, pages))).pipe(
    Effect.mapError((error) => error._tag === "EngineFailure" ? refuse(options)(error) : error)
  )
  const self: LmdbEnvironment = {
    options,
    file,
    lock,
    identity: FileIdentity.make(file, FileCheck.lockFileOf(path, file, options.subdirectory), storeLock),
    mapped,
    present: readPresent(() => mapped.files ?? noFiles, (operation, read) => run(self, operation, read)),
    countedNames: new Set(),
    openSnapshots: 0,
    beforeCommit: undefined,
    lastTransaction: figure(mapped.files?.root.getStats() ?? {}, "lastTxnId"),
    isCommitting: false
  }
  return toEnvironment(self)
})

/** Provides the LMDB engine. All stores share it, because it must know all files that this process has open. */
export const layer: Layer.Layer<Engine> = Layer.succeed(
  Engine,
  Engine.of({ fileName, open: (options) => Effect.provide(open(options), FilePlatform.layer) })
)
