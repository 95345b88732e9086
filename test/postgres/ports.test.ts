/**
 * What each port is for, on a store on PostgreSQL that two processes have open: each handle has a client of its own.
 *
 * All the other tests of the ports that need no file of LMDB run on PostgreSQL too: see vitest.config.ts.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Effect from "effect/Effect"
import { StoreId } from "effect/eventlog/EventLogMessage"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedCache from "effect/persistence/PersistedCache"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as LmdbCircuitBreaker from "../../src/CircuitBreaker.ts"
import { RunnerStorage } from "../../src/Cluster.ts"
import * as LmdbEventLog from "../../src/EventLog.ts"
import { Store, type StoreService } from "../../src/index.ts"
import * as EndedClaims from "../../src/internal/ports/endedClaims.ts"
import * as LmdbKeyValueStore from "../../src/KeyValueStore.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"
import * as LmdbRateLimiter from "../../src/RateLimiter.ts"
import { entryAt, labelOf, numbered, openCounts } from "../support/fixtures/journals.ts"
import { Order, ordersOn } from "../support/fixtures/orders.ts"
import { allGiven, hold, openOn as openQueues, startHold, using } from "../support/fixtures/queues.ts"
import { temporaryFolder } from "../support/harness.ts"
import * as PostgresStores from "../support/postgresStore.ts"
import { testLimit } from "../support/timeLimits.ts"

/** Two handles on one store, each with a client of its own, as in two processes. */
const twoProcesses = Effect.gen(function*() {
  const table = yield* PostgresStores.freshTable
  return [yield* PostgresStores.openOn({ table }), yield* PostgresStores.openOn({ table })] as const
})

/** Builds a port on a store, until the scope closes. */
const on = <A, E, R>(store: StoreService, effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Store, store)

type Breaker = Effect.Success<typeof CircuitBreaker.CircuitBreaker>

const each = { concurrency: "unbounded" } as const

describe("queues of two processes", () => {
  const openQueue = PersistedQueue.make({ name: "numbers", schema: Schema.Int })

  it.live("wake each other, and each element has one handler", () =>
    Effect.gen(function*() {
      const [first, second] = yield* twoProcesses
      const [a, b] = yield* Effect.all([openQueues(first), openQueues(second)])
      const offering = yield* using(a)(openQueue)
      const taken: Array<number> = []
      const take = Effect.flatMap(openQueue, (queue) => queue.take((number) => Effect.sync(() => taken.push(number))))
      // They wait before the first offer.
      const takers = yield* Effect.forEach([a, b], (queues) =>
        Effect.forkChild(Effect.replicateEffect(using(queues)(take), 10, each), { startImmediately: true }))
      const numbers = Array.from({ length: 20 }, (_, number) =>
        number)
      yield* Effect.forEach(numbers, (number) => offering.offer(number, { id: `${number}` }), each)
      yield* Effect.forEach(numbers, (number) => offering.offer(number, { id: `${number}` }), each)
      yield* Effect.forEach(takers, Fiber.join)
      assert.deepStrictEqual(taken.toSorted((x, y) => x - y), numbers)
    }), testLimit)

  it.effect(
    "leave the elements of a process that lives, and take those of a dead one when their leases have ended",
    () =>
      Effect.gen(function*() {
        const [first, second] = yield* twoProcesses
        for (const { opening } of [first, second]) {
          assert.isFalse(opening.knowsEnds)
          assert.isFalse(yield* opening.hasEnded(first.opening.id))
          assert.isFalse(yield* opening.hasEnded("another"))
        }
        const options = { lockExpiration: "20 seconds" } as const
        const scope = yield* Scope.make()
        const claiming = yield* Scope.provide(openQueues(first, options), scope)
        yield* claiming.offer({ name: "q", id: "a", element: 1, isCustomId: true })
        yield* using(claiming)(hold("q"))
        // The queues of the second process start after the claim.
        const waiting = yield* using(yield* openQueues(second, options))(startHold("q"))
        const pass = Effect.andThen(TestClock.adjust("5 seconds"), using(claiming)(allGiven))
        yield* Effect.replicateEffect(pass, 6, { discard: true })
        assert.isUndefined(waiting.pollUnsafe())
        // The first process renews no lease any more, as if it had died.
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("10 seconds")
        assert.isUndefined(waiting.pollUnsafe())
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(waiting)).attempts, 2)
        // No process could ever delete the record of an opening.
        assert.deepStrictEqual(yield* Stream.runCollect((yield* on(first, EndedClaims.open)).keys()), [])
      }),
    testLimit
  )
})

const fail = (breaker: Breaker) => Effect.flip(breaker.execute(Effect.fail("boom"), { key: "k" }))

describe("limits of two processes", () => {
  it.live("give each token once", () =>
    Effect.gen(function*() {
      const limiters = yield* Effect.forEach(yield* twoProcesses, (store) =>
        on(store, LmdbRateLimiter.makeStore()).pipe(
          Effect.flatMap((limits) => Effect.provideService(RateLimiter.make, RateLimiter.RateLimiterStore, limits))
        ))
      const consume = { key: "k", limit: 10, window: "1 hour" } as const
      const calls = Array.from({ length: 10 }, () => limiters).flat()
      const results = yield* Effect.forEach(calls, (limiter) => Effect.result(limiter.consume(consume)), each)
      const given = results.flatMap((result) => result._tag === "Success" ? [result.success.remaining] : [])
      assert.deepStrictEqual(given.toSorted((x, y) => x - y), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }), testLimit)

  it.live("open a circuit for both", () =>
    Effect.gen(function*() {
      const options = { tripPolicy: CircuitBreaker.consecutive(4), openDuration: "1 hour" } as const
      const [a, b] = yield* Effect.forEach(yield* twoProcesses, (store) =>
        Effect.provide(
          CircuitBreaker.CircuitBreaker,
          Layer.fresh(LmdbCircuitBreaker.layer(options)).pipe(Layer.provide(Layer.succeed(Store, store)))
        ))
      assert.isDefined(a)
      assert.isDefined(b)
      yield* Effect.all([fail(a), fail(b), fail(a), fail(b)], each)
      assert.strictEqual((yield* a.state("k"))._tag, "Open")
      assert.strictEqual((yield* b.state("k"))._tag, "Open")
    }), testLimit)
})

const add = (values: KeyValueStore.KeyValueStore) => values.modify("n", (text) => `${Number(text) + 1}`)

describe("values", () => {
  it.live("of a key-value store are changed exactly by two processes", () =>
    Effect.gen(function*() {
      const [a, b] = yield* Effect.forEach(yield* twoProcesses, (store) => on(store, LmdbKeyValueStore.make()))
      assert.isDefined(a)
      assert.isDefined(b)
      yield* a.set("n", "0")
      yield* a.modify("n", (text) => text)
      yield* Effect.forEach([a, b, a, b, a, b], add, each)
      assert.strictEqual(yield* a.get("n"), "6")
      assert.strictEqual(yield* b.get("n"), "6")
    }), testLimit)

  class Lookup extends Persistable.Class()("Lookup", { primaryKey: () => "a", success: Schema.Number }) {}

  it.effect(
    "of a cache are looked up once for both processes, until their time to live has passed",
    () =>
      Effect.gen(function*() {
        const stores = yield* twoProcesses
        let lookups = 0
        const look = (store: StoreService) =>
          PersistedCache.make<Lookup>(() => Effect.sync(() => ++lookups), {
            storeId: "numbers",
            timeToLive: () => "1 hour"
          }).pipe(
            Effect.flatMap((cache) => cache.get(new Lookup())),
            Effect.scoped,
            Effect.provide(
              Layer.fresh(LmdbPersistence.layer({ durable: true }).pipe(Layer.provide(Layer.succeed(Store, store))))
            )
          )
        assert.deepStrictEqual(yield* Effect.forEach(stores, look), [1, 1])
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* Effect.forEach(stores.toReversed(), look), [2, 2])
      }),
    testLimit
  )
})

describe("a journal", () => {
  it.live("has the entries of both processes, each with what its effect stores", () =>
    Effect.gen(function*() {
      const processes = yield* Effect.forEach(yield* twoProcesses, (store, index) =>
        on(
          store,
          Effect.gen(function*() {
            const journal = yield* LmdbEventLog.makeJournal()
            const counts = yield* openCounts
            const write = (label: string) =>
              journal.write({
                event: "Added",
                primaryKey: "1",
                payload: Buffer.from(label),
                effect: () => counts.put(label, index)
              })
            return { journal, counts, write }
          })
        ))
      const [a, b] = processes
      assert.isDefined(a)
      assert.isDefined(b)
      yield* Effect.all([a.write("a1"), b.write("b1"), a.write("a2"), b.write("b2")], each)
      for (const { counts, journal } of processes) {
        assert.sameMembers((yield* journal.entries).map(labelOf), ["a1", "a2", "b1", "b2"])
        assert.strictEqual(yield* counts.size, 4)
      }
    }), testLimit)
})

describe("the storage of a server", () => {
  it.live("streams what the other process writes, and numbers on", () =>
    Effect.gen(function*() {
      const storeId = StoreId.make("a")
      const [a, b] = yield* Effect.forEach(yield* twoProcesses, (store) =>
        on(store, LmdbEventLog.makeStorageUnencrypted()))
      assert.isDefined(a)
      assert.isDefined(b)
      const changes = a.changes({ storeId, startSequence: 0, compactors: new Map() })
      const queue = yield* Stream.toQueue(changes, { capacity: "unbounded" })
      yield* b.write(storeId, [entryAt({ msecs: 1, label: "of b" })])
      yield* a.write(storeId, [entryAt({ msecs: 2, label: "of a" })])
      yield* b.write(storeId, [entryAt({ msecs: 3, label: "of b" })])
      const taken = yield* Effect.replicateEffect(Queue.take(queue), 3)
      assert.deepStrictEqual(numbered(taken), ["1 of b", "2 of a", "3 of b"])
    }), testLimit)
})

describe("a cluster", () => {
  it.live("runs a workflow to its end, and the next process has its result", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const file = join(yield* temporaryFolder, "acts")
      const order = Effect.scoped(Effect.flatMap(
        PostgresStores.openOn({ table }),
        (store) => Effect.provide(Order.execute({ id: "A-1" }), Layer.fresh(ordersOn(store, file)))
      ))
      assert.strictEqual(yield* order, "A-1: pay done, ship done")
      assert.strictEqual(yield* order, "A-1: pay done, ship done")
      assert.strictEqual(readFileSync(file, "utf8"), "pay\nship\n")
    }), testLimit)

  it.effect(
    "gives the shards of a runner to another one when its locks have ended, and not before",
    () =>
      Effect.gen(function*() {
        const [first, second] = yield* Effect.forEach(
          yield* twoProcesses,
          (store) =>
            on(store, Effect.provide(RunnerStorage.makeEncoded, ShardingConfig.layer({ shardLockExpiration: 35_000 })))
        )
        assert.isDefined(first)
        assert.isDefined(second)
        const shards = ["default:1", "default:2"]
        yield* first.register("a:1", "runner a", true)
        assert.deepStrictEqual(yield* first.acquire("a:1", ["default:1", "default:2"]), shards)
        assert.deepStrictEqual(yield* second.acquire("b:1", ["default:1", "default:2"]), [])
        assert.deepStrictEqual(yield* second.getRunners, [["runner a", true]])
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(yield* first.refresh("a:1", ["default:1"]), ["default:1"])
        yield* TestClock.adjust("6 seconds")
        assert.deepStrictEqual(yield* second.acquire("b:1", ["default:1", "default:2"]), ["default:2"])
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(yield* second.acquire("b:1", ["default:1"]), ["default:1"])
        assert.deepStrictEqual(yield* first.refresh("a:1", ["default:1"]), [])
      }),
    testLimit
  )
})
