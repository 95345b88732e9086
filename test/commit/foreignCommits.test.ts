/** What other processes commit before pending writes are, and what it does to the indexes of a collection. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Engine, Store } from "../../src/index.ts"
import * as CollectionDefinition from "../../src/internal/collection/collectionDefinition.ts"
import * as CollectionRecord from "../../src/internal/collection/collectionRecord.ts"
import * as IndexMaintainer from "../../src/internal/collection/indexMaintainer.ts"
import * as RecordEncoding from "../../src/internal/collection/recordEncoding.ts"
import * as Settled from "../../src/internal/settled.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { valueOf } from "../support/environment.ts"
import { ages, openAges } from "../support/fixtures/ages.ts"
import { start } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

/** A write of another process: an age and a badge, or nothing to delete the record. */
type OtherWrite = readonly [key: number, age: number | undefined, badge?: string]

/** The writes of what reads an engine, which ends at once. */
const writesOf = (writes: Effect.Effect<ReadonlyArray<Engine.Write>, unknown>): ReadonlyArray<Engine.Write> =>
  valueOf(Settled.exitOf(writes))

/**
 * A store with the collection, whose commits find at their beginning that another process
 * has committed; it does so in front of the store's own engine.
 */
const openShared = Effect.gen(function*() {
  const others: Array<Engine.Plan> = []
  const held: Array<Effect.Effect<void>> = []
  let isFailing = false
  let reads = 0
  const counting = (plan: Engine.Plan): Engine.Plan => (present, transactionId) => {
    const counted: Engine.Reader = {
      ...present,
      get: (database, key, decode) => {
        reads++
        return present.get(database, key, decode)
      },
      getMany: (database, keys, decode) => {
        reads += keys.length
        return present.getMany(database, keys, decode)
      }
    }
    return plan(counted, transactionId)
  }
  const { environment, store } = yield* openWith({ flushInterval: "Infinity", durability: "noSync" }, ({ commit }) => ({
    commit: (plan) =>
      Effect.gen(function*() {
        yield* held.shift() ?? Effect.void
        for (const other of others.splice(0)) yield* commit(other)
        return yield* isFailing ? faults.inputOutput : commit(counting(plan))
      })
  }))
  const collection = yield* Effect.provideService(openAges, Store, store)
  const definition = yield* CollectionDefinition.make("ages", ages, StoreInternals.of(store).access.handle)
  const maintainer = IndexMaintainer.make(definition)

  /** What a transaction of another process does: it computes its writes from the stored records. */
  const planOf = Effect.fnUntraced(function*([key, age, badge]: OtherWrite) {
    const bytes = yield* definition.key.encode(key)
    const record = age === undefined
      ? undefined
      : yield* RecordEncoding.encode(
        definition,
        bytes,
        badge === undefined ? { age } : { age, badge },
        () => definition.key.stored(bytes)
      )
    const plan: Engine.Plan = (present) =>
      Exit.map(present.get(definition.database, bytes, CollectionRecord.entriesOf), (old) => {
        if (record !== undefined) {
          return {
            clear: [],
            writes: writesOf(IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(present), record, old))
          }
        }
        return {
          clear: [],
          writes: old === undefined
            ? []
            : writesOf(IndexMaintainer.toDelete(maintainer, IndexMaintainer.holdersIn(present), bytes, old))
        }
      })
    return plan
  })

  return {
    store,
    ages: collection,
    /** Has another process commit a write, as the next commit begins. */
    others: (...write: OtherWrite) => Effect.map(planOf(write), (plan) => void others.push(plan)),
    /** Has another process commit a write at once. */
    othersNow: (...write: OtherWrite) => Effect.flatMap(planOf(write), environment.commit),
    /** Commits what is pending, which fails if there is anything. */
    failToFlush: Effect.suspend(() => {
      isFailing = true
      return Effect.exit(store.flush)
    }).pipe(Effect.ensuring(Effect.sync(() => {
      isFailing = false
    }))),
    /** Holds the next commit back until it is released. */
    holdNext: Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const released = yield* Deferred.make<void>()
      held.push(Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(released)))
      return { begun: Deferred.await(begun), release: Deferred.succeed(released, undefined) }
    }),
    /** How many values the commits of the store have read. */
    reads: () => reads
  }
})

type Ages = Effect.Success<typeof openAges>

/** A step of a random run. */
const Step = Schema.Struct({
  what: Schema.Literals(["put", "delete", "others", "othersNow", "flush", "fail", "transaction"]),
  key: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })),
  age: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
})

/** The records by their ages, as the index has them. */
const byAgeOf = (collection: Ages) => Stream.runCollect(collection.indexes.byAge.entries())

/** A record that was put while an earlier commit ran, and that another process committed before that one. */
const overtakenMeanwhile = Effect.gen(function*() {
  const { ages: people, failToFlush, holdNext, others, store } = yield* openShared
  yield* people.put(1, { age: 10 })
  yield* store.flush
  yield* people.put(2, { age: 10 })
  const held = yield* holdNext
  const flushing = yield* start(store.flush)
  yield* held.begun
  yield* people.put(1, { age: 20 })
  // Committed before the commit that runs: the next follows that one at once
  yield* others(1, 30)
  yield* held.release
  yield* Fiber.join(flushing)
  return { failToFlush, people, store }
})

describe("another process that commits a record before a pending write to it", () => {
  it.effect("leaves no stale entry, whatever both processes put and deleted", () =>
    Effect.gen(function*() {
      const { ages: people, others, store } = yield* openShared
      yield* people.putMany([[1, { age: 10 }], [2, { age: 10 }], [3, { age: 10 }], [4, { age: 10 }]])
      yield* people.put(1, { age: 20 })
      yield* people.delete(2)
      yield* people.put(3, { age: 20 })
      yield* people.put(4, { age: 20 })
      yield* people.put(5, { age: 20 })
      yield* others(1, 30)
      yield* others(2, 30)
      yield* others(3, undefined)
      // The entry that the pending write keeps
      yield* others(4, 20)
      yield* others(5, 30)
      yield* store.flush
      assert.deepStrictEqual(yield* people.verify, [])
      assert.deepStrictEqual(yield* people.indexes.byAge.count(), 4)
    }))

  it.effect("leaves no stale key of a unique index, and removes none from the record that has it by then", () =>
    Effect.gen(function*() {
      const { ages: people, others, store } = yield* openShared
      yield* people.putMany([[1, { age: 10, badge: "a" }], [2, { age: 10 }], [3, { age: 10 }]])
      yield* people.put(1, { age: 20, badge: "c" })
      yield* people.put(2, { age: 20, badge: "b" })
      yield* people.put(3, { age: 20 })
      yield* others(1, 30, "b")
      yield* others(3, 30, "d")
      yield* store.flush
      assert.deepStrictEqual(yield* people.verify, [])
      assert.deepStrictEqual(yield* Stream.runCollect(people.indexes.byBadge.keys()), [2, 1])
    }))

  it.effect("leaves no stale entry of a record that was put while an earlier commit ran", () =>
    Effect.gen(function*() {
      const { people, store } = yield* overtakenMeanwhile
      yield* store.flush
      assert.deepStrictEqual(yield* people.verify, [])
    }))

  it.effect("leaves no stale entry of a record whose commit failed", () =>
    Effect.gen(function*() {
      const { failToFlush, people, store } = yield* overtakenMeanwhile
      assert.isTrue(Exit.isFailure(yield* failToFlush))
      yield* store.flush
      assert.deepStrictEqual(yield* people.verify, [])
    }))

  it.effect("leaves no stale entry if a transaction commits the pending write", () =>
    Effect.gen(function*() {
      const { ages: people, others, store } = yield* openShared
      yield* people.put(1, { age: 10 })
      yield* store.flush
      yield* people.put(1, { age: 20 })
      yield* others(1, 30)
      yield* store.withTransaction(people.put(2, { age: 40 }))
      assert.deepStrictEqual(yield* people.verify, [])
    }))

  it.effect("does not let a transaction use a stale entry", () =>
    Effect.gen(function*() {
      const { ages: people, othersNow, store } = yield* openShared
      yield* people.put(1, { age: 10 })
      yield* store.flush
      yield* people.put(1, { age: 20 })
      yield* othersNow(1, 30)
      const seen = yield* store.withTransaction(
        Effect.tap(byAgeOf(people), (found) => people.put(2, { age: found.length }))
      )
      assert.deepStrictEqual(seen, [[1, { age: 20 }]])
      assert.deepStrictEqual(yield* people.verify, [])
    }))

  it.effect.prop(
    "leaves the index exact for every order of events",
    { steps: Schema.Array(Step).check(Schema.isMaxLength(25)) },
    Effect.fnUntraced(function*({ steps }) {
      const { ages: people, failToFlush, others, othersNow, store } = yield* openShared
      for (const { age, key, what } of steps) {
        if (what === "put") yield* people.put(key, { age })
        else if (what === "delete") yield* people.delete(key)
        else if (what === "others") yield* others(key, age === 0 ? undefined : age)
        else if (what === "othersNow") yield* othersNow(key, age === 0 ? undefined : age)
        else if (what === "transaction") yield* store.withTransaction(people.put(key, { age }))
        else if (what === "flush") yield* store.flush
        else yield* failToFlush
      }
      yield* store.flush
      assert.deepStrictEqual(yield* people.verify, [])
    }, Effect.scoped),
    { arbitrary: { runs: 20 } }
  )
})

describe("a process that is alone", () => {
  it.effect("does not read records again to commit", () =>
    Effect.gen(function*() {
      const { ages: people, others, reads, store } = yield* openShared
      // What was committed before the collection was opened is not known
      for (let age = 0; age < 2; age++) yield* Effect.andThen(people.put(1, { age }), store.flush)
      const before = reads()
      for (let age = 0; age < 5; age++) yield* Effect.andThen(people.put(1, { age }), store.flush)
      assert.strictEqual(reads(), before)
      yield* others(1, 30)
      yield* Effect.andThen(people.put(1, { age: 10 }), store.flush)
      assert.isAbove(reads(), before)
      yield* Effect.andThen(people.put(1, { age: 20 }), store.flush)
      const after = reads()
      yield* Effect.andThen(people.put(1, { age: 30 }), store.flush)
      assert.strictEqual(reads(), after)
      assert.deepStrictEqual(yield* people.verify, [])
    }))
})
