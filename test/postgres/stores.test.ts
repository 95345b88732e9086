/** Stores, transactions and collections on PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { readdirSync } from "node:fs"
import { Collection, Store } from "../../src/index.ts"
import * as TransactionOrder from "../../src/testing/TransactionOrder.ts"
import { all, openUsers, userOf } from "../support/fixtures/collections.ts"
import { below, increment } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder } from "../support/harness.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import * as Workload from "../support/workload.ts"

const open = Effect.flatMap(PostgresStores.freshTable, (table) => PostgresStores.openOn({ table }))

/** Two handles on one store, each with a client of its own, as in two processes. */
const openTwice = Effect.gen(function*() {
  const table = yield* PostgresStores.freshTable
  const options = { table, flushInterval: "Infinity" } as const
  return [yield* PostgresStores.openOn(options), yield* PostgresStores.openOn(options)] as const
})

describe("a store on PostgreSQL", () => {
  const workload = { steps: Workload.steps({ largest: 30_000, maxLength: 40 }) }

  for (const options of [{ batchSize: 3, batchBytes: 5000 }, { autoFlushOnRead: true, checksums: true }]) {
    it.effect.prop(
      `agrees with a Map after each step and after reopening, with ${Object.keys(options).join(" and ")}`,
      workload,
      ({ steps }) =>
        Effect.gen(function*() {
          const path = yield* temporaryFolder
          yield* Workload.run(steps, PostgresStores.open({ ...options, path }))
        }).pipe(Effect.scoped),
      { arbitrary: { runs: 4, size: 40, seed: "postgres" } }
    )
  }

  it.effect.prop(
    "runs transactions as if one after the other, in the order of their changes",
    { programs: TransactionOrder.Programs },
    ({ programs }) => Effect.scoped(Effect.flatMap(open, (store) => TransactionOrder.check(store, programs))),
    { arbitrary: { runs: 15 } }
  )

  it.effect("counts each update once that two processes make, with transactions and without", () =>
    Effect.gen(function*() {
      const [first, second] = yield* openTwice
      yield* Effect.forEach(below(20), (number) => {
        const store = number % 2 === 0 ? first : second
        return number % 4 < 2
          ? store.update("count", increment)
          : store.withTransaction(
            Effect.flatMap(store.get("count"), (count) =>
              store.put(
                "count",
                Number(Option.getOrElse(count, () => 0)) + 1
              ))
          )
      }, { concurrency: "unbounded", discard: true })
      assert.strictEqual(yield* first.getOrFail("count"), 20)
      assert.strictEqual(yield* second.getOrFail("count"), 20)
    }))

  it.effect("shows other processes what is committed, and not what is pending", () =>
    Effect.gen(function*() {
      const [first, second] = yield* openTwice
      yield* first.put("a", 1)
      assert.isFalse(yield* second.has("a"))
      yield* first.flush
      assert.strictEqual(yield* second.getOrFail("a"), 1)
      yield* second.delete("a")
      assert.isTrue(yield* first.has("a"))
      yield* second.flush
      assert.isFalse(yield* first.has("a"))
    }))

  it.effect("refuses a value that the client could not read, and reads the longest", () =>
    Effect.gen(function*() {
      const store = yield* open
      const error = yield* Effect.flip(store.put("long", new Uint8Array(9 * 1024 * 1024)))
      assert.strictEqual(error._tag, "ValueEncoding")
      yield* store.put("long", new Uint8Array(8_300_000), { durable: true })
      yield* store.put("long", new Uint8Array(8_300_001), { durable: true })
      const found = yield* store.getOrFail("long")
      assert.strictEqual(found instanceof Uint8Array ? found.length : 0, 8_300_001)
      const changes = yield* Stream.runCollect(Stream.take(store.changes({ since: 0, pollInterval: "10 millis" }), 2))
      assert.strictEqual(changes.length, 2)
    }))

  it.effect("tells the changes and commits of all processes", () =>
    Effect.gen(function*() {
      const [first, second] = yield* openTwice
      const changes = yield* start(Stream.runCollect(Stream.take(first.changes({ since: 0 }), 3)))
      const commits = yield* start(Stream.runCollect(Stream.take(first.commits(), 2)))
      const watched = yield* start(Stream.runCollect(Stream.take(first.watch("b"), 2)))
      yield* Effect.yieldNow
      yield* first.put("a", 1, { durable: true })
      yield* second.put("b", 2, { durable: true })
      yield* second.delete("a", { durable: true })
      const told = yield* Fiber.join(changes)
      assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["Put", "Put", "Delete"])
      assert.strictEqual((yield* Fiber.join(commits)).length, 2)
      assert.deepStrictEqual(yield* Fiber.join(watched), [Option.none(), Option.some(2)])
    }))

  it.effect("backs up what is committed to a file of LMDB, and replaces no file", () =>
    Effect.gen(function*() {
      const store = yield* open
      const users = yield* Effect.provideService(openUsers, Store, store)
      yield* users.putMany(below(300).map((key) => [key, userOf(`user${key}`, key)] as const))
      yield* store.put("pending", 1)
      const path = yield* temporaryFolder
      yield* store.backup(path)
      assert.deepStrictEqual(readdirSync(path), ["data.mdb"])
      assert.propertyVal(yield* Effect.flip(store.backup(path)), "code", 17)
      const file = yield* Store.make({ path })
      assert.strictEqual(yield* file.getOrFail("pending"), 1)
      const saved = yield* Effect.provideService(openUsers, Store, file)
      assert.deepStrictEqual(yield* all(saved.entries()), yield* all(users.entries()))
      assert.deepStrictEqual(yield* saved.verify, [])
    }))

  it.effect("copies to a store on LMDB and back", () =>
    Effect.gen(function*() {
      const from = yield* open
      const users = yield* Effect.provideService(openUsers, Store, from)
      yield* users.putMany(below(50).map((key) => [key, userOf(`user${key}`, key)] as const))
      yield* from.putMany(below(50).map((key) => [`k${key}`, { key }] as const))
      const file = yield* Store.make({ path: yield* temporaryFolder })
      yield* Store.copy(from, file)
      const back = yield* open
      yield* Store.copy(file, back)
      const copied = yield* Effect.provideService(openUsers, Store, back)
      assert.deepStrictEqual(yield* all(copied.entries()), yield* all(users.entries()))
      assert.deepStrictEqual(yield* copied.verify, [])
      assert.strictEqual(yield* back.size, 50)
    }))
})

/** A collection of texts in one of two versions. */
const notesOf = (version: number) =>
  Collection.make("notes", {
    key: Schema.String,
    value: Schema.String,
    version,
    ...(version === 1 ? {} : { migrations: { 1: (text: unknown) => Effect.succeed(`${String(text)}!`) } })
  })

describe("a collection on PostgreSQL", () => {
  it.effect("keeps unique indexes exact across processes", () =>
    Effect.gen(function*() {
      const [first, second] = yield* openTwice
      const here = yield* Effect.provideService(openUsers, Store, first)
      const there = yield* Effect.provideService(openUsers, Store, second)
      const results = yield* Effect.forEach(
        below(20),
        (number) => Effect.result((number % 2 === 0 ? here : there).insert(number, userOf(`user${number % 5}`, 20))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(results.filter(({ _tag }) => _tag === "Success").length, 5)
      assert.strictEqual(yield* there.size, 5)
      assert.deepStrictEqual(yield* here.verify, [])
    }))

  it.effect("hides expired records from all processes, and deletes them with their index entries", () =>
    Effect.gen(function*() {
      const [first, second] = yield* openTwice
      const Sessions = Collection.make("sessions", {
        key: Schema.String,
        value: Schema.Struct({ user: Schema.String }),
        expires: () => Duration.minutes(1),
        indexes: { byUser: { key: Schema.String, of: ({ user }) => user, unique: true } }
      })
      const here = yield* Effect.provideService(Sessions, Store, first)
      const there = yield* Effect.provideService(Sessions, Store, second)
      yield* here.put("a", { user: "Ada" })
      assert.isTrue(Option.isSome(yield* there.indexes.byUser.get("Ada")))
      yield* TestClock.adjust("61 seconds")
      assert.isTrue(Option.isNone(yield* there.get("a")))
      assert.isTrue(Option.isNone(yield* there.indexes.byUser.get("Ada")))
      yield* there.insert("b", { user: "Ada" })
      yield* here.insert("a", { user: "Bob" })
      assert.strictEqual(yield* here.size, 2)
      assert.deepStrictEqual(yield* there.verify, [])
    }))

  it.effect("leaves out buffered writes after another process has begun a migration", () =>
    Effect.gen(function*() {
      const [first, second] = yield* openTwice
      const old = yield* Effect.provideService(notesOf(1), Store, first)
      yield* old.put("a", "stored")
      yield* first.flush
      yield* old.put("b", "buffered")
      const migrated = yield* Effect.provideService(notesOf(2), Store, second)
      const error = yield* Effect.flip(first.flush)
      assert.propertyVal(error, "_tag", "EngineFailure")
      assert.deepStrictEqual(yield* all(migrated.entries()), [["a", "stored!"]])
      assert.propertyVal(yield* Effect.flip(old.put("c", "late")), "_tag", "Closed")
    }))
})
