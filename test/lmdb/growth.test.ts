/** How the map grows, and what the figures of a store say. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { statSync } from "node:fs"
import { join } from "node:path"
import { EngineFull } from "../../src/Engine.ts"
import { Store } from "../../src/index.ts"
import { faultyStore, temporaryFolder, withLog } from "../support/harness.ts"

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

const text = (length: number, name: string | number = ""): string => `${name} ${"x".repeat(length)}`

describe("growth", () => {
  it.effect.each(
    [
      { mapSize: "1 MiB", maxMapSize: undefined, bytes: 2 * mebibyte, grown: 65 * mebibyte },
      { mapSize: "1 MiB", maxMapSize: "3 MiB", bytes: 2 * mebibyte, grown: 3 * mebibyte },
      { mapSize: "512 KiB", maxMapSize: "20 MiB", bytes: 4 * mebibyte, grown: 20 * mebibyte },
      { mapSize: "10 MiB", maxMapSize: undefined, bytes: 15 * mebibyte, grown: 74 * mebibyte }
    ] as const
  )(
    "from $mapSize, at most $maxMapSize, for $bytes bytes gives a map of $grown",
    ({ bytes, grown, mapSize, maxMapSize }) =>
      withLog((log) =>
        Effect.gen(function*() {
          const path = yield* temporaryFolder
          const store = yield* Store.make({ path, mapSize, maxMapSize })
          const value = new Uint8Array(bytes).fill(7)
          yield* store.put("large", value)
          yield* store.flush
          const stats = yield* store.stats
          assert.strictEqual(stats.mapSize, grown)
          assert.deepStrictEqual(yield* store.getOrFail("large"), value)
          assert.strictEqual(log.length, 1)
          assert.strictEqual(log[0]?.level, "INFO")
          assert.include(
            log[0]?.text,
            `Growing the map of the store at ${path} from ${mapSize} to ${grown / mebibyte} MiB`
          )
        })
      )
  )

  it.effect("doubles a large map", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ mapSize: "100 MiB" })
      yield* faulty.fail("commit", new EngineFull({ mapSize: 100 * mebibyte, needed: 100 * mebibyte + 1 }))
      yield* store.putMany({ a: 1 })
      assert.strictEqual((yield* store.stats).mapSize, 200 * mebibyte)
    }))

  it.effect("reaches at once the size that a batch is known to need", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ mapSize: "1 MiB" })
      yield* faulty.fail("commit", new EngineFull({ mapSize: mebibyte, needed: 300 * mebibyte }))
      yield* store.putMany({ a: 1 })
      assert.strictEqual((yield* store.stats).mapSize, 300 * mebibyte)
    }))

  it.effect("continues until the batch fits, as often as the schedule allows, and then fails with MapFull", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* faultyStore({ mapSize: "1 MiB", resize: Schedule.recurs(3) })
        yield* faulty.failAlways("commit", new EngineFull({ mapSize: mebibyte, needed: mebibyte + 1 }))
        yield* store.put("a", 1)
        assert.propertyVal(yield* Effect.flip(store.flush), "_tag", "MapFull")
        assert.strictEqual(faulty.calls("commit"), 4)
        assert.deepStrictEqual(
          log.map((entry) => entry.text.replace(/.* from /, "")),
          ["1 MiB to 65 MiB", "65 MiB to 130 MiB", "130 MiB to 260 MiB"]
        )
        yield* faulty.heal
        yield* store.flush
        assert.strictEqual(yield* store.getOrFail("a"), 1)
      })
    ))

  it.effect("does not stop readers and writers", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, mapSize: "256 KiB", maxMapSize: "256 MiB", batchSize: 5 })
      const keys = Array.from({ length: 60 }, (_, index) => `key ${index}`)
      yield* Effect.forEach(keys, (key) =>
        Effect.gen(function*() {
          for (const round of [1, 2, 3]) {
            yield* store.put(key, text(20_000, round))
            yield* Effect.yieldNow
            assert.strictEqual(yield* store.getOrFail(key), text(20_000, round))
          }
        }), { concurrency: "unbounded", discard: true })
      yield* store.flush
      assert.strictEqual(yield* store.size, 60)
      assert.strictEqual((yield* store.stats).mapSize, 64 * mebibyte + 256 * kibibyte)
    }))
})

describe("stats", () => {
  it.effect("show the map, its limit, the file and the pending writes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, mapSize: "512 KiB", maxMapSize: "1 MiB" })
      yield* store.putMany({ a: text(10_000), b: 1, gone: 1 })
      yield* store.put("b", 2)
      yield* store.put("c", 3)
      yield* store.delete("gone")
      yield* store.delete("never")
      const stats = yield* store.stats
      assert.strictEqual(stats.entries, 3)
      assert.strictEqual(stats.pending, 4)
      assert.isAtLeast(stats.pendingBytes, "bcgonenever".length + 2)
      assert.isAtMost(stats.pendingBytes, "bcgonenever".length + 20)
      assert.strictEqual(stats.mapSize, 512 * kibibyte)
      assert.deepStrictEqual(stats.maxMapSize, Option.some(mebibyte))
      assert.strictEqual(stats.fileBytes, statSync(join(path, "data.mdb")).size)
      assert.strictEqual(stats.pageSize, 4096)
      assert.isAbove(stats.usedBytes, 10_000)
      assert.isAtMost(stats.usedBytes, stats.fileBytes)
      assert.isAtLeast(stats.readers, 0)
      yield* store.flush
      const after = yield* store.stats
      assert.strictEqual(after.pending, 0)
      assert.strictEqual(after.pendingBytes, 0)
      assert.strictEqual(after.entries, 3)
    }))

  it.effect("show no limit if none is set, and count added and removed values", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path })
      const empty = yield* store.stats
      assert.deepStrictEqual(empty.maxMapSize, Option.none())
      assert.strictEqual(empty.mapSize, 64 * mebibyte)
      yield* store.putMany({ a: text(100_000) })
      const filled = yield* store.stats
      assert.isAtLeast(filled.usedBytes - empty.usedBytes, 100_000)
      yield* store.clear
      assert.isBelow((yield* store.stats).usedBytes, filled.usedBytes - 90_000)
    }))
})
