/**
 * Where a backup is written, so that one that was cut short is never taken for a
 * whole one.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { EngineFailure } from "../StoreError.ts"
import * as DatabaseFile from "./databaseFile.ts"
import { failure } from "./lmdbErrors.ts"

const alreadyExists = 17

/** Where a backup goes, and how it is laid out. */
export interface Target {
  /** The folder, or the file when `subdirectory` is `false`. */
  readonly path: string
  readonly subdirectory: boolean
  /** The name of the file inside a folder. */
  readonly fileName: string
}

/**
 * Copies into a folder beside the target, and renames when all is there and on disk.
 * `copy` gets the folder, or the file, that it is to make.
 */
export const write = Effect.fnUntraced(function*(
  target: Target,
  copy: (path: string) => Promise<void>
): Effect.fn.Return<void, EngineFailure, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const fail = failure("backup")
  const folder = target.subdirectory ? target.path : path.dirname(target.path)
  const file = target.subdirectory ? path.join(target.path, target.fileName) : target.path
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
      const partial = path.join(partialFolder, target.fileName)
      return Effect.tryPromise(() => copy(target.subdirectory ? partialFolder : partial)).pipe(
        Effect.andThen(Effect.scoped(Effect.flatMap(fs.open(partial, { flag: "r+" }), (handle) => handle.sync))),
        Effect.andThen(fs.rename(partial, file))
      )
    }),
    Effect.scoped,
    Effect.mapError((error) => fail(error.cause ?? error))
  )
})
