/** How much of a range a stream reads, and how many records it gives. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { Store } from "../../../src/index.ts"
import { mebibyte, valueOf } from "../../support/environment.ts"
import { openWith, readByHand, withReads } from "../../support/streaming.ts"

const keyOf = (index: number): string => `key ${String(index).padStart(5, "0")}`

const entries = Array.from({ length: 1000 }, (_, index) => [keyOf(index), index] as const)

const collect = Stream.runCollect

describe("offset and limit", () => {
  const keys = ["a", "b", "c", "d", "e"]

  it.effect("may be beyond the end, and may be Infinity", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(keys.map((key) => [key, key] as const))
      for (const count of [0, -0, 2, 5, Number.MAX_VALUE, Infinity]) {
        assert.strictEqual((yield* collect(store.keys({ offset: count }))).join(""), keys.slice(count).join(""))
        assert.strictEqual((yield* collect(store.keys({ limit: count }))).join(""), keys.slice(0, count).join(""))
      }
      assert.deepStrictEqual(yield* collect(store.keys({ offset: 1, limit: Infinity })), ["b", "c", "d", "e"])
      assert.deepStrictEqual(yield* collect(store.keys({ offset: Infinity, limit: Infinity })), [])
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("cut the range independently of its parts, in both directions", () =>
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

describe("a part of a stream is bounded", () => {
  const large = Array.from({ length: 20 }, (_, index) => [keyOf(index), new Uint8Array(300_000).fill(index)] as const)

  it.effect("large values are read a few at a time, and only if they are requested", () =>
    Effect.gen(function*() {
      const parts: Array<number> = []
      const { store } = yield* openWith({}, (environment) =>
        withReads(environment, (part) => {
          const records = Exit.isSuccess(part) ? part.value.records : []
          parts.push(records.reduce((bytes, [, value]) => bytes + value.length, 0))
          return part
        }))
      yield* store.putMany(large)
      const read = yield* readByHand(store.entries())
      for (let pulls = 1; (yield* read.next).length > 0; pulls++) assert.isAtMost(parts.length, pulls)
      assert.isAtLeast(parts.length, 5)
      assert.isAtMost(Math.max(...parts), mebibyte + 310_000)
    }))

  it.effect("nothing is read beyond the limit", () =>
    Effect.gen(function*() {
      let reads = 0
      const { store } = yield* openWith({}, (environment) =>
        withReads(environment, (part) => {
          reads++
          return part
        }))
      yield* store.putMany(entries)
      for (const [limit, most] of [[0, 0], [1, 1], [256, 1], [300, 2]] as const) {
        reads = 0
        yield* Stream.runDrain(store.keys({ limit }))
        assert.isAtMost(reads, most, `limit ${limit}`)
      }
    }))

  it.effect("keys are read without their values", () =>
    Effect.gen(function*() {
      let bytes = 0
      const { store } = yield* openWith({}, (environment) =>
        withReads(environment, (part) => {
          for (const [, value] of valueOf(part).records) bytes += value.length
          return part
        }))
      yield* store.putMany(large)
      assert.strictEqual((yield* Stream.runCollect(store.keys())).length, large.length)
      assert.strictEqual((yield* Stream.runCollect(store.keys({ decodeKeys: false }))).length, large.length)
      assert.strictEqual(yield* store.count(), large.length)
      assert.strictEqual(yield* store.deleteRange({ prefix: "key" }), large.length)
      assert.strictEqual(bytes, 0)
    }))
})
