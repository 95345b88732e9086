/**
 * Compacts a store that no process has open: copies it without its free pages, and replaces its file with the copy.
 *
 *     locked ──> copied to a folder beside it ──> copy checked ──> lock file and close record removed ──> replaced
 *
 * The store is complete after each step: the old file until the last one, and the new file from then on. What an
 * interrupted compaction has left is removed by the next one.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { Engine, type EngineOptions, type Environment } from "../../Engine.ts"
import { EngineFailure, type OpenFailed } from "../../StoreError.ts"
import type { Compaction } from "../../StoreTransfer.ts"
import { openFailed, ownerOnly, statOption, toOpenFailed } from "./file/fileAccess.ts"
import { storeLockOf } from "./file/fileCheck.ts"
import { fileName } from "./lmdbBackup.ts"
import { refuseReaders, replace } from "./lmdbReplacement.ts"
import * as StoreLock from "./storeLock.ts"

/** Counts the records of each database. */
const countsOf = Effect.fnUntraced(function*(environment: Environment) {
  const counts = new Map<string, number>()
  for (const name of environment.databases()) counts.set(name, yield* environment.count(name))
  return counts
})

/** Opens a file that only this process uses, and checks all of its pages. */
const openChecked = (engine: Engine["Service"], options: EngineOptions) =>
  engine.open({ ...options, readOnly: true, shared: false, lock: false, verify: true })

/** Copies the store, and checks that the copy has the same state. */
const copyChecked = Effect.fnUntraced(function*(folder: string, options: EngineOptions) {
  const path = yield* Path.Path
  const engine = yield* Engine
  const copy = path.join(folder, fileName)
  const source = yield* openChecked(engine, options)
  yield* source.backup(options.subdirectory ? folder : copy, { compact: true })
  const compacted = yield* openChecked(engine, { ...options, path: folder, subdirectory: true })
  const [before, after] = [yield* countsOf(source), yield* countsOf(compacted)]
  // LMDB gives the copy of a state with an even number the next odd one, because it is in the meta page of odd numbers.
  const skipped = (yield* compacted.transactionId()) - (yield* source.transactionId())
  const isSame = (skipped === 0 || skipped === 1) && before.size === after.size &&
    [...before].every(([name, count]) => after.get(name) === count)
  if (isSame) return copy
  return yield* new EngineFailure({
    operation: "compact",
    code: 0,
    detail: "the copy does not have the records of the store, so nothing was replaced",
    isRetryable: false
  })
}, Effect.scoped)

/** Makes an empty folder until the scope closes. */
const emptyFolder = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const remove = fs.remove(folder, { recursive: true, force: true })
  yield* Effect.acquireRelease(
    Effect.andThen(remove, fs.makeDirectory(folder, { mode: 0o700 })),
    () => Effect.ignore(remove)
  )
})

/** Compacts a store. */
export const compact = Effect.fnUntraced(function*(
  given: EngineOptions
): Effect.fn.Return<Compaction, OpenFailed | EngineFailure, Engine | FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = given.subdirectory ? path.join(given.path, fileName) : given.path
  const found = Option.getOrUndefined(yield* statOption(file))
  if (found === undefined || found.size === 0) {
    return yield* openFailed(given.path, "Missing", "there is no store at this path")
  }
  const options: EngineOptions = { ...given, fileMode: (found.mode & 0o777) | ownerOnly }
  const real = yield* Effect.mapError(fs.realPath(file), toOpenFailed(given.path))
  return yield* Effect.scoped(Effect.gen(function*() {
    const lockFile = storeLockOf(path, file, options.subdirectory)
    const lock = yield* StoreLock.acquire({ ...options, readOnly: false, shared: false, file, lockFile })
    yield* refuseReaders({ lock, options })
    const folder = path.join(path.dirname(real), `.${path.basename(real)}.compact`)
    yield* Effect.mapError(emptyFolder(folder), toOpenFailed(given.path))
    const copy = yield* copyChecked(folder, options)
    yield* replace(copy, { file, lock, options }, Effect.void)
    return {
      bytesBefore: found.size,
      bytesAfter: Option.match(yield* statOption(real), { onNone: () => 0, onSome: ({ size }) => size })
    }
  }))
})
