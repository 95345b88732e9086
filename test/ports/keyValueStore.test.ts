/**
 * Effect's `KeyValueStore` in a store: what every implementation of it does, and what only this one does.
 *
 * The first part has the cases of Effect's own suite (of 4.0.0-rc.111: `KeyValueStoreTest.ts`, `KeyValueStore.test.ts`) in other words, and
 * runs them on Effect's memory layer too. The case `setMany` of that suite is about `Persistence.layerBackingKvs` and is
 * with the tests of `Persistence`. Cases about the file system and Web Storage are about those implementations.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"
import * as LmdbKeyValueStore from "../../src/KeyValueStore.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import { faults } from "../../src/testing/FaultyEngine.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { at, inStore, recordsOf, tamper } from "../support/fixtures/collections.ts"
import { faultyStore, start, temporaryFolder, withLog } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"

const delayed = Store.layerWithBackend(
  Effect.flatMap(LocalBackend.makeTemp(), (local) => DelayedBackend.make(local, { seed: 1 })),
  { name: "delayed" }
)

const layers = {
  "Effect's memory layer": KeyValueStore.layerMemory,
  "a store": Layer.provide(LmdbKeyValueStore.layer(), Store.layerTemp()),
  "a store, with durable writes": Layer.provide(LmdbKeyValueStore.layer({ durable: true }), Store.layerTemp()),
  "a shared store": Layer.provide(LmdbKeyValueStore.layer(), Store.layerTemp({ shared: true })),
  "a store whose reads wait": Layer.provide(LmdbKeyValueStore.layer(), delayed)
}

/** The key-value store of the context, empty. */
const empty = Effect.gen(function*() {
  const kv = yield* KeyValueStore.KeyValueStore
  yield* kv.clear
  return kv
})

const utf8 = (text: string) => new TextEncoder().encode(text)

class Person extends Schema.Class<Person>("Person")({ name: Schema.String, born: Schema.Date }) {}

for (const [name, layer] of Object.entries(layers)) {
  it.layer(layer)(`KeyValueStore in ${name}`, (it) => {
    it.effect("keeps the last value of each key", () =>
      Effect.gen(function*() {
        const kv = yield* empty
        yield* kv.set("a/b", "1")
        yield* kv.set("", "2")
        yield* kv.set("a/b", "3")
        assert.strictEqual(yield* kv.get("a/b"), "3")
        assert.strictEqual(yield* kv.get(""), "2")
        assert.strictEqual(yield* kv.size, 2)
        assert.sameMembers([...(yield* kv.keys)], ["a/b", ""])
      }))

    it.effect("gives `undefined` for a key without a value", () =>
      Effect.gen(function*() {
        const kv = yield* empty
        assert.isUndefined(yield* kv.get("a"))
        assert.isUndefined(yield* kv.getUint8Array("a"))
        assert.isFalse(yield* kv.has("a"))
        assert.isTrue(yield* kv.isEmpty)
        yield* kv.remove("a")
        assert.isUndefined(yield* kv.modify("a", (value) => `${value}!`))
        assert.isUndefined(yield* kv.modifyUint8Array("a", (value) => value))
        assert.strictEqual(yield* kv.size, 0)
      }))

    it.effect("gives bytes as base64 to those who want text, and text as UTF-8 to those who want bytes", () =>
      Effect.gen(function*() {
        const kv = yield* empty
        const bytes = Uint8Array.of(0, 255, 1, 128)
        yield* kv.set("bytes", bytes)
        yield* kv.set("text", "grüß 👋")
        yield* kv.set("base64", "AP8=")
        assert.deepStrictEqual(yield* kv.getUint8Array("bytes"), bytes)
        assert.strictEqual(yield* kv.get("bytes"), Base64.encode(bytes))
        assert.strictEqual(yield* kv.get("text"), "grüß 👋")
        assert.deepStrictEqual(yield* kv.getUint8Array("text"), utf8("grüß 👋"))
        assert.strictEqual(yield* kv.get("base64"), "AP8=")
        assert.deepStrictEqual(yield* kv.getUint8Array("base64"), utf8("AP8="))
      }))

    it.effect("removes one key, all keys, and those that begin with a text", () =>
      Effect.gen(function*() {
        const kv = yield* empty
        for (const key of ["a", "ab", "abc", "b"]) yield* kv.set(key, key)
        yield* kv.remove("a")
        assert.sameMembers([...(yield* kv.keys)], ["ab", "abc", "b"])
        yield* kv.clearPrefix("ab")
        assert.deepStrictEqual(yield* kv.keys, ["b"])
        yield* kv.clearPrefix("c")
        assert.isFalse(yield* kv.isEmpty)
        yield* kv.clearPrefix("")
        assert.isTrue(yield* kv.isEmpty)
        yield* kv.set("a", "1")
        yield* kv.clear
        assert.strictEqual(yield* kv.size, 0)
      }))

    it.effect("modifies values, also as what they are not", () =>
      Effect.gen(function*() {
        const kv = yield* empty
        yield* kv.set("text", "a")
        yield* kv.set("bytes", Uint8Array.of(1))
        assert.strictEqual(yield* kv.modify("text", (text) => `${text}b`), "ab")
        assert.deepStrictEqual(yield* kv.modifyUint8Array("bytes", () => Uint8Array.of(2)), Uint8Array.of(2))
        assert.deepStrictEqual(yield* kv.getUint8Array("bytes"), Uint8Array.of(2))
        assert.strictEqual(yield* kv.modify("bytes", (base64) => `${base64}!`), "Ag==!")
        assert.deepStrictEqual(yield* kv.getUint8Array("bytes"), utf8("Ag==!"))
        yield* kv.modifyUint8Array("text", ([first = 0]) => Uint8Array.of(first))
        assert.strictEqual(yield* kv.get("text"), "YQ==")
      }))

    it.effect("dies of a function that throws, and changes nothing", () =>
      Effect.gen(function*() {
        const kv = yield* empty
        yield* kv.set("a", "1")
        const failed = yield* Effect.exit(kv.modify("a", () => {
          throw new Error("boom")
        }))
        assert.isTrue(Exit.isFailure(failed) && Cause.hasDies(failed.cause))
        assert.strictEqual(yield* kv.get("a"), "1")
      }))

    it.effect("has views of the keys that begin with a text", () =>
      Effect.gen(function*() {
        const kv = yield* empty
        const view = KeyValueStore.prefix(kv, "view/")
        yield* kv.set("other", "1")
        yield* view.set("a", "2")
        yield* view.modify("a", (value) => `${value}!`)
        assert.strictEqual(yield* kv.get("view/a"), "2!")
        assert.deepStrictEqual(yield* view.keys, ["a"])
        assert.strictEqual(yield* view.size, 1)
        yield* view.clear
        assert.isTrue(yield* view.isEmpty)
        assert.deepStrictEqual(yield* kv.keys, ["other"])
      }))

    it.effect("keeps values of a schema", () =>
      Effect.gen(function*() {
        const people = KeyValueStore.toSchemaStore(yield* empty, Person)
        const ada = new Person({ name: "Ada", born: new Date("1815-12-10") })
        yield* people.set("ada", ada)
        assert.deepStrictEqual(yield* people.get("ada"), Option.some(ada))
        const renamed = new Person({ name: "Lady Lovelace", born: ada.born })
        yield* people.modify("ada", () => renamed)
        assert.deepStrictEqual(yield* people.get("ada"), Option.some(renamed))
        assert.deepStrictEqual(yield* people.get("alan"), Option.none())
      }))
  })
}

// ---------------------------------------------------------------------------
// against Effect's memory layer
// ---------------------------------------------------------------------------

const long = "l".repeat(256)

/** Keys that are the beginning of others, too long, with half of a surrogate pair, or like the hash of another one. */
const Key = Schema.Literals([
  "",
  "a",
  "a\u0000",
  "ab",
  "\u{1F600}",
  "\uD83D",
  "a\u{1F600}b",
  "a\uD83D",
  "\uDE00",
  "sha256:",
  "sha",
  long,
  `${long}x`,
  `${long}xy`,
  `${long}\uD83D`,
  "k".repeat(3000)
])

const Value = Schema.Union([Schema.Literals(["", "text", "AP8=", "\uD800", "\u{1F600}"]), Schema.Uint8Array])

const Step = Schema.Union([
  Schema.TaggedStruct("Set", { key: Key, value: Value }),
  Schema.TaggedStruct("Set", { key: Key, value: Value }),
  Schema.TaggedStruct("Set", { key: Key, value: Value }),
  Schema.TaggedStruct("Remove", { key: Key }),
  Schema.TaggedStruct("Modify", { key: Key, suffix: Schema.Literals(["!", ""]) }),
  Schema.TaggedStruct("ModifyBytes", { key: Key }),
  Schema.TaggedStruct("ClearPrefix", { key: Key }),
  Schema.TaggedStruct("Clear", {}),
  Schema.TaggedStruct("Flush", {})
])
type Step = typeof Step.Type

const run = (kv: KeyValueStore.KeyValueStore, step: Step): Effect.Effect<unknown, unknown> => {
  switch (step._tag) {
    case "Set":
      return Effect.asVoid(kv.set(step.key, step.value))
    case "Remove":
      return Effect.asVoid(kv.remove(step.key))
    case "Modify":
      return kv.modify(step.key, (value) => value + step.suffix)
    case "ModifyBytes":
      return kv.modifyUint8Array(step.key, (bytes) => bytes.toReversed())
    case "ClearPrefix":
      return kv.clearPrefix(step.key)
    case "Clear":
      return kv.clear
    case "Flush":
      return Effect.void
  }
}

/** All that a key-value store says. */
const stateOf = Effect.fnUntraced(function*(kv: KeyValueStore.KeyValueStore) {
  return {
    keys: (yield* kv.keys).toSorted(),
    size: yield* kv.size,
    isEmpty: yield* kv.isEmpty,
    values: yield* Effect.forEach(Key.literals, (key) => Effect.all([kv.has(key), kv.get(key), kv.getUint8Array(key)]))
  }
})

const memory = Effect.provide(KeyValueStore.KeyValueStore, KeyValueStore.layerMemory, { local: true })

const agreesWithMemory = (store: Layer.Layer<Store, unknown>, options?: LmdbKeyValueStore.KeyValueStoreOptions) =>
  Effect.fnUntraced(
    function*({ steps }: { readonly steps: ReadonlyArray<Step> }) {
      const { flush } = yield* Store
      const kv = yield* LmdbKeyValueStore.make(options)
      const neighbour = yield* LmdbKeyValueStore.make({ name: "neighbour" })
      const model = yield* memory
      for (const key of Key.literals) yield* neighbour.set(key, "mine")
      for (const step of steps) {
        assert.deepStrictEqual(yield* run(kv, step), yield* run(model, step), step._tag)
        if (step._tag === "Flush") yield* flush
        assert.deepStrictEqual(yield* stateOf(kv), yield* stateOf(model), step._tag)
      }
      assert.strictEqual(yield* neighbour.size, Key.literals.length)
    },
    (effect) => Effect.provide(effect, store, { local: true })
  )

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 10, maxLength: 25 }) }
const arbitrary = { runs: 15, size: 30, seed: "key-value store" }

describe("does what Effect's memory layer does, whatever the keys", () => {
  it.effect.prop("in a store", workload, agreesWithMemory(Store.layerTemp({ flushInterval: "Infinity" })), {
    arbitrary
  })

  it.effect.prop("when reads wait", workload, agreesWithMemory(delayed), { arbitrary })

  it.effect.prop("with durable writes", workload, agreesWithMemory(Store.layerTemp(), { durable: true }), { arbitrary })
})

describe("the keys that begin with a text", () => {
  const left = Effect.fnUntraced(
    function*(kv: KeyValueStore.KeyValueStore, keys: ReadonlyArray<string>, prefix: string) {
      yield* kv.clear
      for (const key of keys) yield* kv.set(key, "1")
      yield* kv.clearPrefix(prefix)
      return (yield* kv.keys).toSorted()
    }
  )

  it.effect("are found where the text ends in the middle of a character, or is too long for a key", () =>
    inStore(Effect.gen(function*() {
      const kv = yield* LmdbKeyValueStore.make()
      const faces = ["a\u{1F600}", "a\uD83D", "a\u{1F600}b", "a", "b"]
      assert.deepStrictEqual(yield* left(kv, faces, "a\uD83D"), ["a", "b"])
      assert.deepStrictEqual(yield* left(kv, faces, "\uD83D"), faces.toSorted())
      const sized = [long, `${long}x`, `${long}xy`, `${long}z`]
      assert.deepStrictEqual(yield* left(kv, sized, `${long}x`), [long, `${long}z`])
      assert.deepStrictEqual(yield* left(kv, [...sized, "sha256:1"], "l"), ["sha256:1"])
      assert.deepStrictEqual(yield* left(kv, [...sized, "sha256:1"], "sha"), sized)
    })))
})

// ---------------------------------------------------------------------------
// what only this one does
// ---------------------------------------------------------------------------

const Users = Collection.make("users", { key: Schema.Int, value: Schema.String })

/** The error of a call that fails, and the tag of the error of the store that has caused it. */
const causeOf = <A>(call: Effect.Effect<A, KeyValueStore.KeyValueStoreError>) =>
  Effect.map(Effect.flip(call), (error) => {
    const { cause } = error
    assert.instanceOf(cause, Error)
    assert.include(error.message, cause.message)
    return "_tag" in cause ? cause._tag : undefined
  })

describe("a KeyValueStore in a store", () => {
  it.effect("shares a transaction with collections: all is committed, or nothing", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const users = yield* Users
      const kv = yield* LmdbKeyValueStore.make()
      yield* kv.set("old/1", "a")
      const signUp = (id: number) =>
        Effect.gen(function*() {
          yield* users.insert(id, "Ada")
          yield* kv.set("newest", `${id}`)
          yield* kv.modify("newest", (text) => `${text}!`)
          yield* kv.clearPrefix("old/")
          assert.deepStrictEqual(yield* kv.keys, ["newest"])
        })
      yield* Effect.flip(store.withTransaction(Effect.andThen(signUp(1), Effect.fail("no"))))
      assert.deepStrictEqual(yield* kv.keys, ["old/1"])
      yield* store.withTransaction(signUp(2))
      assert.strictEqual(yield* kv.get("newest"), "2!")
      assert.isTrue(yield* users.has(2))
    })))

  it.effect("modifies a value in one step: fibers that do it at the same time lose nothing", () =>
    Effect.gen(function*() {
      const kv = yield* LmdbKeyValueStore.make()
      yield* kv.set("n", "0")
      const add = kv.modify("n", (text) => `${Number(text) + 1}`)
      yield* Effect.replicateEffect(add, 30, { concurrency: "unbounded", discard: true })
      assert.strictEqual(yield* kv.get("n"), "30")
    }).pipe(Effect.provide(delayed)))

  it.effect("keeps several of them apart by their names", () =>
    inStore(Effect.gen(function*() {
      const [a, b, again] = yield* Effect.all([
        LmdbKeyValueStore.make({ name: "a" }),
        LmdbKeyValueStore.make({ name: "ab" }),
        LmdbKeyValueStore.make({ name: "a" })
      ])
      yield* a.set("key", "1")
      yield* b.set("key", "2")
      assert.strictEqual(yield* again.get("key"), "1")
      yield* a.clear
      assert.deepStrictEqual([yield* again.size, yield* b.size], [0, 1])
      yield* b.clearPrefix("k")
      assert.isTrue(yield* b.isEmpty)
    })))

  it.effect("keeps everything when the store is closed and opened again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const use = <A>(f: (kv: KeyValueStore.KeyValueStore) => Effect.Effect<A, KeyValueStore.KeyValueStoreError>) =>
        at(path, Effect.flatMap(LmdbKeyValueStore.make(), f))
      yield* use((kv) => Effect.andThen(kv.set("text", "1"), kv.set(`${long}x`, Uint8Array.of(1))))
      assert.sameMembers([...(yield* use((kv) => kv.keys))], ["text", `${long}x`])
      assert.deepStrictEqual(yield* use((kv) => kv.getUint8Array(`${long}x`)), Uint8Array.of(1))
    }))

  it.effect("buffers writes, and has them on disk with `durable`", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const make = (options: LmdbKeyValueStore.KeyValueStoreOptions) =>
        Effect.provideService(LmdbKeyValueStore.make(options), Store, store)
      const pending = Effect.map(store.stats, (stats) => stats.pending)
      const buffered = yield* make({ durable: false })
      yield* buffered.set("a", "1")
      assert.strictEqual(yield* pending, 1)
      yield* store.flush
      const durable = yield* make({ durable: true })
      yield* durable.set("a", "2")
      yield* durable.modify("a", (text) => text)
      yield* durable.remove("b")
      assert.strictEqual(yield* pending, 0)
      yield* faulty.failAlways("commit", faults.diskFull)
      assert.strictEqual(yield* causeOf(durable.set("a", "3")), "EngineFailure")
      assert.strictEqual(yield* causeOf(durable.remove("a")), "EngineFailure")
      assert.strictEqual(yield* causeOf(durable.modify("a", () => "4")), "EngineFailure")
      assert.strictEqual(yield* durable.get("a"), "2")
      yield* faulty.heal
    }))

  it.effect("clears all of a prefix or nothing, and has it on disk", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const kv = yield* Effect.provideService(LmdbKeyValueStore.make(), Store, store)
      const keys = ["a/1", "a/2", `a/${long}`, "b"]
      for (const key of keys) yield* kv.set(key, key)
      yield* store.flush
      yield* faulty.failAlways("commit", faults.diskFull)
      assert.strictEqual(yield* causeOf(kv.clearPrefix("a/")), "EngineFailure")
      assert.strictEqual(yield* causeOf(kv.clear), "EngineFailure")
      assert.sameMembers([...(yield* kv.keys)], keys)
      yield* faulty.heal
      yield* kv.clearPrefix("a/")
      assert.deepStrictEqual(yield* kv.keys, ["b"])
      assert.strictEqual((yield* store.stats).pending, 0)
    }))

  it.effect("begins no spans, and leaves those of its caller", () =>
    withSpans((spans) =>
      inStore(Effect.gen(function*() {
        const kv = yield* LmdbKeyValueStore.make({ durable: true })
        const opened = spans.length
        yield* Effect.gen(function*() {
          yield* kv.set("a", "1")
          yield* kv.modify("a", (text) => text)
          yield* kv.keys
          yield* kv.clearPrefix("a")
          yield* kv.clear
        }).pipe(Effect.withSpan("caller"))
        assert.deepStrictEqual(spans.slice(opened).map(({ name }) => name).filter((name) => name !== "Store.commit"), [
          "caller"
        ])
      }))
    ))
})

describe("several processes with a KeyValueStore in a shared store", () => {
  it.live("lose nothing when they modify the same value", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true })
      const kv = yield* Effect.provideService(LmdbKeyValueStore.make(), Store, store)
      yield* kv.set("n", "0")
      yield* store.flush
      const program = new URL("../programs/keyValueCounter.ts", import.meta.url).pathname
      const counter = Effect.callback<string>((resume) => {
        execFile(process.execPath, [program, path, "50"], (error, _, stderr) =>
          resume(Effect.succeed(error === null ? stderr : error.message)))
      })
      const counters = yield* start(Effect.all([counter, counter], { concurrency: 2 }))
      yield* Effect.replicateEffect(
        kv.modify("n", (text) =>
          `${Number(text) + 1}`),
        50,
        { discard: true }
      )
      assert.deepStrictEqual(yield* Fiber.join(counters), ["", ""])
      assert.strictEqual(yield* kv.get("n"), "150")
    }), 180_000)
})

describe("the errors of a KeyValueStore in a store", () => {
  it.effect("are its own, with the error of the store as the cause: the store is closed", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const kv = yield* Effect.provideService(LmdbKeyValueStore.make(), Store, store)
      yield* store.close()
      const error = yield* Effect.flip(kv.set("a", "1"))
      assert.strictEqual(error._tag, "KeyValueStoreError")
      assert.strictEqual(error.method, "set")
      assert.strictEqual(error.key, "a")
      const calls: Record<string, Effect.Effect<unknown, KeyValueStore.KeyValueStoreError>> = {
        get: kv.get("a"),
        getUint8Array: kv.getUint8Array("a"),
        remove: kv.remove("a"),
        modify: kv.modify("a", (text) => text),
        modifyUint8Array: kv.modifyUint8Array("a", (bytes) => bytes),
        has: kv.has("a"),
        size: kv.size,
        isEmpty: kv.isEmpty,
        keys: kv.keys,
        clear: kv.clear,
        clearPrefix: kv.clearPrefix("a")
      }
      for (const [method, call] of Object.entries(calls)) {
        assert.strictEqual(yield* causeOf(call), "Closed", method)
        assert.strictEqual((yield* Effect.flip(call)).method, method)
      }
    }))

  it.effect("come from a record that is damaged, until it is set again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const database = "collection/effect.KeyValueStore"
      yield* at(path, Effect.flatMap(LmdbKeyValueStore.make(), (kv) => kv.set("a", "1")))
      const [[stored] = []] = yield* recordsOf(path, database)
      yield* tamper(path, [[database, stored ?? assert.fail("no record"), Uint8Array.of(0xc1)]])
      yield* at(
        path,
        Effect.gen(function*() {
          const kv = yield* LmdbKeyValueStore.make()
          assert.strictEqual(yield* causeOf(kv.get("a")), "ValueDecoding")
          assert.deepStrictEqual(yield* kv.keys, ["a"])
          assert.isTrue(yield* kv.has("a"))
          assert.strictEqual(yield* causeOf(kv.modify("a", (text) => `${text}!`)), "ValueDecoding")
          yield* kv.set("a", "2")
          assert.strictEqual(yield* kv.get("a"), "2")
        })
      )
    }))

  it.effect("do not come from a damaged record with a long key for the others: it is not listed", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const database = "collection/effect.KeyValueStore"
        const longer = "a".repeat(300)
        yield* at(
          path,
          Effect.flatMap(
            LmdbKeyValueStore.make(),
            (kv) => Effect.forEach(["a", "b", longer], (key) => kv.set(key, "1"))
          )
        )
        const stored = (yield* recordsOf(path, database)).find(([key]) => key.includes("sha256:"))
        yield* tamper(path, [[database, stored?.[0] ?? assert.fail("no record"), Uint8Array.of(0xc1)]])
        yield* at(
          path,
          Effect.gen(function*() {
            const kv = yield* LmdbKeyValueStore.make()
            assert.deepStrictEqual(yield* kv.keys, ["a", "b"])
            yield* kv.clearPrefix("a")
            assert.deepStrictEqual(yield* kv.keys, ["b"])
            assert.strictEqual(yield* kv.size, 2)
            const told = log.filter(({ text }) => text.includes("A long key of a key-value store is damaged"))
            assert.strictEqual(told.length, 1)
            yield* kv.set(longer, "2")
            assert.deepStrictEqual(yield* kv.keys, ["b", longer])
          })
        )
      })
    ))

  it.effect("come from a store that is read-only: reads work, and writes do not", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.void)
      const missing = Effect.flatMap(LmdbKeyValueStore.make(), (kv) => kv.isEmpty)
      assert.isTrue(yield* at(path, missing, { readOnly: true }))
      yield* at(path, Effect.flatMap(LmdbKeyValueStore.make(), (kv) => kv.set("a", "1")))
      yield* at(
        path,
        Effect.gen(function*() {
          const kv = yield* LmdbKeyValueStore.make()
          assert.strictEqual(yield* kv.get("a"), "1")
          assert.deepStrictEqual(yield* kv.keys, ["a"])
          assert.strictEqual(yield* causeOf(kv.set("a", "2")), "ReadOnly")
          assert.strictEqual(yield* causeOf(kv.clear), "ReadOnly")
        }),
        { readOnly: true }
      )
    }))

  it.effect("come from a value that does not fit into the file", () =>
    inStore(
      Effect.gen(function*() {
        const kv = yield* LmdbKeyValueStore.make({ durable: true })
        assert.strictEqual(yield* causeOf(kv.set("a", "x".repeat(4_000_000))), "MapFull")
        yield* kv.set("a", "1")
      }),
      { maxMapSize: 1_048_576 }
    ))
})

describe("a key or a prefix that is not text", () => {
  it.effect("is an error of the call, and clears nothing", () =>
    Effect.gen(function*() {
      const kv = yield* KeyValueStore.KeyValueStore
      yield* kv.set("a", "1")
      const given: { readonly [parameter: string]: string } = {}
      // @ts-expect-error a router types it as text
      const key: string = given["tenant"]
      const calls = [
        kv.get(key),
        kv.set(key, "2"),
        kv.remove(key),
        kv.has(key),
        kv.modify(key, (value) => value),
        kv.clearPrefix(key),
        KeyValueStore.prefix(kv, key).clear
      ]
      for (const call of calls) {
        const error = yield* Effect.flip(call)
        assert.strictEqual(error._tag, "KeyValueStoreError")
        assert.deepInclude(error.cause, { _tag: "KeyEncoding" })
      }
      assert.deepStrictEqual(yield* kv.keys, ["a"])
    }).pipe(Effect.provide(Layer.provide(LmdbKeyValueStore.layer(), Store.layerTemp()))))
})
