/** The commands that read: their output on a terminal and in a pipe, and their exit codes. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { linesOf, runCli } from "../support/cliRun.ts"
import { CliStore } from "../support/cliStore.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

/** Runs a command on the store of the tests. */
const cli = Effect.fnUntraced(function*(command: string, ...args: ReadonlyArray<string>) {
  return yield* runCli([command, yield* CliStore, ...args])
})

const jsonOf = (text: string): unknown => JSON.parse(text)

layer(CliStore.layer, { excludeTestServices: true })("ls", (it) => {
  it.effect("lists the store, namespaces, collections and indexes", () =>
    Effect.gen(function*() {
      const { code, err, out } = yield* cli("ls")
      assert.deepStrictEqual([code, err], [0, ""])
      const rows = linesOf(out).map((line) => line.replace(/ +[\d.]+ \w+$/, "").split(/ {2,}/))
      assert.deepInclude(rows, ["(store)", "store", "5", "string"])
      assert.deepInclude(rows, ["sessions", "namespace", "1", "string"])
      assert.deepInclude(rows, ["users", "collection", "4", "number", "1"])
      assert.deepInclude(rows, ["", "byCountry", "index", "4", "[string, Date]", "1"])
      assert.deepInclude(rows, ["", "byName", "unique index", "4", "string", "1"])
      assert.deepInclude(rows, ["prices", "collection", "3", "[string, number]", "1"])
      assert.deepInclude(rows, ["blobs", "collection", "1", "bytes", "1"])
    }))

  it.effect("writes one JSON document, or one on each line", () =>
    Effect.gen(function*() {
      const document = jsonOf((yield* cli("ls", "--json")).out)
      assert.nestedPropertyVal(document, "records", 5)
      const lines = linesOf((yield* cli("ls", "--ndjson")).out).map(jsonOf)
      assert.strictEqual(lines.length, 12)
      const users = lines.find((line) => JSON.stringify(line).includes("\"name\":\"users\""))
      assert.nestedPropertyVal(users, "keyKinds[0]", "number")
    }))
})

layer(CliStore.layer, { excludeTestServices: true })("get", (it) => {
  const show = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
    const { code, err, out } = yield* cli("get", ...args)
    assert.deepStrictEqual([code, err], [0, ""])
    return out.trimEnd()
  })

  it.effect("reads a word as a key of the kind of the collection", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* show("10"), "\"ten\"")
      assert.strictEqual(yield* show("10", "-c", "tags"), "\"ten\"")
      assert.include(yield* show("10", "-c", "users"), "\"Kurt\"")
      assert.strictEqual(yield* show("[\"FR\",10]", "-c", "prices"), "2.5")
      assert.strictEqual(yield* show("7", "-c", "counters"), "1")
      assert.strictEqual(yield* show("true", "-c", "flags"), "1")
      assert.strictEqual(yield* show("2026-01-01T00:00:00Z", "-c", "events"), "\"new year\"")
      assert.strictEqual(yield* show("{\"$date\":\"2026-01-01T00:00:00Z\"}", "-c", "events"), "\"new year\"")
      assert.strictEqual(yield* show("0x0102", "-c", "blobs"), "12")
      assert.strictEqual(yield* show("{\"$bytes\":\"AQI=\"}", "-c", "blobs"), "12")
      assert.strictEqual(yield* show("[x]", "-c", "tags"), "\"brackets\"")
      assert.strictEqual(yield* show("\"10\"", "-c", "tags"), "\"ten\"")
      assert.strictEqual(yield* show("ada", "-n", "sessions"), "{\"page\":3}")
    }))

  it.effect("tags what JSON lacks", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* show("when"), "{\"$date\":\"2026-03-01T12:00:00.000Z\"}")
      assert.strictEqual(yield* show("set"), "{\"$set\":[\"a\"]}")
      assert.strictEqual(yield* show("{\"$bytes\":\"/wA=\"}"), "{\"$bytes\":\"AQID\"}")
    }))

  it.effect("writes text, bytes and stored bytes as they are", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* show("greeting", "--raw"), "hello")
      assert.strictEqual(yield* show("greeting", "--hex"), "01a568656c6c6f")
      const { code } = yield* cli("get", "set", "--raw")
      assert.strictEqual(code, 2)
    }))

  it.effect("gives keys, values and times as JSON", () =>
    Effect.gen(function*() {
      const [record] = linesOf((yield* cli("get", "ada", "-n", "sessions", "--ndjson")).out).map(jsonOf)
      assert.nestedPropertyVal(record, "key", "ada")
      assert.nestedProperty(record, "expires")
    }))

  it.effect("ends with 1 if a key has no value, after the values of the others", () =>
    Effect.gen(function*() {
      const { code, err, out } = yield* cli("get", "greeting", "nothing")
      assert.deepStrictEqual([code, out], [1, "\"hello\"\n"])
      assert.include(err, "nothing (in the store). It has: -c ")
      assert.include(err, "-n sessions")
      assert.notInclude((yield* cli("get", "nothing", "-c", "tags")).err, "It has")
    }))
})

layer(CliStore.layer, { excludeTestServices: true })("scan", (it) => {
  const keysOf = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
    const { code, out } = yield* cli("scan", ...args, "--keys", "--ndjson")
    assert.strictEqual(code, 0)
    return linesOf(out)
  })

  it.effect("selects by every kind of bound", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* keysOf("-c", "users"), ["1", "2", "3", "10"])
      assert.deepStrictEqual(yield* keysOf("-c", "users", "--gte", "2", "--lt", "10"), ["2", "3"])
      assert.deepStrictEqual(yield* keysOf("-c", "users", "--gt", "2", "--lte", "10", "--reverse"), ["10", "3"])
      assert.deepStrictEqual(yield* keysOf("-c", "users", "--equals", "3"), ["3"])
      assert.deepStrictEqual(yield* keysOf("-c", "users", "--limit", "1", "--offset", "2"), ["3"])
      assert.deepStrictEqual(yield* keysOf("-c", "prices", "--prefix", "FR"), ["[\"FR\",9]", "[\"FR\",10]"])
      assert.deepStrictEqual(yield* keysOf("-c", "prices", "--gt", "[\"FR\",9]"), ["[\"FR\",10]", "[\"IT\",1]"])
      assert.deepStrictEqual(yield* keysOf("-c", "tags", "--prefix", "a"), ["\"apple\""])
      assert.deepStrictEqual(yield* keysOf("--prefix", "gre"), ["\"greeting\""])
    }))

  it.effect("reads by an index, with bounds of the index", () =>
    Effect.gen(function*() {
      const { out } = yield* cli("scan", "-c", "users", "--index", "byCountry", "--prefix", "GB")
      assert.deepStrictEqual(linesOf(out), [
        "INDEX KEY                                    KEY  VALUE",
        "[\"GB\",{\"$date\":\"1815-12-10T00:00:00.000Z\"}]  1    {\"name\":\"Ada\",\"country\":\"GB\",\"born\":\"1815-12-10T00:00:00.000Z\"}",
        "[\"GB\",{\"$date\":\"1912-06-23T00:00:00.000Z\"}]  2    {\"name\":\"Alan\",\"country\":\"GB\",\"born\":\"1912-06-23T00:00:00.000Z\"}"
      ])
      const since = yield* cli(
        "scan",
        "-c",
        "users",
        "--index",
        "byCountry",
        "--gte",
        "[\"GB\",\"1900-01-01\"]",
        "--count"
      )
      assert.strictEqual(since.out, "2\n")
      const unique = yield* cli("scan", "-c", "users", "--index", "byName", "--prefix", "A", "--count")
      assert.strictEqual(unique.out, "2\n")
    }))

  it.effect("says when there are more records", () =>
    Effect.gen(function*() {
      assert.include((yield* cli("scan", "-c", "users", "--limit", "3")).err, "There are more")
      assert.strictEqual((yield* cli("scan", "-c", "users", "--limit", "4")).err, "")
      assert.strictEqual((yield* cli("scan", "-c", "users", "--limit", "3", "--quiet")).err, "")
    }))

  it.effect("writes one JSON document", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(jsonOf((yield* cli("scan", "-c", "prices", "--json")).out), [
        { key: ["FR", 9], value: 1.5 },
        { key: ["FR", 10], value: 2.5 },
        { key: ["IT", 1], value: 3 }
      ])
      assert.deepStrictEqual(jsonOf((yield* cli("scan", "-c", "empty", "--json")).out), [])
    }))

  it.effect("cuts its lines to the width of a terminal", () =>
    Effect.gen(function*() {
      const { out } = yield* runCli(["scan", yield* CliStore, "-c", "users", "--no-color"], { columns: 40 })
      for (const line of linesOf(out)) assert.isAtMost(line.length, 40)
      assert.include(out, "…")
      const colored = yield* runCli(["scan", yield* CliStore, "-c", "users"], { columns: 40 })
      assert.include(colored.out, "\u001b[1m")
    }))
})

const schemas = fileURLToPath(new URL("../support/cliStore.ts", import.meta.url))

layer(CliStore.layer, { excludeTestServices: true })("--schema", (it) => {
  it.effect("shows keys and values by the schemas that a module exports", () =>
    Effect.gen(function*() {
      const scan = yield* cli("scan", "-c", "users", "--schema", schemas, "--ndjson", "--limit", "1")
      assert.deepStrictEqual([scan.code, scan.err.includes("There are more")], [0, true])
      assert.deepStrictEqual(jsonOf(scan.out), {
        key: 1,
        value: { name: "Ada", country: "GB", born: "1815-12-10T00:00:00.000Z" }
      })
      const get = yield* cli("get", "1", "-c", "users", "--schema", schemas)
      assert.include(get.out, "\"Ada\"")
    }))

  it.effect("says what a module exports, and why it cannot be loaded", () =>
    Effect.gen(function*() {
      const other = yield* cli("scan", "-c", "tags", "--schema", schemas)
      assert.deepStrictEqual([other.code, other.err.includes("It exports: users")], [2, true])
      const missing = yield* cli("scan", "-c", "tags", "--schema", "./no-such-module.js")
      assert.deepStrictEqual([missing.code, missing.err.includes("cannot be loaded")], [2, true])
    }))
})

layer(CliStore.layer, { excludeTestServices: true })("stat", (it) => {
  it.effect("shows sizes and counts", () =>
    Effect.gen(function*() {
      const stat = jsonOf((yield* cli("stat", "--json")).out)
      assert.nestedPropertyVal(stat, "collections", 8)
      assert.nestedPropertyVal(stat, "pageSize", 4096)
      assert.match((yield* cli("stat")).out, /^records +20$/m)
    }))
})

layer(CliStore.layer, { excludeTestServices: true })("a folder with stores in it", (it) => {
  it.effect("is no store, and names them", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const empty = yield* runCli(["ls", folder])
      assert.deepStrictEqual([empty.code, empty.err.includes(`at ${folder}: `)], [3, true], empty.err)
      yield* Effect.scoped(withStore({ path: join(folder, "cities") }, (store) => store.put("a", 1)))
      for (const typed of [folder, `${folder}/`]) {
        const { code, err } = yield* runCli(["ls", typed])
        assert.deepStrictEqual([code, err.includes(`There is a store in it: ${folder}/cities`)], [3, true], err)
        assert.notInclude(err, "data.mdb")
      }
    }))
})

layer(CliStore.layer, { excludeTestServices: true })("a command line that is not valid", (it) => {
  const cases: ReadonlyArray<readonly [code: number, args: ReadonlyArray<string>, message: string]> = [
    [2, ["lss"], "ls"],
    [2, ["get", "STORE"], "key"],
    [2, ["scan", "STORE", "-c", "user"], "did you mean users"],
    [2, ["scan", "STORE", "-c", "users", "--index", "byNam"], "did you mean byName"],
    [2, ["scan", "STORE", "-c", "users", "-n", "sessions"], "not both"],
    [2, ["scan", "STORE", "-c", "users", "--prefix", "1"], "no prefix"],
    [2, ["scan", "STORE", "-c", "users", "--limit", "many"], "Expected: a number or \"all\""],
    [2, ["scan", "STORE", "--offset=-1"], "Expected: a number of at least 0"],
    [2, ["get", "STORE", "abc", "-c", "users"], "not a key here"],
    [2, ["ls", "STORE", "--key-file", "./no-such-file"], "The file of --key-file does not exist: ./no-such-file"],
    [3, ["ls", "./no-such-store"], "at ./no-such-store: there is nothing at this path"],
    [3, ["shell", "./no-such-store"], "nothing at this path"]
  ]

  it.effect.each(cases)("ends with %i: %s", ([code, args, message]) =>
    Effect.gen(function*() {
      const path = yield* CliStore
      const given = args.map((arg) => arg === "STORE" ? path : arg)
      const ran = yield* runCli(given)
      assert.strictEqual(ran.code, code, ran.err)
      assert.include(ran.err, message)
      assert.strictEqual(ran.out, "")
      const asJson = yield* runCli([...given, "--json"])
      assert.strictEqual(asJson.code, code)
      assert.nestedProperty(jsonOf(asJson.err), "error.tag")
    }))
})
