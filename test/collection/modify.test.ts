/** Read-modify-write on collections. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { expectTypeOf } from "vitest"
import {
  type Closed,
  Collection,
  type EngineFailure,
  type KeyEncoding,
  type KeyNotFound,
  type MapFull,
  type ReadOnly,
  Store,
  type TransactionConflict,
  type ValueDecoding,
  type ValueEncoding
} from "../../src/index.ts"
import { all, inStore } from "../support/fixtures/collections.ts"

class User extends Schema.Class<User>("User")({
  name: Schema.NonEmptyString,
  age: Schema.Int.pipe(Schema.withConstructorDefault(Effect.succeed(18))),
  nick: Schema.optionalKey(Schema.String)
}) {
  get initial(): string {
    return this.name.slice(0, 1)
  }
}

const openUsers = Collection.make("users", {
  key: Schema.Int,
  value: User,
  indexes: {
    byInitial: { key: Schema.String, of: (user) => user.initial },
    byName: { key: Schema.String, of: (user) => user.name, unique: true }
  }
})

const openNumbers = Collection.make("numbers", { key: Schema.String, value: Schema.Int })

const openPoints = Collection.make("points", {
  key: Schema.String,
  value: Schema.Struct({ x: Schema.Int, y: Schema.Int, user: Schema.optionalKey(User) })
})

type Written = KeyEncoding | ValueEncoding<string> | ReadOnly | Closed | MapFull | EngineFailure | ValueDecoding<string>

describe("updateOrFail", () => {
  it.effect("replaces the value of a key and its entries in indexes", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      yield* users.put(1, { name: "Ada", age: 36 })
      const next = yield* users.updateOrFail(1, ({ age }) => ({ name: "Bea", age: age + 1 }))
      assert.deepStrictEqual(next, new User({ name: "Bea", age: 37 }))
      assert.deepStrictEqual(yield* users.getOrFail(1), next)
      assert.deepStrictEqual(yield* all(users.indexes.byInitial.keys({ equals: "B" })), [1])
      assert.deepStrictEqual(yield* users.verify, [])
    })))

  it.effect("fails with KeyNotFound if the key has no value, and writes nothing", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      const error = yield* Effect.flip(numbers.updateOrFail("a", (n) => n + 1))
      assert.include(error, { _tag: "KeyNotFound", key: "a", collection: "numbers" })
      assert.isFalse(yield* numbers.has("a"))
      assert.strictEqual((yield* (yield* Store).stats).pending, 0)
    })))

  it.effect("has exact types", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      expectTypeOf(numbers.updateOrFail("a", (n) => n + 1)).toEqualTypeOf<
        Effect.Effect<number, Written | KeyNotFound<string>>
      >()
      // @ts-expect-error the value is a number
      const refused = yield* Effect.flip(Effect.andThen(numbers.put("a", 1), numbers.updateOrFail("a", () => "text")))
      assert.strictEqual(refused._tag, "ValueEncoding")
      // @ts-expect-error it is no function
      const noFunction = yield* Effect.flip(numbers.updateOrFail("a", 7))
      assert.include(noFunction.message, "updateOrFail needs a function")
    })))

  it.effect("loses no update of concurrent fibers", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      yield* numbers.put("a", 0)
      const add = numbers.updateOrFail("a", (n) => n + 1)
      yield* Effect.all(Array.from({ length: 100 }, () => add), { concurrency: "unbounded" })
      assert.strictEqual(yield* numbers.getOrFail("a"), 100)
    })))
})

describe("update", () => {
  it.effect("writes nothing if its function returns its argument", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* openUsers
      yield* users.put(1, { name: "Ada" })
      yield* store.flush
      assert.deepStrictEqual(yield* users.update(1, (current) => current), Option.some(new User({ name: "Ada" })))
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* users.update(1, Option.map((user) => user))
      assert.isAbove((yield* store.stats).pending, 0)
    })))
})

describe("modify", () => {
  it.effect("returns the result, and stores, deletes or leaves the value", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const numbers = yield* openNumbers
      const take = numbers.modify("a", (current) =>
        Option.match(current, {
          onNone: () => ["sold out", current],
          onSome: (n) => [`${n} left`, n === 1 ? Option.none() : Option.some(n - 1)]
        }))
      expectTypeOf(take).toEqualTypeOf<Effect.Effect<string, Written>>()
      yield* numbers.put("a", 2)
      assert.strictEqual(yield* take, "2 left")
      assert.strictEqual(yield* take, "1 left")
      assert.isFalse(yield* numbers.has("a"))
      yield* store.flush
      assert.strictEqual(yield* take, "sold out")
      assert.strictEqual((yield* store.stats).pending, 0)
    })))

  it.effect("refuses a function that does not return a pair", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      // @ts-expect-error it returns no pair
      const error = yield* Effect.flip(numbers.modify("a", () => Effect.succeed(1)))
      assert.strictEqual(error._tag, "ValueEncoding")
      assert.include(error.message, "the function of modify must return [result, next]")
      assert.include(error.message, "use modifyEffect")
    })))

  it.effect("returns to each fiber the result of its own step", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      const next = numbers.modify("a", (current) => {
        const n = Option.getOrElse(current, () => 0)
        return [n, Option.some(n + 1)]
      })
      const given = yield* Effect.all(Array.from({ length: 50 }, () => next), { concurrency: "unbounded" })
      assert.deepStrictEqual(given, Array.from({ length: 50 }, (_, n) => n))
    })))

  it.effect("returns the result of the committed step in a shared store", () =>
    inStore(
      Effect.gen(function*() {
        const numbers = yield* openNumbers
        const next = numbers.modify("a", (current) => {
          const n = Option.getOrElse(current, () => 0)
          return [n, Option.some(n + 1)]
        })
        const given = yield* Effect.all(Array.from({ length: 10 }, () => next), { concurrency: "unbounded" })
        assert.deepStrictEqual(new Set(given), new Set(Array.from({ length: 10 }, (_, n) => n)))
      }),
      { shared: true }
    ))
})

describe("modifyEffect", () => {
  it.effect("runs in a transaction of its own, which includes writes to other collections", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const numbers = yield* openNumbers
      const users = yield* openUsers
      const add = numbers.modifyEffect("users", (current) => {
        const id = Option.getOrElse(current, () => 0) + 1
        return Effect.as(users.insert(id, { name: `User ${id}` }), [id, Option.some(id)] as const)
      })
      assert.strictEqual(yield* add, 1)
      assert.strictEqual(yield* add, 2)
      // It is committed
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* users.delete(2)
      yield* numbers.put("users", 0)
      assert.strictEqual((yield* Effect.flip(add))._tag, "KeyExists")
      assert.strictEqual(yield* numbers.getOrFail("users"), 0)
    })))

  it.effect("joins an open transaction", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const numbers = yield* openNumbers
      const add = numbers.modifyEffect(
        "a",
        (current) => Effect.succeed([undefined, Option.orElseSome(current, () => 1)])
      )
      yield* Effect.flip(store.withTransaction(Effect.andThen(add, Effect.fail("no"))))
      assert.isFalse(yield* numbers.has("a"))
      yield* store.withTransaction(Effect.gen(function*() {
        yield* add
        assert.strictEqual(yield* numbers.getOrFail("a"), 1)
      }))
      assert.strictEqual(yield* numbers.getOrFail("a"), 1)
    })))

  it.effect("deletes, leaves and fails with the error of the effect", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      yield* numbers.put("a", 1)
      assert.strictEqual(yield* numbers.modifyEffect("a", (current) => Effect.succeed(["same", current])), "same")
      const failing = numbers.modifyEffect("a", () => Effect.fail("refused" as const))
      expectTypeOf(failing).toEqualTypeOf<
        Effect.Effect<unknown, Written | TransactionConflict | "refused">
      >()
      assert.strictEqual(yield* Effect.flip(failing), "refused")
      assert.strictEqual(yield* numbers.getOrFail("a"), 1)
      yield* numbers.modifyEffect("a", () => Effect.succeed([undefined, Option.none()]))
      assert.isFalse(yield* numbers.has("a"))
      // @ts-expect-error it returns no pair
      const error = yield* Effect.flip(numbers.modifyEffect("a", () => Effect.succeed(1)))
      assert.include(error.message, "the function of modifyEffect must return [result, next]")
      const noEffects: ReadonlyArray<() => unknown> = [() => undefined, () => Promise.resolve(["a", Option.none()])]
      for (const f of noEffects) {
        // @ts-expect-error it returns no effect
        const refused = yield* Effect.flip(numbers.modifyEffect<unknown, never, never>("a", f))
        assert.include(refused.message, "the function of modifyEffect must return an Effect")
      }
      // @ts-expect-error it is no function
      const noFunction = numbers.modifyEffect<unknown, never, never>("a", 1)
      assert.include((yield* Effect.flip(noFunction)).message, "modifyEffect needs a function")
    })))
})

describe("patch", () => {
  it.effect("replaces fields of a struct", () =>
    inStore(Effect.gen(function*() {
      const points = yield* openPoints
      yield* points.put("a", { x: 1, y: 2 })
      assert.deepStrictEqual(yield* points.patch("a", { y: 3 }), { x: 1, y: 3 })
      const user = new User({ name: "Ada" })
      yield* points.patch("a", { user })
      assert.deepStrictEqual(yield* points.getOrFail("a"), { x: 1, y: 3, user })
      assert.deepStrictEqual(yield* points.patch("a", {}), { x: 1, y: 3, user })
    })))

  it.effect("makes an instance of a class, and corrects its indexes", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      yield* users.put(1, { name: "Ada", nick: "A" })
      const next = yield* users.patch(1, { name: "Bea" })
      assert.instanceOf(next, User)
      assert.deepStrictEqual(next, new User({ name: "Bea", nick: "A" }))
      assert.deepStrictEqual(yield* all(users.indexes.byInitial.keys({ equals: "A" })), [])
      assert.deepStrictEqual(yield* all(users.indexes.byInitial.keys({ equals: "B" })), [1])
      yield* users.put(2, { name: "Cy" })
      assert.strictEqual((yield* Effect.flip(users.patch(2, { name: "Bea" })))._tag, "UniqueViolation")
    })))

  it.effect("fails if the record is missing, or if the whole value is not valid", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      assert.include(yield* Effect.flip(users.patch(1, { age: 2 })), {
        _tag: "KeyNotFound",
        key: 1,
        collection: "users"
      })
      yield* users.put(1, { name: "Ada" })
      assert.strictEqual((yield* Effect.flip(users.patch(1, { name: "" })))._tag, "ValueEncoding")
      // @ts-expect-error it is no object
      assert.include((yield* Effect.flip(users.patch(1, 3))).message, "patch needs an object with fields")
      assert.deepStrictEqual(yield* users.getOrFail(1), new User({ name: "Ada" }))
    })))

  it.effect("is only for values with fields", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      const points = yield* openPoints
      expectTypeOf<Parameters<typeof numbers.patch>[1]>().toEqualTypeOf<Collection.OnlyValuesWithFieldsCanBePatched>()
      // @ts-expect-error numbers have no fields
      const onNumber = numbers.patch("a", { x: 1 })
      // @ts-expect-error a point has no field z
      const wrongField = points.patch("a", { z: 1 })
      // @ts-expect-error the field is a number
      const wrongType = points.patch("a", { x: "1" })
      assert.strictEqual((yield* Effect.flip(onNumber))._tag, "KeyNotFound")
      assert.strictEqual((yield* Effect.flip(wrongType))._tag, "KeyNotFound")
      assert.strictEqual((yield* Effect.flip(wrongField))._tag, "ValueEncoding")
    })))

  it.effect("is refused if it would change nothing or remove a field, whatever the compiler says", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      yield* users.put(1, { name: "Ada", nick: "A" })
      const refused: ReadonlyArray<readonly [fields: unknown, message: string]> = [
        [{ nick: undefined }, "the field \"nick\" of patch is undefined"],
        [{ name: "Bea", nick: undefined }, "the field \"nick\" of patch is undefined"],
        [{ name: "Bea", nicks: "B" }, "the schema has no field \"nicks\""],
        [Option.some({ name: "Bea" }), "the schema has no field \"value\""],
        [Effect.succeed({ name: "Bea" }), "the schema has no field"],
        [Promise.resolve({ name: "Bea" }), "has a promise"],
        [new Map([["name", "Bea"]]), "has a map"]
      ]
      for (const [fields, message] of refused) {
        // @ts-expect-error it may be anything
        const error = yield* Effect.flip(users.patch(1, fields))
        assert.deepInclude(error, { _tag: "ValueEncoding", key: 1, collection: "users" })
        assert.include(error.message, message)
      }
      assert.deepStrictEqual(yield* users.getOrFail(1), new User({ name: "Ada", nick: "A" }))
    })))
})

describe("insertMany", () => {
  it.effect("stores all records in one transaction", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* openUsers
      yield* users.insertMany([[1, { name: "Ada" }], [2, { name: "Bea" }]])
      assert.strictEqual(yield* users.size, 2)
      assert.strictEqual((yield* store.stats).pending, 0)
    })))

  it.effect("stores none if one key has a value or occurs twice", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* openNumbers
      yield* numbers.put("c", 0)
      const there = yield* Effect.flip(numbers.insertMany([["a", 1], ["c", 2]]))
      assert.include(there, { _tag: "KeyExists", key: "c", collection: "numbers" })
      const twice = yield* Effect.flip(numbers.insertMany([["a", 1], ["b", 2], ["a", 3]]))
      assert.include(twice, { _tag: "KeyExists", key: "a" })
      assert.deepStrictEqual(yield* all(numbers.entries()), [["c", 0]])
      // @ts-expect-error a key is no list of entries
      assert.strictEqual((yield* Effect.flip(numbers.insertMany("a")))._tag, "KeyEncoding")
    })))
})
