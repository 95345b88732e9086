/** The files of programs that use the package `lmdb` alone. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { open } from "lmdb"
import { readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Collection, type ImportedEntry, Store } from "../../src/index.ts"
import { at } from "../support/fixtures/collections.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const foreignFile = (write: (root: ReturnType<typeof open>) => void, options: { readonly noSubdir?: boolean } = {}) =>
  Effect.gen(function*() {
    const path = join(yield* temporaryFolder, "theirs")
    yield* Effect.promise(() => {
      const root = open({ path, ...options })
      root.transactionSync(() => write(root))
      return root.close()
    })
    return path
  })

const collect = () => {
  const entries: Array<ImportedEntry> = []
  const sizes: Array<number> = []
  return {
    entries,
    sizes,
    write: (part: ReadonlyArray<ImportedEntry>) =>
      Effect.sync(() => {
        entries.push(...part)
        sizes.push(part.length)
      })
  }
}

const User = Schema.Struct({ name: Schema.String })

describe("an import of a file of lmdb-js", () => {
  it.effect("gives keys and values in the order of the keys, in parts, and changes nothing", () =>
    Effect.gen(function*() {
      const path = yield* foreignFile((root) => {
        for (let key = 0; key < 25; key++) void root.put(key, { name: `u${key}` })
        void root.put(["a", 1], new Date(5))
        void root.put("text", [1, null, "x"])
      })
      const before = readFileSync(join(path, "data.mdb"))
      const { entries, sizes, write } = collect()
      assert.strictEqual(yield* Store.importLmdb({ from: path, batchSize: 10, write }), 27)
      assert.deepStrictEqual(sizes, [10, 10, 7])
      assert.deepStrictEqual(entries.slice(0, 2), [[0, { name: "u0" }], [1, { name: "u1" }]])
      assert.sameDeepMembers(entries.slice(-2), [["text", [1, null, "x"]], [["a", 1], new Date(5)]])
      assert.isTrue(readFileSync(join(path, "data.mdb")).equals(before))
      // The other program reads it as before
      yield* Effect.promise(() => {
        const root = open({ path })
        assert.strictEqual([...root.getRange()].length, 27)
        return root.close()
      })
    }))

  it.effect("goes into a store, or into a collection by its schema", () =>
    Effect.gen(function*() {
      const path = yield* foreignFile((root) => {
        for (let key = 0; key < 2500; key++) void root.put(key, { name: `u${key}` })
      }, { noSubdir: true })
      const decode = Schema.decodeUnknownEffect(Schema.Array(Schema.Tuple([Schema.Int, User])))
      yield* at(
        yield* temporaryFolder,
        Effect.gen(function*() {
          const store = yield* Store
          const people = yield* Collection.make("people", { key: Schema.Int, value: User })
          const write = (entries: ReadonlyArray<ImportedEntry>) => Effect.flatMap(decode(entries), people.putMany)
          assert.strictEqual(yield* Store.importLmdb({ from: path, write }), 2500)
          assert.strictEqual(yield* people.size, 2500)
          assert.deepStrictEqual(yield* people.getOrFail(2499), { name: "u2499" })
          yield* Store.importLmdb({
            from: path,
            write: (entries) => store.putMany(entries.map(([key, value]) => [String(key), value] as const))
          })
          assert.deepStrictEqual(yield* store.getOrFail("7"), { name: "u7" })
        })
      )
    }))

  it.effect("reads a named database, with the options that it was written with", () =>
    Effect.gen(function*() {
      const path = yield* foreignFile((root) => {
        void root.openDB<unknown, string>({ name: "texts", encoding: "string" }).put("a", "one")
        const tags = root.openDB<unknown, string>({ name: "tags", dupSort: true, encoding: "ordered-binary" })
        void tags.put("a", 1)
        void tags.put("a", 2)
      })
      const texts = collect()
      yield* Store.importLmdb({ from: path, database: "texts", encoding: "string", write: texts.write })
      assert.deepStrictEqual(texts.entries, [["a", "one"]])
      const tags = collect()
      yield* Store.importLmdb({
        from: path,
        database: "tags",
        dupSort: true,
        encoding: "ordered-binary",
        write: tags.write
      })
      assert.deepStrictEqual(tags.entries, [["a", 1], ["a", 2]])
      const none = yield* Effect.flip(Store.importLmdb({ from: path, database: "none", write: tags.write }))
      assert.nestedInclude(none, { _tag: "OpenFailed", "reason._tag": "Missing" })
    }))

  it.effect("ends with the error of a write", () =>
    Effect.gen(function*() {
      const path = yield* foreignFile((root) => void root.put("a", 1))
      assert.strictEqual(yield* Effect.flip(Store.importLmdb({ from: path, write: () => Effect.fail("full") })), "full")
    }))

  it.effect("refuses options with which it would import nothing, or something else", () =>
    Effect.gen(function*() {
      const from = yield* foreignFile((root) => void root.put("a", 1))
      const { entries, write } = collect()
      const refused: ReadonlyArray<readonly [option: string, options: object]> = [
        ["batchSize", { batchSize: NaN }],
        ["batchSize", { batchSize: 0 }],
        ["batchSize", { batchSize: "100" }],
        ["databse", { databse: "texts" }],
        ["write", { write: undefined }],
        ["write", { write: () => Promise.resolve() }]
      ]
      for (const [option, options] of refused) {
        const error = yield* Effect.flip(Store.importLmdb({ from, write, ...options }))
        assert.nestedInclude(error, { _tag: "OpenFailed", "reason._tag": "BadOption", "reason.option": option })
      }
      assert.deepStrictEqual(entries, [])
    }))

  it.effect("refuses other files, and a store of this package", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const { write } = collect()
      const reasonOf = (from: string) => Effect.flip(Store.importLmdb({ from, write }))
      assert.nestedInclude(yield* reasonOf(join(folder, "none")), { _tag: "OpenFailed", "reason._tag": "Missing" })
      assert.nestedInclude(yield* reasonOf(""), { "reason._tag": "BadOption", "reason.option": "from" })
      writeFileSync(join(folder, "text"), "not a database".repeat(1000))
      assert.nestedInclude(yield* reasonOf(join(folder, "text")), { "reason._tag": "NotADatabase" })
      yield* withStore({ path: join(folder, "own") }, (store) => store.put("a", 1))
      assert.nestedInclude(yield* reasonOf(join(folder, "own")), { "reason._tag": "UnsupportedFormat" })
      const cut = yield* foreignFile((root) => {
        for (let key = 0; key < 1000; key++) void root.put(key, "x".repeat(100))
      })
      truncateSync(join(cut, "data.mdb"), 4 * 4096)
      assert.nestedInclude(yield* reasonOf(cut), { "reason._tag": "Truncated" })
    }))
})
