/**
 * Reads the records of a file that another program has written with lmdb-js.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as Scope from "effect/Scope"
import { type Database, type Key, open, type RootDatabase } from "lmdb"
import { toBytes } from "../../Key.ts"
import type { EngineFailure, OpenFailed } from "../../StoreError.ts"
import type { ImportedEntry, ImportOptions } from "../../StoreTransfer.ts"
import { metaDatabase } from "../databases.ts"
import { openFailed, statOption } from "./file/fileAccess.ts"
import * as FileCheck from "./file/fileCheck.ts"
import { fileName } from "./lmdbBackup.ts"
import { formatKey, formatVersion } from "./lmdbBatch.ts"
import { failure } from "./lmdbErrors.ts"

type Settings = Omit<ImportOptions<never, never>, "from" | "write" | "batchSize">

/** Finds the file of a database. A program may give its folder. */
const fileOf = Effect.fnUntraced(function*(from: string) {
  const path = yield* Path.Path
  const info = yield* statOption(from)
  return Option.exists(info, (stats) => stats.isDirectory())
    ? { file: path.join(from, fileName), isFolder: true }
    : { file: from, isFolder: false }
})

/** Whether a file is a store of this package. The library alone cannot decode its records. */
const isStore = (root: RootDatabase<unknown>): boolean => {
  const meta = root.openDB<unknown, Uint8Array>({ name: metaDatabase, encoding: "binary", keyEncoding: "binary" })
  // The library returns `undefined` for a missing database, although its declaration does not say so.
  const given: Database<unknown, Uint8Array> | undefined = meta
  return given?.getBinary(toBytes(formatKey))?.length === formatVersion.length
}

/** Opens a database; returns `undefined` if no database has that name. */
const openForeign = (from: string, isFolder: boolean, { database, ...settings }: Settings) => {
  const { dupSort = false, encoding = "msgpack", keyEncoding = "ordered-binary", sharedStructuresKey } = settings
  const options = {
    encoding,
    keyEncoding,
    ...(sharedStructuresKey === undefined ? {} : { sharedStructuresKey })
  }
  // If the keys of the unnamed database have several values, the file has no named databases.
  const isAlone = dupSort && database === undefined
  const environment = { path: from, noSubdir: !isFolder, readOnly: true, maxDbs: 1024 }
  const root = open<unknown>({ ...options, dupSort: isAlone, ...environment })
  try {
    if (!isAlone && isStore(root)) return { root, found: root, isOwn: true }
    const found: Database<unknown> | undefined = database === undefined
      ? root
      : root.openDB<unknown, Key>({ ...options, dupSort, name: database })
    return { root, found, isOwn: false }
  } catch (cause) {
    void root.close()
    throw cause
  }
}

/** Opens a file until the scope closes. Returns a function that reads the next records, at most a given number. */
export const read = Effect.fnUntraced(function*(
  from: string,
  settings: Settings
): Effect.fn.Return<
  (count: number) => Effect.Effect<ReadonlyArray<ImportedEntry>, EngineFailure>,
  OpenFailed | EngineFailure,
  Scope.Scope | FileSystem.FileSystem | Path.Path
> {
  const fail = failure("import")
  const { file, isFolder } = yield* fileOf(from)
  yield* FileCheck.checkForeign(file)
  const { found, isOwn } = yield* Effect.acquireRelease(
    Effect.try({ try: () => openForeign(from, isFolder, settings), catch: fail }),
    ({ root }) => Effect.ignore(Effect.tryPromise(() => root.close()))
  )
  if (isOwn) {
    return yield* openFailed(
      from,
      "UnsupportedFormat",
      "it is a store of this package; use Store.copy or Store.restore"
    )
  }
  if (found === undefined) {
    return yield* openFailed(from, "Missing", `it has no database ${JSON.stringify(settings.database)}`)
  }
  const entries = yield* Effect.acquireRelease(
    Effect.try({ try: () => found.getRange()[Symbol.iterator](), catch: fail }),
    (iterator) => Effect.sync(() => void iterator.return?.())
  )
  return (count) =>
    Effect.try({
      try: () => {
        const part: Array<ImportedEntry> = []
        while (part.length < count) {
          const next = entries.next()
          if (next.done === true) break
          part.push([next.value.key, next.value.value])
        }
        return part
      },
      catch: fail
    })
})
