import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { Store, type StoreService } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { faultyStore, start, temporaryFolder, turns } from "../support/harness.ts"

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

const pendingOf = (store: StoreService) => Effect.map(store.stats, (stats) => stats.pending)

const putAll = (store: StoreService, keys: Iterable<string>) =>
  Effect.forEach(keys, (key) => store.put(key, `value of ${key}`), { discard: true })

/** No way of reading shows a value, nor a trace of how a deletion is kept. */
const assertGone = Effect.fnUntraced(function*(store: StoreService, key: string) {
  assert.deepStrictEqual(yield* store.get(key), Option.none())
  assert.isFalse(yield* store.has(key))
  assert.isFalse(yield* store.has(key, { flush: false }))
  const { found, missing } = yield* store.getMany([key])
  assert.strictEqual(found.size, 0)
  assert.deepStrictEqual(missing, [key])
  const error = yield* Effect.flip(store.getOrFail(key))
  assert.strictEqual(error.message, `Key not found: "${key}"`)
  const seen: Array<Option.Option<unknown>> = []
  yield* store.update(key, (current) => {
    seen.push(current)
    return current
  })
  assert.deepStrictEqual(seen, [Option.none()])
})

describe("deletion", () => {
  it.effect("deletion_sentinel_basic: a put and its deletion are one pending write, the deletion", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.put("a", 1)
      yield* store.delete("a")
      yield* assertGone(store, "a")
      assert.strictEqual(yield* pendingOf(store), 1)
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["-a"]])
      assert.strictEqual(yield* store.size, 0)
    }))

  it.effect("delete_nonexistent_key: delete is silent, deleteOrFail fails with KeyNotFound", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      assert.strictEqual(yield* store.delete("missing"), undefined)
      yield* store.flush
      const error = yield* Effect.flip(store.deleteOrFail("missing"))
      assert.strictEqual(error._tag, "KeyNotFound")
      assert.include(error.message, "Key not found")
    }))

  it.effect("delete_nonexistent_key: deleteOrFail looks at pending and stored values and never commits", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ autoFlushOnRead: true })
      yield* putAll(store, ["stored", "deleted"])
      yield* store.flush
      yield* store.put("pending", 1)
      yield* store.delete("deleted")
      yield* store.deleteOrFail("pending")
      yield* store.deleteOrFail("stored")
      for (const key of ["deleted", "pending", "stored", "missing"]) {
        assert.strictEqual((yield* Effect.flip(store.deleteOrFail(key)))._tag, "KeyNotFound")
      }
      assert.deepStrictEqual(spy.commits(), [["stored", "deleted"]])
    }))

  it.effect("deletion_then_recreation: the new value is read before and after the commit", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("a", "old")
      yield* store.delete("a")
      yield* store.put("a", "new")
      assert.deepStrictEqual(yield* store.get("a"), Option.some("new"))
      yield* store.flush
      assert.deepStrictEqual(yield* store.get("a"), Option.some("new"))
    }))

  it.effect("deletion_across_flush_boundaries: a stored key is gone at once, while it commits, and after that", () =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* SpyEngine.open()
      yield* putAll(store, ["a", "b"])
      yield* store.flush
      yield* store.delete("a")
      yield* assertGone(store, "a")
      assert.strictEqual(yield* store.size, 1)
      const held = yield* spy.hold("commit")
      const flush = yield* start(store.flush)
      yield* held.begun
      yield* assertGone(store, "a")
      yield* held.release
      yield* Fiber.join(flush)
      yield* assertGone(store, "a")
      assert.deepStrictEqual(yield* store.get("b"), Option.some("value of b"))
      yield* store.close()
      const reopened = yield* Store.make({ path })
      yield* assertGone(reopened, "a")
      assert.isTrue(yield* reopened.has("b"))
    }))

  it.effect("deletion_across_flush_boundaries: a key written again while its deletion commits is there", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.putMany({ a: 1 })
      yield* store.delete("a")
      const held = yield* spy.hold("commit")
      const flush = yield* start(store.flush)
      yield* held.begun
      yield* store.put("a", 2)
      assert.deepStrictEqual(yield* store.get("a"), Option.some(2))
      assert.strictEqual(yield* store.size, 1)
      yield* held.release
      yield* Fiber.join(flush)
      assert.deepStrictEqual(yield* store.get("a"), Option.some(2))
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["a"], ["-a"], ["a"]])
      assert.deepStrictEqual(yield* store.get("a"), Option.some(2))
    }))

  it.effect("deletion_with_get_many: stored, deleted, never stored, and pending then deleted", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* putAll(store, ["stored", "deleted"])
      yield* store.flush
      yield* store.delete("deleted")
      yield* store.put("pending then deleted", 1)
      yield* store.delete("pending then deleted")
      yield* store.put("pending", 2)
      const { found, missing } = yield* store.getMany(
        ["pending then deleted", "stored", "never", "deleted", "pending"]
      )
      assert.deepStrictEqual([...found], [["stored", "value of stored"], ["pending", 2]])
      assert.deepStrictEqual(missing, ["pending then deleted", "never", "deleted"])
    }))

  it.effect("deletion_sentinel_not_leaked: no read returns the marker of a deletion", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("a", null)
      yield* store.flush
      yield* store.delete("a")
      yield* assertGone(store, "a")
      assert.strictEqual(Option.getOrElse(yield* store.get("a"), () => "default"), "default")
      yield* store.flush
      yield* assertGone(store, "a")
    }))

  it.effect("an update that deletes waits for a full buffer like a deletion, and does not fail with an error of other writes", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 1 })
      yield* store.putMany({ unwanted: 1 })
      const held = yield* faulty.holdCommit
      yield* faulty.fail("commit", faults.diskFull)
      yield* store.put("a", 1)
      yield* held.isWanted
      const flushing = yield* start(store.flush)
      yield* store.put("b", 1)
      const deleting = yield* start(store.update("unwanted", Option.none))
      yield* turns(5)
      assert.isUndefined(deleting.pollUnsafe())
      yield* held.release
      assert.strictEqual(yield* Effect.flip(Fiber.join(flushing)), faults.diskFull)
      assert.deepStrictEqual(yield* Fiber.join(deleting), Option.none())
      yield* store.flush
      assert.deepStrictEqual((yield* store.getMany(["a", "b", "unwanted"])).missing, ["unwanted"])
    }))

  it.effect("mass_deletion_pattern: of 20 the evens are deleted, two of these made again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      yield* putAll(store, range(20).map(String))
      yield* store.flush
      yield* Effect.forEach(range(10), (n) => store.delete(String(2 * n)))
      yield* store.put("4", "again")
      yield* store.put("8", "again")
      yield* store.close()
      const reopened = yield* Store.make({ path })
      const { found, missing } = yield* reopened.getMany(range(20).map(String))
      assert.deepStrictEqual(missing, ["0", "2", "6", "10", "12", "14", "16", "18"])
      assert.deepStrictEqual([found.get("4"), found.get("8"), found.get("5")], ["again", "again", "value of 5"])
      assert.strictEqual(yield* reopened.size, 12)
    }))

  it.effect("deletion_with_readonly_mode: delete and deleteOrFail are ReadOnly, also for a missing key; reads work", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.put("a", 1)))
      const store = yield* Store.make({ path, readOnly: true })
      for (const key of ["a", "missing"]) {
        assert.strictEqual((yield* Effect.flip(store.delete(key)))._tag, "ReadOnly")
        assert.strictEqual((yield* Effect.flip(store.deleteOrFail(key)))._tag, "ReadOnly")
      }
      assert.strictEqual((yield* Effect.flip(store.deleteMany([])))._tag, "ReadOnly")
      assert.deepStrictEqual(yield* store.get("a"), Option.some(1))
      assert.isFalse(yield* store.has("missing"))
    }))

  it.effect("complex_deletion_sequence: puts, deletes and flushes at batchSize 5 leave the correct state", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, batchSize: 5 })
      yield* putAll(store, ["a", "b", "c"])
      yield* store.delete("b")
      yield* store.flush
      yield* store.put("b", "second")
      yield* store.delete("a")
      yield* putAll(store, ["d", "e"])
      yield* store.delete("d")
      yield* store.put("a", "second")
      yield* store.delete("c")
      yield* store.flush
      yield* store.delete("a")
      yield* store.put("f", 6)
      yield* store.delete("missing")
      yield* store.close()
      const reopened = yield* Store.make({ path })
      const { found, missing } = yield* reopened.getMany(["a", "b", "c", "d", "e", "f"])
      assert.deepStrictEqual([...found], [["b", "second"], ["e", "value of e"], ["f", 6]])
      assert.deepStrictEqual(missing, ["a", "c", "d"])
    }))

  it.effect("deletion_sentinel_with_batch_overflow: put and delete of one key count once, the third key commits", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 3 })
      const held = yield* spy.hold("commit")
      yield* store.put("a", 1)
      yield* store.delete("a")
      yield* store.put("b", 2)
      yield* turns(10)
      assert.strictEqual(yield* pendingOf(store), 2)
      yield* store.put("c", 3)
      yield* held.begun
      yield* held.release
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["-a", "b", "c"]])
      yield* assertGone(store, "a")
    }))

  it.effect("deleteMany and clear: one transaction each, on disk when they return, pending writes included", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.putMany({ a: 1, b: 2, c: 3 })
      yield* store.put("d", 4)
      yield* store.deleteMany(["a", "missing", "a"])
      assert.deepStrictEqual(spy.commits(), [["a", "b", "c"], ["d", "-a", "-missing"]])
      assert.strictEqual(yield* store.size, 3)
      yield* store.put("e", 5)
      yield* store.deleteMany(["e"])
      yield* assertGone(store, "e")
      yield* store.put("e", 5)
      yield* store.clear
      assert.deepStrictEqual(spy.commits().slice(-2), [["-e"], ["clear"]])
      assert.strictEqual(yield* pendingOf(store), 0)
      assert.strictEqual(yield* store.size, 0)
      yield* assertGone(store, "e")
    }))
})
