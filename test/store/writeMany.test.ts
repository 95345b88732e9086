/** One transaction of puts and deletions. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Store } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { temporaryFolder } from "../support/harness.ts"

const record = (n: number) => ({ first: n, second: `text ${n}` })

describe("writeMany", () => {
  it.effect("puts and deletes in one commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.putMany({ a: 1, b: 2 })
      yield* store.writeMany([{ put: ["c", 3] }, { delete: "a" }, { delete: "not there" }, { put: ["b", 4] }])
      assert.deepStrictEqual(spy.commits().at(-1), ["c", "-a", "-not there", "b"])
      assert.deepStrictEqual(yield* Stream.runCollect(store.entries()), [["b", 4], ["c", 3]])
    }))

  it.effect("keeps the last write of a key", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open()
      yield* store.writeMany([{ put: ["a", 1] }, { delete: "a" }, { delete: "b" }, { put: ["b", 2] }])
      assert.deepStrictEqual(yield* Stream.runCollect(store.entries()), [["b", 2]])
    }))

  it.effect("keeps records that share the names of their fields", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const write = Effect.scoped(Effect.gen(function*() {
        const store = yield* Store.make({ path })
        yield* store.put("old", 1)
        yield* store.writeMany([
          { delete: "old" },
          ...Array.from({ length: 100 }, (_, n) => ({ put: [`key ${n}`, record(n)] }) as const)
        ])
      }))
      yield* write
      const store = yield* Store.make({ path })
      assert.deepStrictEqual(yield* store.getOrFail("key 99"), record(99))
      assert.strictEqual(yield* store.size, 100)
    }))

  it.effect("is a part of the transaction in which it is called", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open()
      yield* store.put("a", 1)
      const writing = store.writeMany([{ delete: "a" }, { put: ["b", record(1)] }])
      yield* Effect.flip(store.withTransaction(Effect.andThen(writing, Effect.fail("no"))))
      assert.deepStrictEqual(yield* Stream.runCollect(store.keys()), ["a"])
      yield* store.withTransaction(writing)
      assert.deepStrictEqual(yield* Stream.runCollect(store.entries()), [["b", record(1)]])
    }))

  it.effect("writes nothing if one write is not valid", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open()
      const first = { put: ["a", 1] } as const
      assert.include(yield* Effect.flip(store.writeMany([first, { delete: "" }])), { _tag: "KeyEncoding" })
      assert.include(yield* Effect.flip(store.writeMany([first, { put: ["b", () => 1] }])), { _tag: "ValueEncoding" })
      const wrong = [
        // @ts-expect-error it is neither a put nor a deletion
        store.writeMany([first, {}]),
        // @ts-expect-error it is both
        store.writeMany([first, { put: ["b", 1], delete: "b" }]),
        // @ts-expect-error it is no object
        store.writeMany([first, 7]),
        // @ts-expect-error the value is missing
        store.writeMany([first, { put: ["b"] }]),
        // @ts-expect-error it is no list
        store.writeMany({ put: ["b", 1] })
      ]
      for (const call of wrong) assert.include(yield* Effect.flip(call), { _tag: "KeyEncoding" })
      assert.strictEqual(yield* store.size, 0)
    }))
})
