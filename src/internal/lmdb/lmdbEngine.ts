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
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import { ABORT } from "lmdb"
import { statSync } from "node:fs"
import {
  type Batch,
  Engine,
  EngineFull,
  type EngineOptions,
  type EngineStats,
  type Environment,
  type Plan,
  type Reader,
  type Snapshot
} from "../../Engine.ts"
import type { EngineFailure, OpenFailed } from "../../StoreError.ts"
import * as AddressSpace from "./addressSpace.ts"
import * as FileCheck from "./file/fileCheck.ts"
import * as FileIdentity from "./file/fileIdentity.ts"
import { checkAndLock } from "./file/fileOpening.ts"
import { maxKeyBytes, maxValueBytes } from "./file/pageLayout.ts"
import { copyTo, fileName } from "./lmdbBackup.ts"
import { createDatabases, findDatabases, hasOtherWriters, openExisting } from "./lmdbDatabases.ts"
import { type LmdbEnvironment, type MappedFile, openedFiles, run } from "./lmdbEnvironment.ts"
import { failure, refuse } from "./lmdbErrors.ts"
import { checkMapSize, type Files, isWritable, noFiles, openFiles } from "./lmdbFiles.ts"
import { countPresent, readIn, readPresent, share, type SharedReader } from "./lmdbReader.ts"
import { type Decide, decideBy, type Outcome, transact } from "./lmdbTransaction.ts"
import { mapSizeFor, mapSizeOf, openedMapSizeFor, pageSize } from "./mapSize.ts"
import { figure, usedBytesOf } from "./pageCount.ts"

// ---------------------------------------------------------------------------
// opening and closing
// ---------------------------------------------------------------------------

/** Opens the file of a store, which has `pages` pages. */
const openMapped = Effect.fnUntraced(function*(self: MappedFile, options: EngineOptions, pages: number) {
  self.mapSize = mapSizeOf(pages, options)
  yield* checkMapSize(self.mapSize, options)
  yield* Effect.try({
    try: () => {
      self.files = openFiles(options, mapSizeFor(self.mapSize, false))
    },
    catch: refuse(options)
  })
})

const closeMapped = (self: MappedFile): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (self.files === undefined) return Effect.void
    const { root } = self.files
    self.files = undefined
    return Effect.ignore(Effect.tryPromise(() => root.close()))
  })

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** Opens a read transaction, for all databases that it shows. */
const openReader = (self: LmdbEnvironment, files: Files): SharedReader => {
  const { databases, dictionary, root } = findDatabases(self, files)
  const transaction = root.useReadTransaction()
  const counts = new Map(Array.from(self.countedNames, (name) => [name, countPresent(databases.get(name))]))
  const call = <A>(operation: string, read: () => A) => run(self, operation, read)
  return share(transaction, readIn({ databases, dictionary }, transaction, call, counts))
}

/** The state that callers outside a commit may see. */
const visible = (self: LmdbEnvironment): Reader => self.beforeCommit?.reader ?? self.present

/** The same for a read of one database, which another process may have created. */
const visibleWith = (self: LmdbEnvironment, name: string): Reader => {
  const { files } = self.mapped
  if (files !== undefined && !files.databases.has(name)) run(self, "open a database", () => findDatabases(self, files))
  return visible(self)
}

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
// commits
// ---------------------------------------------------------------------------

/** Whether the map grew while snapshots were open, and can be resized now that they are released. */
const mustResize = ({ mapped: { files }, openSnapshots }: LmdbEnvironment): boolean =>
  files !== undefined && files.isPinned && !files.isShared && openSnapshots === 0

/** Shows readers the result of a commit from now on. */
const endCommit = (self: LmdbEnvironment): void => {
  self.beforeCommit?.release()
  self.beforeCommit = undefined
  self.isCommitting = false
}

/** Runs a plan in a write transaction, and commits the batch that it returns. */
const commitPlan = (self: LmdbEnvironment, files: Files, plan: Plan): Effect.Effect<Outcome, EngineFailure> =>
  Effect.suspend(() => {
    const { file, identity, mapped: { mapSize }, present } = self
    let batch: Batch | undefined
    const decide: Decide = (transactionId) => {
      const refused = identity.refusal("commit")
      if (refused !== undefined) throw refused
      batch = decideBy(plan, present, transactionId)
      return batch
    }
    const end = (outcome: Outcome): Outcome => {
      endCommit(self)
      if (typeof outcome === "number") {
        self.lastTransaction = outcome
        batch?.onWritten?.()
      }
      return outcome
    }
    return Effect.tryPromise({
      try: () => {
        // Frees the slots of processes that died while they read. Their slots would keep LMDB from reusing pages.
        files.root.readerCheck()
        // If the reader table is full, the commit runs without this reader: writing matters more than reads meanwhile.
        const reader = run(self, "snapshot", () => openReader(self, files))
        self.isCommitting = true
        self.beforeCommit = Exit.isSuccess(reader) ? reader.value : undefined
        if (!isWritable(files)) throw new Error("the database is read-only")
        return transact(files, { mapSize, file, abort: ABORT }, decide).then(end)
      },
      catch: (cause) => {
        endCommit(self)
        return failure("commit")(cause)
      }
    })
  })

const commit = (self: LmdbEnvironment, plan: Plan): Effect.Effect<number | undefined, EngineFull | EngineFailure> =>
  openedFiles(self, "commit").pipe(
    Effect.flatMap((files): Effect.Effect<Outcome, EngineFailure> => {
      const { mapSize } = self.mapped
      return mustResize(self)
        ? Effect.succeed(new EngineFull({ mapSize, needed: mapSize }))
        : self.lock.committing(commitPlan(self, files, plan))
    }),
    Effect.flatMap((outcome) => outcome instanceof EngineFull ? Effect.fail(outcome) : Effect.succeed(outcome)),
    Effect.uninterruptible
  )

// ---------------------------------------------------------------------------
// resizing
// ---------------------------------------------------------------------------

/** Says why the file cannot be reopened with another size. Ask before closing it, so that it can still be read. */
const refusalToResize = ({ identity, mapped: { files } }: LmdbEnvironment, size: number): EngineFailure | undefined => {
  const unmappable = files === undefined
    ? AddressSpace.refusalAfterClosing(size)
    : AddressSpace.refusal(size, figure(files.root.getStats(), "mapSize"))
  if (unmappable === undefined) return identity.refusalToReopen("resize")
  return AddressSpace.failure("resize", unmappable)
}

/** Closes the file, and opens it with another size. */
const reopen = (self: LmdbEnvironment, newMapSize: number, useReserve: boolean): Effect.Effect<void, EngineFailure> =>
  Effect.andThen(
    closeMapped(self.mapped),
    Effect.try({
      try: () => {
        // Other fibers ran while the file was being closed.
        const refused = refusalToResize(self, newMapSize)
        if (refused !== undefined) throw refused
        self.mapped.files = openFiles(
          self.options,
          mapSizeFor(newMapSize, useReserve),
          openedMapSizeFor(newMapSize, useReserve, statSync(self.file).size)
        )
      },
      catch: failure("resize")
    })
  )

/** Changes the limit of the file. The file cannot be closed while snapshots are open; then only the limit changes. */
const resize = (self: LmdbEnvironment, newMapSize: number, useReserve: boolean): Effect.Effect<void, EngineFailure> =>
  Effect.uninterruptible(Effect.suspend(() => {
    const { lock, mapped, openSnapshots } = self
    const pinned = openSnapshots > 0 ? mapped.files : undefined
    const refused = pinned === undefined ? refusalToResize(self, newMapSize) : undefined
    if (refused !== undefined) return Effect.fail(refused)
    mapped.mapSize = newMapSize
    if (pinned === undefined) return lock.alone(reopen(self, newMapSize, useReserve))
    mapped.files = { ...pinned, wantedMapSize: mapSizeFor(newMapSize, useReserve), isPinned: true }
    return Effect.void
  }))

// ---------------------------------------------------------------------------
// the engine
// ---------------------------------------------------------------------------

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer)

const backup = (self: LmdbEnvironment, target: string, compact: boolean): Effect.Effect<void, EngineFailure> =>
  openedFiles(self, "backup").pipe(
    Effect.flatMap(({ root }) => {
      // The library copies the open file. An encrypted file is copied by its path, which must still lead to that file.
      const refused = self.options.encryptionKey === undefined ? undefined : self.identity.refusal("backup")
      return refused === undefined
        ? copyTo(root, self.file, target, { ...self.options, compact })
        : Effect.fail(refused)
    }),
    Effect.provide(platform),
    Effect.uninterruptible
  )

const environmentOf = (self: LmdbEnvironment, see: (database: string) => Reader): Environment => ({
  maxKeyBytes,
  maxValueBytes: maxValueBytes(self.options.compression),
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
  return environmentOf(
    self,
    hasOtherWriters(self) ? (database) => visibleWith(self, database) : () => visible(self)
  )
})

/** Provides the LMDB engine. All stores share it, because it must know all files that this process has open. */
export const layer: Layer.Layer<Engine> = Layer.succeed(
  Engine,
  Engine.of({ fileName, open: (options) => Effect.provide(open(options), platform) })
)
