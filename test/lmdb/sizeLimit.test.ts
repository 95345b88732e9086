/** The limit of the file: it is never passed, and there is always a way back from it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { statSync } from "node:fs"
import { join } from "node:path"
import { type MapFull, Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import * as Workload from "../support/workload.ts"

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

const lengthOf = (path: string): number => statSync(join(path, "data.mdb")).size

/** A store with a limit of 1 MiB where commits begin only when asked for. */
const limited = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const path = yield* temporaryFolder
  const defaults: Partial<StoreOptions> = {
    maxMapSize: "1 MiB",
    batchBytes: "64 MiB",
    batchSize: 1_000_000,
    closeFailure: "log"
  }
  const open = Store.make({ ...defaults, ...options, path })
  return { path, open, store: yield* open }
})

const text = (length: number, name: string | number = ""): string => `${name} ${"x".repeat(length)}`

/** mulberry32 */
const randomOf = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

/** Fills a store until nothing more fits, and gives the keys that are stored. */
const fill = Effect.fnUntraced(function*(store: StoreService, valueLength: number) {
  const keys: Array<string> = []
  for (let index = 0;; index++) {
    const exit = yield* Effect.exit(store.putMany([[`fill ${index}`, text(valueLength, index)]]))
    if (Exit.isFailure(exit)) {
      assert.propertyVal(yield* Effect.flip(exit), "_tag", "MapFull")
      return keys
    }
    keys.push(`fill ${index}`)
  }
})

const assertWritable = Effect.fnUntraced(function*(store: StoreService, path: string, limit: number = mebibyte) {
  yield* store.put("written again", text(2000))
  yield* store.flush
  assert.isTrue(yield* store.has("written again"))
  assert.strictEqual((yield* store.stats).pending, 0)
  assert.isAtMost(lengthOf(path), limit)
})

describe("maxMapSize", () => {
  it.effect("with 2 MiB of values under 1 MiB, MapFull can be caught, and the earlier data stays", () =>
    Effect.gen(function*() {
      const { open, path, store } = yield* limited({ batchBytes: "4 MiB", batchSize: 1000 })
      yield* store.put("earlier", "data")
      yield* store.flush
      const caught = yield* Effect.gen(function*() {
        for (let index = 0; index < 2048; index++) yield* store.put(`key ${index}`, text(kibibyte, index))
        yield* store.flush
      }).pipe(
        Effect.as(Option.none<MapFull>()),
        Effect.catchTag("MapFull", (full) => Effect.succeed(Option.some(full)))
      )
      const full = Option.getOrThrow(caught)
      assert.strictEqual(full.limit, mebibyte)
      assert.isAtLeast(full.pending, 1000)
      assert.strictEqual(full.used, lengthOf(path))
      assert.include(full.message, "of at most 1,048,576 bytes")
      assert.isAtMost(lengthOf(path), mebibyte)
      assert.strictEqual(yield* store.getOrFail("earlier"), "data")
      assert.strictEqual(yield* store.getOrFail("key 0"), text(kibibyte, 0))
      yield* store.close()
      const again = yield* open
      assert.strictEqual(yield* again.getOrFail("earlier"), "data")
    }))

  it.effect.each<{ readonly what: string; readonly entries: ReadonlyArray<readonly [string, unknown]> }>([
    { what: "one huge value", entries: [["huge", text(2 * mebibyte)]] },
    { what: "one value of just the limit", entries: [["huge", text(mebibyte - 10)]] },
    {
      what: "many small values",
      entries: Array.from({ length: 60_000 }, (_, index) => [`small ${index}`, index] as const)
    },
    {
      what: "many values of half a page",
      entries: Array.from({ length: 1000 }, (_, index) => [`half ${index}`, text(2000, index)] as const)
    },
    {
      what: "long keys",
      entries: Array.from({ length: 1000 }, (_, index) => [`${index}`.padStart(1900, "k"), index] as const)
    }
  ])(
    "$what: nothing is written, all of it stays readable, and the file keeps its limit",
    ({ entries }) =>
      Effect.gen(function*() {
        const { path, store } = yield* limited()
        yield* store.putMany({ earlier: 1 })
        yield* Effect.forEach(entries, ([key, value]) => store.put(key, value), { discard: true })
        const full = yield* Effect.flip(store.flush)
        assert.propertyVal(full, "_tag", "MapFull")
        assert.propertyVal(full, "pending", entries.length)
        assert.isAtMost(lengthOf(path), mebibyte)
        assert.strictEqual(yield* store.size, entries.length + 1)
        const [key, value] = entries[entries.length >> 1] ?? ["", undefined]
        assert.deepStrictEqual(yield* store.get(key), Option.some(value))

        // The pending writes are given up: writing is possible again
        for (const [pending] of entries) yield* store.delete(pending)
        yield* store.flush
        assert.strictEqual(yield* store.size, 1)
        yield* assertWritable(store, path)
      })
  )

  it.effect("a putMany that does not fit writes nothing, and the earlier pending writes are committed", () =>
    Effect.gen(function*() {
      const { path, store } = yield* limited()
      yield* store.put("before", 1)
      const full = yield* Effect.flip(store.putMany({ before: 2, huge: text(2 * mebibyte) }))
      assert.propertyVal(full, "_tag", "MapFull")
      assert.strictEqual(yield* store.getOrFail("before"), 1)
      assert.isFalse(yield* store.has("huge"))
      assert.strictEqual((yield* store.stats).pending, 0)
      yield* assertWritable(store, path)
    }))

  it.effect("a putMany that fits is committed although the pending writes do not fit", () =>
    Effect.gen(function*() {
      const { path, store } = yield* limited()
      yield* store.put("huge", text(2 * mebibyte))
      yield* store.put("a", "pending")
      yield* store.putMany({ a: "unit", b: "unit" })
      assert.strictEqual(yield* store.getOrFail("a"), "unit")
      assert.strictEqual(yield* store.getOrFail("huge"), text(2 * mebibyte))
      assert.isAtMost(lengthOf(path), mebibyte)
      yield* store.delete("huge")
      yield* store.flush
      assert.strictEqual(yield* store.size, 2)
      assert.strictEqual(yield* store.getOrFail("a"), "unit")
      yield* assertWritable(store, path)
    }))

  it.effect("rewriting the same values at the limit never exceeds it", () =>
    Effect.gen(function*() {
      const { path, store } = yield* limited()
      for (let round = 0; round < 40; round++) {
        for (let index = 0; index < 10; index++) yield* store.put(`key ${index}`, text(30_000, round))
        yield* store.flush
        assert.isAtMost(lengthOf(path), mebibyte)
      }
      assert.strictEqual(yield* store.getOrFail("key 9"), text(30_000, 39))
    }))

  it.effect.each([50, 2000, 40_000])(
    "in a store full of values of %i, deletions always fit, one by one",
    (length) =>
      Effect.gen(function*() {
        const { path, store } = yield* limited({ maxMapSize: "512 KiB", durability: "noSync" })
        // One value at a time would take long for small values
        if (length < 1000) {
          yield* store.putMany(Array.from({ length: 2000 }, (_, index) => [`bulk ${index}`, text(length)] as const))
        }
        const keys = yield* fill(store, length)
        assert.isAbove(lengthOf(path), 256 * kibibyte)
        for (const key of keys.slice(0, 40)) {
          yield* store.delete(key)
          yield* store.flush
          assert.isAtMost(lengthOf(path), 512 * kibibyte)
        }
        yield* store.deleteMany(keys)
        assert.isAtMost(lengthOf(path), 512 * kibibyte)
        yield* assertWritable(store, path, 512 * kibibyte)
      })
  )

  it.effect("a full store can be cleared, and filled again as before", () =>
    Effect.gen(function*() {
      const { path, store } = yield* limited({ durability: "noSync" })
      const amounts: Array<number> = []
      for (let round = 0; round < 4; round++) {
        amounts.push((yield* fill(store, 20_000)).length)
        yield* store.clear
        assert.strictEqual(yield* store.size, 0)
        assert.isAtMost(lengthOf(path), mebibyte)
      }
      assert.isAtLeast(Math.min(...amounts), 15)
      yield* assertWritable(store, path)
    }))

  it.effect("a clear drops pending writes that do not fit", () =>
    Effect.gen(function*() {
      const { path, store } = yield* limited()
      yield* store.put("huge", text(2 * mebibyte))
      assert.propertyVal(yield* Effect.flip(store.flush), "_tag", "MapFull")
      yield* store.clear
      assert.strictEqual(yield* store.size, 0)
      yield* assertWritable(store, path)
    }))

  it.effect("replacing the value that does not fit by a smaller one makes it fit", () =>
    Effect.gen(function*() {
      const { path, store } = yield* limited()
      yield* store.put("huge", text(2 * mebibyte))
      yield* store.put("other", 1)
      assert.propertyVal(yield* Effect.flip(store.flush), "_tag", "MapFull")
      yield* store.put("huge", "small")
      yield* store.flush
      assert.strictEqual(yield* store.getOrFail("huge"), "small")
      yield* assertWritable(store, path)
    }))

  it.effect("deletions and values that do not fit together are committed in turn", () =>
    Effect.gen(function*() {
      const { path, store } = yield* limited()
      const keys = yield* fill(store, 20_000)
      for (const key of keys) yield* store.delete(key)
      for (let index = 0; index < 15; index++) yield* store.put(`next ${index}`, text(20_000, index))
      yield* store.flush
      assert.strictEqual(yield* store.size, 15)
      yield* assertWritable(store, path)
    }))

  it.effect.prop(
    "is exact to the page for every commit of random workloads, and a clear always makes room",
    { steps: Workload.steps({ largest: 200_000, maxLength: 50 }) },
    ({ steps }) =>
      Effect.gen(function*() {
        for (const limit of [256 * kibibyte, 300_001, mebibyte]) {
          const path = yield* temporaryFolder
          const open = Store.make({
            path,
            maxMapSize: limit,
            batchBytes: "64 MiB",
            durability: "noSync",
            closeFailure: "log"
          })
          const isKept = Effect.sync(() => assert.isAtMost(lengthOf(path), limit))
          yield* Workload.run(steps, open, () => isKept)
          yield* withStore({ path, maxMapSize: limit }, (store) =>
            Effect.gen(function*() {
              yield* store.clear
              yield* assertWritable(store, path, limit)
            }))
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 8, size: 50, seed: "limit" } }
  )

  it.effect.prop(
    "is kept while thousands of small values are added and removed",
    { seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })) },
    ({ seed }) =>
      Effect.gen(function*() {
        const random = randomOf(seed)
        const { path, store } = yield* limited({ maxMapSize: "512 KiB", durability: "noSync" })
        const model = new Map<string, unknown>()
        let timesFull = 0
        for (let round = 0; round < 60; round++) {
          const batch = new Map(
            Array.from({ length: random(2) === 0 ? 5 : 300 }, () => [`key ${random(4000)}`, text(random(200), round)])
          )
          const isWritten = yield* store.putMany(batch).pipe(
            Effect.as(true),
            Effect.catchTag("MapFull", () => Effect.succeed(false))
          )
          assert.isAtMost(lengthOf(path), 512 * kibibyte)
          if (isWritten) {
            for (const [key, value] of batch) model.set(key, value)
          } else {
            timesFull++
            const unwanted = [...model.keys()].filter(() => random(2) === 0)
            yield* store.deleteMany(unwanted)
            for (const key of unwanted) model.delete(key)
            assert.isAtMost(lengthOf(path), 512 * kibibyte)
            yield* store.putMany({ "key 0": round })
            model.set("key 0", round)
          }
          assert.strictEqual(yield* store.size, model.size)
        }
        assert.isAbove(timesFull, 1)
        const { found } = yield* store.getMany([...model.keys()])
        assert.deepStrictEqual(found, model)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 4, seed: "small values" } }
  )
})

describe("a file whose length is the limit with which it is opened", () => {
  it.effect("has room for values that were deleted before it was opened", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const options: StoreOptions = { path, maxMapSize: "1 MiB" }
      yield* withStore(options, (store) =>
        Effect.gen(function*() {
          yield* store.deleteMany(yield* fill(store, 50_000))
        }))
      yield* withStore(options, (store) => store.putMany({ large: text(600_000) }))
      assert.isAtMost(lengthOf(path), mebibyte)
    }))

  /** A file of many values of all sizes, made under another limit, and opened with one of so many pages more than it has. */
  const openShortOf = Effect.fnUntraced(function*(pages: number) {
    const path = yield* temporaryFolder
    yield* withStore({ path, maxMapSize: "1 MiB" }, (store) =>
      Effect.gen(function*() {
        yield* fill(store, 20_000)
        for (let index = 0; index < 30; index++) {
          yield* Effect.ignore(store.putMany({ [`key ${index}`]: text(3000) }))
        }
      }))
    const limit = lengthOf(path) + pages * 4096
    const store = yield* Store.make({
      path,
      mapSize: limit,
      maxMapSize: limit,
      flushInterval: "Infinity",
      closeFailure: "log"
    })
    for (const key of yield* Stream.runCollect(store.keys())) yield* store.delete(key)
    return { limit, path, store }
  })

  it.effect.each([8, 12, 20])("or %i pages shorter takes deletions", (pages) =>
    Effect.gen(function*() {
      const { limit, path, store } = yield* openShortOf(pages)
      yield* store.flush
      assert.strictEqual(yield* store.size, 0)
      yield* assertWritable(store, path, limit)
    }))

  it.effect.each([0, 4])("or %i pages shorter may have no page left for deletions", (pages) =>
    Effect.gen(function*() {
      const { limit, path, store } = yield* openShortOf(pages)
      assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
      assert.strictEqual(yield* store.size, 0)
      assert.isAtMost(lengthOf(path), limit)
    }))

  it.effect("takes deletions under a limit that is higher", () =>
    Effect.gen(function*() {
      const { limit, path, store } = yield* openShortOf(0)
      yield* Effect.ignore(store.close({ strict: true }))
      const higher = limit + 128 * kibibyte
      const again = yield* Store.make({ path, maxMapSize: higher })
      yield* again.deleteMany(yield* Stream.runCollect(again.keys()))
      assert.strictEqual(yield* again.size, 0)
      yield* assertWritable(again, path, higher)
    }))
})

describe("a file that is longer than the limit with which it is opened", () => {
  const value = text(100_000)

  const longFile = Effect.gen(function*() {
    const path = yield* temporaryFolder
    yield* withStore(
      { path },
      (store) => store.putMany(Array.from({ length: 40 }, (_, index) => [`key ${index}`, value] as const))
    )
    assert.isAbove(lengthOf(path), 4_000_000)
    return path
  })

  it.effect("can be read and cleared, and accepts no other write", () =>
    Effect.gen(function*() {
      const path = yield* longFile
      const store = yield* Store.make({ path, maxMapSize: "1 MiB" })
      assert.strictEqual(yield* store.size, 40)
      assert.strictEqual(yield* store.getOrFail("key 39"), value)
      assert.propertyVal(yield* Effect.flip(store.putMany({ more: value })), "_tag", "MapFull")
      assert.strictEqual(yield* store.size, 40)
      yield* store.clear
      assert.strictEqual(yield* store.size, 0)
    }))

  it.effect("takes deletions", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* longFile, maxMapSize: "1 MiB" })
      yield* store.delete("key 0")
      yield* store.flush
      yield* store.deleteMany(["key 1", "key 2"])
      assert.strictEqual(yield* store.size, 37)
    }))

  it.effect("grows again under a larger limit", () =>
    Effect.gen(function*() {
      const path = yield* longFile
      const store = yield* Store.make({ path, mapSize: "1 MiB", maxMapSize: "16 MiB" })
      yield* store.putMany(Array.from({ length: 60 }, (_, index) => [`key ${index}`, value] as const))
      assert.strictEqual(yield* store.size, 60)
      assert.isAtMost(lengthOf(path), 16 * mebibyte)
    }))
})
