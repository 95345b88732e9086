/** How many records of a range a stream gives. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Store } from "../src/index.ts"

const collect = Stream.runCollect

describe("offset and limit", () => {
  const keys = ["a", "b", "c", "d", "e"]

  it.effect("that are no whole numbers count as the next smaller one, and NaN and what is below zero as zero", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(keys.map((key) => [key, key] as const))
      const sane: ReadonlyArray<readonly [number | undefined, number]> = [
        [undefined, 0],
        [-1, 0],
        [-Infinity, 0],
        [NaN, 0],
        [0.9, 0],
        [2.9, 2],
        [5, 5],
        [Infinity, 5],
        [Number.MAX_VALUE, 5]
      ]
      for (const [given, meant] of sane) {
        assert.strictEqual(
          (yield* collect(store.keys({ offset: given }))).join(""),
          keys.slice(meant).join(""),
          `${given}`
        )
        if (given === undefined) continue
        assert.strictEqual(
          (yield* collect(store.keys({ limit: given }))).join(""),
          keys.slice(0, meant).join(""),
          `${given}`
        )
      }
      assert.deepStrictEqual(yield* collect(store.keys({ offset: 1, limit: Infinity })), ["b", "c", "d", "e"])
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("cut the range wherever its parts end, from either end", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const many = Array.from({ length: 600 }, (_, index) => `key ${String(index).padStart(3, "0")}`)
      yield* store.putMany(many.map((key) => [key, 1] as const))
      for (const offset of [0, 1, 255, 256, 257, 512, 599, 600, 601]) {
        for (const limit of [0, 1, 88, 256, 257, 600]) {
          const end = offset + limit
          assert.deepStrictEqual(yield* collect(store.keys({ offset, limit })), many.slice(offset, end))
          assert.deepStrictEqual(
            yield* collect(store.keys({ offset, limit, reverse: true, snapshot: false })),
            many.toReversed().slice(offset, end)
          )
        }
      }
    }).pipe(Effect.provide(Store.layerTemp())))
})
