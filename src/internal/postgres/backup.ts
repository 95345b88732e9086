/**
 * Backs up a store on a database server into a new file of LMDB, which `Store.layer` can open.
 *
 * The backup is written in a temporary folder and gets its name only when all of it is on disk. A backup that was cut
 * short can therefore never be taken for a complete one.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { Backend, CommittedSnapshot } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import * as LmdbEngine from "../../LmdbEngine.ts"
import { EngineFailure } from "../../StoreError.ts"
import { fromWrites } from "../buffer/writeSet.ts"
import { provideFiles } from "../lateModule.ts"
import { fileName } from "../lmdb/lmdbBackup.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import * as OpenStore from "../store/openStore.ts"
import { resolve } from "../store/storeOptions.ts"

/** The errno `EEXIST`. */
const alreadyExists = 17

/** Makes the failure of a backup. A failure of the file or of the server stays as it is. */
const failure = (error: { readonly message: string }): EngineFailure =>
  error instanceof EngineFailure
    ? error
    : new EngineFailure({ operation: "backup", code: 0, detail: error.message, isRetryable: false, cause: error })

/** Copies the records of a database, part by part. */
const copyDatabase = Effect.fnUntraced(function*(snapshot: CommittedSnapshot, target: Backend, database: string) {
  const next = RangeReader.make(snapshot, database, { from: undefined, to: undefined, reverse: false, values: true })
  for (let part = yield* next(); part !== undefined; part = yield* next()) {
    const writes = fromWrites(part.map(([key, value]): Write => [database, key, value]))
    yield* target.commit({ reads: [], writes }, () => () => undefined)
  }
})

/** Writes the records of a snapshot into a new store on LMDB, and closes it. */
const writeStore = Effect.fnUntraced(function*(
  path: string,
  names: ReadonlyArray<string>,
  snapshot: CommittedSnapshot
) {
  const options = yield* resolve({ path })
  const target = yield* Effect.provide(OpenStore.openBackend(options), LmdbEngine.layer)
  yield* target.createDatabases(names)
  yield* Effect.forEach(names, (name) => copyDatabase(snapshot, target, name), { discard: true })
  yield* target.close(Effect.void)
}, Effect.scoped)

/** Writes a snapshot of the committed records to a path at which no file exists. */
export const run = (
  path: string,
  names: Effect.Effect<ReadonlyArray<string>, EngineFailure>,
  openSnapshot: Effect.Effect<CommittedSnapshot, EngineFailure>
): Effect.Effect<void, EngineFailure> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const file = paths.join(path, fileName)
    if (yield* fs.exists(file)) {
      return yield* new EngineFailure({
        operation: "backup",
        code: alreadyExists,
        detail: `there is already something at ${file}; give another path, or remove it first`,
        isRetryable: false
      })
    }
    yield* fs.makeDirectory(path, { recursive: true })
    const folder = yield* fs.makeTempDirectoryScoped({ directory: path, prefix: ".backup-" })
    const snapshot = yield* Effect.acquireRelease(openSnapshot, ({ release }) => Effect.sync(release))
    // A database that was created later than the snapshot is empty in it.
    yield* writeStore(folder, yield* names, snapshot)
    yield* fs.rename(paths.join(folder, fileName), file)
  }).pipe(Effect.scoped, provideFiles(path), Effect.mapError(failure))
