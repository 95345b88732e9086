/** The contract of backends, on a PostgreSQL server. */
import * as vitest from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BackendContract from "../../src/testing/BackendContract.ts"
import * as PostgresStores from "../support/postgresStore.ts"

BackendContract.define(vitest, {
  name: "PostgreSQL",
  makePlace: Effect.map(PostgresStores.freshTable, (table) => PostgresStores.backendOn({ table, batchSize: 50 }))
})

BackendContract.define(vitest, {
  name: "PostgreSQL, without notifications and with the values before each commit in the log",
  makePlace: Effect.map(PostgresStores.freshTable, (table) =>
    PostgresStores.backendOn({
      table,
      batchSize: 50,
      notify: false,
      durability: "noSync",
      changeLog: { retention: { commits: 10, bytes: "100 kB" }, previous: true }
    })),
  runs: 10
})
