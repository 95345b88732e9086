/**
 * Reads the modes of files, creates folders, and turns the errors of the file system into reasons why a store cannot
 * be opened.
 *
 * An opening looks at ten files and folders. It does so with the synchronous calls of Node.js, because each of them takes
 * a few microseconds, and the asynchronous ones took most of the time of an opening. LMDB opens the files in the same way.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { PlatformError } from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { accessSync, closeSync, constants, openSync, type Stats, statSync } from "node:fs"
import * as process from "node:process"
import { OpenFailed, type OpenFailedReason } from "../../../StoreError.ts"

/** The default mode of new files: only their owner may read and write them. */
export const ownerOnly = 0o600

/** Whether the mode of a file allows anyone to write to it. */
export const isWritableByAnybody = (mode: number): boolean => (mode & 0o222) !== 0

/** The mode of a new folder for files of a mode: those who may read the files may also search the folder. */
const folderMode = (fileMode: number): number => fileMode | ((fileMode & 0o444) >> 2)

/** The reasons that name no option. */
type Reason = Exclude<OpenFailedReason["_tag"], "BadOption">

/** Makes the error of a store that cannot be opened. */
export const openFailed = (path: string, tag: Reason, detail: string, cause?: unknown): OpenFailed => {
  const reason = { _tag: tag, detail }
  return new OpenFailed(cause === undefined ? { path, reason } : { path, reason, cause })
}

/** The name of an error in the operating system, such as `ENOENT`. A `PlatformError` has it in its cause. */
const codeOf = (error: unknown): string => {
  const cause = error instanceof PlatformError ? error.reason.cause : error
  return Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) ? cause.code : ""
}

/** The reasons why a store cannot be opened, by the error of the operating system. */
const reasons: ReadonlyMap<string, readonly [reason: Reason, detail: string]> = new Map([
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
  ["ESTALE", ["Engine", "the network file system no longer knows this file; mount it again"]]
])

/** Turns an error of the file system into the error of a store that cannot be opened. */
export const toOpenFailed = (path: string) => (error: unknown): OpenFailed => {
  const code = codeOf(error)
  if (code === "ENAMETOOLONG") {
    const detail = "it, or a name in it, is longer than the file system allows"
    return new OpenFailed({ reason: { _tag: "BadOption", option: "path", detail }, path, cause: error })
  }
  const [reason, detail] = reasons.get(code) ?? ["Engine", Predicate.isError(error) ? error.message : String(error)]
  return openFailed(path, reason, detail, error)
}

/** Describes the file or folder at a path; `None` if nothing is there. */
export const statOption = (path: string): Effect.Effect<Option.Option<Stats>, OpenFailed> =>
  Effect.suspend(() => {
    const found = Result.try(() => statSync(path))
    if (Result.isSuccess(found)) return Effect.succeed(Option.some(found.success))
    return codeOf(found.failure) === "ENOENT" ? Effect.succeedNone : Effect.fail(toOpenFailed(path)(found.failure))
  })

/** Fails unless this process may read an existing file or folder, and write to it if `writable`. */
export const checkAccess = (
  path: string,
  { writable }: { readonly writable: boolean }
): Effect.Effect<void, OpenFailed> =>
  Effect.try({
    try: () => accessSync(path, writable ? constants.R_OK | constants.W_OK : constants.R_OK),
    catch: toOpenFailed(path)
  })

/**
 * Creates a folder and its missing parents for files of a mode.
 *
 * It creates the parents one by one: the recursive call of Node.js never returns on a file system
 * that refuses new folders, such as `/proc`.
 */
export const makeFolder: (
  folder: string,
  fileMode: number
) => Effect.Effect<void, OpenFailed, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function*(folder: string, fileMode: number) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const info = yield* statOption(folder)
    if (Option.isSome(info)) {
      if (info.value.isDirectory()) return
      return yield* openFailed(folder, "Missing", "there must be a folder at this path, and it is a file")
    }
    const parent = path.dirname(folder)
    if (parent !== folder) yield* makeFolder(parent, fileMode)
    yield* Effect.catchIf(
      fs.makeDirectory(folder, { mode: folderMode(fileMode) }),
      (error) => error.reason._tag === "AlreadyExists",
      () => Effect.void
    ).pipe(Effect.mapError(toOpenFailed(folder)))
  }
)

/** Waits until the names in a folder are on disk. Windows has no such call, and does not need it. */
export const syncFolder = (folder: string): Effect.Effect<void, PlatformError, FileSystem.FileSystem> =>
  process.platform === "win32"
    ? Effect.void
    : Effect.flatMap(
      FileSystem.FileSystem,
      (fs) => Effect.scoped(Effect.flatMap(fs.open(folder, { flag: "r" }), ({ sync }) => sync))
    )

/** More file descriptors than the engine opens. */
const manyFiles = 6

/**
 * Opens a file as often as the engine does at most, and closes it again. Throws if that is not possible: the engine ends
 * the process if it cannot open enough descriptors.
 */
export const openMany = (file: string): void => {
  const opened: Array<number> = []
  const all = Result.try(() => {
    while (opened.length < manyFiles) opened.push(openSync(file, "r"))
  })
  for (const descriptor of opened) closeSync(descriptor)
  Result.getOrThrow(all)
}

/** The type of a file, for messages. */
export const typeOf = (stats: Stats): string => {
  if (stats.isDirectory()) return "folder"
  if (stats.isSocket()) return "socket"
  if (stats.isFIFO()) return "pipe"
  return stats.isFile() ? "file" : "device"
}
