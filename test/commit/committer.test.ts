/** What is tried, in which order, when a transaction does not fit or the limit cannot be seen. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import { EngineFull } from "../../src/Engine.ts"
import type { StoreOptions } from "../../src/index.ts"
import * as Metrics from "../../src/internal/commit/metrics.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { faultyStore, start, turns } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

const mebibyte = 1024 * 1024

const full = new EngineFull({ mapSize: mebibyte, needed: mebibyte + 1 })

/** What an engine says that has reached the limit of an earlier growth and cannot see the present one. */
const unseen = new EngineFull({ mapSize: mebibyte, needed: mebibyte })

const atLimit: Partial<StoreOptions> = { mapSize: "1 MiB", maxMapSize: "1 MiB", flushInterval: "Infinity" }

/** A store on a map that may not grow, and the keys that its engine was asked to commit. */
const limited = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const opened = yield* faultyStore({ ...atLimit, ...options })
  const asked = () => opened.faulty.batches().map((batch) => batch.map(([, key]) => String(key)))
  return { ...opened, asked }
})

/** The same after a transaction: what that has freed cannot be used yet. */
const written = Effect.fnUntraced(function*(options?: Partial<StoreOptions>) {
  const opened = yield* limited(options)
  yield* opened.store.putMany({ a: 1, b: 1, c: 1 })
  const before = opened.asked().length
  return { ...opened, asked: () => opened.asked().slice(before) }
})

describe("a transaction that does not fit", () => {
  it.effect("is tried once if no freed pages can become usable", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* limited()
      yield* faulty.failAlways("commit", full)
      assert.strictEqual((yield* Effect.flip(store.putMany({ a: 1 })))._tag, "MapFull")
      assert.deepStrictEqual(asked(), [["a"]])
    }))

  it.effect("is tried again after two empty transactions, and then fails with MapFull", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* written()
      for (const attempt of [1, 4]) yield* faulty.fail("commit", full, attempt)
      assert.strictEqual((yield* Effect.flip(store.putMany({ d: 1 })))._tag, "MapFull")
      assert.deepStrictEqual(asked(), [["d"], [], [], ["d"]])
      // They have not become younger by what was not made
      yield* faulty.fail("commit", full)
      assert.strictEqual((yield* Effect.flip(store.putMany({ e: 1 })))._tag, "MapFull")
      assert.deepStrictEqual(asked().slice(4), [["e"]])
      yield* store.putMany({ f: 1 })
      yield* faulty.fail("commit", full)
      yield* store.putMany({ g: 1 })
      assert.deepStrictEqual(asked().slice(5), [["f"], ["g"], [], [], ["g"]])
    }))

  it.effect("lets freed pages become usable at the next try if an empty transaction failed", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* written()
      yield* faulty.fail("commit", full, 1)
      yield* faulty.fail("commit", faults.inputOutput, 3)
      yield* faulty.fail("commit", full, 4)
      assert.strictEqual((yield* Effect.flip(store.putMany({ d: 1 })))._tag, "MapFull")
      yield* faulty.fail("commit", full, 1)
      yield* store.putMany({ e: 1 })
      assert.deepStrictEqual(asked(), [["d"], [], [], ["d"], ["e"], [], [], ["e"]])
    }))

  it.effect("uses the emergency pages if it only deletes", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* written()
      for (const attempt of [1, 4]) yield* faulty.fail("commit", full, attempt)
      yield* store.deleteMany(["a", "b"])
      assert.deepStrictEqual(asked(), [["a", "b"], [], [], ["a", "b"], ["a", "b"]])
      assert.strictEqual(yield* store.size, 1)
    }))

  it.effect("reports its number of writes and the limit, also if the length of the file is unknown", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* limited()
      yield* faulty.failAlways("commit", full)
      yield* faulty.failAlways("stats", faults.readersFull)
      const error = yield* Effect.flip(store.deleteMany(["a", "b"]))
      if (error._tag !== "MapFull") return assert.fail(error._tag)
      assert.deepStrictEqual([error.pending, error.limit, error.used], [2, mebibyte, mebibyte])
    }))

  it.effect("reports the size of the map as the limit if none is given", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* limited({ maxMapSize: undefined, resize: Schedule.recurs(1) })
      yield* faulty.failAlways("commit", full)
      const error = yield* Effect.flip(store.putMany({ a: 1 }))
      if (error._tag !== "MapFull") return assert.fail(error._tag)
      assert.strictEqual(error.limit, 65 * mebibyte)
      assert.strictEqual((yield* store.stats).mapSize, 65 * mebibyte)
    }))
})

describe("pending writes that do not fit", () => {
  it.effect("without deletions that make room fail with MapFull", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* limited()
      yield* store.put("a", 1)
      yield* store.delete("b")
      yield* faulty.failAlways("commit", full)
      const error = yield* Effect.flip(store.flush)
      assert.propertyVal(error, "pending", 2)
      assert.deepStrictEqual(asked(), [["a", "b"]])
      yield* faulty.heal
    }))

  it.effect("fail with MapFull if the last of the deletions that make room does not fit either", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* limited()
      yield* store.put("value", 1)
      yield* faulty.failAlways("commit", full)
      yield* Effect.flip(store.flush)
      yield* store.delete("c")
      yield* store.delete("b")
      const before = asked().length
      const error = yield* Effect.flip(store.flush)
      assert.propertyVal(error, "pending", 3)
      // In the order of their keys
      assert.deepStrictEqual(asked().slice(before), [["value", "c", "b"], ["b", "c"], ["b"]])
      yield* faulty.heal
      yield* store.flush
      assert.strictEqual(yield* store.size, 1)
    }))

  it.effect("follow the deletions that make room, after the freed pages have become usable", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* limited()
      yield* store.put("value", 1)
      yield* faulty.fail("commit", full)
      yield* Effect.flip(store.flush)
      yield* store.delete("a")
      yield* faulty.fail("commit", full)
      yield* store.flush
      assert.deepStrictEqual(asked(), [["value"], ["value", "a"], ["a"], [], [], ["value"]])
    }))
})

describe("an engine that cannot see the limit", () => {
  it.effect("costs tries, but no growth, and at most every other try is a step of the schedule", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* limited({ maxMapSize: undefined, resize: Schedule.recurs(1) })
      for (const attempt of [1, 2, 3]) yield* faulty.fail("commit", unseen, attempt)
      yield* store.putMany({ a: 1 })
      assert.deepStrictEqual(asked(), [["a"], ["a"], ["a"], ["a"]])
      assert.strictEqual((yield* store.stats).mapSize, mebibyte)
    }))
})

/** A store like that whose commits have some faults, one after the other, and how its map was set. */
const watched = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const commitFaults: Array<EngineFull | undefined> = []
  const resizes: Array<readonly [size: number, useReserve: boolean]> = []
  const { path, store } = yield* openWith({ ...atLimit, ...options }, (environment) => ({
    commit: (plan) => {
      const fault = commitFaults.shift()
      return fault === undefined ? environment.commit(plan) : Effect.fail(fault)
    },
    resize: (size, resizeOptions) => {
      resizes.push([size, resizeOptions.useReserve])
      return environment.resize(size, resizeOptions)
    }
  }))
  return { commitFaults, path, resizes, store }
})

describe("the limit", () => {
  const kept = [mebibyte, false] as const
  const reserved = [mebibyte, true] as const

  it.effect("is set again after each transaction that did not fit, with the emergency pages for deletions", () =>
    Effect.gen(function*() {
      const { commitFaults, resizes, store } = yield* watched()
      commitFaults.push(full)
      yield* Effect.flip(store.putMany({ a: 1 }))
      assert.deepStrictEqual(resizes, [kept])
    }))

  it.effect("is set again also if the schedule ends before the map grows", () =>
    Effect.gen(function*() {
      const { commitFaults, resizes, store } = yield* watched({ maxMapSize: undefined, resize: Schedule.recurs(0) })
      commitFaults.push(full)
      yield* Effect.flip(store.putMany({ a: 1 }))
      assert.deepStrictEqual(resizes, [kept])
    }))

  it.effect("keeps the emergency pages when the map grows", () =>
    Effect.gen(function*() {
      const { commitFaults, resizes, store } = yield* watched({ maxMapSize: undefined })
      commitFaults.push(full)
      yield* store.putMany({ a: 1 })
      assert.deepStrictEqual(resizes, [[65 * mebibyte, false]])
    }))

  it.effect("releases the emergency pages for empty transactions and for deletions, and takes them back at once", () =>
    Effect.gen(function*() {
      const { commitFaults, resizes, store } = yield* watched()
      yield* store.putMany({ a: 1 })
      commitFaults.push(full, undefined, undefined, full)
      yield* store.deleteMany(["a"])
      assert.deepStrictEqual(resizes, [kept, reserved, kept, reserved, kept, kept, reserved, kept])
    }))

  it.effect("is the size that the last attempt needed, if that is more than the usual growth", () =>
    Effect.gen(function*() {
      const { commitFaults, resizes, store } = yield* watched({ maxMapSize: undefined })
      commitFaults.push(full, new EngineFull({ mapSize: 65 * mebibyte, needed: 200 * mebibyte }))
      yield* store.putMany({ a: 1 })
      assert.deepStrictEqual(resizes.map(([size]) => size), [65 * mebibyte, 200 * mebibyte])
    }))

  it.effect("stays the size to which the map has grown", () =>
    Effect.gen(function*() {
      const { commitFaults, resizes, store } = yield* watched({ maxMapSize: "2 MiB" })
      commitFaults.push(full)
      yield* store.putMany({ a: 1 })
      assert.deepStrictEqual(resizes, [[2 * mebibyte, false]])
      // The empty transactions for the age of what was freed have it too
      commitFaults.push(new EngineFull({ mapSize: 2 * mebibyte, needed: 2 * mebibyte + 1 }))
      yield* store.putMany({ b: 1 })
      assert.isAbove(resizes.length, 3)
      assert.deepStrictEqual(new Set(resizes.map(([size]) => size)), new Set([2 * mebibyte]))
    }))

  it.effect("is set to its former value after the engine could not see it", () =>
    Effect.gen(function*() {
      const { commitFaults, resizes, store } = yield* watched()
      commitFaults.push(unseen)
      yield* store.putMany({ a: 1 })
      assert.deepStrictEqual(resizes, [kept])
      commitFaults.push(full, undefined, undefined, full, unseen)
      yield* store.deleteMany(["a"])
      assert.deepStrictEqual(resizes.slice(-4), [kept, reserved, reserved, kept])
    }))

  it.effect("delays reads while it is being set", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({ mapSize: "1 MiB" })
      yield* store.putMany({ a: 1 })
      const held = yield* spy.hold("resize")
      const growing = yield* start(store.putMany({ large: new Uint8Array(2 * mebibyte) }))
      yield* held.begun
      const reading = yield* start(store.getOrFail("a"))
      yield* turns(20)
      assert.isUndefined(reading.pollUnsafe())
      yield* held.release
      yield* Fiber.join(growing)
      assert.strictEqual(yield* Fiber.join(reading), 1)
    }))
})

describe("the transactions that are counted", () => {
  it.effect("include those that write or clear, and not those that only make freed pages usable", () =>
    Effect.gen(function*() {
      const { commitFaults, path, store } = yield* watched()
      const { commits } = Metrics.make(path)
      const count = Effect.map(Metric.value(commits), (state) => state.count)
      yield* store.putMany({ a: 1 })
      assert.strictEqual(yield* count, 1)
      commitFaults.push(full)
      yield* store.putMany({ b: 1 })
      assert.strictEqual(yield* count, 2)
      yield* store.clear
      assert.strictEqual(yield* count, 3)
    }))
})
