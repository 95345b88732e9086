/**
 * Prepares a database file before LMDB opens it: checks the file, and takes the store lock, which keeps other
 * processes out.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { isMainThread } from "node:worker_threads"
import type { EngineOptions } from "../../../Engine.ts"
import { OpenFailed } from "../../../StoreError.ts"
import { fileName } from "../lmdbBackup.ts"
import * as StoreLock from "../storeLock.ts"
import * as CloseRecord from "./closeRecord.ts"
import { checkAccess, statOption } from "./fileAccess.ts"
import * as FileCheck from "./fileCheck.ts"

/** The error of a store that is opened in a worker thread. */
const inWorkerThread = ({ path }: EngineOptions): OpenFailed =>
  new OpenFailed({
    reason: {
      _tag: "WorkerThread",
      detail: "this is a worker thread, and `worker.terminate()` aborts or hangs the whole process while LMDB works " +
        "for the thread. Open the store in the main thread (in vitest: `pool: \"forks\"`), or set " +
        "`allowWorkerThread: true` if the thread always closes the store before it ends"
    },
    path
  })

/** A database file that is ready for LMDB. */
interface PreparedFile {
  /** How many pages the file has. */
  readonly pages: number
  readonly closeRecord: CloseRecord.CloseRecord
}

/** Checks the file, and takes the store lock until the scope closes. */
export const checkAndLock = Effect.fnUntraced(function*(options: EngineOptions) {
  const path = yield* Path.Path
  const file = options.subdirectory ? path.join(options.path, fileName) : options.path
  if (!isMainThread && !options.allowWorkerThread) return yield* inWorkerThread(options)
  const checked = yield* FileCheck.check(file, options)
  const storeLock = FileCheck.storeLockOf(path, file, options.subdirectory)
  const lock = yield* StoreLock.acquire({ ...options, file, lockFile: storeLock })
  const record = CloseRecord.pathOf(path, file, options.subdirectory)
  /**
   * Prepares the files for LMDB. Checks the file again if another process may have created or changed it since the first
   * check.
   */
  const prepare = Effect.gen(function*() {
    const isOld = lock.hasWaited || Option.isNone(checked.header)
    const { header, isSound, isUnchanged } = isOld ? yield* FileCheck.check(file, options) : checked
    yield* FileCheck.prepareLock(file, options, Option.isNone(header))
    // The first commit empties it.
    if (!options.readOnly && Option.isSome(yield* statOption(record))) yield* checkAccess(record, { writable: true })
    const prepared: PreparedFile = {
      pages: Option.match(header, { onNone: () => 0, onSome: ({ lastPage }) => lastPage + 1 }),
      closeRecord: CloseRecord.make(file, record, options, { isSound, isCurrent: isUnchanged })
    }
    return prepared
  })
  return { file, lock, prepare, storeLock }
})
