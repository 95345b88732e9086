/** What a crowd of transactions must keep: sums, counts, and pairs that are written together. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Store, type StoreService } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { below, contentOf, increment, numberOf } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const together = <A, E, R>(count: number, use: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(below(count), use, { concurrency: "unbounded", discard: true })

const accounts = below(100).map((n) => `account ${n}`)

const total = 100 * accounts.length

const openBank = Effect.fnUntraced(function*() {
  const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
  yield* store.putMany(accounts.map((name) => [name, 100] as const))
  return store
})

const anyAccount = Effect.map(Random.nextIntBetween(0, accounts.length - 1), (n) => accounts[n] ?? "")

const sumOf = (store: StoreService) =>
  Effect.map(
    Stream.runCollect(store.values({ prefix: "account" })),
    (values) => values.reduce((sum: number, value) => sum + Number(value), 0)
  )

/** Moves an amount, in small steps. */
const transfer = Effect.fnUntraced(function*(store: StoreService) {
  const [from, to] = [yield* anyAccount, yield* anyAccount]
  const amount = yield* Random.nextIntBetween(1, 50)
  const balance = yield* numberOf(store, from)
  yield* Effect.yieldNow
  if (balance < amount) return yield* Effect.fail("too little")
  yield* store.put(from, balance - amount)
  yield* Effect.yieldNow
  yield* store.put(to, (yield* numberOf(store, to)) + amount)
  if (amount === 13) return yield* Effect.fail("bad luck")
})

describe("a thousand fibers", () => {
  it.effect("that move money among a hundred accounts keep the sum, at the end and in every read", () =>
    Effect.gen(function*() {
      const store = yield* openBank()
      const crowd = yield* start(together(1000, () =>
        store.withTransaction(transfer(store)).pipe(
          Effect.catchIf((error) => typeof error === "string", () => Effect.void)
        )))
      let looks = 0
      while (crowd.pollUnsafe() === undefined) {
        assert.strictEqual(yield* store.withTransaction(sumOf(store)), total)
        assert.strictEqual(yield* sumOf(store), total)
        looks++
        yield* turns(5)
      }
      yield* Fiber.join(crowd)
      assert.isAbove(looks, 1)
      const balances = Object.values(yield* contentOf(store)).map(Number)
      assert.strictEqual(balances.reduce((sum, balance) => sum + balance, 0), total)
      assert.isTrue(balances.every((balance) => balance >= 0))
      assert.isFalse(balances.every((balance) => balance === 100))
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))

  it.effect("that increment by reading and writing lose no increment", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ durability: "noSync" })
      const seen = new Set<number>()
      yield* together(1000, () =>
        Effect.map(
          store.withTransaction(Effect.gen(function*() {
            const count = (yield* numberOf(store, "count")) + 1
            yield* Effect.yieldNow
            yield* store.put("count", count)
            return count
          })),
          (count) => seen.add(count)
        ))
      assert.strictEqual(yield* store.getOrFail("count"), 1000)
      assert.strictEqual(seen.size, 1000)
      // Those in conflict share commits
      assert.isBelow(spy.transactions(), 100)
    }))

  it.effect("that increment with transactions, updates and parts of transactions lose no increment", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync", batchSize: 10 })
      yield* together(600, (n): Effect.Effect<unknown, unknown> => {
        const add = store.update("count", increment)
        if (n % 3 === 0) return add
        if (n % 3 === 1) return store.withTransaction(Effect.andThen(Effect.yieldNow, add))
        return store.withTransaction(Effect.all([
          store.withTransaction(add),
          Effect.flip(store.withTransaction(Effect.andThen(add, Effect.fail("no"))))
        ]))
      })
      yield* store.flush
      assert.strictEqual(yield* store.getOrFail("count"), 600)
    }))

  it.effect("that read all and write one are all committed in the end", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
      yield* together(
        90,
        (n) => store.withTransaction(Effect.flatMap(store.count(), (count) => store.put(`${n}`, count)))
      )
      const counts = Object.values(yield* contentOf(store)).map(Number)
      assert.deepStrictEqual(counts.toSorted((a, b) => a - b), below(90))
    }))
})

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("interruptions", () => {
  it.effect.prop(
    "at random points leave transactions atomic: pairs are always equal",
    {
      writers: Schema.Array(Schema.Struct({ pair: between(0, 3), pauses: between(0, 40), work: between(0, 8) })).check(
        Schema.isBetweenLength(10, 40)
      )
    },
    ({ writers }) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const options = { path, durability: "noSync" } as const
        const store = yield* Store.make(options)
        const assertPairs = Effect.fnUntraced(function*(from: StoreService) {
          const content = yield* contentOf(from)
          for (const pair of below(4)) assert.strictEqual(content[`left ${pair}`], content[`right ${pair}`])
          return content
        })
        const made = new Map<string, number>()
        for (const { pair, pauses, work } of writers) {
          const others = yield* start(store.withTransaction(store.update("other", increment)))
          const fiber = yield* start(store.withTransaction(Effect.gen(function*() {
            const left = yield* store.update(`left ${pair}`, increment)
            yield* turns(work)
            const right = yield* store.withTransaction(store.update(`right ${pair}`, increment))
            assert.deepStrictEqual(left, right)
            return Option.getOrThrow(right)
          })))
          yield* turns(pauses)
          yield* Fiber.interrupt(fiber)
          const exit = yield* Effect.exit(Fiber.join(fiber))
          const content = yield* assertPairs(store)
          const before = made.get(`left ${pair}`) ?? 0
          const after = Number(content[`left ${pair}`] ?? 0)
          if (exit._tag === "Success") assert.strictEqual(after, exit.value)
          assert.include([before, before + 1], after)
          made.set(`left ${pair}`, after)
          yield* Fiber.join(others)
        }
        assert.strictEqual((yield* store.stats).snapshots, 0)
        assert.strictEqual(yield* store.getOrFail("other"), writers.length)
        yield* store.close({ strict: true })
        const reopened = yield* Store.make(options)
        assert.deepInclude(yield* assertPairs(reopened), { other: writers.length })
      }),
    { arbitrary: { runs: 15 } }
  )

  it.effect("of many fibers at once leave pairs equal, and do not affect other fibers", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync" })
      const fibers = yield* Effect.forEach(below(200), (n) =>
        start(store.withTransaction(Effect.all([
          store.update(`left ${n % 5}`, increment),
          Effect.yieldNow,
          store.update(`right ${n % 5}`, increment)
        ]))))
      yield* Effect.forEach(
        fibers,
        (fiber, n) => n % 2 === 0 ? Effect.void : Effect.andThen(turns(1), Fiber.interrupt(fiber)),
        {
          concurrency: 10
        }
      )
      const ended = yield* Effect.forEach(fibers, Fiber.await)
      for (const [n, exit] of ended.entries()) if (n % 2 === 0) assert.strictEqual(exit._tag, "Success")
      const content = yield* contentOf(store)
      for (const n of below(5)) {
        assert.strictEqual(content[`left ${n}`], content[`right ${n}`])
        const made = ended.filter((exit, index) => index % 5 === n && exit._tag === "Success").length
        assert.isAtLeast(Number(content[`left ${n}`]), made)
      }
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))
})
