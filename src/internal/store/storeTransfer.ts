/**
 * Restores backups, and imports the files of other programs.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Engine } from "../../Engine.ts"
import { type EngineFailure, OpenFailed } from "../../StoreError.ts"
import type { ImportOptions, RestoreOptions, StoreNotEmpty } from "../../StoreTransfer.ts"
import * as FilePlatform from "../filePlatform.ts"
import { pathProblem } from "../key/pathProblem.ts"
import * as LmdbImport from "../lmdb/lmdbImport.ts"
import * as LmdbRestore from "../lmdb/lmdbRestore.ts"
import { resolve } from "./storeOptions.ts"

/** Checks the path of the backup or of the file to import. */
const checkFrom = (from: unknown): Effect.Effect<void, OpenFailed> => {
  const detail = pathProblem(from)
  const path = Predicate.isString(from) ? from : typeof from
  return detail === undefined
    ? Effect.void
    : Effect.fail(new OpenFailed({ reason: { _tag: "BadOption", option: "from", detail }, path }))
}

/** Restores a backup to a path where no store is open. */
export const restore = (
  { from, overwrite, ...options }: RestoreOptions
): Effect.Effect<void, OpenFailed | StoreNotEmpty, Engine> =>
  Effect.andThen(checkFrom(from), resolve(options)).pipe(
    Effect.flatMap((resolved) => LmdbRestore.restore(from, resolved, overwrite === true)),
    Effect.provide(FilePlatform.layer),
    Effect.withSpan("Store.restore")
  )

const defaultBatchSize = 1000

/** Passes the records of a file of another program to `write`, part by part. Returns the number of records. */
export const importLmdb = <E, R>(
  { batchSize = defaultBatchSize, from, write, ...settings }: ImportOptions<E, R>
): Effect.Effect<number, OpenFailed | EngineFailure | E, R> =>
  Effect.gen(function*() {
    yield* checkFrom(from)
    const next = yield* Effect.provide(LmdbImport.read(from, settings), FilePlatform.layer)
    let count = 0
    for (let part = yield* next(batchSize); part.length > 0; part = yield* next(batchSize)) {
      yield* write(part)
      count += part.length
    }
    return count
  }).pipe(Effect.scoped, Effect.withSpan("Store.importLmdb"))
