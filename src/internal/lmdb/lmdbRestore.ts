/**
 * Restores a backup to the place of a store that is not open.
 *
 * The backup is first copied to a folder beside the store, and every page of the copy is checked. Then, while no process has
 * the store open, the copy replaces the file of the store in one step.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { Engine, type EngineOptions } from "../../Engine.ts"
import { OpenFailed } from "../../StoreError.ts"
import { StoreNotEmpty } from "../../StoreTransfer.ts"
import { makeFolder, openFailed, statOption, toOpenFailed } from "./file/fileAccess.ts"
import { storeLockOf } from "./file/fileCheck.ts"
import { fileName } from "./lmdbBackup.ts"
import { replace } from "./lmdbReplacement.ts"
import * as StoreLock from "./storeLock.ts"

/** Finds the file of a backup. A program may give its folder. */
const backupFile = Effect.fnUntraced(function*(from: string) {
  const path = yield* Path.Path
  const info = yield* statOption(from)
  const file = Option.exists(info, (stats) => stats.isDirectory()) ? path.join(from, fileName) : from
  const found = yield* statOption(file)
  return Option.exists(found, ({ size }) => size > 0)
    ? file
    : yield* openFailed(from, "Missing", "there is no backup at this path")
})

/** Copies the backup into a temporary folder, and checks every page of the copy. */
const checkedCopy = Effect.fnUntraced(function*(backup: string, folder: string, options: EngineOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const engine = yield* Engine
  const file = path.join(folder, fileName)
  yield* Effect.mapError(fs.copyFile(backup, file), toOpenFailed(backup))
  yield* fs.chmod(file, options.fileMode).pipe(
    Effect.andThen(Effect.scoped(Effect.flatMap(fs.open(file, { flag: "r+" }), (handle) => handle.sync))),
    Effect.mapError(toOpenFailed(file))
  )
  const checked = { ...options, path: folder, subdirectory: true, readOnly: true, lock: false, verify: true }
  yield* Effect.scoped(engine.open(checked)).pipe(
    // The error names the backup, because the copy is temporary.
    Effect.mapError(({ reason }) => new OpenFailed({ path: backup, reason }))
  )
  return file
})

const refuseToOverwrite = Effect.fnUntraced(function*(file: string, { path }: EngineOptions, overwrite: boolean) {
  const found = yield* statOption(file)
  if (!overwrite && Option.isSome(found)) {
    return yield* new StoreNotEmpty({
      path,
      detail: "nothing was restored; give another path, or `overwrite: true` to replace it"
    })
  }
})

/** Restores a backup. */
export const restore = Effect.fnUntraced(function*(
  from: string,
  options: EngineOptions,
  overwrite: boolean
): Effect.fn.Return<void, OpenFailed | StoreNotEmpty, Engine | FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = options.subdirectory ? path.join(options.path, fileName) : options.path
  const folder = path.dirname(file)
  const backup = yield* backupFile(from)
  yield* refuseToOverwrite(file, options, overwrite)
  yield* makeFolder(folder, options.fileMode)
  yield* Effect.scoped(Effect.gen(function*() {
    const temporary = yield* fs.makeTempDirectoryScoped({ directory: folder, prefix: ".restore-" }).pipe(
      Effect.mapError(toOpenFailed(folder))
    )
    const copy = yield* checkedCopy(backup, temporary, options)
    const lockFile = storeLockOf(path, file, options.subdirectory)
    const lock = yield* StoreLock.acquire({ ...options, readOnly: false, shared: false, file, lockFile })
    yield* replace(copy, { file, lock, options }, refuseToOverwrite(file, options, overwrite))
  }))
})
