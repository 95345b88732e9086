/** How an import treats its lines: those that are wrong, those that exist, and those that were imported before. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { deepStrictEqual } from "node:assert"
import { join } from "node:path"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import { exportStore, type ImportOptions, importStore, type RejectedLine } from "../../src/Transfer.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { openUsers, userOf, users } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"
import { storedContents } from "../support/storedContents.ts"

const open = (path: string) => Store.make({ path, durability: "noSync" })

const twoStores = Effect.gen(function*() {
  const folder = yield* temporaryFolder
  return { folder, from: yield* open(join(folder, "from")), to: yield* open(join(folder, "to")) }
})

const exported = (store: StoreService, options: Parameters<typeof exportStore>[0] = {}) =>
  Effect.provideService(Stream.runCollect(exportStore(options)), Store, store).pipe(
    Effect.map((parts) => Buffer.concat(parts).toString())
  )

const linesOf = (text: string): ReadonlyArray<string> => text.trimEnd().split("\n")

const imported = <E = never>(
  store: StoreService,
  lines: ReadonlyArray<string> | string,
  options: ImportOptions<E> = {}
) => {
  const text = typeof lines === "string" ? lines : lines.map((line) => `${line}\n`).join("")
  const bytes = Buffer.from(text)
  // Parts that end anywhere
  const parts = Array.from(
    { length: Math.ceil(bytes.length / 100) },
    (_, at) => bytes.subarray(at * 100, (at + 1) * 100)
  )
  return Effect.provideService(importStore(Stream.fromIterable(parts), options), Store, store)
}

/** Collects the refused lines. */
const collecting = () => {
  const lines: Array<RejectedLine> = []
  return { lines, onRejected: (refused: ReadonlyArray<RejectedLine>) => Effect.sync(() => void lines.push(...refused)) }
}

const detailsOf = (lines: ReadonlyArray<RejectedLine>) => lines.map(({ detail, number }) => `${number}: ${detail}`)

const withUsers = Effect.fnUntraced(function*(store: StoreService, count: number, from = 0) {
  const collection = yield* Effect.provideService(openUsers, Store, store)
  yield* collection.putMany(
    Array.from({ length: count }, (_, at) => [from + at, userOf(`u${from + at}`, at % 50, ["a"])] as const)
  )
  return collection
})

const row = (key: string, value: unknown) => JSON.stringify({ key, value })

describe("an import", () => {
  it.effect("ends at a line that is broken, names it, and continues there after a correction", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores
      yield* withUsers(from, 50)
      const lines = linesOf(yield* exported(from))
      const broken = lines.with(30, "{\"collection\":\"users\",\"key\":")
      const error = yield* Effect.flip(imported(to, broken, { batchSize: 10 }))
      assert(error._tag === "LineRejected")
      assert.strictEqual(error.line, 31)
      assert.match(error.message, /^Line 31 cannot be imported: it is not JSON/)
      const report = yield* imported(to, lines, { batchSize: 10, resume: true })
      assert.strictEqual(report.written, lines.length - 30)
      deepStrictEqual(yield* storedContents(to), yield* storedContents(from))
      // The progress is gone: there is nothing to continue
      assert.strictEqual((yield* imported(to, [], { resume: true })).lines, 0)
    }))

  it.effect("that was interrupted continues after the last batch, without duplicates or losses", () =>
    Effect.gen(function*() {
      const { folder, from } = yield* twoStores
      yield* withUsers(from, 60)
      const text = yield* exported(from)
      const path = join(folder, "interrupted")
      yield* Effect.scoped(Effect.flatMap(open(path), (store) =>
        imported(store, text, {
          batchSize: 7,
          onProgress: ({ lines }) => lines > 30 ? Effect.fail("stopped") : Effect.void
        }).pipe(Effect.flip)))
      const to = yield* open(path)
      const { written } = yield* imported(to, text, { batchSize: 7, resume: true })
      assert.strictEqual(written, linesOf(text).length - 35)
      deepStrictEqual(yield* storedContents(to), yield* storedContents(from))
      deepStrictEqual(yield* (yield* Effect.provideService(openUsers, Store, to)).verify, [])
    }))

  it.effect("does not continue with another file, or one that is too short", () =>
    Effect.gen(function*() {
      const { to } = yield* twoStores
      const lines = Array.from({ length: 20 }, (_, at) => row(`k${at}`, at))
      yield* Effect.flip(imported(to, [...lines, "broken"], { batchSize: 20 }))
      for (const other of [lines.with(3, row("k3", "other")), lines.slice(0, 10), []]) {
        const error = yield* Effect.flip(imported(to, other, { resume: true }))
        assert.strictEqual(error._tag, "ImportMismatch")
      }
      assert.strictEqual((yield* imported(to, [...lines, row("last", 1)], { resume: true })).written, 1)
    }))

  it.effect("begins at a given line", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores
      yield* withUsers(from, 10)
      const lines = linesOf(yield* exported(from))
      yield* Effect.flip(imported(to, lines.with(5, "broken")))
      const { written } = yield* imported(to, lines, { fromLine: 6 })
      assert.strictEqual(written, lines.length - 5)
      deepStrictEqual(yield* storedContents(to), yield* storedContents(from))
    }))

  it.effect("refuses each line that is wrong, says why, and takes the others", () =>
    Effect.gen(function*() {
      const { to } = yield* twoStores
      yield* withUsers(to, 3)
      const user = { name: "n", email: "new@example.com", age: 1, tags: [] }
      const lines = [
        "not JSON",
        "[]",
        row("good", 1),
        "",
        `{"key":"a"}`,
        `{"key":"a","value":{"$day":1}}`,
        `{"key":1,"value":1}`,
        `{"key":"","value":1}`,
        `{"key":"a","value":1,"indexes":{"byAge":[1]}}`,
        `{"key":"a","value":1,"expires":"soon"}`,
        `{"key":"a","value":1,"other":1}`,
        `{"key":"${"k".repeat(2000)}","value":1}`,
        `{"collection":"none","key":1,"value":1}`,
        `{"collection":"a/b","key":1,"value":1}`,
        `{"collection":"users","namespace":"n","key":1,"value":1}`,
        JSON.stringify({ collection: "users", key: 9, value: user }),
        JSON.stringify({ collection: "users", key: 9, value: user, indexes: { byName: ["n"] } }),
        JSON.stringify({ collection: "users", key: 9, value: user, indexes: { byEmail: ["u1@example.com"] } }),
        JSON.stringify({ collection: "users", key: 1, value: user, indexes: {} }),
        JSON.stringify({ collection: "users", key: {}, value: user, indexes: {} }),
        `{"collection":"users","definition":{"version":7,"fingerprint":"x","indexes":[]}}`,
        `{"collection":"users","definition":1}`,
        `{"key":"b","damaged":"cut off","bytes":"AQ=="}`,
        `{"effect-lmdb":2}`,
        row("good too", 2)
      ]
      const { lines: refused, onRejected } = collecting()
      const report = yield* imported(to, lines, { onRejected, batchSize: 4 })
      deepStrictEqual(report, { lines: lines.length, written: 2, skipped: 0, expired: 0, rejected: 22 })
      const details = detailsOf(refused)
      const expected = [
        /^1: it is not JSON/,
        /^2: it must be an object/,
        /^5: it has a key and no value/,
        /^6: value: there is no tag \$day/,
        /^7: key: it must be text or \$bytes/,
        /^8: the key is empty/,
        /^9: only a collection has indexes/,
        /^10: expires:/,
        /^11: there is no field "other"/,
        /^12: a key has 2000 bytes/,
        /^13: the store has no collection "none"/,
        /^14: the name "a\/b" cannot be used/,
        /^15: it has a collection and a namespace/,
        /^16: the collection "users" has indexes/,
        /^17: the collection "users" has no index "byName"/,
        /^18: another record has the same key in the unique index "byEmail"/,
        /^19: a record with the key 1 exists in the collection "users" \(--mode put replaces it, --mode skip keeps it\)/,
        /^20: key: /,
        /^21: the store has a collection "users" of version 1, not 7/,
        /^22: this version of the package cannot read the definition/,
        /^23: its value was damaged when it was exported: cut off/,
        /^24: it is an export of version 2/
      ]
      assert.strictEqual(details.length, expected.length)
      for (const [at, pattern] of expected.entries()) assert.match(details[at] ?? "", pattern)
      deepStrictEqual(refused.map(({ number, text }) => lines[number - 1] === text), refused.map(() => true))
      assert.strictEqual(yield* to.size, 2)
    }))

  it.effect("inserts, replaces or skips records whose keys exist, with their index entries", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores
      yield* withUsers(from, 20, 10)
      const target = yield* withUsers(to, 20)
      // The records 10 to 19 are in both, with other ages
      const text = yield* exported(from)
      const { lines: refused, onRejected } = collecting()
      const before = yield* storedContents(to)
      const dry = yield* imported(to, text, { mode: "put", dryRun: true })
      assert.strictEqual(dry.written, 20)
      deepStrictEqual(yield* storedContents(to), before)
      const inserted = yield* imported(to, text, { onRejected })
      deepStrictEqual([inserted.written, inserted.rejected, refused.length], [10, 10, 10])
      const skipped = yield* imported(to, text, { mode: "skip" })
      deepStrictEqual([skipped.written, skipped.skipped], [0, 20])
      assert.strictEqual((yield* target.getOrFail(10)).age, 10)
      assert.strictEqual((yield* imported(to, text, { mode: "put" })).written, 20)
      assert.strictEqual((yield* target.getOrFail(10)).age, 0)
      deepStrictEqual(yield* target.verify, [])
      assert.strictEqual(yield* target.size, 30)
    }))

  it.effect("leaves out what has expired, and replaces the time of a record", () =>
    Effect.gen(function*() {
      const { to } = yield* twoStores
      yield* to.put("replaced", 1, { ttl: "1 minute" })
      const lines = [
        `{"key":"gone","value":1,"expires":"1970-01-01"}`,
        `{"key":"replaced","value":2,"expires":"1970-01-01T02:00Z"}`,
        `{"namespace":"new","key":"stays","value":3}`
      ]
      const report = yield* imported(to, lines, { mode: "put" })
      deepStrictEqual([report.written, report.expired], [2, 1])
      const { expiry, records } = yield* storedContents(to)
      assert.strictEqual(expiry?.length, 1)
      deepStrictEqual(records, [["replaced", [], 7_200_000, 2]])
      assert.deepStrictEqual(yield* (yield* to.namespace("new")).get("stays"), Option.some(3))
    }))

  it.effect("through the schemas of collections needs neither a definition nor index entries", () =>
    Effect.gen(function*() {
      const { to } = yield* twoStores
      const target = yield* Effect.provideService(openUsers, Store, to)
      const lines = [
        JSON.stringify({ collection: "users", key: 1, value: userOf("Ada", 36, ["x"]) }),
        JSON.stringify({
          collection: "users",
          key: 2,
          value: { name: "Eve", email: "eve@example.com", age: 17, tags: [], other: 1 }
        }),
        JSON.stringify({ collection: "users", key: 3, value: { name: "no" } }),
        JSON.stringify({ collection: "users", key: "4", value: userOf("Key", 1) })
      ]
      const { lines: refused, onRejected } = collecting()
      const report = yield* imported(to, lines, { onRejected, collections: [target] })
      deepStrictEqual([report.written, refused.map(({ number }) => number)], [2, [3, 4]])
      deepStrictEqual(yield* target.verify, [])
      deepStrictEqual(yield* target.indexes.byEmail.getOrFail("eve@example.com"), userOf("Eve", 17))
    }))

  it.effect("adds to a collection that has the same schema, and not to one with another schema or other indexes", () =>
    Effect.gen(function*() {
      const { folder, from, to } = yield* twoStores
      yield* withUsers(from, 3, 100)
      const text = yield* exported(from)
      const target = yield* withUsers(to, 3)
      yield* imported(to, text)
      assert.strictEqual(yield* target.size, 6)
      deepStrictEqual(yield* target.verify, [])
      const { byAge } = users.indexes
      const refusalOf = Effect.fnUntraced(
        function*(name: string, openOther: Effect.Effect<unknown, unknown, Store>) {
          const other = yield* open(join(folder, name))
          yield* Effect.orDie(Effect.provideService(openOther, Store, other))
          return (yield* Effect.flip(imported(other, text))).message
        }
      )
      const otherIndexes = Collection.make("users", { ...users, indexes: { byAge } })
      assert.match(yield* refusalOf("indexes", otherIndexes), /with other indexes/)
      const otherSchema = Collection.make("users", { key: Schema.Int, value: Schema.Struct({ age: Schema.Int }) })
      assert.match(yield* refusalOf("schema", otherSchema), /with another schema/)
    }))

  it.effect("works on a backend whose reads wait, and back", () =>
    Effect.gen(function*() {
      const { folder, from } = yield* twoStores
      yield* withUsers(from, 30)
      yield* from.put("expiring", 1, { ttl: "1 hour" })
      const slow = yield* DelayedStore.open({ path: join(folder, "slow") }, { seed: 1 })
      yield* imported(slow, yield* exported(from), { batchSize: 10 })
      const back = yield* open(join(folder, "back"))
      yield* imported(back, yield* exported(slow, { snapshot: false }), { batchSize: 10 })
      deepStrictEqual(yield* storedContents(back), yield* storedContents(from))
    }))

  it.effect("of another program's CSV takes the columns as fields", () =>
    Effect.gen(function*() {
      const { to } = yield* twoStores
      const csv = "key,name,age,zip\nada,Ada Lovelace,36,\"\"\"007\"\"\"\nbob,\"Bob, the \"\"builder\"\"\",,1\n"
      yield* imported(to, csv, { format: "csv" })
      deepStrictEqual(yield* to.getOrFail("ada"), { name: "Ada Lovelace", age: 36, zip: "007" })
      deepStrictEqual(yield* to.getOrFail("bob"), { name: "Bob, the \"builder\"", zip: 1 })
      const cut = yield* Effect.flip(imported(to, "key,value\nx,1\ny,\"2", { format: "csv" }))
      assert.strictEqual(cut._tag, "LineRejected")
    }))

  it.effect("of a dump needs an empty store, and refuses the dump of another program", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores
      yield* from.put("a\\b\n", 1)
      const dump = yield* exported(from, { format: "dump" })
      yield* to.put("x", 1)
      assert.strictEqual((yield* Effect.flip(imported(to, dump, { format: "dump" })))._tag, "StoreNotEmpty")
      const { folder } = yield* twoStores
      const other = yield* open(join(folder, "other"))
      const foreign = dump.replace("database=records", "database=people")
      const error = yield* Effect.flip(imported(other, foreign, { format: "dump" }))
      assert.match(error.message, /"people" is not a database of this package/)
      // The printable form of `mdb_dump -p`
      const printable =
        "VERSION=3\nformat=print\ndatabase=records\ntype=btree\nHEADER=END\n a\\\\b\\0a\n \\01\\05\nDATA=END\n"
      const third = yield* open(join(folder, "third"))
      yield* imported(third, printable, { format: "dump" })
      assert.strictEqual(yield* third.getOrFail("a\\b\n"), 5)
    }))
})

describe("an export", () => {
  it.effect("has only what is asked for, and says what is damaged", () =>
    Effect.gen(function*() {
      const { from, to } = yield* twoStores
      yield* withUsers(from, 2)
      yield* (yield* from.namespace("n")).put("a", 1)
      yield* from.put("own", 1)
      const some = linesOf(yield* exported(from, { places: [{ _tag: "Namespace", name: "n" }] }))
      deepStrictEqual(some, [`{"effect-lmdb":1}`, `{"namespace":"n"}`, `{"namespace":"n","key":"a","value":1}`])
      const error = yield* Effect.flip(exported(from, { places: [{ _tag: "Collection", name: "user" }] }))
      assert.match(error.message, /no collection "user".*users/)
      const part = yield* exported(from, { places: [{ _tag: "Collection", name: "users" }], format: "dump" })
      yield* imported(to, part, { format: "dump" })
      const target = yield* Effect.provideService(openUsers, Store, to)
      deepStrictEqual([yield* target.size, yield* to.size, yield* target.verify], [2, 0, []])
    }))
})
