/** Secondary indexes: what they find, and that they follow the records. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Collection, type Engine, Store } from "../../src/index.ts"
import { ByteString } from "../../src/Key.ts"
import { all, at, damage, flush, inStore, openUsers, recordsOf, user, userOf } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"

const ada = userOf("Ada", 36, ["maths", "poetry"])
const bob = userOf("Bob", 7, [])
const eve = userOf("Eve", 36, ["poetry"])
const kim = userOf("Kim", 80, ["maths", "chess"])

/** Four users, two of them on disk and two pending. */
const fourUsers = Effect.gen(function*() {
  const users = yield* openUsers
  yield* users.put(4, kim)
  yield* users.putMany([[1, ada]])
  yield* users.put(3, eve)
  yield* users.put(2, bob)
  return users
})

/** What each index has, as the numbers of its users in its order. */
const numbersIn = ({ indexes }: Effect.Success<typeof openUsers>) =>
  Effect.all({
    byEmail: all(indexes.byEmail.keys()),
    byAge: all(indexes.byAge.keys()),
    byTag: all(indexes.byTag.keys()),
    adults: all(indexes.adults.keys())
  })

describe("an index", () => {
  it.effect("finds a record by its key: the first of several, or no record", () =>
    inStore(Effect.gen(function*() {
      const { indexes } = yield* fourUsers
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* indexes.byEmail.get("eve@example.com"), Option.some(eve))
        assert.deepStrictEqual(yield* indexes.byEmail.get("eve"), Option.none())
        assert.deepStrictEqual(yield* indexes.byAge.getOrFail(36), ada)
        assert.deepStrictEqual(yield* indexes.byTag.get("chess"), Option.some(kim))
        assert.deepStrictEqual(yield* indexes.adults.get(["Kim", 80]), Option.some(kim))
        assert.deepStrictEqual(yield* indexes.adults.get(["Bob", 7]), Option.none())
        assert.isTrue(yield* indexes.byAge.has(7))
        assert.isFalse(yield* indexes.byAge.has(8))
        assert.isTrue(yield* indexes.byEmail.has("bob@example.com"))
        assert.isFalse(yield* indexes.byEmail.has("bob"))
      }
      const missing = yield* Effect.flip(indexes.byAge.getOrFail(8))
      assert.include(missing, { _tag: "KeyNotFound", shownKey: "8", collection: "users.byAge" })
    })))

  it.effect("is sorted by its keys, and equal keys by the keys of the records", () =>
    inStore(Effect.gen(function*() {
      const users = yield* fourUsers
      const expected = { byEmail: [1, 2, 3, 4], byAge: [2, 1, 3, 4], byTag: [4, 1, 4, 1, 3], adults: [1, 3, 4] }
      assert.deepStrictEqual(yield* numbersIn(users), expected)
      yield* flush
      assert.deepStrictEqual(yield* numbersIn(users), expected)
      const { byAge, byTag } = users.indexes
      assert.deepStrictEqual(yield* all(byAge.keys({ reverse: true })), [4, 3, 1, 2])
      assert.deepStrictEqual(yield* all(byAge.values()), [bob, ada, eve, kim])
      assert.deepStrictEqual(yield* all(byTag.entries({ limit: 3 })), [[4, kim], [1, ada], [4, kim]])
    })))

  it.effect("has ranges of its keys, in both directions", () =>
    inStore(Effect.gen(function*() {
      const { indexes: { adults, byAge, byEmail, byTag } } = yield* fourUsers
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* all(byAge.keys({ equals: 36 })), [1, 3])
        assert.deepStrictEqual(yield* all(byAge.keys({ gt: 7 })), [1, 3, 4])
        assert.deepStrictEqual(yield* all(byAge.keys({ gt: 36 })), [4])
        assert.deepStrictEqual(yield* all(byAge.keys({ gte: 36 })), [1, 3, 4])
        assert.deepStrictEqual(yield* all(byAge.keys({ lt: 36 })), [2])
        assert.deepStrictEqual(yield* all(byAge.keys({ lte: 36 })), [2, 1, 3])
        assert.deepStrictEqual(yield* all(byAge.keys({ gte: 7, lt: 80, reverse: true, offset: 1, limit: 1 })), [1])
        assert.deepStrictEqual(yield* all(byEmail.keys({ gt: "ada@example.com", lte: "eve@example.com" })), [2, 3])
        assert.deepStrictEqual(yield* all(byEmail.keys({ equals: "kim@example.com" })), [4])
        assert.deepStrictEqual(yield* all(byEmail.keys({ prefix: "e" })), [3])
        assert.deepStrictEqual(yield* all(byTag.keys({ prefix: "p", reverse: true })), [3, 1])
        assert.deepStrictEqual(yield* all(adults.keys({ prefix: ["Eve"] })), [3])
        assert.deepStrictEqual(yield* all(adults.keys({ gt: ["Ada", 36], lt: ["Kim", 80] })), [3])
        assert.strictEqual(yield* byTag.count(), 5)
        assert.strictEqual(yield* byTag.count({ equals: "maths" }), 2)
        assert.strictEqual(yield* byAge.count({ gte: 36, offset: 1, limit: 5 }), 2)
        assert.strictEqual(yield* byEmail.count({ lt: "b" }), 1)
      }
    })))

  it.effect("finds the next record when earlier records are deleted, pending or on disk", () =>
    inStore(Effect.gen(function*() {
      const { delete: remove, indexes: { byAge, byEmail }, putMany } = yield* openUsers
      yield* putMany(["a", "b", "c", "d"].map((name, key) => [key, userOf(name, 36)] as const))
      for (const key of [0, 1, 2]) yield* remove(key)
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* byAge.get(36), Option.some(userOf("d", 36)))
        assert.isTrue(yield* byAge.has(36))
      }
      yield* remove(3)
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* byAge.get(36), Option.none())
        assert.isFalse(yield* byAge.has(36))
        assert.isFalse(yield* byEmail.has("d@example.com"))
      }
    })))

  it.effect("gives no record for entries without a record", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(openUsers, ({ putMany }) => putMany([[1, ada], [2, bob]])))
      const [, [second] = yield* Effect.die("there are two")] = yield* recordsOf(path, "collection/users")
      const [[age] = yield* Effect.die("there is one")] = yield* recordsOf(path, "index/users/byAge")
      const [[email] = yield* Effect.die("there is one")] = yield* recordsOf(path, "index/users/byEmail")
      const noBytes = new Uint8Array(0)
      const writes: ReadonlyArray<Engine.Write> = [
        // The key of the index alone, and bytes that are none
        ["index/users/byAge", ByteString(age.slice(0, age.length - second.length)), noBytes],
        ["index/users/byAge", ByteString("\xff"), noBytes],
        ["index/users/byEmail", email, noBytes],
        ["index/users/byEmail", ByteString("\xff"), Uint8Array.of(0)],
        ["collection/users", second, null]
      ]
      yield* at(
        path,
        Effect.gen(function*() {
          const { indexes: { byAge, byEmail } } = yield* openUsers
          yield* damage(writes)
          assert.deepStrictEqual(yield* all(byAge.keys()), [2, 1])
          assert.deepStrictEqual(yield* all(byAge.values()), [ada])
          assert.deepStrictEqual(yield* all(byAge.entries()), [[1, ada]])
          assert.deepStrictEqual(yield* byAge.get(7), Option.none())
          assert.deepStrictEqual(yield* byEmail.get("ada@example.com"), Option.none())
          assert.deepStrictEqual(yield* all(byEmail.values()), [])
        })
      )
    }))

  it.effect("has each record once under a key, even if the function returns the key several times", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      yield* users.put(1, user({ tags: ["a", "b", "a"] }))
      assert.deepStrictEqual(yield* all(users.indexes.byTag.keys()), [1, 1])
      yield* users.put(1, user({ tags: ["b", "b"] }))
      assert.deepStrictEqual(yield* all(users.indexes.byTag.keys()), [1])
      yield* users.delete(1)
      assert.strictEqual(yield* users.indexes.byTag.count(), 0)
    })))

  it.effect("distinguishes keys that are the beginning of other keys", () =>
    inStore(Effect.gen(function*() {
      const names = yield* Collection.make("names", {
        key: Schema.String,
        value: Schema.String,
        indexes: { byName: { key: Schema.String, of: (name) => name } }
      })
      const pairs = [["b", "a"], ["", "ab"], ["ab", "a"], ["c", "a\0"], ["", "a"], ["\0", "a"], ["b", ""]] as const
      for (const [key, name] of pairs) yield* names.put(`${key}!`, name)
      const stored = new Map(pairs.map(([key, name]) => [`${key}!`, name]))
      for (const name of ["", "a", "a\0", "ab"]) {
        const keys = [...stored].filter(([, other]) => other === name).map(([key]) => key).toSorted()
        assert.deepStrictEqual(yield* all(names.indexes.byName.keys({ equals: name })), keys)
        assert.strictEqual(yield* names.indexes.byName.has(name), keys.length > 0)
      }
      const inOrder = ["b!", "\0!", "!", "ab!", "c!"]
      assert.deepStrictEqual(yield* all(names.indexes.byName.keys()), inOrder)
      assert.deepStrictEqual(yield* names.verify, [])
    })))
})

describe("an index follows", () => {
  it.effect("put, insert, update and delete, pending and on disk", () =>
    inStore(Effect.gen(function*() {
      for (const commit of [Effect.void, flush]) {
        const users = yield* fourUsers
        yield* commit
        yield* users.put(1, userOf("Zoe", 5, ["chess"]))
        yield* users.update(3, Option.map((old) => userOf(old.name, old.age + 50, old.tags)))
        yield* users.update(4, Option.none)
        yield* users.update(5, () => Option.some(userOf("Max", 20)))
        yield* users.delete(2)
        yield* users.insert(6, userOf("Amy", 30, ["maths"]))
        const expected = { byEmail: [6, 3, 5, 1], byAge: [1, 5, 6, 3], byTag: [1, 6, 3], adults: [6, 3, 5] }
        assert.deepStrictEqual(yield* numbersIn(users), expected)
        assert.deepStrictEqual(yield* users.verify, [])
        yield* flush
        assert.deepStrictEqual(yield* numbersIn(users), expected)
        assert.deepStrictEqual(yield* users.verify, [])
        yield* users.clear
      }
    })))

  it.effect("putMany, deleteMany, deleteOrFail and clear", () =>
    inStore(Effect.gen(function*() {
      const users = yield* fourUsers
      yield* users.putMany([[1, userOf("Zoe", 5)], [3, ada], [5, userOf("Max", 20)]])
      assert.deepStrictEqual((yield* numbersIn(users)).byAge, [1, 2, 5, 3, 4])
      yield* users.deleteMany([2, 5, 17])
      assert.deepStrictEqual((yield* numbersIn(users)).byAge, [1, 3, 4])
      yield* users.deleteOrFail(4)
      assert.deepStrictEqual((yield* numbersIn(users)).byAge, [1, 3])
      assert.deepStrictEqual(yield* users.verify, [])
      yield* users.clear
      assert.deepStrictEqual(yield* numbersIn(users), { byEmail: [], byAge: [], byTag: [], adults: [] })
      // What was unique is free again
      yield* users.insert(9, ada)
      assert.deepStrictEqual((yield* numbersIn(users)).byTag, [9, 9])
    })))

  it.effect("writes inside a transaction, which other fibers do not see before its end", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* fourUsers
      const before = yield* numbersIn(users)
      // A fiber of the daemon kind is outside of the transaction, this one is asked from there
      const outside = yield* Effect.context()
      yield* store.withTransaction(Effect.gen(function*() {
        yield* users.put(1, userOf("Zoe", 5, ["chess"]))
        yield* users.delete(4)
        assert.deepStrictEqual((yield* numbersIn(users)).byAge, [1, 2, 3])
        assert.deepStrictEqual(yield* users.indexes.byEmail.get("ada@example.com"), Option.none())
        assert.deepStrictEqual(
          yield* users.indexes.byEmail.getOrFail("zoe@example.com"),
          userOf("Zoe", 5, ["chess"])
        )
        assert.strictEqual(yield* users.indexes.byTag.count({ equals: "chess" }), 1)
        const seen = yield* Effect.promise(() => Effect.runPromiseWith(outside)(numbersIn(users)))
        assert.deepStrictEqual(seen, before)
      }))
      assert.deepStrictEqual(yield* numbersIn(users), {
        byEmail: [2, 3, 1],
        byAge: [1, 2, 3],
        byTag: [1, 3],
        adults: [3]
      })
      assert.deepStrictEqual(yield* users.verify, [])
    })))

  it.effect("a transaction that fails, whose writes are undone, those of nested ones included", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* fourUsers
      const before = yield* numbersIn(users)
      const failing = Effect.gen(function*() {
        yield* users.put(1, userOf("Zoe", 5, ["chess"]))
        yield* users.clear
        yield* users.insert(7, ada)
        assert.deepStrictEqual((yield* numbersIn(users)).byEmail, [7])
        return yield* Effect.fail("no")
      })
      assert.strictEqual(yield* Effect.flip(store.withTransaction(failing)), "no")
      assert.deepStrictEqual(yield* numbersIn(users), before)

      yield* store.withTransaction(Effect.gen(function*() {
        yield* users.delete(2)
        yield* Effect.ignore(store.withTransaction(failing))
        assert.deepStrictEqual((yield* numbersIn(users)).byAge, [1, 3, 4])
      }))
      assert.deepStrictEqual((yield* numbersIn(users)).byAge, [1, 3, 4])
      assert.deepStrictEqual(yield* users.verify, [])
    })))

  it.effect("a stream of it is one snapshot", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      const count = 3000
      yield* users.putMany(Array.from({ length: count }, (_, key) => [key, userOf(`u${key}`, key % 7)]))
      const { byAge } = users.indexes
      const read = byAge.values().pipe(
        Stream.tap(({ name }) =>
          name === "u0" ? users.putMany([[1, userOf("u1", 99)], [2, userOf("x", -1)]]) : Effect.void
        )
      )
      const values = yield* all(read)
      assert.lengthOf(values, count)
      assert.isTrue(values.every(({ name }) => name.startsWith("u")))
      const ages = values.map(({ age }) => age)
      assert.deepStrictEqual(ages, ages.toSorted((a, b) => a - b))
      assert.deepStrictEqual(yield* all(byAge.keys({ gte: 99 })), [1])
    })))

  it.effect("the records in another process, and after the store was opened again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const before = yield* at(path, Effect.flatMap(fourUsers, numbersIn))
      yield* at(
        path,
        Effect.gen(function*() {
          const users = yield* openUsers
          assert.deepStrictEqual(yield* numbersIn(users), before)
          yield* users.delete(1)
          assert.deepStrictEqual(yield* users.verify, [])
        })
      )
    }))
})
