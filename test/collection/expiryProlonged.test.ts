/** Records without index entries that are written again and live longer: their entry in `expiry` is earlier than their time. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Collection, Store, type StoreOptions } from "../../src/index.ts"
import * as DelayedBackend from "../../src/testing/DelayedBackend.ts"
import * as LocalBackend from "../../src/testing/LocalBackend.ts"
import { entriesOf, stopSweeper, swept } from "../support/expiring.ts"
import { temporaryFolder } from "../support/harness.ts"

const Visit = Schema.Struct({ number: Schema.Int, seconds: Schema.NullOr(Schema.Int) })

const expires = ({ seconds }: typeof Visit.Type) => seconds === null ? undefined : Duration.seconds(seconds)

const Visits = Collection.make("visits", { key: Schema.Int, value: Visit, expires })

type Visits = Effect.Success<typeof Visits>

/** Reads everything in each of the ways. */
const assertStored = Effect.fnUntraced(function*(visits: Visits, expected: ReadonlyMap<number, number>) {
  const keys = [...expected.keys()].toSorted((a, b) => a - b)
  const entries = yield* Stream.runCollect(visits.entries())
  assert.deepStrictEqual(entries.map(([key, { number }]) => [key, number]), keys.map((key) => [key, expected.get(key)]))
  assert.deepStrictEqual(yield* Stream.runCollect(visits.keys()), keys)
  assert.strictEqual(yield* visits.size, keys.length)
  assert.strictEqual(yield* visits.count({ gte: 2 }), keys.filter((key) => key >= 2).length)
  for (const key of [1, 2, 3]) {
    assert.strictEqual(yield* visits.has(key), expected.has(key))
    assert.strictEqual(Option.getOrUndefined(yield* visits.get(key))?.number, expected.get(key))
  }
})

describe("a record that is written again and lives longer", () => {
  it.effect("has one entry in expiry, however often it is written", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const visits = yield* Visits
      for (let number = 1; number <= 20; number++) {
        yield* visits.put(1, { number, seconds: 60 })
        yield* visits.update(1, Option.map((visit) => ({ ...visit, number })))
        yield* store.put("key", number, { ttl: "1 minute" })
        if (number % 5 === 0) yield* store.flush
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(yield* entriesOf(store), 2)
    }).pipe(Effect.provide(Store.layerTemp({ flushInterval: "Infinity" }))))

  it.effect("is hidden from its last time on, also after reads have looked at its earlier entry", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const visits = yield* Visits
      yield* stopSweeper(store)
      yield* visits.put(1, { number: 1, seconds: 60 })
      yield* visits.put(2, { number: 2, seconds: 60 })
      yield* TestClock.adjust("30 seconds")
      yield* visits.put(1, { number: 3, seconds: 60 })
      yield* store.flush
      yield* TestClock.adjust("30 seconds")
      yield* assertStored(visits, new Map([[1, 3]]))
      yield* TestClock.adjust("29999 millis")
      yield* assertStored(visits, new Map([[1, 3]]))
      yield* TestClock.adjust("1 millis")
      yield* assertStored(visits, new Map())
      yield* visits.insert(1, { number: 4, seconds: 10 })
      yield* assertStored(visits, new Map([[1, 4]]))
      yield* TestClock.adjust("10 seconds")
      yield* assertStored(visits, new Map())
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("gets an entry at its time from the sweeper, which deletes it then", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const visits = yield* Visits
      yield* visits.put(1, { number: 1, seconds: 60 })
      yield* TestClock.adjust("30 seconds")
      yield* visits.put(1, { number: 2, seconds: 60 })
      yield* store.flush
      yield* TestClock.adjust("30 seconds")
      yield* swept(store, 0)
      assert.strictEqual(yield* entriesOf(store), 1)
      yield* assertStored(visits, new Map([[1, 2]]))
      yield* TestClock.adjust("30 seconds")
      yield* swept(store, 1)
      assert.strictEqual(yield* entriesOf(store), 0)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("is hidden from an index that was built after reads have looked at its earlier entry", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const visits = yield* Visits
      yield* stopSweeper(store)
      yield* visits.put(1, { number: 1, seconds: 60 })
      yield* TestClock.adjust("30 seconds")
      yield* visits.put(1, { number: 1, seconds: 60 })
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* visits.size, 1)
      const indexed = yield* Collection.make("visits", {
        key: Schema.Int,
        value: Visit,
        expires,
        indexes: { byNumber: { key: Schema.Int, of: ({ number }) => number } }
      })
      assert.strictEqual(yield* indexed.indexes.byNumber.count({ equals: 1 }), 1)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* indexed.indexes.byNumber.count({ equals: 1 }), 0)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("may live shorter again, or for ever", () =>
    Effect.gen(function*() {
      const visits = yield* Visits
      yield* visits.put(1, { number: 1, seconds: 60 })
      yield* visits.put(2, { number: 1, seconds: 60 })
      yield* visits.put(1, { number: 2, seconds: 300 })
      yield* visits.put(2, { number: 2, seconds: 300 })
      yield* visits.put(1, { number: 3, seconds: 10 })
      yield* visits.put(2, { number: 3, seconds: null })
      yield* TestClock.adjust("10 seconds")
      yield* assertStored(visits, new Map([[2, 3]]))
      yield* TestClock.adjust("1 hour")
      yield* assertStored(visits, new Map([[2, 3]]))
    }).pipe(Effect.provide(Store.layerTemp())))
})

// ---------------------------------------------------------------------------
// random work
// ---------------------------------------------------------------------------

const Key = Schema.Literals([1, 2, 3])
const seconds = Schema.NullOr(Schema.Literals([1, 2, 3, 5, 8]))

const Step = Schema.Union([
  Schema.TaggedStruct("Put", { key: Key, seconds }),
  Schema.TaggedStruct("Put", { key: Key, seconds }),
  Schema.TaggedStruct("Update", { key: Key, seconds }),
  Schema.TaggedStruct("PutMany", { keys: Schema.Array(Key).check(Schema.isMaxLength(3)), seconds }),
  Schema.TaggedStruct("Transaction", { key: Key, seconds }),
  Schema.TaggedStruct("Delete", { key: Key }),
  Schema.TaggedStruct("Pass", { millis: Schema.Literals([500, 1000, 1000, 2500]) }),
  Schema.TaggedStruct("Pass", { millis: Schema.Literals([500, 1000, 1000, 2500]) }),
  Schema.TaggedStruct("Flush", {}),
  Schema.TaggedStruct("Reopen", {})
])

type Step = typeof Step.Type

type Model = Map<number, { readonly number: number; readonly until: number }>

/** The keys that a step puts. */
const putBy = (step: Step, model: Model): ReadonlyArray<number> => {
  switch (step._tag) {
    case "Put":
    case "Transaction":
      return [step.key]
    case "Update":
      return model.has(step.key) ? [step.key] : []
    case "PutMany":
      return step.keys
    default:
      return []
  }
}

/** Opens a store on LMDB, or on LMDB whose reads wait. */
const openStore = (options: StoreOptions, waits: boolean) => {
  if (!waits) return Store.make(options)
  const backend = Effect.flatMap(LocalBackend.make(options), (local) => DelayedBackend.make(local, { seed: 1 }))
  return Store.makeWithBackend(backend, { name: "delayed" })
}

const agrees = (options: Omit<StoreOptions, "path">, sweeps: boolean, waits = false) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<Step> }) {
    const path = yield* temporaryFolder
    const reopen = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(openStore({ ...options, path }, waits), scope)
      if (!sweeps) yield* stopSweeper(store)
      return { scope, store, visits: yield* Effect.provideService(Visits, Store, store) }
    })
    let opened = yield* reopen
    const model: Model = new Map()
    for (const [number, step] of steps.entries()) {
      const { scope, store, visits } = opened
      const now = yield* Clock.currentTimeMillis
      const written = putBy(step, model)
      switch (step._tag) {
        case "Put":
          yield* visits.put(step.key, { number, seconds: step.seconds })
          break
        case "Update":
          yield* visits.update(step.key, Option.map(() => ({ number, seconds: step.seconds })))
          break
        case "PutMany":
          yield* visits.putMany(step.keys.map((key) => [key, { number, seconds: step.seconds }]))
          break
        case "Transaction":
          yield* store.withTransaction(Effect.andThen(
            visits.get(step.key),
            visits.put(step.key, { number, seconds: step.seconds })
          ))
          break
        case "Delete":
          yield* visits.delete(step.key)
          model.delete(step.key)
          break
        case "Pass":
          yield* TestClock.adjust(step.millis)
          break
        case "Flush":
          yield* store.flush
          break
        case "Reopen":
          yield* Scope.close(scope, Exit.void)
          opened = yield* reopen
      }
      const until = "seconds" in step && step.seconds !== null ? now + 1000 * step.seconds : Infinity
      for (const key of written) model.set(key, { number, until })
      const present = yield* Clock.currentTimeMillis
      for (const [key, held] of model) if (held.until <= present) model.delete(key)
      yield* assertStored(opened.visits, new Map(Array.from(model, ([key, held]) => [key, held.number])))
    }
    yield* Scope.close(opened.scope, Exit.void)
  })

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 15, maxLength: 30 }) }
const arbitrary = { runs: 8, size: 30, seed: "prolonged" }

describe("records without index entries agree with a Map with times after each step", () => {
  it.effect.prop("when the sweeper runs", workload, agrees({ flushInterval: "Infinity" }, true), { arbitrary })

  it.effect.prop("when only reads hide them", workload, agrees({ flushInterval: "Infinity" }, false), { arbitrary })

  it.effect.prop("when reads wait", workload, agrees({ flushInterval: "Infinity" }, true, true), { arbitrary })

  it.effect.prop("when every write starts a commit", workload, agrees({ batchSize: 1 }, false), { arbitrary })

  it.effect.prop("when the store is shared", workload, agrees({ shared: true, batchSize: 7 }, true), { arbitrary })
})
