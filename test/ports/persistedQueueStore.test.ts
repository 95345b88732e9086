/** What the queues of a store do beyond Effect's interface: transactions, durability, wake-ups and failures of the store. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Buffer } from "node:buffer"
import type * as Engine from "../../src/Engine.ts"
import { Collection, Store, type StoreService } from "../../src/index.ts"
import { ByteString } from "../../src/Key.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import { FailedElements } from "../../src/PersistedQueue.ts"
import { faults } from "../../src/testing/FaultyEngine.ts"
import { at, recordsOf, tamper } from "../support/fixtures/collections.ts"
import { allGiven, assertWaits, hold, live, openOn, openQueue, startHold, using } from "../support/fixtures/queues.ts"
import { faultyStore, type LogEntry, start, temporaryFolder, turns, until, withLog } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"

const openUsers = Collection.make("users", { key: Schema.Int, value: Schema.String })

/** Takes elements until none is due, and returns their ids. */
const idsOf = Effect.fnUntraced(function*(name: string) {
  const ids: Array<string> = []
  while (true) {
    const fiber = yield* startHold(name)
    yield* allGiven
    const exit = fiber.pollUnsafe()
    yield* Fiber.interrupt(fiber)
    if (exit === undefined) return ids
    const held = yield* exit
    ids.push(held.id)
    yield* held.end(Exit.void)
  }
})

const offerTo = (queues: PersistedQueue.PersistedQueueStore["Service"], id: string) =>
  queues.offer({ name: "q", id, element: 1, isCustomId: true })

/** Counts the commits of a store from now on, until the scope closes. */
const countCommits = Effect.fnUntraced(function*(store: StoreService) {
  let commits = 0
  yield* start(Stream.runForEach(store.commits(), () => Effect.sync(() => commits++)))
  return () => commits
})

/** The number of errors in the log that contain a text. */
const toldOf = (log: ReadonlyArray<LogEntry>, text: string) =>
  log.filter((entry) => entry.level === "ERROR" && entry.text.includes(text)).length

describe("an offer inside a transaction", () => {
  it.effect("is stored with the other writes of the transaction, and taken when it is committed", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const users = yield* openUsers
      const queue = yield* openQueue("outbox")
      const offered = yield* Deferred.make<void>()
      const commit = yield* Deferred.make<void>()
      const taker = yield* start(queue.take(({ n }) => Effect.all([users.get(1), Effect.succeed(n)])))
      const transaction = yield* Effect.gen(function*() {
        yield* users.insert(1, "Ada")
        yield* queue.offer({ n: 1n })
        yield* Deferred.succeed(offered, undefined)
        yield* Deferred.await(commit)
      }).pipe(store.withTransaction, start)
      yield* Deferred.await(offered)
      yield* assertWaits(taker)
      yield* Deferred.succeed(commit, undefined)
      yield* Fiber.join(transaction)
      const [user, n] = yield* Fiber.join(taker)
      assert.deepStrictEqual([user, n], [yield* users.get(1), 1n])
    }).pipe(Effect.provide(live())))

  it.effect("is not made if the transaction fails: the id can be offered again", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const queue = yield* openQueue("outbox")
      const failing = Effect.andThen(queue.offer({ n: 1n }, { id: "a" }), Effect.fail("boom"))
      assert.strictEqual(yield* Effect.flip(store.withTransaction(failing)), "boom")
      const taker = yield* start(queue.take(({ n }) => Effect.succeed(n)))
      yield* assertWaits(taker)
      yield* queue.offer({ n: 2n }, { id: "a" })
      assert.strictEqual(yield* Fiber.join(taker), 2n)
    }).pipe(Effect.provide(live())))

  it.effect("is ignored if the transaction has offered the id before", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const queue = yield* openQueue("outbox")
      yield* store.withTransaction(
        Effect.andThen(queue.offer({ n: 1n }, { id: "a" }), queue.offer({ n: 2n }, { id: "a" }))
      )
      assert.deepStrictEqual(yield* idsOf("outbox"), ["a"])
    }).pipe(Effect.provide(live())))
})

describe("a queue without a name", () => {
  it.effect("is refused by each call, and the other queues go on", () =>
    Effect.gen(function*() {
      const queues = yield* PersistedQueue.PersistedQueueStore
      const given: { readonly [variable: string]: string } = {}
      // @ts-expect-error a router types it as text
      const name: string = given["queue"]
      const offering = yield* Effect.flip(queues.offer({ name, id: "a", element: 1, isCustomId: true }))
      assert.deepInclude(offering.cause, { _tag: "KeyEncoding" })
      const taking = yield* Effect.flip(
        Effect.scoped(queues.take({ name, maxAttempts: 1, retryDelay: () => Effect.succeed(Duration.zero) }))
      )
      assert.include(taking.message, "the name of the queue must be text")
      yield* offerTo(queues, "b")
      assert.deepStrictEqual(yield* idsOf("q"), ["b"])
    }).pipe(Effect.provide(live())))
})

describe("a take inside a transaction", () => {
  it.effect("fails without a claim, also if the transaction has read nothing yet", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const users = yield* openUsers
      const queue = yield* openQueue("inside")
      yield* queue.offer({ n: 1n })
      const take = queue.take(() => users.insert(1, "Ada"))
      for (const effect of [take, Effect.andThen(users.get(1), take)]) {
        const error = yield* Effect.flip(store.withTransaction(effect))
        assert.include(error, { _tag: "PersistedQueueError" })
        assert.include(String(error), "inside a transaction")
      }
      assert.strictEqual(yield* queue.take((_, { attempts }) => Effect.succeed(attempts)), 1)
    }).pipe(Effect.provide(live())))

  it.effect("is possible in the other direction: the handler uses a transaction", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const users = yield* openUsers
      const queue = yield* openQueue("inside")
      yield* queue.offer({ n: 1n })
      yield* queue.take(() => store.withTransaction(Effect.andThen(users.get(1), users.insert(1, "Ada"))))
      assert.isTrue(yield* users.has(1))
      assert.deepStrictEqual(yield* idsOf("inside"), [])
    }).pipe(Effect.provide(live())))
})

describe("a retry schedule that is broken", () => {
  it.effect("fails the element with its error, and does not keep its claim", () =>
    Effect.gen(function*() {
      const queue = yield* PersistedQueue.make({
        name: "broken",
        schema: Schema.Struct({ n: Schema.BigInt }),
        retrySchedule: Schedule.modifyDelay(Schedule.spaced(10), () => Effect.die(new Error("no delay")))
      })
      yield* queue.offer({ n: 1n }, { id: "a" })
      yield* Effect.exit(queue.take(() => Effect.fail("the handler")))
      const { items } = yield* FailedElements.use((failed) => failed.peek({ name: "broken", limit: 10 }))
      assert.deepStrictEqual(items.map(({ id }) => id), ["a"])
      assert.include(items[0]?.failure, "no delay")
      assert.include(items[0]?.failure, "the handler")
    }).pipe(Effect.provide(live())))
})

describe("durability", () => {
  it.effect("offers are on disk when they return, and fibers that offer at the same time share commits", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const queue = yield* openQueue("durable")
      const commits = yield* countCommits(store)
      yield* Effect.forEach(Array.from({ length: 200 }, (_, n) => n), (n) =>
        Effect.andThen(
          queue.offer({ n: BigInt(n) }),
          Effect.map(store.stats, ({ pending }) => assert.strictEqual(pending, 0))
        ), { concurrency: "unbounded", discard: true })
      yield* turns(10)
      assert.isAtLeast(commits(), 1)
      assert.isAtMost(commits(), 20)
    }).pipe(Effect.provide(live())))

  it.effect("claims for all fibers that wait, in different queues too, are one transaction", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const names = ["a", "b", "c"].flatMap((name) => Array<string>(30).fill(name))
      const commits = yield* countCommits(store)
      const round = Effect.gen(function*() {
        const takers = yield* Effect.forEach(names, startHold)
        yield* allGiven
        const before = commits()
        // One transaction offers all elements, and one claims them.
        yield* store.withTransaction(
          Effect.forEach(names, (name, n) => Effect.flatMap(openQueue(name), (queue) => queue.offer({ n: BigInt(n) })))
        )
        const held = yield* Effect.forEach(takers, Fiber.join)
        yield* turns(10)
        const claimed = commits()
        // What becomes of them shares commits.
        yield* Effect.forEach(held, ({ end }) => end(Exit.void), { concurrency: "unbounded", discard: true })
        yield* turns(10)
        return [claimed - before, commits() - claimed]
      })
      // The store defines the structures of its values with the first ones.
      yield* round
      const [claims = 0, settled = 0] = yield* round
      assert.strictEqual(claims, 2)
      assert.isAtMost(settled, 4)
    }).pipe(Effect.provide(live())))

  it.effect("offers, completed elements and attempts are the same after the store was opened again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = Effect.gen(function*() {
        const queue = yield* openQueue("q")
        yield* Effect.forEach([1n, 2n, 3n], (n) => queue.offer({ n }, { id: `${n}` }))
        yield* queue.take(() => Effect.void)
        yield* Effect.flip(queue.take(() => Effect.fail("boom")))
      })
      const second = Effect.gen(function*() {
        const queue = yield* openQueue("q")
        yield* queue.offer({ n: 1n }, { id: "1" })
        yield* TestClock.adjust("1 second")
        const taken = yield* Effect.replicateEffect(
          queue.take(({ n }, { attempts, id }) => Effect.succeed([id, n, attempts])),
          2
        )
        assert.deepStrictEqual(taken, [["3", 3n, 1], ["2", 2n, 2]])
        assert.deepStrictEqual(yield* idsOf("q"), [])
      })
      for (const run of [first, second]) {
        yield* at(path, Effect.flatMap(Store, (store) => Effect.flatMap(openOn(store), (queues) => using(queues)(run))))
      }
    }))

  // With more elements all sizes are larger, and what may be left of each is the same. `npm run torture` has a day's traffic
  it.live("the file stays as it is while elements come and go", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, durability: "noSync", flushInterval: "Infinity" })
      const queues = yield* openOn(store)
      const round = Effect.gen(function*() {
        const queue = yield* openQueue("traffic")
        const numbers = Array.from({ length: 250 }, (_, n) => BigInt(n))
        yield* Effect.forEach(numbers, (n) => queue.offer({ n }), { concurrency: 200, discard: true })
        yield* Effect.forEach(numbers, () => queue.take(() => Effect.void), { concurrency: 200, discard: true })
        yield* queues.cleanup({ timeToLive: Duration.zero, failedTimeToLive: undefined })
        return (yield* store.stats).fileBytes
      })
      const sizes = yield* Effect.replicateEffect(using(queues)(round), 12)
      const [, , third = 0] = sizes
      assert.isAtMost(Math.max(...sizes.slice(3)), 1.25 * third, sizes.join(" "))
      // No record is left.
      assert.deepStrictEqual(yield* using(queues)(idsOf("traffic")), [])
    }).pipe(Effect.scoped))
})

describe("ids and names", () => {
  it.effect("can be longer than a key, and have half of a surrogate pair", () =>
    Effect.gen(function*() {
      const long = "x".repeat(5000)
      const names = [`${long}a`, `${long}b`, "\uD800", ""]
      for (const name of names) {
        const queue = yield* openQueue(name)
        for (const id of names) yield* queue.offer({ n: 1n }, { id })
        yield* queue.offer({ n: 2n }, { id: `${long}a` })
      }
      for (const name of names) assert.deepStrictEqual(yield* idsOf(name), names)
    }).pipe(Effect.provide(live())))
})

describe("a sleeping dispatcher", () => {
  it.effect("does not read while nothing is due and nothing is committed", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const queues = yield* openOn(store)
      yield* Effect.gen(function*() {
        const queue = yield* openQueue("q")
        yield* queue.offer({ n: 1n }, { delay: "50 seconds" })
        const taker = yield* start(queue.take(({ n }) => Effect.succeed(n)))
        yield* assertWaits(taker)
        yield* turns(10)
        const reads = faulty.calls("get") + faulty.calls("read")
        for (let seconds = 0; seconds < 49; seconds++) yield* TestClock.adjust("1 second")
        yield* turns(10)
        assert.strictEqual(faulty.calls("get") + faulty.calls("read"), reads)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(taker), 1n)
      }).pipe(using(queues))
    }).pipe(Effect.scoped))

  it.effect("wakes up for an offer through another handle on the store", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const queues = yield* openOn(yield* Store.make({ path }))
      const others = yield* openOn(yield* Store.make({ path }))
      const taker = yield* using(queues)(startHold("q"))
      yield* using(queues)(allGiven)
      yield* others.offer({ name: "q", id: "a", element: 1, isCustomId: true })
      assert.strictEqual((yield* Fiber.join(taker)).id, "a")
    }).pipe(Effect.scoped))
})

describe("when the store fails", () => {
  it.effect("an offer fails with the error of the store as its cause, and is not made", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const queues = yield* openOn(store)
      yield* faulty.fail("commit", faults.diskFull)
      const offer = offerTo(queues, "a")
      const error = yield* Effect.flip(offer)
      assert.strictEqual(error._tag, "PersistedQueueError")
      assert.isTrue(Predicate.isTagged(error.cause, "EngineFailure"))
      assert.include(error.message, "\"q\"")
      assert.deepStrictEqual(yield* using(queues)(idsOf("q")), [])
      yield* offer
      assert.deepStrictEqual(yield* using(queues)(idsOf("q")), ["a"])
    }).pipe(Effect.scoped))

  it.effect("a take goes on waiting, and gets its element when the store works again", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore()
        const queues = yield* openOn(store)
        yield* offerTo(queues, "a")
        yield* faulty.failAlways("commit", faults.diskFull)
        const taker = yield* using(queues)(startHold("q"))
        yield* until(() => log.some(({ text }) => text.includes("Failed to claim")))
        assert.isUndefined(taker.pollUnsafe())
        yield* faulty.heal
        yield* TestClock.adjust(500)
        const { attempts, id } = yield* Fiber.join(taker)
        assert.deepStrictEqual([id, attempts], ["a", 1])
      }).pipe(Effect.scoped)
    ))

  it.effect("settling is tried again, and the handler's result waits for it", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const queues = yield* openOn(store)
      yield* Effect.gen(function*() {
        const queue = yield* openQueue("q")
        yield* queue.offer({ n: 1n })
        let before = Infinity
        const taker = yield* start(queue.take(() =>
          Effect.andThen(
            faulty.failAlways("commit", faults.diskFull),
            Effect.sync(() => {
              before = faulty.calls("commit")
            })
          )
        ))
        yield* until(() => faulty.calls("commit") > before)
        yield* turns(20)
        assert.isUndefined(taker.pollUnsafe())
        yield* faulty.heal
        yield* TestClock.adjust(200)
        yield* Fiber.join(taker)
        yield* TestClock.adjust("3 minutes")
        assert.deepStrictEqual(yield* idsOf("q"), [])
      }).pipe(using(queues))
    }).pipe(Effect.scoped))

  it.effect("settling that fails for as long as the lease is a defect", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const queues = yield* openOn(store, { lockExpiration: "1 second" })
      yield* Effect.gen(function*() {
        const queue = yield* openQueue("q")
        yield* queue.offer({ n: 1n })
        const taker = yield* start(queue.take(() => faulty.failAlways("commit", faults.diskFull)))
        while (taker.pollUnsafe() === undefined) yield* Effect.andThen(TestClock.adjust(100), turns(20))
        const exit = yield* Fiber.await(taker)
        assert.isTrue(Exit.hasDies(exit))
        yield* faulty.heal
      }).pipe(using(queues))
    }).pipe(Effect.scoped))

  it.effect("waiting and later takes fail when the store has closed, and so do offers", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      const queues = yield* openOn(store)
      const taker = yield* using(queues)(startHold("q"))
      yield* using(queues)(allGiven)
      yield* store.close()
      assert.strictEqual((yield* Effect.flip(Fiber.join(taker)))._tag, "PersistedQueueError")
      assert.strictEqual((yield* Effect.flip(using(queues)(hold("q"))))._tag, "PersistedQueueError")
      const offer = offerTo(queues, "a")
      assert.strictEqual((yield* Effect.flip(offer))._tag, "PersistedQueueError")
    }).pipe(Effect.scoped))

  it.effect("a waiting take fails when the layer of the queues has closed", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const scope = yield* Scope.make()
      const queues = yield* Scope.provide(openOn(store), scope)
      const taker = yield* using(queues)(startHold("q"))
      yield* using(queues)(allGiven)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(Fiber.join(taker)))._tag, "PersistedQueueError")
    }).pipe(Effect.scoped))

  it.effect("a read-only store can neither offer nor give elements", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(
        Effect.flatMap(Store.make({ path }), (store) => Effect.flatMap(openOn(store), (queues) => offerTo(queues, "a")))
      )
      const queues = yield* openOn(yield* Store.make({ path, readOnly: true }))
      assert.include((yield* Effect.flip(offerTo(queues, "b"))).message, "read-only")
      assert.strictEqual((yield* Effect.flip(using(queues)(hold("q"))))._tag, "PersistedQueueError")
    }).pipe(Effect.scoped))

  it.effect("a damaged element is passed over, and the log tells of it once", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const database = "collection/effect.PersistedQueue"
        const run = <A, E>(
          effect: Effect.Effect<A, E, PersistedQueue.PersistedQueueStore | PersistedQueue.PersistedQueueFactory>
        ) =>
          at(path, Effect.flatMap(Store, (store) => Effect.flatMap(openOn(store), (queues) => using(queues)(effect))))
        yield* run(Effect.gen(function*() {
          const queues = yield* PersistedQueue.PersistedQueueStore
          for (const id of ["a", "b", "c"]) yield* queues.offer({ name: "q", id, element: 1, isCustomId: true })
        }))
        for (const [key] of (yield* recordsOf(path, database)).slice(0, 2)) {
          yield* tamper(path, [[database, key, Buffer.of(0xc1)]])
        }
        yield* run(Effect.gen(function*() {
          assert.deepStrictEqual(yield* idsOf("q"), ["c"])
        }))
        const told = log.filter(({ level, text }) => level === "ERROR" && text.includes("damaged"))
        assert.strictEqual(told.length, 2)
      })
    ))

  /** Damages the key of the first element of a closed store, in the collection and in its indexes. */
  const damageKey = Effect.fnUntraced(function*(path: string) {
    const records = "collection/effect.PersistedQueue"
    const [[key, record] = assert.fail("no record")] = yield* recordsOf(path, records)
    // The tag of the first text is no tag any more.
    const bad = ByteString(`\x01${key.slice(1)}`)
    const writes: Array<Engine.Write> = [[records, key, null], [records, bad, record]]
    for (const name of ["due", "leased", "failed", "settled"]) {
      const index = `index/effect.PersistedQueue/${name}`
      for (const [entry, value] of yield* recordsOf(path, index)) {
        if (!entry.endsWith(key)) continue
        writes.push([index, entry, null], [index, ByteString(`${entry.slice(0, -key.length)}${bad}`), value])
      }
    }
    assert.isAbove(writes.length, 3)
    yield* tamper(path, writes)
  })

  it.effect("an element whose key is damaged is passed over, and the log tells of it once", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* at(
          path,
          Effect.flatMap(Store, (store) =>
            Effect.flatMap(openOn(store), (queues) =>
              Effect.forEach(["a", "b", "c"], (id) => offerTo(queues, id))))
        )
        yield* damageKey(path)
        yield* at(
          path,
          Effect.gen(function*() {
            const queues = yield* openOn(yield* Store)
            yield* using(queues)(Effect.gen(function*() {
              assert.deepStrictEqual(yield* idsOf("q"), ["b", "c"])
              // Its id is free.
              yield* offerTo(queues, "a")
              assert.deepStrictEqual(yield* idsOf("q"), ["a"])
            }))
          })
        )
        assert.strictEqual(toldOf(log, `element "a" of the queue "q" has a damaged key`), 1)
      })
    ))

  it.effect("a settled element whose key is damaged stops neither the takes nor the failed elements", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const run = <A, E>(
          effect: Effect.Effect<A, E, PersistedQueue.PersistedQueueStore | PersistedQueue.PersistedQueueFactory | Store>
        ) =>
          at(path, Effect.flatMap(Store, (store) => Effect.flatMap(openOn(store), (queues) => using(queues)(effect))))
        yield* run(Effect.gen(function*() {
          const queues = yield* PersistedQueue.PersistedQueueStore
          for (const id of ["a", "b"]) {
            yield* offerTo(queues, id)
            yield* (yield* hold("q", { maxAttempts: 1 })).end(Exit.fail("boom"))
          }
        }))
        yield* damageKey(path)
        yield* run(Effect.gen(function*() {
          const queues = yield* PersistedQueue.PersistedQueueStore
          const failed = yield* LmdbPersistedQueue.makeFailedElements
          const [requeued] = yield* Effect.all([failed.requeue({ name: "q", ids: "all" }), startHold("q")])
          assert.strictEqual(requeued, 1)
          yield* allGiven
          const fiber = yield* startHold("q")
          // The deletion is a change of a key that does not decode.
          yield* queues.cleanup({ timeToLive: Duration.zero, failedTimeToLive: Duration.zero })
          yield* until(() => toldOf(log, "The key of an element of a queue is damaged") > 0)
          yield* offerTo(queues, "c")
          assert.strictEqual((yield* Fiber.join(fiber)).id, "c")
          assert.strictEqual(toldOf(log, "damaged"), 1)
        }))
      })
    ))

  it.effect("an element that cannot be stored is refused", () =>
    Effect.gen(function*() {
      const queues = yield* PersistedQueue.PersistedQueueStore
      const offer = queues.offer({ name: "q", id: "a", element: () => 1, isCustomId: true })
      assert.strictEqual((yield* Effect.flip(offer))._tag, "PersistedQueueError")
      assert.deepStrictEqual(yield* idsOf("q"), [])
    }).pipe(Effect.provide(live())))
})

describe("traces", () => {
  it.effect("have the spans of the program, and none of the queues", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const opening = spans.length
        const queue = yield* openQueue("q", { maxAttempts: 1 })
        yield* queue.offer({ n: 1n })
        yield* queue.offer({ n: 2n })
        yield* queue.take(() => Effect.withSpan(Effect.void, "handler"))
        yield* Effect.flip(queue.take(() => Effect.fail("boom")))
        const queues = yield* PersistedQueue.PersistedQueueStore
        yield* queues.cleanup({ timeToLive: Duration.zero, failedTimeToLive: Duration.zero })
        yield* TestClock.adjust("1 minute")
        // The commits are those of the store.
        const names = spans.slice(opening).map(({ name }) => name).filter((name) => name !== "Store.commit")
        assert.deepStrictEqual(names, ["handler"])
      }).pipe(Effect.provide(live()))
    ))
})
