/** What a transaction reads and writes, and what others see of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { Store, type StoreService } from "../../src/index.ts"
import { begin, below, contentOf, increment, openSeeded, seed } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, withStore } from "../support/harness.ts"
import { readByHand } from "../support/streaming.ts"

/** What every way to read gives. */
const readAll = Effect.fnUntraced(function*(store: StoreService, keys: ReadonlyArray<string> = ["a", "b", "c", "d"]) {
  const { found, missing } = yield* store.getMany(keys)
  return {
    get: yield* Effect.forEach(keys, (key) => Effect.map(store.get(key), Option.getOrNull)),
    has: yield* Effect.forEach(keys, (key) => store.has(key)),
    found: Object.fromEntries(found),
    missing,
    size: yield* store.size,
    count: yield* store.count({ gte: "b" }),
    keys: yield* Stream.runCollect(store.keys()),
    values: yield* Stream.runCollect(store.values({ reverse: true })),
    entries: yield* contentOf(store),
    prefix: Object.fromEntries<unknown>(yield* Stream.runCollect(store.entries({ prefix: "b" })))
  }
})

const seeded = {
  get: [1, 2, 3, null],
  has: [true, true, true, false],
  found: seed,
  missing: ["d"],
  size: 3,
  count: 2,
  keys: ["a", "b", "c"],
  values: [3, 2, 1],
  entries: seed,
  prefix: { b: 2 }
}

const changed = {
  get: [1, 20, null, 4],
  has: [true, true, false, true],
  found: { a: 1, b: 20, d: 4 },
  missing: ["c"],
  size: 3,
  count: 2,
  keys: ["a", "b", "d"],
  values: [4, 20, 1],
  entries: { a: 1, b: 20, d: 4 },
  prefix: { b: 20 }
}

type Change = { readonly how: string; readonly change: (store: StoreService) => Effect.Effect<unknown, unknown> }

const changes: ReadonlyArray<Change> = [
  {
    how: "put and delete",
    change: (store) => Effect.all([store.put("b", 20), store.delete("c"), store.put("d", 4)])
  },
  {
    how: "update and deleteOrFail",
    change: (store) =>
      Effect.all([
        store.update("b", Option.map((value) => Number(value) * 10)),
        store.deleteOrFail("c"),
        store.update("d", () => Option.some(4))
      ])
  },
  {
    how: "putMany and deleteMany",
    change: (store) => Effect.all([store.putMany({ b: 20, d: 4 }), store.deleteMany(["c"])])
  },
  {
    how: "deleteRange",
    change: (store) => Effect.all([store.deleteRange({ gt: "a" }), store.putMany({ b: 20, d: 4 })])
  },
  { how: "clear", change: (store) => Effect.all([store.clear, store.putMany({ a: 1, b: 20 }), store.put("d", 4)]) },
  {
    how: "a transaction",
    change: (store) => store.withTransaction(Effect.all([store.put("b", 20), store.delete("c"), store.put("d", 4)]))
  }
]

describe("a transaction reads", () => {
  it.effect.each(changes)(
    "one snapshot with every method while other fibers change it by $how",
    ({ change }) =>
      Effect.gen(function*() {
        const { store } = yield* openSeeded()
        const reader = yield* begin(store)
        assert.strictEqual(yield* reader.inside(store.getOrFail("a")), 1)
        yield* change(store)
        assert.deepStrictEqual(yield* reader.inside(readAll(store)), seeded)
        assert.deepStrictEqual(yield* readAll(store), changed)
        yield* store.flush
        assert.deepStrictEqual(yield* reader.inside(readAll(store)), seeded)
        yield* reader.commit
        assert.deepStrictEqual(yield* readAll(store), changed)
      })
  )

  it.effect("pending writes of its start in its snapshot, whenever they are committed", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.put("b", 20)
      yield* store.delete("c")
      yield* store.put("d", 4)
      const reader = yield* begin(store)
      assert.deepStrictEqual(yield* reader.inside(readAll(store)), changed)
      yield* store.flush
      yield* store.clear
      assert.deepStrictEqual(yield* reader.inside(readAll(store)), changed)
    }))

  it.effect.each(changes)(
    "its own changes by $how with every method, while other fibers do not see them",
    ({ change }) =>
      Effect.gen(function*() {
        const { spy, store } = yield* openSeeded()
        const before = spy.transactions()
        const writer = yield* begin(store)
        yield* writer.inside(change(store))
        assert.deepStrictEqual(yield* writer.inside(readAll(store)), changed)
        assert.deepStrictEqual(yield* readAll(store), seeded)
        assert.strictEqual((yield* store.stats).pending, 0)
        assert.strictEqual(spy.transactions(), before)
        yield* writer.commit
        assert.deepStrictEqual(yield* readAll(store), changed)
        assert.strictEqual(spy.transactions(), before + 1)
      })
  )

  it.effect("results of its own calls that include its own writes", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("d", 4)
        yield* store.delete("a")
        assert.strictEqual((yield* Effect.flip(store.getOrFail("a")))._tag, "KeyNotFound")
        assert.strictEqual((yield* Effect.flip(store.deleteOrFail("a")))._tag, "KeyNotFound")
        assert.deepStrictEqual(yield* store.update("a", increment), Option.some(1))
        assert.deepStrictEqual(yield* store.update("a", increment), Option.some(2))
        assert.deepStrictEqual(yield* store.update("d", () => Option.none()), Option.none())
        assert.strictEqual(yield* store.deleteRange({ gte: "b" }), 2)
        assert.strictEqual(yield* store.deleteRange({ gte: "b" }), 0)
        yield* store.clear
        assert.strictEqual(yield* store.deleteRange({ gte: "a" }), 0)
        assert.strictEqual(yield* store.size, 0)
        yield* store.put("e", 5)
        assert.strictEqual(yield* store.count({ prefix: "e" }), 1)
      }))
      assert.deepStrictEqual(yield* contentOf(store), { e: 5 })
    }))

  it.effect("a range as of the start of the stream, without its own later writes", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      // More than is read of a range at a time
      const keys = below(600).map((n) => `k${String(n).padStart(3, "0")}`)
      yield* store.putMany(keys.map((key) => [key, 1] as const))
      const transaction = yield* begin(store)
      yield* transaction.inside(Effect.all([store.put("0", 0), store.delete("k599")]))
      const stream = yield* transaction.inside(readByHand(store.keys()))
      const first = yield* stream.next
      assert.isBelow(first.length, 600)
      yield* transaction.inside(Effect.all([store.delete("k590"), store.put("k591a", 1), store.put("z", 1)]))
      assert.deepStrictEqual([...first, ...yield* stream.rest], ["0", "a", "b", "c", ...keys.slice(0, 599)])
      yield* transaction.inside(Effect.andThen(store.clear, store.put("z", 1)))
      assert.deepStrictEqual(yield* transaction.inside(Stream.runCollect(store.keys())), ["z"])
    }))

  it.effect("new copies: changes to a value change neither the transaction nor the store", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const given = { list: [1] }
      const own = yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("value", given)
        given.list.push(2)
        return yield* store.getOrFail("value")
      }))
      assert.deepStrictEqual(own, { list: [1] })
      assert.deepStrictEqual(yield* store.getOrFail("value"), { list: [1] })
    }))

  it.effect("a read-only store too, and cannot write to it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.putMany(seed))
      const store = yield* Store.make({ path, readOnly: true })
      assert.deepStrictEqual(yield* store.withTransaction(readAll(store)), seeded)
      const refused = yield* Effect.flip(store.withTransaction(store.put("a", 2)))
      assert.strictEqual(refused._tag, "ReadOnly")
    }))
})

describe("the writes of a transaction", () => {
  it.effect("are not visible before and during its commit, and are visible together afterwards", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const writer = yield* start(store.withTransaction(Effect.all([
        store.put("b", 20),
        store.delete("c"),
        store.put("d", 4)
      ])))
      yield* held.begun
      assert.deepStrictEqual(yield* readAll(store), seeded)
      assert.deepStrictEqual(yield* store.withTransaction(readAll(store)), seeded)
      yield* held.release
      const seen = new Set<string>()
      while (writer.pollUnsafe() === undefined) {
        seen.add(JSON.stringify((yield* store.getMany(["a", "b", "c", "d"])).found.size))
        seen.add(JSON.stringify(Object.fromEntries((yield* store.getMany(["b", "c", "d"])).found)))
        yield* Effect.yieldNow
      }
      seen.delete(JSON.stringify(3))
      for (const state of seen) assert.include([JSON.stringify({ b: 2, c: 3 }), JSON.stringify({ b: 20, d: 4 })], state)
      assert.deepStrictEqual(yield* readAll(store), changed)
    }))

  it.effect("are on disk when it returns, as one transaction of LMDB", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const result = yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("b", 20)
        yield* store.delete("c")
        yield* store.update("d", () => Option.some(4))
        yield* store.putMany({ e: 5 })
        yield* store.deleteMany(["a"])
        return "done"
      }))
      assert.strictEqual(result, "done")
      assert.deepStrictEqual(spy.commits().slice(1), [["b", "-c", "d", "e", "-a"]])
      assert.strictEqual((yield* store.stats).pending, 0)
    }))

  it.effect("contain only the last write of each key, and deletions of missing keys succeed", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        for (let count = 0; count < 10; count++) yield* store.put("a", count)
        yield* store.put("b", 0)
        yield* store.delete("b")
        yield* store.delete("none")
      }))
      assert.deepStrictEqual(spy.commits().slice(1), [["a", "-b", "-none"]])
      assert.deepStrictEqual(yield* contentOf(store), { a: 9, c: 3 })
    }))

  it.effect("make no transaction of LMDB if it only reads", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      yield* store.withTransaction(readAll(store))
      yield* store.withTransaction(
        Effect.all([store.putMany({}), store.deleteMany([]), store.deleteRange({ gt: "z" })])
      )
      assert.strictEqual(spy.transactions(), 1)
    }))

  it.effect("with a clear remove pending writes of other fibers, and keep its own later puts", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.put("pending", 1)
      yield* store.withTransaction(Effect.all([store.put("before", 1), store.clear, store.put("after", 1)]))
      assert.deepStrictEqual(yield* contentOf(store), { after: 1 })
      yield* store.flush
      assert.deepStrictEqual(yield* contentOf(store), { after: 1 })
    }))

  it.effect("are not included in a flush or a backup inside it", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const copy = join(path, "copy")
      yield* store.put("pending", 1)
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("a", 10)
        yield* store.flush
        yield* store.backup(copy)
      }))
      assert.deepStrictEqual(yield* withStore({ path: copy }, contentOf), { ...seed, pending: 1 })
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 10, pending: 1 })
    }))
})
