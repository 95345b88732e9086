/**
 * Where a store is: in a folder, or in tables of a PostgreSQL server.
 */
import * as Effect from "effect/Effect"
import * as Match from "effect/Match"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Struct from "effect/Struct"
import { statSync } from "node:fs"
import { join } from "node:path"
import { type OpenFailed, Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import { temporaryFolder } from "./harness.ts"
import { ownServer } from "./postgresServer.ts"
import * as PostgresStores from "./postgresStore.ts"

/** What a store can be on. */
export const Kind = Schema.Literals(["lmdb", "postgres"])
export type Kind = typeof Kind.Type

/** A place, as a child process is told of it. */
export const Place = Schema.Union([
  Schema.TaggedStruct("Folder", { path: Schema.String }),
  Schema.TaggedStruct("Server", { url: Schema.String, table: Schema.String })
])
export type Place = typeof Place.Type

/** Makes an empty place, which is removed when the scope closes. */
export const make = (kind: Kind): Effect.Effect<Place, never, Scope.Scope> =>
  kind === "lmdb"
    ? Effect.map(temporaryFolder, (folder) => ({ _tag: "Folder", path: join(folder, "store") }))
    : Effect.map(PostgresStores.freshTable, (table) => ({ _tag: "Server", url: ownServer().url, table }))

/** The options of a store that programs choose. A server has no map, and all of its stores are shared. */
type Options = Pick<StoreOptions, "shared" | "readOnly" | "mapSize" | "batchSize" | "flushInterval" | "changeLog">

/** Opens the store of a place until the scope closes. */
export const open = (place: Place, options: Options = {}): Effect.Effect<StoreService, OpenFailed, Scope.Scope> =>
  Match.valueTags(place, {
    Folder: ({ path }) => Store.make({ ...options, path }),
    Server: ({ table, url }) =>
      PostgresStores.openOn(
        { ...Struct.pick(options, ["readOnly", "batchSize", "flushInterval", "changeLog"]), table },
        url
      )
  })

/** The bytes that the store of a place takes. */
export const bytesOf = (place: Place, store: StoreService) =>
  Match.valueTags(place, {
    Folder: ({ path }) => Effect.sync(() => statSync(join(path, "data.mdb")).size),
    Server: () => Effect.map(store.stats, ({ fileBytes }) => fileBytes)
  })
