/** Which transactions are in conflict: what they have read must still be so. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Store, type StoreService, TransactionConflict } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import {
  begin,
  below,
  contentOf,
  increment,
  leaving,
  numberOf,
  openSeeded,
  seed
} from "../support/fixtures/transactions.ts"
import { start, turns } from "../support/harness.ts"

type Call = (store: StoreService) => Effect.Effect<unknown, unknown>

interface Case {
  readonly read: string
  readonly use: Call
  readonly meanwhile: string
  readonly change: Call
}

const put = (key: string, value: unknown) => ({
  meanwhile: `${key} is ${JSON.stringify(value)}`,
  change: (store: StoreService) => store.put(key, value)
})

const remove = (key: string) => ({
  meanwhile: `${key} is deleted`,
  change: (store: StoreService) => store.delete(key)
})

const reading = (read: string, use: Call, ...changes: ReadonlyArray<Omit<Case, "read" | "use">>): ReadonlyArray<Case> =>
  changes.map(({ change, meanwhile }) => ({ read, use, meanwhile, change }))

const drain = <A, E>(stream: Stream.Stream<A, E>) => Stream.runDrain(stream)

/** More keys than are read of a range at a time. */
const many = below(300).map((n) => [`m${String(n).padStart(3, "0")}`, n] as const)

const conflicts: ReadonlyArray<Case> = [
  ...reading("a value", (store) => store.get("a"), put("a", 10), remove("a")),
  ...reading("that there is no value", (store) => store.get("d"), put("d", 4)),
  ...reading("that there is a value", (store) => store.has("a"), remove("a")),
  ...reading("that there is none", (store) => store.has("d"), put("d", 4)),
  ...reading("many values", (store) => store.getMany(["b", "c", "d"]), put("b", 20), remove("c"), put("d", 4)),
  ...reading("a value to update it", (store) => store.update("a", increment), put("a", 10), remove("a")),
  ...reading("a value to delete it", (store) => store.deleteOrFail("a"), remove("a")),
  ...reading("the size", (store) => store.size, put("d", 4), remove("a")),
  ...reading("the number of keys", (store) => store.count(), put("d", 4), remove("a")),
  ...reading("the number in a range without keys", (store) => store.count({ prefix: "x" }), put("x1", 1)),
  ...reading("all keys", (store) => drain(store.keys()), put("0", 0), put("aa", 1), put("z", 1), remove("m299")),
  ...reading("all values", (store) => drain(store.values()), put("m270", "new"), put("m270a", 1)),
  ...reading("all records from the end", (store) => drain(store.entries({ reverse: true })), put("m030", "new")),
  ...reading(
    "a range",
    (store) => drain(store.entries({ gte: "a", lt: "c" })),
    put("aa", 1),
    put("b", 20),
    remove("a")
  ),
  ...reading("the last keys", (store) => drain(store.keys({ reverse: true, limit: 2 })), put("z", 1), remove("m299")),
  ...reading("keys after others", (store) => drain(store.keys({ offset: 2, limit: 1 })), put("0", 1)),
  ...reading(
    "the first of a range",
    (store) => Stream.runHead(store.values({ gt: "c" })),
    put("c2", 1),
    remove("m000")
  ),
  ...reading("a range to delete it", (store) => store.deleteRange({ prefix: "m02" }), put("m02xx", 1), remove("m025"))
]

const agreements: ReadonlyArray<Case> = [
  ...reading("a value", (store) => store.get("a"), put("a", 1), put("b", 20), put("d", 4)),
  ...reading("that there is no value", (store) => store.get("d"), remove("d"), put("d2", 1)),
  ...reading("that there is a value", (store) => store.has("a"), put("a", 10)),
  ...reading("the number of keys", (store) => store.size, put("a", 10), remove("none")),
  ...reading("keys of a range", (store) => drain(store.keys({ prefix: "m" })), put("m270", "new"), put("n", 1)),
  ...reading("a range", (store) => drain(store.entries({ gte: "a", lt: "c" })), put("c", 30), put("a", 1), put("0", 0)),
  ...reading("the first of many", (store) => drain(Stream.take(store.keys({ prefix: "m" }), 1)), put("m290a", 1)),
  ...reading("what it has put itself", (store) => Effect.andThen(store.put("a", 9), store.get("a")), put("a", 10)),
  ...reading("what it has deleted itself", (store) => Effect.andThen(store.delete("a"), store.has("a")), put("a", 10)),
  ...reading("nothing, after it cleared all", (store) => Effect.andThen(store.clear, store.size), put("d", 4)),
  ...reading("a value, but writes nothing", (store) => store.getOrFail("a"), put("a", 1))
]

/** How others may write: what they do is pending, or on disk. */
const ways: ReadonlyArray<(store: StoreService, change: Call) => Effect.Effect<unknown, unknown>> = [
  (store, change) => change(store),
  (store, change) => Effect.andThen(change(store), store.flush),
  (store, change) => store.withTransaction(change(store))
]

describe("a transaction that writes and has read", () => {
  it.effect.each(conflicts)(
    "$read conflicts if $meanwhile before the commit",
    ({ change, use }) =>
      Effect.gen(function*() {
        const { path, store } = yield* SpyEngine.open({ durability: "noSync" })
        for (const run of ways) {
          yield* store.clear
          yield* store.putMany([...Object.entries(seed), ...many])
          const transaction = yield* begin(store)
          yield* transaction.inside(Effect.andThen(use(store), store.put("mine", 1)))
          yield* run(store, change)
          const before = yield* contentOf(store)
          const conflict = yield* Effect.flip(transaction.commit)
          assert.deepStrictEqual(conflict, new TransactionConflict({ path, attempts: 1 }))
          assert.deepStrictEqual(yield* contentOf(store), before)
          yield* store.flush
          assert.deepStrictEqual(yield* contentOf(store), before)
        }
      })
  )

  it.effect.each(agreements)(
    "$read is committed if $meanwhile before the commit",
    ({ change, use }) =>
      Effect.gen(function*() {
        const { store } = yield* SpyEngine.open({ durability: "noSync" })
        for (const run of ways) {
          yield* store.clear
          yield* store.putMany([...Object.entries(seed), ...many])
          const transaction = yield* begin(store)
          yield* transaction.inside(Effect.andThen(use(store), store.put("mine", 1)))
          yield* run(store, change)
          yield* transaction.commit
          assert.strictEqual(yield* store.getOrFail("mine"), 1)
        }
      })
  )

  it.effect("nothing never conflicts: of writes without reads the last commit wins", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const first = yield* begin(store)
      const second = yield* begin(store)
      yield* first.inside(Effect.all([store.put("a", "first"), store.delete("b"), store.putMany({ d: "first" })]))
      yield* second.inside(
        Effect.all([store.put("a", "second"), store.put("b", "second"), store.clear, store.put("e", 1)])
      )
      yield* second.commit
      yield* store.put("a", "put")
      assert.deepStrictEqual(yield* contentOf(store), { a: "put", e: 1 })
      yield* first.commit
      assert.deepStrictEqual(yield* contentOf(store), { a: "first", d: "first", e: 1 })
      yield* store.flush
      assert.deepStrictEqual(yield* contentOf(store), { a: "first", d: "first", e: 1 })
    }))

  it.effect("a value that changes and changes back is committed", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const transaction = yield* begin(store)
      yield* transaction.inside(Effect.andThen(store.get("a"), store.put("mine", 1)))
      yield* store.putMany({ a: 10 })
      yield* store.putMany({ a: 1 })
      yield* transaction.commit
      assert.strictEqual(yield* store.getOrFail("mine"), 1)
    }))

  it.effect("values of every size compares all bytes: one changed byte in a thousand is a conflict", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const [old, other] = ["a", "b"].map((end) => "x".repeat(1000) + end)
      yield* store.putMany({ large: old, same: old })
      const reads = Effect.all([store.get("large"), store.get("same"), store.put("mine", 1)])
      const first = yield* begin(store)
      yield* first.inside(reads)
      yield* store.put("same", old)
      yield* first.commit
      const second = yield* begin(store)
      yield* second.inside(reads)
      yield* store.put("large", other)
      assert.strictEqual((yield* Effect.flip(second.commit))._tag, "TransactionConflict")
    }))
})

describe("a transaction that only reads", () => {
  it.effect("never conflicts, whatever other fibers write, and runs once", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const outside = yield* leaving
      let runs = 0
      const seen = yield* store.withTransaction(Effect.gen(function*() {
        runs++
        const before = yield* contentOf(store)
        yield* outside(store.putMany({ a: 10, d: 4 }))
        yield* outside(store.delete("b"))
        const failed = store.withTransaction(Effect.andThen(store.put("a", 5), Effect.fail("no")))
        yield* Effect.flip(failed)
        return [before, yield* contentOf(store), yield* store.size] as const
      }))
      assert.deepStrictEqual(seen, [seed, seed, 3])
      assert.strictEqual(runs, 1)
    }))
})

describe("two transactions", () => {
  it.effect("that both read a value and write the next lose no update: the second conflicts", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const add = Effect.flatMap(numberOf(store, "a"), (value) => store.put("a", value + 1))
      const first = yield* begin(store)
      const second = yield* begin(store)
      yield* first.inside(add)
      yield* second.inside(add)
      yield* first.commit
      assert.strictEqual((yield* Effect.flip(second.commit))._tag, "TransactionConflict")
      assert.strictEqual(yield* store.getOrFail("a"), 2)
    }))

  it.effect("that read two values and write one each (write skew): the second conflicts", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const leave = (key: "a" | "b") =>
        Effect.gen(function*() {
          const onCall = (yield* numberOf(store, "a")) + (yield* numberOf(store, "b"))
          assert.strictEqual(onCall, 3)
          yield* store.put(key, 0)
        })
      const first = yield* begin(store)
      const second = yield* begin(store)
      yield* first.inside(leave("a"))
      yield* second.inside(leave("b"))
      yield* first.commit
      assert.strictEqual((yield* Effect.flip(second.commit))._tag, "TransactionConflict")
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 0 })
    }))

  it.effect("in write skew that are committed together: one is committed, and the other runs again and sees it", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const busy = yield* start(store.withTransaction(store.put("busy", 1)))
      yield* held.begun
      let runs = 0
      const leave = (key: "a" | "b", other: "a" | "b") =>
        store.withTransaction(Effect.gen(function*() {
          runs++
          if ((yield* numberOf(store, other)) > 0) yield* store.put(key, 0)
        }))
      const both = [yield* start(leave("a", "b")), yield* start(leave("b", "a"))]
      yield* turns(10)
      assert.strictEqual(runs, 2)
      yield* held.release
      yield* Fiber.joinAll([busy, ...both])
      assert.strictEqual(runs, 3)
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 0, busy: 1 })
    }))

  it.effect("that look for a free name and take it: only one of them gets it", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const take = Effect.fnUntraced(function*(who: string) {
        const taken = yield* store.count({ prefix: "name" })
        yield* Effect.yieldNow
        if (taken === 0) yield* store.put(`name of ${who}`, 1)
        return taken === 0
      })
      const won = yield* Effect.forEach(below(20), (n) => store.withTransaction(take(`${n}`)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(won.filter(Boolean).length, 1)
      assert.strictEqual(yield* store.count({ prefix: "name" }), 1)
    }))
})

describe("a pending write of another fiber", () => {
  it.effect("is visible to a transaction, and is committed before or with it", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      yield* store.put("a", 10)
      yield* store.put("other", 1)
      yield* store.withTransaction(Effect.flatMap(numberOf(store, "a"), (value) => store.put("double", 2 * value)))
      assert.deepStrictEqual(spy.commits().slice(1).flat().toSorted(), ["a", "double", "other"])
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 10, double: 20, other: 1 })
    }))

  it.effect("that came after the read is a conflict, and the next run reads it", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const outside = yield* leaving
      const seen: Array<number> = []
      yield* store.withTransaction(Effect.gen(function*() {
        seen.push(yield* numberOf(store, "a"))
        if (seen.length === 1) yield* outside(store.update("a", increment))
        if (seen.length === 2) yield* outside(store.delete("a"))
        yield* store.update("a", increment)
      }))
      assert.deepStrictEqual(seen, [1, 2, 0])
      yield* store.flush
      assert.strictEqual(yield* store.getOrFail("a"), 1)
    }))

  it.effect("that the transaction overwrites is replaced, and a later put is not", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      yield* store.put("a", "before")
      yield* store.delete("b")
      yield* store.withTransaction(
        Effect.all([store.put("a", "inside"), store.put("b", "inside"), store.put("c", "inside")])
      )
      yield* store.put("c", "after")
      assert.deepStrictEqual(yield* contentOf(store), { a: "inside", b: "inside", c: "after" })
      yield* store.close()
      const reopened = yield* Store.make({ path })
      assert.deepStrictEqual(yield* contentOf(reopened), { a: "inside", b: "inside", c: "after" })
    }))

  it.effect("that is put during the commit of the transaction comes after it", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const writer = yield* start(store.withTransaction(Effect.andThen(store.get("a"), store.put("a", "inside"))))
      yield* held.begun
      const before = yield* store.getOrFail("a")
      const putting = yield* start(store.put("a", "during"))
      yield* store.put("another", "at once")
      yield* turns(5)
      // Whoever saw it now would see it before the transaction that it comes after
      assert.deepStrictEqual(yield* store.getOrFail("a"), before)
      yield* held.release
      yield* Fiber.join(writer)
      yield* Fiber.join(putting)
      assert.strictEqual(yield* store.getOrFail("a"), "during")
      yield* store.flush
      assert.strictEqual(yield* store.getOrFail("a"), "during")
    }))

  it.effect("that is updated during the commit of the transaction is computed from its writes", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const writer = yield* start(store.withTransaction(store.update("a", () => Option.some(100))))
      yield* held.begun
      const updates = yield* start(Effect.all([store.update("a", increment), store.update("b", increment)]))
      yield* turns(5)
      yield* held.release
      yield* Fiber.join(writer)
      assert.deepStrictEqual(yield* Fiber.join(updates), [Option.some(101), Option.some(3)])
      assert.deepStrictEqual(yield* contentOf(store), { a: 101, b: 3, c: 3 })
    }))
})
