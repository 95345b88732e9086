import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { Store } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

/** Runs an effect for each number below `count`, all at the same time. */
const together = <A, E, R>(count: number, use: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(range(count), use, { concurrency: "unbounded" })

/** Starts a fiber for each number below `count`. */
const startAll = <A, E, R>(count: number, use: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(range(count), (index) => start(use(index)))

/** Runs an effect for each number below `count`, one after the other, with other fibers in between. */
const inTurn = <A, E, R>(count: number, use: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(range(count), (index) => Effect.tap(use(index), () => Effect.yieldNow), { discard: true })

const increment = (value: Option.Option<unknown>) => Option.some(Number(Option.getOrElse(value, () => 0)) + 1)

describe("concurrency", () => {
  it.effect("concurrent_reads: 20 fibers read 100 values each, all correct", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.putMany(range(100).map((n) => [`key ${n}`, { n }] as const))
      const read = yield* together(20, () => Effect.forEach(range(100), (n) => store.getOrFail(`key ${n}`)))
      for (const values of read) assert.deepStrictEqual(values, range(100).map((n) => ({ n })))
    }))

  it.effect("concurrent_writes: 10 fibers put 20 values each at batchSize 10, all correct", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, batchSize: 10 })
      yield* together(10, (fiber) => inTurn(20, (n) => store.put(`${fiber} ${n}`, fiber * n)))
      assert.strictEqual(yield* store.size, 200)
      yield* store.flush
      yield* store.close()
      const reopened = yield* Store.make({ path, readOnly: true })
      for (const fiber of range(10)) {
        for (const n of range(20)) assert.deepStrictEqual(yield* reopened.get(`${fiber} ${n}`), Option.some(fiber * n))
      }
    }))

  it.effect("concurrent_writes: 5,000 fibers put and get, and each reads its own write at once", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, batchSize: 500 })
      const read = yield* together(5000, (n) => Effect.andThen(store.put(`key ${n}`, n), store.getOrFail(`key ${n}`)))
      assert.deepStrictEqual(read, range(5000))
      assert.strictEqual(yield* store.size, 5000)
      const { found } = yield* store.getMany(range(5000).map((n) => `key ${n}`))
      assert.deepStrictEqual([...found.values()], range(5000))
    }))

  it.effect("concurrent_writes: 5,000 fibers update one counter among other writes and none is lost", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 50 })
      const counts = yield* together(
        5000,
        (n) => n % 10 === 0 ? Effect.as(store.put(`key ${n}`, n), Option.none()) : store.update("counter", increment)
      )
      assert.deepStrictEqual(yield* store.get("counter"), Option.some(4500))
      const seen = counts.flatMap((count) => Option.toArray(count))
      assert.strictEqual(new Set(seen).size, 4500, "no two fibers saw the same count")
      yield* store.flush
      assert.isAbove(spy.commits().length, 9)
      assert.isAbove(
        spy.commits().filter((keys) => keys.includes("counter")).length,
        1,
        "it was updated across commits"
      )
    }))

  it.effect("concurrent_writes: an update that had to wait for room sees the writes of other fibers", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 1 })
      const held = yield* spy.hold("commit")
      yield* store.put("a", 1)
      yield* held.begun
      yield* store.put("b", 1)
      const waiting = yield* startAll(20, () => store.update("counter", increment))
      yield* turns(10)
      for (const fiber of waiting) assert.strictEqual(fiber.pollUnsafe(), undefined)
      yield* held.release
      yield* Fiber.joinAll(waiting)
      assert.deepStrictEqual(yield* store.get("counter"), Option.some(20))
    }))

  it.effect("concurrent_read_write_mix: 5 readers and 3 writers at batchSize 5 with autoFlushOnRead", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, batchSize: 5, autoFlushOnRead: true })
      const readers = yield* startAll(5, () => inTurn(60, (n) => store.get(`0 ${n % 20}`)))
      yield* together(3, (writer) => inTurn(20, (n) => store.put(`${writer} ${n}`, n)))
      yield* Fiber.joinAll(readers)
      assert.strictEqual(yield* store.size, 60)
    }))

  it.effect("close_with_multiple_active_readers: 5 fibers close at once, all return; a get afterwards is Closed", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.put("a", 1)
      yield* together(5, () => store.close({ strict: true }))
      assert.strictEqual((yield* Effect.flip(store.get("a")))._tag, "Closed")
    }))

  it.effect("concurrent_flush_operations: 3 writers that flush now and then, and 2 readers", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const readers = yield* startAll(2, () => inTurn(100, (n) => store.get(`0 ${n % 30}`)))
      yield* together(
        3,
        (writer) =>
          inTurn(30, (n) => Effect.andThen(store.put(`${writer} ${n}`, n), n % 7 === 0 ? store.flush : Effect.void))
      )
      yield* Fiber.joinAll(readers)
      yield* store.flush
      const { entries, pending } = yield* store.stats
      assert.deepStrictEqual({ entries, pending }, { entries: 90, pending: 0 })
    }))

  it.effect("concurrent_flush_operations: a hundred flushes of the same writes share one commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* Effect.forEach(["a", "b", "c"], (key) => store.put(key, 1))
      yield* together(100, () => store.flush)
      assert.deepStrictEqual(spy.commits(), [["a", "b", "c"]])
    }))

  it.effect("concurrent_flush_operations: a flush during a commit writes all newer writes in the next commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const held = yield* spy.hold("commit")
      yield* store.put("a", 1)
      const first = yield* start(store.flush)
      yield* held.begun
      const alone = yield* start(store.flush)
      const others = yield* startAll(50, (n) => Effect.andThen(store.put(`key ${n}`, n), store.flush))
      yield* turns(10)
      for (const fiber of [first, alone, ...others]) assert.strictEqual(fiber.pollUnsafe(), undefined)
      yield* held.release
      yield* Fiber.joinAll([first, alone, ...others])
      assert.deepStrictEqual(spy.commits(), [["a"], range(50).map((n) => `key ${n}`)])
    }))

  it.effect("reader_writer_lock_fairness: reads and writes continue while a commit runs", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.put("stored", 0)
      yield* store.flush
      const held = yield* spy.hold("commit")
      yield* store.put("committing", 1)
      const flush = yield* start(store.flush)
      yield* held.begun
      yield* together(20, (n) => store.put(`key ${n}`, n))
      const { found } = yield* store.getMany(["stored", "committing", "key 7"])
      assert.deepStrictEqual([...found.values()], [0, 1, 7])
      assert.strictEqual(yield* store.size, 22)
      assert.deepStrictEqual(yield* store.update("committing", increment), Option.some(2))
      assert.strictEqual(flush.pollUnsafe(), undefined)
      yield* held.release
      yield* Fiber.join(flush)
      assert.deepStrictEqual(yield* store.get("committing"), Option.some(2), "the newer write wins")
    }))

  it.effect("reader_writer_lock_fairness: endless readers do not prevent 20 commits", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      let reads = 0
      const readers = yield* startAll(
        3,
        () =>
          Effect.forever(Effect.andThen(store.get("0"), Effect.andThen(Effect.sync(() => reads++), Effect.yieldNow)))
      )
      const readsAtCommit: Array<number> = []
      yield* inTurn(
        20,
        (n) =>
          Effect.andThen(
            Effect.andThen(store.put(String(n), n), store.flush),
            Effect.sync(() => readsAtCommit.push(reads))
          )
      )
      yield* Fiber.interruptAll(readers)
      assert.strictEqual(spy.commits().length, 20)
      assert.strictEqual(new Set(readsAtCommit).size, 20, "and there were reads between any two commits")
    }))

  it.effect("concurrent_get_many: 10 fibers ask for overlapping ranges and a missing key", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      yield* store.putMany(range(150).map((n) => [`key ${n}`, n] as const))
      yield* together(50, (n) => store.put(`key ${150 + n}`, 150 + n))
      const answers = yield* together(
        10,
        (fiber) => store.getMany([...range(100).map((n) => `key ${fiber * 10 + n}`), "missing"])
      )
      for (const [fiber, { found, missing }] of answers.entries()) {
        assert.deepStrictEqual([...found.values()], range(100).map((n) => fiber * 10 + n))
        assert.deepStrictEqual(missing, ["missing"])
      }
    }))

  it.effect("stress_test_mixed_operations: 20 fibers make 100 random operations each on keys of their own", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, batchSize: 7 })
      const models = yield* together(20, (fiber) =>
        Effect.gen(function*() {
          const model = new Map<string, number>()
          yield* inTurn(100, (step) =>
            Effect.gen(function*() {
              const key = `${fiber} ${yield* Random.nextIntBetween(0, 10)}`
              const choice = yield* Random.nextIntBetween(0, 20)
              if (choice === 0) yield* store.flush
              else if (choice < 4) {
                yield* store.delete(key)
                model.delete(key)
              } else if (choice < 12) {
                yield* store.put(key, step)
                model.set(key, step)
              } else if (choice === 12) {
                yield* store.putMany([[key, step], [`${fiber} 0`, step]])
                model.set(key, step).set(`${fiber} 0`, step)
              }
              assert.deepStrictEqual(yield* store.get(key), Option.fromUndefinedOr(model.get(key)))
            }))
          return model
        }))
      yield* store.close({ strict: true })
      const expected = new Map(models.flatMap((model) => Array.from(model)))
      const reopened = yield* Store.make({ path, readOnly: true })
      const { found } = yield* reopened.getMany(expected.keys())
      assert.deepStrictEqual(found, expected)
      assert.strictEqual(yield* reopened.size, expected.size)
    }))

  it.effect("close_waits_for_active_readers: a running backup ends first, and a later get is Closed", () =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* SpyEngine.open()
      yield* store.put("a", 1)
      const copy = `${path}/copy`
      const held = yield* spy.hold("backup")
      const backup = yield* start(store.backup(copy))
      yield* held.begun
      const close = yield* start(store.close({ strict: true }))
      yield* turns(10)
      assert.strictEqual(close.pollUnsafe(), undefined)
      assert.strictEqual((yield* Effect.flip(store.get("a")))._tag, "Closed")
      yield* held.release
      yield* Fiber.joinAll([backup, close])
      const copied = yield* Store.make({ path: copy, readOnly: true })
      assert.deepStrictEqual(yield* copied.get("a"), Option.some(1))
    }))

  it.effect("close_waits_for_active_readers: a read that waits for the map to grow gets its value first", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ mapSize: "1 MiB" })
      yield* store.putMany({ a: 1 })
      const held = yield* spy.hold("resize")
      yield* store.put("large", "x".repeat(2_000_000))
      const flush = yield* start(store.flush)
      yield* held.begun
      const reader = yield* start(store.get("a"))
      yield* turns(10)
      assert.strictEqual(reader.pollUnsafe(), undefined)
      const close = yield* start(store.close({ strict: true }))
      yield* turns(10)
      assert.strictEqual(close.pollUnsafe(), undefined)
      yield* held.release
      yield* Fiber.joinAll([flush, close])
      assert.deepStrictEqual(yield* Fiber.join(reader), Option.some(1))
      assert.strictEqual((yield* Effect.flip(store.get("a")))._tag, "Closed")
    }))

  it.effect("close_waits_for_active_readers: a running commit and the writes after it are on disk when close returns", () =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* SpyEngine.open()
      const held = yield* spy.hold("commit")
      yield* store.put("a", 1)
      const flush = yield* start(store.flush)
      yield* held.begun
      yield* store.put("b", 2)
      const close = yield* start(store.close({ strict: true }))
      yield* turns(10)
      assert.strictEqual(close.pollUnsafe(), undefined)
      yield* held.release
      yield* Fiber.joinAll([flush, close])
      assert.deepStrictEqual(spy.commits(), [["a"], ["b"]])
      const reopened = yield* Store.make({ path, readOnly: true })
      assert.strictEqual(yield* reopened.size, 2)
    }))

  it.effect("interrupted callers: a flush that is interrupted still commits, a put that waits writes nothing", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ batchSize: 1 })
      const held = yield* spy.hold("commit")
      yield* store.put("a", 1)
      yield* held.begun
      yield* store.put("b", 2)
      const flush = yield* start(store.flush)
      const put = yield* start(store.put("c", 3))
      yield* Fiber.interruptAll([flush, put])
      yield* held.release
      yield* store.flush
      assert.deepStrictEqual(spy.commits(), [["a"], ["b"]])
      assert.isFalse(yield* store.has("c"))
    }))
})
