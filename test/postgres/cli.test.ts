/** The command line on a store on PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { statSync } from "node:fs"
import { Store } from "../../src/index.ts"
import { runCli } from "../support/cliRun.ts"
import * as CliStore from "../support/cliStore.ts"
import { temporaryFolder } from "../support/harness.ts"
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

  it.live("is copied from and to, verified and backed up", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const folder = yield* temporaryFolder
      const [path, back, backup] = [`${folder}/data`, `${folder}/back`, `${folder}/backup`]
      yield* CliStore.write(path)
      const onServer = [serverUrl(), "--table", table]
      const to = yield* runCli(["copy", path, serverUrl(), "--to-table", table, "--write"])
      assert.deepStrictEqual([to.code, to.err], [0, "Copied 20 records.\n"])
      assert.strictEqual((yield* runCli(["copy", path, serverUrl(), "--to-table", table, "--write"])).code, 1)
      const commands = [["verify", ...onServer, "--deep"], ["copy", ...onServer, back, "--write"]]
      for (const args of [...commands, ["backup", ...onServer, backup]]) {
        const { code, err } = yield* runCli(args)
        assert.strictEqual(code, 0, err)
      }
      // The tests of this folder open each path on the server, so they cannot open the file.
      assert.isAbove(statSync(`${backup}/data.mdb`).size, 0)
      assert.strictEqual((yield* runCli(["scan", back, "-c", "users", "--count"])).out, "4\n")
      assert.strictEqual((yield* runCli(["restore", ...onServer, backup, "--write"])).code, 2)
      assert.strictEqual((yield* runCli(["compact", ...onServer, "--write"])).code, 2)
    }).pipe(Effect.scoped))

  it.live("that leads to no server ends with 3", () =>
    Effect.gen(function*() {
      const { code, err } = yield* runCli(["ls", "postgres://nobody@127.0.0.1:1/none", "--json"])
      assert.deepStrictEqual([code, err.includes("Unreachable")], [3, true])
    }))
})
