/**
 * Backs up a database file while it is in use.
 *
 * A backup is written in a temporary folder and gets its name only when all of it is on disk. A
 * backup that was cut short can therefore never be taken for a complete one.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import type { EngineOptions } from "../../Engine.ts"
import { EngineFailure } from "../../StoreError.ts"
import { makeFolder, syncFolder } from "./file/fileAccess.ts"
import { failure } from "./lmdbErrors.ts"
import { pageSize } from "./mapSize.ts"

/** The name of the database file in the folder of a store. */
export const fileName = "data.mdb"

/** The errno `EEXIST`. */
const alreadyExists = 17

/** Where a backup is written. */
interface BackupTarget {
  /** The folder, or the file if `subdirectory` is `false`. */
  readonly path: string
  readonly subdirectory: boolean
  /** The permissions of the file. */
  readonly fileMode: number
}

/** The temporary folder and file into which a backup is copied first. */
interface TemporaryCopy {
  readonly folder: string
  /** The file in the folder. It does not exist yet. */
  readonly file: string
}

/** Copies into a temporary folder beside the target, flushes the copy to disk, and renames it. */
const writeBackup = Effect.fnUntraced(function*(
  target: BackupTarget,
  copy: (temporary: TemporaryCopy) => Effect.Effect<void, PlatformError | Cause.UnknownError, FileSystem.FileSystem>
): Effect.fn.Return<void, EngineFailure, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const fail = failure("backup")
  const folder = target.subdirectory ? target.path : path.dirname(target.path)
  const file = target.subdirectory ? path.join(target.path, fileName) : target.path
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
    Effect.flatMap((temporaryFolder) => {
      const temporary = path.join(temporaryFolder, fileName)
      return copy({ folder: temporaryFolder, file: temporary }).pipe(
        Effect.andThen(fs.chmod(temporary, target.fileMode)),
        Effect.andThen(Effect.scoped(Effect.flatMap(fs.open(temporary, { flag: "r+" }), (handle) => handle.sync))),
        Effect.andThen(fs.rename(temporary, file)),
        Effect.andThen(syncFolder(folder))
      )
    }),
    Effect.scoped,
    Effect.mapError((error) => fail(error.cause ?? error))
  )
})

/**
 * Copies the bytes of a database file while it is in use: reads its meta pages first, copies
 * the file, and then overwrites the meta pages of the copy. A read transaction must be open
 * meanwhile, so that no commit reuses the pages to which the meta pages refer.
 */
const copyBytes = Effect.fnUntraced(function*(
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

/** An open environment of the library. */
interface Root {
  readonly backup: (path: string, compact: boolean) => Promise<void>
  readonly useReadTransaction: () => { readonly done: () => void }
}

interface CopyOptions extends Pick<EngineOptions, "subdirectory" | "fileMode" | "encryptionKey"> {
  readonly compact: boolean
}

/** Copies the database file of an open environment. Fails if the target exists. */
export const copyTo = (
  root: Root,
  file: string,
  target: string,
  { compact, encryptionKey, fileMode, subdirectory }: CopyOptions
) => {
  const place = { path: target, subdirectory, fileMode }
  if (encryptionKey === undefined) {
    return writeBackup(
      place,
      (temporary) => Effect.tryPromise(() => root.backup(subdirectory ? temporary.folder : temporary.file, compact))
    )
  }
  if (compact) return Effect.fail(failure("backup")(new Error("an encrypted store cannot be compacted")))
  // The library's own backup of an encrypted file cannot be opened, or is not encrypted.
  return writeBackup(place, (temporary) =>
    Effect.acquireUseRelease(
      Effect.sync(() => root.useReadTransaction()),
      () => copyBytes(file, temporary.file, 2 * pageSize),
      (reader) => Effect.sync(() => reader.done())
    ))
}
