/**
 * Restores backups, compacts stores, and imports the files of other programs.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { Engine } from "../../Engine.ts"
import { type EngineFailure, OpenFailed } from "../../StoreError.ts"
import type { Compaction, CompactOptions, ImportOptions, RestoreOptions, StoreNotEmpty } from "../../StoreTransfer.ts"
import { pathProblem } from "../key/pathProblem.ts"
import { load, provideFiles } from "../lateModule.ts"
import { similarTo } from "../similarNames.ts"
import { describeKind } from "../value/kindOf.ts"
import { resolve } from "./storeOptions.ts"

const badOption = (from: unknown, option: string, detail: string): OpenFailed =>
  new OpenFailed({
    reason: { _tag: "BadOption", option, detail },
    path: Predicate.isString(from) ? from : typeof from
  })

/** Checks the path of the backup or of the file to import. */
const checkFrom = (from: unknown): Effect.Effect<void, OpenFailed> => {
  const detail = pathProblem(from)
  return detail === undefined ? Effect.void : Effect.fail(badOption(from, "from", detail))
}

/** Restores a backup to a path where no store is open. */
export const restore = (
  { from, overwrite, ...options }: RestoreOptions
): Effect.Effect<void, OpenFailed | StoreNotEmpty, Engine> =>
  Effect.andThen(checkFrom(from), resolve(options)).pipe(
    Effect.flatMap((resolved) =>
      Effect.flatMap(
        load(from, "lmdb", () => import("../lmdb/lmdbRestore.ts")),
        (module) => module.restore(from, resolved, overwrite === true)
      )
    ),
    provideFiles(from),
    Effect.withSpan("Store.restore")
  )

/** Compacts a store that no process has open. */
export const compact = (options: CompactOptions): Effect.Effect<Compaction, OpenFailed | EngineFailure, Engine> =>
  resolve(options).pipe(
    Effect.flatMap((resolved) =>
      Effect.flatMap(
        load(options.path, "lmdb", () => import("../lmdb/lmdbCompact.ts")),
        (module) => module.compact(resolved)
      )
    ),
    provideFiles(options.path),
    Effect.withSpan("Store.compact")
  )

const defaultBatchSize = 1000

/** All options of an import, so that the compiler asks for a new one. */
const importOptions: { readonly [Name in keyof ImportOptions<unknown, unknown>]-?: true } = {
  from: true,
  database: true,
  encoding: true,
  keyEncoding: true,
  dupSort: true,
  sharedStructuresKey: true,
  batchSize: true,
  write: true
}

/** Checks the options of an import that the library does not. */
const checkImport = (
  { batchSize = defaultBatchSize, from, write, ...settings }: ImportOptions<unknown, unknown>
): Effect.Effect<void, OpenFailed> => {
  const names = Object.keys(importOptions)
  const unknown = Object.keys(settings).find((name) => !names.includes(name))
  if (unknown !== undefined) {
    return Effect.fail(badOption(from, unknown, `there is no such option${similarTo(unknown, names)}`))
  }
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    return Effect.fail(badOption(from, "batchSize", "it must be a whole number of at least 1"))
  }
  return Predicate.isFunction(write)
    ? checkFrom(from)
    : Effect.fail(badOption(from, "write", `it must be a function, and is ${describeKind(write)}`))
}

/** Passes the records of a file of another program to `write`, part by part. Returns the number of records. */
export const importLmdb = <E, R>(
  options: ImportOptions<E, R>
): Effect.Effect<number, OpenFailed | EngineFailure | E, R> =>
  Effect.gen(function*() {
    yield* checkImport(options)
    const { batchSize = defaultBatchSize, from, write, ...settings } = options
    const { read } = yield* load(from, "lmdb", () => import("../lmdb/lmdbImport.ts"))
    const next = yield* provideFiles(from)(read(from, settings))
    let count = 0
    for (let part = yield* next(batchSize); part.length > 0; part = yield* next(batchSize)) {
      const writing = write(part)
      if (!Effect.isEffect(writing)) {
        return yield* badOption(from, "write", `it must return an Effect, and has returned ${describeKind(writing)}`)
      }
      yield* writing
      count += part.length
    }
    return count
  }).pipe(Effect.scoped, Effect.withSpan("Store.importLmdb"))
