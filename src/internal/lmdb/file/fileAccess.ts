/**
 * What may be done with files and folders, and why a store cannot be opened when it may not.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import { OpenFailed, type OpenFailedReason } from "../../../StoreError.ts"

/** The mode of new files where no other is asked for: they are for their owner only. */
export const ownerOnly = 0o600

/** Whether the mode of a file lets anybody write to it. */
export const isWritableByAnybody = (mode: number): boolean => (mode & 0o222) !== 0

/** The mode of a new folder for files of a mode: whoever may read them may look into it. */
export const folderMode = (fileMode: number): number => fileMode | ((fileMode & 0o444) >> 2)

/** The reasons that name no option. */
type Reason = Exclude<OpenFailedReason["_tag"], "BadOption">

/** Says why a store cannot be opened. */
export const refuse = (path: string, tag: Reason, detail: string, cause?: unknown): OpenFailed => {
  const reason = { _tag: tag, detail }
  return new OpenFailed(cause === undefined ? { path, reason } : { path, reason, cause })
}

/** The name that the operating system gives an error, which an error of the platform has in its cause. */
const codeOf = ({ reason: { cause } }: PlatformError): string =>
  Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? cause.code : ""

/** What errors of the operating system mean for opening a store. */
const refusals: ReadonlyMap<string, readonly [reason: Reason, detail: string]> = new Map([
  ["ENOENT", ["Missing", "there is nothing at this path"]],
  ["ENOTDIR", ["Missing", "a part of this path is not a folder"]],
  ["ELOOP", ["Missing", "the symbolic links of this path lead in a circle"]],
  ["EACCES", ["Permission", "this process may not read or write there"]],
  ["EPERM", ["Permission", "this process may not read or write there"]],
  ["EROFS", [
    "Permission",
    "the file system is read-only; open the store with readOnly: true, or mount the file system for writing"
  ]],
  ["ENOSPC", ["Engine", "no space is left on the disk; free some and try again"]],
  ["EDQUOT", ["Engine", "the disk quota of this user is used up; free some space and try again"]],
  ["EMFILE", ["Engine", "this process has as many files open as it may; close some or raise the limit (ulimit -n)"]],
  ["ENFILE", ["Engine", "the system has as many files open as it can; close some and try again"]],
  ["ESTALE", ["Engine", "the network file system does not know this file any more; mount it again"]]
])

/** Turns an error of the file system into the reason a store cannot be opened. */
export const refuseFile = (path: string) => (error: PlatformError): OpenFailed => {
  const code = codeOf(error)
  if (code === "ENAMETOOLONG") {
    const detail = "a name in it, or all of it, is longer than the file system allows"
    return new OpenFailed({ reason: { _tag: "BadOption", option: "path", detail }, path, cause: error })
  }
  const [reason, detail] = refusals.get(code) ?? ["Engine", error.message]
  return refuse(path, reason, detail, error)
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
export const manyFiles = 6

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
