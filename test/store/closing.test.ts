/** The tests 22 to 27 of the original, and what else can go wrong while a store closes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { join } from "node:path"
import * as Engine from "../../src/Engine.ts"
import { Store, type StoreService } from "../../src/index.ts"
import * as FaultyEngine from "../support/engines/faultyEngine.ts"
import { faultyStore, start, temporaryFolder, turns, until, withLog, withStore } from "../support/harness.ts"

const { diskFull, inputOutput } = FaultyEngine.faults

/** Every method of a store. */
const methods: ReadonlyArray<readonly [name: string, call: (store: StoreService) => Effect.Effect<unknown, unknown>]> =
  [
    ["put", (store) => store.put("a", 1)],
    ["get", (store) => store.get("a")],
    ["getOrFail", (store) => store.getOrFail("a")],
    ["has", (store) => store.has("a")],
    ["has with flush", (store) => store.has("a", { flush: true })],
    ["delete", (store) => store.delete("a")],
    ["deleteOrFail", (store) => store.deleteOrFail("a")],
    ["update", (store) => store.update("a", Option.map((value) => value))],
    ["putMany", (store) => store.putMany([["a", 1]])],
    ["putMany of nothing", (store) => store.putMany([])],
    ["getMany", (store) => store.getMany(["a"])],
    ["getMany of nothing", (store) => store.getMany([])],
    ["getMany with decodeKeys", (store) => store.getMany(["a"], { decodeKeys: true })],
    ["deleteMany", (store) => store.deleteMany(["a"])],
    ["deleteMany of nothing", (store) => store.deleteMany([])],
    ["size", (store) => store.size],
    ["clear", (store) => store.clear],
    ["flush", (store) => store.flush],
    ["stats", (store) => store.stats],
    ["backup", (store) => store.backup("unused")]
  ]

const assertClosed = Effect.fnUntraced(function*(store: StoreService) {
  for (const [name, call] of methods) {
    const error = yield* Effect.flip(call(store))
    assert.propertyVal(error, "_tag", "Closed", name)
  }
})

describe("the original's tests", () => {
  it.effect("22: a strict close fails with the error of the last commit, and the store is closed anyway", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.put("a", 1)
      yield* faulty.fail("commit", diskFull)
      assert.deepInclude(yield* Effect.flip(store.close({ strict: true })), {
        _tag: "EngineFailure",
        code: diskFull.code
      })
      yield* assertClosed(store)
    }))

  it.effect("23: a close that is not strict logs the error if configured, with the number of lost keys", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, path, store } = yield* faultyStore({ closeFailure: "log" })
        yield* store.put("a", 1)
        yield* store.put("b", 2)
        yield* store.put("b", 3)
        yield* store.delete("c")
        yield* faulty.fail("commit", inputOutput)
        yield* store.close()
        const errors = log.filter((entry) => entry.level === "ERROR")
        assert.strictEqual(errors.length, 1)
        assert.include(errors[0]?.text, `The store at ${path} closed, and 3 keys that had not been written are lost`)
        assert.include(errors[0]?.text, "Input/output error")
        yield* assertClosed(store)
      })
    ))

  it.effect("24: has finds pending keys with any value of flush", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.put("a", 1)
      assert.isTrue(yield* store.has("a", { flush: true }))
      assert.isTrue(yield* store.has("a", { flush: false }))
      assert.isTrue(yield* store.has("a"))
      assert.isFalse(yield* store.has("b", { flush: false }))
      // The pending writes answered every question
      assert.strictEqual(faulty.calls("commit"), 0)
    }))

  it.effect("25: has with flush off never commits, for existing and for missing keys", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ autoFlushOnRead: true })
      yield* store.put("a", 1)
      assert.isTrue(yield* store.has("a", { flush: false }))
      assert.isFalse(yield* store.has("b", { flush: false }))
      assert.strictEqual(faulty.calls("commit"), 0)
      assert.isFalse(yield* store.has("b"))
      assert.strictEqual(faulty.calls("commit"), 1)
    }))

  it.effect("26: a store whose environment was closed from outside still closes", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ closeFailure: "log" })
      yield* store.put("a", 1)
      yield* store.flush
      yield* faulty.closeBehindItsBack
      assert.propertyVal(yield* Effect.flip(store.get("a")), "_tag", "EngineFailure")
      yield* store.put("b", 1)
      yield* store.close()
      yield* assertClosed(store)
    }))

  it.effect("27: without autoFlushOnRead, has commits only if flush is set and the pending writes do not answer", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ autoFlushOnRead: false })
      yield* store.put("stored", 1)
      yield* store.flush
      yield* store.put("pending", 2)
      assert.isTrue(yield* store.has("pending"))
      assert.isTrue(yield* store.has("stored"))
      assert.isFalse(yield* store.has("missing"))
      assert.isTrue(yield* store.has("pending", { flush: true }))
      assert.strictEqual(faulty.calls("commit"), 1)
      assert.isFalse(yield* store.has("missing", { flush: true }))
      assert.strictEqual(faulty.calls("commit"), 2)
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.deepStrictEqual(faulty.batches().map((batch) => batch.map(([, key]) => key)), [["stored"], ["pending"]])
    }))
})

describe("closing", () => {
  it.effect("the scope commits the pending writes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.put("a", [1, 2]))
      assert.deepStrictEqual(yield* withStore({ path }, (store) => store.getOrFail("a")), [1, 2])
    }))

  it.effect("the scope commits the pending writes also if the program failed, died or was interrupted", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (
        const [key, end] of Object.entries({ fail: Effect.fail("no"), die: Effect.die("no"), stop: Effect.interrupt })
      ) {
        const exit = yield* Effect.exit(withStore({ path }, (store) => Effect.andThen(store.put(key, key), end)))
        assert.isTrue(Exit.isFailure(exit))
      }
      const { missing } = yield* withStore({ path }, (store) => store.getMany(["fail", "die", "stop"]))
      assert.deepStrictEqual(missing, [])
    }))

  it.effect("a failing last commit loses only its own writes, and the path can be opened again", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* Effect.scoped(Effect.gen(function*() {
          const { faulty, store } = yield* faultyStore({ path, closeFailure: "log" })
          yield* store.put("kept", 1)
          yield* store.flush
          yield* store.put("lost", 2)
          yield* faulty.failAlways("commit", diskFull)
        }))
        assert.isTrue(log.some((entry) => entry.text.includes("1 key that had not been written is lost: \"lost\"")))
        const { found, missing } = yield* withStore({ path }, (store) => store.getMany(["kept", "lost"]))
        assert.deepStrictEqual([...found], [["kept", 1]])
        assert.deepStrictEqual(missing, ["lost"])
      })
    ))

  it.effect("a second close does nothing, strict or not", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.put("a", 1)
      yield* faulty.fail("commit", diskFull)
      assert.deepInclude(yield* Effect.flip(store.close({ strict: true })), {
        _tag: "EngineFailure",
        code: diskFull.code
      })
      yield* store.close({ strict: true })
      yield* store.close()
      yield* store.close({ strict: true })
      assert.strictEqual(faulty.calls("commit"), 1)
    }))

  it.effect("many fibers may close at once, and the pending writes are committed once", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore()
      yield* store.put("a", 1)
      yield* Effect.forEach(Array.from({ length: 50 }), () => store.close({ strict: true }), {
        concurrency: "unbounded"
      })
      yield* assertClosed(store)
      assert.strictEqual(faulty.calls("commit"), 1)
      assert.strictEqual(yield* Effect.flatMap(open, (again) => again.getOrFail("a")), 1)
    }))

  it.effect("an unreported error does not fail a close whose commit succeeds", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore({ batchSize: 1 })
      yield* faulty.fail("commit", diskFull)
      yield* store.put("a", 1)
      yield* until(() => faulty.calls("commit") === 1)
      yield* store.close({ strict: true })
      assert.strictEqual(yield* Effect.flatMap(open, (again) => again.getOrFail("a")), 1)
    }))

  it.effect("running calls complete or fail with Closed, and none hangs", () =>
    Effect.gen(function*() {
      const { faulty, open, path, store } = yield* faultyStore({
        batchSize: 2,
        path: join(yield* temporaryFolder, "s")
      })
      const held = yield* faulty.holdCommit
      yield* store.put("a1", 1)
      yield* store.put("a2", 1)
      yield* held.isWanted
      yield* store.put("b1", 1)
      yield* store.put("b2", 1)
      const fibers = yield* Effect.forEach(
        [
          store.put("c1", 1),
          store.put("c2", 1),
          store.delete("c3"),
          store.update("c4", () => Option.some(1)),
          store.flush,
          store.getMany(["a1", "b1"]),
          store.putMany([["d1", 1], ["d2", 2]]),
          store.deleteMany(["d3"]),
          store.clear,
          store.size,
          store.stats,
          store.backup(`${path}-copy`),
          store.has("missing", { flush: true })
        ],
        (call): Effect.Effect<Fiber.Fiber<unknown, { readonly _tag: string }>> => start(call)
      )
      const closing = yield* start(store.close({ strict: true }))
      yield* turns(3)
      assert.isUndefined(closing.pollUnsafe())
      // Who comes now gets Closed at once
      yield* assertClosed(store)
      yield* held.release
      yield* Fiber.join(closing)
      const exits = yield* Fiber.awaitAll(fibers)
      for (const exit of exits) {
        if (Exit.isFailure(exit)) assert.propertyVal(yield* Effect.flip(exit), "_tag", "Closed")
      }
      // The store opens again as if nothing had been
      const again = yield* open
      yield* again.put("z", 1)
      yield* again.flush
    }))

  it.effect("a put that waited for room is on disk if it returned before the close, and otherwise fails with Closed", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore({ batchSize: 1 })
      const held = yield* faulty.holdCommit
      yield* store.put("first", 1)
      yield* held.isWanted
      const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
      const fibers = yield* Effect.forEach(keys, (key) => start(store.put(key, key)))
      yield* turns(2)
      const closing = yield* start(store.close({ strict: true }))
      yield* held.release
      yield* Fiber.join(closing)
      const exits = yield* Fiber.awaitAll(fibers)
      const again = yield* open
      const { found } = yield* again.getMany(keys)
      assert.deepStrictEqual(
        [...found.keys()],
        keys.filter((_, index) => {
          const exit = exits[index]
          return exit !== undefined && Exit.isSuccess(exit)
        })
      )
    }))

  it.effect("a running backup completes first", () =>
    Effect.gen(function*() {
      const { faulty, path, store } = yield* faultyStore()
      yield* store.putMany(Array.from({ length: 2000 }, (_, index) => [`k${index}`, "x".repeat(1000)] as const))
      const copy = join(path, "copy")
      const backup = yield* start(store.backup(copy))
      yield* turns(1)
      assert.strictEqual(faulty.calls("backup"), 1)
      yield* store.close({ strict: true })
      yield* Fiber.join(backup)
      assert.strictEqual(yield* withStore({ path: copy }, (opened) => opened.size), 2000)
    }))

  it.effect("interrupting a close does not prevent the close", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore()
      yield* store.put("a", 1)
      const held = yield* faulty.holdCommit
      const closing = yield* start(store.close())
      yield* held.isWanted
      const interrupting = yield* start(Fiber.interrupt(closing))
      yield* held.release
      yield* Fiber.join(interrupting)
      yield* assertClosed(store)
      assert.strictEqual(yield* Effect.flatMap(open, (again) => again.getOrFail("a")), 1)
    }))

  it.effect("a scope that closes while a commit runs waits for it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const faulty = yield* FaultyEngine.make
      const scope = yield* Scope.make()
      const store = yield* Store.makeWithEngine({ path }).pipe(
        Scope.provide(scope),
        Effect.provideService(Engine.Engine, faulty.engine)
      )
      yield* store.put("a", 1)
      const held = yield* faulty.holdCommit
      const flushing = yield* start(store.flush)
      yield* held.isWanted
      const closing = yield* start(Scope.close(scope, Exit.void))
      yield* turns(20)
      assert.isUndefined(closing.pollUnsafe())
      yield* held.release
      yield* Fiber.join(closing)
      yield* Fiber.join(flushing)
      assert.strictEqual(yield* withStore({ path }, (again) => again.getOrFail("a")), 1)
    }))
})
