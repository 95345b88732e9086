/**
 * Checks that the files at the paths of an open store are still the files that the store has open.
 *
 * The engine keeps using the open files after they are renamed, removed or replaced. If the database file is replaced,
 * the engine commits to a file without a name, and continues in the other file when it reopens the path to
 * grow the map. If one of the two lock files is removed or replaced, other processes lock the new one and
 * write at the same time.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { accessSync, type BigIntStats, constants, statSync } from "node:fs"
import { EngineFailure } from "../../../StoreError.ts"
import { failure } from "../lmdbErrors.ts"
import { isWritableByAnybody, openMany } from "./fileAccess.ts"

/** The identity of the files of an open store. */
export interface FileIdentity {
  /** Compares the files at the paths with the open files; returns an error if they differ. */
  readonly refusal: (operation: string) => EngineFailure | undefined
  /** Also tries to open the files: the engine ends the process if it cannot reopen them. */
  readonly refusalToReopen: (operation: string) => EngineFailure | undefined
}

const noEntry = 2
const noAccess = 13
/** `ESTALE`: the file at the path is not the open file. */
const stale = 116

/** What identifies a file, and whether its mode allows anyone to write to it. */
interface FileState {
  readonly device: bigint
  readonly number: bigint
  readonly isWritable: boolean
}

const stateOf = ({ dev, ino, mode }: BigIntStats): FileState => ({
  device: dev,
  number: ino,
  isWritable: isWritableByAnybody(Number(mode))
})

const readState = (path: string): Result.Result<FileState | undefined, unknown> =>
  Result.try(() => {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
    return stats === undefined ? undefined : stateOf(stats)
  })

const isDenied = (cause: unknown): boolean => Predicate.hasProperty(cause, "code") && cause.code === "EACCES"

const makeFailure = (operation: string, code: number, detail: string): EngineFailure =>
  new EngineFailure({ operation, code, detail, isRetryable: false })

/** The purpose of a file. The store lock belongs to this package, and the lock file to LMDB. */
type Role = "database" | "lock file" | "store lock"

const consequences: Readonly<Record<Role, string>> = {
  "database":
    "Nothing more is written. The records of the open file and the pending writes can still be read; close the store " +
    "and open it again",
  "lock file":
    "Other processes no longer see the locks of this one, so nothing more is written. Close the store in all " +
    "processes, and open it again",
  "store lock":
    "Other processes can open the store beside this one now, so nothing more is written. Close the store in all " +
    "processes, and open it again. A process that has ended holds no lock: the file never has to be deleted"
}

/** Compares the file at a path with its state when it was opened. */
const refusalOf = (
  operation: string,
  path: string,
  what: Role,
  opened: FileState | undefined
): EngineFailure | undefined => {
  if (opened === undefined) return undefined
  const found = readState(path)
  // A process that gave up its rights may not look at the path. It keeps using the open files.
  if (Result.isFailure(found)) return isDenied(found.failure) ? undefined : failure(operation)(found.failure)
  const current = found.success
  if (current === undefined) {
    const detail = `the ${what} ${path} is gone: it, or its folder, was removed or renamed while the store was open`
    return makeFailure(operation, noEntry, `${detail}. ${consequences[what]}`)
  }
  if (current.device !== opened.device || current.number !== opened.number) {
    const detail = `the ${what} ${path} was replaced by another file while the store was open`
    return makeFailure(operation, stale, `${detail}. ${consequences[what]}`)
  }
  // If the mode allows nobody to write, readers of other processes do not use the lock file.
  if (what === "database" && opened.isWritable && !current.isWritable) {
    const detail = `nobody may write to ${path} any more: its mode was changed while the store was open`
    return makeFailure(operation, noAccess, `${detail}. Close the store, or run chmod u+w on the file`)
  }
  return undefined
}

/** Throws if the engine could not open its files, for which it needs several descriptors. */
const tryToOpen = (file: string, lock: string): void => {
  for (const path of [file, lock]) accessSync(path, constants.R_OK | constants.W_OK)
  openMany(file)
}

/** Remembers which files were opened for writing. */
export const make = (file: string, lock: string, storeLock: string): FileIdentity => {
  const opened = [
    ["database", file, Result.getOrUndefined(readState(file))],
    ["lock file", lock, Result.getOrUndefined(readState(lock))],
    // A store that was opened with `lock: false` has none.
    ["store lock", storeLock, Result.getOrUndefined(readState(storeLock))]
  ] as const
  const refusal = (operation: string): EngineFailure | undefined => {
    for (const [what, path, found] of opened) {
      const refused = refusalOf(operation, path, what, found)
      if (refused !== undefined) return refused
    }
    return undefined
  }
  return {
    refusal,
    refusalToReopen: (operation) => {
      const refused = refusal(operation)
      if (refused !== undefined) return refused
      const tried = Result.try({ try: () => tryToOpen(file, lock), catch: failure(operation) })
      return Result.isFailure(tried) ? tried.failure : undefined
    }
  }
}
