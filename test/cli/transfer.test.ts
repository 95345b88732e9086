/** The commands export and import: files of each format, and what they say. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { deepStrictEqual } from "node:assert"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gunzipSync } from "node:zlib"
import { Store } from "../../src/index.ts"
import { linesOf, runCli } from "../support/cliRun.ts"
import { CliStore } from "../support/cliStore.ts"
import { temporaryFolder } from "../support/harness.ts"
import { storedContents } from "../support/storedContents.ts"

const contentsOf = (path: string) => Effect.scoped(Effect.flatMap(Store.make({ path }), storedContents))

const readFile = (path: string) => Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFile(path))
const writeFile = (path: string, text: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.writeFileString(path, text))

const schemaModule = fileURLToPath(new URL("../support/cliStore.ts", import.meta.url))

layer(CliStore.layer, { excludeTestServices: true })("export and import", (it) => {
  it.effect("move a store through a file of each format, compressed or not", () =>
    Effect.gen(function*() {
      const path = yield* CliStore
      const folder = yield* temporaryFolder
      const expected = yield* contentsOf(path)
      for (const file of ["a.ndjson", "a.ndjson.gz", "a.csv", "a.csv.gz", "a.dump"]) {
        const target = join(folder, `store of ${file}`)
        const format = ["csv", "dump"].find((name) => file.includes(name)) ?? "ndjson"
        const options = ["--format", format, file.endsWith(".gz") ? "--gzip" : "--snapshot"]
        const written = yield* runCli(["export", path, "--out", join(folder, file), ...options])
        deepStrictEqual([written.code, written.out, written.err], [0, "", `Written: ${join(folder, file)}\n`])
        const read = yield* runCli(["import", target, join(folder, file), "--write"])
        deepStrictEqual([read.code, read.err], [0, ""])
        deepStrictEqual(yield* contentsOf(target), expected)
      }
      const [packed, plain] = yield* Effect.all([
        readFile(join(folder, "a.ndjson.gz")),
        readFile(join(folder, "a.ndjson"))
      ])
      deepStrictEqual(gunzipSync(packed), Buffer.from(plain))
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("write what is asked for to standard output", () =>
    Effect.gen(function*() {
      const { code, err, out } = yield* runCli(["export", yield* CliStore, "-c", "tags", "-n", "sessions"])
      deepStrictEqual([code, err], [0, ""])
      const [, , session, , tag] = linesOf(out)
      assert.match(session ?? "", /^\{"namespace":"sessions","key":"ada","value":\{"page":3\},"expires":"2/)
      assert.strictEqual(tag, `{"collection":"tags","key":"10","value":"ten"}`)
      const wrong = yield* runCli(["export", yield* CliStore, "-c", "tag"])
      assert.strictEqual(wrong.code, 2)
      assert.match(wrong.err, /no collection "tag".*tags/)
    }))

  it.effect("write only with --write, and say where they stopped", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = join(folder, "file.ndjson")
      const [store, rejects] = [join(folder, "store"), join(folder, "rejects")]
      yield* writeFile(file, `{"key":"a","value":1}\nbroken\n{"key":"b","value":2}\n`)
      const refused = yield* runCli(["import", store, file])
      assert.strictEqual(refused.code, 2)
      const stopped = yield* runCli(["import", store, file, "--write"])
      assert.strictEqual(stopped.code, 1)
      assert.include(
        stopped.err,
        "The lines up to 1 are imported. Continue with --resume.\nLine 2 cannot be imported: it is not JSON"
      )
      const dry = yield* runCli(["import", store, file, "--dry-run", "--resume", "--rejects", rejects, "--json"])
      deepStrictEqual([dry.code, JSON.parse(dry.out)], [1, {
        lines: 3,
        written: 1,
        skipped: 0,
        expired: 0,
        rejected: 1
      }])
      const resumed = yield* runCli(["import", store, file, "--write", "--resume", "--rejects", `${rejects}2`])
      assert.strictEqual(resumed.code, 1)
      assert.match(resumed.err, /Line 2: it is not JSON.*\n1 line refused: see /)
      assert.strictEqual(Buffer.from(yield* readFile(`${rejects}2`)).toString(), "broken\n")
      deepStrictEqual((yield* contentsOf(store))["records"]?.map(([key]) => key), ["a", "b"])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("write nothing in a dry run, with schemas or --write too", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const fs = yield* FileSystem.FileSystem
      const [store, file] = [join(folder, "store"), join(folder, "file.ndjson")]
      yield* writeFile(
        file,
        `{"collection":"users","key":77,"value":{"name":"Ada King","country":"GB","born":"1815-12-10T00:00:00.000Z"}}\n`
      )
      const options = ["--dry-run", "--schema", schemaModule]
      for (const more of [[], ["--write"]]) {
        const created = yield* runCli(["import", store, file, ...options, ...more])
        deepStrictEqual([created.code, created.err], [0, ""])
        assert.match(created.out, /valid +1/)
        assert.isFalse(yield* fs.exists(store))
        const before = yield* contentsOf(yield* CliStore)
        const existing = yield* runCli(["import", yield* CliStore, file, ...options, ...more])
        deepStrictEqual([existing.code, existing.err], [0, ""])
        assert.match(existing.out, /valid +1/)
        deepStrictEqual(yield* contentsOf(yield* CliStore), before)
      }
      // The store exists, and the import would create the collection
      yield* writeFile(`${file}.plain.ndjson`, `{"key":"a","value":1}\n`)
      yield* runCli(["import", store, `${file}.plain.ndjson`, "--write"])
      const before = yield* contentsOf(store)
      const added = yield* runCli(["import", store, file, ...options])
      deepStrictEqual([added.code, added.err], [0, ""])
      assert.match(added.out, /valid +1/)
      deepStrictEqual(yield* contentsOf(store), before)
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("create no store for a file of another format", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const fs = yield* FileSystem.FileSystem
      const [store, file] = [join(folder, "store"), join(folder, "file")]
      yield* writeFile(file, "name: Ada\n")
      for (const format of ["ndjson", "csv", "dump"]) {
        const { code, err } = yield* runCli(["import", store, file, "--write", "--format", format])
        assert.strictEqual(code, 1)
        assert.match(err, /^Line 1 cannot be imported: /)
        assert.isFalse(yield* fs.exists(store))
      }
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("write refused rows of CSV so that they can be imported after a correction", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const fs = yield* FileSystem.FileSystem
      const [store, file, rejects] = [join(folder, "store"), join(folder, "file.csv"), join(folder, "rejects.csv")]
      yield* writeFile(file, `key,name\na,Ada\na,"Ada ""the"" second, again"\na,third\n`)
      const refused = yield* runCli(["import", store, file, "--write", "--batch", "1", "--rejects", rejects])
      assert.strictEqual(refused.code, 1)
      const text = yield* fs.readFileString(rejects)
      assert.strictEqual(text, `key,name\na,"Ada ""the"" second, again"\na,third\n`)
      yield* writeFile(rejects, text.replace(`a,"`, `b,"`).replace("a,third", "c,third"))
      const corrected = yield* runCli(["import", store, rejects, "--write"])
      deepStrictEqual([corrected.code, corrected.err], [0, ""])
      const records = (yield* contentsOf(store))["records"] ?? []
      deepStrictEqual(records.map(([key]) => key), ["a", "b", "c"])
      assert.include(JSON.stringify(records), JSON.stringify(`Ada "the" second, again`))
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("name the record that exists, and what can be done", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [store, file] = [join(folder, "store"), join(folder, "file.ndjson")]
      yield* writeFile(file, `{"effect-lmdb":1}\n{"namespace":"n","key":"a","value":1}\n`)
      assert.strictEqual((yield* runCli(["import", store, file, "--write"])).code, 0)
      const again = yield* runCli(["import", store, file, "--write"])
      // No record of this import was written, so there is nothing to continue
      deepStrictEqual([again.code, again.err], [
        1,
        `Line 2 cannot be imported: a record with the key "a" exists in the namespace "n" ` +
        `(--mode put replaces it, --mode skip keeps it)\n`
      ])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("say which file of the command line cannot be used, and change nothing", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const fs = yield* FileSystem.FileSystem
      const [store, file, none] = [join(folder, "store"), join(folder, "file.ndjson"), join(folder, "none")]
      yield* writeFile(file, `{"key":"a","value":1}\n`)
      for (
        const [args, message] of [
          [["import", store, none, "--write"], `${none} does not exist.`],
          [["import", store, folder, "--write"], `${folder} is a directory. Give the path of a file.`],
          [
            ["import", store, file, "--write", "--rejects", join(none, "r")],
            `${join(none, "r")} of --rejects cannot be written: the folder ${none} does not exist.`
          ],
          [
            ["export", yield* CliStore, "--out", folder, "--overwrite"],
            `${folder} of --out cannot be written: it is a directory.`
          ],
          [["export", yield* CliStore, "--out", file], `${file} exists. Give --overwrite to replace it.`]
        ] as const
      ) {
        const { code, err } = yield* runCli(args)
        deepStrictEqual([code, err], [2, `${message}\n`])
      }
      assert.isFalse(yield* fs.exists(store))
      assert.strictEqual(yield* fs.readFileString(file), `{"key":"a","value":1}\n`)
      const replaced = yield* runCli(["export", yield* CliStore, "--out", file, "--overwrite"])
      assert.strictEqual(replaced.code, 0)
      assert.match(yield* fs.readFileString(file), /^\{"effect-lmdb":1\}/)
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("say the defaults in the help", () =>
    Effect.gen(function*() {
      const { out } = yield* runCli(["import", "--help"])
      for (const text of ["Default: insert", "Default: 1000", "Default: by the name"]) assert.include(out, text)
      assert.include((yield* runCli(["export", "--help"])).out, "Default: ndjson")
    }))

  it.effect("check records by the schemas of a module", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = join(folder, "file.ndjson")
      yield* writeFile(
        file,
        `{"collection":"users","key":1,"value":{"name":"Ada","country":"GB","born":"1815-12-10T00:00:00.000Z"}}\n` +
          `{"collection":"users","key":2,"value":{"name":"Eve"}}\n`
      )
      const store = join(folder, "store")
      const { code, err } = yield* runCli(["import", store, file, "--write", "--schema", schemaModule])
      assert.strictEqual(code, 1)
      assert.match(err, /Line 2 cannot be imported: .*country/s)
      const found = yield* runCli(["scan", store, "-c", "users", "--index", "byName", "--ndjson"])
      assert.match(found.out, /"indexKey":"Ada","key":1/)
    }).pipe(Effect.provide(NodeServices.layer)))
})
