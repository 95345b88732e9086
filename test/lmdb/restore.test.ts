/** A backup is brought back to the place of its store. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Store } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

/** A store with the value 1, its backup, and the value 2 in the store after that. */
const backedUp = Effect.fnUntraced(function*(options: { readonly encryptionKey?: Redacted.Redacted } = {}) {
  const folder = yield* temporaryFolder
  const [path, backup] = [join(folder, "data"), join(folder, "backup")]
  yield* withStore({ path, ...options }, (store) =>
    Effect.gen(function*() {
      yield* store.putMany([["value", 1], ["text", "x".repeat(20_000)]])
      yield* store.backup(backup)
      yield* store.put("value", 2)
    }))
  return { folder, path, backup, bytes: readFileSync(join(path, "data.mdb")) }
})

const valueAt = (path: string) => withStore({ path }, (store) => store.getOrFail("value"))

describe("a restored backup", () => {
  it.effect("replaces the store only with overwrite", () =>
    Effect.gen(function*() {
      const { backup, path } = yield* backedUp()
      const refused = yield* Effect.flip(Store.restore({ from: backup, path }))
      assert.include(refused, { _tag: "StoreNotEmpty", path })
      assert.strictEqual(yield* valueAt(path), 2)
      yield* Store.restore({ from: backup, path, overwrite: true })
      assert.strictEqual(yield* valueAt(path), 1)
      assert.deepStrictEqual(readdirSync(path).toSorted(), ["data.mdb", "lock.mdb", "store.lock"])
      assert.strictEqual(statSync(join(path, "data.mdb")).mode & 0o777, 0o600)
      // The backup is still there
      assert.strictEqual(yield* valueAt(backup), 1)
    }))

  it.effect("may go to a new place, as a folder or a file, from a folder or its file", () =>
    Effect.gen(function*() {
      const { backup, folder } = yield* backedUp()
      yield* Store.restore({ from: backup, path: join(folder, "new", "data") })
      assert.strictEqual(yield* valueAt(join(folder, "new", "data")), 1)
      const file = join(folder, "files", "data.mdb")
      yield* Store.restore({ from: join(backup, "data.mdb"), path: file, subdirectory: false })
      const store = yield* Store.make({ path: file, subdirectory: false })
      assert.strictEqual(yield* store.getOrFail("value"), 1)
    }))

  it.effect("replaces a store that is damaged", () =>
    Effect.gen(function*() {
      const { backup, path } = yield* backedUp()
      writeFileSync(join(path, "data.mdb"), "not a database".repeat(1000))
      yield* Store.restore({ from: backup, path, overwrite: true })
      assert.strictEqual(yield* valueAt(path), 1)
    }))

  it.effect("of an encrypted store needs its key", () =>
    Effect.gen(function*() {
      const encryptionKey = Redacted.make("k".repeat(32))
      const { backup, path } = yield* backedUp({ encryptionKey })
      const wrong = Redacted.make("w".repeat(32))
      for (const options of [{}, { encryptionKey: wrong }]) {
        const error = yield* Effect.flip(Store.restore({ from: backup, path, overwrite: true, ...options }))
        assert.nestedInclude(error, { _tag: "OpenFailed", "reason._tag": "Encrypted", path: join(backup, "data.mdb") })
      }
      yield* Store.restore({ from: backup, path, overwrite: true, encryptionKey })
      const store = yield* Store.make({ path, encryptionKey })
      assert.strictEqual(yield* store.getOrFail("value"), 1)
    }))
})

describe("nothing is replaced", () => {
  it.effect("by a backup that is damaged, cut short or missing", () =>
    Effect.gen(function*() {
      const { backup, bytes, folder, path } = yield* backedUp()
      const damaged = join(folder, "damaged")
      cpSync(backup, damaged, { recursive: true })
      const file = join(damaged, "data.mdb")
      const whole = readFileSync(file)
      // Flips the kind of a page in the middle
      const broken = Buffer.from(whole)
      for (let page = 2; page * 4096 < broken.length; page++) broken.fill(0xff, page * 4096 + 8, page * 4096 + 24)
      writeFileSync(file, broken)
      const attempt = Effect.flip(Store.restore({ from: damaged, path, overwrite: true }))
      assert.nestedInclude(yield* attempt, { _tag: "OpenFailed", "reason._tag": "NotADatabase" })
      writeFileSync(file, whole)
      truncateSync(file, 3 * 4096)
      assert.nestedInclude(yield* attempt, { _tag: "OpenFailed", "reason._tag": "Truncated" })
      writeFileSync(file, "text".repeat(5000))
      assert.nestedInclude(yield* attempt, { _tag: "OpenFailed", "reason._tag": "NotADatabase" })
      const missing = yield* Effect.flip(Store.restore({ from: join(folder, "none"), path, overwrite: true }))
      assert.nestedInclude(missing, { _tag: "OpenFailed", "reason._tag": "Missing" })
      const blank = yield* Effect.flip(Store.restore({ from: "", path, overwrite: true }))
      assert.nestedInclude(blank, { _tag: "OpenFailed", "reason._tag": "BadOption", "reason.option": "from" })
      assert.isTrue(readFileSync(join(path, "data.mdb")).equals(bytes))
      assert.deepStrictEqual(readdirSync(path).filter((name) => name.startsWith(".restore-")), [])
    }))

  it.effect("while the store is open, for writing or for reading", () =>
    Effect.gen(function*() {
      const { backup, path } = yield* backedUp()
      for (const readOnly of [false, true]) {
        yield* withStore({ path, readOnly }, (store) =>
          Effect.gen(function*() {
            const error = yield* Effect.flip(
              Store.restore({ from: backup, path, overwrite: true, lockTimeout: 0 })
            )
            assert.nestedInclude(error, { _tag: "OpenFailed", "reason._tag": "AlreadyOpen" })
            assert.strictEqual(yield* store.getOrFail("value"), 2)
          }))
      }
      yield* Store.restore({ from: backup, path, overwrite: true })
      assert.strictEqual(yield* valueAt(path), 1)
    }))
})
