/** A primary server with a standby that has every commit before it is acknowledged. */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import type * as SqlError from "effect/sql/SqlError"
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { inRealTime } from "../../src/internal/postgres/sqlFailure.ts"
import { temporaryFolder } from "./harness.ts"
import { type Server, startAnother, startStandby } from "./postgresServer.ts"
import { connectTo, run } from "./postgresStore.ts"

const runOn = (text: string) => (connection: SqlConnection.Connection) => connection.executeValuesUnprepared(text, [])

/** Copies the data folder of a running server. Returns the label of the backup. */
const copyData = (
  sql: SqlClient.SqlClient,
  server: Server,
  folder: string
): Effect.Effect<string, SqlError.SqlError> =>
  Effect.scoped(Effect.gen(function*() {
    const connection = yield* sql.reserve
    yield* runOn("SELECT pg_backup_start('standby', true)")(connection)
    execFileSync("cp", ["-a", server.data, folder])
    execFileSync("rm", ["-f", join(folder, "data", "postmaster.pid"), join(folder, "data", "postmaster.opts")])
    const [row] = yield* runOn("SELECT labelfile FROM pg_backup_stop(false)")(connection)
    return String(row?.[0])
  }))

/** Waits until a statement gives `true`. */
const waitFor = (sql: SqlClient.SqlClient, text: string): Effect.Effect<void, SqlError.SqlError> =>
  Effect.flatMap(
    run(sql, text),
    ([row]) =>
      row?.[0] === true ? Effect.void : Effect.andThen(inRealTime(Effect.sleep("20 millis")), waitFor(sql, text))
  )

/** Starts both servers. They end with this process. */
export const start = Effect.gen(function*() {
  const primary = startAnother()
  const sql = yield* connectTo(primary.url)
  const folder = yield* temporaryFolder
  const label = yield* copyData(sql, primary, folder)
  const standby = startStandby(primary, join(folder, "data"), label)
  yield* run(sql, "ALTER SYSTEM SET synchronous_standby_names = '*'")
  yield* run(sql, "SELECT pg_reload_conf()")
  yield* waitFor(sql, "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'")
  return { primary, standby }
})

/** Makes a standby the primary server, and waits until it takes writes. */
export const promote = (standby: Server) =>
  Effect.scoped(Effect.flatMap(connectTo(standby.url), (sql) => run(sql, "SELECT pg_promote(true, 60)")))
