/** Transactions inside of transactions: on the same store they are a part, on another a transaction of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Store, type StoreService, TransactionConflict } from "../../src/index.ts"
import { begin, below, contentOf, increment, numberOf, openSeeded, seed } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

/** Writes in all ways. */
const writeAll = (store: StoreService, value: number) =>
  Effect.all([
    store.put("a", value),
    store.delete("b"),
    store.update("c", () => Option.some(value)),
    store.putMany({ d: value }),
    store.deleteMany(["outer"]),
    store.deleteRange({ prefix: "out" })
  ])

describe("inTransaction", () => {
  it.effect("is true inside a transaction of this store and in its fibers, and false everywhere else", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const other = yield* Store.make({ path: yield* temporaryFolder })
      assert.isFalse(yield* store.inTransaction)
      yield* store.withTransaction(Effect.gen(function*() {
        assert.isTrue(yield* store.inTransaction)
        assert.isTrue(yield* Fiber.join(yield* Effect.forkChild(store.inTransaction)))
        assert.isTrue(yield* store.withTransaction(store.inTransaction))
        assert.isFalse(yield* other.inTransaction)
      }))
      assert.isFalse(yield* store.inTransaction)
    }))
})

describe("a nested transaction", () => {
  it.effect.each<{ readonly how: string; readonly end: Effect.Effect<unknown, string> }>([
    { how: "failure", end: Effect.fail("no") },
    { how: "defect", end: Effect.die("no") },
    { how: "interruption", end: Effect.interrupt }
  ])("whose $how is caught outside undoes only its own writes", ({ end }) =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("outer", 1)
        const exit = yield* store.withTransaction(Effect.gen(function*() {
          yield* writeAll(store, 10)
          assert.deepStrictEqual(yield* contentOf(store), { a: 10, c: 10, d: 10 })
          return yield* end
        })).pipe(Effect.exit)
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(yield* contentOf(store), { ...seed, outer: 1 })
        assert.strictEqual(yield* store.count(), 4)
        yield* store.put("later", 1)
      }))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, later: 1, outer: 1 })
      assert.deepStrictEqual(spy.commits().slice(1), [["outer", "later"]])
    }))

  it.effect("that clears and fails clears nothing", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("outer", 1)
        const nested = Effect.all([store.clear, store.put("inner", 1), Effect.fail("no")])
        yield* Effect.flip(store.withTransaction(nested))
        assert.deepStrictEqual(yield* contentOf(store), { ...seed, outer: 1 })
      }))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, outer: 1 })
    }))

  it.effect("that succeeds joins the outer one: they are committed together", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const result = yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("outer", 1)
        const nested = yield* store.withTransaction(Effect.as(writeAll(store, 10), "result"))
        assert.deepStrictEqual(yield* contentOf(store), { a: 10, c: 10, d: 10 })
        assert.strictEqual(spy.transactions(), 1)
        return nested
      }))
      assert.strictEqual(result, "result")
      assert.deepStrictEqual(yield* contentOf(store), { a: 10, c: 10, d: 10 })
      assert.strictEqual(spy.transactions(), 2)
    }))

  it.effect("that clears and succeeds clears the writes of the outer one", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        yield* store.put("outer", 1)
        yield* store.withTransaction(Effect.all([store.clear, store.put("inner", 1)]))
        assert.deepStrictEqual(yield* contentOf(store), { inner: 1 })
        yield* store.put("later", 1)
      }))
      assert.deepStrictEqual(yield* contentOf(store), { inner: 1, later: 1 })
    }))

  it.effect("is undone if the outer one fails", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      yield* Effect.flip(store.withTransaction(
        Effect.andThen(store.withTransaction(writeAll(store, 10)), Effect.fail("no"))
      ))
      assert.deepStrictEqual(yield* contentOf(store), seed)
    }))

  it.effect("whose failure is not caught undoes the outer one", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const error = yield* Effect.flip(store.withTransaction(
        Effect.andThen(
          store.put("outer", 1),
          store.withTransaction(Effect.andThen(store.put("inner", 1), Effect.fail("no")))
        )
      ))
      assert.strictEqual(error, "no")
      assert.deepStrictEqual(yield* contentOf(store), seed)
    }))

  it.effect("at the third level: the failure of each level undoes that level and the levels inside it", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const level = <E>(name: string, inner: Effect.Effect<unknown, E>) =>
        store.withTransaction(Effect.all([
          store.put(name, 1),
          store.update("a", increment),
          Effect.ignore(inner),
          store.update("a", increment)
        ]))
      const failing = (name: string) => Effect.andThen(level(name, Effect.void), Effect.fail("no"))
      yield* level("1", level("1.1", failing("1.1.1")))
      // The third succeeded; it is the second that fails
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 7, 1: 1, "1.1": 1, "1.1.1": 1 })
      yield* level("2", store.withTransaction(failing("2.1")))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 9, 1: 1, "1.1": 1, "1.1.1": 1, 2: 1 })
      yield* level("3", level("3.1", store.withTransaction(failing("3.1.1"))))
      assert.deepStrictEqual(yield* store.getMany<string>(["3", "3.1", "3.1.1"]), {
        found: new Map([["3", 1], ["3.1", 1]]),
        missing: ["3.1.1"]
      })
      yield* level(
        "4",
        store.withTransaction(Effect.andThen(level("4.1", level("4.1.1", Effect.void)), Effect.fail("no")))
      )
      assert.deepStrictEqual((yield* store.getMany(["4", "4.1", "4.1.1"])).missing, ["4.1", "4.1.1"])
      assert.strictEqual(yield* store.getOrFail("a"), 15)
    }))

  it.effect("reads the snapshot of the outer one, and is validated with it", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const transaction = yield* begin(store)
      assert.strictEqual(yield* transaction.inside(store.getOrFail("a")), 1)
      yield* store.putMany({ a: 10, b: 20 })
      // What is read by a part that comes to nothing was read all the same
      const nested = store.withTransaction(Effect.andThen(store.getOrFail("b"), Effect.fail("no")))
      assert.strictEqual(yield* transaction.inside(Effect.flip(nested)), "no")
      assert.strictEqual(yield* transaction.inside(store.withTransaction(store.getOrFail("b"))), 2)
      yield* transaction.inside(store.put("c", 4))
      assert.strictEqual((yield* Effect.flip(transaction.commit))._tag, "TransactionConflict")
    }))

  it.effect("whose reads other fibers have changed conflicts with the outer one, and the outer one runs again", () =>
    Effect.gen(function*() {
      const { store } = yield* openSeeded()
      const runs = { outer: 0, nested: 0 }
      const nested = Effect.gen(function*() {
        runs.nested++
        const seen = yield* store.getOrFail("a")
        if (runs.nested === 1) yield* Deferred.await(changed)
        yield* store.put("seen", seen)
      })
      const changed = yield* Deferred.make<void>()
      const fiber = yield* start(store.withTransaction(Effect.suspend(() => {
        runs.outer++
        return store.withTransactionRetry(Schedule.recurs(50))(nested)
      })))
      yield* store.putMany({ a: 10 })
      yield* Deferred.succeed(changed, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(runs, { outer: 2, nested: 2 })
      assert.strictEqual(yield* store.getOrFail("seen"), 10)
    }))

  it.effect("of a sibling fiber is isolated from the others: no update is lost, and write skew is refused", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const add = Effect.gen(function*() {
        const count = yield* numberOf(store, "count")
        yield* turns(3)
        yield* store.put("count", count + 1)
      })
      const take = (name: string) =>
        Effect.gen(function*() {
          const taken = yield* store.count({ prefix: "name" })
          yield* turns(3)
          if (taken === 0) yield* store.put(`name ${name}`, 1)
        })
      yield* store.withTransaction(Effect.forEach(
        below(20),
        (n) => Effect.andThen(store.withTransaction(add), store.withTransaction(take(`${n}`))),
        { concurrency: "unbounded", discard: true }
      ))
      assert.strictEqual(yield* store.getOrFail("count"), 20)
      assert.strictEqual(yield* store.count({ prefix: "name" }), 1)
      assert.strictEqual(spy.transactions(), 2)
    }))

  it.effect("that may not run again fails with TransactionConflict, and the outer one continues", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      yield* store.withTransaction(Effect.gen(function*() {
        const written = yield* Deferred.make<void>()
        const nested = yield* start(
          store.withTransactionRetry(Schedule.recurs(0))(
            Effect.gen(function*() {
              yield* store.get("a")
              yield* store.put("b", 20)
              yield* Deferred.await(written)
            })
          )
        )
        yield* store.put("a", 10)
        yield* Deferred.succeed(written, undefined)
        const conflict = yield* Effect.flip(Fiber.join(nested))
        assert.deepStrictEqual(conflict, new TransactionConflict({ path, attempts: 1 }))
      }))
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 10 })
    }))
})

describe("transactions on two stores", () => {
  const openBoth = Effect.gen(function*() {
    const left = yield* Store.make({ path: yield* temporaryFolder })
    const right = yield* Store.make({ path: yield* temporaryFolder })
    return { left, right }
  })

  it.effect("nested in each other are separate: each call belongs to the transaction of its store, and each is committed separately", () =>
    Effect.gen(function*() {
      const { left, right } = yield* openBoth
      yield* left.withTransaction(Effect.gen(function*() {
        yield* left.put("a", 1)
        yield* right.put("buffered", 1)
        assert.strictEqual((yield* right.stats).pending, 1)
        yield* right.withTransaction(Effect.gen(function*() {
          yield* left.update("a", increment)
          yield* right.put("b", 1)
          assert.deepStrictEqual(yield* contentOf(left), { a: 2 })
          // Back in the transaction of the left store, as a part of it
          yield* Effect.ignore(
            left.withTransaction(Effect.all([left.put("a", 0), right.put("c", 1), Effect.fail("no")]))
          )
          assert.strictEqual(yield* left.getOrFail("a"), 2)
        }))
        assert.strictEqual((yield* right.stats).pending, 0)
        assert.deepStrictEqual(yield* contentOf(left), { a: 2 })
      }))
      assert.deepStrictEqual(yield* contentOf(left), { a: 2 })
      assert.deepStrictEqual(yield* contentOf(right), { b: 1, buffered: 1, c: 1 })
    }))

  it.effect("the failure of one does not affect the other", () =>
    Effect.gen(function*() {
      const { left, right } = yield* openBoth
      yield* left.withTransaction(Effect.andThen(
        left.put("a", 1),
        Effect.ignore(right.withTransaction(Effect.andThen(right.put("a", 1), Effect.fail("no"))))
      ))
      assert.deepStrictEqual([yield* contentOf(left), yield* contentOf(right)], [{ a: 1 }, {}])
      yield* Effect.ignore(left.withTransaction(Effect.all([
        left.put("b", 1),
        right.withTransaction(right.put("b", 1)),
        Effect.fail("no")
      ])))
      assert.deepStrictEqual([yield* contentOf(left), yield* contentOf(right)], [{ a: 1 }, { b: 1 }])
    }))

  it.effect("of one path opened twice are one: a transaction of one handle includes the calls of the other", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* Store.make({ path })
      const second = yield* Store.make({ path })
      yield* first.withTransaction(Effect.gen(function*() {
        yield* first.put("a", 1)
        assert.strictEqual(yield* second.getOrFail("a"), 1)
        yield* second.withTransaction(second.update("a", increment))
        assert.strictEqual(yield* first.getOrFail("a"), 2)
        yield* Effect.ignore(second.withTransaction(Effect.andThen(second.put("a", 9), Effect.fail("no"))))
        assert.strictEqual((yield* second.stats).pending, 0)
      }))
      assert.deepStrictEqual(yield* contentOf(second), { a: 2 })
    }))
})
