/**
 * What may be done with files and folders, and why a store cannot be opened when it may not.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Scope from "effect/Scope"
import { OpenFailed, type OpenFailedReason } from "../StoreError.ts"

/** The mode of new files where no other is asked for: they are for their owner only. */
export const ownerOnly = 0o600

/** The mode of a new folder for files of a mode: whoever may read them may look into it. */
export const folderMode = (fileMode: number): number => fileMode | ((fileMode & 0o444) >> 2)

/** Says why a store cannot be opened. */
export const refuse = (path: string, reason: OpenFailedReason, detail: string, cause?: unknown): OpenFailed =>
  new OpenFailed(cause === undefined ? { path, reason, detail } : { path, reason, detail, cause })

/** Turns an error of the file system into the reason a store cannot be opened. */
export const refuseFile = (path: string) => (error: PlatformError): OpenFailed => {
  switch (error.reason._tag) {
    case "NotFound":
      return refuse(path, "Missing", "there is nothing at this path", error)
    case "BadResource":
      return refuse(path, "Missing", "a part of this path is no folder", error)
    case "PermissionDenied":
      return refuse(path, "Permission", "this process may not read or write there", error)
    default:
      return refuse(path, "Engine", error.message, error)
  }
}

/** What is at a path; none where there is nothing. */
export const lookAt = Effect.fnUntraced(function*(
  path: string
): Effect.fn.Return<Option.Option<FileSystem.File.Info>, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.catchIf(
    Effect.asSome(fs.stat(path)),
    (error) => error.reason._tag === "NotFound",
    () => Effect.succeedNone
  ).pipe(Effect.mapError(refuseFile(path)))
})

/** Fails unless this process may read, and write where wanted, an existing file or folder. */
export const checkAccess = Effect.fnUntraced(function*(
  path: string,
  access: { readonly writable: boolean }
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.mapError(fs.access(path, { readable: true, writable: access.writable }), refuseFile(path))
})

/** More than the engine opens. */
const manyFiles = 6

/** Opens a file many times at once: the engine does not survive it when it may not open as many as it needs. */
export const openMany = Effect.fnUntraced(function*(
  file: string
): Effect.fn.Return<void, PlatformError, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  const openAll = Effect.replicateEffect(fs.open(file, { flag: "r" }), manyFiles, {
    concurrency: "unbounded",
    discard: true
  })
  yield* Effect.acquireUseRelease(Scope.make("parallel"), (scope) => Scope.provide(openAll, scope), Scope.close)
})
