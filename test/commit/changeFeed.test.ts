/** Subscribers to the changes of a store: slow ones, and when the stream ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ChangesMissed, Closed, Store } from "../../src/index.ts"
import * as ChangeFeed from "../../src/internal/commit/changeFeed.ts"
import { ByteString } from "../../src/Key.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { below, openSeeded } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"
import { readByHand } from "../support/streaming.ts"
import { show, subscribe, toldBy } from "../support/subscribing.ts"

describe("a slow subscriber", () => {
  it.effect("does not delay writers, gets the waiting changes, and then fails with ChangesMissed", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const slow = yield* readByHand(store.changes({ capacity: 3 }))
      const first = yield* start(slow.next)
      const quick = yield* subscribe(store.changes())
      yield* store.putMany({ first: 1 })
      assert.strictEqual((yield* Fiber.join(first)).length, 1)
      for (const n of below(10)) yield* store.putMany({ [`key ${n}`]: n })
      const waited: Array<string> = []
      const end = yield* Effect.flip(
        Effect.forever(
          Effect.flatMap(slow.next, (part) => Effect.map(Effect.forEach(part, show), (texts) => waited.push(...texts)))
        )
      )
      assert.deepStrictEqual(end, new ChangesMissed({ path, capacity: 3 }))
      assert.deepStrictEqual(waited, ["key 0=0", "key 1=1", "key 2=2"])
      assert.strictEqual((yield* toldBy(store, quick)).length, 11)
    }))

  it.effect("that reads in time misses no change, whatever their number", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open({ durability: "noSync" })
      const slow = yield* readByHand(store.changes({ capacity: 2 }))
      const keys: Array<string> = []
      for (const n of below(50)) {
        const next = yield* start(slow.next)
        yield* store.putMany({ [`a ${n}`]: n, [`b ${n}`]: n })
        for (const change of yield* Fiber.join(next)) if (change._tag === "Put") keys.push(change.key)
      }
      assert.deepStrictEqual(keys, below(50).flatMap((n) => [`a ${n}`, `b ${n}`]))
    }))

  it.effect("gets a transaction that is larger than its capacity as a whole, when nothing else waits", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const slow = yield* readByHand(store.changes({ capacity: 2 }))
      const first = yield* start(slow.next)
      yield* turns(5)
      yield* store.putMany(below(10).map((n) => [`key ${n}`, n] as const))
      assert.strictEqual((yield* Fiber.join(first)).length, 10)
      yield* store.putMany(below(10).map((n) => [`key ${n}`, n] as const))
      assert.strictEqual((yield* slow.next).length, 10)
    }))

  it.effect("does not count changes outside its prefix", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const slow = yield* readByHand(store.changes({ capacity: 1, prefix: "mine" }))
      const first = yield* start(slow.next)
      yield* turns(5)
      for (const n of below(10)) yield* store.putMany({ [`other ${n}`]: n })
      yield* store.putMany({ mine: 1 })
      assert.strictEqual((yield* Fiber.join(first)).length, 1)
    }))

  it.effect("may have 100,000 waiting changes by default", () =>
    Effect.gen(function*() {
      const { path, store } = yield* SpyEngine.open({ durability: "noSync" })
      const slow = yield* readByHand(store.changes())
      const first = yield* start(slow.next)
      yield* store.putMany({ first: 1 })
      yield* Fiber.join(first)
      yield* store.putMany(below(99_999).map((n) => [`${n}`, 0] as const))
      yield* store.putMany({ last: 1 })
      yield* store.putMany({ missed: 1 })
      let waited = 0
      const end = yield* Effect.flip(Effect.forever(Effect.map(slow.next, (part) => {
        waited += part.length
      })))
      assert.deepStrictEqual(end, new ChangesMissed({ path, capacity: 100_000 }))
      assert.strictEqual(waited, 100_000)
    }))
})

describe("the stream of changes ends", () => {
  it.effect("when the store closes, after the changes of its last commit", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      yield* store.put("last", 1)
      assert.deepStrictEqual(yield* toldBy(store, told), ["last=1"])
    }))

  it.effect("for a slow subscriber, after it has got the remaining changes", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const slow = yield* readByHand(store.changes())
      const first = yield* start(slow.next)
      for (const n of below(5)) yield* store.putMany({ a: n })
      yield* Fiber.join(first)
      yield* store.close()
      assert.strictEqual((yield* slow.rest).length, 4)
    }))

  it.effect("when its own handle closes, not when another handle does", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* Store.make({ path })
      const second = yield* Store.make({ path })
      const ofFirst = yield* subscribe(first.changes())
      const ofSecond = yield* subscribe(second.changes())
      yield* first.put("a", 1)
      assert.deepStrictEqual(yield* toldBy(first, ofFirst), ["a=1"])
      yield* second.putMany({ b: 2 })
      assert.deepStrictEqual(yield* toldBy(second, ofSecond), ["a=1", "b=2"])
    }))

  it.effect("by the scope of the store", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(Store.make({ path: yield* temporaryFolder }), scope)
      const told = yield* subscribe(store.changes())
      yield* store.put("a", 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Effect.forEach(yield* told, show), ["a=1"])
    }))

  it.effect("with Closed if the store is already closed", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const changes = store.changes()
      yield* store.close()
      assert.deepStrictEqual(yield* Effect.flip(Stream.runDrain(changes)), new Closed({ path, what: "Store" }))
    }))

  it.effect("after an interruption or by its consumer, and then no changes are kept for it", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const fiber = yield* start(Stream.runDrain(store.changes({ capacity: 1 })))
      yield* Fiber.interrupt(fiber)
      const taken = yield* start(Stream.runCollect(Stream.take(store.changes({ capacity: 1 }), 2)))
      for (const n of below(5)) {
        yield* store.putMany({ a: n })
        yield* turns(10)
      }
      assert.deepStrictEqual(yield* Effect.forEach(yield* Fiber.join(taken), show), ["a=0", "a=1"])
    }))

  it.effect("and then the selection of the subscriber is not evaluated any more", () =>
    Effect.gen(function*() {
      const changes = ChangeFeed.make("path")
      let asked = 0
      const subscribing = ChangeFeed.subscribe(changes, {
        database: "records",
        contains: () => ++asked > 0,
        capacity: 10
      })
      const publish = Effect.sync(() =>
        ChangeFeed.publish(changes, { clear: [], writes: [["records", ByteString("a"), null]] }, 1)
      )
      yield* Effect.scoped(Effect.andThen(subscribing, publish))
      assert.strictEqual(asked, 1)
      yield* publish
      assert.strictEqual(asked, 1)
    }))

  it.effect("and may be started again: a subscriber that missed changes continues from the stored records", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open({ durability: "noSync" })
      const counts: Array<number> = []
      const following = yield* start(
        Stream.runForEach(
          store.changes({ capacity: 1 }),
          () =>
            Effect.andThen(
              turns(30),
              Effect.flatMap(store.getOrFail("count"), (count) => Effect.sync(() => counts.push(Number(count))))
            )
        ).pipe(
          Effect.retry({ schedule: Schedule.recurs(100), while: (error) => error._tag === "ChangesMissed" })
        )
      )
      yield* Effect.forEach(below(30), (n) => store.putMany({ count: n }))
      yield* turns(100)
      yield* Fiber.interrupt(following)
      assert.isAbove(counts.length, 0)
      assert.deepStrictEqual(counts, counts.toSorted((a, b) => a - b))
    }))
})
