/** The ranges that collections and their indexes have in common: ends, values, counts, and deleting. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Collection, Store } from "../../src/index.ts"

const User = Schema.Struct({ name: Schema.String, age: Schema.Int, joined: Schema.DateFromString })

const open = Collection.make("users", {
  key: Schema.Int,
  value: User,
  indexes: {
    age: { key: Schema.Int, of: ({ age }: typeof User.Type) => age },
    name: { key: Schema.String, unique: true, of: ({ name }: typeof User.Type) => name },
    joined: {
      key: Schema.Tuple([Schema.DateFromString, Schema.String]),
      of: ({ joined, name }: typeof User.Type) => [joined, name] as const
    }
  }
})

const user = (id: number) => ({
  name: `user ${String(id).padStart(2, "0")}`,
  age: 20 + id % 5,
  joined: new Date(Date.UTC(2026, id % 3, 1))
})

const inStore = <A, E>(effect: Effect.Effect<A, E, Store>) => Effect.provide(effect, Store.layerTemp())

const fill = Effect.gen(function*() {
  const users = yield* open
  yield* users.putMany(Array.from({ length: 20 }, (_, id) => [id, user(id)] as const))
  return users
})

describe("the ends of a range", () => {
  it.effect("are the ends of its stream, for collections and indexes, with pending writes and deletions", () =>
    inStore(Effect.gen(function*() {
      const users = yield* fill
      yield* users.delete(0)
      yield* users.put(30, user(30))
      yield* users.delete(19)
      const { age, joined, name } = users.indexes
      for (const range of [{}, { gte: 21 }, { lt: 21 }, { equals: 22, offset: 2 }, { gt: 90 }, { offset: 40 }]) {
        const entries = yield* Stream.runCollect(age.entries(range))
        assert.deepStrictEqual(yield* age.first(range), Option.fromUndefinedOr(entries[0]))
        const reversed = yield* Stream.runCollect(age.entries({ ...range, reverse: true }))
        assert.deepStrictEqual(yield* age.last(range), Option.fromUndefinedOr(reversed[0]))
      }
      assert.deepStrictEqual(yield* name.first({ prefix: "user 1" }), Option.some([10, user(10)]))
      assert.deepStrictEqual(yield* name.last(), Option.some([30, user(30)]))
      assert.deepStrictEqual(yield* users.first(), Option.some([1, user(1)]))
      assert.deepStrictEqual(yield* users.last({ lt: 30, offset: 1 }), Option.some([17, user(17)]))
      // A prefix has the elements as the program has them.
      const february = new Date(Date.UTC(2026, 1, 1))
      assert.deepStrictEqual(yield* joined.first({ prefix: [february] }), Option.some([1, user(1)]))
      assert.strictEqual(yield* joined.count({ startsWith: [february, "user 1"] }), 3)
    })))

  it.effect("are found after a thousand pending deletions", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* open
      yield* users.putMany(
        Array.from({ length: 1500 }, (_, id) => [id, { ...user(1), name: `${id}`, age: 1 }] as const)
      )
      yield* store.withTransaction(Effect.gen(function*() {
        yield* users.deleteMany(Array.from({ length: 1400 }, (_, id) => id))
        assert.deepStrictEqual(Option.map(yield* users.indexes.age.first(), ([id]) => id), Option.some(1400))
        assert.deepStrictEqual(Option.map(yield* users.first(), ([id]) => id), Option.some(1400))
      }))
    })))
})

describe("a range", () => {
  it.effect("can be collected, counted and tested for emptiness", () =>
    inStore(Effect.gen(function*() {
      const users = yield* fill
      const { age } = users.indexes
      assert.deepStrictEqual(yield* users.collect({ gte: 3, lt: 5 }), [user(3), user(4)])
      assert.deepStrictEqual(yield* age.collect({ equals: 24, limit: 2 }), [user(4), user(9)])
      assert.strictEqual(yield* age.count({ gte: 23 }), 8)
      assert.deepStrictEqual([yield* age.isEmpty({ equals: 24 }), yield* age.isEmpty({ equals: 99 })], [false, true])
      assert.deepStrictEqual([yield* users.isEmpty(), yield* users.isEmpty({ gt: 19 })], [false, true])
      const { found, missing } = yield* users.indexes.name.getMany(["user 07", "nobody", "user 03"])
      assert.deepStrictEqual([...found], [["user 07", user(7)], ["user 03", user(3)]])
      assert.deepStrictEqual(missing, ["nobody"])
    })))

  it.effect("of a collection or an index is deleted atomically, with the entries of its records", () =>
    inStore(Effect.gen(function*() {
      const users = yield* fill
      assert.strictEqual(yield* users.deleteRange({ gte: 15 }), 5)
      assert.strictEqual(yield* users.indexes.age.deleteRange({ equals: 21 }), 3)
      assert.strictEqual(yield* users.indexes.age.deleteRange({ equals: 21 }), 0)
      assert.strictEqual(yield* users.size, 12)
      assert.isFalse(yield* users.indexes.name.has("user 06"))
      assert.deepStrictEqual(yield* users.verify, [])
      const store = yield* Store
      yield* Effect.flip(store.withTransaction(Effect.andThen(users.deleteRange({ gte: 0 }), Effect.fail("undo"))))
      assert.strictEqual(yield* users.size, 12)
    })))

  it.effect("of all keys is not deleted by an empty prefix, nor by a variable without a value", () =>
    inStore(Effect.gen(function*() {
      const users = yield* fill
      const { joined, name } = users.indexes
      const refused = [
        name.deleteRange({ prefix: "" }),
        name.deleteRange({ startsWith: "" }),
        joined.deleteRange({ prefix: [] }),
        joined.deleteRange({ startsWith: [] }),
        joined.deleteRange({ startsWith: [new Date(Date.UTC(2026, 1, 1)), ""] }),
        // @ts-expect-error A router types it as text.
        name.deleteRange({ equals: undefined })
      ]
      for (const call of refused) assert.strictEqual((yield* Effect.flip(call))._tag, "KeyEncoding")
      assert.strictEqual(yield* users.size, 20)
    })))
})
