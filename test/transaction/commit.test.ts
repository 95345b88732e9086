/** How transactions reach the disk: together, beside a commit that runs, or not at all. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Store } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import {
  begin,
  below,
  contentOf,
  increment,
  leaving,
  numberOf,
  openSeeded,
  seed
} from "../support/fixtures/transactions.ts"
import { faultyStore, start, temporaryFolder, turns, until } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

const text = (length: number): string => "x".repeat(length)

/** Starts transactions while another is being committed, and lets all end; gives how each did. */
const behindOne = Effect.fnUntraced(function*<A, E>(
  { spy, store }: Effect.Success<ReturnType<typeof SpyEngine.open>>,
  transactions: ReadonlyArray<Effect.Effect<A, E>>
) {
  const held = yield* spy.hold("commit")
  const first = yield* start(store.withTransaction(store.put("first", 1)))
  yield* held.begun
  const fibers = yield* Effect.forEach(transactions, (transaction) => start(store.withTransaction(transaction)))
  yield* turns(20)
  yield* held.release
  yield* Fiber.join(first)
  return yield* Effect.forEach(fibers, Fiber.await)
})

describe("while a commit runs", () => {
  it.effect("a transaction that only reads does not wait, also if that commit writes the same keys", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const writer = yield* start(store.withTransaction(store.put("a", 10)))
      yield* held.begun
      assert.deepStrictEqual(yield* store.withTransaction(contentOf(store)), seed)
      assert.isUndefined(writer.pollUnsafe())
      yield* held.release
      yield* Fiber.join(writer)
    }))

  it.effect("a transaction reads and writes, and only its own commit waits", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const writer = yield* start(store.withTransaction(store.put("a", 10)))
      yield* held.begun
      const transaction = yield* begin(store)
      yield* transaction.inside(Effect.all([store.update("b", increment), store.update("d", increment)]))
      assert.deepStrictEqual(yield* transaction.inside(numberOf(store, "b")), 3)
      const committing = yield* start(transaction.commit)
      yield* turns(20)
      assert.isUndefined(committing.pollUnsafe())
      yield* held.release
      yield* Fiber.joinAll([writer, committing])
      assert.deepStrictEqual(yield* contentOf(store), { a: 10, b: 3, c: 3, d: 1 })
    }))

  it.effect("its writes are not visible before: a transaction that has read the old values conflicts and runs again", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const held = yield* spy.hold("commit")
      const writer = yield* start(store.withTransaction(store.put("a", 10)))
      yield* held.begun
      const seen: Array<number> = []
      const reader = yield* start(store.withTransaction(Effect.gen(function*() {
        seen.push(yield* numberOf(store, "a"))
        yield* store.put("seen", seen)
      })))
      yield* turns(20)
      yield* held.release
      yield* Fiber.joinAll([writer, reader])
      assert.deepStrictEqual(seen, [1, 10])
    }))

  it.effect("its writes over pending writes are visible together or not at all", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      let look: Effect.Effect<unknown> = Effect.void
      const { store } = yield* openWith({}, (environment) => ({
        commit: (plan) => Effect.tap(environment.commit(plan), () => look)
      }))
      yield* store.putMany({ left: 0, right: 0 })
      yield* store.put("left", 1)
      // Between a commit and the moment that the store knows of it
      look = Effect.map(Effect.orDie(contentOf(store)), (content) => seen.push(content))
      yield* store.withTransaction(Effect.all([store.put("left", 2), store.put("right", 2)]))
      assert.isAbove(seen.length, 0)
      for (const content of seen) {
        assert.include(["{\"left\":1,\"right\":0}", "{\"left\":2,\"right\":2}"], JSON.stringify(content))
      }
    }))
})

describe("transactions that wait to be committed", () => {
  it.effect("are committed together: two hundred take two transactions of LMDB", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* Effect.forEach(below(200), (n) => store.withTransaction(store.put(`key ${n}`, n)), {
        concurrency: "unbounded",
        discard: true
      })
      assert.isAtMost(spy.transactions(), 2)
      assert.strictEqual(yield* store.size, 200)
    }))

  it.effect("are committed in groups of the size of a batch", () =>
    Effect.gen(function*() {
      const opened = yield* SpyEngine.open({ batchBytes: 1000 })
      const exits = yield* behindOne(opened, below(10).map((n) => opened.store.put(`${n}`, text(300))))
      assert.isTrue(exits.every(Exit.isSuccess))
      assert.isAtLeast(opened.spy.commits().length, 4)
      assert.isAtMost(opened.spy.commits().length, 6)
      assert.strictEqual(yield* opened.store.size, 11)
    }))

  it.effect("are validated in the order of their conflicts: one that has lost comes before a new one", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const outside = yield* leaving
      const goOn = yield* Deferred.make<void>()
      const seen: Array<number> = []
      const loser = yield* start(store.withTransaction(Effect.gen(function*() {
        seen.push(yield* numberOf(store, "a"))
        if (seen.length === 1) yield* outside(store.putMany({ a: 10 }))
        else yield* Deferred.await(goOn)
        yield* store.update("a", increment)
      })))
      yield* until(() => seen.length === 2)
      const held = yield* spy.hold("commit")
      const busy = yield* start(store.withTransaction(store.put("busy", 1)))
      yield* held.begun
      const newcomer = yield* start(store.withTransaction(store.update("a", increment)))
      yield* turns(20)
      yield* Deferred.succeed(goOn, undefined)
      yield* turns(20)
      yield* held.release
      yield* Fiber.joinAll([busy, newcomer, loser])
      assert.deepStrictEqual(seen, [1, 10])
      assert.strictEqual(yield* store.getOrFail("a"), 12)
    }))

  it.effect("are validated one after the other: a transaction that read what another of them writes runs again, the others are committed", () =>
    Effect.gen(function*() {
      const opened = yield* openSeeded()
      const { spy, store } = opened
      let runs = 0
      const counted = <A, E>(effect: Effect.Effect<A, E>) => Effect.andThen(Effect.sync(() => runs++), effect)
      const exits = yield* behindOne(opened, [
        counted(store.update("a", increment)),
        counted(store.put("b", 20)),
        counted(store.update("a", increment)),
        counted(Effect.flatMap(numberOf(store, "b"), (b) => store.put("double", 2 * b))),
        counted(store.update("c", increment))
      ])
      assert.isTrue(exits.every(Exit.isSuccess))
      assert.deepStrictEqual(yield* contentOf(store), { a: 3, b: 20, c: 4, double: 40, first: 1 })
      assert.strictEqual(runs, 7)
      assert.deepStrictEqual(spy.commits()[2], ["a", "b", "c"])
    }))

  it.effect("and one that does not fit does not fail the others", () =>
    Effect.gen(function*() {
      const opened = yield* SpyEngine.open({ maxMapSize: "1 MiB" })
      const { store } = opened
      const exits = yield* behindOne(opened, [
        store.put("small 1", 1),
        Effect.andThen(store.put("beside", 1), store.put("huge", text(2_000_000))),
        store.put("small 2", 2)
      ])
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
      assert.deepStrictEqual(yield* contentOf(store), { first: 1, "small 1": 1, "small 2": 2 })
    }))

  it.effect("and one that fails or is interrupted does not fail the others", () =>
    Effect.gen(function*() {
      const opened = yield* openSeeded()
      const { spy, store } = opened
      const held = yield* spy.hold("commit")
      const first = yield* start(store.withTransaction(store.put("first", 1)))
      yield* held.begun
      const failing = yield* start(store.withTransaction(Effect.andThen(store.put("failing", 1), Effect.fail("no"))))
      const good = yield* start(store.withTransaction(store.put("good", 1)))
      const interrupted = yield* start(store.withTransaction(store.put("interrupted", 1)))
      const alsoGood = yield* start(store.withTransaction(store.put("also good", 1)))
      yield* turns(20)
      yield* Fiber.interrupt(interrupted)
      yield* held.release
      yield* Fiber.joinAll([first, good, alsoGood])
      assert.strictEqual(yield* Effect.flip(Fiber.join(failing)), "no")
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, "also good": 1, first: 1, good: 1 })
    }))
})

describe("a transaction that does not fit", () => {
  it.effect("into the limit fails with MapFull, writes nothing and runs once, and the store continues to work", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB" })
      yield* store.putMany(seed)
      let runs = 0
      const error = yield* Effect.flip(store.withTransaction(Effect.gen(function*() {
        runs++
        yield* store.update("a", increment)
        yield* store.delete("b")
        yield* store.putMany({ huge: text(2_000_000) })
      })))
      if (error._tag !== "MapFull") return assert.fail(error._tag)
      assert.strictEqual(error.limit, 1024 * 1024)
      assert.strictEqual(error.pending, 3)
      assert.strictEqual(runs, 1)
      assert.deepStrictEqual(yield* contentOf(store), seed)
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* store.put("d", 4)
      yield* store.withTransaction(store.update("a", increment))
      yield* store.flush
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 2, d: 4 })
    }))

  it.effect("into the map makes it grow, and runs once", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, mapSize: "1 MiB" })
      let runs = 0
      yield* store.withTransaction(Effect.gen(function*() {
        runs++
        assert.strictEqual(yield* store.size, 0)
        yield* store.put("huge", text(3_000_000))
      }))
      assert.strictEqual(runs, 1)
      assert.isAbove((yield* store.stats).mapSize, 3_000_000)
      assert.strictEqual(yield* store.getOrFail("huge"), text(3_000_000))
    }))

  it.effect("makes room by deletions", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB" })
      yield* store.putMany({ ...seed, large: text(700_000) })
      assert.strictEqual((yield* Effect.flip(store.withTransaction(store.put("more", text(700_000)))))._tag, "MapFull")
      yield* store.withTransaction(store.delete("large"))
      yield* store.withTransaction(store.put("more", text(700_000)))
      assert.strictEqual(yield* store.size, 4)
    }))

  it.effect("because of pending writes of other fibers is committed, and those writes wait", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" })
      yield* store.putMany(seed)
      yield* store.put("huge", text(2_000_000))
      yield* store.withTransaction(store.update("a", increment))
      assert.strictEqual(yield* store.getOrFail("a"), 2)
      assert.strictEqual((yield* store.stats).pending, 1)
      yield* store.delete("huge")
      yield* store.flush
      assert.deepStrictEqual(yield* contentOf(store), { ...seed, a: 2 })
    }))
})

describe("a commit that fails", () => {
  it.effect.each([faults.diskFull, faults.inputOutput])(
    "with code $code fails the transaction, which writes nothing and runs once, and the store continues to work",
    (fault) =>
      Effect.gen(function*() {
        const { faulty, open, store } = yield* faultyStore()
        yield* store.putMany(seed)
        yield* store.put("pending", 1)
        yield* faulty.fail("commit", fault)
        let runs = 0
        const change = Effect.suspend(() => {
          runs++
          return Effect.all([store.update("a", increment), store.delete("b"), store.put("d", 4)])
        })
        assert.strictEqual(yield* Effect.flip(store.withTransaction(change)), fault)
        assert.strictEqual(runs, 1)
        assert.deepStrictEqual(yield* contentOf(store), { ...seed, pending: 1 })
        assert.strictEqual((yield* store.stats).pending, 1)
        yield* store.withTransaction(change)
        yield* store.close({ strict: true })
        assert.deepStrictEqual(yield* contentOf(yield* open), { a: 2, c: 3, d: 4, pending: 1 })
      })
  )

  it.effect("does not affect transactions that only read", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.putMany(seed)
      yield* faulty.failAlways("commit", faults.diskFull)
      yield* Effect.flip(store.withTransaction(store.put("d", 4)))
      assert.deepStrictEqual(yield* store.withTransaction(contentOf(store)), seed)
      yield* faulty.heal
    }))
})

/** Fails unless a call is refused because the store is closed. */
const isClosed = (call: Effect.Effect<unknown, { readonly _tag: string; readonly what?: unknown }>) =>
  Effect.map(
    Effect.flip(call),
    ({ _tag, what }) => assert.deepStrictEqual({ _tag, what }, { _tag: "Closed", what: "Store" })
  )

describe("a store that closes", () => {
  it.effect("while a transaction runs does not wait for it: its calls and its commit fail with Closed, and nothing is written", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      const transaction = yield* begin(store)
      yield* transaction.inside(Effect.andThen(store.get("a"), store.put("a", 10)))
      yield* store.close({ strict: true })
      yield* isClosed(transaction.inside(store.get("a")))
      yield* isClosed(transaction.inside(store.put("a", 11)))
      yield* isClosed(transaction.commit)
      assert.deepStrictEqual(yield* contentOf(yield* Store.make({ path })), seed)
    }))

  it.effect("inside a transaction closes, and the transaction is not committed", () =>
    Effect.gen(function*() {
      const { path, store } = yield* openSeeded()
      yield* isClosed(store.withTransaction(Effect.andThen(store.put("a", 10), store.close())))
      assert.deepStrictEqual(yield* contentOf(yield* Store.make({ path })), seed)
    }))

  it.effect("while transactions are committed or wait: each is committed completely, or fails with Closed", () =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* SpyEngine.open({ batchBytes: 1000 })
      const held = yield* spy.hold("commit")
      const fibers = yield* Effect.forEach(
        below(8),
        (n) => start(store.withTransaction(Effect.all([store.put(`a${n}`, text(400)), store.put(`b${n}`, text(400))])))
      )
      yield* held.begun
      const closing = yield* start(store.close({ strict: true }))
      yield* turns(20)
      yield* held.release
      yield* Fiber.join(closing)
      const made = yield* Effect.forEach(fibers, (fiber) => Effect.map(Fiber.await(fiber), Exit.isSuccess))
      const reopened = yield* Store.make({ path })
      const expected = below(8).filter((n) => made[n]).flatMap((n) =>
        [[`a${n}`, text(400)], [`b${n}`, text(400)]] as const
      )
      assert.deepStrictEqual(yield* contentOf(reopened), Object.fromEntries(expected))
      assert.isTrue(made[0])
    }))

  it.effect("for one handle ends only the transactions of that handle", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* Store.make({ path })
      const second = yield* Store.make({ path })
      const ended = yield* begin(first)
      const open = yield* begin(second)
      yield* ended.inside(first.put("first", 1))
      yield* open.inside(second.put("second", 1))
      yield* first.close({ strict: true })
      yield* isClosed(ended.commit)
      yield* open.commit
      assert.deepStrictEqual(yield* contentOf(second), { second: 1 })
    }))

  it.effect("several handles: transactions of one conflict with those of another", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const first = yield* Store.make({ path })
      const second = yield* Store.make({ path })
      const outside = yield* leaving
      const seen: Array<number> = []
      yield* first.withTransaction(Effect.gen(function*() {
        seen.push(yield* numberOf(first, "a"))
        if (seen.length === 1) yield* outside(second.withTransaction(second.update("a", increment)))
        yield* first.update("a", increment)
      }))
      assert.deepStrictEqual(seen, [0, 1])
      assert.strictEqual(yield* second.getOrFail("a"), 2)
    }))
})
