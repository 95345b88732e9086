/**
 * What tests do with a primary server and its standby.
 */
import * as Effect from "effect/Effect"
import type { Server } from "./postgresServer.ts"
import { connectTo } from "./postgresStore.ts"

/** Runs a statement on a server. */
const runOn = (server: Server, text: string, parameters: ReadonlyArray<unknown> = []) =>
  Effect.scoped(Effect.gen(function*() {
    const sql = yield* connectTo(server.url, { maxConnections: 1 })
    const connection = yield* sql.reserve
    return yield* connection.executeValues(text, parameters)
  }))

/** Lets each commit of a primary server wait until the standby with a name has it. With an empty name no commit waits. */
export const setSynchronous = Effect.fnUntraced(function*(primary: Server, name: string) {
  yield* runOn(primary, `ALTER SYSTEM SET synchronous_standby_names = '${name}'`)
  yield* runOn(primary, "SELECT pg_reload_conf()")
})

/** Waits until a standby has everything that its primary server has now. */
export const awaitStandby = Effect.fnUntraced(function*(primary: Server, standby: Server) {
  const [row] = yield* runOn(primary, "SELECT pg_current_wal_insert_lsn()::text")
  const has = runOn(standby, "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)", [row?.[0]])
  yield* Effect.repeat(has, { until: ([answer]) => answer?.[0] === true })
})

/** Makes a standby the primary server, and waits until it is. */
export const promote = (standby: Server) => runOn(standby, "SELECT pg_promote(true, 60)")
