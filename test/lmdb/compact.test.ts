/** A store is compacted in its place. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Collection, Store, type StoreOptions } from "../../src/index.ts"
import { compact } from "../../src/internal/lmdb/lmdbCompact.ts"
import { resolve } from "../../src/internal/store/storeOptions.ts"
import * as LmdbEngine from "../../src/LmdbEngine.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const Users = Collection.make("users", {
  key: Schema.Int,
  value: Schema.Struct({ name: Schema.String }),
  indexes: { byName: { key: Schema.String, of: ({ name }) => name } }
})

const logged = { changeLog: { retention: "1 day" } } as const

/** A store with records of every kind, from which much was deleted. */
const shrunk = Effect.fnUntraced(function*(options: Partial<StoreOptions> = logged) {
  const path = join(yield* temporaryFolder, "data")
  yield* withStore({ path, ...options }, (store) =>
    Effect.gen(function*() {
      const users = yield* Effect.provideService(Users, Store, store)
      yield* users.putMany(Array.from({ length: 50 }, (_, n) => [n, { name: `user ${n}` }] as const))
      const sessions = yield* store.namespace("sessions")
      yield* sessions.put("ada", 1, { ttl: "1 day", durable: true })
      yield* store.putMany(Array.from({ length: 100 }, (_, n) => [`big/${n}`, "x".repeat(5000)] as const))
      yield* store.deleteMany(Array.from({ length: 98 }, (_, n) => `big/${n}`))
    }))
  return path
})

/** All that a program finds in the store. Opening for writing works too, and leaves it as it is. */
const contentsOf = (path: string, options: Partial<StoreOptions> = logged) =>
  withStore({ path, ...options, verify: true }, (store) =>
    Effect.gen(function*() {
      const users = yield* Effect.provideService(Users, Store, store)
      const sessions = yield* store.namespace("sessions")
      return {
        own: yield* Stream.runCollect(store.entries()),
        users: yield* Stream.runCollect(users.entries()),
        problems: yield* users.verify,
        sessions: yield* Stream.runCollect(sessions.entries())
      }
    }))

const sizeOf = (path: string) => statSync(join(path, "data.mdb")).size

const attempt = (path: string) => Effect.flip(Store.compact({ path, lockTimeout: 0 }))

describe("Store.compact", () => {
  it.live("leaves out free pages, and keeps everything else", () =>
    Effect.gen(function*() {
      const path = yield* shrunk({})
      const before = yield* contentsOf(path, {})
      assert.deepStrictEqual(before.problems, [])
      chmodSync(join(path, "data.mdb"), 0o640)
      const [names, bytesBefore] = [readdirSync(path), sizeOf(path)]
      const compaction = yield* Store.compact({ path })
      assert.deepStrictEqual(compaction, { bytesBefore, bytesAfter: sizeOf(path) })
      assert.isBelow(compaction.bytesAfter, bytesBefore / 4)
      assert.strictEqual(statSync(join(path, "data.mdb")).mode & 0o777, 0o640)
      // The lock file of LMDB and the record of the last close described the old file.
      assert.deepStrictEqual(
        readdirSync(path),
        names.filter((name) => name !== "lock.mdb" && name !== "store.closed")
      )
      assert.deepStrictEqual(yield* contentsOf(path, {}), before)
    }).pipe(Effect.scoped))

  it.live("continues the transaction ids and the change log", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const change = (key: string) => withStore({ path, ...logged }, (store) => store.put(key, 1, { durable: true }))
      // An even number and an odd one: they are in different meta pages.
      for (const key of ["a", "b", "c"]) {
        yield* change(key)
        yield* Store.compact({ path })
      }
      yield* change("d")
      const changes = yield* withStore({ path, ...logged }, (store) =>
        Stream.runCollect(Stream.take(store.changes({ since: 0 }), 4)))
      assert.deepStrictEqual(
        changes.map((one) =>
          one._tag === "Clear" ? "" : one.key
        ),
        ["a", "b", "c", "d"]
      )
      const ids = changes.map(({ transactionId }) => transactionId)
      assert.deepStrictEqual(ids, [...new Set(ids)].toSorted((a, b) => a - b))
    }).pipe(Effect.scoped))

  it.live("compacts a store that is a file", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "one.db")
      yield* withStore({ path, subdirectory: false }, (store) => store.put("a", 1))
      yield* Store.compact({ path, subdirectory: false })
      assert.strictEqual(yield* withStore({ path, subdirectory: false }, (store) => store.getOrFail("a")), 1)
    }).pipe(Effect.scoped))

  it.live("fails while the store is open, and if there is none, or it is encrypted or damaged", () =>
    Effect.gen(function*() {
      const path = yield* shrunk()
      const bytes = () => readFileSync(join(path, "data.mdb"))
      const before = bytes()
      for (const readOnly of [false, true]) {
        yield* withStore({ path, ...(readOnly ? {} : logged), readOnly }, () =>
          Effect.gen(function*() {
            assert.nestedInclude(yield* attempt(path), { _tag: "OpenFailed", "reason._tag": "AlreadyOpen" })
          }))
      }
      assert.nestedInclude(yield* attempt(`${path}-none`), { _tag: "OpenFailed", "reason._tag": "Missing" })
      assert.isTrue(bytes().equals(before))
      const encrypted = yield* shrunk({ encryptionKey: Redacted.make("k".repeat(32)) })
      assert.nestedInclude(yield* attempt(encrypted), { _tag: "OpenFailed", "reason._tag": "Encrypted" })
      const broken = bytes()
      for (let page = 2; page * 4096 < broken.length; page++) broken.fill(0xff, page * 4096 + 8, page * 4096 + 24)
      writeFileSync(join(path, "data.mdb"), broken)
      assert.nestedInclude(yield* attempt(path), { _tag: "OpenFailed", "reason._tag": "NotADatabase" })
      assert.isTrue(bytes().equals(broken))
      assert.isFalse(existsSync(join(path, ".data.mdb.compact")))
    }).pipe(Effect.scoped))
})

describe("a compaction that was killed", () => {
  it.live("leaves a complete store at each step, which can be compacted", () =>
    Effect.gen(function*() {
      const path = yield* shrunk()
      const expected = yield* contentsOf(path)
      const states: Array<string> = []
      const fs = yield* FileSystem.FileSystem
      /** Keeps the files as a process would leave them that is killed before a step. */
      const keep = Effect.sync(() => {
        const state = `${path}-${states.length}`
        cpSync(path, state, { recursive: true })
        states.push(state)
      })
      const stepped = FileSystem.FileSystem.of({
        ...fs,
        makeDirectory: (...args) => Effect.andThen(keep, fs.makeDirectory(...args)),
        remove: (...args) => Effect.andThen(keep, fs.remove(...args)),
        rename: (...args) => Effect.andThen(keep, fs.rename(...args)),
        open: (...args) => Effect.andThen(keep, fs.open(...args))
      })
      yield* resolve({ path }).pipe(
        Effect.flatMap(compact),
        Effect.provideService(FileSystem.FileSystem, stepped),
        Effect.provide(LmdbEngine.layer)
      )
      // Made, copied, two files removed, renamed, folder synced, folder removed.
      assert.isAtLeast(states.length, 6)
      const partial = `${path}-partial`
      cpSync(states[3] ?? "", partial, { recursive: true })
      const copy = join(partial, ".data.mdb.compact", "data.mdb")
      writeFileSync(copy, readFileSync(copy).subarray(0, 10_000))
      for (const state of [...states, partial]) {
        assert.deepStrictEqual(yield* contentsOf(state), expected, state)
        yield* Store.compact({ path: state })
        assert.deepStrictEqual(yield* contentsOf(state), expected, state)
        assert.isFalse(existsSync(join(state, ".data.mdb.compact")))
      }
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))))
})
