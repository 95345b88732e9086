/**
 * Setup of a test run on PostgreSQL: `Store.make`, `Store.layer` and `Store.layerTemp` open stores on a PostgreSQL server.
 *
 * Each path has tables of its own. They are dropped at the end of the test file.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll } from "vitest"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as PostgresStores from "./postgresStore.ts"

const makeTemp = (options: Omit<StoreOptions, "path"> = {}) =>
  Effect.flatMap(PostgresStores.freshTable, (table) => PostgresStores.open({ ...options, path: table }))

Object.assign(Store, {
  make: PostgresStores.open,
  layer: (options: StoreOptions) => Layer.effect(Store, PostgresStores.open(options)),
  layerTemp: (options?: Omit<StoreOptions, "path">) => Layer.effect(Store, makeTemp(options))
})

afterAll(() => Effect.runPromise(PostgresStores.dropAll))
