/**
 * Creates LMDB's lock file beside a database file before the engine opens both.
 *
 * The engine maps this file into memory too. If the engine created it, it would not allocate
 * its blocks on the disk, and a full disk would later end the process. The engine also ends
 * the process if it cannot open the file.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { OpenFailed } from "../../../StoreError.ts"
import { pageSize } from "../mapSize.ts"
import {
  checkAccess,
  isWritableByAnybody,
  openFailed,
  openMany,
  statOption,
  toOpenFailed,
  typeOf
} from "./fileAccess.ts"

/** The size of LMDB's reader table. Every open read transaction takes a slot; snapshots can share one. */
export const maxReaders = 2048

/** The size of a lock file for this many readers, in bytes. The engine would extend a shorter file. */
const lockBytes = 272 + (maxReaders - 1) * 64

/** Creates the lock file with all of its bytes on disk, and makes sure that the disk has room for two meta pages. */
const create = Effect.fnUntraced(function*(
  lock: string,
  mode: number
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const bytes = new Uint8Array(lockBytes)
  const writeNew = (file: string) => fs.writeFile(file, bytes, { flag: "wx", mode })
  yield* fs.makeTempDirectoryScoped({ directory: path.dirname(lock), prefix: ".lock-" }).pipe(
    Effect.flatMap((folder) => {
      const whole = path.join(folder, "lock")
      const room = path.join(folder, "room")
      return writeNew(whole).pipe(
        Effect.andThen(fs.writeFile(room, new Uint8Array(2 * pageSize))),
        Effect.andThen(Effect.try({ try: () => openMany(room), catch: toOpenFailed(lock) })),
        // The link makes the file appear complete. It is never opened at its final path, because closing a descriptor
        // of it would release all locks that this process has on it.
        Effect.andThen(Effect.catch(fs.link(whole, lock), () => writeNew(lock)))
      )
    }),
    Effect.scoped,
    Effect.catchIf((error) => error.reason._tag === "AlreadyExists", () => Effect.void),
    Effect.mapError((error) => error._tag === "OpenFailed" ? error : toOpenFailed(lock)(error))
  )
})

/** How a database is opened. */
interface PrepareOptions {
  readonly readOnly: boolean
  /** The mode of a new lock file. */
  readonly fileMode: number
  /** The mode of the database file; `undefined` if there is no database yet. */
  readonly databaseMode: number | undefined
}

const mayWrite = (path: string) =>
  Effect.match(checkAccess(path, { writable: true }), { onFailure: () => false, onSuccess: () => true })

/**
 * Fails unless a database can be read without its lock file. If the engine may not write to the lock file, it reads
 * without it and is not in the reader table. A writer would then reuse the pages of its snapshots, so nobody may be
 * allowed to write to the database.
 */
const checkUnlocked = (
  lock: string,
  database: string,
  { databaseMode }: PrepareOptions
): Effect.Effect<void, OpenFailed> =>
  databaseMode === undefined || !isWritableByAnybody(databaseMode) ? Effect.void : Effect.fail(openFailed(
    lock,
    "Permission",
    "a reader has to write to the lock file, or its snapshots would change while it reads. Let this user write to it " +
      `(and to its folder where it is missing); or, when nobody writes to the store any more, run chmod a-w ${database}`
  ))

/** Makes sure that the engine can open the lock file of a database, or can read without it. */
export const prepare = Effect.fnUntraced(function*(
  lock: string,
  database: string,
  options: PrepareOptions
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const { databaseMode, fileMode, readOnly } = options
  if (databaseMode === undefined || Option.isNone(yield* statOption(lock))) {
    if (readOnly && !(yield* mayWrite(path.dirname(lock)))) return yield* checkUnlocked(lock, database, options)
    yield* create(lock, fileMode)
  }
  const info = yield* statOption(lock)
  if (Option.isNone(info)) {
    return yield* openFailed(lock, "Missing", "the lock file is a symbolic link to a file that does not exist")
  }
  if (!info.value.isFile()) {
    return yield* openFailed(lock, "Engine", `the lock file must be a file, and is a ${typeOf(info.value)}`)
  }
  if (!readOnly) return yield* checkAccess(lock, { writable: true })
  if (!(yield* mayWrite(lock))) yield* checkUnlocked(lock, database, options)
})
