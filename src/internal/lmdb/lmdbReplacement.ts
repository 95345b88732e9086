/**
 * Replaces the file of a store that no process has open, in one step.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { EngineOptions } from "../../Engine.ts"
import { EngineFailure, OpenFailed } from "../../StoreError.ts"
import * as CloseRecord from "./file/closeRecord.ts"
import { openFailed, statOption, syncFolder, toOpenFailed } from "./file/fileAccess.ts"
import { lockFileOf } from "./file/fileCheck.ts"
import { refuse } from "./lmdbErrors.ts"
import { toHolder } from "./storeHolders.ts"
import type * as StoreLock from "./storeLock.ts"

/** The file to replace. This process has the lock of its store. */
interface Replaced {
  readonly file: string
  readonly lock: StoreLock.StoreLock
  readonly options: EngineOptions
}

/** Fails if another process has the store open. Only readers can have it, because this process has its lock. */
export const refuseReaders = ({ lock, options }: Omit<Replaced, "file">): Effect.Effect<void, OpenFailed> =>
  Effect.suspend(() => {
    const [reader] = lock.others()
    if (reader === undefined) return Effect.void
    const detail = `process ${reader.processId} on host ${JSON.stringify(reader.host)} is reading it; end it first`
    return Effect.fail(
      new OpenFailed({ path: options.path, reason: { _tag: "AlreadyOpen", detail, holder: toHolder(reader) } })
    )
  })

/** Gives the new file the owner of the old one: root may replace the file of a program that another user runs. */
const keepOwner = Effect.fnUntraced(function*(copy: string, file: string) {
  const fs = yield* FileSystem.FileSystem
  const old = Option.getOrUndefined(yield* statOption(file))
  const own = Option.getOrUndefined(yield* statOption(copy))
  if (old === undefined || own === undefined || (old.uid === own.uid && old.gid === own.gid)) return
  const changing = fs.chown(copy, old.uid, old.gid)
  yield* old.uid === own.uid
    ? Effect.ignore(changing)
    : Effect.mapError(
      changing,
      (cause) =>
        openFailed(file, "Permission", "the file belongs to another user; run this as that user, or as root", cause)
    )
})

/**
 * Replaces the file of a store by a copy on the same file system, while no other process has the store open or can open it.
 * `check` runs at that time, before the first change.
 *
 * After each step the store is complete. LMDB's lock file and the record of the last close describe the old file, so they are
 * removed first: LMDB makes its lock file again, and without the record the next opening checks all pages.
 */
export const replace = <E>(
  copy: string,
  { file, lock, options }: Replaced,
  check: Effect.Effect<void, E>
): Effect.Effect<void, E | OpenFailed, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* refuseReaders({ lock, options })
    yield* check
    yield* keepOwner(copy, file)
    const target = yield* Effect.orElseSucceed(fs.realPath(file), () => file)
    const describing = [
      lockFileOf(path, file, options.subdirectory),
      CloseRecord.pathOf(path, file, options.subdirectory)
    ]
    yield* Effect.forEach(describing, (old) => fs.remove(old, { force: true }), { discard: true }).pipe(
      Effect.andThen(fs.rename(copy, target)),
      // A program may commit as soon as it can open the new file. No crash may bring the old one back after that.
      Effect.andThen(syncFolder(path.dirname(target))),
      Effect.uninterruptible,
      Effect.mapError(toOpenFailed(options.path))
    )
  }).pipe(
    lock.opening,
    Effect.mapError((error) => error instanceof EngineFailure ? refuse(options)(error) : error)
  )
