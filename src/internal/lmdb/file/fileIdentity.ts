/**
 * Sees that the files of an open store are still those at their paths.
 *
 * The engine goes on with the files that it has open, whatever becomes of their names. When a file
 * is replaced, what it commits is in a file that nobody finds; when it opens the path again to grow the map,
 * it goes on in another file. When one of the two lock files is removed or replaced, other processes lock
 * another one, and write at the same time.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { accessSync, type BigIntStats, closeSync, constants, openSync, statSync } from "node:fs"
import { EngineFailure } from "../../../StoreError.ts"
import { failure } from "../lmdbErrors.ts"
import { isWritableByAnybody, manyFiles } from "./fileAccess.ts"

/** The files of an open store. */
export interface OpenedFiles {
  /** Says what is wrong with them now, if anything is. */
  readonly refusal: (operation: string) => EngineFailure | undefined
  /** The same, and what would keep the engine from opening them again. The engine does not survive that by itself. */
  readonly refusalToReopen: (operation: string) => EngineFailure | undefined
}

const noEntry = 2
const noAccess = 13
/** `ESTALE`: what is open is not what the path leads to. */
const stale = 116

/** What is at a path: its device and number, and whether anybody may write to it. */
interface Found {
  readonly device: bigint
  readonly number: bigint
  readonly isWritable: boolean
}

const foundIn = ({ dev, ino, mode }: BigIntStats): Found => ({
  device: dev,
  number: ino,
  isWritable: isWritableByAnybody(Number(mode))
})

const look = (path: string): Result.Result<Found | undefined, unknown> =>
  Result.try(() => {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
    return stats === undefined ? undefined : foundIn(stats)
  })

const isDenied = (cause: unknown): boolean => Predicate.hasProperty(cause, "code") && cause.code === "EACCES"

const refuse = (operation: string, code: number, detail: string): EngineFailure =>
  new EngineFailure({ operation, code, detail, isRetryable: false })

/** What a file of a store is for. The store lock is that of this package, the lock file that of LMDB. */
type Role = "database" | "lock file" | "store lock"

const consequences: Readonly<Record<Role, string>> = {
  "database":
    "Nothing more is written. What this store has can still be read, with what is pending; close it and open it again",
  "lock file":
    "Other processes do not see the locks of this one any more, so nothing more is written. Close the store in all " +
    "processes, and open it again",
  "store lock":
    "Other processes can open the store beside this one now, so nothing more is written. Close the store in all " +
    "processes, and open it again. A process that has ended holds no lock: the file never has to be deleted"
}

/** Says what became of a file that was `opened`. */
const refusalOf = (
  operation: string,
  path: string,
  what: Role,
  opened: Found | undefined
): EngineFailure | undefined => {
  if (opened === undefined) return undefined
  const looked = look(path)
  // A process that gave up its rights may not look any more. It goes on with what it has open.
  if (Result.isFailure(looked)) return isDenied(looked.failure) ? undefined : failure(operation)(looked.failure)
  const present = looked.success
  if (present === undefined) {
    const detail = `the ${what} ${path} is gone: it, or its folder, was removed or renamed while the store was open`
    return refuse(operation, noEntry, `${detail}. ${consequences[what]}`)
  }
  if (present.device !== opened.device || present.number !== opened.number) {
    const detail = `the ${what} ${path} was replaced by another file while the store was open`
    return refuse(operation, stale, `${detail}. ${consequences[what]}`)
  }
  // Readers go by the mode of the database: they do without the lock file then.
  if (what === "database" && opened.isWritable && !present.isWritable) {
    const detail = `nobody may write to ${path} any more: its mode was changed while the store was open`
    return refuse(operation, noAccess, `${detail}. Close the store, or run chmod u+w on the file`)
  }
  return undefined
}

/** Fails when the engine could not open its files: it needs several descriptors at once. */
const tryToOpen = (file: string, lock: string): void => {
  for (const path of [file, lock]) accessSync(path, constants.R_OK | constants.W_OK)
  const opened: Array<number> = []
  const all = Result.try(() => {
    while (opened.length < manyFiles) opened.push(openSync(file, "r"))
  })
  for (const descriptor of opened) closeSync(descriptor)
  Result.getOrThrow(all)
}

/** Takes down which files were opened for writing. */
export const of = (file: string, lock: string, storeLock: string): OpenedFiles => {
  const opened = [
    ["database", file, Result.getOrUndefined(look(file))],
    ["lock file", lock, Result.getOrUndefined(look(lock))],
    // A store that is opened without a lock has none.
    ["store lock", storeLock, Result.getOrUndefined(look(storeLock))]
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
