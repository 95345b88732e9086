/**
 * What happens before LMDB opens a file: it is looked at, and locked against other processes.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { isMainThread } from "node:worker_threads"
import type { EngineOptions } from "../../../Engine.ts"
import { OpenFailed } from "../../../StoreError.ts"
import { fileName } from "../lmdbBackup.ts"
import * as StoreLock from "../storeLock.ts"
import * as FileCheck from "./fileCheck.ts"

/** Why a worker thread may not open a store. */
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

/** Looks at the file, and locks it against other processes until the scope closes. */
export const lockFile = Effect.fnUntraced(function*(options: EngineOptions) {
  const path = yield* Path.Path
  const file = options.subdirectory ? path.join(options.path, fileName) : options.path
  if (!isMainThread && !options.allowWorkerThread) return yield* inWorkerThread(options)
  const seen = yield* FileCheck.look(file, options)
  const storeLock = options.subdirectory ? path.join(options.path, "store.lock") : `${file}-store.lock`
  const lock = yield* StoreLock.acquire({ ...options, file, lockFile: storeLock })
  /** Looks again where another process may have made or changed the file since, and sees to it that LMDB can open it. */
  const prepare = Effect.gen(function*() {
    const header = lock.hasWaited || Option.isNone(seen) ? yield* FileCheck.look(file, options) : seen
    yield* FileCheck.prepareLock(file, options, Option.isNone(header))
    return Option.match(header, { onNone: () => 0, onSome: ({ lastPage }) => lastPage + 1 })
  })
  return { file, lock, prepare, storeLock }
})
