import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Store } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { temporaryFolder, until, withLog } from "../support/harness.ts"

const mebibyte = 1024 * 1024

const range = (count: number) => Array.from({ length: count }, (_, index) => index)

/** What the log says about growth, without the path. */
const growthsIn = (entries: ReadonlyArray<{ readonly text: string }>) =>
  entries.flatMap(({ text }) => /^Growing the map of the store at .* (from .*)$/.exec(text)?.[1] ?? [])

describe("multiple resize", () => {
  it.effect("multiple_resize_retries: 8 x 500 KB into a map of 512 KiB, the growth cut to the limit and logged", () =>
    withLog((entries) =>
      Effect.gen(function*() {
        const { path, spy, store } = yield* SpyEngine.open({ mapSize: "512 KiB", maxMapSize: "20 MiB" })
        for (const n of range(8)) yield* store.put(`key ${n}`, String(n).repeat(500_000))
        yield* store.flush
        assert.deepStrictEqual(spy.commits(), [range(8).map((n) => `key ${n}`)], "the whole batch is tried again")
        for (const n of range(8)) {
          assert.deepStrictEqual(yield* store.get(`key ${n}`), Option.some(String(n).repeat(500_000)))
        }
        assert.deepStrictEqual(growthsIn(entries), ["from 512 KiB to 20 MiB"])
        assert.include(entries[0]?.text, path)
        const stats = yield* store.stats
        assert.strictEqual(stats.mapSize, 20 * mebibyte)
        assert.deepStrictEqual(stats.maxMapSize, Option.some(20 * mebibyte))
        assert.isAtMost(stats.fileBytes, 20 * mebibyte)
      })
    ))

  it.effect("multiple_resize_retries: batch after batch the map grows again, and the log tells each growth", () =>
    withLog((entries) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, mapSize: "512 KiB", durability: "noSync" })
        const large = "x".repeat(10 * mebibyte)
        yield* store.put("first", large)
        yield* store.flush
        assert.deepStrictEqual(growthsIn(entries), ["from 512 KiB to 64.5 MiB"])
        yield* store.putMany(range(6).map((n) => [`key ${n}`, large] as const))
        assert.deepStrictEqual(growthsIn(entries), ["from 512 KiB to 64.5 MiB", "from 64.5 MiB to 129 MiB"])
        assert.strictEqual((yield* store.stats).mapSize, 129 * mebibyte)
        const { found } = yield* store.getMany(["first", ...range(6).map((n) => `key ${n}`)])
        assert.isTrue([...found.values()].every((value) => value === large))
      })
    ))

  it.effect("multiple_resize_hits_limit: 3 x 600 KB under a limit of 1 MiB is MapFull, and nothing is lost", () =>
    withLog((entries) =>
      Effect.gen(function*() {
        const { path, spy, store } = yield* SpyEngine.open({ mapSize: "512 KiB", maxMapSize: "1 MiB" })
        for (const n of range(3)) yield* store.put(n === 0 ? "a" : `key ${n}`, String(n).repeat(600_000))
        const error = yield* Effect.flip(store.flush)
        assert(error._tag === "MapFull")
        assert.strictEqual(error.limit, mebibyte)
        assert.strictEqual(error.pending, 3)
        assert.isAtMost(error.used, mebibyte)
        assert.include(error.message, "3 writes did not fit: they need more room than is left in the file, which has ")
        assert.deepStrictEqual(growthsIn(entries), ["from 512 KiB to 1 MiB"])
        assert.deepStrictEqual(spy.commits(), [])
        assert.deepStrictEqual(yield* store.get("key 2"), Option.some("2".repeat(600_000)))

        yield* store.delete("key 1")
        yield* store.delete("key 2")
        yield* store.close({ strict: true })
        const reopened = yield* Store.make({ path })
        assert.deepStrictEqual(yield* reopened.get("a"), Option.some("0".repeat(600_000)))
        assert.strictEqual(yield* reopened.size, 1)
      })
    ))

  it.effect("multiple_resize_hits_limit: when no one waits for the commit, the next put fails, once", () =>
    withLog((entries) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, mapSize: "1 MiB", maxMapSize: "1 MiB" })
        yield* store.put("large", "x".repeat(2_000_000))
        yield* TestClock.adjust("1 second")
        yield* until(() => entries.some(({ text }) => text.includes("its writes stay pending")))
        const error = yield* Effect.flip(store.put("other", 1))
        assert.strictEqual(error._tag, "MapFull")
        assert.isFalse(yield* store.has("other"), "a put that fails has stored nothing")
        assert.isTrue(yield* store.has("large"), "while the write that did not fit stays pending")
        yield* store.put("other", 1)
        yield* store.delete("large")
        yield* store.flush
        assert.strictEqual(yield* store.size, 1)
      })
    ))

  it.effect("resize_calculation_logic: 15 MB into a map of 10 MiB leaves one of 74 MiB, 64 MiB more", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder, mapSize: "10 MiB" })
      yield* store.put("large", "x".repeat(15_000_000))
      yield* store.flush
      assert.strictEqual((yield* store.stats).mapSize, 74 * mebibyte)
    }))

  it.effect("resize_calculation_logic: a map of more than 64 MiB doubles", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, mapSize: "65 MiB", durability: "noSync" })
      const large = "x".repeat(10 * mebibyte)
      yield* store.putMany(range(7).map((n) => [`key ${n}`, large] as const))
      assert.strictEqual((yield* store.stats).mapSize, 130 * mebibyte)
    }))
})
