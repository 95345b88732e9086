/** Two namespaces, the store itself and a collection, each against a `Map` of its own, under random work. */
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
import { TestClock } from "effect/testing"
import { Collection, Store, type StoreOptions, type StoreRecords, type StoreService } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { temporaryFolder } from "../support/harness.ts"

/** The namespaces and the collection have one name. */
const name = "same"
const targets = ["store", "namespace", "other namespace", "collection"] as const

const keys = ["a", "ab", "b", "same", "same/a", "z"]
const Key = Schema.Literals(keys)
const Target = Schema.Literals(targets)
const Minutes = Schema.NullOr(Schema.Literals([0, 1, 2, 3]))
const Keys = Schema.Array(Key).check(Schema.isMaxLength(4))

const Work = Schema.Union([
  Schema.TaggedStruct("Put", { target: Target, key: Key, minutes: Minutes }),
  Schema.TaggedStruct("Put", { target: Target, key: Key, minutes: Minutes }),
  Schema.TaggedStruct("Update", { target: Target, key: Key, removes: Schema.Boolean }),
  Schema.TaggedStruct("Delete", { target: Target, key: Key }),
  Schema.TaggedStruct("PutMany", { target: Target, keys: Keys, minutes: Minutes }),
  Schema.TaggedStruct("DeleteMany", { target: Target, keys: Keys }),
  Schema.TaggedStruct("DeleteRange", { target: Target, from: Key, to: Key }),
  Schema.TaggedStruct("Clear", { target: Target })
])
type Work = typeof Work.Type

const Step = Schema.Union([
  Work,
  Work,
  Work,
  Work,
  Schema.TaggedStruct("Pass", { minutes: Schema.Literals([1, 1, 2]) }),
  Schema.TaggedStruct("Transaction", {
    works: Schema.Array(Work).check(Schema.isMaxLength(6)),
    end: Schema.Literals(["commit", "fail"])
  }),
  Schema.TaggedStruct("Flush", {}),
  Schema.TaggedStruct("Reopen", {})
])
type Step = typeof Step.Type

// ---------------------------------------------------------------------------
// the model
// ---------------------------------------------------------------------------

interface Timed {
  readonly value: number
  readonly until: number
}
type Model = Record<typeof targets[number], ReadonlyMap<string, Timed>>

const emptyModel: Model = {
  "store": new Map(),
  "namespace": new Map(),
  "other namespace": new Map(),
  "collection": new Map()
}

const expired = (model: Model, now: number): Model => {
  const alive = (target: typeof targets[number]) => new Map([...model[target]].filter(([, { until }]) => until > now))
  return {
    "store": alive("store"),
    "namespace": alive("namespace"),
    "other namespace": alive("other namespace"),
    "collection": alive("collection")
  }
}

const timed = (value: number, minutes: number | null, now: number): Timed => ({
  value,
  until: minutes === null ? Infinity : now + 60_000 * minutes
})

/** What a work makes of the records that it is about. */
const after = (records: ReadonlyMap<string, Timed>, work: Work, value: number, now: number) => {
  const next = new Map(records)
  switch (work._tag) {
    case "Put":
      return next.set(work.key, timed(value, work.minutes, now))
    case "Update":
      if (work.removes) next.delete(work.key)
      // An update keeps the time
      else next.set(work.key, { value, until: next.get(work.key)?.until ?? Infinity })
      return next
    case "Delete":
      next.delete(work.key)
      return next
    case "PutMany":
      for (const key of work.keys) next.set(key, timed(value, work.minutes, now))
      return next
    case "DeleteMany":
      for (const key of work.keys) next.delete(key)
      return next
    case "DeleteRange":
      for (const key of next.keys()) if (key >= work.from && key < work.to) next.delete(key)
      return next
    case "Clear":
      return new Map<string, Timed>()
  }
}

// ---------------------------------------------------------------------------
// the store
// ---------------------------------------------------------------------------

const Numbers = Collection.make(name, {
  key: Schema.String,
  value: Schema.Struct({ value: Schema.Int, minutes: Minutes }),
  expires: ({ minutes }) => minutes === null ? undefined : Duration.minutes(minutes)
})

/** What the test does with each of them. Numbers are stored as objects, whose structure they share. */
interface Records {
  readonly run: (work: Work, value: number) => Effect.Effect<void, { readonly _tag: string }>
  readonly entries: (
    range: { readonly gte: string; readonly reverse: boolean }
  ) => Effect.Effect<ReadonlyArray<readonly [string, unknown]>, { readonly _tag: string }>
  readonly count: (range: { readonly gte: string }) => Effect.Effect<number, { readonly _tag: string }>
  readonly size: Effect.Effect<number, { readonly _tag: string }>
  readonly has: (key: string) => Effect.Effect<boolean, { readonly _tag: string }>
  readonly get: (key: string) => Effect.Effect<Option.Option<unknown>, { readonly _tag: string }>
}

const ttlOf = (minutes: number | null) => minutes === null ? {} : { ttl: Duration.minutes(minutes) }

const untyped = (records: StoreRecords): Records => {
  return {
    run: (work, value) => {
      const stored = { value, minutes: null }
      switch (work._tag) {
        case "Put":
          return records.put(work.key, stored, ttlOf(work.minutes))
        case "Update":
          return Effect.asVoid(records.update(work.key, () => work.removes ? Option.none() : Option.some(stored)))
        case "Delete":
          return records.delete(work.key)
        case "PutMany":
          return records.putMany(work.keys.map((key) => [key, stored] as const), ttlOf(work.minutes))
        case "DeleteMany":
          return records.writeMany(work.keys.map((key) => ({ delete: key })))
        case "DeleteRange":
          return Effect.asVoid(records.deleteRange({ gte: work.from, lt: work.to }))
        case "Clear":
          return records.clear
      }
    },
    entries: (range) => Stream.runCollect(records.entries(range)),
    count: records.count,
    size: records.size,
    has: records.has,
    get: records.get
  }
}

const openCollection = Effect.map(Numbers, (numbers): Records => ({
  run: (work, value) => {
    switch (work._tag) {
      case "Put":
        return numbers.put(work.key, { value, minutes: work.minutes })
      case "Update":
        // An update of a collection sets the time again. Here it makes the record permanent.
        return work.removes
          ? numbers.delete(work.key)
          : Effect.asVoid(numbers.put(work.key, { value, minutes: null }))
      case "Delete":
        return numbers.delete(work.key)
      case "PutMany":
        return numbers.putMany(work.keys.map((key) => [key, { value, minutes: work.minutes }] as const))
      case "DeleteMany":
        return numbers.deleteMany(work.keys)
      case "DeleteRange":
        return Effect.asVoid(numbers.deleteRange({ gte: work.from, lt: work.to }))
      case "Clear":
        return numbers.clear
    }
  },
  entries: (range) => Stream.runCollect(numbers.entries(range)),
  count: numbers.count,
  size: numbers.size,
  has: numbers.has,
  get: numbers.get
}))

type Opened = Record<typeof targets[number], Records> & { readonly store: Records; readonly service: StoreService }

const openAll = Effect.fnUntraced(function*(open: Effect.Effect<StoreService, { readonly _tag: string }, Scope.Scope>) {
  const scope = yield* Scope.make()
  const service = yield* Scope.provide(open, scope)
  const opened: Opened = {
    service,
    "store": untyped(service),
    "namespace": untyped(yield* service.namespace(name)),
    "other namespace": untyped(yield* service.namespace(`${name} 2`)),
    "collection": yield* Effect.provideService(openCollection, Store, service)
  }
  return { scope, opened }
})

const valueIn = (stored: unknown): unknown =>
  typeof stored === "object" && stored !== null && "value" in stored ? stored.value : stored

/** Fails unless every way to read agrees with the model. */
const assertSame = Effect.fnUntraced(function*(opened: Opened, model: Model) {
  for (const target of targets) {
    const records = opened[target]
    const expected: ReadonlyArray<readonly [string, unknown]> = [...model[target]]
      .map(([key, { value }]) => [key, value] as const)
      .toSorted(([a], [b]) => a < b ? -1 : 1)
    for (const gte of ["a", "same"]) {
      const inRange = expected.filter(([key]) => key >= gte)
      for (const reverse of [false, true]) {
        const entries = (yield* records.entries({ gte, reverse })).map(([key, value]) => [key, valueIn(value)] as const)
        assert.deepStrictEqual(entries, reverse ? inRange.toReversed() : inRange, `${target} ${gte}`)
      }
      assert.strictEqual(yield* records.count({ gte }), inRange.length, `${target} ${gte}`)
    }
    assert.strictEqual(yield* records.size, expected.length, target)
    for (const key of keys) {
      const timedValue = model[target].get(key)
      assert.strictEqual(yield* records.has(key), timedValue !== undefined, `${target} ${key}`)
      assert.deepStrictEqual(
        Option.map(yield* records.get(key), valueIn),
        Option.map(Option.fromUndefinedOr(timedValue), ({ value }) => value),
        `${target} ${key}`
      )
    }
  }
})

/** The work in the model: an update of the collection makes the record permanent. */
const modelWork = (work: Work): Work =>
  work._tag === "Update" && work.target === "collection" && !work.removes
    ? { _tag: "Put", target: work.target, key: work.key, minutes: null }
    : work

const agrees = (
  options: Omit<StoreOptions, "path">,
  open: (options: StoreOptions) => ReturnType<typeof Store.make> = Store.make
) =>
  Effect.fnUntraced(function*({ steps }: { readonly steps: ReadonlyArray<Step> }) {
    const path = yield* temporaryFolder
    const reopen = openAll(open({ ...options, path, durability: "noSync" }))
    let { opened, scope } = yield* reopen
    let model = emptyModel
    let value = 0

    const work = Effect.fnUntraced(function*(before: Model, done: Work) {
      const now = yield* Clock.currentTimeMillis
      value++
      yield* opened[done.target].run(done, value)
      const records = expired(before, now)[done.target]
      return expired({ ...before, [done.target]: after(records, modelWork(done), value, now) }, now)
    })

    for (const step of steps) {
      switch (step._tag) {
        case "Pass":
          yield* TestClock.adjust(Duration.minutes(step.minutes))
          break
        case "Flush":
          yield* opened.service.flush
          break
        case "Reopen":
          yield* Scope.close(scope, Exit.void)
          ;({ opened, scope } = yield* reopen)
          break
        case "Transaction": {
          let inside = model
          const exit = yield* Effect.exit(opened.service.withTransaction(Effect.gen(function*() {
            inside = model
            for (const each of step.works) {
              inside = yield* work(inside, each)
              yield* assertSame(opened, inside)
            }
            if (step.end === "fail") return yield* Effect.fail("fail")
          })))
          assert.strictEqual(Exit.isSuccess(exit), step.end === "commit", String(exit))
          if (step.end === "commit") model = inside
          break
        }
        default:
          model = yield* work(model, step)
      }
      model = expired(model, yield* Clock.currentTimeMillis)
      yield* assertSame(opened, model)
    }
    yield* Scope.close(scope, Exit.void)
  })

const workload = { steps: Arbitrary.array(Arbitrary.schema(Step), { minLength: 10, maxLength: 25 }) }
const arbitrary = { runs: 8, size: 30, seed: "namespaces" }

describe("two namespaces, a store and a collection each agree with a Map of their own", () => {
  it.effect.prop("with the options' defaults", workload, agrees({}), { arbitrary })

  it.effect.prop(
    "with small batches and a change log",
    workload,
    agrees({ batchSize: 3, changeLog: { retention: "1 day" } }),
    {
      arbitrary
    }
  )

  it.effect.prop("when the store is shared", workload, agrees({ shared: true, batchSize: 5 }), { arbitrary })

  it.effect.prop("when reads wait", workload, agrees({ batchSize: 4 }, DelayedStore.open), { arbitrary })
})
