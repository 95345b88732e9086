/**
 * Copies an open file in the way of the library.
 */
import * as Effect from "effect/Effect"
import type { EngineOptions } from "../../Engine.ts"
import * as BackupFile from "./backupFile.ts"
import { failure } from "./lmdbErrors.ts"
import { pageSize } from "./mapSize.ts"

/** The name of the file inside the folder of a store. */
export const fileName = "data.mdb"

/** An open environment of the library. */
interface Root {
  readonly backup: (path: string, compact: boolean) => Promise<void>
  readonly useReadTransaction: () => { readonly done: () => void }
}

interface CopyOptions extends Pick<EngineOptions, "subdirectory" | "fileMode" | "encryptionKey"> {
  readonly compact: boolean
}

/** Copies the file of an environment to a path where there is none. */
export const copyTo = (
  root: Root,
  file: string,
  target: string,
  { compact, encryptionKey, fileMode, subdirectory }: CopyOptions
) => {
  const place = { path: target, subdirectory, fileName, fileMode }
  if (encryptionKey === undefined) {
    return BackupFile.write(
      place,
      (partial) => Effect.tryPromise(() => root.backup(subdirectory ? partial.folder : partial.file, compact))
    )
  }
  if (compact) return Effect.fail(failure("backup")(new Error("an encrypted store cannot be compacted")))
  // The library's own copy of an encrypted file cannot be opened, or is not encrypted.
  return BackupFile.write(place, (partial) =>
    Effect.acquireUseRelease(
      Effect.sync(() => root.useReadTransaction()),
      () => BackupFile.copyBytes(file, partial.file, 2 * pageSize),
      (reader) => Effect.sync(() => reader.done())
    ))
}
