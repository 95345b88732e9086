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
import { Engine, type EngineOptions, type EngineStats, type Environment, type Reader } from "../../Engine.ts"
import type { EngineFailure, OpenFailed } from "../../StoreError.ts"
import * as FilePlatform from "../filePlatform.ts"
import * as CloseRecord from "./file/closeRecord.ts"
import * as FileCheck from "./file/fileCheck.ts"
import * as FileIdentity from "./file/fileIdentity.ts"
import { checkAndLock } from "./file/fileOpening.ts"
import { maxKeyBytes, maxValueBytes } from "./file/pageLayout.ts"
import { copyTo, fileName } from "./lmdbBackup.ts"
import { commit } from "./lmdbCommit.ts"
import { createDatabases, hasOtherWriters, openExisting } from "./lmdbDatabases.ts"
import {
  closeMapped,
  filesOf,
  type LmdbEnvironment,
  type MappedFile,
  openedFiles,
  openMapped,
  run
} from "./lmdbEnvironment.ts"
import { refuse } from "./lmdbErrors.ts"
import { readPresent } from "./lmdbReader.ts"
import * as LmdbReaders from "./lmdbReaders.ts"
import { mustResize, resize } from "./lmdbResize.ts"
import { lastTransactionOf, openSnapshot, visible, visibleWith } from "./lmdbSnapshots.ts"
import { pageSize } from "./mapSize.ts"
import { bytesOf, figure, usedBytesOf } from "./pageCount.ts"

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

const databaseBytes = (self: LmdbEnvironment): Exit.Exit<ReadonlyMap<string, number>, EngineFailure> =>
  run(
    self,
    "stats",
    ({ databases }) => new Map(Array.from(databases, ([name, tree]) => [name, bytesOf(tree.getStats())]))
  )

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

const environmentOf = (self: LmdbEnvironment, see: (database: string) => Reader): Environment => ({
  maxKeyBytes,
  maxValueBytes: maxValueBytes(self.options.compression),
  opening: self.lock.opened,
  databases: () => [...(self.mapped.files?.databases.keys() ?? [])],
  openDatabase: (name) => openExisting(self, name),
  createDatabases: (names) => createDatabases(self, names),
  get: (name, key, decode) => see(name).get(name, key, decode),
  getMany: (name, keys, decode) => see(name).getMany(name, keys, decode),
  has: (name, key) => see(name).has(name, key),
  read: (name, request) => see(name).read(name, request),
  count: (name) => {
    self.countedNames.add(name)
    return see(name).count(name)
  },
  snapshot: () => openSnapshot(self),
  transactionId: () => lastTransactionOf(self),
  commit: (plan) => commit(self, plan),
  resize: (newMapSize, { useReserve }) => resize(self, newMapSize, useReserve),
  mustResize: () => mustResize(self),
  stats: () => stats(self),
  databaseBytes: () => databaseBytes(self),
  readers: { list: () => LmdbReaders.list(self), clear: () => LmdbReaders.clear(self) },
  backup: (target, { compact }) => backup(self, target, compact)
})

/** Completes the close of a file that LMDB has closed. */
const recordClose = ({ closeRecord, identity, lock, options }: LmdbEnvironment): Effect.Effect<void> => {
  const write = CloseRecord.write(closeRecord, identity, lock.isLastWriter)
  if (options.durability !== "relaxed" || options.readOnly) return write
  return Effect.matchCauseEffect(CloseRecord.sync(closeRecord), {
    onFailure: (cause) =>
      Effect.logError(
        `The store at ${options.path} closed, and a crash of the machine may undo its last commit`,
        cause
      ),
    onSuccess: () => write
  })
}

const open = Effect.fnUntraced(function*(
  options: EngineOptions
): Effect.fn.Return<Environment, OpenFailed, Scope.Scope | Path.Path | FileSystem.FileSystem> {
  const { file, lock, prepare, storeLock } = yield* checkAndLock(options)
  const path = yield* Path.Path
  const mapped: MappedFile = { mapSize: options.mapSize, files: undefined }
  let opened: LmdbEnvironment | undefined
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(
      closeMapped(mapped),
      (isClosed) => isClosed && opened !== undefined ? recordClose(opened) : Effect.void
    )
  )
  const { closeRecord } = yield* lock.opening(
    Effect.tap(prepare, ({ pages }) => openMapped(mapped, options, pages))
  ).pipe(
    Effect.mapError((error) => error._tag === "EngineFailure" ? refuse(options)(error) : error)
  )
  const self: LmdbEnvironment = {
    options,
    file,
    lock,
    identity: FileIdentity.make(file, FileCheck.lockFileOf(path, file, options.subdirectory), storeLock),
    closeRecord,
    mapped,
    present: readPresent(() => filesOf(mapped), (operation, read) => run(self, operation, read)),
    countedNames: new Set(),
    openSnapshots: 0,
    beforeCommit: undefined,
    lastTransaction: figure(mapped.files?.root.getStats() ?? {}, "lastTxnId"),
    isCommitting: false
  }
  opened = self
  return environmentOf(
    self,
    hasOtherWriters(self) ? (database) => visibleWith(self, database) : () => visible(self)
  )
})

/** Provides the LMDB engine. All stores share it, because it must know all files that this process has open. */
export const layer: Layer.Layer<Engine> = Layer.succeed(
  Engine,
  Engine.of({ fileName, open: (options) => Effect.provide(open(options), FilePlatform.layer) })
)
