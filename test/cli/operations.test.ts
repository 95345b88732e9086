/** The commands that look after a store: verify, backup, restore, compact, copy. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { fileURLToPath } from "node:url"
import { Store } from "../../src/index.ts"
import * as Inspect from "../../src/Inspect.ts"
import * as ByteProgress from "../../src/internal/cli/byteProgress.ts"
import { catalogDatabase, collectionDatabase, indexDatabase, namespaceDatabase } from "../../src/internal/databases.ts"
import { ByteString } from "../../src/Key.ts"
import { linesOf, runCli } from "../support/cliRun.ts"
import * as CliStore from "../support/cliStore.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { temporaryFolder, until, withStore } from "../support/harness.ts"

const schemas = fileURLToPath(new URL("../support/cliStore.ts", import.meta.url))

const made = Effect.gen(function*() {
  const path = join(yield* temporaryFolder, "data")
  yield* CliStore.write(path)
  return path
})

const contents = (path: string) =>
  Effect.map(
    withStore({ path, readOnly: true }, (store) => Effect.provideService(Inspect.contents, Store, store)),
    (
      { collections, namespaces, records }
    ) => [records, ...[...namespaces, ...collections].map((place) => [place.name, place.records])]
  )

const Problem = Schema.fromJsonString(Schema.Struct({ problem: Schema.String, where: Schema.String }))

const decodeProblem = Schema.decodeUnknownSync(Problem)

const decodeJson = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))

describe("verify", () => {
  it.live("finds nothing in a sound store", () =>
    Effect.gen(function*() {
      const path = yield* made
      for (const flags of [[], ["--deep"], ["--deep", "--schema", schemas]]) {
        const ran = yield* runCli(["verify", path, ...flags])
        assert.deepStrictEqual([ran.code, ran.out], [0, ""], ran.err)
        assert.include(ran.err, "No problems")
      }
      assert.strictEqual((yield* runCli(["verify", path, "--json"])).out, "[]\n")
    }).pipe(Effect.scoped))

  it.live("lists values that do not decode, and disagreements of records and indexes", () =>
    Effect.gen(function*() {
      const path = yield* made
      const [ada, alan] = yield* recordsOf(path, indexDatabase("users", "byName"))
      assert.isDefined(ada)
      assert.isDefined(alan)
      if (ada === undefined || alan === undefined) return
      yield* tamper(path, [
        [collectionDatabase("tags"), ByteString("\x01\x02"), Buffer.of(1)],
        [namespaceDatabase("sessions"), ByteString("ada"), Buffer.of(0xc1)],
        [indexDatabase("users", "byName"), ada[0], null],
        [indexDatabase("users", "byName"), ByteString("`Zoe\0"), alan[1]],
        [catalogDatabase, ByteString("blobs"), Buffer.of(0xc1)]
      ])
      const ran = yield* runCli(["verify", path, "--deep", "--ndjson"])
      assert.deepStrictEqual(
        [ran.code, ran.err],
        [1, "{\"error\":{\"tag\":\"No\",\"message\":\"6 problems.\"}}\n"],
        ran.out
      )
      assert.sameDeepMembers(
        linesOf(ran.out).map((line) => decodeProblem(line)).map(({ problem, where }) => [problem, where]),
        [
          ["Undecodable", "sessions"],
          ["UnreadableCollection", "blobs"],
          // Its key and its value
          ["Undecodable", "tags"],
          ["Undecodable", "tags"],
          ["MissingEntry", "users.byName"],
          ["StrayEntry", "users.byName"]
        ]
      )
      // The catalog is read without --deep too.
      assert.deepInclude(yield* runCli(["verify", path]), { code: 1, err: "1 problem.\n" })
      const bySchemas = yield* runCli(["verify", path, "--schema", schemas])
      assert.include(bySchemas.out, "MissingEntry")
      // The other commands go on.
      assert.strictEqual((yield* runCli(["ls", path])).code, 0)
    }).pipe(Effect.scoped))

  it.live("shows a damaged file as a problem, and ends with 3 if the store cannot be opened", () =>
    Effect.gen(function*() {
      const path = yield* made
      const file = join(path, "data.mdb")
      const bytes = readFileSync(file)
      for (let page = 2; page * 4096 < bytes.length; page++) bytes.fill(0xff, page * 4096 + 8, page * 4096 + 24)
      writeFileSync(file, bytes)
      const ran = yield* runCli(["verify", path])
      assert.deepStrictEqual([ran.code, ran.err], [1, "1 problem.\n"])
      assert.include(ran.out, "NotADatabase")
      assert.strictEqual((yield* runCli(["verify", `${path}-none`])).code, 3)
    }).pipe(Effect.scoped))
})

describe("backup and restore", () => {
  it.live("copy a store that is open, and bring it back", () =>
    Effect.gen(function*() {
      const path = yield* made
      const before = yield* contents(path)
      const [one, two] = [`${path}-one`, `${path}-two`]
      yield* withStore({ path, readOnly: true }, () =>
        Effect.gen(function*() {
          assert.deepInclude(yield* runCli(["backup", path, one, "--verify"]), { code: 0, out: `${one}\n` })
          assert.strictEqual((yield* runCli(["backup", path, two, "--compact", "--json"])).code, 0)
          const there = yield* runCli(["backup", path, one])
          assert.deepStrictEqual([there.code, there.err.startsWith(`There is something at ${one}.`)], [1, true])
          const open = yield* runCli(["restore", path, one, "--write", "--overwrite"])
          assert.strictEqual(open.code, 3)
          assert.include(open.err, String(process.pid))
        }))
      assert.deepStrictEqual(readdirSync(one), ["data.mdb"])
      yield* withStore({ path }, (store) => store.clear)
      assert.strictEqual((yield* runCli(["restore", path, one])).code, 2)
      const refused = yield* runCli(["restore", path, one, "--write"])
      assert.strictEqual(refused.code, 1)
      assert.include(refused.err, "--overwrite")
      assert.strictEqual((yield* runCli(["restore", path, one, "--write", "--overwrite"])).code, 0)
      assert.deepStrictEqual(yield* contents(path), before)
      const restored = yield* runCli(["restore", `${path}-new`, two, "--write", "--json"])
      assert.strictEqual(restored.code, 0)
      assert.deepStrictEqual(decodeJson(restored.out), { path: `${path}-new`, from: two })
      assert.deepStrictEqual(yield* contents(`${path}-new`), before)
      assert.strictEqual((yield* runCli(["restore", path, `${path}-none`, "--write", "--overwrite"])).code, 3)
    }).pipe(Effect.scoped))

  it.live("keep the last backups of a store, and delete nothing else", () =>
    Effect.gen(function*() {
      const path = yield* made
      const other = yield* made
      const parent = `${path}-backups`
      const backup = (from = path, ...flags: ReadonlyArray<string>) =>
        Effect.map(runCli(["backup", from, parent, "--keep", "2", ...flags]), ({ code, err, out }) => {
          assert.strictEqual(code, 0, err)
          return out.trimEnd()
        })
      const elsewhere = yield* backup(other)
      const first = yield* backup()
      assert.match(first, /data-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z$/)
      // What a user has made or changed is no backup of this command any more.
      const extended = yield* backup()
      writeFileSync(join(extended, "notes.txt"), "before the migration")
      const renamed = join(parent, "before-the-migration")
      renameSync(yield* backup(), renamed)
      const unmarked = yield* backup()
      writeFileSync(join(unmarked, "effect-lmdb-backup.json"), "{}")
      mkdirSync(join(parent, "data-2020-01-01T00-00-00.000Z"))
      writeFileSync(join(parent, "data-2020"), "")
      const linked = yield* backup()
      renameSync(linked, `${parent}-linked`)
      symlinkSync(`${parent}-linked`, linked)
      const last = [yield* backup(path, "--verify"), yield* backup(path, "--compact")]
      const kept = [elsewhere, extended, renamed, unmarked, linked, ...last]
      for (const one of kept) assert.deepStrictEqual([one, existsSync(join(one, "data.mdb"))], [one, true])
      assert.isFalse(existsSync(first))
      assert.strictEqual(readdirSync(parent).length, kept.length + 2)
      // A backup can be looked into, and still is one.
      assert.strictEqual((yield* runCli(["ls", last[0] ?? ""])).code, 0)
      const ran = yield* runCli(["backup", path, parent, "--keep", "1", "--ndjson"])
      assert.deepNestedInclude(decodeJson(ran.out), { verified: false, deleted: last.toReversed() })
      for (const one of last) assert.isFalse(existsSync(one), one)
    }).pipe(Effect.scoped))

  it.live("keep the backup that was just made, also if the clock was set back since an earlier one", () =>
    Effect.gen(function*() {
      const path = yield* made
      const parent = `${path}-backups`
      const backup = Effect.map(runCli(["backup", path, parent, "--keep", "1"]), ({ out }) => out.trimEnd())
      const earlier = yield* backup
      const mark = join(earlier, "effect-lmdb-backup.json")
      const future = "2099-01-01T00:00:00.000Z"
      writeFileSync(mark, readFileSync(mark, "utf8").replace(/"madeAt":"[^"]+"/, `"madeAt":"${future}"`))
      const renamed = join(parent, `data-${future.replaceAll(":", "-")}`)
      renameSync(earlier, renamed)
      const last = yield* backup
      assert.deepStrictEqual([existsSync(join(last, "data.mdb")), existsSync(renamed)], [true, false])
    }).pipe(Effect.scoped))

  it.live("work with a store that is a file, and with an encrypted one", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "one.db")
      yield* withStore({ path, subdirectory: false }, (store) => store.put("a", 1))
      const kept = (yield* runCli(["backup", path, join(folder, "kept"), "--keep", "1", "--verify"])).out.trimEnd()
      assert.strictEqual((yield* runCli(["get", join(kept, ".."), "a"])).out, "1\n")
      const keyFile = join(folder, "key")
      writeFileSync(keyFile, `${"k".repeat(32)}\n`)
      const secret = join(folder, "secret")
      yield* withStore({ path: secret, encryptionKey: Redacted.make("k".repeat(32)) }, (store) => store.put("a", 1))
      const backup = join(folder, "backup")
      const key = ["--key-file", keyFile]
      assert.strictEqual((yield* runCli(["backup", secret, backup, "--verify", ...key])).code, 0)
      assert.strictEqual((yield* runCli(["restore", join(folder, "again"), backup, "--write", ...key])).code, 0)
      assert.strictEqual((yield* runCli(["get", join(folder, "again"), "a", ...key])).out, "1\n")
      assert.strictEqual((yield* runCli(["compact", secret, "--write", ...key])).code, 2)
      // A copy loses its encryption only if the user says so.
      const copy = ["copy", secret, join(folder, "plain"), "--write", ...key]
      assert.strictEqual((yield* runCli(copy)).code, 2)
      assert.isFalse(existsSync(join(folder, "plain")))
      assert.strictEqual((yield* runCli([...copy, "--plain"])).code, 0)
      assert.strictEqual((yield* runCli(["get", join(folder, "plain"), "a"])).out, "1\n")
      const encrypted = ["copy", secret, join(folder, "encrypted"), "--write", ...key, "--to-key-file", keyFile]
      assert.strictEqual((yield* runCli(encrypted)).code, 0)
      assert.strictEqual((yield* runCli(["get", join(folder, "encrypted"), "a", ...key])).out, "1\n")
    }).pipe(Effect.scoped))
})

describe("compact and copy", () => {
  it.live("change nothing but the size", () =>
    Effect.gen(function*() {
      const path = yield* made
      const before = yield* contents(path)
      assert.strictEqual((yield* runCli(["compact", path])).code, 2)
      yield* withStore({ path }, () =>
        Effect.gen(function*() {
          const open = yield* runCli(["compact", path, "--write", "--json"])
          assert.strictEqual(open.code, 3)
          assert.deepNestedInclude(decodeJson(linesOf(open.err).at(-1)), { "error.reason._tag": "AlreadyOpen" })
        }))
      const ran = yield* runCli(["compact", path, "--write", "--json"])
      assert.strictEqual(ran.code, 0, ran.err)
      assert.property(decodeJson(ran.out), "bytesAfter")
      assert.deepStrictEqual(yield* contents(path), before)
      const copied = yield* runCli(["copy", path, `${path}-copy`, "--write"])
      assert.deepStrictEqual([copied.code, linesOf(copied.err)], [0, ["Copied 20 records."]])
      assert.deepStrictEqual(yield* contents(`${path}-copy`), before)
      assert.strictEqual((yield* runCli(["copy", path, `${path}-copy`, "--write"])).code, 1)
      assert.strictEqual((yield* runCli(["copy", path, `${path}-other`])).code, 2)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})

describe("the progress", () => {
  it.live("is drawn on a terminal, and removed at the end", () =>
    Effect.gen(function*() {
      const drawn: Array<string> = []
      const draw = (text: string) => Effect.sync(() => void drawn.push(text))
      const bytes = Effect.succeed(5)
      yield* ByteProgress.during({ canDraw: true, draw }, { bytes, total: 10 }, until(() => drawn.length > 0))
      assert.include(drawn[0], "50 %")
      assert.strictEqual(drawn.at(-1), "\r\u001b[2K")
      const silent = { canDraw: false, draw: () => Effect.die("drawn") }
      yield* ByteProgress.during(silent, { bytes }, Effect.yieldNow)
    }))

  it("is a bar with the rate and the remaining time", () => {
    const mebibyte = 1024 * 1024
    const shown = ByteProgress.show({ bytes: 50 * mebibyte, total: 200 * mebibyte, elapsedMillis: 10_000 })
    assert.strictEqual(shown, "[#####---------------] 25 %  50 MiB of 200 MiB  5 MiB/s  0:30 left")
    assert.strictEqual(ByteProgress.show({ bytes: 0, total: undefined, elapsedMillis: 0 }), "0 B")
    assert.include(ByteProgress.show({ bytes: 10, total: 5, elapsedMillis: 1 }), "100 %")
  })
})
