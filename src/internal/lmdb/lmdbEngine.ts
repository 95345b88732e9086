/**
 * The engine on LMDB, through the package `lmdb`.
 *
 * Only this folder touches the native library. What the library does
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
 * - It opens databases in write transactions on the main thread. Those that exist are
 *   opened in read transactions here (`lmdbOpening.ts`), and new ones are made in a
 *   transaction that waits for other processes outside the main thread.
 * - The error behind "Commit failed" is the rejection of a second promise, which
 *   ends the process when nobody listens to it.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { ABORT, type Database, openAsClass, type RootDatabase } from "lmdb"
import { Buffer } from "node:buffer"
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
import type { ByteString } from "../../Key.ts"
import { type EngineFailure, OpenFailed } from "../../StoreError.ts"
import { metaDatabase } from "../databases.ts"
import * as AddressSpace from "./addressSpace.ts"
import * as FileCheck from "./file/fileCheck.ts"
import * as FileIdentity from "./file/fileIdentity.ts"
import { lockFile } from "./file/fileOpening.ts"
import { maxReaders } from "./file/lockFile.ts"
import { maxKeyBytes, maxValueBytes } from "./file/pageLayout.ts"
import { copyTo, fileName } from "./lmdbBackup.ts"
import { formatKey, formatVersion } from "./lmdbBatch.ts"
import { dictionaryOf, loadsDictionary } from "./lmdbDictionary.ts"
import { failure, refuse, revealCommitError } from "./lmdbErrors.ts"
import { isDatabaseClass, openRoot } from "./lmdbOpening.ts"
import { countPresent, readIn, readPresent, share, type SharedReader } from "./lmdbReader.ts"
import { type Decide, decideBy, type Outcome, transact, type WritableFiles } from "./lmdbTransaction.ts"
import { mapSizeFor, mapSizeOf, openedMapSizeFor, pageSize } from "./mapSize.ts"
import { figure, pagesOf, usedBytesOf } from "./pageCount.ts"

/** Enough for the named databases of hundreds of collections. */
const maxDatabases = 1024

/** The declaration of the library leaves this option out. */
const permissions = ({ fileMode }: EngineOptions) => ({ permissionsMode: fileMode })

// ---------------------------------------------------------------------------
// the open files
// ---------------------------------------------------------------------------

/** Up to here the bytes of a key are written one by one, which is faster than a call of the platform. */
const shortKey = 32

const writeBytes = (key: ByteString, target: Buffer, start: number): number => {
  for (let index = 0; index < key.length; index++) target[start + index] = key.charCodeAt(index)
  return start + key.length
}

const keyEncoder = {
  writeKey: (key: ByteString, target: Buffer, start: number): number =>
    key.length <= shortKey ? writeBytes(key, target, start) : start + target.write(key, start, "latin1"),
  readKey: (source: Buffer, start: number, end: number): string => source.toString("latin1", start, end)
}

type Records = Database<Uint8Array, ByteString>

interface Files extends Omit<WritableFiles, "databases" | "meta"> {
  readonly root: RootDatabase
  /** All that there are; one more makes another map, since none can be read in a transaction that is older. */
  readonly databases: ReadonlyMap<string, Records>
  /** `undefined` on a read-only file that was never written to. */
  readonly meta: Records | undefined
  /** The dictionary of values that are compressed. */
  readonly dictionary: Uint8Array
}

/** What is read from while no files are open. */
const noFiles: Pick<Files, "databases" | "dictionary"> = { databases: new Map(), dictionary: new Uint8Array(0) }

const isWritable = (files: Files): files is Files & { readonly meta: Records } => files.meta !== undefined

/**
 * The names of the databases of a file, which are the keys of its unnamed one, with a zero byte
 * behind them. There is no key before the first.
 */
const namesIn = (root: RootDatabase): ReadonlyArray<string> =>
  Array.from(root.getKeys({ start: "\0" }), (name) => Buffer.from(String(name).slice(0, -1), "latin1").toString())

/**
 * Opens a database; `undefined` where there is none. Inside of a write transaction it can be created. The declaration
 * hides that one that is missing is `undefined`.
 */
const openDatabase = (root: RootDatabase, name: string, create: boolean): Records | undefined => {
  const options = { name, encoding: "binary" as const, keyEncoder, create }
  return root.openDB(name === metaDatabase ? { ...options, compression: loadsDictionary } : options)
}

/**
 * Opens what the file says of itself, and refuses a file that says nothing although there is something in it. The
 * version of the layout is written into a file without databases. Nobody else writes to such a file: every process
 * that has opened it has made some.
 */
const openMeta = (root: RootDatabase, { path, readOnly }: EngineOptions): Records | undefined => {
  const found = openDatabase(root, metaDatabase, false)
  const [version] = found?.getBinary(formatKey) ?? []
  if (version === formatVersion[0]) return found
  const refuseFormat = (detail: string) => new OpenFailed({ reason: { _tag: "UnsupportedFormat", detail }, path })
  if (version !== undefined) {
    throw refuseFormat(`its format is version ${version}, this package knows version ${formatVersion[0]}`)
  }
  const count = found === undefined ? 0 : figure(found.getStats(), "entryCount")
  if (count > 0 || namesIn(root).some((name) => name !== metaDatabase)) throw refuseFormat(FileCheck.foreignFile)
  if (readOnly) return found
  return root.transactionSync(() => {
    const meta = openDatabase(root, metaDatabase, true)
    void meta?.put(formatKey, formatVersion)
    return meta
  })
}

const openFiles = (options: EngineOptions, wantedMapSize: number, mapSize = wantedMapSize): Files => {
  const settings = {
    path: options.path,
    noSubdir: !options.subdirectory,
    readOnly: options.readOnly,
    mapSize,
    maxDbs: maxDatabases,
    maxReaders,
    ...permissions(options),
    noSync: options.durability === "noSync",
    overlappingSync: false,
    // The library would begin each transaction with a promise of its own that nobody can listen to.
    eventTurnBatching: false,
    keyEncoder,
    compression: options.compression,
    ...(options.readOnly ? {} : { pageSize }),
    ...(options.encryptionKey === undefined ? {} : { encryptionKey: Redacted.value(options.encryptionKey) })
  }
  const databaseClass: unknown = openAsClass(settings)
  if (!isDatabaseClass<RootDatabase>(databaseClass)) throw new Error("the library makes no class of databases")
  const root = openRoot(databaseClass, settings)
  try {
    const meta = openMeta(root, options)
    const databases = new Map<string, Records>()
    // All of them: one that is opened later cannot be read in a transaction that is older.
    for (const name of namesIn(root)) {
      const database = name === metaDatabase ? undefined : openDatabase(root, name, false)
      if (database !== undefined) databases.set(name, database)
    }
    const figures = root.getStats()
    const nativeMapSize = figure(figures, "mapSize")
    const fileEnd = pagesOf(figures) * pageSize
    return {
      root,
      databases,
      meta,
      dictionary: dictionaryOf(meta),
      wantedMapSize,
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
// the engine
// ---------------------------------------------------------------------------

/** Fails where a map cannot have the size that it is opened with. */
const checkMapSize = (mapSize: number, options: EngineOptions): Effect.Effect<void, OpenFailed> =>
  Effect.suspend(() => {
    const { path } = options
    const unmappable = AddressSpace.refusal(mapSize)
    if (unmappable === undefined) return Effect.void
    return Effect.fail(
      mapSize === options.mapSize
        ? new OpenFailed({ reason: { _tag: "BadOption", option: "mapSize", detail: unmappable }, path })
        : new OpenFailed({ reason: { _tag: "Engine", detail: `${unmappable}, and the file is that long` }, path })
    )
  })

const platform = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer)

const open = Effect.fnUntraced(function*(options: EngineOptions) {
  const { file, lock, prepare, storeLock } = yield* lockFile(options)
  let mapSize = options.mapSize
  let files: Files | undefined
  let openSnapshots = 0

  const closeFiles = Effect.suspend(() => {
    if (files === undefined) return Effect.void
    const { root } = files
    files = undefined
    return Effect.ignore(Effect.tryPromise(() => root.close()))
  })
  yield* Effect.addFinalizer(() => closeFiles)
  const openFirst = Effect.fnUntraced(function*(pages: number) {
    mapSize = mapSizeOf(pages, options)
    yield* checkMapSize(mapSize, options)
    yield* Effect.try({
      try: () => {
        files = openFiles(options, mapSizeFor(mapSize, false))
      },
      catch: refuse(options)
    })
  })
  yield* lock.opening(Effect.flatMap(prepare, openFirst)).pipe(
    Effect.mapError((error) => error._tag === "EngineFailure" ? refuse(options)(error) : error)
  )
  const path = yield* Path.Path
  const identity = FileIdentity.of(file, FileCheck.lockFileOf(path, file, options.subdirectory), storeLock)

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

  const read = <A>(operation: string, call: () => A): Result.Result<A, EngineFailure> => run(operation, () => call())

  const present = readPresent(() => files ?? noFiles, read)

  /** The databases whose records were counted before: they will be again. */
  const counted = new Set<string>()

  const openReader = ({ databases, dictionary, root }: Files): SharedReader => {
    const transaction = root.useReadTransaction()
    const counts = new Map(Array.from(counted, (name) => [name, countPresent(databases.get(name))]))
    return share(transaction, readIn({ databases, dictionary }, transaction, read, counts))
  }

  /** What is read while a commit runs, as the engine shows a transaction some time before its end is heard of here. */
  let before: SharedReader | undefined
  const view = (): Reader => before?.reader ?? present

  const commit = (opened: Files, plan: Plan): Effect.Effect<Outcome, EngineFailure> =>
    Effect.suspend(() => {
      let batch: Batch | undefined
      const decide: Decide = (transactionId) => {
        const refused = identity.refusal("commit")
        if (refused !== undefined) throw refused
        batch = decideBy(plan, present, transactionId)
        return batch
      }
      /** From here on the batch is read, and what was read before it is no longer held. */
      const end = (outcome: Outcome): Outcome => {
        before?.release()
        before = undefined
        if (typeof outcome === "number") batch?.onWritten?.()
        return outcome
      }
      return Effect.tryPromise({
        try: () => {
          // Processes that died while they read would keep the file from using its pages again.
          opened.root.readerCheck()
          // Without a slot for a reader there is none: a commit is worth more than what is read beside it.
          before = Result.getOrUndefined(run("snapshot", openReader))
          if (!isWritable(opened)) throw new Error("the database is read-only")
          return transact(opened, { mapSize, file, abort: ABORT }, decide).then(end)
        },
        catch: (cause) => {
          end(undefined)
          return failure("commit")(cause)
        }
      })
    })

  /** Says why the files cannot be opened again with another size: before they are closed, so that they can still be read. */
  const refusalToResize = (size: number): EngineFailure | undefined => {
    const given = files === undefined ? 0 : figure(files.root.getStats(), "mapSize")
    const unmappable = AddressSpace.refusal(size, given)
    if (unmappable === undefined) return identity.refusalToReopen("resize")
    return AddressSpace.failure("resize", unmappable)
  }
  const openExisting = (name: string) =>
    run("open a database", (opened) => {
      if (opened.databases.has(name)) return
      const database = openDatabase(opened.root, name, false)
      if (database !== undefined) files = { ...opened, databases: new Map(opened.databases).set(name, database) }
    })

  /** Makes databases in one transaction. */
  const makeDatabases = ({ databases, meta, root }: Files, names: ReadonlyArray<string>) =>
    Effect.tryPromise({
      try: () => {
        const all = new Map(databases)
        return meta?.childTransaction(() => {
          for (const name of names) {
            const made = openDatabase(root, name, true)
            if (made !== undefined) all.set(name, made)
          }
        }).catch(revealCommitError).then(() => {
          if (files?.root === root) files = { ...files, databases: all }
        }) ?? Promise.resolve()
      },
      catch: failure("create a database")
    })

  const createDatabases = Effect.fnUntraced(function*(names: ReadonlyArray<string>) {
    for (const name of names) yield* Effect.fromResult(openExisting(name))
    const opened = yield* Effect.fromResult(run("create a database", (found) => found))
    const missing = names.filter((name) => !opened.databases.has(name))
    if (missing.length > 0 && !options.readOnly) yield* Effect.uninterruptible(makeDatabases(opened, missing))
  })

  const environment: Environment = {
    maxKeyBytes,
    maxValueBytes: maxValueBytes(options.compression),
    databases: () => files === undefined ? [] : [...files.databases.keys()],
    openDatabase: openExisting,
    createDatabases: (names) =>
      Effect.suspend((): Effect.Effect<void, EngineFailure> =>
        names.every((name) => files?.databases.has(name)) ? Effect.void : lock.alone(createDatabases(names))
      ),
    get: (name, key) => view().get(name, key),
    has: (name, key) => view().has(name, key),
    read: (name, request) => view().read(name, request),
    count: (name) => {
      counted.add(name)
      return view().count(name)
    },
    snapshot: () =>
      run("snapshot", (opened): Snapshot => {
        const shared = before ?? openReader(opened)
        if (before !== undefined) shared.share()
        openSnapshots++
        return {
          ...shared.reader,
          release: () => {
            openSnapshots--
            shared.release()
          }
        }
      }),
    commit: (plan) =>
      Effect.suspend(() => Effect.fromResult(run("commit", (opened) => opened))).pipe(
        Effect.flatMap((opened): Effect.Effect<Outcome, EngineFailure> =>
          mustResize()
            ? Effect.succeed(new EngineFull({ mapSize, needed: mapSize }))
            : lock.committing(commit(opened, plan))
        ),
        Effect.flatMap((outcome) => outcome instanceof EngineFull ? Effect.fail(outcome) : Effect.succeed(outcome)),
        Effect.uninterruptible
      ),
    resize: (newMapSize, { useReserve }) =>
      Effect.uninterruptible(Effect.suspend(() => {
        const wantedMapSize = mapSizeFor(newMapSize, useReserve)
        const isPinned = files !== undefined && openSnapshots > 0
        const refused = isPinned ? undefined : refusalToResize(newMapSize)
        if (refused !== undefined) return Effect.fail(refused)
        mapSize = newMapSize
        if (files !== undefined && openSnapshots > 0) {
          files = { ...files, wantedMapSize, isPinned: true }
          return Effect.void
        }
        const reopen = Effect.andThen(
          closeFiles,
          Effect.try({
            try: () => {
              // Others ran while the files were closed.
              const refusedAgain = refusalToResize(newMapSize)
              if (refusedAgain !== undefined) throw refusedAgain
              files = openFiles(
                options,
                wantedMapSize,
                openedMapSizeFor(newMapSize, useReserve, statSync(file).size)
              )
            },
            catch: failure("resize")
          })
        )
        return lock.alone(reopen)
      })),
    mustResize,
    stats: () =>
      run("stats", ({ databases, meta, root }): EngineStats => {
        const trees = [...databases.values(), ...(meta === undefined ? [] : [meta])].map((tree) => tree.getStats())
        const figures = trees.at(-1) ?? root.getStats()
        return {
          mapSize,
          usedBytes: usedBytesOf(figures, trees),
          fileBytes: statSync(file).size,
          pageSize,
          readers: figure(figures, "numReaders")
        }
      }),
    backup: (target, { compact }) =>
      Effect.suspend(() => Effect.fromResult(run("backup", (opened) => opened))).pipe(
        Effect.flatMap(({ root }) => {
          // The library copies what it has open, this package what is at the path.
          const refused = options.encryptionKey === undefined ? undefined : identity.refusal("backup")
          return refused === undefined ? copyTo(root, file, target, { ...options, compact }) : Effect.fail(refused)
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
