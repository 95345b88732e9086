/** The command line on a store on PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Store } from "../../src/index.ts"
import { runCli } from "../support/cliRun.ts"
import * as CliStore from "../support/cliStore.ts"
import { serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"

describe("a postgres:// URL", () => {
  it.live("takes the place of a path", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table })
      yield* Effect.provideService(CliStore.fill, Store, store)
      const cli = (command: string, ...args: ReadonlyArray<string>) =>
        runCli([command, serverUrl(), "--table", table, ...args])
      const ls = yield* cli("ls", "--json")
      assert.strictEqual(ls.code, 0, ls.err)
      assert.nestedPropertyVal(JSON.parse(ls.out), "records", 5)
      const scan = yield* cli("scan", "-c", "users", "--index", "byCountry", "--prefix", "GB", "--count")
      assert.strictEqual(scan.out, "2\n")
      const put = yield* cli("put", "fresh", "1", "--write")
      assert.strictEqual(put.code, 0, put.err)
      assert.strictEqual((yield* cli("get", "fresh")).out, "1\n")
      const stat = yield* cli("stat", "--json")
      assert.strictEqual(stat.code, 0, stat.err)
    }).pipe(Effect.scoped))

  it.live("that leads to no server ends with 3", () =>
    Effect.gen(function*() {
      const { code, err } = yield* runCli(["ls", "postgres://nobody@127.0.0.1:1/none", "--json"])
      assert.deepStrictEqual([code, err.includes("Unreachable")], [3, true])
    }))
})
