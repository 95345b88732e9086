/**
 * What tests of collections need: a store to open them on, a collection of users, and
 * a way to look at the databases below and to damage them.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { Collection, Engine, LmdbEngine, type OpenFailed, Store, type StoreOptions } from "../src/index.ts"
import * as StoreInternals from "../src/internal/storeInternals.ts"
import { structuresName } from "../src/internal/structureDefinitions.ts"
import type { ByteString } from "../src/Key.ts"
import { openWith } from "./streaming.ts"

/** What all errors of a store may have. */
export interface Failure {
  readonly _tag: string
  readonly message: string
  readonly reason?: string
  readonly collection?: string | undefined
  readonly key?: string
  readonly detail?: string
}

type Options = Partial<Omit<StoreOptions, "path">>

/** Runs an effect on a new store, which commits when it is told to. */
export const inStore = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A, E | OpenFailed, Exclude<R, Store>> =>
  Effect.provide(effect, Store.layerTemp({ flushInterval: "Infinity", ...options }))

/** Runs an effect on the store in a folder, and closes it again. */
export const at = <A, E, R>(
  path: string,
  effect: Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A, E | OpenFailed, Exclude<R, Store>> =>
  Effect.provide(effect, Store.layer({ path, flushInterval: "Infinity", ...options }))

/** Commits what is pending. */
export const flush = Effect.flatMap(Store, (store) => store.flush)

/** All that a stream gives. */
export const all = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<ReadonlyArray<A>, E, R> =>
  Stream.runCollect(stream)

/** A user. */
export class User extends Schema.Class<User>("User")({
  name: Schema.String,
  email: Schema.String,
  age: Schema.Number,
  tags: Schema.Array(Schema.String)
}) {}

/** A user with what a test is about. */
export const user = (fields: Partial<User> = {}): User =>
  new User({ name: "Ada", email: "ada@example.com", age: 36, tags: [], ...fields })

/** A user for each name, with an address and tags of their own. */
export const userOf = (name: string, age: number, tags: ReadonlyArray<string> = []): User =>
  new User({ name, email: `${name.toLowerCase()}@example.com`, age, tags })

/** Users by number, with indexes of all kinds. */
export const users = {
  key: Schema.Int,
  value: User,
  indexes: {
    byEmail: { key: Schema.String, of: (value: User) => value.email, unique: true },
    byAge: { key: Schema.Number, of: (value: User) => value.age },
    byTag: { key: Schema.String, of: (value: User) => value.tags },
    // Those who are of age, by name and age
    adults: {
      key: Schema.Tuple([Schema.String, Schema.Number]),
      of: (value: User) => value.age < 18 ? undefined : [[value.name, value.age] as const]
    }
  }
} as const

/** Opens the users. */
export const openUsers = Collection.make("users", users)

/** Opens the file of a store without the store. */
const openFile = Effect.fnUntraced(function*(path: string) {
  const engine = yield* Effect.provide(Engine.Engine, LmdbEngine.layer)
  return yield* engine.open({
    path,
    subdirectory: true,
    readOnly: false,
    shared: false,
    lock: true,
    lockTimeout: Duration.zero,
    allowWorkerThread: false,
    mapSize: 64 * 1024 * 1024,
    maxMapSize: undefined,
    durability: "sync",
    compression: false,
    verify: undefined,
    fileMode: 0o600,
    encryptionKey: undefined
  })
})

/** The records of a database of a store that is closed. */
export const recordsOf = (
  path: string,
  database: string
): Effect.Effect<ReadonlyArray<readonly [key: ByteString, value: Buffer]>, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const environment = yield* openFile(path)
    yield* Effect.fromResult(environment.openDatabase(database))
    const part = yield* Effect.fromResult(environment.read(database, {
      from: undefined,
      to: undefined,
      reverse: false,
      values: true,
      maxRecords: 1_000_000,
      maxBytes: Infinity
    }))
    return part.records.map(([key, value]) => [key, Buffer.from(value.subarray(0, value.length))] as const)
  }))

/** Writes to the databases of a store that is closed. */
export const tamper = (path: string, writes: ReadonlyArray<Engine.Write>): Effect.Effect<void, unknown> =>
  Effect.scoped(Effect.gen(function*() {
    const environment = yield* openFile(path)
    yield* environment.createDatabases(writes.map(([database]) => database))
    yield* environment.commit(() => Result.succeed({ clear: [], writes }))
  }))

/** Writes to the databases of a store that is open, below it. */
export const damage = (writes: ReadonlyArray<Engine.Write>) =>
  Effect.flatMap(Store, (store) => {
    const { environment } = store[StoreInternals.TypeId].holder.core
    // No commit runs then beside this one.
    return Effect.andThen(store.flush, environment.commit(() => Result.succeed({ clear: [], writes })))
  })

/** The users on a store of their own, and the batches that reached its engine. */
export const watchedUsers = Effect.fnUntraced(function*(options: Options = {}) {
  const batches: Array<ReadonlyArray<Engine.Write>> = []
  const { store } = yield* openWith({ flushInterval: "Infinity", ...options }, ({ commit }) => ({
    commit: (plan) =>
      Effect.suspend(() => {
        let writes: ReadonlyArray<Engine.Write> = []
        const planned: Engine.Plan = (present, transactionId) =>
          Result.map(plan(present, transactionId), (batch) => {
            writes = batch === undefined ? [] : [...batch.writes]
            return batch
          })
        const keep = Effect.sync(() => {
          // Record structures have transactions of their own.
          if (!writes.some(([database]) => database === structuresName)) batches.push(writes)
        })
        return Effect.tap(commit(planned), () => keep)
      })
  }))
  const collection = yield* Effect.provideService(openUsers, Store, store)
  batches.length = 0
  return { batches, store, users: collection }
})
