/** Snapshots of a store as handles. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expectTypeOf } from "vitest"
import { type Closed, type EngineFailure, Store, type StoreSnapshot } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"

/** All that a snapshot can read. */
const readAll = Effect.fnUntraced(function*(snapshot: StoreSnapshot) {
  const { found, missing } = yield* snapshot.getMany(["a", "b", "c"])
  return {
    get: yield* snapshot.get("a"),
    getOrFail: yield* snapshot.getOrFail("a"),
    found: [...found],
    missing,
    has: [yield* snapshot.has("a"), yield* snapshot.has("c")],
    keys: yield* Stream.runCollect(snapshot.keys()),
    values: yield* Stream.runCollect(snapshot.values({ prefix: "b" })),
    entries: yield* Stream.runCollect(snapshot.entries({ reverse: true })),
    count: yield* snapshot.count({ gt: "a" }),
    size: yield* snapshot.size
  }
})

const atFirst = {
  get: Option.some<unknown>(1),
  getOrFail: 1,
  found: [["a", 1], ["b", 2]],
  missing: ["c"],
  has: [true, false],
  keys: ["a", "b"],
  values: [2],
  entries: [["b", 2], ["a", 1]],
  count: 1,
  size: 2
}

const stores = {
  LMDB: Effect.flatMap(temporaryFolder, (path) => Store.make({ path, flushInterval: "Infinity" })),
  "a backend whose reads wait": Effect.flatMap(
    temporaryFolder,
    (path) => DelayedStore.open({ path, durability: "noSync", flushInterval: "Infinity" })
  )
}

for (const [name, open] of Object.entries(stores)) {
  describe(`a snapshot on ${name}`, () => {
    it.effect("reads the state at which it was opened, pending writes included", () =>
      Effect.gen(function*() {
        const store = yield* open
        yield* store.put("a", 1)
        yield* store.flush
        yield* store.put("b", 2)
        const snapshot = yield* store.snapshot
        expectTypeOf(store.snapshot).toEqualTypeOf<Effect.Effect<StoreSnapshot, Closed | EngineFailure, Scope.Scope>>()
        assert.deepStrictEqual<unknown>(yield* readAll(snapshot), atFirst)
        yield* store.put("c", 3)
        yield* store.delete("a")
        assert.deepStrictEqual<unknown>(yield* readAll(snapshot), atFirst)
        yield* store.flush
        yield* store.clear
        assert.deepStrictEqual<unknown>(yield* readAll(snapshot), atFirst)
        assert.strictEqual(yield* store.size, 0)
      }))
  })
}

describe("a snapshot", () => {
  const open = stores.LMDB

  it.effect("has its own state, also for reads in a transaction", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.put("a", 1)
      const outside = yield* store.snapshot
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("a", 2)
        const inside = yield* store.snapshot
        assert.strictEqual(yield* inside.getOrFail("a"), 1)
        assert.strictEqual(yield* outside.getOrFail("a"), 1)
        assert.strictEqual(yield* store.getOrFail("a"), 2)
      }))
      assert.strictEqual(yield* outside.getOrFail("a"), 1)
    }))

  it.effect("does not cause a conflict of a transaction that reads from it", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.put("a", 1)
      const snapshot = yield* store.snapshot
      let runs = 0
      yield* store.withTransaction(Effect.gen(function*() {
        runs++
        yield* store.put("copy", yield* snapshot.getOrFail("a"))
        yield* Effect.flatMap(Effect.forkDetach(store.put("a", 2)), (fiber) => fiber.pollUnsafe() ?? Effect.yieldNow)
      }))
      assert.strictEqual(runs, 1)
      assert.strictEqual(yield* store.getOrFail("copy"), 1)
    }))

  it.effect("is released with its scope, and its reads and streams then fail with Closed", () =>
    Effect.gen(function*() {
      const store = yield* open
      yield* store.putMany({ a: 1 })
      const scope = yield* Scope.make()
      const snapshot = yield* Effect.provideService(store.snapshot, Scope.Scope, scope)
      assert.strictEqual((yield* store.stats).snapshots, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* store.stats).snapshots, 0)
      const released = { _tag: "Closed", what: "Snapshot" } as const
      assert.include(yield* Effect.flip(snapshot.get("a")), released)
      assert.include(yield* Effect.flip(snapshot.size), released)
      assert.include(yield* Effect.flip(Stream.runDrain(snapshot.keys())), released)
      assert.include((yield* Effect.flip(snapshot.size)).message, "was released at the end of its scope")
    }))

  it.effect("ends with its store", () =>
    Effect.gen(function*() {
      const store = yield* open
      const snapshot = yield* store.snapshot
      yield* store.close()
      assert.include(yield* Effect.flip(snapshot.has("a")), { _tag: "Closed", what: "Store" })
      assert.include(yield* Effect.flip(Effect.scoped(store.snapshot)), { _tag: "Closed", what: "Store" })
    }))
})
