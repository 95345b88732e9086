/**
 * Opens a database file with the library, with all databases in it, and checks the version of its
 * format.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { type Database, openAsClass, type RootDatabase } from "lmdb"
import { Buffer } from "node:buffer"
import type { EngineOptions } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { OpenFailed } from "../../StoreError.ts"
import { metaDatabase } from "../databases.ts"
import * as AddressSpace from "./addressSpace.ts"
import * as FileCheck from "./file/fileCheck.ts"
import { maxReaders } from "./file/lockFile.ts"
import { formatKey, formatVersion } from "./lmdbBatch.ts"
import { dictionaryOf, loadsDictionary } from "./lmdbDictionary.ts"
import { isDatabaseClass, openRoot } from "./lmdbOpening.ts"
import type { WritableFiles } from "./lmdbTransaction.ts"
import { pageSize } from "./mapSize.ts"
import { figure, pagesOf } from "./pageCount.ts"

/** The most named databases of a file, which suffice for hundreds of collections and namespaces. */
const maxDatabases = 1024

/** The library's option for the mode of new files, which its declaration lacks. */
const permissions = ({ fileMode }: EngineOptions) => ({ permissionsMode: fileMode })

/** The bytes of a key of up to 32 bytes are written one by one, which is faster than `Buffer.write`. */
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

/** A named database of a file. */
export type Records = Database<Uint8Array, ByteString>

/** An open database file. */
export interface Files extends Omit<WritableFiles, "databases" | "meta"> {
  readonly root: RootDatabase
  /** All databases of the file. A new database makes a new map: an older read transaction cannot read it. */
  readonly databases: ReadonlyMap<string, Records>
  /** The database `meta`; `undefined` in a read-only file to which no store has written. */
  readonly meta: Records | undefined
  /** The dictionary of compressed values. */
  readonly dictionary: Uint8Array
}

/** Whether a file can be written to. */
export const isWritable = (files: Files): files is Files & { readonly meta: Records } => files.meta !== undefined

/**
 * Reads the names of the databases of a file. They are the keys of its unnamed database, each with a
 * zero byte at its end.
 */
const namesIn = (root: RootDatabase): ReadonlyArray<string> =>
  Array.from(root.getKeys({ start: "\0" }), (name) => Buffer.from(String(name).slice(0, -1), "latin1").toString())

/**
 * Opens a database; returns `undefined` if there is none, which the library's declaration does not say. With `create`,
 * which needs a write transaction, a missing database is created.
 */
export const openDatabase = (root: RootDatabase, name: string, create: boolean): Records | undefined => {
  const options = { name, encoding: "binary" as const, keyEncoder, create }
  return root.openDB(name === metaDatabase ? { ...options, compression: loadsDictionary } : options)
}

/**
 * Opens the databases that other processes have created since the file was opened; gives the same files where there are
 * none, at the cost of a comparison. Not for use in a write transaction. A read transaction that began before cannot read them.
 */
export const openFound = (files: Files): Files => {
  const { databases, meta, root } = files
  const known = databases.size + (meta === undefined ? 0 : 1)
  if (figure(root.getStats(), "entryCount") === known) return files
  const all = new Map(databases)
  for (const name of namesIn(root)) {
    const found = name === metaDatabase || all.has(name) ? undefined : openDatabase(root, name, false)
    if (found !== undefined) all.set(name, found)
  }
  return { ...files, databases: all }
}

/**
 * Opens the database `meta` and checks the version of the format. Refuses a file that has databases but no version,
 * because another program made it. Writes the version into a file without databases. No other process writes to such
 * a file: a process that has opened a file has created databases in it.
 */
const openMeta = (root: RootDatabase, { path, readOnly }: EngineOptions): Records | undefined => {
  const found = openDatabase(root, metaDatabase, false)
  const [version] = found?.getBinary(formatKey) ?? []
  if (version === formatVersion[0]) return found
  const refuseFormat = (detail: string) => new OpenFailed({ reason: { _tag: "UnsupportedFormat", detail }, path })
  if (version !== undefined) {
    throw refuseFormat(`its format is version ${version}, and this package supports version ${formatVersion[0]}`)
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

/** Fails if this process cannot have a map of the size with which a file would be opened. */
export const checkMapSize = (mapSize: number, options: EngineOptions): Effect.Effect<void, OpenFailed> =>
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

/** The options of the library for opening a file. */
const settingsFor = (options: EngineOptions, mapSize: number) => ({
  path: options.path,
  noSubdir: !options.subdirectory,
  readOnly: options.readOnly,
  mapSize,
  maxDbs: maxDatabases,
  maxReaders,
  ...permissions(options),
  noSync: options.durability === "noSync",
  // The meta page of a commit reaches the disk with the pages of the next one. Only then may LMDB reuse the pages that
  // the commit has freed, so the state before it stays complete.
  noMetaSync: options.durability === "relaxed",
  overlappingSync: false,
  // With batching, the library makes a promise for each event turn, whose rejection no caller can handle.
  eventTurnBatching: false,
  keyEncoder,
  compression: options.compression,
  ...(options.readOnly ? {} : { pageSize }),
  ...(options.encryptionKey === undefined ? {} : { encryptionKey: Redacted.value(options.encryptionKey) })
})

/**
 * Opens a file. The native map should keep to `wantedMapSize`; it is opened with `mapSize` if that differs. Throws errors
 * of the library.
 */
export const openFiles = (options: EngineOptions, wantedMapSize: number, mapSize = wantedMapSize): Files => {
  const settings = settingsFor(options, mapSize)
  const databaseClass: unknown = openAsClass(settings)
  if (!isDatabaseClass<RootDatabase>(databaseClass)) throw new Error("the library did not return a class of databases")
  const root = openRoot(databaseClass, settings)
  try {
    const meta = openMeta(root, options)
    const databases = new Map<string, Records>()
    // Opens all databases, because a read transaction cannot read a database that is opened after it began.
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
