/** What a call is given besides keys and values: what chooses nothing, or something else, is refused. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Collection, type Key, Store } from "../../src/index.ts"

/** A value as a program without types passes it. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the place that it is passed to says what it is
const untyped = <A>(given: unknown): A => {
  const isAnything = (value: unknown): value is A => value === given || Number.isNaN(value)
  return isAnything(given) ? given : assert.fail("it is itself")
}

/** What errors have in common, and some have. */
interface Failure {
  readonly _tag: string
  readonly key?: unknown
  readonly shownKey?: string
  readonly message: string
  readonly reason?: { readonly _tag: string }
  readonly operation?: string
  readonly collection?: string | undefined
  readonly isRetryable?: boolean
}

/** The error of an effect that must fail. */
const errorOf = (effect: Effect.Effect<unknown, Failure>) => Effect.flip(Effect.asVoid(effect))

const isBadArgument = Effect.fnUntraced(function*(
  effect: Effect.Effect<unknown, Failure>,
  name: string
) {
  const error = yield* errorOf(effect)
  assert.nestedInclude(error, { _tag: "KeyEncoding", "reason._tag": "Argument", shownKey: name }, error.message)
  return error.message
})

const orders = Collection.make("orders", {
  key: Schema.String,
  value: Schema.Struct({ tenant: Schema.String }),
  indexes: { byTenant: { key: Schema.String, of: ({ tenant }) => tenant } }
})

const inStore = <A, E>(
  test: (
    store: Store["Service"],
    collection: Effect.Success<typeof orders>
  ) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const store = yield* Store
    const collection = yield* orders
    yield* store.putMany({ "a/1": 1, "a/2": 2, "b/1": 3, u: 1, s: 1, e: 1, r: 1 })
    yield* collection.putMany([["1", { tenant: "ada" }], ["2", { tenant: "eve" }]])
    yield* test(store, collection)
    assert.strictEqual(yield* store.size, 7)
    assert.strictEqual(yield* collection.size, 2)
  }).pipe(Effect.provide(Store.layerTemp()))

const badRanges: ReadonlyArray<readonly [name: string, range: unknown]> = [
  ["prefix", { prefix: undefined }],
  ["gt", { gt: undefined }],
  ["gte", { gte: undefined, lt: "b" }],
  ["lt", { lt: undefined }],
  ["lte", { gte: "a", lte: undefined }],
  ["limit", { limit: undefined }],
  ["limit", { limit: null }],
  ["limit", { limit: Number.NaN }],
  ["limit", { limit: -1 }],
  ["limit", { limit: 1.5 }],
  ["limit", { limit: "2" }],
  ["offset", { offset: undefined }],
  ["offset", { offset: -1 }],
  ["offset", { offset: -Infinity }],
  ["reverse", { reverse: "yes" }],
  ["prefx", { prefx: "a" }],
  ["the range", null],
  ["the range", "a/"],
  ["the range", ["a"]],
  ["the range", new Map([["prefix", "a"]])],
  ["the range", new Date(0)]
]

describe("a range that would select everything, or other keys, is refused", () => {
  it.effect.each(badRanges)("%s of %j", ([name, range]) =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        const { byTenant } = collection.indexes
        const ranged = [
          store.deleteRange(untyped(range)),
          store.count(untyped(range)),
          Stream.runDrain(store.keys(untyped(range))),
          Stream.runDrain(store.values(untyped(range))),
          Stream.runDrain(store.entries(untyped(range))),
          collection.count(untyped(range)),
          Stream.runDrain(collection.keys(untyped(range))),
          Stream.runDrain(collection.values(untyped(range))),
          Stream.runDrain(collection.entries(untyped(range))),
          Stream.runDrain(byTenant.keys(untyped(range))),
          Stream.runDrain(byTenant.values(untyped(range))),
          byTenant.count(untyped(range))
        ]
        for (const effect of ranged) yield* isBadArgument(effect, name)
        if (["limit", "reverse"].includes(name)) return
        for (const read of [collection.first, collection.last]) yield* isBadArgument(read(untyped(range)), name)
      })
    ))

  it.effect("and so are options of other kinds of ranges", () =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        yield* isBadArgument(store.deleteRange(untyped(undefined)), "the range")
        for (const range of [{ prefix: null }, { gte: null }]) {
          assert.nestedInclude(yield* errorOf(store.deleteRange(untyped(range))), { "reason._tag": "WrongType" })
          assert.nestedInclude(yield* errorOf(collection.count(untyped(range))), { "reason._tag": "Schema" })
        }
        const throwing = {
          get prefix(): never {
            throw new Error("no")
          }
        }
        yield* isBadArgument(store.deleteRange(throwing), "the range")
        yield* isBadArgument(collection.first(throwing), "the range")
        yield* isBadArgument(store.deleteRange(untyped({ equals: "a/1" })), "equals")
        yield* isBadArgument(store.count(untyped({ snapshot: false })), "snapshot")
        yield* isBadArgument(Stream.runDrain(store.keys(untyped({ decodeKeys: "no" }))), "decodeKeys")
        yield* isBadArgument(Stream.runDrain(store.keys(untyped({ snapshot: 0 }))), "snapshot")
        yield* isBadArgument(Stream.runDrain(collection.values(untyped({ undecodable: "drop" }))), "undecodable")
        yield* isBadArgument(Stream.runDrain(collection.values(untyped({ equals: undefined }))), "equals")
        yield* isBadArgument(collection.first(untyped({ reverse: true })), "reverse")
        const message = yield* isBadArgument(
          Stream.runDrain(collection.indexes.byTenant.values(untyped({ equals: undefined }))),
          "equals"
        )
        assert.include(message, `Bad argument equals in collection "orders.byTenant": it is undefined; leave it out`)
      })
    ))

  it.effect("but a flag that is undefined means the default", () =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* store.count({ prefix: "a/", reverse: undefined }), 2)
        const read = store.keys({ prefix: "a/", snapshot: undefined, decodeKeys: undefined })
        assert.deepStrictEqual(yield* Stream.runCollect(read), ["a/1", "a/2"])
        assert.strictEqual((yield* Stream.runCollect(collection.values({ undecodable: undefined }))).length, 2)
      })
    ))

  it.effect("also by changes", () =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        const bad: ReadonlyArray<readonly [name: string, options: unknown]> = [
          ["prefix", { prefix: undefined }],
          ["capacity", { capacity: Number.NaN }],
          ["capacity", { capacity: -1 }],
          ["capacity", { capacity: "10" }],
          ["prefx", { prefx: "a" }],
          ["the options of changes", null]
        ]
        for (const [name, options] of bad) {
          yield* isBadArgument(Stream.runDrain(store.changes(untyped(options))), name)
          yield* isBadArgument(Stream.runDrain(collection.changes(untyped(options))), name)
        }
        yield* isBadArgument(Stream.runDrain(store.changes(untyped({ decodeKeys: 0 }))), "decodeKeys")
      })
    ))
})

describe("a value that is not a list is refused", () => {
  it.effect.each<readonly [list: unknown]>([
    ["user"],
    [Object("user")],
    [Buffer.from("user")],
    [new Uint8Array([1, 2])],
    [5],
    [null],
    [undefined],
    [{ a: 1 }]
  ])("of keys: %o", ([list]) =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        for (
          const effect of [
            store.deleteMany(untyped(list)),
            store.getMany(untyped(list)),
            store.getMany(untyped(list), { decodeKeys: true }),
            collection.deleteMany(untyped(list)),
            collection.getMany(untyped(list))
          ]
        ) yield* isBadArgument(effect, "keys")
      })
    ))

  it.effect.each<readonly [entries: unknown]>([
    ["ab"],
    [Buffer.from("ab")],
    [5],
    [null],
    [new Date(0)],
    [Promise.resolve([])],
    [() => []],
    [["ab"]],
    [[["a"]]],
    [[["a", 1, 2]]],
    [[{ key: "a", value: 1 }]],
    [[null]]
  ])("of entries: %o", ([entries]) =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        yield* isBadArgument(store.putMany(untyped(entries)), "entries")
        yield* isBadArgument(collection.putMany(untyped(entries)), "entries")
      })
    ))

  it.effect("a record, a Map, a generator and a Set are accepted as lists", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany({ a: 1 })
      yield* store.putMany(untyped(Object.setPrototypeOf({ b: 1 }, null)))
      yield* store.putMany(new Map([["c", 1]]))
      yield* store.putMany((function*() {
        yield ["d", 1] as const
      })())
      assert.strictEqual((yield* store.getMany(new Set(["a", "b", "c", "d"]))).found.size, 4)
      yield* store.deleteMany(new Set<Key>(["a", "b", "c", "d"]).values())
      assert.strictEqual(yield* store.size, 0)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("text in an object is not accepted as a key", () =>
    inStore((store) =>
      Effect.gen(function*() {
        const error = yield* errorOf(store.get(untyped(Object("a/1"))))
        assert.nestedInclude(error, { _tag: "KeyEncoding", "reason._tag": "WrongType" })
      })
    ))
})

describe("the function of update must return an Option", () => {
  it.effect.each<readonly [kind: string, next: unknown]>([
    ["number", 2],
    ["undefined", undefined],
    ["null", null],
    ["promise", Promise.resolve(Option.some(1))],
    ["an Effect", Effect.sync(() => Option.some(1))]
  ])("%s", ([kind, next]) =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        for (
          const effect of [
            store.update("a/1", () => untyped(next)),
            store.withTransaction(store.update("a/1", () => untyped(next))),
            collection.update("1", () => untyped(next))
          ]
        ) {
          const error = yield* errorOf(effect)
          assert.strictEqual(error._tag, "ValueEncoding")
          assert.include(error.message, kind)
          assert.include(error.message, "Option.some(value)")
        }
        assert.strictEqual(yield* store.getOrFail("a/1"), 1)
      })
    ))

  it.effect("and a value that is not a function is refused", () =>
    inStore((store, collection) =>
      Effect.gen(function*() {
        for (const effect of [store.update("a/1", untyped(5)), collection.update("1", untyped(undefined))]) {
          assert.include(yield* errorOf(effect), { _tag: "ValueEncoding" })
        }
      })
    ))
})

describe("options of a call that are not valid are refused", () => {
  it.effect("of has and getMany", () =>
    inStore((store) =>
      Effect.gen(function*() {
        yield* isBadArgument(store.has("a/1", untyped({ flush: "yes" })), "flush")
        yield* isBadArgument(store.has("a/1", untyped({ flsh: true })), "flsh")
        yield* isBadArgument(store.has("a/1", untyped(true)), "the options of has")
        yield* isBadArgument(store.has("a/1", untyped(null)), "the options of has")
        yield* isBadArgument(store.getMany(["a/1"], untyped({ decodeKeys: 1 })), "decodeKeys")
        yield* isBadArgument(store.getMany(["a/1"], untyped(null)), "the options of getMany")
        assert.isTrue(yield* store.has("a/1", { flush: true }))
        assert.isTrue(yield* store.has("a/1", {}))
      })
    ))

  it.effect.each<readonly [name: string, path: unknown, options: unknown]>([
    ["path", undefined, undefined],
    ["path", "", undefined],
    ["path", "a\0b", undefined],
    ["compact", "copy", { compact: "yes" }],
    ["compat", "copy", { compat: true }],
    ["the options of backup", "copy", null]
  ])("of backup: %s", ([name, path, options]) =>
    inStore((store) =>
      Effect.gen(function*() {
        const error = yield* errorOf(store.backup(untyped(path), untyped(options)))
        assert.include(error, { _tag: "EngineFailure", operation: "backup", isRetryable: false })
        assert.include(error.message, name)
      })
    ))

  it.effect.each<readonly [name: string, effect: unknown, retry: unknown]>([
    ["effect", undefined, Schedule.recurs(1)],
    ["effect", () => Effect.void, Schedule.recurs(1)],
    ["effect", Promise.resolve(), Schedule.recurs(1)],
    ["retry", Effect.void, 3],
    ["retry", Effect.void, { retry: Schedule.recurs(1) }],
    ["retry", Effect.void, null]
  ])("of withTransactionRetry: %s", ([name, effect, retry]) =>
    inStore((store) =>
      Effect.gen(function*() {
        for (
          const made of [
            store.withTransactionRetry(untyped(retry))<void, never, never>(untyped(effect)),
            store.withTransaction(store.withTransactionRetry(untyped(retry))<void, never, never>(untyped(effect)))
          ]
        ) {
          const error = yield* errorOf(made)
          assert.include(error, { _tag: "EngineFailure", operation: "withTransactionRetry" })
          assert.include(error.message, name)
        }
      })
    ))

  it.effect.each<readonly [effect: unknown]>([
    [undefined],
    [() => Effect.void],
    [Promise.resolve()]
  ])("of withTransaction: %s", ([effect]) =>
    inStore((store) =>
      Effect.gen(function*() {
        for (
          const made of [
            store.withTransaction<void, never, never>(untyped(effect)),
            store.withTransaction(store.withTransaction<void, never, never>(untyped(effect)))
          ]
        ) {
          const error = yield* errorOf(made)
          assert.include(error, { _tag: "EngineFailure", operation: "withTransaction" })
          assert.include(error.message, "effect")
        }
      })
    ))
})

describe("an index whose function returns keys of another type fails", () => {
  it.effect.each<readonly [given: unknown]>([
    [Promise.resolve("ada")],
    [Option.some(5)],
    [null],
    [5],
    [new Set(["ada"])]
  ])("%o", ([given]) =>
    Effect.gen(function*() {
      const collection = yield* Collection.make("people", {
        key: Schema.Int,
        value: Schema.String,
        indexes: { byName: { key: Schema.String, of: () => untyped<string>(given) } }
      })
      const error = yield* errorOf(collection.put(1, "ada"))
      assert.nestedInclude(error, { _tag: "KeyEncoding", "reason._tag": "Schema", collection: "people.byName" })
      assert.strictEqual(yield* collection.size, 0)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("with text for a tuple", () =>
    Effect.gen(function*() {
      const collection = yield* Collection.make("people", {
        key: Schema.Int,
        value: Schema.String,
        indexes: { byName: { key: Schema.Tuple([Schema.String, Schema.Int]), of: () => untyped<undefined>("ada") } }
      })
      assert.nestedInclude(yield* errorOf(collection.put(1, "ada")), { _tag: "KeyEncoding", "reason._tag": "Schema" })
    }).pipe(Effect.provide(Store.layerTemp())))
})

describe("the name of a namespace is refused if it is not text", () => {
  it.effect.each<readonly [given: unknown, shown: string]>([
    [undefined, "undefined"],
    [null, "null"],
    [1, "a number"],
    [["sessions"], "an array"]
  ])("%o", ([given, shown]) =>
    inStore((store) =>
      Effect.gen(function*() {
        const error = yield* errorOf(store.namespace(untyped(given)))
        assert.nestedInclude(error, { _tag: "NamespaceFailed", "reason._tag": "BadName", namespace: shown })
      })
    ))
})
