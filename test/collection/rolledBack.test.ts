/** A deployment that is rolled back: an older program meets a migration or a building of indexes that has begun. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { all, at, recordsOf, userOf, users } from "../support/fixtures/collections.ts"
import { cents, centsUntil, euros, manyPrices } from "../support/fixtures/prices.ts"
import { faultyStore, start, temporaryFolder, until, withLog } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"

const count = 2600

/** A store with prices in euros. */
const pricesInEuros = Effect.gen(function*() {
  const path = yield* temporaryFolder
  yield* at(path, Effect.flatMap(euros, ({ putMany }) => putMany(manyPrices(count))))
  return path
})

/** The same with a migration to cents that has failed in its second part. */
const halfMigrated = Effect.tap(pricesInEuros, (path) => at(path, Effect.flip(centsUntil(1500))))

const areCents = (path: string) =>
  at(
    path,
    Effect.gen(function*() {
      const { values, verify } = yield* cents
      assert.deepStrictEqual(
        (yield* all(values())).map(({ price }) => price),
        manyPrices(count).map(([, { price }]) => price * 100)
      )
      assert.deepStrictEqual(yield* verify, [])
    })
  )

describe("a migration that has started", () => {
  it.effect("keeps an older program from opening, says what to do, and migrates each record once", () =>
    Effect.gen(function*() {
      const path = yield* halfMigrated
      for (const readOnly of [false, true]) {
        const failure = yield* at(path, Effect.flip(euros), { readOnly })
        assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "NewerVersion", collection: "prices" })
        assert.include(failure.message, "a migration to version 2 has started")
        assert.include(failure.message, "restore a backup")
      }
      const readOnly = yield* at(path, Effect.flip(cents), { readOnly: true })
      assert.nestedInclude(readOnly, { "reason._tag": "Migration" })
      yield* areCents(path)
      yield* areCents(path)
    }))

  it.effect("whose first part failed changes nothing: the older program can open and continue", () =>
    Effect.gen(function*() {
      const path = yield* pricesInEuros
      yield* at(
        path,
        Effect.gen(function*() {
          const old = yield* euros
          yield* Effect.flip(centsUntil(7))
          yield* old.put(8, { price: 8 })
          assert.deepStrictEqual(yield* old.getOrFail(7), { price: 7 })
        })
      )
      assert.deepStrictEqual(yield* at(path, Effect.flatMap(euros, ({ getOrFail }) => getOrFail(8))), { price: 8 })
      yield* areCents(path)
    }))

  it.effect("continues over several versions from any part, in programs of its target versions", () =>
    Effect.gen(function*() {
      const Step = Schema.Struct({ steps: Schema.Array(Schema.Int) })
      let calls = 0
      let ends = Infinity
      const migration = (from: number) => (value: unknown) =>
        Effect.flatMap(
          Schema.decodeUnknownEffect(Step)(value),
          ({ steps }) => ++calls === ends ? Effect.fail("ended") : Effect.succeed({ steps: [...steps, from] })
        )
      const of = (version: number) =>
        Collection.make("steps", {
          key: Schema.Int,
          value: Step,
          version,
          migrations: { 1: migration(1), 2: migration(2) }
        })
      const size = 1100
      // Ends in each of the four parts
      for (const ending of [1, 1050, 1101, 2150]) {
        const path = yield* temporaryFolder
        const entries = Array.from({ length: size }, (_, key) => [key, { steps: [] }] as const)
        yield* at(path, Effect.flatMap(of(1), ({ putMany }) => putMany(entries)))
        calls = 0
        ends = ending
        assert.nestedInclude(yield* at(path, Effect.flip(of(3))), { "reason._tag": "Migration" })
        ends = Infinity
        const [first, second] = [
          yield* at(path, Effect.exit(of(1))),
          yield* at(path, Effect.exit(of(2)))
        ]
        assert.strictEqual(Exit.isSuccess(first), ending === 1)
        // In the middle of the second migration a record may be of the third version
        assert.strictEqual(Exit.isSuccess(second), ending !== 2150)
        const steps = yield* at(path, Effect.flatMap(of(3), ({ values }) => all(values())))
        assert.lengthOf(steps, size)
        for (const one of steps) assert.deepStrictEqual(one, { steps: [1, 2] })
      }
    }))

  it.effect("is not continued by a program with other schemas for its target version", () =>
    Effect.gen(function*() {
      const path = yield* halfMigrated
      const other = Collection.make("prices", {
        key: Schema.Int,
        value: Schema.Struct({ cents: Schema.Number }),
        version: 2,
        migrations: { 1: () => Effect.succeed({ cents: 1 }) }
      })
      const failure = yield* at(path, Effect.flip(other))
      assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "ChangedSchema" })
      assert.include(failure.message, "version 3")
      yield* areCents(path)
    }))

  it.effect("finds the records after a whole part of pending deletions", () =>
    Effect.gen(function*() {
      const path = yield* pricesInEuros
      yield* at(
        path,
        Effect.gen(function*() {
          const old = yield* euros
          for (let key = 0; key < 1100; key++) yield* old.delete(key)
          const { values } = yield* cents
          const prices = (yield* all(values())).map(({ price }) => price)
          assert.deepStrictEqual(prices, manyPrices(count).slice(1100).map(([, { price }]) => price * 100))
        }),
        { batchSize: 10_000 }
      )
    }))
})

/** Migrates in another process, until a price. */
const migrate = (path: string, bad: number) => {
  const program = new URL("../programs/migratePrices.ts", import.meta.url).pathname
  const { stderr, stdout } = spawnSync(process.execPath, [program, path, String(bad)], { encoding: "utf8" })
  assert.strictEqual(stderr, "")
  return stdout.split("\n").find((line) => line.startsWith("result: "))?.slice("result: ".length)
}

describe("a program that has the collection open when it is migrated", () => {
  const closed = { _tag: "Closed", what: "Collection" } as const

  it.effect("does not make a write that was waiting for room", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity", batchSize: 2 })
      yield* Effect.gen(function*() {
        const old = yield* euros
        const held = yield* faulty.holdCommit
        for (let key = 1; key <= 4; key++) yield* old.put(key, { price: key })
        const putting = yield* start(Effect.flip(old.put(5, { price: 5 })))
        const opening = yield* start(cents)
        yield* held.release
        const collection = yield* Fiber.join(opening)
        const prices = yield* all(collection.entries())
        const refused = yield* Effect.exit(Fiber.join(putting))
        // It came before the migration, or was refused
        assert.deepStrictEqual(
          prices.map(([key, { price }]) => price / key),
          prices.map(() => 100)
        )
        if (Exit.isSuccess(refused)) assert.include(refused.value, closed)
      }).pipe(Effect.provideService(Store, store))
    }))

  it.effect("does not commit a transaction or a putMany that started before", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(
        path,
        Effect.gen(function*() {
          const store = yield* Store
          const old = yield* euros
          yield* old.putMany(manyPrices(3))
          const written = yield* Deferred.make<void>()
          const goOn = yield* Deferred.make<void>()
          const transaction = yield* start(
            old.put(1, { price: 1 }).pipe(
              Effect.andThen(Deferred.succeed(written, undefined)),
              Effect.andThen(Deferred.await(goOn)),
              store.withTransaction,
              Effect.flip
            )
          )
          yield* Deferred.await(written)
          const collection = yield* cents
          yield* Deferred.succeed(goOn, undefined)
          assert.include(yield* Fiber.join(transaction), closed)
          assert.include(yield* Effect.flip(old.putMany([[2, { price: 2 }]])), closed)
          const prices = yield* all(collection.values())
          assert.deepStrictEqual(prices.map(({ price }) => price), [0, 100, 200])
        })
      )
    }))

  it.effect(
    "in another process does not make its pending writes, reports that, and keeps its other writes",
    () =>
      withLog((log) =>
        Effect.gen(function*() {
          for (const bad of [1500, -1]) {
            const path = yield* pricesInEuros
            yield* at(
              path,
              Effect.gen(function*() {
                const store = yield* Store
                const old = yield* euros
                yield* store.flush
                yield* old.put(5, { price: 5 })
                yield* old.put(7, { price: 7 })
                yield* store.put("other", "kept")
                assert.strictEqual(migrate(path, bad), bad === -1 ? "opened" : "Migration")
                const transaction = yield* Effect.flip(store.withTransaction(old.put(9, { price: 9 })))
                assert.include(transaction, closed)
                // The transaction ends before the commit that it shares. A write after that commit is told.
                const failure = yield* Effect.eventually(Effect.flip(store.put("next", 1)))
                assert.include(failure, { _tag: "EngineFailure", operation: "commit", isRetryable: false })
                assert.include(failure.message, "2 pending writes to the collection \"prices\"")
                yield* store.flush
                assert.strictEqual(yield* store.getOrFail("other"), "kept")
                for (const write of [old.put(5, { price: 5 }), old.clear, old.delete(5), old.putMany([])]) {
                  const exit = yield* Effect.exit(Effect.asVoid<unknown, { readonly _tag: string }, never>(write))
                  assert.isTrue(Exit.isFailure(exit))
                }
              }),
              { shared: true }
            )
            yield* areCents(path)
          }
          assert.isTrue(log.some(({ level, text }) => level === "ERROR" && text.includes("\"prices\"")))
        })
      ),
    testLimit
  )

  it.effect("in another process gets the error from the flush that waits", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* pricesInEuros
        yield* at(
          path,
          Effect.gen(function*() {
            const store = yield* Store
            const old = yield* euros
            yield* old.put(5, { price: 5 })
            assert.strictEqual(migrate(path, -1), "opened")
            assert.include(yield* Effect.flip(store.flush), { _tag: "EngineFailure", operation: "commit" })
            assert.include(yield* Effect.flip(old.put(5, { price: 5 })), closed)
          }),
          { shared: true }
        )
        yield* areCents(path)
      })
    ), testLimit)

  it.effect(
    "in another process may open it again, and its earlier pending writes are not made",
    () =>
      withLog(() =>
        Effect.gen(function*() {
          const path = yield* pricesInEuros
          yield* at(
            path,
            Effect.gen(function*() {
              const store = yield* Store
              const old = yield* euros
              yield* old.put(5, { price: 5 })
              assert.strictEqual(migrate(path, -1), "opened")
              const collection = yield* cents
              // What is lost is told of once
              assert.include(yield* Effect.flip(collection.put(6, { price: 600 })), { _tag: "EngineFailure" })
              yield* store.flush
              assert.deepStrictEqual(yield* collection.getOrFail(5), { price: 500 })
            }),
            { shared: true }
          )
          yield* areCents(path)
        })
      ),
    testLimit
  )
})

describe("an index build that was interrupted", () => {
  const plain = { key: users.key, value: users.value }
  const { byAge, byEmail } = users.indexes
  const older = Collection.make("users", { ...plain, indexes: { byEmail } })
  const newer = Collection.make("users", { ...plain, indexes: { byEmail: { ...byEmail, unique: false }, byAge } })
  const many = Array.from({ length: count }, (_, key) => [key, userOf(`u${key}`, key % 10)] as const)

  /** Users of the older program, and a building by the newer one that is interrupted after its first parts. */
  const halfBuilt = Effect.gen(function*() {
    const path = yield* temporaryFolder
    yield* at(path, Effect.flatMap(older, ({ putMany }) => putMany(many)))
    const { faulty, store } = yield* faultyStore({ path, flushInterval: "Infinity" })
    yield* faulty.fail("commit", faults.inputOutput, 3)
    const failure = yield* Effect.flip(Effect.provideService(newer, Store, store))
    assert.strictEqual(failure, faults.inputOutput)
    yield* store.close()
    assert.isAbove((yield* recordsOf(path, "index/users/byEmail/2")).length, 0)
    return path
  })

  it.effect("leaves the indexes of the older program in use, also read-only", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* halfBuilt
        const before = yield* recordsOf(path, "index/users/byEmail")
        for (const readOnly of [true, false]) {
          yield* at(
            path,
            Effect.gen(function*() {
              const { indexes, verify } = yield* older
              assert.deepStrictEqual(yield* verify, [])
              assert.strictEqual((yield* indexes.byEmail.getOrFail("u7@example.com")).name, "u7")
            }),
            { readOnly }
          )
        }
        assert.deepStrictEqual(yield* recordsOf(path, "index/users/byEmail"), before)
        assert.deepStrictEqual(yield* recordsOf(path, "index/users/byEmail/2"), [])
        assert.deepStrictEqual(yield* recordsOf(path, "index/users/byAge"), [])
      })
    ))

  it.effect("starts again after the older program has written, and is correct", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* halfBuilt
        yield* at(
          path,
          Effect.gen(function*() {
            const { delete: remove, put, verify } = yield* older
            yield* put(1, userOf("other", 77))
            yield* put(-1, userOf("new", 78))
            yield* remove(2)
            assert.deepStrictEqual(yield* verify, [])
          })
        )
        yield* at(
          path,
          Effect.gen(function*() {
            const { indexes, verify } = yield* newer
            assert.deepStrictEqual(yield* verify, [])
            assert.deepStrictEqual(yield* all(indexes.byAge.keys({ gte: 77 })), [1, -1])
            assert.strictEqual(yield* indexes.byEmail.count(), count)
          })
        )
        assert.deepStrictEqual(yield* recordsOf(path, "index/users/byEmail"), [])
        // And back again, where the first place is free
        yield* at(
          path,
          Effect.flatMap(older, ({ verify }) => Effect.map(verify, (problems) => assert.deepStrictEqual(problems, [])))
        )
        assert.lengthOf(yield* recordsOf(path, "index/users/byEmail"), count)
      })
    ))

  it.effect("continues where it stopped if the newer program opens first", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* halfBuilt
        const texts = log.length
        yield* at(
          path,
          Effect.flatMap(newer, ({ verify }) => Effect.map(verify, (problems) => assert.deepStrictEqual(problems, [])))
        )
        const last = log.slice(texts).at(-1)?.text ?? ""
        assert.match(last, /1,576 records/u)
      })
    ))

  it.effect("prevents handles of the older program from writing while it runs", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, Effect.flatMap(older, ({ putMany }) => putMany(many)))
      yield* at(
        path,
        Effect.gen(function*() {
          const old = yield* older
          const building = yield* start(newer)
          let failure: unknown
          yield* until(() => building.pollUnsafe() !== undefined || failure !== undefined).pipe(
            Effect.race(Effect.forever(Effect.andThen(
              Effect.tapError(old.put(0, userOf("u0", 3)), (error) =>
                Effect.sync(() => {
                  failure = error
                })),
              Effect.yieldNow
            ))),
            Effect.exit
          )
          const { verify } = yield* Fiber.join(building)
          assert.include(failure, { _tag: "Closed", what: "Collection" })
          assert.deepStrictEqual(yield* verify, [])
        })
      )
    }))
})
