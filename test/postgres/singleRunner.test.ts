/** Workflows of several processes on one store on PostgreSQL. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import * as Standby from "../support/standby.ts"
import { testLimit } from "../support/timeLimits.ts"

describe("workflows of several processes on one store on PostgreSQL", () => {
  it.live("run in one of them, and in another one after its end", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      yield* Standby.check(yield* PostgresStores.openOn({ table }), [serverUrl(), table])
    }).pipe(Effect.scoped), testLimit)
})
