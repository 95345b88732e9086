/** The contract of backends, on a PostgreSQL server. */
import * as vitest from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BackendContract from "../../src/testing/BackendContract.ts"
import * as PostgresStores from "../support/postgresStore.ts"

BackendContract.define(vitest, {
  name: "PostgreSQL",
  makePlace: Effect.map(PostgresStores.freshTable, (table) => PostgresStores.backendOn({ table, batchSize: 50 }))
})
