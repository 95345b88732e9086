/**
 * The lock file beside a database file, which the engine maps into memory as well.
 *
 * The engine makes it long without writing to it, so that a full disk shows as a dead
 * process, and does not survive it when it cannot open it. So it is made here.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { OpenFailed } from "../../../StoreError.ts"
import { pageSize } from "../mapSize.ts"
import { checkAccess, isWritableByAnybody, lookAt, openMany, refuse, refuseFile } from "./fileAccess.ts"

/** Each open snapshot has a slot in the table of readers, as long as no other shares its moment. */
export const maxReaders = 2048

/** What the engine wants for that many readers; it would make a shorter file longer. */
const lockBytes = 272 + (maxReaders - 1) * 64

/** Makes the lock file, all of it on disk, and sees to it that there is room for the meta pages of a new database. */
const make = Effect.fnUntraced(function*(
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
        Effect.andThen(openMany(room)),
        // It appears at once, and is never opened where it stands: whoever closes it gives up the locks of this process.
        Effect.andThen(Effect.catch(fs.link(whole, lock), () => writeNew(lock)))
      )
    }),
    Effect.scoped,
    Effect.catchIf((error) => error.reason._tag === "AlreadyExists", () => Effect.void),
    Effect.mapError(refuseFile(lock))
  )
})

/** How a database is opened. */
interface Opening {
  readonly readOnly: boolean
  /** The mode of a new file. */
  readonly fileMode: number
  /** The mode of the file of the database; `undefined` where there is no database yet. */
  readonly databaseMode: number | undefined
}

const mayWrite = (path: string) =>
  Effect.match(checkAccess(path, { writable: true }), { onFailure: () => false, onSuccess: () => true })

/**
 * Fails unless a database can be read without its lock file. The engine reads without it where it may not write there, and
 * is then in no table of readers: a process that writes would use the pages of its snapshots again.
 */
const checkUnlocked = (
  lock: string,
  database: string,
  { databaseMode }: Opening
): Effect.Effect<void, OpenFailed> =>
  databaseMode === undefined || !isWritableByAnybody(databaseMode) ? Effect.void : Effect.fail(refuse(
    lock,
    "Permission",
    "a reader has to write to the lock file, or its snapshots would change while it reads. Let this user write to it " +
      `(and to its folder where it is missing); or, when nobody writes to the store any more, run chmod a-w ${database}`
  ))

/** Sees to it that the engine can open the lock file of a database, or can do without. */
export const prepare = Effect.fnUntraced(function*(
  lock: string,
  database: string,
  opening: Opening
): Effect.fn.Return<void, OpenFailed, FileSystem.FileSystem | Path.Path> {
  const path = yield* Path.Path
  const { databaseMode, fileMode, readOnly } = opening
  if (databaseMode === undefined || Option.isNone(yield* lookAt(lock))) {
    if (readOnly && !(yield* mayWrite(path.dirname(lock)))) return yield* checkUnlocked(lock, database, opening)
    yield* make(lock, fileMode)
  }
  const info = yield* lookAt(lock)
  if (Option.isNone(info)) {
    return yield* refuse(lock, "Missing", "a link that leads nowhere is in place of the lock file")
  }
  if (info.value.type !== "File") {
    return yield* refuse(lock, "Engine", `a lock file is wanted, this is a ${info.value.type.toLowerCase()}`)
  }
  if (!readOnly) return yield* checkAccess(lock, { writable: true })
  if (!(yield* mayWrite(lock))) yield* checkUnlocked(lock, database, opening)
})
