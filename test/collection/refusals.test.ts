/** What collections refuse: keys, values, definitions. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Collection, type Store } from "../../src/index.ts"
import * as LmdbKeyValueStore from "../../src/KeyValueStore.ts"
import { all, at, type Failure, inStore, user, users } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"

/** The refusal of a key, by every method that takes one. */
const refusalOf = Effect.fnUntraced(function*<T, E extends string | number | Date | readonly [string, number]>(
  schema: Schema.Codec<T, E>,
  key: T,
  collectionName = "refusing"
) {
  const collection = yield* Collection.make(collectionName, { key: schema, value: Schema.Number })
  const calls: ReadonlyArray<Effect.Effect<unknown, Failure>> = [
    collection.get(key),
    collection.getOrFail(key),
    collection.has(key),
    collection.getMany([key]),
    collection.put(key, 1),
    collection.insert(key, 1),
    collection.update(key, (current) => current),
    collection.delete(key),
    collection.deleteOrFail(key),
    collection.putMany([[key, 1]]),
    collection.deleteMany([key]),
    all(collection.keys({ gt: key })),
    all(collection.values({ lte: key })),
    all(collection.entries({ equals: key })),
    collection.first({ gte: key }),
    collection.last({ lt: key }),
    collection.count({ equals: key })
  ]
  const failures = yield* Effect.forEach(calls, Effect.flip)
  for (const failure of failures) {
    assert.include(failure, { _tag: "KeyEncoding", collection: collectionName })
    assert.deepStrictEqual({ ...failure }, { ...failures[0] })
  }
  assert.strictEqual(yield* collection.size, 0)
  return failures[0] ?? (yield* Effect.die("there are calls"))
})

describe("a key is refused by every method", () => {
  it.effect("when it is NaN", () =>
    inStore(Effect.gen(function*() {
      const refusal = yield* refusalOf(Schema.Number, NaN)
      assert.nestedInclude(refusal, { "reason._tag": "Schema", shownKey: "NaN" })
      assert.strictEqual(refusal.message, "Bad key NaN in collection \"refusing\": NaN has no order.")
      assert.nestedInclude(yield* refusalOf(Schema.Tuple([Schema.String, Schema.Number]), ["a", NaN], "tuples"), {
        "reason._tag": "Schema",
        detail: "element 1: NaN has no order."
      })
    })))

  it.effect("when it is not ordered", () =>
    inStore(Effect.gen(function*() {
      const refusals = [
        yield* refusalOf(Schema.Date, new Date(NaN), "dates"),
        yield* refusalOf(Schema.String, "a\ud800", "strings")
      ]
      for (const { reason } of refusals) assert.strictEqual(reason?._tag, "Schema")
    })))

  it.effect("when it does not pass the schema", () =>
    inStore(Effect.gen(function*() {
      assert.nestedInclude(yield* refusalOf(Schema.Int, 1.5), { "reason._tag": "Schema", shownKey: "1.5" })
      assert.strictEqual((yield* refusalOf(Schema.NonEmptyString, "", "texts")).reason?._tag, "Schema")
    })))

  it.effect("when it is longer than LMDB allows", () =>
    inStore(Effect.gen(function*() {
      const refusal = yield* refusalOf(Schema.String, "x".repeat(2000))
      assert.strictEqual(refusal.reason?._tag, "TooLong")
      assert.isBelow(refusal.message.length, 300)
    })))

  it.effect("also by an index, which the error names", () =>
    inStore(Effect.gen(function*() {
      const { indexes, size, ...collection } = yield* Collection.make("users", users)
      const failures = [
        yield* Effect.flip(indexes.byAge.get(NaN)),
        yield* Effect.flip(indexes.byAge.getOrFail(NaN)),
        yield* Effect.flip(indexes.byAge.has(NaN)),
        yield* Effect.flip(all(indexes.byAge.keys({ gte: NaN }))),
        yield* Effect.flip(indexes.byAge.count({ equals: NaN })),
        yield* Effect.flip(collection.put(1, user({ age: NaN }))),
        yield* Effect.flip(collection.insert(1, user({ age: NaN }))),
        yield* Effect.flip(collection.putMany([[2, user()], [1, user({ age: NaN })]]))
      ]
      for (const failure of failures) {
        assert.strictEqual(failure._tag, "KeyEncoding")
        assert.include(failure, { shownKey: "NaN", collection: "users.byAge" })
      }
      const long = yield* Effect.flip(collection.put(1, user({ tags: ["a", "x".repeat(1970)] })))
      assert.nestedInclude(long, { _tag: "KeyEncoding", "reason._tag": "TooLong", collection: "users.byTag" })
      assert.strictEqual(yield* size, 0)
    })))
})

describe("a value that the schema does not accept", () => {
  it.effect("is a typed error with the collection and the key, and nothing is written", () =>
    inStore(Effect.gen(function*() {
      const collection = yield* Collection.make("short", { key: Schema.Int, value: Schema.NonEmptyString })
      const calls = [collection.put(7, ""), collection.insert(7, ""), collection.putMany([[6, "six"], [7, ""]])]
      for (const call of calls) {
        const failure = yield* Effect.flip<void, Failure, never>(call)
        assert.include(failure, { _tag: "ValueEncoding", shownKey: "7", collection: "short" })
      }
      const failure = yield* Effect.flip(collection.put(7, ""))
      assert.match(failure.message, /^The value for key 7 in collection "short" cannot be stored: .*length/u)
      assert.strictEqual(yield* collection.size, 0)
    })))
})

const refused = Effect.fnUntraced(function*(made: Effect.Effect<unknown, Failure, Store>) {
  const failure = yield* Effect.flip(made)
  assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "BadDefinition" })
})

describe("a definition is refused", () => {
  it.effect("when its key has no order, by the compiler too", () =>
    inStore(Effect.gen(function*() {
      const value = Schema.Number
      class Id extends Schema.Class<Id>("Id")({ id: Schema.String }) {}
      // @ts-expect-error a struct
      yield* refused(Collection.make("a", { key: Schema.Struct({ a: Schema.String }), value }))
      // @ts-expect-error a class
      yield* refused(Collection.make("a", { key: Id, value }))
      // @ts-expect-error null
      yield* refused(Collection.make("a", { key: Schema.NullOr(Schema.String), value }))
      // @ts-expect-error undefined
      yield* refused(Collection.make("a", { key: Schema.UndefinedOr(Schema.String), value }))
      // @ts-expect-error a symbol
      yield* refused(Collection.make("a", { key: Schema.Symbol, value }))
      // @ts-expect-error a time in a zone
      yield* refused(Collection.make("a", { key: Schema.DateTimeZoned, value }))
      // @ts-expect-error an element without an order
      yield* refused(Collection.make("a", { key: Schema.Tuple([Schema.Struct({})]), value }))
      // @ts-expect-error an element that may be missing
      yield* refused(Collection.make("a", { key: Schema.Tuple([Schema.optionalKey(Schema.String)]), value }))
      // @ts-expect-error unknown
      yield* refused(Collection.make("a", { key: Schema.Unknown, value }))
      // `any` passes as every type does
      yield* refused(Collection.make("a", { key: Schema.Any, value }))
      yield* refused(Collection.make("a", { key: Schema.Never, value }))
    })))

  it.effect("when the key of an index has no order, by the compiler too", () =>
    inStore(Effect.gen(function*() {
      const value = Schema.Struct({ a: Schema.String })
      const key = Schema.String
      const byAll = { key: value, of: (whole: { readonly a: string }) => whole }
      // @ts-expect-error a struct
      void Collection.make("a", { key, value, indexes: { byAll } })
      // `any` passes as every type does
      const indexes = { byAll: { key: Schema.Any, of: () => undefined } }
      const failure = yield* Effect.flip(Collection.make("a", { key, value, indexes }))
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "BadDefinition", collection: "a" })
      assert.include(failure.message, "the key of its index \"byAll\"")
    })))

  it.effect.each<readonly [options: object, detail: string]>([
    [{ vesion: 2 }, "there is no option \"vesion\"; did you mean version?"],
    [{ version: "2" }, "its version"],
    [{ version: null }, "its version"],
    [{ indexes: null }, "its indexes"],
    [{ migrations: null }, "its migrations"],
    [{ migrations: { one: () => Effect.void } }, "its migration \"one\""],
    [{ migrations: [() => Effect.void] }, "its migrations"],
    [
      { indexes: { a: { key: Schema.String, of: () => "a", uniqe: true } } },
      "its index \"a\" has no option \"uniqe\"; did you mean unique?"
    ],
    [{ indexes: { a: { key: Schema.String, of: () => "a", unique: "yes" } } }, "\"unique\" of its index \"a\""]
  ])("when an option is not valid: %j", ([options, detail]) =>
    inStore(Effect.gen(function*() {
      const unchecked: { readonly key: typeof Schema.String; readonly value: typeof Schema.String } = {
        key: Schema.String,
        value: Schema.String,
        ...options
      }
      const failure = yield* Effect.flip(Collection.make("a", unchecked))
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "BadDefinition", collection: "a" })
      assert.include(failure.message, detail)
    })))

  it.effect("when a part of its schema throws", () =>
    inStore(Effect.gen(function*() {
      const cause = new ReferenceError("Cannot access 'Later' before initialization")
      const later = (): Schema.Codec<string> => {
        throw cause
      }
      const value = Schema.Struct({ a: Schema.Array(Schema.suspend(later)) })
      const failure = yield* Effect.flip(Collection.make("a", { key: Schema.Int, value }))
      assert.nestedInclude(failure, {
        _tag: "CollectionFailed",
        "reason._tag": "BadDefinition",
        collection: "a",
        cause
      })
    })))

  it.effect("when its index gives keys of another type, by the compiler", () => {
    const value = Schema.Struct({ a: Schema.String, b: Schema.Number })
    const made = [
      // @ts-expect-error text is no number
      Collection.make("a", { key: Schema.String, value, indexes: { byA: { key: Schema.Number, of: ({ a }) => a } } }),
      Collection.make("a", {
        key: Schema.String,
        value,
        // @ts-expect-error there is no such field
        indexes: { byC: { key: Schema.String, of: ({ c }) => String(c) } }
      }),
      Collection.make("a", {
        key: Schema.String,
        value,
        // @ts-expect-error a tuple is given as it is, several of them by each
        indexes: { byAll: { key: Schema.Tuple([Schema.String, Schema.Number]), of: ({ a, b }) => [[a, b]] } }
      })
    ]
    assert.lengthOf(made, 3)
    return Effect.void
  })

  it.effect("when its name, the name of an index or its version is not valid", () =>
    inStore(Effect.gen(function*() {
      const plain = { key: Schema.String, value: Schema.Number }
      const index = { key: Schema.Number, of: (value: number) => value }
      for (const name of ["", "a/b", "a\0", "\ud800", "x".repeat(256), "é".repeat(128)]) {
        yield* refused(Collection.make(name, plain))
        yield* refused(Collection.make("a", { ...plain, indexes: { [name]: index } }))
      }
      for (const version of [0, -1, 1.5, NaN, Infinity]) {
        yield* refused(Collection.make("a", { ...plain, version }))
      }
      for (const name of ["x".repeat(255), "a b", "Ünï", "constructor", "__proto__", "collections"]) {
        const made = yield* Collection.make(name, { ...plain, indexes: { [name]: index } })
        yield* made.put("a", 1)
        assert.deepStrictEqual(yield* all(made.keys()), ["a"])
        assert.deepStrictEqual(yield* made.verify, [])
      }
    })))

  it.effect("when the store already has the maximum number of databases", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const value = Schema.Number
      const indexes = Object.fromEntries(
        Array.from({ length: 1030 }, (_, number) => [`by${number}`, { key: Schema.Number, of: (n: number) => n }])
      )
      const failure = yield* at(path, Effect.flip(Collection.make("wide", { key: Schema.String, value, indexes })))
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "TooManyDatabases", collection: "wide" })
    }))
})

describe("a name of a collection of the package", () => {
  it.effect("is refused from a program, before and after a port has opened it", () =>
    inStore(Effect.gen(function*() {
      const open = Collection.make("effect.KeyValueStore", { key: Schema.String, value: Schema.Number })
      const refusal = Effect.map(Effect.flip(open), (error) => {
        assert.nestedInclude(error, { _tag: "CollectionFailed", "reason._tag": "BadDefinition" })
        assert.match(error.message, /"effect\."/)
      })
      yield* refusal
      const kv = yield* LmdbKeyValueStore.make()
      yield* kv.set("a", "1")
      yield* refusal
      assert.strictEqual(yield* kv.get("a"), "1")
      yield* Collection.make("effects", { key: Schema.String, value: Schema.Number })
    })))
})
