/** The commands that write: only with `--write`, and what they change. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { fileURLToPath } from "node:url"
import { runCli } from "../support/cliRun.ts"
import * as CliStore from "../support/cliStore.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const schemas = fileURLToPath(new URL("../support/cliStore.ts", import.meta.url))

const makeStore = Effect.tap(temporaryFolder, CliStore.write)

describe("put", () => {
  it.live("stores JSON, text and files, under keys of every kind", () =>
    Effect.gen(function*() {
      const path = yield* makeStore
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(`${path}.json`, "{\"a\":[1]}")
      const put = (...args: ReadonlyArray<string>) => runCli(["put", path, ...args, "--write"])
      assert.strictEqual((yield* put("when", "{\"$date\":\"2026-01-01T00:00:00Z\"}")).code, 0)
      assert.strictEqual((yield* put("owner", "Ada", "--text")).code, 0)
      assert.strictEqual((yield* put("file", "--from-file", `${path}.json`)).code, 0)
      assert.strictEqual((yield* put("[\"FR\",11]", "4", "-c", "prices")).code, 0)
      const piped = yield* runCli(["put", path, "piped", "--from-file", "-", "--write"], { stdin: "[7]" })
      assert.strictEqual(piped.code, 0, piped.err)
      assert.strictEqual((yield* runCli(["get", path, "piped"])).out, "[7]\n")
      const nowhere = yield* put("file", "--from-file", "./no-such-file.json")
      assert.deepInclude(nowhere, { code: 2, err: "The file of --from-file does not exist: ./no-such-file.json\n" })
      yield* withStore({ path, readOnly: true }, (store) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* store.getOrFail("when"), new Date("2026-01-01T00:00:00Z"))
          assert.strictEqual(yield* store.getOrFail("owner"), "Ada")
          assert.deepStrictEqual(yield* store.getOrFail("file"), { a: [1] })
        }))
      assert.strictEqual((yield* runCli(["get", path, "[\"FR\",11]", "-c", "prices"])).out, "4\n")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.live("refuses without --write, and where it would do harm", () =>
    Effect.gen(function*() {
      const path = yield* makeStore
      const put = (...args: ReadonlyArray<string>) => runCli(["put", path, ...args])
      const without = yield* put("a", "1")
      assert.strictEqual(without.code, 2)
      assert.include(without.err, "--write")
      assert.strictEqual((yield* put("a", "not json", "--write")).code, 2)
      assert.strictEqual((yield* put("greeting", "1", "--write", "--if-absent")).code, 1)
      assert.strictEqual((yield* put("fresh", "1", "--write", "--if-absent")).code, 0)
      const indexed = yield* put("11", "{}", "-c", "users", "--write")
      assert.strictEqual(indexed.code, 2)
      assert.include(indexed.err, "indexes")
      assert.include(indexed.err, "--schema MODULE")
      const nowhere = yield* put("a", "1", "-n", "sess", "--write")
      assert.deepStrictEqual([nowhere.code, nowhere.err.includes("put creates no namespace")], [2, true], nowhere.err)
      yield* withStore({ path, readOnly: true }, (store) =>
        Effect.gen(function*() {
          assert.isTrue(Option.isNone(yield* store.get("a")))
          assert.strictEqual(yield* store.getOrFail("greeting"), "hello")
        }))
    }).pipe(Effect.scoped))

  it.live("stores records of a collection with indexes by its schemas", () =>
    Effect.gen(function*() {
      const path = yield* makeStore
      const put = (key: string, user: object, ...flags: ReadonlyArray<string>) =>
        runCli(["put", path, key, JSON.stringify(user), "-c", "users", "--schema", schemas, "--write", ...flags])
      const edsger = { name: "Edsger", country: "NL", born: "1930-05-11T00:00:00Z" }
      const ran = yield* put("11", edsger)
      assert.strictEqual(ran.code, 0, ran.err)
      assert.strictEqual((yield* put("11", edsger, "--if-absent")).code, 1)
      assert.strictEqual((yield* put("12", edsger)).code, 5)
      assert.strictEqual((yield* put("13", { name: 1 })).code, 2)
      const found = yield* runCli([
        "scan",
        path,
        "-c",
        "users",
        "--index",
        "byName",
        "--equals",
        "Edsger",
        "--keys",
        "--ndjson"
      ])
      assert.strictEqual(found.out, "{\"indexKey\":\"Edsger\",\"key\":11}\n")
    }).pipe(Effect.scoped))

  it.live("keeps the change log of the store", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const options = { path, changeLog: { retention: "1 hour", previous: true } } as const
      yield* withStore(options, (store) => Effect.andThen(store.put("a", 1), store.flush))
      assert.strictEqual((yield* runCli(["put", path, "b", "2", "--write"])).code, 0)
      const changes = yield* withStore(
        options,
        (store) => Stream.runCollect(Stream.take(store.changes({ since: 0 }), 2))
      )
      assert.deepStrictEqual(changes.map((change) => change._tag === "Clear" ? "" : change.key), ["a", "b"])
    }).pipe(Effect.scoped))
})

describe("del", () => {
  it.live("deletes a record with its index entries", () =>
    Effect.gen(function*() {
      const path = yield* makeStore
      assert.strictEqual((yield* runCli(["del", path, "2", "-c", "users", "--write"])).code, 0)
      const users = yield* Effect.provide(
        Effect.gen(function*() {
          const { indexes, size, verify } = yield* CliStore.Users
          return { size: yield* size, problems: yield* verify, alan: yield* indexes.byName.get("Alan") }
        }),
        CliStore.usersOf(path)
      )
      assert.deepStrictEqual(users, { size: 3, problems: [], alan: Option.none() })
    }).pipe(Effect.scoped))

  it.live("needs --yes for more than one record, and says which keys are missing", () =>
    Effect.gen(function*() {
      const path = yield* makeStore
      const del = (...args: ReadonlyArray<string>) => runCli(["del", path, ...args])
      assert.strictEqual((yield* del("greeting")).code, 2)
      const counted = yield* del("-c", "prices", "--prefix", "FR")
      assert.deepStrictEqual([counted.code, counted.err.includes("would delete 2 records of")], [2, true], counted.err)
      const several = yield* del("-c", "prices", "--prefix", "FR", "--write")
      assert.strictEqual(several.code, 2)
      assert.include(several.err, "Delete 2 records")
      assert.strictEqual((yield* del("-c", "prices", "--prefix", "FR", "--write", "--yes")).code, 0)
      assert.strictEqual((yield* runCli(["scan", path, "-c", "prices", "--count"])).out, "1\n")
      assert.strictEqual((yield* del("nothing", "--write")).code, 1)
      assert.strictEqual((yield* del("--write", "--yes")).code, 2)
    }).pipe(Effect.scoped))
})

describe("a command that writes", () => {
  it.live("writes one document with --json, and a line with --ndjson", () =>
    Effect.gen(function*() {
      const path = yield* makeStore
      assert.deepInclude(yield* runCli(["put", path, "a", "1", "--write", "--ndjson"]), {
        code: 0,
        out: "{\"put\":1}\n"
      })
      const deleted = yield* runCli(["del", path, "a", "--write", "--json", "--quiet"])
      assert.deepEqual(deleted, { code: 0, out: "{\n  \"deleted\": 1\n}\n", err: "" })
    }).pipe(Effect.scoped))
})

describe("an encrypted store", () => {
  it.live("opens with the key of a file, and not without it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const fs = yield* FileSystem.FileSystem
      const key = "0123456789abcdef0123456789abcdef"
      yield* fs.writeFileString(`${path}.key`, `${key}\n`)
      yield* withStore({ path, encryptionKey: Redacted.make(key) }, (store) => store.putMany({ greeting: "hello" }))
      assert.strictEqual((yield* runCli(["get", path, "greeting", "--key-file", `${path}.key`])).out, "\"hello\"\n")
      assert.strictEqual((yield* runCli(["put", path, "a", "1", "--write", "--key-file", `${path}.key`])).code, 0)
      const without = yield* runCli(["get", path, "greeting", "--json"])
      assert.deepStrictEqual([without.code, without.err.includes("\"_tag\":\"Encrypted\"")], [3, true])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
