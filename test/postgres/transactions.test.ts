/** Transactions on PostgreSQL: many with few connections, none that reads two states, and none that a lost connection fails. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import * as PostgresStore from "../../src/Postgres.ts"
import * as CuttingProxy from "../support/cuttingProxy.ts"
import { below, numberOf } from "../support/fixtures/transactions.ts"
import { start } from "../support/harness.ts"
import { serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"

/** Opens a store with three connections, of which one may be a snapshot, behind a proxy. */
const openSmall = Effect.gen(function*() {
  const table = yield* PostgresStores.freshTable
  const url = new URL(serverUrl())
  const proxy = yield* CuttingProxy.make(Number(url.port), 1)
  url.port = `${proxy.port}`
  const sql = yield* PostgresStores.connectTo(url.href, { maxConnections: 3 })
  const store = yield* Effect.provideService(
    PostgresStore.make({ table, snapshots: 1, patience: "30 seconds", flushInterval: "Infinity" }),
    SqlClient.SqlClient,
    sql
  )
  const other = yield* PostgresStores.openOn({ table })
  yield* other.putMany({ a: 0, b: 0, c: 0 })
  return { other, proxy, store }
})

/** Writes the same number to two keys. */
const putPair = (store: StoreService, number: number) => store.putMany({ a: number, b: number })

/** Takes the only snapshot of a store, until the scope closes. */
const takeSnapshot = Effect.fnUntraced(function*(store: StoreService) {
  const open = yield* Deferred.make<void>()
  yield* Effect.forkScoped(
    Stream.runForEach(store.entries(), () => Effect.andThen(Deferred.succeed(open, undefined), Effect.never))
  )
  yield* Deferred.await(open)
})

/** A transaction that reads both keys, with something in between. Returns what it has read, and the number of attempts. */
const readingPair = (store: StoreService, between: (attempt: number) => Effect.Effect<unknown, unknown>) =>
  Effect.suspend(() => {
    let attempts = 0
    return Effect.map(
      store.withTransaction(Effect.gen(function*() {
        attempts++
        const a = yield* numberOf(store, "a")
        yield* between(attempts)
        return [a, yield* numberOf(store, "b")]
      })),
      (pair) => ({ pair, attempts })
    )
  })

describe("transactions on few connections", () => {
  it.effect("run all at once, while the only snapshot is open and a connection listens", () =>
    Effect.gen(function*() {
      const { other, store } = yield* openSmall
      yield* takeSnapshot(store)
      const watched = yield* start(Stream.runHead(Stream.drop(store.watch("end"), 1)))
      const count = 50
      let reading = 0
      const allRead = yield* Deferred.make<void>()
      const transactions = yield* start(Effect.forEach(below(count), (number) =>
        store.withTransaction(Effect.gen(function*() {
          const before = yield* numberOf(store, `count ${number}`)
          // Each is open before one of them goes on, and the state of the store is another one then.
          if (++reading === count) yield* Deferred.succeed(allRead, undefined)
          yield* Deferred.await(allRead)
          yield* Effect.yieldNow
          const c = yield* numberOf(store, "c")
          yield* store.put(`count ${number}`, before + c)
        })), { concurrency: "unbounded", discard: true }))
      yield* Deferred.await(allRead)
      yield* other.put("d", 1, { durable: true })
      yield* other.put("c", 1, { durable: true })
      yield* Fiber.join(transactions)
      const { found } = yield* other.getMany(
        below(count).map((number) =>
          `count ${number}`
        )
      )
      assert.strictEqual(found.size, count)
      yield* other.put("end", 1, { durable: true })
      yield* Fiber.join(watched)
    }))

  it.effect("show the right sum inside of each transfer that two stores make", () =>
    Effect.gen(function*() {
      const { other, store } = yield* openSmall
      const accounts = below(6).map((number) => `account ${number}`)
      yield* other.putMany(accounts.map((account) => [account, 100] as const))
      const sums: Array<number> = []
      const transfer = (on: StoreService, number: number) =>
        on.withTransaction(Effect.gen(function*() {
          const balances: Array<number> = []
          for (const account of accounts) balances.push(yield* numberOf(on, account))
          sums.push(balances.reduce((sum, balance) => sum + balance, 0))
          const [from, to] = [number % 6, (number + 1 + number % 5) % 6]
          yield* on.put(`account ${from}`, (balances[from] ?? 0) - 1)
          yield* on.put(`account ${to}`, (balances[to] ?? 0) + 1)
        }))
      yield* Effect.forEach(below(40), (number) => transfer(number % 2 === 0 ? store : other, number), {
        concurrency: 8,
        discard: true
      })
      assert.deepStrictEqual([...new Set(sums)], [600])
      const { found } = yield* other.getMany(accounts)
      assert.strictEqual([...found.values()].reduce((sum: number, value) => sum + Number(value), 0), 600)
    }))
})

describe("a read on PostgreSQL", () => {
  it.effect("has the pending writes of its process while their commit is refused and made again", () =>
    Effect.gen(function*() {
      const { other, proxy, store } = yield* openSmall
      const fields = { key: Schema.String, value: Schema.Finite }
      const prices = yield* Effect.provideService(Collection.make("prices", fields), Store, store)
      yield* prices.put("x", 1)
      yield* store.flush
      const byPrice = { key: Schema.Tuple([Schema.Finite]), of: (price: number) => [price] as const }
      yield* Effect.provideService(Collection.make("prices", { ...fields, indexes: { byPrice } }), Store, other)
      yield* store.put("pending", 1)
      yield* prices.put("y", 2)
      proxy.delayMillis = 10
      const flushed = yield* start(Effect.exit(store.flush))
      const sizes = new Set<number>()
      while (flushed.pollUnsafe() === undefined) {
        sizes.add(yield* store.size)
        sizes.add(yield* store.withTransaction(store.size))
      }
      // Another process has migrated the collection, so its record is left out.
      assert.isTrue(Exit.isFailure(yield* Fiber.join(flushed)))
      assert.deepStrictEqual([...sizes], [4])
    }))
})

describe("a transaction on PostgreSQL", () => {
  it.effect("goes on when others commit what it has not read, and its own process what it has read", () =>
    Effect.gen(function*() {
      const { other, store } = yield* openSmall
      yield* store.put("a", 7)
      const { attempts, pair } = yield* readingPair(
        store,
        () => Effect.all([store.flush, other.put("b", 8, { durable: true })])
      )
      assert.deepStrictEqual(pair, [7, 8])
      assert.strictEqual(attempts, 1)
    }))

  it.effect("that others make outdated again and again takes a snapshot on a connection of its own", () =>
    Effect.gen(function*() {
      const { other, store } = yield* openSmall
      const readers: Array<number> = []
      const { attempts, pair } = yield* readingPair(store, (attempt) =>
        Effect.andThen(
          putPair(other, attempt),
          Effect.map(Effect.orDie(store.stats), (stats) => {
            readers.push(stats.readers)
          })
        ))
      assert.deepStrictEqual(pair, [1, 1])
      assert.strictEqual(attempts, 2)
      assert.deepStrictEqual(readers, [0, 1])
      assert.strictEqual((yield* store.stats).readers, 0)
    }))

  it.effect("does not wait for such a snapshot for ever", () =>
    Effect.gen(function*() {
      const { other, store } = yield* openSmall
      yield* takeSnapshot(store)
      const { attempts, pair } = yield* readingPair(store, (attempt) =>
        attempt < 3 ? putPair(other, attempt) : Effect.void)
      assert.deepStrictEqual(pair, [2, 2])
      assert.strictEqual(attempts, 3)
    }))

  it.effect("that is outdated is not committed, even if it goes on after its reads were interrupted", () =>
    Effect.gen(function*() {
      const { other, store } = yield* openSmall
      let attempts = 0
      const interrupted: Array<boolean> = []
      yield* store.withTransaction(Effect.gen(function*() {
        const a = yield* numberOf(store, "a")
        if (++attempts === 1) yield* putPair(other, 1)
        const exit = yield* Effect.exit(Effect.uninterruptible(numberOf(store, "b")))
        interrupted.push(Exit.hasInterrupts(exit))
        yield* store.put("seen", a)
      }))
      assert.deepStrictEqual(interrupted, [true, false])
      assert.strictEqual(yield* other.getOrFail("seen"), 1)
    }))

  it.effect("that is outdated and interrupted does not run again", () =>
    Effect.gen(function*() {
      const { other, store } = yield* openSmall
      let attempts = 0
      const outdated = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const fiber = yield* start(store.withTransaction(
        Effect.gen(function*() {
          attempts++
          yield* numberOf(store, "a")
          yield* putPair(other, attempts)
          yield* numberOf(store, "b")
        }).pipe(Effect.ensuring(Effect.andThen(Deferred.succeed(outdated, undefined), Deferred.await(goOn))))
      ))
      yield* Deferred.await(outdated)
      const interruption = yield* start(Fiber.interrupt(fiber))
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(interruption)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.strictEqual(attempts, 1)
    }))

  it.effect("reads on after its connections were lost, and is made once", () =>
    Effect.gen(function*() {
      const { other, proxy, store } = yield* openSmall
      const attempts: Array<number> = []
      for (const round of below(3)) {
        let attempt = 0
        yield* store.withTransaction(Effect.gen(function*() {
          attempts[round] = ++attempt
          const a = yield* numberOf(store, "a")
          proxy.cutAll()
          yield* store.put("a", a + (yield* numberOf(store, "b")) + 1)
        }))
      }
      assert.deepStrictEqual(attempts, [1, 1, 1])
      assert.strictEqual(yield* other.getOrFail("a"), 3)
    }))

  it.effect("runs again if the connection of its snapshot is lost, and is made once", () =>
    Effect.gen(function*() {
      const { other, proxy, store } = yield* openSmall
      let attempts = 0
      yield* store.withTransaction(Effect.gen(function*() {
        attempts++
        const a = yield* numberOf(store, "a")
        if (attempts === 1) yield* putPair(other, 5)
        if (attempts === 2) proxy.cutAll()
        yield* store.put("a", a + (yield* numberOf(store, "b")))
      }))
      assert.strictEqual(attempts, 3)
      assert.strictEqual(yield* other.getOrFail("a"), 10)
    }))
})
