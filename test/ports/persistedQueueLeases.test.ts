/** The leases of claims, with two workers on a store: what one of them holds, and what it holds no more. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import * as TestClock from "effect/testing/TestClock"
import { Store } from "../../src/index.ts"
import * as EndedClaims from "../../src/internal/ports/endedClaims.ts"
import * as QueueElements from "../../src/internal/ports/queueElements.ts"
import { ByteString } from "../../src/Key.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import { damage } from "../support/fixtures/collections.ts"
import { allGiven, assertWaits, hold, openOn, startHold, using } from "../support/fixtures/queues.ts"
import { start, temporaryFolder, withLog, withStore } from "../support/harness.ts"

type Queues = PersistedQueue.PersistedQueueStore["Service"]

const offer = (queues: Queues, id: string) => queues.offer({ name: "q", id, element: id, isCustomId: true })

/** Two workers on a store. The first one can stop, as if its process had died: it renews no lease any more. */
const twoWorkers = Effect.gen(function*() {
  const store = yield* Store.make({ path: yield* temporaryFolder })
  const scope = yield* Scope.make()
  const first = yield* Scope.provide(openOn(store), scope)
  const second = yield* openOn(store)
  const failed = yield* Effect.provideService(LmdbPersistedQueue.makeFailedElements, Store, store)
  return { store, first, second, failed, stopFirst: Scope.close(scope, Exit.void) }
})

/** Lets time pass in steps in which all leases can be renewed. */
const pass = (queues: Queues, seconds: number) =>
  Effect.repeat(Effect.andThen(TestClock.adjust("10 seconds"), using(queues)(allGiven)), { times: seconds / 10 - 1 })

describe("a lease", () => {
  it.effect("is renewed as long as the handler runs: no other worker gets the element", () =>
    Effect.gen(function*() {
      const { first, second } = yield* twoWorkers
      yield* offer(first, "a")
      const held = yield* using(first)(hold("q"))
      const other = yield* using(second)(startHold("q"))
      yield* pass(first, 600)
      yield* using(second)(assertWaits(other))
      yield* held.end(Exit.void)
      yield* pass(first, 300)
      yield* using(second)(assertWaits(other))
    }).pipe(Effect.scoped))

  it.effect("is renewed also if another element of its worker is damaged, and the log tells of that once", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { first, second, store } = yield* twoWorkers
        yield* offer(first, "a")
        yield* offer(first, "b")
        const held = yield* Effect.replicateEffect(using(first)(hold("q")), 2)
        const key = ByteString("\x80\x60q\0\x60a\0\0")
        yield* damage([["collection/effect.PersistedQueue", key, Buffer.of(0xc1)]]).pipe(
          Effect.provideService(Store, store)
        )
        const other = yield* using(second)(startHold("q"))
        yield* pass(first, 600)
        yield* using(second)(assertWaits(other))
        const told = log.filter(({ text }) => text.includes("was damaged while its handler ran"))
        assert.deepStrictEqual(told.map(({ level }) => level), ["ERROR"])
        // No later attempt can store what became of the damaged element, so there is none.
        const [damaged, sound] = held
        assert.isTrue(Exit.hasDies(yield* Effect.exit(damaged?.end(Exit.void) ?? Effect.void)))
        yield* sound?.end(Exit.void) ?? Effect.void
        yield* using(second)(assertWaits(other))
      }).pipe(Effect.scoped)
    ))

  it.effect("ends two minutes after its worker has stopped; another one gets the element, the attempt counted", () =>
    Effect.gen(function*() {
      const { first, second, stopFirst } = yield* twoWorkers
      yield* offer(first, "a")
      yield* using(first)(hold("q"))
      yield* stopFirst
      const other = yield* using(second)(startHold("q"))
      yield* pass(second, 110)
      yield* TestClock.adjust(9999)
      yield* using(second)(assertWaits(other))
      yield* TestClock.adjust(1)
      const { attempts, id } = yield* Fiber.join(other)
      assert.deepStrictEqual([id, attempts], ["a", 2])
    }).pipe(Effect.scoped))

  it.effect("that has ended gives its element before the ones that became visible later", () =>
    Effect.gen(function*() {
      const { first, second, stopFirst } = yield* twoWorkers
      yield* offer(first, "a")
      yield* using(first)(hold("q"))
      yield* stopFirst
      yield* TestClock.adjust("1 second")
      yield* offer(second, "b")
      yield* TestClock.adjust("2 minutes")
      const taken = yield* Effect.replicateEffect(using(second)(hold("q")), 2)
      assert.deepStrictEqual(taken.map(({ id }) => id), ["a", "b"])
    }).pipe(Effect.scoped))

  it.effect("that has ended can still be settled by its holder, if nobody has claimed the element", () =>
    Effect.gen(function*() {
      const { first, second, stopFirst } = yield* twoWorkers
      yield* offer(first, "a")
      const held = yield* using(first)(hold("q"))
      yield* stopFirst
      yield* TestClock.adjust("10 minutes")
      yield* held.end(Exit.void)
      const other = yield* using(second)(startHold("q"))
      yield* using(second)(assertWaits(other))
    }).pipe(Effect.scoped))

  it.effect("that somebody else has taken over cannot be settled any more, and the log says so", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { first, second, stopFirst } = yield* twoWorkers
        yield* offer(first, "a")
        const held = yield* using(first)(hold("q"))
        yield* stopFirst
        yield* TestClock.adjust("2 minutes")
        const other = yield* using(second)(hold("q"))
        yield* held.end(Exit.void)
        assert.isTrue(log.some(({ level, text }) => level === "WARN" && text.includes("another worker has it")))
        yield* other.end(Exit.fail("boom"))
        assert.strictEqual((yield* using(second)(hold("q"))).attempts, 3)
      }).pipe(Effect.scoped)
    ))

  it.effect("that ends in the last attempt makes the element fail", () =>
    Effect.gen(function*() {
      const { failed, first, second, stopFirst } = yield* twoWorkers
      yield* offer(first, "a")
      yield* using(first)(hold("q", { maxAttempts: 1 }))
      yield* stopFirst
      const other = yield* using(second)(start(hold("q", { maxAttempts: 1 })))
      yield* using(second)(allGiven)
      yield* TestClock.adjust("2 minutes")
      yield* using(second)(assertWaits(other))
      yield* using(second)(assertWaits(other))
      const { items } = yield* failed.peek({ name: "q", limit: 10 })
      assert.deepStrictEqual(items.map(({ attempts, id }) => [id, attempts]), [["a", 1]])
      assert.include(items[0]?.failure, "lease has ended")
    }).pipe(Effect.scoped))

  it.effect("lasts as long as `lockExpiration` says", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(openOn(store, { lockExpiration: "10 seconds" }), scope)
      const second = yield* openOn(store)
      yield* offer(first, "a")
      yield* using(first)(hold("q"))
      yield* Scope.close(scope, Exit.void)
      const other = yield* using(second)(startHold("q"))
      yield* using(second)(allGiven)
      yield* TestClock.adjust(9999)
      yield* using(second)(assertWaits(other))
      yield* TestClock.adjust(1)
      yield* Fiber.join(other)
    }).pipe(Effect.scoped))
})

describe("a lease that ended while its handler runs, because the process was stopped for a while", () => {
  it.effect("is not taken by other queues of the process, also on another handle of the store", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* openOn(yield* Store.make({ path }))
      const second = yield* openOn(yield* Store.make({ path }))
      yield* offer(first, "a")
      const held = yield* using(first)(hold("q"))
      const other = yield* using(second)(startHold("q"))
      yield* using(second)(allGiven)
      // Time passes in one step: the lease is renewed after its end.
      yield* TestClock.adjust("10 minutes")
      yield* using(second)(assertWaits(other))
      yield* held.end(Exit.void)
      yield* TestClock.adjust("10 minutes")
      yield* using(second)(assertWaits(other))
    }).pipe(Effect.scoped))
})

/** Claims elements in an opening of the store, and closes the store before their handlers have ended. */
const leave = (path: string, ids: ReadonlyArray<string>, options: { readonly maxAttempts?: number } = {}) =>
  withStore({ path }, (store) =>
    Effect.gen(function*() {
      const queues = yield* openOn(store)
      yield* Effect.forEach(ids, (id) => offer(queues, id), { discard: true })
      yield* Effect.forEach(ids, () => using(queues)(hold("q", options)), { discard: true })
      yield* offer(queues, "last")
    }))

describe("the claims of an opening of the store that has ended", () => {
  it.effect("are free at once, in their order and before later elements; the attempts count", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* leave(path, ["a", "b"])
      const store = yield* Store.make({ path })
      const queues = yield* openOn(store)
      const taken = yield* Effect.replicateEffect(using(queues)(hold("q")), 3)
      assert.deepStrictEqual(taken.map(({ attempts, id }) => [id, attempts]), [["a", 2], ["b", 2], ["last", 1]])
      // The claims of this opening are not free for other queues on it, which start later.
      const later = yield* openOn(store)
      const other = yield* using(later)(startHold("q"))
      yield* using(later)(assertWaits(other))
      const openings = yield* Effect.provideService(EndedClaims.open, Store, store)
      assert.deepStrictEqual(yield* Stream.runCollect(openings.keys()), [store.opening.id])
    }).pipe(Effect.scoped))

  it.effect("in the last attempt make the element fail", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* leave(path, ["a"], { maxAttempts: 1 })
      const store = yield* Store.make({ path })
      const queues = yield* openOn(store)
      const { id } = yield* using(queues)(hold("q", { maxAttempts: 1 }))
      assert.strictEqual(id, "last")
      const failed = yield* Effect.provideService(LmdbPersistedQueue.makeFailedElements, Store, store)
      const { items } = yield* failed.peek({ name: "q", limit: 10 })
      assert.deepStrictEqual(items.map(({ attempts, id: failedId }) => [failedId, attempts]), [["a", 1]])
    }).pipe(Effect.scoped))

  it.effect("are left alone in a read-only store, and freed by the next process that writes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* leave(path, ["a"])
      yield* withStore({ path, readOnly: true }, (store) =>
        Effect.gen(function*() {
          const queues = yield* openOn(store)
          const taken = yield* Effect.flip(using(queues)(hold("q")))
          assert.deepInclude(taken.cause, { _tag: "ReadOnly" })
        }))
      const queues = yield* openOn(yield* Store.make({ path }))
      assert.strictEqual((yield* using(queues)(hold("q"))).id, "a")
    }).pipe(Effect.scoped))

  it.effect("are free also if an earlier version of the package has made them", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* leave(path, ["a"])
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const elements = yield* Effect.provideService(QueueElements.open, Store, store)
          const openings = yield* Effect.provideService(EndedClaims.open, Store, store)
          const element = yield* elements.getOrFail(["q", "a"])
          if (element.lease === undefined) return assert.fail("the element has no lease")
          yield* elements.put(["q", "a"], { ...element, lease: Struct.omit(element.lease, ["opening"]) })
          yield* openings.clear
        }))
      const queues = yield* openOn(yield* Store.make({ path }))
      const { attempts, id } = yield* using(queues)(hold("q"))
      assert.deepStrictEqual([id, attempts], ["a", 2])
    }).pipe(Effect.scoped))
})
