/** Unique indexes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Collection, Store } from "../../src/index.ts"
import { all, type Failure, flush, inStore, openUsers, userOf } from "../support/fixtures/collections.ts"

const ada = userOf("Ada", 36, ["maths"])
const bob = userOf("Bob", 7)

/** Two users, the first on disk. */
const twoUsers = Effect.gen(function*() {
  const users = yield* openUsers
  yield* users.putMany([[1, ada]])
  yield* users.put(2, bob)
  return users
})

const taken = {
  collection: "users",
  index: "byEmail",
  indexKey: "ada@example.com",
  shownIndexKey: "\"ada@example.com\"",
  existingKey: 1,
  shownExistingKey: "1"
}

const isViolation = (failure: Failure, key: number) =>
  assert.include(failure, { _tag: "UniqueViolation", ...taken, key, shownKey: String(key) })

describe("a unique index", () => {
  it.effect("refuses a second record with the same key from every method, and nothing is written", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* twoUsers
      const second = userOf("Ada", 50, ["chess"])
      const calls: ReadonlyArray<readonly [number, Effect.Effect<unknown, Failure>]> = [
        [2, users.put(2, second)],
        [3, users.put(3, second)],
        [3, users.insert(3, second)],
        [2, users.update(2, () => Option.some(second))],
        [3, users.update(3, () => Option.some(second))],
        [4, users.putMany([[3, userOf("Max", 20)], [4, second]])],
        [3, store.withTransaction(Effect.andThen(users.delete(2), users.put(3, second)))]
      ]
      for (const commit of [Effect.void, flush]) {
        yield* commit
        for (const [key, call] of calls) {
          isViolation(yield* Effect.flip(call), key)
          assert.deepStrictEqual(yield* all(users.entries()), [[1, ada], [2, bob]])
          assert.deepStrictEqual(yield* all(users.indexes.byEmail.keys()), [1, 2])
          assert.deepStrictEqual(yield* all(users.indexes.byAge.keys()), [2, 1])
          assert.deepStrictEqual(yield* all(users.indexes.byTag.keys()), [1])
          assert.deepStrictEqual(yield* users.verify, [])
        }
      }
    })))

  it.effect("names the record that already has the key", () =>
    inStore(Effect.gen(function*() {
      const users = yield* twoUsers
      const failure = yield* Effect.flip(users.put(2, ada))
      assert.strictEqual(
        failure.message,
        "Key 2 in collection \"users\" was not written: key 1 has \"ada@example.com\" in the unique index \"byEmail\" already."
      )
      const recovered = users.put(2, ada).pipe(
        Effect.catchTag("UniqueViolation", (violation) => Effect.succeed(violation.existingKey))
      )
      assert.strictEqual(yield* recovered, 1)
    })))

  it.effect("refuses two records of one putMany that have the same key", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      const failure = yield* Effect.flip(users.putMany([[1, ada], [2, bob], [3, ada]]))
      isViolation(failure, 3)
      assert.strictEqual(yield* users.size, 0)
      assert.strictEqual(yield* users.indexes.byEmail.count(), 0)
    })))

  it.effect("lets a record be written again under its own key", () =>
    inStore(Effect.gen(function*() {
      const users = yield* twoUsers
      yield* users.put(1, userOf("Ada", 37))
      yield* users.putMany([[1, userOf("Ada", 38)]])
      yield* users.update(1, Option.map((old) => userOf(old.name, old.age + 1)))
      assert.strictEqual((yield* users.indexes.byEmail.getOrFail("ada@example.com")).age, 39)
      assert.deepStrictEqual(yield* users.verify, [])
    })))

  it.effect("accepts a key again after its record has given it up", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* twoUsers
      const moved = userOf("Ada", 1)
      // Moved by a record that takes another address, by one that is deleted, and by a transaction
      yield* users.put(1, userOf("Lady", 36))
      yield* users.put(2, moved)
      yield* users.delete(2)
      yield* users.insert(3, moved)
      yield* store.withTransaction(Effect.andThen(users.delete(3), users.put(4, moved)))
      for (const commit of [Effect.void, flush]) {
        yield* commit
        assert.deepStrictEqual(yield* all(users.indexes.byEmail.keys()), [4, 1])
        assert.deepStrictEqual(yield* users.indexes.byEmail.get("ada@example.com"), Option.some(moved))
        assert.deepStrictEqual(yield* users.verify, [])
      }
    })))

  it.effect("lets two records exchange their keys in a transaction", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* twoUsers
      const exchange = Effect.gen(function*() {
        const [first, second] = [yield* users.getOrFail(1), yield* users.getOrFail(2)]
        yield* users.delete(1)
        yield* users.put(2, first)
        yield* users.put(1, second)
      })
      for (let turn = 1; turn <= 2; turn++) {
        yield* store.withTransaction(exchange)
        const expected = turn === 1 ? [[2, ada], [1, bob]] as const : [[1, ada], [2, bob]] as const
        assert.deepStrictEqual(yield* all(users.indexes.byEmail.entries()), [...expected])
        assert.deepStrictEqual(yield* users.verify, [])
      }
    })))

  it.effect("gives a key to one of many fibers, inside and outside transactions", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* openUsers
      const wishes = Array.from({ length: 60 }, (_, key) => {
        const wish: Effect.Effect<void, Failure> = key % 3 === 0
          ? users.putMany([[key, userOf("Ada", key)]])
          : users.insert(key, userOf("Ada", key))
        const whole: Effect.Effect<void, Failure> = key % 3 === 1
          ? store.withTransaction(Effect.andThen(Effect.yieldNow, wish))
          : wish
        return Effect.result(whole)
      })
      const results = yield* Effect.all(wishes, { concurrency: "unbounded" })
      const failures = results.flatMap((result) => result._tag === "Failure" ? [result.failure._tag] : [])
      assert.lengthOf(failures, 59)
      assert.deepStrictEqual(new Set(failures), new Set(["UniqueViolation"]))
      assert.strictEqual(yield* users.size, 1)
      assert.deepStrictEqual(yield* users.verify, [])
    })))

  it.effect("can have several keys of a record, or no key", () =>
    inStore(Effect.gen(function*() {
      const people = yield* Collection.make("people", {
        key: Schema.String,
        value: Schema.Array(Schema.String),
        indexes: { byName: { key: Schema.String, each: (names) => names, unique: true } }
      })
      yield* people.put("a", ["Ada", "Lovelace"])
      yield* people.put("none", [])
      yield* people.put("nobody", [])
      assert.include(yield* Effect.flip(people.put("b", ["Bob", "Lovelace"])), {
        _tag: "UniqueViolation",
        shownExistingKey: "\"a\"",
        shownKey: "\"b\"",
        shownIndexKey: "\"Lovelace\""
      })
      assert.isFalse(yield* people.indexes.byName.has("Bob"))
      yield* people.put("a", ["Lovelace", "Byron", "Byron"])
      yield* people.put("b", ["Ada"])
      assert.deepStrictEqual(yield* all(people.indexes.byName.keys()), ["b", "a", "a"])
      assert.deepStrictEqual(yield* people.verify, [])
    })))
})
