/** Collections on a backend whose reads wait: other fibers write between two reads of one call. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { Store, type StoreOptions } from "../../src/index.ts"
import * as DelayedStore from "../support/delayedStore.ts"
import { all, openUsers, user, userOf } from "../support/fixtures/collections.ts"
import { below } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, withLog } from "../support/harness.ts"

const open = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const path = yield* temporaryFolder
  const store = yield* DelayedStore.open({ path, durability: "noSync", flushInterval: "Infinity", ...options })
  return { store, users: yield* Effect.provideService(openUsers, Store, store) }
})

type Users = Effect.Success<typeof openUsers>

/** Two users who exchange their addresses and ages, in one transaction each time. */
const exchange = (store: Store["Service"], users: Users, times: number) =>
  Effect.forEach(below(times), (number) =>
    store.withTransaction(Effect.gen(function*() {
      const isSwapped = number % 2 === 0
      yield* users.delete(1)
      yield* users.put(2, userOf(isSwapped ? "Ada" : "Bob", isSwapped ? 20 : 30))
      yield* users.put(1, userOf(isSwapped ? "Bob" : "Ada", isSwapped ? 30 : 20))
    })), { discard: true })

/** Uses an effect as long as a fiber runs. */
const whileRunning = <A, E, R>(fiber: Fiber.Fiber<unknown, unknown>, use: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    let uses = 0
    for (; fiber.pollUnsafe() === undefined; uses++) yield* use
    return uses
  })

const setUp = Effect.gen(function*() {
  const { store, users } = yield* open()
  yield* users.putMany([[1, userOf("Ada", 20)], [2, userOf("Bob", 30)]])
  const writer = yield* start(exchange(store, users, 40))
  return { store, users, writer }
})

describe("while two records exchange their keys in indexes", () => {
  it.effect("a unique index gives the record that has the key", () =>
    Effect.gen(function*() {
      const { users, writer } = yield* setUp
      const uses = yield* whileRunning(
        writer,
        Effect.map(
          users.indexes.byEmail.get("ada@example.com"),
          (found) => assert.strictEqual(Option.getOrThrow(found).email, "ada@example.com")
        )
      )
      yield* Fiber.join(writer)
      assert.isAbove(uses, 10)
      assert.deepStrictEqual(yield* users.verify, [])
    }))

  it.effect("an index gives the first record that has the key", () =>
    Effect.gen(function*() {
      const { users, writer } = yield* setUp
      const uses = yield* whileRunning(
        writer,
        Effect.map(users.indexes.byAge.getOrFail(20), (found) => assert.strictEqual(found.age, 20))
      )
      yield* Fiber.join(writer)
      assert.isAbove(uses, 10)
    }))

  it.effect("a stream without a snapshot gives records that have the keys by which it finds them", () =>
    Effect.gen(function*() {
      const { users, writer } = yield* setUp
      const uses = yield* whileRunning(
        writer,
        Effect.map(
          all(users.indexes.byAge.values({ snapshot: false })),
          (found) => assert.deepStrictEqual(found.map(({ age }) => age), [20, 30])
        )
      )
      yield* Fiber.join(writer)
      assert.isAbove(uses, 10)
    }))

  it.effect("opening the collection again finds its indexes undamaged", () =>
    withLog((entries) =>
      Effect.gen(function*() {
        const { store, users, writer } = yield* setUp
        const uses = yield* whileRunning(writer, Effect.provideService(openUsers, Store, store))
        yield* Fiber.join(writer)
        assert.isAbove(uses, 3)
        assert.deepStrictEqual(entries.filter(({ level }) => level === "WARN"), [])
        assert.deepStrictEqual(yield* users.verify, [])
      })
    ))
})

describe("many fibers", () => {
  it.effect("insert a record once, and take an address once", () =>
    Effect.gen(function*() {
      for (const shared of [false, true]) {
        const { users } = yield* open({ shared })
        const inserted = yield* Effect.forEach(
          below(12),
          (number) => Effect.result(users.insert(1, userOf(`U${number}`, number))),
          { concurrency: "unbounded" }
        )
        const taken = yield* Effect.forEach(
          below(12),
          (number) => Effect.result(users.put(100 + number, user())),
          { concurrency: "unbounded" }
        )
        const count = (results: ReadonlyArray<{ readonly _tag: string }>) =>
          results.filter(({ _tag }) => _tag === "Success").length
        assert.deepStrictEqual([count(inserted), count(taken), yield* users.size], [1, 1, 2])
        assert.deepStrictEqual(yield* users.verify, [])
      }
    }))

  it.effect("update a record one after the other", () =>
    Effect.gen(function*() {
      for (const shared of [false, true]) {
        const { store, users } = yield* open({ shared })
        yield* users.put(1, userOf("Ada", 0))
        yield* store.put("count", 0)
        yield* Effect.forEach(below(15), () =>
          Effect.all([
            users.update(1, Option.map((one) => userOf("Ada", one.age + 1))),
            store.update("count", Option.map((count) => Number(count) + 1))
          ], { concurrency: "unbounded" }), { concurrency: "unbounded" })
        assert.strictEqual((yield* users.getOrFail(1)).age, 15)
        assert.strictEqual(yield* store.getOrFail("count"), 15)
        assert.deepStrictEqual(yield* users.verify, [])
      }
    }))
})
