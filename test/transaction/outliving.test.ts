/** The fibers that belong to a transaction, and the errors of those that use it after its end. */
import { assert, describe, it } from "@effect/vitest"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { Closed, type StoreService } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { begin, below, contentOf, increment, openSeeded, seed } from "../support/fixtures/transactions.ts"
import { start, turns } from "../support/harness.ts"
import { readByHand } from "../support/streaming.ts"

describe("a fiber that is forked inside of a transaction", () => {
  it.effect("belongs to it: it reads and writes in the transaction", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("a", 10)
        const child = yield* Effect.forkChild(Effect.tap(store.getOrFail("a"), () => store.put("child", 1)))
        assert.strictEqual(yield* Fiber.join(child), 10)
        assert.strictEqual(yield* store.getOrFail("child"), 1)
        yield* Effect.forEach(below(100), () => Effect.andThen(Effect.yieldNow, store.update("count", increment)), {
          concurrency: "unbounded",
          discard: true
        })
        yield* Effect.all([store.put("left", 1), store.put("right", 1)], { concurrency: "unbounded" })
      }))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 10, child: 1, count: 100, left: 1, right: 1 })
      assert.strictEqual(spy.transactions(), 2)
    }))

  it.effect("loses its writes if the transaction fails", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* Effect.flip(store.withTransaction(Effect.gen(function*() {
        yield* Fiber.join(yield* Effect.forkChild(store.put("child", 1)))
        return yield* Effect.fail("no")
      })))
      yield* store.flush
      assert.deepStrictEqual(yield* contentOf(store), seed)
    }))

  it.effect("can run a nested transaction, whose failure undoes only its own writes", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(
        Effect.forEach(below(20), (n) =>
          Effect.ignore(store.withTransaction(Effect.gen(function*() {
            yield* store.put(`first ${n}`, n)
            yield* turns(n % 3)
            yield* store.put(`second ${n}`, n)
            if (n % 2 === 0) return yield* Effect.fail("no")
          }))), { concurrency: "unbounded" })
      )
      const odd = below(20).flatMap((n) => n % 2 === 1 ? [`first ${n}`, `second ${n}`] : [])
      const { found } = yield* store.getMany(below(20).flatMap((n) => [`first ${n}`, `second ${n}`]))
      assert.deepStrictEqual([...found.keys()], odd)
    }))

  it.effect.each<{ readonly how: string; readonly use: (store: StoreService) => Effect.Effect<unknown, unknown> }>([
    { how: "get", use: (store) => store.get("a") },
    { how: "getOrFail", use: (store) => store.getOrFail("a") },
    { how: "getMany", use: (store) => store.getMany(["a"]) },
    { how: "has", use: (store) => store.has("a") },
    { how: "size", use: (store) => store.size },
    { how: "count", use: (store) => store.count() },
    { how: "keys", use: (store) => Stream.runDrain(store.keys()) },
    { how: "values", use: (store) => Stream.runDrain(store.values()) },
    { how: "entries", use: (store) => Stream.runDrain(store.entries({ snapshot: false })) },
    { how: "put", use: (store) => store.put("late", 1) },
    { how: "delete", use: (store) => store.delete("a") },
    { how: "deleteOrFail", use: (store) => store.deleteOrFail("a") },
    { how: "update", use: (store) => store.update("a", increment) },
    { how: "putMany", use: (store) => store.putMany({ late: 1 }) },
    { how: "deleteMany", use: (store) => store.deleteMany(["a"]) },
    { how: "deleteRange", use: (store) => store.deleteRange({ prefix: "a" }) },
    { how: "clear", use: (store) => store.clear },
    { how: "withTransaction", use: (store) => store.withTransaction(store.get("a")) }
  ])("and outlives it fails with Closed in $how, and changes nothing", ({ use }) =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* openSeeded()
      const gate = yield* Deferred.make<void>()
      const late = yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("b", 20)
        return yield* Effect.forkScoped(Effect.andThen(Deferred.await(gate), use(store)))
      }))
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Effect.flip(Fiber.join(late)), new Closed({ path, what: "Transaction" }))
      yield* store.flush
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, b: 20 })
      assert.strictEqual(spy.transactions(), 2)
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))
})

describe("after the end of a transaction", () => {
  const endings = [
    { how: "was committed", end: Effect.void },
    { how: "has failed", end: Effect.fail("no") },
    { how: "died", end: Effect.die("no") },
    { how: "was interrupted", end: Effect.interrupt }
  ]

  it.effect.each(endings)("that $how a step in it fails with Closed", ({ end }) =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const context = yield* Deferred.make<Context.Context<never>>()
      const enter = Effect.flatMap(Effect.context(), (inside) => Deferred.succeed(context, inside))
      yield* Effect.exit(store.withTransaction(Effect.andThen(enter, end)))
      const late = Effect.provideContext(store.put("late", 1), yield* Deferred.await(context))
      assert.deepStrictEqual(yield* Effect.flip(late), new Closed({ path, what: "Transaction" }))
      assert.deepStrictEqual(yield* contentOf(store), seed)
    }))

  it.effect("a stream that was started in it fails with Closed, and never reads later data", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      yield* store.putMany(below(1000).map((n) => [`key ${n}`, n] as const))
      const transaction = yield* begin(store)
      const stream = yield* transaction.inside(readByHand(store.keys()))
      assert.isAbove((yield* stream.next).length, 0)
      yield* transaction.commit
      assert.deepStrictEqual(yield* Effect.flip(stream.rest), new Closed({ path, what: "Transaction" }))
    }))

  it.effect("a nested one that still runs can neither read, nor write, nor join", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const closed = new Closed({ path, what: "Transaction" })
      const gate = yield* Deferred.make<void>()
      const outcomes = yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("outer", 1)
        const begun = yield* Deferred.make<void>()
        const nested = (after: Effect.Effect<unknown, unknown>) =>
          Effect.forkScoped(store.withTransaction(Effect.gen(function*() {
            yield* store.put("nested", 1)
            yield* Deferred.succeed(begun, undefined)
            yield* Deferred.await(gate)
            yield* after
          })))
        const fibers = yield* Effect.forEach([Effect.void, store.get("a"), store.put("late", 1)], nested)
        yield* Deferred.await(begun)
        yield* turns(3)
        return fibers
      }))
      yield* Deferred.succeed(gate, undefined)
      for (const fiber of outcomes) assert.deepStrictEqual(yield* Effect.flip(Fiber.join(fiber)), closed)
      yield* store.flush
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, outer: 1 })
    }))

  it.effect("a nested one that has ended fails with Closed while the outer one continues", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const gate = yield* Deferred.make<void>()
      yield* store.withTransaction(Effect.gen(function*() {
        const late = yield* store.withTransaction(
          Effect.forkScoped(Effect.andThen(Deferred.await(gate), store.put("late", 1)))
        )
        yield* Deferred.succeed(gate, undefined)
        assert.deepStrictEqual(yield* Effect.flip(Fiber.join(late)), new Closed({ path, what: "Transaction" }))
        yield* store.put("outer", 1)
      }))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, outer: 1 })
    }))

  it.effect("a call that waits for the map to grow fails with Closed too, and takes no snapshot", () =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* SpyEngine.open({ mapSize: "1 MiB" })
      yield* store.putMany(seed)
      const resize = yield* spy.hold("resize")
      const growing = yield* start(store.putMany({ large: "x".repeat(2_000_000) }))
      yield* resize.begun
      const calls = [
        store.get("a"),
        store.update("a", increment),
        store.deleteOrFail("b"),
        store.count(),
        Stream.runDrain(store.keys())
      ]
      const late = yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("c", 30)
        const fibers = yield* Effect.forEach(calls, (call) => Effect.forkScoped(call, { startImmediately: true }))
        yield* turns(3)
        return fibers
      })).pipe(Effect.forkScoped({ startImmediately: true }))
      yield* turns(10)
      yield* resize.release
      yield* Fiber.join(growing)
      for (const fiber of yield* Fiber.join(late)) {
        assert.deepStrictEqual(yield* Effect.flip(Fiber.join(fiber)), new Closed({ path, what: "Transaction" }))
      }
      assert.deepStrictEqual((yield* store.getMany(["a", "b", "c"])).found, new Map([["a", 1], ["b", 2], ["c", 30]]))
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))

  it.effect("the next calls of its fiber are outside it", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(store.put("a", 10))
      yield* store.put("b", 20)
      assert.strictEqual((yield* store.stats).pending, 1)
      yield* Effect.ignore(store.withTransaction(Effect.andThen(store.put("c", 30), Effect.fail("no"))))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 10, b: 20 })
    }))
})
