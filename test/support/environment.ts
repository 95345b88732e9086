/** What tests of the engine need: an environment that no store is on. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { statSync } from "node:fs"
import { join } from "node:path"
import { Engine, type EngineOptions, type Environment, type RangeRequest, type Reader } from "../../src/Engine.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import * as LmdbEngine from "../../src/internal/lmdb/lmdbEngine.ts"
import { ByteString } from "../../src/Key.ts"
import { temporaryFolder } from "./harness.ts"

export const mebibyte = 1024 * 1024

/** Opens an environment in a folder of its own. */
export const open = Effect.fnUntraced(function*(options: Partial<EngineOptions> = {}) {
  const path = yield* temporaryFolder
  const engine = yield* Effect.provide(Engine, LmdbEngine.layer)
  const environment = yield* engine.open({
    path,
    subdirectory: true,
    readOnly: false,
    shared: false,
    lock: true,
    lockTimeout: Duration.zero,
    allowWorkerThread: false,
    mapSize: mebibyte,
    maxMapSize: undefined,
    durability: "sync",
    compression: false,
    verify: undefined,
    fileMode: 0o600,
    encryptionKey: undefined,
    ...options
  })
  yield* environment.createDatabases([recordsDatabase])
  return { environment, lengthOf: () => statSync(join(path, "data.mdb")).size, path, engine }
})

export const key = (text: string): ByteString => ByteString(text)

export const bytes = (length: number, fill = 1): Uint8Array => new Uint8Array(length).fill(fill)

/** The value of a read that must succeed. */
export const valueOf = <A, E>(read: Exit.Exit<A, E>): A => Option.getOrThrow(Exit.getSuccess(read))

/** The bytes of a value, for good. */
export const copy = (value: Uint8Array): Uint8Array => new Uint8Array(value.subarray(0, value.length))

/** How many records a database has. */
export const countOf = (environment: Environment, database = recordsDatabase): number =>
  valueOf(environment.count(database))

const everything: RangeRequest = {
  from: undefined,
  to: undefined,
  reverse: false,
  values: false,
  maxRecords: 1000,
  maxBytes: mebibyte
}

/** The keys of a database, in their order. */
export const keysIn = (reader: Reader, database = recordsDatabase): ReadonlyArray<string> =>
  valueOf(reader.read(database, everything)).records.map(([name]) => name)
