/** Copies of a store, made while it is in use. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Store } from "../../src/index.ts"
import * as FaultyEngine from "../support/engines/faultyEngine.ts"
import { faultyStore, start, temporaryFolder, turns, withStore } from "../support/harness.ts"

const entries = (count: number, name: string) =>
  Array.from({ length: count }, (_, index) => [`key ${index}`, `${name} ${"x".repeat(300)}`] as const)

describe("a backup", () => {
  it.effect("has all earlier writes, pending or not, and opens as a store", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const copy = join(folder, "new", "copy")
      const store = yield* Store.make({ path: join(folder, "store") })
      yield* store.putMany(entries(500, "stored"))
      yield* store.put("pending", 1)
      yield* store.delete("key 0")
      yield* store.backup(copy)
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* store.put("later", 1)
      yield* withStore({ path: copy }, (opened) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* opened.size, 500)
          assert.strictEqual(yield* opened.getOrFail("pending"), 1)
          assert.isFalse(yield* opened.has("key 0"))
          assert.isFalse(yield* opened.has("later"))
          yield* opened.put("more", 1)
          yield* opened.flush
        }))
      // Neither is the other
      assert.isFalse(yield* store.has("more"))
      // The copy was closed, and the store is open.
      const names = readdirSync(copy).filter((name) => name !== "store.closed")
      assert.deepStrictEqual(names.toSorted(), readdirSync(join(folder, "store")).toSorted())
    }))

  it.effect("is one state of the store while other fibers write and delete", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store"), durability: "noSync" })
      yield* store.putMany(entries(300, "0"))
      const writer = yield* start(Effect.forever(Effect.gen(function*() {
        const { found } = yield* store.getMany(["key 0"])
        const round = Number.parseInt(String(found.get("key 0")), 10) + 1
        // All or nothing: a copy in which rounds are mixed is not one state
        yield* store.putMany(entries(300, String(round)))
      })))
      for (const compact of [false, true, false, true]) {
        const copy = join(folder, `copy ${readdirSync(folder).length}`)
        yield* store.backup(copy, { compact })
        yield* turns(50)
        const { found } = yield* withStore({ path: copy }, (opened) =>
          opened.getMany(entries(300, "").map(([key]) => key)))
        assert.strictEqual(found.size, 300)
        assert.strictEqual(new Set(found.values()).size, 1)
      }
      yield* Fiber.interrupt(writer)
      assert.isAbove(Number.parseInt(String(yield* store.getOrFail("key 0")), 10), 0)
    }))

  it.effect("that is compact has no free pages", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store"), durability: "noSync" })
      yield* store.putMany(entries(5000, "large"))
      yield* store.deleteMany(entries(4900, "").map(([key]) => key))
      yield* store.backup(join(folder, "as it is"))
      yield* store.backup(join(folder, "compact"), { compact: true })
      const lengthOf = (name: string) => statSync(join(folder, name, "data.mdb")).size
      assert.isAbove(lengthOf("as it is"), 1_000_000)
      assert.isBelow(lengthOf("compact"), 200_000)
      assert.strictEqual(yield* withStore({ path: join(folder, "compact") }, (opened) => opened.size), 100)
    }))

  it.effect("never replaces an existing file", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store") })
      yield* store.putMany({ a: 1 })
      mkdirSync(join(folder, "taken"))
      writeFileSync(join(folder, "taken", "data.mdb"), "precious")
      writeFileSync(join(folder, "file"), "precious")
      yield* store.backup(join(folder, "copy"))
      for (const target of ["taken", "copy", "store", "file"]) {
        const before = readdirSync(folder, { recursive: true })
        const error = yield* Effect.flip(store.backup(join(folder, target)))
        assert.strictEqual(error._tag, "EngineFailure")
        assert.propertyVal(error, "operation", "backup")
        assert.deepStrictEqual(readdirSync(folder, { recursive: true }), before, target)
      }
      assert.strictEqual(readFileSync(join(folder, "taken", "data.mdb"), "utf8"), "precious")
      assert.strictEqual(readFileSync(join(folder, "file"), "utf8"), "precious")
      yield* store.put("b", 1)
      yield* store.flush
    }))

  it.effect("into an existing folder without a database succeeds", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store") })
      yield* store.put("a", 1)
      mkdirSync(join(folder, "empty"))
      yield* store.backup(join(folder, "empty"))
      assert.strictEqual(yield* withStore({ path: join(folder, "empty") }, (opened) => opened.getOrFail("a")), 1)
    }))

  it.effect("of a store in a single file is a single file", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store.mdb"), subdirectory: false })
      const copy = join(folder, "copies", "copy.mdb")
      yield* store.put("a", 1)
      for (const compact of [false, true]) {
        const path = `${copy}.${compact}`
        yield* store.backup(path, { compact })
        assert.isTrue(statSync(path).isFile())
        assert.strictEqual(yield* withStore({ path, subdirectory: false }, (opened) => opened.getOrFail("a")), 1)
        assert.propertyVal(yield* Effect.flip(store.backup(path)), "code", 17)
      }
    }))

  it.effect("of an encrypted store is encrypted with the same key", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const encryptionKey = Redacted.make("k".repeat(32))
      const store = yield* Store.make({ path: join(folder, "store"), encryptionKey })
      yield* store.put("a", "plain value")
      const path = join(folder, "copy")
      yield* store.backup(path)
      assert.isFalse(readFileSync(join(path, "data.mdb")).includes("plain value"))
      assert.strictEqual(yield* withStore({ path, encryptionKey }, (opened) => opened.getOrFail("a")), "plain value")

      const compacted = join(folder, "compacted")
      assert.strictEqual((yield* Effect.flip(store.backup(compacted, { compact: true })))._tag, "EngineFailure")
      assert.isFalse(existsSync(compacted))
    }))

  it.effect("that cannot commit the pending writes fails with that error and copies nothing", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore()
      yield* store.put("a", 1)
      yield* faulty.fail("commit", FaultyEngine.faults.diskFull)
      assert.strictEqual(yield* Effect.flip(store.backup(join(path, "copy"))), FaultyEngine.faults.diskFull)
      assert.isFalse(existsSync(join(path, "copy")))
    }))

  it.effect("to a path that cannot be created fails with EngineFailure", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store") })
      writeFileSync(join(folder, "file"), "")
      for (const target of [join(folder, "file", "copy"), join(folder, "n".repeat(300)), ""]) {
        assert.strictEqual((yield* Effect.flip(store.backup(target)))._tag, "EngineFailure", target)
      }
    }))

  it.effect("that is interrupted is completed or removed, and never leaves a partial copy", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const store = yield* Store.make({ path: join(folder, "store"), durability: "noSync" })
      yield* store.putMany(entries(3000, "x"))
      for (let pauses = 0; pauses < 12; pauses++) {
        const path = join(folder, `copy ${pauses}`)
        const fiber = yield* start(store.backup(path))
        yield* turns(pauses)
        yield* Fiber.interrupt(fiber)
        if (!existsSync(path)) continue
        assert.deepStrictEqual(readdirSync(path).filter((name) => name.startsWith(".")), [])
        if (!existsSync(join(path, "data.mdb"))) continue
        assert.strictEqual(yield* withStore({ path }, (opened) => opened.size), 3000)
      }
    }))
})
