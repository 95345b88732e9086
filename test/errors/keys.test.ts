/** Errors about keys have the keys themselves, of their types, and a text for people. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { expectTypeOf } from "vitest"
import {
  Collection,
  type Key,
  type KeyEncoding,
  KeyExists,
  KeyNotFound,
  Store,
  UniqueViolation,
  type ValueDecoding,
  type ValueEncoding
} from "../../src/index.ts"
import { inStore } from "../support/fixtures/collections.ts"

const UserId = Schema.BigInt.pipe(Schema.brand("UserId"))
type UserId = typeof UserId.Type
const id = (number: number): UserId => UserId.make(BigInt(number))

const openUsers = Collection.make("users", {
  key: UserId,
  value: Schema.Struct({ name: Schema.String, born: Schema.Date }),
  indexes: {
    byName: { key: Schema.String, of: ({ name }) => name, unique: true },
    byBirthday: { key: Schema.Date, of: ({ born }) => born }
  }
})

const ada = { name: "Ada", born: new Date(0) }

type Errors<Method extends (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, unknown>> = Effect.Error<
  ReturnType<Method>
>

/** The errors of a method by their tag. */
type Tagged<Method extends (...args: ReadonlyArray<never>) => Effect.Effect<unknown, unknown, unknown>, Tag> = Extract<
  Errors<Method>,
  { readonly _tag: Tag }
>

const lengthOf = () => 1

const isText = Schema.makeFilter((value: unknown) => typeof value === "string")

describe("errors of a collection", () => {
  it.effect("have the key of the caller, with the type of the keys", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      yield* users.insert(id(1), ada)
      const missing = yield* users.getOrFail(id(2)).pipe(
        Effect.catchTag("KeyNotFound", ({ key, shownKey }) => {
          expectTypeOf(key).toEqualTypeOf<UserId>()
          return Effect.succeed({ key, shownKey })
        })
      )
      assert.deepStrictEqual<unknown>(missing, { key: 2n, shownKey: "2n" })
      const there = yield* users.insert(id(1), ada).pipe(
        Effect.catchTag("KeyExists", ({ key }) => {
          expectTypeOf(key).toEqualTypeOf<UserId>()
          return Effect.succeed(key)
        })
      )
      assert.strictEqual(there, id(1))
      const gone = yield* Effect.flip(users.deleteOrFail(id(3)))
      assert.include(gone, { _tag: "KeyNotFound", key: id(3), message: `Key not found in collection "users": 3n` })
    })))

  it.effect("of an index have its key", () =>
    inStore(Effect.gen(function*() {
      const { indexes: { byBirthday, byName } } = yield* openUsers
      const born = new Date(5)
      const missing = yield* Effect.flip(byBirthday.getOrFail(born))
      assert.include(missing, { _tag: "KeyNotFound", key: born, collection: "users.byBirthday" })
      expectTypeOf<Tagged<typeof byBirthday.getOrFail, "KeyNotFound">>().toEqualTypeOf<KeyNotFound<Date>>()
      expectTypeOf<Tagged<typeof byName.getOrFail, "KeyNotFound">>().toEqualTypeOf<KeyNotFound<string>>()
    })))

  it.effect("about a unique index have the keys of both records, and the key in the index", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      yield* users.put(id(1), ada)
      type WriteErrors = Errors<typeof users.insert> | Errors<typeof users.putMany> | Errors<typeof users.update>
      const writes: ReadonlyArray<Effect.Effect<unknown, WriteErrors>> = [
        users.put(id(2), ada),
        users.insert(id(2), ada),
        users.putMany([[id(2), ada]]),
        users.update(id(2), () => Option.some(ada))
      ]
      for (const write of writes) {
        const found = yield* Effect.flip(write)
        if (found._tag !== "UniqueViolation" || found.index !== "byName") return yield* found
        expectTypeOf(found.indexKey).toEqualTypeOf<string>()
        expectTypeOf(found.existingKey).toEqualTypeOf<UserId>()
        const { existingKey, indexKey, key, shownExistingKey, shownIndexKey, shownKey } = found
        assert.deepStrictEqual<unknown>([key, existingKey, indexKey], [2n, 1n, "Ada"])
        assert.deepStrictEqual([shownKey, shownExistingKey, shownIndexKey], ["2n", "1n", "\"Ada\""])
      }
      type Violation = UniqueViolation<UserId, "byName", string> | UniqueViolation<UserId, "byBirthday", Date>
      expectTypeOf<Tagged<typeof users.put, "UniqueViolation">>().toEqualTypeOf<Violation>()
      expectTypeOf<Collection.UniqueViolationOf<typeof UserId, { byName: typeof Schema.String }>>().toEqualTypeOf<
        UniqueViolation<UserId, "byName", string>
      >()
      const plain = yield* Collection.make("plain", { key: Schema.Int, value: Schema.Int })
      expectTypeOf<Tagged<typeof plain.put, "UniqueViolation">>().toEqualTypeOf<never>()
    })))

  it.effect("have keys that the services of the collection decode", () =>
    inStore(Effect.gen(function*() {
      class Prefix extends Context.Service<Prefix, string>()("Prefix") {}
      const key = Schema.String.pipe(Schema.decodeTo(Schema.String, {
        decode: SchemaGetter.transformEffect((text: string) => Effect.map(Prefix, (prefix) => prefix + text)),
        encode: SchemaGetter.transform((text: string) => text.slice(1))
      }))
      const things = yield* Collection.make("things", {
        key,
        value: Schema.String,
        indexes: { byText: { key, of: (text: string) => text, unique: true } }
      }).pipe(Effect.provideService(Prefix, "#"))
      yield* things.put("#1", "#a")
      const error = yield* Effect.flip(things.put("#2", "#a"))
      assert.instanceOf(error, UniqueViolation)
      assert.deepInclude(error, { key: "#2", existingKey: "#1", indexKey: "#a" })
    })))

  it.effect("about values have the key of the value", () =>
    inStore(Effect.gen(function*() {
      const users = yield* openUsers
      const wrong = { name: "Bob", born: new Date(NaN) }
      const refused = yield* Effect.flip(users.put(id(7), wrong))
      assert.include(refused, { _tag: "ValueEncoding", key: id(7), shownKey: "7n", collection: "users" })
      expectTypeOf<Tagged<typeof users.put, "ValueEncoding">>().toEqualTypeOf<ValueEncoding<UserId>>()
      expectTypeOf<Tagged<typeof users.get, "ValueDecoding">>().toEqualTypeOf<ValueDecoding<UserId>>()
      expectTypeOf<Tagged<typeof users.update, "ValueDecoding">>().toEqualTypeOf<ValueDecoding<UserId>>()
    })))

  it.effect("about values that a range or an index finds have the stored key", () =>
    inStore(Effect.gen(function*() {
      const options = { key: Schema.NumberFromString, indexes: { byLength: { key: Schema.Int, of: lengthOf } } }
      const any = yield* Collection.make("words", { ...options, value: Schema.Unknown })
      yield* any.put(12, 3)
      const words = yield* Collection.make("words", { ...options, value: Schema.Unknown.check(isText) })
      for (const read of [Stream.runDrain(words.values()), words.indexes.byLength.get(1), words.first()]) {
        assert.include(yield* Effect.flip(read), { _tag: "ValueDecoding", key: "12", shownKey: "\"12\"" })
      }
      assert.include(yield* Effect.flip(words.get(12)), { _tag: "ValueDecoding", key: 12, shownKey: "\"12\"" })
    })))

  it.effect("about a key that the schema refuses have the value of the caller", () =>
    inStore(Effect.gen(function*() {
      const numbers = yield* Collection.make("numbers", { key: Schema.Finite, value: Schema.Int })
      const refused = yield* Effect.flip(numbers.get(NaN))
      assert.nestedInclude(refused, { _tag: "KeyEncoding", "reason._tag": "Schema", shownKey: "NaN" })
      assert.isNaN("key" in refused ? refused.key : 0)
      const range = yield* Effect.flip(numbers.count({ limit: 0.5 }))
      assert.include(range, { key: undefined, shownKey: "limit" })
    })))
})

describe("errors of a store", () => {
  it.effect("have the key of the caller", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const bytes = Uint8Array.of(1, 2)
      assert.include(yield* Effect.flip(store.getOrFail(bytes)), { key: bytes, shownKey: "0x0102" })
      assert.include(yield* Effect.flip(store.deleteOrFail("none")), { key: "none", shownKey: "\"none\"" })
      assert.include(yield* Effect.flip(store.put(bytes, () => 1)), { _tag: "ValueEncoding", key: bytes })
      const long = "k".repeat(2_000)
      const refused = yield* Effect.flip(store.get(long))
      assert.include(refused, { _tag: "KeyEncoding", key: long })
      assert.isBelow("shownKey" in refused ? refused.shownKey.length : Infinity, 60)
      expectTypeOf<Tagged<typeof store.getOrFail, "KeyNotFound">>().toEqualTypeOf<KeyNotFound<Key>>()
      expectTypeOf<Tagged<typeof store.put, "ValueEncoding">>().toEqualTypeOf<ValueEncoding<Key>>()
      expectTypeOf<KeyEncoding["key"]>().toEqualTypeOf<unknown>()
    }).pipe(Effect.provide(Store.layerTemp())))
})

describe("a key in an error", () => {
  it.effect("is not in logs and encoded errors, which show the text of formatKey", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const error = yield* Effect.flip(store.getOrFail("secret"))
      const codec = Schema.toCodecJson(KeyNotFound)
      const encoded = error._tag === "KeyNotFound" ? yield* Schema.encodeEffect(codec)(error) : undefined
      for (const shown of [inspect(error), JSON.stringify(error), String(error), JSON.stringify(encoded)]) {
        assert.include(shown, "[key]")
        assert.notInclude(shown, "secret")
      }
      assert.include(error, { key: "secret", shownKey: "[key]" })
    }).pipe(Effect.provide(Store.layerTemp({ formatKey: () => "[key]" }))))

  it("may have types that JSON does not have", () => {
    const error = new KeyExists({ key: 1n, shownKey: "1n", collection: "users" })
    assert.deepStrictEqual(JSON.parse(JSON.stringify(error)), {
      _tag: "KeyExists",
      shownKey: "1n",
      collection: "users"
    })
    const decoded = Schema.decodeUnknownSync(KeyExists)(Schema.encodeSync(KeyExists)(error))
    assert.strictEqual(decoded.message, error.message)
  })
})
