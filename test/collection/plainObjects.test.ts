/** Plain objects where the schema of the values has classes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { expectTypeOf } from "vitest"
import { Collection } from "../../src/index.ts"
import { all, inStore } from "../support/fixtures/collections.ts"

class User extends Schema.Class<User>("User")({
  name: Schema.NonEmptyString,
  age: Schema.Int.pipe(Schema.withConstructorDefault(Effect.succeed(18)))
}) {
  get initial(): string {
    return this.name.slice(0, 1)
  }
}

class Admin extends Schema.Class<Admin>("Admin")({ name: Schema.NonEmptyString, age: Schema.Int }) {}

const openUsers = Collection.make("users", {
  key: Schema.Int,
  value: User,
  // It has the method of an instance: what is in the index was made before.
  indexes: { byInitial: { key: Schema.String, of: (user) => user.initial } }
})

describe("a plain object for a class", () => {
  it.effect("is accepted by every method that writes, with the defaults of the constructor", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      yield* users.put(1, { name: "Ada", age: 36 })
      yield* users.insert(2, { name: "Bob" })
      yield* users.putMany([[3, { name: "Cy", age: 7 }], [4, new User({ name: "Di" })]])
      const updated = yield* users.update(1, Option.map(({ age, name }) => ({ name, age: age + 1 })))
      assert.instanceOf(Option.getOrThrow(updated), User)
      assert.deepStrictEqual(
        yield* all(users.values()),
        [
          new User({ name: "Ada", age: 37 }),
          new User({ name: "Bob", age: 18 }),
          new User({ name: "Cy", age: 7 }),
          new User({ name: "Di", age: 18 })
        ]
      )
      assert.deepStrictEqual(yield* all(users.indexes.byInitial.keys({ gte: "B" })), [2, 3, 4])
      assert.deepStrictEqual(yield* users.verify, [])
    })))

  it.effect("is refused if the class refuses it, and nothing is written", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      const refused = yield* Effect.flip(users.put(1, { name: "", age: 1 }))
      assert.include(refused, { _tag: "ValueEncoding", key: 1, collection: "users" })
      assert.include(refused.message, "Expected a value with a length of at least 1")
      assert.include(refused.message, "at [\"name\"]")
      // @ts-expect-error there is no name
      assert.include((yield* Effect.flip(users.insert(1, { age: 1 }))).message, "Missing key\n  at [\"name\"]")
      assert.strictEqual(yield* users.size, 0)
    })))

  it.effect("becomes an instance if the class is inside another schema", () =>
    inStore(Effect.gen(function*() {
      const teams = yield* Collection.make("teams", {
        key: Schema.Int,
        value: Schema.Struct({ members: Schema.Array(User), lead: Schema.Union([Schema.Literal("none"), Admin]) })
      })
      yield* teams.put(1, { members: [new User({ name: "Ada" })], lead: { name: "Bob", age: 1 } })
      assert.deepStrictEqual(yield* teams.getOrFail(1), {
        members: [new User({ name: "Ada" })],
        lead: new Admin({ name: "Bob", age: 1 })
      })
    })))

  it.effect("cannot be an instance of another class", () =>
    inStore(Effect.gen(function*() {
      const admins = yield* Collection.make("admins", { key: Schema.Int, value: Admin })
      const refused = yield* Effect.flip(admins.put(1, new User({ name: "Ada", age: 36 })))
      assert.include(refused.message, "Expected Admin")
      // A subclass is an instance.
      class Owner extends Admin.extend<Owner>("Owner")({ share: Schema.Int }) {}
      yield* admins.put(1, new Owner({ name: "Ada", age: 36, share: 1 }))
    })))

  it("has the input type of make, and only classes accept more than their own type", () => {
    type UserInput = Collection.ValueInput<typeof User>
    expectTypeOf<UserInput>().toEqualTypeOf<User | { readonly name: string; readonly age?: number }>()
    expectTypeOf<Collection.ValueInput<typeof Schema.String>>().toEqualTypeOf<string>()
    const Size = Schema.Int.pipe(Schema.brand("Size"))
    expectTypeOf<Collection.ValueInput<typeof Size>>().toEqualTypeOf<typeof Size.Type>()
    const Sized = Schema.Struct({ size: Schema.Int.pipe(Schema.withConstructorDefault(Effect.succeed(1))) })
    expectTypeOf<Collection.ValueInput<typeof Sized>>().toEqualTypeOf<{ readonly size: number }>()
    class Empty extends Schema.Class<Empty>("Empty")({ note: Schema.optionalKey(Schema.String) }) {}
    expectTypeOf<Collection.ValueInput<typeof Empty>>().toEqualTypeOf<Empty | { readonly note?: string }>()
  })
})
