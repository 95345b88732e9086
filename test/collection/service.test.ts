/** A collection as a service, and what its methods do. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Collection, Store } from "../../src/index.ts"
import { all, at, flush, inStore, User, user, users } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"

class Users extends Collection.Service<Users>()("users", users) {}

class Counters extends Collection.Service<Counters>()("counters", { key: Schema.String, value: Schema.Number }) {}

const numbers = Collection.make("numbers", { key: Schema.Number, value: Schema.String })

/** Numbers from 1 to 5, some of them on disk. */
const fiveNumbers = Effect.gen(function*() {
  const collection = yield* numbers
  yield* collection.putMany([[4, "four"], [2, "two"], [5, "five"]])
  yield* collection.put(3, "three")
  yield* collection.put(1, "one")
  return collection
})

describe("a collection as a service", () => {
  it.effect("has a layer that needs a store, and keeps its records when the store closes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const live = Layer.provide(Layer.mergeAll(Users.layer, Counters.layer), Store.layer({ path }))
      yield* Effect.provide(
        Effect.gen(function*() {
          yield* (yield* Users).insert(1, user())
          const counters = yield* Counters
          yield* counters.put("users", 1)
          assert.strictEqual(counters.name, "counters")
        }),
        live
      )
      yield* Effect.provide(
        Effect.gen(function*() {
          const kept = yield* (yield* Users).getOrFail(1)
          assert.instanceOf(kept, User)
          assert.deepStrictEqual(kept, user())
          assert.strictEqual(yield* (yield* Counters).getOrFail("users"), 1)
        }),
        Layer.provide(Layer.mergeAll(Users.layer, Counters.layer), Store.layer({ path }))
      )
    }))

  it.effect("is the same collection as one that `make` opens with the same name", () =>
    inStore(Effect.gen(function*() {
      const made = yield* Collection.make("users", users)
      yield* made.insert(1, user())
      const provided = yield* Effect.provide(Users, Users.layer)
      assert.deepStrictEqual(yield* provided.getOrFail(1), user())
      assert.deepStrictEqual(yield* provided.indexes.byAge.get(36), Option.some(user()))
      yield* provided.delete(1)
      assert.isFalse(yield* made.has(1))
      assert.isFalse(yield* made.indexes.byAge.has(36))
    })))

  it.effect("has a layer that fails with typed errors", () =>
    inStore(Effect.gen(function*() {
      class Slashes extends Collection.Service<Slashes>()("a/b", { key: Schema.String, value: Schema.Number }) {}
      const failure = yield* Effect.flip(Effect.provide(Slashes, Slashes.layer))
      assert.strictEqual(failure._tag, "CollectionFailed")
      assert.strictEqual(failure._tag === "CollectionFailed" ? failure.reason._tag : "", "BadDefinition")
    })))

  it.effect("can be opened by many fibers at the same time", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(
        path,
        Effect.gen(function*() {
          const opened = yield* Effect.all(Array.from({ length: 20 }, () => Collection.make("users", users)), {
            concurrency: "unbounded"
          })
          for (const [number, collection] of opened.entries()) {
            yield* collection.put(number, user({ email: String(number) }))
          }
          assert.strictEqual(yield* (yield* Collection.make("users", users)).size, 20)
        })
      )
    }))
})

describe("the methods of a collection", () => {
  it.effect("get, getOrFail and has find records, pending or on disk", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* numbers
      assert.deepStrictEqual(yield* collection.get(1), Option.none())
      assert.isFalse(yield* collection.has(1))
      yield* collection.put(1, "one")
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* collection.get(1), Option.some("one"))
        assert.strictEqual(yield* collection.getOrFail(1), "one")
        assert.isTrue(yield* collection.has(1))
        assert.isFalse(yield* collection.has(2))
      }
      const missing = yield* Effect.flip(collection.getOrFail(2.5))
      assert.strictEqual(missing._tag, "KeyNotFound")
      assert.include(missing, { shownKey: "2.5", collection: "numbers" })
      assert.strictEqual(missing.message, "Key not found in collection \"numbers\": 2.5")
    })))

  it.effect("put stores the value at the time of the call, and replaces an earlier value", () =>
    inStore(Effect.gen(function*() {
      const lists = yield* Collection.make("lists", { key: Schema.String, value: Schema.Array(Schema.Number) })
      const list = [1]
      yield* lists.put("a", list)
      list.push(2)
      assert.deepStrictEqual(yield* lists.getOrFail("a"), [1])
      yield* lists.put("a", list)
      assert.deepStrictEqual(yield* lists.getOrFail("a"), [1, 2])
      assert.strictEqual(yield* lists.size, 1)
    })))

  it.effect("insert fails if the key has a value, pending or on disk, and does not change it", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* numbers
      yield* collection.insert(1, "one")
      for (const commit of [Effect.void, flush]) {
        yield* commit
        const refused = yield* Effect.flip(collection.insert(1, "uno"))
        assert.strictEqual(refused._tag, "KeyExists")
        assert.include(refused, { shownKey: "1", collection: "numbers" })
        assert.strictEqual(yield* collection.getOrFail(1), "one")
      }
      yield* collection.delete(1)
      yield* collection.insert(1, "uno")
      assert.strictEqual(yield* collection.getOrFail(1), "uno")
    })))

  it.effect("one of many fibers that insert the same key at once succeeds", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* numbers
      const inserts = Array.from({ length: 50 }, (_, fiber) => Effect.exit(collection.insert(1, String(fiber))))
      const exits = yield* Effect.all(inserts, { concurrency: "unbounded" })
      assert.lengthOf(exits.filter((exit) => exit._tag === "Success"), 1)
    })))

  it.effect("delete removes a value, and deleteOrFail fails if the key has no value", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* fiveNumbers
      yield* collection.delete(1)
      yield* collection.delete(2)
      yield* collection.delete(17)
      yield* collection.deleteOrFail(3)
      yield* collection.deleteOrFail(4)
      assert.deepStrictEqual(yield* all(collection.keys()), [5])
      const missing = yield* Effect.flip(collection.deleteOrFail(4))
      assert.strictEqual(missing._tag, "KeyNotFound")
      assert.include(missing, { shownKey: "4", collection: "numbers" })
      yield* flush
      assert.deepStrictEqual(yield* all(collection.keys()), [5])
    })))

  it.effect("update returns the next value, and None deletes", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* numbers
      const next = yield* collection.update(1, (current) => Option.orElse(current, () => Option.some("first")))
      assert.deepStrictEqual(next, Option.some("first"))
      assert.deepStrictEqual(yield* collection.update(1, Option.map((text) => `${text}!`)), Option.some("first!"))
      assert.strictEqual(yield* collection.getOrFail(1), "first!")
      assert.deepStrictEqual(yield* collection.update(1, Option.none), Option.none())
      assert.isFalse(yield* collection.has(1))
      assert.deepStrictEqual(yield* collection.update(2, Option.none), Option.none())
    })))

  it.effect("putMany and deleteMany are on disk when they return, and the last of equal keys wins", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(
        path,
        Effect.gen(function*() {
          const store = yield* Store
          const collection = yield* numbers
          const people = yield* Collection.make("users", users)
          yield* store.flush
          yield* collection.putMany([[1, "one"], [2, "two"], [1, "uno"]])
          yield* people.putMany([[1, user({ email: "a" })], [2, user({ email: "b" })], [1, user({ email: "c" })]])
          assert.strictEqual((yield* store.stats).pending, 0)
          assert.strictEqual(yield* collection.getOrFail(1), "uno")
          assert.deepStrictEqual(yield* all(people.indexes.byEmail.keys()), [2, 1])
          yield* collection.deleteMany([1, 17])
          yield* people.deleteMany([2, 17])
          assert.strictEqual((yield* store.stats).pending, 0)
          assert.deepStrictEqual(yield* all(collection.keys()), [2])
          assert.deepStrictEqual(yield* all(people.indexes.byEmail.keys()), [1])
        })
      )
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(numbers, (made) => all(made.entries()))), [[2, "two"]])
    }))

  it.effect("getMany returns a map with the keys of the caller", () =>
    inStore(Effect.gen(function*() {
      const events = yield* Collection.make("events", { key: Schema.Date, value: Schema.String })
      yield* events.put(new Date(1), "one")
      yield* flush
      yield* events.put(new Date(2), "two")
      const [one, two, three, again] = [new Date(1), new Date(2), new Date(3), new Date(1)]
      const { found, missing } = yield* events.getMany(new Set([one, two, three, again]))
      assert.strictEqual(found.get(one), "one")
      assert.strictEqual(found.get(two), "two")
      assert.strictEqual(found.get(again), "one")
      assert.strictEqual(found.size, 3)
      assert.lengthOf(missing, 1)
      assert.strictEqual(missing[0], three)
      assert.strictEqual((yield* events.getMany([])).found.size, 0)
    })))

  it.effect("first and last return an end of a range, or None", () =>
    inStore(Effect.gen(function*() {
      const empty = yield* numbers
      assert.deepStrictEqual(yield* empty.first(), Option.none())
      const collection = yield* fiveNumbers
      assert.deepStrictEqual(yield* collection.first(), Option.some([1, "one"]))
      assert.deepStrictEqual(yield* collection.last(), Option.some([5, "five"]))
      assert.deepStrictEqual(yield* collection.first({ gt: 2 }), Option.some([3, "three"]))
      assert.deepStrictEqual(yield* collection.last({ lt: 2.5, offset: 1 }), Option.some([1, "one"]))
      assert.deepStrictEqual(yield* collection.last({ lt: 1 }), Option.none())
    })))

  it.effect("keys, values and entries are sorted, in both directions, pending or on disk", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* fiveNumbers
      yield* collection.delete(4)
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* all(collection.keys()), [1, 2, 3, 5])
        assert.deepStrictEqual(yield* all(collection.values({ reverse: true })), ["five", "three", "two", "one"])
        assert.deepStrictEqual(yield* all(collection.entries({ gte: 2, lt: 5 })), [[2, "two"], [3, "three"]])
        assert.deepStrictEqual(yield* all(collection.keys({ reverse: true, offset: 1, limit: 2 })), [3, 2])
      }
    })))

  it.effect("count, size and clear include pending and stored records", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* fiveNumbers
      assert.strictEqual(yield* collection.count(), 5)
      assert.strictEqual(yield* collection.count({ gt: 1, lte: 4 }), 3)
      assert.strictEqual(yield* collection.count({ offset: 1, limit: 2 }), 2)
      assert.strictEqual(yield* collection.size, 5)
      yield* collection.delete(1)
      yield* collection.delete(2)
      assert.strictEqual(yield* collection.size, 3)
      yield* collection.clear
      assert.strictEqual(yield* collection.size, 0)
      assert.strictEqual((yield* (yield* Store).stats).pending, 0)
      yield* collection.put(9, "nine")
      assert.deepStrictEqual(yield* all(collection.keys()), [9])
    })))

  it.effect("cannot write after another definition has opened the collection, but can read", () =>
    inStore(Effect.gen(function*() {
      const options = { key: Schema.Int, value: Schema.Struct({ n: Schema.Int }) }
      const earlier = yield* Collection.make("defined", options)
      yield* earlier.put(1, { n: 1 })
      const later = yield* Collection.make("defined", {
        ...options,
        indexes: { byN: { key: Schema.Int, of: (value) => value.n } }
      })
      for (const write of [earlier.put(2, { n: 2 }), earlier.delete(1), earlier.clear]) {
        const error = yield* Effect.flip<unknown, Tagged & { readonly what?: string }, never>(write)
        assert.strictEqual(error._tag, "Closed")
        assert.strictEqual(error.what, "Collection")
      }
      assert.deepStrictEqual(yield* earlier.getOrFail(1), { n: 1 })
      yield* later.put(2, { n: 2 })
      assert.deepStrictEqual(yield* later.verify, [])

      const again = yield* Collection.make("defined", options)
      yield* again.put(3, { n: 3 })
      assert.strictEqual(yield* again.size, 3)
    })))

  it.effect("fail with Closed when the store is closed", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const collection = yield* Collection.make("users", users)
      yield* store.close()
      const calls = [
        collection.get(1),
        collection.put(1, user()),
        collection.putMany([[1, user()]]),
        collection.size,
        collection.verify,
        collection.indexes.byAge.get(1),
        collection.first(),
        all(collection.indexes.byAge.keys()),
        Collection.make("other", users)
      ]
      for (const call of calls) assert.strictEqual((yield* Effect.flip<unknown, Tagged, Store>(call))._tag, "Closed")
    })))
})

interface Tagged {
  readonly _tag: string
}
