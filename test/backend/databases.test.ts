/** The named databases of an environment. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Plan, Write } from "../../src/Engine.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import { bytes, copy, countOf, key, keysIn, mebibyte, open, valueOf } from "../support/environment.ts"
import { temporaryFolder } from "../support/harness.ts"

const put = (database: string, name: string, length = 1): Write => [database, key(name), bytes(length)]

const plan = (writes: ReadonlyArray<Write>, ...clear: ReadonlyArray<string>): Plan => () =>
  Exit.succeed({ clear, writes })

describe("databases", () => {
  it.effect("have keys of their own, and are written to and cleared in one transaction", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.createDatabases(["one", "other"])
      yield* environment.commit(plan([put("one", "a", 1), put("other", "a", 2), put("other", "b", 3)]))
      assert.strictEqual(valueOf(environment.get("one", key("a"), copy))?.length, 1)
      assert.strictEqual(valueOf(environment.get("other", key("a"), copy))?.length, 2)
      assert.isFalse(valueOf(environment.has("one", key("b"))))
      assert.deepStrictEqual(["one", "other", recordsDatabase].map((name) => countOf(environment, name)), [1, 2, 0])
      assert.deepStrictEqual(keysIn(environment, "other"), ["a", "b"])
      yield* environment.commit(plan([put("one", "c"), put("other", "d")], "other"))
      assert.deepStrictEqual(keysIn(environment, "one"), ["a", "c"])
      assert.deepStrictEqual(keysIn(environment, "other"), ["d"])
    }))

  it.effect("are undone together when a transaction does not fit", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.createDatabases(["other"])
      yield* environment.commit(plan([put(recordsDatabase, "a"), put("other", "a")]))
      const full = environment.commit(plan([put(recordsDatabase, "b"), put("other", "large", 2 * mebibyte)], "other"))
      assert.propertyVal(yield* Effect.flip(full), "_tag", "EngineFull")
      yield* environment.resize(mebibyte, { useReserve: false })
      assert.deepStrictEqual(keysIn(environment), ["a"])
      assert.deepStrictEqual(keysIn(environment, "other"), ["a"])
    }))

  it.effect("that do not exist are empty, and cannot be written to", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      assert.strictEqual(countOf(environment, "missing"), 0)
      assert.deepStrictEqual(keysIn(environment, "missing"), [])
      assert.isUndefined(valueOf(environment.get("missing", key("a"), copy)))
      assert.isFalse(valueOf(environment.has("missing", key("a"))))
      for (
        const bad of [
          plan([put(recordsDatabase, "a"), put("missing", "a")]),
          plan([put(recordsDatabase, "a")], "missing")
        ]
      ) {
        assert.propertyVal(yield* Effect.flip(environment.commit(bad)), "_tag", "EngineFailure")
      }
      assert.strictEqual(countOf(environment), 0)
    }))

  it.effect("keep their names and records after a resize and after reopening, also read-only", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const names = [recordsDatabase, "größe", "日本", "😀", "with space", "meta2", "x".repeat(500)].toSorted()
      const written = yield* Effect.scoped(Effect.gen(function*() {
        const { environment } = yield* open({ path })
        yield* environment.createDatabases(names)
        // That it is there already is nothing to it
        yield* environment.createDatabases(names)
        assert.deepStrictEqual(environment.databases().toSorted(), names)
        yield* environment.commit(plan(names.map((name) => put(name, name.slice(0, 5)))))
        yield* environment.resize(2 * mebibyte, { useReserve: false })
        assert.deepStrictEqual(environment.databases().toSorted(), names)
        yield* environment.commit(plan(names.map((name) => put(name, "after"))))
        return names.map((name) => keysIn(environment, name))
      }))
      for (const readOnly of [true, false]) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { environment } = yield* open({ path, readOnly })
          assert.deepStrictEqual(environment.databases().toSorted(), names)
          assert.deepStrictEqual(names.map((name) => keysIn(environment, name)), written)
          yield* environment.createDatabases(["new"])
          assert.strictEqual(environment.databases().includes("new"), !readOnly)
          assert.strictEqual(countOf(environment, "new"), 0)
        }))
      }
    }))

  it.effect("are unchanged in a snapshot after later creations, clears and resizes", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.createDatabases(["other"])
      yield* environment.commit(plan([put(recordsDatabase, "a", 1), put("other", "a", 2), put("other", "b", 3)]))
      const snapshot = valueOf(environment.snapshot())
      yield* environment.createDatabases(["later"])
      yield* environment.commit(plan([put(recordsDatabase, "a", 9), put("other", "c"), put("later", "a")], "other"))
      const assertUnchanged = () => {
        assert.strictEqual(valueOf(snapshot.get(recordsDatabase, key("a"), copy))?.length, 1)
        assert.strictEqual(valueOf(snapshot.get("other", key("b"), copy))?.length, 3)
        assert.isTrue(valueOf(snapshot.has("other", key("a"))))
        assert.isFalse(valueOf(snapshot.has("other", key("c"))))
        assert.deepStrictEqual(keysIn(snapshot, "other"), ["a", "b"])
        const counts = [recordsDatabase, "other", "later"].map((name) => valueOf(snapshot.count(name)))
        assert.deepStrictEqual(counts, [1, 2, 0])
        assert.isUndefined(valueOf(snapshot.get("later", key("a"), copy)))
        assert.deepStrictEqual(keysIn(snapshot, "later"), [])
      }
      assertUnchanged()
      yield* environment.resize(2 * mebibyte, { useReserve: false })
      yield* environment.commit(plan([put("later", "b")], recordsDatabase))
      assertUnchanged()
      snapshot.release()
      assert.deepStrictEqual([recordsDatabase, "other", "later"].map((name) => countOf(environment, name)), [0, 1, 2])
    }))
})
