/**
 * Effect's `BackingPersistence` in a store: what every implementation of it does, and what only this one does.
 *
 * The first part has the cases of Effect's own suites (of 4.0.0-rc.111: the `suite` of `sqlite-node/test/Persistence.test.ts`,
 * the case `setMany` of `KeyValueStore.test.ts`, and `BrowserPersistence.test.ts`) in other words, and runs them on Effect's
 * memory layer too. The cleanup of `SqlCleanupTest.ts` is the last part. Left out is the option `database` of the browser,
 * which this implementation does not have: a store is a file of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedCache from "effect/persistence/PersistedCache"
import * as Persistence from "effect/persistence/Persistence"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Collection, Store } from "../../src/index.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import { faults } from "../../src/testing/FaultyEngine.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { entriesOf, stopSweeper, storedIn, swept } from "../support/expiring.ts"
import { at, inStore, recordsOf, tamper } from "../support/fixtures/collections.ts"
import { faultyStore, temporaryFolder, withLog } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"

const database = "collection/effect.Persistence"

class Lookup extends Persistable.Class()("Lookup", { primaryKey: () => "a", success: Schema.Number }) {}

const delayed = Store.layerWithBackend(
  Effect.flatMap(LocalBackend.makeTemp(), (local) => DelayedBackend.make(local, { seed: 1 })),
  { name: "delayed" }
)

const layers = {
  "Effect's memory layer": Persistence.layerBackingMemory,
  "a store": Layer.provide(LmdbPersistence.layerBacking(), Store.layerTemp()),
  "a store, with durable writes": Layer.provide(LmdbPersistence.layerBacking({ durable: true }), Store.layerTemp()),
  "a shared store": Layer.provide(LmdbPersistence.layerBacking(), Store.layerTemp({ shared: true })),
  "a store whose reads wait": Layer.provide(LmdbPersistence.layerBacking(), delayed)
}

/** The stores of the context with these ids, empty. */
const stores = <const Ids extends ReadonlyArray<string>>(...ids: Ids) =>
  Effect.gen(function*() {
    const { make } = yield* Persistence.BackingPersistence
    return yield* Effect.forEach(ids, (id) => Effect.tap(make(id), ({ clear }) => clear))
  })

const only = Effect.map(stores("ids"), ([store]) => store ?? assert.fail("no store"))

for (const [name, layer] of Object.entries(layers)) {
  it.layer(layer)(`BackingPersistence in ${name}`, (it) => {
    it.effect("gives the last value that was set, and `undefined` where there is none", () =>
      Effect.gen(function*() {
        const store = yield* only
        assert.isUndefined(yield* store.get("a"))
        yield* store.set("a", { n: 1 }, undefined)
        yield* store.set("a", { n: [2, "x", null, { deep: true }] }, undefined)
        yield* store.set("", [], undefined)
        assert.deepStrictEqual(yield* store.get("a"), { n: [2, "x", null, { deep: true }] })
        assert.deepStrictEqual(yield* store.get(""), [])
      }))

    it.effect("gives many values in the order of their keys, which may be missing and come twice", () =>
      Effect.gen(function*() {
        const store = yield* only
        yield* store.setMany([["a", { n: 1 }, undefined], ["b", { n: 2 }, undefined], ["a", { n: 3 }, undefined]])
        assert.deepStrictEqual(yield* store.getMany(["b", "x", "a", "b"]), [{ n: 2 }, undefined, { n: 3 }, { n: 2 }])
      }))

    it.effect("removes a value", () =>
      Effect.gen(function*() {
        const store = yield* only
        yield* store.setMany([["a", { n: 1 }, undefined], ["b", { n: 2 }, undefined]])
        yield* store.remove("a")
        yield* store.remove("x")
        assert.deepStrictEqual(yield* store.getMany(["a", "b"]), [undefined, { n: 2 }])
      }))

    it.effect("ends a value when its time to live has passed, and not before", () =>
      Effect.gen(function*() {
        const store = yield* only
        yield* store.set("a", { n: 1 }, Duration.seconds(10))
        yield* store.setMany([["b", { n: 2 }, Duration.seconds(20)], ["c", { n: 3 }, undefined]])
        const all = Effect.all([store.getMany(["a", "b", "c"]), store.get("a"), store.get("b")])
        yield* TestClock.adjust("9999 millis")
        assert.deepStrictEqual(yield* all, [[{ n: 1 }, { n: 2 }, { n: 3 }], { n: 1 }, { n: 2 }])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* all, [[undefined, { n: 2 }, { n: 3 }], undefined, { n: 2 }])
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(yield* all, [[undefined, undefined, { n: 3 }], undefined, undefined])
        yield* TestClock.adjust("1000 days")
        assert.deepStrictEqual(yield* store.get("c"), { n: 3 })
      }))

    it.effect("goes by the last time to live of a key, also if that is none", () =>
      Effect.gen(function*() {
        const store = yield* only
        const minute = Duration.minutes(1)
        yield* store.setMany(Arr.map(["a", "b", "c", "d"] as const, (key) => [key, { key }, minute] as const))
        yield* store.set("a", { n: 1 }, undefined)
        yield* store.setMany([["b", { n: 2 }, undefined], ["c", { n: 3 }, Duration.infinity]])
        yield* TestClock.adjust("30 seconds")
        yield* store.set("d", { n: 4 }, minute)
        yield* TestClock.adjust("30 seconds")
        const all = store.getMany(["a", "b", "c", "d"])
        assert.deepStrictEqual(yield* all, [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }])
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(yield* all, [{ n: 1 }, { n: 2 }, { n: 3 }, undefined])
        yield* store.set("a", { n: 5 }, Duration.zero)
        yield* store.set("b", { n: 5 }, Duration.millis(-1))
        assert.deepStrictEqual(yield* all, [undefined, undefined, { n: 3 }, undefined])
      }))

    it.effect("keeps stores apart by their ids, and clears one of them only", () =>
      Effect.gen(function*() {
        const [a, ab, nothing, again] = yield* stores("a", "ab", "", "a")
        if (a === undefined || ab === undefined || nothing === undefined || again === undefined) return assert.fail()
        yield* a.set("b:k", { in: "a" }, undefined)
        yield* ab.set("k", { in: "ab" }, undefined)
        yield* nothing.set("abk", { in: "" }, undefined)
        assert.deepStrictEqual(yield* again.get("b:k"), { in: "a" })
        assert.isUndefined(yield* a.get("k"))
        assert.isUndefined(yield* ab.get("b:k"))
        yield* ab.remove("b:k")
        yield* a.clear
        assert.isUndefined(yield* again.get("b:k"))
        assert.deepStrictEqual(yield* ab.get("k"), { in: "ab" })
        yield* nothing.clear
        assert.deepStrictEqual(yield* ab.get("k"), { in: "ab" })
        assert.isUndefined(yield* nothing.get("abk"))
      }))
  })
}

// ---------------------------------------------------------------------------
// against Effect's memory layer
// ---------------------------------------------------------------------------

const long = "l".repeat(300)

const Id = Schema.Literals(["", "a", long])
const Key = Schema.Literals(["", "a", "b", "\uD83D", "\u{1F600}", "sha256:", `${long}x`, "k".repeat(3000)])
const Value = Schema.Union([Schema.Record(Schema.String, Schema.Json), Schema.Array(Schema.Json)])
const Ttl = Schema.UndefinedOr(Schema.Literals([-1, 0, 1, 1.5, 2, 5, "for ever"]))
const Entry = Schema.Struct({ key: Key, value: Value, ttl: Ttl })
type Entry = typeof Entry.Type

const Step = Schema.Union([
  Schema.TaggedStruct("Set", { id: Id, entry: Entry }),
  Schema.TaggedStruct("Set", { id: Id, entry: Entry }),
  Schema.TaggedStruct("SetMany", { id: Id, entries: Schema.NonEmptyArray(Entry) }),
  Schema.TaggedStruct("Remove", { id: Id, key: Key }),
  Schema.TaggedStruct("Clear", { id: Id }),
  Schema.TaggedStruct("Pass", { millis: Schema.Literals([1, 2, 3]) }),
  Schema.TaggedStruct("Flush", {})
])
type Step = typeof Step.Type

const argumentsOf = ({ key, ttl, value }: Entry) =>
  [key, value, ttl === undefined ? undefined : ttl === "for ever" ? Duration.infinity : Duration.millis(ttl)] as const

type Backing = Persistence.BackingPersistence["Service"]

const run = Effect.fnUntraced(function*(backing: Backing, step: Step) {
  if (step._tag === "Pass" || step._tag === "Flush") return
  const store = yield* backing.make(step.id)
  switch (step._tag) {
    case "Set":
      return yield* store.set(...argumentsOf(step.entry))
    case "SetMany":
      return yield* store.setMany(Arr.map(step.entries, argumentsOf))
    case "Remove":
      return yield* store.remove(step.key)
    case "Clear":
      return yield* store.clear
  }
})

/** All that the stores say. */
const stateOf = (backing: Backing) =>
  Effect.forEach(Id.literals, (id) =>
    Effect.flatMap(backing.make(id), (store) =>
      Effect.all([
        store.getMany([...Key.literals, "a", ""]),
        Effect.forEach(Key.literals, (key) => store.get(key))
      ])))

const memory = Effect.provide(Persistence.BackingPersistence, Persistence.layerBackingMemory, { local: true })

const agreesWithMemory = (layer: Layer.Layer<Store, unknown>, options?: LmdbPersistence.PersistenceOptions) =>
  Effect.fnUntraced(
    function*({ steps }: { readonly steps: ReadonlyArray<Step> }) {
      const { flush } = yield* Store
      const backing = yield* LmdbPersistence.makeBacking(options)
      const model = yield* memory
      for (const step of steps) {
        yield* run(backing, step)
        yield* run(model, step)
        if (step._tag === "Flush") yield* flush
        if (step._tag === "Pass") yield* TestClock.adjust(step.millis)
        assert.deepStrictEqual(yield* stateOf(backing), yield* stateOf(model), step._tag)
      }
    },
    (effect) => Effect.provide(Effect.scoped(effect), layer, { local: true })
  )

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 10, maxLength: 25 }) }
const arbitrary = { runs: 15, size: 20, seed: "persistence" }

describe("does what Effect's memory layer does, whatever the keys and the values", () => {
  it.effect.prop("in a store", workload, agreesWithMemory(Store.layerTemp({ flushInterval: "Infinity" })), {
    arbitrary
  })

  it.effect.prop("when reads wait", workload, agreesWithMemory(delayed), { arbitrary })

  it.effect.prop("with durable writes", workload, agreesWithMemory(Store.layerTemp(), { durable: true }), { arbitrary })
})

// ---------------------------------------------------------------------------
// what only this one does
// ---------------------------------------------------------------------------

const Users = Collection.make("users", { key: Schema.Int, value: Schema.String })

/** A store of `BackingPersistence` in the store of the context. */
const make = (options?: LmdbPersistence.PersistenceOptions) =>
  Effect.scoped(Effect.flatMap(LmdbPersistence.makeBacking(options), (backing) => backing.make("ids")))

/** The tag of the error of the store that has caused the failure of a call. */
const causeOf = <A>(call: Effect.Effect<A, Persistence.PersistenceError>) =>
  Effect.map(Effect.flip(call), (error) => {
    const { cause } = error
    assert.strictEqual(error._tag, "PersistenceError")
    assert.instanceOf(cause, Error)
    assert.include(error.message, cause.message)
    return "_tag" in cause ? cause._tag : undefined
  })

describe("BackingPersistence in a store", () => {
  it.effect("shares a transaction with collections: all is committed, or nothing", () =>
    inStore(Effect.gen(function*() {
      const { withTransaction } = yield* Store
      const users = yield* Users
      const store = yield* make()
      yield* store.set("old", { n: 0 }, undefined)
      const work = (id: number) =>
        Effect.gen(function*() {
          yield* users.insert(id, "Ada")
          yield* store.set("a", { id }, Duration.minutes(1))
          yield* store.setMany([["b", { id }, undefined]])
          yield* store.remove("old")
        })
      yield* Effect.flip(withTransaction(Effect.andThen(work(1), Effect.fail("no"))))
      assert.deepStrictEqual(yield* store.getMany(["a", "b", "old"]), [undefined, undefined, { n: 0 }])
      yield* withTransaction(work(2))
      assert.deepStrictEqual(yield* store.getMany(["a", "b", "old"]), [{ id: 2 }, { id: 2 }, undefined])
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(yield* store.get("a"))
      assert.isTrue(yield* users.has(2))
    })))

  it.effect("buffers single writes, and has them on disk with `durable`", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const pending = Effect.map(store.stats, (stats) => stats.pending)
      const buffered = yield* Effect.provideService(make(), Store, store)
      yield* buffered.set("a", { n: 1 }, undefined)
      assert.strictEqual(yield* pending, 1)
      yield* store.flush
      const durable = yield* Effect.provideService(make({ durable: true }), Store, store)
      yield* durable.set("a", { n: 2 }, Duration.minutes(1))
      yield* durable.remove("b")
      assert.strictEqual(yield* pending, 0)
      yield* faulty.failAlways("commit", faults.diskFull)
      assert.strictEqual(yield* causeOf(durable.set("a", { n: 3 }, undefined)), "EngineFailure")
      assert.strictEqual(yield* causeOf(durable.remove("a")), "EngineFailure")
      assert.deepStrictEqual(yield* durable.get("a"), { n: 2 })
      yield* faulty.heal
    }))

  it.effect("sets many values or none, and clears all of a store or nothing", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const ids = yield* Effect.provideService(make(), Store, store)
      yield* ids.setMany([["a", { n: 1 }, undefined], ["b", { n: 1 }, undefined]])
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* faulty.failAlways("commit", faults.diskFull)
      const failed = ids.setMany([["b", { n: 2 }, undefined], ["c", { n: 2 }, undefined]])
      assert.strictEqual(yield* causeOf(failed), "EngineFailure")
      assert.strictEqual(yield* causeOf(ids.clear), "EngineFailure")
      assert.deepStrictEqual(yield* ids.getMany(["a", "b", "c"]), [{ n: 1 }, { n: 1 }, undefined])
      yield* faulty.heal
      // A function is not a JSON value
      const refused = ids.setMany([["a", { n: 3 }, undefined], ["c", { f: () => 1 }, undefined]])
      assert.strictEqual(yield* causeOf(refused), "ValueEncoding")
      assert.deepStrictEqual(yield* ids.getMany(["a", "c"]), [{ n: 1 }, undefined])
    }))

  it.effect("begins no spans, and leaves those of its caller", () =>
    withSpans((spans) =>
      inStore(Effect.gen(function*() {
        const ids = yield* make({ durable: true })
        const opened = spans.length
        yield* Effect.gen(function*() {
          yield* ids.set("a", {}, undefined)
          yield* ids.setMany([["b", {}, undefined]])
          yield* ids.getMany(["a", "b"])
          yield* ids.clear
        }).pipe(Effect.withSpan("caller"))
        assert.deepStrictEqual(spans.slice(opened).map(({ name }) => name).filter((name) => name !== "Store.commit"), [
          "caller"
        ])
      }))
    ))
})

describe("the errors of BackingPersistence in a store", () => {
  it.effect("are its own, with the error of the store as the cause: the store is closed", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const ids = yield* Effect.provideService(make(), Store, store)
      yield* store.close()
      const calls: ReadonlyArray<Effect.Effect<unknown, Persistence.PersistenceError>> = [
        ids.get("a"),
        ids.getMany(["a"]),
        ids.set("a", {}, undefined),
        ids.setMany([["a", {}, undefined]]),
        ids.remove("a"),
        ids.clear
      ]
      for (const call of calls) assert.strictEqual(yield* causeOf(call), "Closed")
    }))

  it.effect("come from a record that is damaged: `get` fails, and `getMany` gives `undefined` for it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(
        path,
        Effect.flatMap(make(), (ids) => ids.setMany([["a", { n: 1 }, undefined], ["b", { n: 2 }, undefined]]))
      )
      const [[stored] = []] = yield* recordsOf(path, database)
      yield* tamper(path, [[database, stored ?? assert.fail("no record"), Uint8Array.of(0xc1)]])
      yield* at(
        path,
        Effect.gen(function*() {
          const ids = yield* make()
          assert.strictEqual(yield* causeOf(ids.get("a")), "ValueDecoding")
          assert.deepStrictEqual(yield* ids.getMany(["b", "a", "b"]), [{ n: 2 }, undefined, { n: 2 }])
          yield* ids.set("a", { n: 3 }, undefined)
          assert.deepStrictEqual(yield* ids.get("a"), { n: 3 })
        })
      )
    }))

  it.effect("do not come from a damaged entry of a cache: it is looked up again, and the log tells of it once", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        let lookups = 0
        const look = Effect.gen(function*() {
          const cache = yield* PersistedCache.make<Lookup>(() => Effect.sync(() => ++lookups), {
            storeId: "numbers",
            timeToLive: () => "1 hour"
          })
          return yield* cache.get(new Lookup())
        }).pipe(
          Effect.scoped,
          Effect.provide(Layer.fresh(LmdbPersistence.layer().pipe(Layer.provide(Store.layer({ path })))))
        )
        assert.deepStrictEqual(yield* Effect.replicateEffect(look, 2), [1, 1])
        const [[stored] = []] = yield* recordsOf(path, database)
        yield* tamper(path, [[database, stored ?? assert.fail("no record"), Uint8Array.of(0xc1)]])
        assert.deepStrictEqual(yield* Effect.replicateEffect(look, 2), [2, 2])
        const told = log.filter(({ text }) => text.includes("A persisted value is damaged and is taken for missing"))
        assert.strictEqual(told.length, 1)
      })
    ))

  it.effect("come from a store that is read-only: reads work, and writes do not", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(make(), (ids) => ids.set("a", { n: 1 }, undefined)))
      yield* at(
        path,
        Effect.gen(function*() {
          const ids = yield* make()
          assert.deepStrictEqual(yield* ids.get("a"), { n: 1 })
          assert.strictEqual(yield* causeOf(ids.set("a", {}, undefined)), "ReadOnly")
          assert.strictEqual(yield* causeOf(ids.clear), "ReadOnly")
        }),
        { readOnly: true }
      )
    }))

  it.effect("come from a value that does not fit into the file", () =>
    inStore(
      Effect.gen(function*() {
        const ids = yield* make()
        assert.strictEqual(yield* causeOf(ids.setMany([["a", { text: "x".repeat(4_000_000) }, undefined]])), "MapFull")
        yield* ids.setMany([["a", { n: 1 }, undefined]])
      }),
      { maxMapSize: 1_048_576 }
    ))
})

describe("entries that have expired", () => {
  const minute = Duration.minutes(1)

  it.effect("are deleted in the background, however many there are, and the others stay", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const ids = yield* make()
      for (let key = 0; key < 1001; key++) yield* ids.set(`${key}`, { key }, minute)
      yield* ids.setMany([["later", {}, Duration.minutes(2)], ["stays", {}, undefined]])
      yield* store.flush
      yield* TestClock.adjust(minute)
      yield* swept(store, 1001)
      assert.strictEqual(yield* storedIn(store, database), 2)
      assert.strictEqual(yield* entriesOf(store), 1)
      assert.deepStrictEqual(yield* ids.getMany(["later", "stays"]), [{}, {}])
    })))

  it.effect("are absent before they are deleted", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* stopSweeper(store)
      const ids = yield* make()
      yield* ids.set("a", { n: 1 }, minute)
      yield* store.flush
      yield* TestClock.adjust(minute)
      assert.strictEqual(yield* storedIn(store, database), 1)
      assert.isUndefined(yield* ids.get("a"))
      assert.deepStrictEqual(yield* ids.getMany(["a"]), [undefined])
    })))

  it.effect("are deleted when the store is opened again, also if no program opens the port", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(make(), (ids) => ids.setMany([["a", {}, minute], ["b", {}, undefined]])))
      yield* TestClock.adjust(minute)
      yield* at(path, Effect.flatMap(Store, (store) => swept(store, 1)))
      assert.lengthOf(yield* recordsOf(path, database), 1)
    }))
})

describe("an id that is not text", () => {
  it.effect("is an error of the call, and clears nothing", () =>
    inStore(Effect.gen(function*() {
      const given: { readonly [variable: string]: string } = {}
      // @ts-expect-error a router types it as text
      const id: string = given["tenant"]
      const ids = yield* make()
      yield* ids.set("a", { n: 1 }, undefined)
      const backing = yield* LmdbPersistence.makeBacking()
      const nameless = yield* backing.make(id)
      const calls = [ids.get(id), ids.set(id, {}, undefined), ids.remove(id), nameless.get("a"), nameless.clear]
      for (const call of calls) {
        assert.deepInclude((yield* Effect.flip(Effect.asVoid(call))).cause, { _tag: "KeyEncoding" })
      }
      assert.deepStrictEqual(yield* ids.get("a"), { n: 1 })
    })))
})
