/** What a store tells of the changes that it commits. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Store } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { begin, below, increment, openSeeded } from "../support/fixtures/transactions.ts"
import { faultyStore, start, temporaryFolder, turns } from "../support/harness.ts"
import { show, subscribe, toldBy } from "../support/subscribing.ts"

describe("changes", () => {
  it.effect("include every way to write, one for each key of a commit, in the order of the commits", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      yield* store.put("put", 1)
      yield* store.put("put", 2)
      yield* store.put("gone", 1)
      yield* store.delete("gone")
      yield* store.flush
      yield* store.update("a", increment)
      yield* store.deleteOrFail("b")
      yield* store.flush
      yield* store.putMany([["many", 1], ["many", 2], ["other", 3]])
      yield* store.deleteMany(["many", "none"])
      yield* store.deleteRange({ prefix: "o" })
      yield* store.withTransaction(Effect.all([
        store.put("t", 1),
        store.update("t", increment),
        store.delete("c"),
        Effect.ignore(store.withTransaction(Effect.andThen(store.put("undone", 1), Effect.fail("no"))))
      ]))
      assert.deepStrictEqual(yield* toldBy(store, told), [
        "put=2",
        "-gone",
        "a=2",
        "-b",
        "many=2",
        "other=3",
        "-many",
        "-none",
        "-other",
        "t=2",
        "-c"
      ])
    }))

  it.effect("of one commit have one number, and those of a later commit a higher one", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      yield* store.put("a", 10)
      yield* store.delete("b")
      yield* store.flush
      yield* store.putMany({ c: 30, d: 40 })
      yield* store.withTransaction(Effect.all([store.put("e", 50), store.put("f", 60)]))
      yield* store.clear
      yield* store.close()
      const ids = (yield* told).map(({ transactionId }) => transactionId)
      assert.strictEqual(ids.length, 7)
      const [first, second, third, fourth] = [...new Set(ids)]
      assert.deepStrictEqual(ids, [first, first, second, second, third, third, fourth])
      assert.deepStrictEqual([...new Set(ids)], [...new Set(ids)].toSorted((a, b) => a - b))
    }))

  it.effect("of a store that is opened again have higher numbers than earlier ones", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const numbers: Array<number> = []
      for (const n of below(3)) {
        const store = yield* Store.make({ path })
        const told = yield* subscribe(store.changes())
        yield* store.put("a", n)
        yield* store.close()
        numbers.push(...(yield* told).map(({ transactionId }) => transactionId))
      }
      assert.strictEqual(new Set(numbers).size, 3)
      assert.deepStrictEqual(numbers, numbers.toSorted((a, b) => a - b))
    }))

  it.effect("start with the subscription: earlier commits are not included, pending writes are", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.put("pending", 1)
      const early = yield* subscribe(store.changes())
      yield* store.flush
      const late = yield* subscribe(store.changes())
      yield* store.putMany({ after: 1 })
      assert.deepStrictEqual(yield* toldBy(store, early), ["pending=1", "after=1"])
      assert.deepStrictEqual(yield* Effect.forEach(yield* late, show), ["after=1"])
    }))

  it.effect("reach every subscriber, also those of another handle, and each run of a stream subscribes again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* Store.make({ path })
      const second = yield* Store.make({ path })
      const changes = first.changes()
      const subscribers = [
        yield* subscribe(changes),
        yield* subscribe(changes),
        yield* subscribe(second.changes())
      ]
      yield* first.putMany({ a: 1 })
      yield* second.putMany({ b: 2 })
      yield* first.close()
      yield* second.close()
      for (const told of subscribers) {
        assert.deepStrictEqual(yield* Effect.forEach(yield* told, show), ["a=1", "b=2"])
      }
    }))

  it.effect("have the value of their commit, decoded on request, whatever was written later", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      for (const n of below(5)) yield* store.putMany({ value: { n } })
      yield* store.putMany({ value: "x".repeat(10_000) })
      yield* store.delete("value")
      yield* store.flush
      yield* store.putMany(below(500).map((n) => [`other ${n}`, n] as const))
      const shown = yield* toldBy(store, told)
      assert.deepStrictEqual(shown.slice(0, 5), below(5).map((n) => `value={"n":${n}}`))
      assert.deepStrictEqual(shown.slice(5, 7), [`value="${"x".repeat(10_000)}"`, "-value"])
    }))

  it.effect("give a new copy of the value each time, as of the put", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      const given = { list: [1] }
      yield* store.put("value", given)
      given.list.push(2)
      yield* store.close()
      const [change] = yield* told
      if (change?._tag !== "Put") return assert.fail()
      const [first, second] = [yield* change.value, yield* change.value]
      assert.deepStrictEqual(first, { list: [1] })
      assert.notStrictEqual(first, second)
    }))

  it.effect("of a clear come first, then the puts of the same transaction", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      yield* store.put("pending", 1)
      yield* store.clear
      yield* store.withTransaction(Effect.all([store.put("before", 1), store.clear, store.put("after", 1)]))
      yield* store.close()
      const all = yield* told
      const shown = yield* Effect.forEach(all, show)
      assert.deepStrictEqual(shown.slice(-3), ["clear", "clear", "after=1"])
      const ids = all.map(({ transactionId }) => transactionId)
      assert.strictEqual(ids.at(-1), ids.at(-2))
      assert.isBelow(ids.at(-3) ?? 0, ids.at(-2) ?? 0)
      // A pending write that the clear takes is told before it or not at all
      assert.include(
        [["pending=1", "clear", "clear", "after=1"].join(), ["clear", "clear", "after=1"].join()],
        shown.join()
      )
    }))

  it.effect("come in the order in which concurrent writers are committed: the last of a key is what is stored", () =>
    Effect.gen(function*() {
      const { path, store } = yield* SpyEngine.open({ durability: "noSync", batchSize: 7 })
      const told = yield* subscribe(store.changes())
      yield* Effect.forEach(below(300), (n) => {
        const key = `key ${n % 10}`
        if (n % 4 === 0) return Effect.asVoid(store.withTransaction(store.update(key, () => Option.some(n))))
        if (n % 4 === 1) return store.putMany({ [key]: n })
        return n % 4 === 2 ? store.put(key, n) : store.delete(key)
      }, { concurrency: "unbounded", discard: true })
      yield* store.close({ strict: true })
      const replayed = new Map<string, unknown>()
      let last = 0
      for (const change of yield* told) {
        assert.isAtLeast(change.transactionId, last)
        last = change.transactionId
        if (change._tag === "Put") replayed.set(change.key, yield* change.value)
        else if (change._tag === "Delete") replayed.delete(change.key)
      }
      const reopened = yield* Store.make({ path })
      const stored = yield* Stream.runCollect(reopened.entries())
      assert.deepStrictEqual(Object.fromEntries(replayed), Object.fromEntries(stored))
    }))
})

describe("there are no changes", () => {
  it.effect("of writes that were rolled back, in conflict, interrupted or refused", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      yield* Effect.ignore(store.withTransaction(Effect.andThen(store.put("failed", 1), Effect.fail("no"))))
      yield* Effect.exit(store.withTransaction(Effect.andThen(store.put("died", 1), Effect.die("no"))))
      yield* Effect.exit(store.withTransaction(Effect.andThen(store.put("interrupted", 1), Effect.interrupt)))
      yield* Effect.ignore(store.putMany([["refused", 1], ["", 2]]))
      yield* store.withTransaction(store.get("a"))
      const conflict = yield* begin(store)
      yield* conflict.inside(Effect.andThen(store.get("a"), store.put("conflict", 1)))
      yield* store.putMany({ a: 10 })
      yield* Effect.flip(conflict.commit)
      assert.deepStrictEqual(yield* toldBy(store, told), ["a=10"])
    }))

  it.effect("of the runs of a transaction that conflicted", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const told = yield* subscribe(store.changes())
      yield* Effect.forEach(below(20), () => store.withTransaction(store.update("count", increment)), {
        concurrency: "unbounded"
      })
      // Transactions that share a commit are told as one: the last write of the key
      const counts = (yield* toldBy(store, told)).map((change) => Number(change.replace("count=", "")))
      assert.strictEqual(counts.at(-1), 20)
      assert.deepStrictEqual(counts, [...new Set(counts)].toSorted((a, b) => a - b))
      assert.strictEqual(counts.length, spy.transactions())
    }))

  it.effect("of a commit that failed, until a later commit succeeds", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const told = yield* subscribe(store.changes())
      yield* faulty.failAlways("commit", faults.diskFull)
      yield* store.put("pending", 1)
      yield* Effect.flip(store.flush)
      yield* Effect.flip(store.putMany({ many: 1 }))
      yield* Effect.flip(store.withTransaction(store.put("transaction", 1)))
      yield* faulty.heal
      yield* Effect.ignore(store.put("later", 1))
      yield* store.flush
      assert.deepStrictEqual((yield* toldBy(store, told)).filter((change) => change !== "later=1"), ["pending=1"])
    }))

  it.effect("before the commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const seen: Array<string> = []
      yield* start(Stream.runForEach(store.changes(), (change) => Effect.map(show(change), (text) => seen.push(text))))
      const held = yield* spy.hold("commit")
      const writers = [
        yield* start(store.withTransaction(store.put("a", 10))),
        yield* start(store.putMany({ b: 20 }))
      ]
      yield* held.begun
      yield* store.put("c", 30)
      yield* turns(50)
      assert.deepStrictEqual(seen, [])
      yield* held.release
      yield* Fiber.joinAll(writers)
      yield* turns(5)
      assert.deepStrictEqual(seen.slice(0, 2), ["a=10", "b=20"])
    }))

  it.effect("of the empty transactions that make freed pages usable, or of an empty flush", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" })
      const told = yield* subscribe(store.changes())
      yield* store.putMany({ large: "x".repeat(600_000) })
      yield* store.flush
      yield* store.put("waiting", "y".repeat(500_000))
      yield* Effect.flip(store.flush)
      yield* store.delete("large")
      yield* store.flush
      yield* store.close({ strict: true })
      const shown = (yield* told).map((change) => change._tag === "Clear" ? "clear" : `${change._tag} ${change.key}`)
      assert.deepStrictEqual(shown, ["Put large", "Delete large", "Put waiting"])
    }))
})

describe("selected changes", () => {
  it.effect("begin with the bytes of a prefix, and include every clear", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const users = yield* subscribe(store.changes({ prefix: "user:" }))
      const umlauts = yield* subscribe(store.changes({ prefix: "ä" }))
      const none = yield* subscribe(store.changes({ prefix: "none" }))
      yield* store.putMany({ "user:1": 1, user: 2, "users:1": 3, "user:2": 4, "äb": 5, "å": 6 })
      yield* store.deleteMany(["user:1", "user"])
      yield* store.clear
      assert.deepStrictEqual(yield* toldBy(store, users), ["user:1=1", "user:2=4", "-user:1", "clear"])
      assert.deepStrictEqual(yield* Effect.forEach(yield* umlauts, show), ["äb=5", "clear"])
      assert.deepStrictEqual(yield* Effect.forEach(yield* none, show), ["clear"])
    }))

  it.effect("cannot have a prefix that is not a key", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const error = yield* Effect.flip(Stream.runDrain(store.changes({ prefix: "\ud800" })))
      assert.strictEqual(error._tag, "KeyEncoding")
    }))

  it.effect("have keys as bytes on request, also keys that are not text", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const bytes = Uint8Array.of(0xff, 0, 1)
      const asBytes = yield* start(Stream.runCollect(store.changes({ decodeKeys: false, prefix: Uint8Array.of(0xff) })))
      const asText = yield* subscribe(store.changes())
      yield* store.putMany([["text", 1]])
      yield* store.putMany([[bytes, 1]])
      yield* store.deleteMany([bytes])
      yield* store.close()
      const keys = (yield* Fiber.join(asBytes)).map((change) =>
        change._tag === "Clear" ? change : [change._tag, change.key]
      )
      assert.deepStrictEqual(keys, [["Put", bytes], ["Delete", bytes]])
      const error = yield* Effect.flip(asText)
      assert.strictEqual(error._tag, "KeyEncoding")
    }))
})

describe("changes and transactions", () => {
  it.effect("a subscription inside a transaction gets the changes of that transaction after its commit", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("a", 10)
        const fiber = yield* Effect.forkScoped(Stream.runCollect(store.changes()), { startImmediately: true })
        yield* store.put("b", 20)
        return fiber
      }))
      assert.deepStrictEqual(yield* toldBy(store, Fiber.join(told)), ["a=10", "b=20"])
    }))

  it.effect("pending writes of other fibers and a transaction in the same commit give one change for each key", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const told = yield* subscribe(store.changes())
      yield* store.put("pending", 1)
      yield* store.withTransaction(store.put("inside", 1))
      yield* store.put("both", "pending")
      yield* store.withTransaction(store.put("both", "inside"))
      const shown = yield* toldBy(store, told)
      assert.sameMembers(shown.slice(0, 2), ["pending=1", "inside=1"])
      assert.strictEqual(shown.at(-1), "both=\"inside\"")
    }))
})
