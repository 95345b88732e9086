/** The changes of a collection, and `Reactivity`. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Stream from "effect/Stream"
import { expectTypeOf } from "vitest"
import { type Change, Collection, Store } from "../../src/index.ts"
import { flush, inStore, openUsers, User, user } from "../support/fixtures/collections.ts"
import { start, turns, until } from "../support/harness.ts"

/** A change with its value, and without the number of its transaction. */
const shown = <K, V, E, R>(change: Change<K, V, E, R>) =>
  change._tag === "Put"
    ? Effect.map(
      Effect.result(change.value),
      (value) => ["Put", change.key, value._tag === "Success" ? value.success : "?"]
    )
    : Effect.succeed(change._tag === "Delete" ? ["Delete", change.key] : ["Clear"])

/** Watches some changes while something is done. */
const watch = Effect.fnUntraced(function*<K, V, E, R, SE, A, E2, R2>(
  changes: Stream.Stream<Change<K, V, E, R>, SE>,
  count: number,
  act: Effect.Effect<A, E2, R2>
) {
  const fiber = yield* start(Stream.runCollect(Stream.take(changes, count)))
  yield* turns(5)
  yield* act
  return yield* Fiber.join(fiber)
})

const dated = Collection.make("dated", {
  key: Schema.Tuple([Schema.String, Schema.DateFromString]),
  value: User,
  indexes: { byAge: { key: Schema.Number, of: (value) => value.age } }
})

describe("the changes of a collection", () => {
  it.effect("have decoded keys and values, one for each key of a commit, and none of its indexes", () =>
    inStore(Effect.gen(function*() {
      const { changes, clear, delete: remove, put } = yield* dated
      const day = new Date(0)
      const act = Effect.gen(function*() {
        yield* put(["a", day], user({ age: 1 }))
        yield* put(["a", day], user({ age: 2 }))
        yield* put(["b", day], user({ age: 3 }))
        yield* remove(["b", day])
        yield* flush
        yield* put(["c", day], user({ age: 4 }))
        yield* flush
        yield* clear
      })
      const told = yield* watch(changes(), 4, act)
      assert.deepStrictEqual(yield* Effect.forEach(told, shown), [
        ["Put", ["a", day], user({ age: 2 })],
        ["Delete", ["b", day]],
        ["Put", ["c", day], user({ age: 4 })],
        ["Clear"]
      ])
      const [first, second, third, fourth] = told.map(({ transactionId }) => transactionId)
      assert.strictEqual(first, second)
      assert.isBelow(second ?? Infinity, third ?? -Infinity)
      assert.isBelow(third ?? Infinity, fourth ?? -Infinity)
    })))

  it.effect("can be restricted to keys with a prefix", () =>
    inStore(Effect.gen(function*() {
      const { changes, put } = yield* dated
      const [one, two] = [new Date("2026-01-01"), new Date("2026-02-01")]
      const act = Effect.gen(function*() {
        yield* put(["a", one], user())
        yield* put(["b", one], user())
        yield* put(["bb", one], user())
        yield* put(["b", two], user())
        yield* flush
      })
      const told = yield* watch(changes({ prefix: ["b"] }), 2, act)
      assert.deepStrictEqual(told.map((change) => change._tag === "Clear" ? [] : change.key), [["b", one], ["b", two]])
      const refused = yield* Effect.flip(Stream.runDrain(changes({ prefix: ["\ud800"] })))
      assert.include(refused, { _tag: "KeyEncoding", collection: "dated" })
    })))

  it.effect("do not include the store, other collections, or transactions that were undone", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const { changes, put } = yield* dated
      const users = yield* openUsers
      const act = Effect.gen(function*() {
        yield* store.put("a", 1)
        yield* users.put(1, user())
        yield* Effect.ignore(
          store.withTransaction(Effect.andThen(put(["undone", new Date(0)], user()), Effect.fail("no")))
        )
        yield* store.withTransaction(
          Effect.andThen(put(["done", new Date(0)], user()), users.put(2, user({ email: "other" })))
        )
      })
      const told = yield* watch(changes(), 1, act)
      assert.deepStrictEqual(yield* Effect.forEach(told, shown), [["Put", ["done", new Date(0)], user()]])
      yield* flush
      const writing = Effect.all([users.put(3, user({ email: "x" })), store.put("b", 2), flush])
      const untyped = yield* watch(store.changes(), 1, writing)
      assert.deepStrictEqual(yield* Effect.forEach(untyped, shown), [["Put", "b", 2]])
    })))

  it.effect("include a value that does not decode, and only its effect `value` fails", () =>
    inStore(Effect.gen(function*() {
      const Long = Schema.String.pipe(Schema.decodeTo(Schema.String.check(Schema.isMinLength(3))))
      const writer = yield* Collection.make("words", { key: Schema.Int, value: Schema.String })
      const words = yield* Collection.make("words", { key: Schema.Int, value: Long })
      const told = yield* watch(words.changes(), 2, Effect.all([writer.put(1, "x"), writer.put(2, "long"), flush]))
      assert.deepStrictEqual(yield* Effect.forEach(told, shown), [["Put", 1, "?"], ["Put", 2, "long"]])
      const [first] = told
      const failure = first?._tag === "Put" ? yield* Effect.flip(first.value) : undefined
      assert.include(failure, { _tag: "ValueDecoding", shownKey: "1", collection: "words" })
    })))

  it.effect("require the services for decoding", () => {
    class Key extends Context.Service<Key, string>()("Key") {}
    const Keyed = Schema.String.pipe(Schema.decodeTo(Schema.String, {
      decode: SchemaGetter.transformEffect((text: string) => Effect.map(Key, (key) => `${key}${text}`)),
      encode: SchemaGetter.transform((text) => text)
    }))
    const keyed = Collection.make("keyed", { key: Schema.Int, value: Keyed })
    type Made = Effect.Success<typeof keyed>
    expectTypeOf<Stream.Services<ReturnType<Made["changes"]>>>().toEqualTypeOf<Key>()
    return inStore(Effect.gen(function*() {
      const { changes, put } = yield* keyed
      const told = yield* watch(Stream.provideService(changes(), Key, "k"), 1, Effect.andThen(put(1, "v"), flush))
      const [first] = told
      assert.strictEqual(first?._tag === "Put" ? yield* first.value : "", "kv")
    })).pipe(Effect.provideService(Key, "k"))
  })
})

describe("invalidateOnChange", () => {
  it.effect("runs queries of a collection, or of one record, again after the commit", () =>
    inStore(
      Effect.gen(function*() {
        const users = yield* openUsers
        const reactivity = yield* Reactivity.Reactivity
        const runs = { all: 0, part: 0, first: 0, second: 0 }
        const follow = (
          name: keyof typeof runs,
          keys: ReadonlyArray<unknown> | Record<string, ReadonlyArray<unknown>>
        ) => start(Stream.runDrain(reactivity.stream(keys, Effect.sync(() => ++runs[name]))))
        yield* start(Collection.invalidateOnChange(users))
        yield* follow("all", ["users"])
        yield* follow("part", { users: [1] })
        yield* follow("first", ["users:1"])
        yield* follow("second", ["users:2"])
        const isRun = (expected: typeof runs) =>
          Effect.andThen(
            until(() => runs.all === expected.all),
            Effect.andThen(turns(20), Effect.sync(() => assert.deepStrictEqual(runs, expected)))
          )
        yield* isRun({ all: 1, part: 1, first: 1, second: 1 })
        yield* users.put(1, user({ email: "1" }))
        yield* isRun({ all: 1, part: 1, first: 1, second: 1 })
        yield* flush
        yield* isRun({ all: 2, part: 2, first: 2, second: 1 })
        yield* users.putMany([[2, user({ email: "2" })]])
        yield* isRun({ all: 3, part: 3, first: 2, second: 2 })
        yield* users.deleteMany([2])
        yield* isRun({ all: 4, part: 4, first: 2, second: 3 })
        // All records are gone, and nobody knows which
        yield* users.clear
        yield* isRun({ all: 5, part: 5, first: 2, second: 3 })
      }).pipe(Effect.provide(Reactivity.layer))
    ))
})
