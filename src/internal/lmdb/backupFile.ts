/**
 * Where a backup is written, so that one that was cut short is never taken for a
 * whole one.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { EngineFailure } from "../../StoreError.ts"
import { makeFolder } from "./file/fileAccess.ts"
import { failure } from "./lmdbErrors.ts"

const alreadyExists = 17

/** Where a backup goes, and how it is laid out. */
export interface Target {
  /** The folder, or the file when `subdirectory` is `false`. */
  readonly path: string
  readonly subdirectory: boolean
  /** The name of the file inside a folder. */
  readonly fileName: string
  /** The permissions of the file. */
  readonly fileMode: number
}

/** Where a copy is made before it gets its name. */
export interface Partial {
  readonly folder: string
  /** The file to be made, inside the folder. */
  readonly file: string
}

/** Copies into a folder beside the target, and renames when all is there and on disk. */
export const write = Effect.fnUntraced(function*(
  target: Target,
  copy: (partial: Partial) => Effect.Effect<void, PlatformError | Cause.UnknownError, FileSystem.FileSystem>
): Effect.fn.Return<void, EngineFailure, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const fail = failure("backup")
  const folder = target.subdirectory ? target.path : path.dirname(target.path)
  const file = target.subdirectory ? path.join(target.path, target.fileName) : target.path
  yield* Effect.mapError(makeFolder(folder, target.fileMode), fail)
  if (yield* Effect.mapError(fs.exists(file), fail)) {
    return yield* new EngineFailure({
      operation: "backup",
      code: alreadyExists,
      detail: `there is already something at ${file}; give another path, or remove it first`,
      isRetryable: false
    })
  }
  yield* fs.makeTempDirectoryScoped({ directory: folder, prefix: ".backup-" }).pipe(
    Effect.flatMap((partialFolder) => {
      const partial = path.join(partialFolder, target.fileName)
      return copy({ folder: partialFolder, file: partial }).pipe(
        Effect.andThen(fs.chmod(partial, target.fileMode)),
        Effect.andThen(Effect.scoped(Effect.flatMap(fs.open(partial, { flag: "r+" }), (handle) => handle.sync))),
        Effect.andThen(fs.rename(partial, file))
      )
    }),
    Effect.scoped,
    Effect.mapError((error) => fail(error.cause ?? error))
  )
})

/**
 * Copies the bytes of a database file while it is in use: first its meta pages, then
 * the pages that these name. A reader must be open meanwhile, so that no commit uses
 * those pages again.
 */
export const copyBytes = Effect.fnUntraced(function*(
  file: string,
  target: string,
  metaBytes: number
): Effect.fn.Return<void, PlatformError, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const meta = yield* Effect.scoped(
    Effect.flatMap(fs.open(file, { flag: "r" }), (handle) => handle.readAlloc(metaBytes))
  )
  yield* fs.copyFile(file, target)
  yield* Effect.scoped(
    Effect.flatMap(
      fs.open(target, { flag: "r+" }),
      (handle) => Option.match(meta, { onNone: () => Effect.void, onSome: (bytes) => handle.writeAll(bytes) })
    )
  )
})
