/** Records of collections that expire. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Collection, Store } from "../../src/index.ts"
import { entriesOf, storedIn, swept } from "../support/expiring.ts"
import { minutes, open, openNew, same, type Session, session } from "../support/fixtures/sessions.ts"
import { start, temporaryFolder, withStore } from "../support/harness.ts"

/** Deletes the records of a map whose time has come. */
const without = (records: ReadonlyMap<number, Session>, ...gone: ReadonlyArray<number>) =>
  new Map([...records].filter(([key]) => !gone.includes(key)))

const records = new Map([
  [1, session("ada", "t1", 10)],
  [2, session("bob", "t2", 20)],
  [3, session("ada", "t3", 20)],
  [4, session("eve", "t4", null)],
  [5, session("bob", "t5", 30)]
])

describe("sessions", () => {
  it.effect("leave a unique key to another record that takes it while a transaction overwrites the expired one", () =>
    Effect.gen(function*() {
      const { sessions, store } = yield* openNew(false)
      yield* sessions.put(1, session("ada", "t1", 10))
      yield* store.flush
      yield* minutes(10)
      const taken = yield* Deferred.make<void>()
      const putting = yield* start(store.withTransaction(Effect.gen(function*() {
        yield* sessions.put(1, session("ada", "t2", 60))
        yield* Deferred.await(taken)
      })))
      yield* sessions.insert(2, session("bob", "t1", 60), { durable: true })
      yield* Deferred.succeed(taken, undefined)
      yield* Fiber.join(putting)
      yield* same(sessions, new Map([[1, session("ada", "t2", 60)], [2, session("bob", "t1", 60)]]))
    }))

  for (const sweeps of [true, false]) {
    for (const flushes of [true, false]) {
      const mode = `${sweeps ? "with" : "without"} the sweeper, ${flushes ? "committed" : "pending"}`
      it.effect(`expire at their time, for every read and in every index: ${mode}`, () =>
        Effect.gen(function*() {
          const { sessions, store } = yield* openNew(sweeps)
          for (const [key, value] of records) yield* sessions.put(key, value)
          if (flushes) yield* store.flush
          yield* same(sessions, records)
          yield* TestClock.adjust("599999 millis")
          yield* same(sessions, records)
          yield* TestClock.adjust("1 millis")
          yield* same(sessions, without(records, 1))
          yield* store.withTransaction(same({ ...sessions, verify: Effect.succeed([]) }, without(records, 1)))
          yield* minutes(10)
          yield* same(sessions, without(records, 1, 2, 3))
          yield* minutes(10)
          yield* same(sessions, without(records, 1, 2, 3, 5))
          yield* store.withTransaction(same({ ...sessions, verify: Effect.succeed([]) }, without(records, 1, 2, 3, 5)))
          if (sweeps) yield* swept(store, 4)
          const left = sweeps ? 1 : 5
          for (const database of ["collection/sessions", "index/sessions/byUser", "index/sessions/byToken"]) {
            assert.strictEqual(yield* storedIn(store, database), left, database)
          }
          assert.strictEqual(yield* entriesOf(store), sweeps ? 0 : 4)
        }))
    }

    it.effect(`are absent for insert, update and unique keys after they have expired, ${sweeps ? "with" : "without"} the sweeper`, () =>
      Effect.gen(function*() {
        const { sessions, store } = yield* openNew(sweeps)
        for (const [key, value] of records) yield* sessions.put(key, value)
        assert.strictEqual((yield* Effect.flip(sessions.insert(1, session("ada", "t9"))))._tag, "KeyExists")
        assert.strictEqual((yield* Effect.flip(sessions.insert(9, session("ada", "t1"))))._tag, "UniqueViolation")
        yield* minutes(30)
        yield* same(sessions, without(records, 1, 2, 3, 5))
        // Other users and tokens under the old keys, and old tokens under other keys
        yield* sessions.insert(1, session("zoe", "t3"))
        yield* sessions.put(2, session("zoe", "t2"))
        const updated = yield* sessions.update(
          3,
          (current) => Option.some(session(Option.isNone(current) ? "new" : "old", "t5"))
        )
        assert.deepStrictEqual(updated, Option.some(session("new", "t5")))
        yield* store.withTransaction(sessions.put(5, session("ada", "t1")))
        assert.strictEqual((yield* Effect.flip(sessions.deleteOrFail(9)))._tag, "KeyNotFound")
        const next = new Map([
          [1, session("zoe", "t3")],
          [2, session("zoe", "t2")],
          [3, session("new", "t5")],
          [4, session("eve", "t4", null)],
          [5, session("ada", "t1")]
        ])
        yield* same(sessions, next)
        yield* store.flush
        yield* same(sessions, next)
        for (const index of ["byUser", "byToken"]) {
          assert.strictEqual(yield* storedIn(store, `index/sessions/${index}`), 5, index)
        }
        yield* minutes(30)
        yield* same(sessions, without(next, 1, 2, 3, 5))
      }))

    it.effect(`become permanent by a write without a time, and otherwise expire at the time of the last write, ${sweeps ? "with" : "without"} the sweeper`, () =>
      Effect.gen(function*() {
        const { sessions } = yield* openNew(sweeps)
        yield* sessions.putMany([...records])
        yield* minutes(5)
        yield* sessions.put(1, session("ada", "t1", null))
        yield* sessions.update(2, Option.map((value) => ({ ...value, user: "bo" })))
        yield* sessions.put(4, session("eve", "t4", 1))
        const later = new Map([...records, [1, session("ada", "t1", null)], [2, session("bo", "t2", 20)]])
        yield* minutes(1)
        yield* same(sessions, without(later, 4))
        yield* minutes(14)
        yield* same(sessions, without(later, 4, 3))
        yield* minutes(5)
        yield* same(sessions, without(later, 4, 3, 2))
        yield* minutes(600)
        yield* same(sessions, without(later, 4, 3, 2, 5))
      }))
  }

  it.effect("appear in changes as Expired when they are deleted", () =>
    Effect.gen(function*() {
      const { sessions, store } = yield* openNew(true)
      const told = yield* start(Stream.runCollect(Stream.take(sessions.changes(), 4)))
      yield* sessions.put(1, session("ada", "t1"))
      yield* sessions.put(2, session("bob", "t2"))
      yield* store.flush
      yield* sessions.delete(2)
      yield* store.flush
      yield* minutes(30)
      yield* swept(store, 1)
      const changes = yield* Fiber.join(told)
      assert.deepStrictEqual(changes.map((change) => [change._tag, change._tag === "Clear" ? 0 : change.key]), [
        ["Put", 1],
        ["Put", 2],
        ["Delete", 2],
        ["Expired", 1]
      ])
    }))

  it.effect("that expired while the store was closed are deleted with their index entries, whether the collection is opened or not", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => Effect.flatMap(open(store), (sessions) => sessions.putMany([...records])))
      yield* minutes(25)
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* swept(store, 3)
          assert.strictEqual(yield* storedIn(store, "index/sessions/byUser"), 2)
          assert.strictEqual(yield* storedIn(store, "index/sessions/byToken"), 2)
          yield* same(yield* open(store), without(records, 1, 2, 3))
        }))
      yield* minutes(5)
      yield* withStore({ path, readOnly: true }, (store) =>
        Effect.gen(function*() {
          yield* same(yield* open(store), without(records, 1, 2, 3, 5))
          assert.strictEqual(yield* storedIn(store, "collection/sessions"), 2)
        }))
    }))
})

describe("expires", () => {
  it.effect("may return a DateTime, a Date, a Duration, an Option or undefined", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const given: Array<Collection.Expiration> = [
        DateTime.makeUnsafe(60_000),
        new Date(60_000),
        Duration.minutes(1),
        Option.some(Duration.minutes(1)),
        Option.some(new Date(60_000)),
        undefined,
        Option.none(),
        Duration.infinity,
        new Date(0),
        new Date(-1),
        Duration.zero
      ]
      const things = yield* Effect.provideService(
        Collection.make("things", { key: Schema.Int, value: Schema.Int, expires: (at) => given[at] }),
        Store,
        store
      )
      for (const at of given.keys()) yield* things.put(at, at)
      assert.deepStrictEqual(yield* Stream.runCollect(things.keys()), [0, 1, 2, 3, 4, 5, 6, 7])
      yield* minutes(1)
      assert.deepStrictEqual(yield* Stream.runCollect(things.keys()), [5, 6, 7])
      yield* minutes(1_000_000)
      assert.deepStrictEqual(yield* Stream.runCollect(things.keys()), [5, 6, 7])
    }))

  it.effect("that returns any other value makes the write fail with ValueEncoding", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const odd = (value: unknown) =>
        Effect.provideService(
          Collection.make("things", {
            key: Schema.Int,
            value: Schema.Int,
            // @ts-expect-error A program without types
            expires: () => value
          }),
          Store,
          store
        )
      for (
        const [value, part] of [[5, "a number"], ["1 minute", "a string"], [
          new Date(Number.NaN),
          "invalid Date"
        ]] as const
      ) {
        const things = yield* odd(value)
        const error = yield* Effect.flip(things.put(1, 1))
        assert.strictEqual(error._tag, "ValueEncoding")
        assert.include(error.message, part)
        assert.isFalse(yield* things.has(1))
      }
    }))

  it.effect("times are kept by migrations, rebuilt indexes and a definition without it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const key = Schema.Int
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const old = yield* Effect.provideService(
            Collection.make("things", { key, value: Schema.Int, expires: (at) => Duration.minutes(at) }),
            Store,
            store
          )
          yield* old.putMany([[1, 1], [2, 2], [3, 3]])
        }))
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const next = yield* Effect.provideService(
            Collection.make("things", {
              key,
              value: Schema.String,
              version: 2,
              migrations: { 1: (value) => Effect.succeed(String(value)) },
              indexes: { same: { key: Schema.String, of: (value) => value } }
            }),
            Store,
            store
          )
          yield* minutes(1)
          assert.deepStrictEqual(yield* Stream.runCollect(next.entries()), [[2, "2"], [3, "3"]])
          assert.deepStrictEqual(yield* Stream.runCollect(next.indexes.same.keys()), [2, 3])
          yield* next.rebuildIndexes
          yield* minutes(1)
          assert.deepStrictEqual(yield* Stream.runCollect(next.indexes.same.values()), ["3"])
          assert.deepStrictEqual(yield* next.verify, [])
          yield* next.put(3, "three")
          yield* minutes(10)
          assert.deepStrictEqual(yield* Stream.runCollect(next.values()), ["three"])
        }))
    }))
})
