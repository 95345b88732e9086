/** Streams of stores that are closed, closing, read-only or empty, and of records that cannot be read. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { Environment } from "../../../src/Engine.ts"
import {
  type Closed,
  type EngineFailure,
  type KeyEncoding,
  Store,
  type StoreService,
  type ValueDecoding
} from "../../../src/index.ts"
import { ByteString } from "../../../src/Key.ts"
import * as SpyEngine from "../../support/engines/spyEngine.ts"
import { start, temporaryFolder, withStore, writing } from "../../support/harness.ts"
import { openWith, readByHand } from "../../support/streaming.ts"

const keyOf = (index: number): string => `key ${String(index).padStart(5, "0")}`

const entries = Array.from({ length: 1000 }, (_, index) => [keyOf(index), index] as const)

/** What a stream gives before it fails, and what with. */
const untilFailure = Effect.fnUntraced(function*<A, E>(stream: Stream.Stream<A, E>) {
  const given: Array<A> = []
  const failure = yield* Effect.flip(Stream.runForEach(stream, (value) => Effect.sync(() => given.push(value))))
  return { given, failure }
})

const tagOf = Effect.match({
  onFailure: (error: { readonly _tag: string }) => error._tag,
  onSuccess: () => "no failure"
})

const readers: ReadonlyArray<{
  readonly how: string
  readonly read: (store: StoreService) => Stream.Stream<unknown, KeyEncoding | ValueDecoding | Closed | EngineFailure>
}> = [
  { how: "keys", read: (store) => store.keys() },
  { how: "values", read: (store) => store.values({ reverse: true }) },
  { how: "entries", read: (store) => store.entries({ decodeKeys: false }) },
  { how: "keys without a snapshot", read: (store) => store.keys({ snapshot: false }) }
]

describe("a record that cannot be read", () => {
  const garbage = Uint8Array.of(0xc1, 0xff, 0x00)

  const spoil = (environment: Environment, ...keys: ReadonlyArray<string>) =>
    environment.commit(writing(...keys.map((key) => [ByteString(key), garbage] as const)))

  it.effect("ends a stream of values after the records before it", () =>
    Effect.gen(function*() {
      const { environment, store } = yield* openWith()
      yield* store.putMany(entries)
      for (const spoilt of [700, 256, 0]) {
        yield* spoil(environment, keyOf(spoilt))
        for (const snapshot of [true, false]) {
          const read = yield* untilFailure(store.entries({ snapshot }))
          assert.deepStrictEqual(read.given, entries.slice(0, spoilt))
          assert.propertyVal(read.failure, "_tag", "ValueDecoding")
          assert.propertyVal(read.failure, "shownKey", JSON.stringify(keyOf(spoilt)))
        }
      }
      const backward = yield* untilFailure(store.values({ reverse: true }))
      assert.deepStrictEqual(backward.given, entries.slice(701).map(([, value]) => value).toReversed())
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))

  it.effect("does not affect calls that do not need it, and can be deleted", () =>
    Effect.gen(function*() {
      const { environment, store } = yield* openWith()
      yield* store.putMany(entries)
      yield* spoil(environment, keyOf(0), keyOf(500), keyOf(999))
      assert.strictEqual((yield* Stream.runCollect(store.keys())).length, entries.length)
      assert.strictEqual(yield* store.count(), entries.length)
      assert.deepStrictEqual(yield* Stream.runCollect(store.entries({ offset: 1, limit: 499 })), entries.slice(1, 500))
      assert.deepStrictEqual(
        yield* Stream.runCollect(store.values({ offset: 1, limit: 498, reverse: true })),
        entries.slice(501, 999).map(([, value]) => value).toReversed()
      )
      yield* store.put(keyOf(500), "repaired")
      assert.strictEqual(yield* Stream.runCount(store.values({ gt: keyOf(0), lt: keyOf(999) })), 998)
      assert.strictEqual(yield* store.deleteRange({ gte: keyOf(999) }), 1)
      assert.strictEqual(yield* store.deleteRange({ lt: keyOf(1) }), 1)
      assert.strictEqual(yield* Stream.runCount(store.values()), 998)
    }))

  it.effect("as text, because its key is not text, can be read with keys as bytes", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany([["a", 1], [Uint8Array.of(0x62, 0xff), 2], ["c", 3]])
          for (const stream of [store.keys(), Stream.map(store.entries({ snapshot: false }), ([key]) => key)]) {
            const read = yield* untilFailure(stream)
            assert.deepStrictEqual(read.given, ["a"])
            assert.propertyVal(read.failure, "_tag", "KeyEncoding")
            assert.nestedPropertyVal(read.failure, "reason._tag", "NotDecodable")
          }
          assert.deepStrictEqual(yield* Stream.runCollect(store.keys({ lt: "b" })), ["a"])
          assert.deepStrictEqual(yield* Stream.runCollect(store.values()), [1, 2, 3])
          assert.strictEqual(yield* store.count(), 3)
          assert.deepStrictEqual(
            yield* Stream.runCollect(store.keys({ decodeKeys: false, prefix: "b" })),
            [Uint8Array.of(0x62, 0xff)]
          )
          assert.deepStrictEqual(
            yield* Stream.runCollect(store.entries({ decodeKeys: false, gt: "b" })),
            [[Uint8Array.of(0x62, 0xff), 2], [Uint8Array.of(0x63), 3]]
          )
        }))
      yield* withStore({ path, keyErrors: "replace" }, (store) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* Stream.runCollect(store.keys()), ["a", "b\ufffd", "c"])
        }))
      yield* withStore({ path, keyEncoding: "binary" }, (store) =>
        Effect.gen(function*() {
          const read = yield* untilFailure(store.keys())
          assert.deepStrictEqual(read.given, [])
          assert.nestedPropertyVal(read.failure, "reason._tag", "NotDecodable")
          assert.strictEqual(yield* store.deleteRange({ prefix: Uint8Array.of(0x62) }), 1)
          assert.strictEqual(yield* Stream.runCount(store.values()), 2)
        }))
    }))
})

describe("pending writes", () => {
  it.effect("are seen without a commit", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* store.putMany({ a: 1 })
      yield* store.put("b", 2)
      yield* store.delete("a")
      const before = spy.transactions()
      for (const { read } of readers) assert.strictEqual(yield* Stream.runCount(read(store)), 1)
      assert.strictEqual(yield* store.count({ prefix: "b" }), 1)
      assert.strictEqual(spy.transactions(), before)
      assert.strictEqual((yield* store.stats).pending, 2)
    }))

  it.effect("are committed first with autoFlushOnRead, and a commit that fails does not fail the stream", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open({
        autoFlushOnRead: true,
        maxMapSize: "512 KiB",
        closeFailure: "log"
      })
      for (const [index, { read }] of readers.entries()) {
        yield* store.put(keyOf(index), "pending")
        assert.strictEqual(yield* Stream.runCount(read(store)), index + 1)
        assert.deepStrictEqual(spy.commits().at(-1), [keyOf(index)])
      }
      yield* store.put("too large", new Uint8Array(600_000))
      assert.deepStrictEqual(yield* Stream.runCollect(store.keys({ gt: "l" })), ["too large"])
      assert.strictEqual(yield* tagOf(store.flush), "MapFull")
    }))
})

describe("a store that is closed", () => {
  it.effect("in the middle of streams ends them with Closed, and does not wait for them", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (const { how, read } of readers) {
        const store = yield* Store.make({ path })
        yield* store.putMany(entries)
        const stream = yield* readByHand(read(store))
        assert.isAbove((yield* stream.next).length, 0)
        const waiting = yield* start(Stream.runForEach(read(store), () => Effect.never))
        yield* store.put("pending", 1)
        yield* store.close({ strict: true })
        assert.strictEqual(yield* tagOf(stream.next), "Closed", how)
        yield* stream.end
        yield* Fiber.interrupt(waiting)
      }
    }))

  it.effect("for one of its handles ends only the streams of that handle", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (const { how, read } of readers) {
        const one = yield* Store.make({ path })
        const other = yield* Store.make({ path })
        yield* one.putMany(entries)
        const ended = yield* readByHand(read(one))
        const going = yield* readByHand(read(other))
        const first = yield* Effect.all([ended.next, going.next])
        yield* one.close()
        assert.strictEqual(yield* tagOf(ended.next), "Closed", how)
        assert.strictEqual((yield* going.rest).length + first[1].length, entries.length, how)
        yield* ended.end
        yield* other.close()
      }
    }))

  it.effect("gives no stream, not even one that was made before", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const before = readers.map(({ read }) => read(store))
      yield* store.close()
      for (const stream of [...before, ...readers.map(({ read }) => read(store))]) {
        assert.strictEqual(yield* tagOf(Stream.runDrain(stream)), "Closed")
      }
      assert.strictEqual(yield* tagOf(store.count()), "Closed")
      assert.strictEqual(yield* tagOf(store.deleteRange({})), "Closed")
      assert.strictEqual(yield* tagOf(store.count({ gt: "" })), "Closed")
    }))

  it.effect("by its scope while fibers read ends them all", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const fibers = yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* Store.make({ path })
        yield* store.putMany(entries)
        const reading = readers.map(({ read }) => Effect.forever(Stream.runDrain(read(store))))
        const counting = [Effect.forever(store.count()), Effect.forever(store.deleteRange({ prefix: "none" }))]
        const started = yield* Effect.forEach([...reading, ...counting], (call) => Effect.forkDetach(call))
        yield* Effect.repeat(Effect.yieldNow, { times: 20 })
        return started
      }))
      for (const fiber of fibers) {
        assert.strictEqual(yield* tagOf(Fiber.join(fiber)), "Closed")
      }
      assert.strictEqual(yield* withStore({ path }, (store) => store.count()), entries.length)
    }))
})

describe("a store that is", () => {
  it.effect("read-only gives its ranges, and no deleteRange", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.putMany(entries))
      yield* withStore({ path, readOnly: true, autoFlushOnRead: true }, (store) =>
        Effect.gen(function*() {
          for (const { read } of readers) assert.strictEqual(yield* Stream.runCount(read(store)), entries.length)
          assert.deepStrictEqual(yield* Stream.runCollect(store.entries({ limit: 2 })), entries.slice(0, 2))
          assert.strictEqual(yield* store.count({ gte: keyOf(990) }), 10)
          assert.strictEqual(yield* tagOf(store.deleteRange({})), "ReadOnly")
          assert.strictEqual(yield* store.size, entries.length)
          assert.strictEqual((yield* store.stats).snapshots, 0)
        }))
    }))

  it.effect.each([false, true])("empty gives nothing (read-only: %s)", (readOnly) =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, () => Effect.void)
      yield* withStore({ path, readOnly }, (store) =>
        Effect.gen(function*() {
          for (const { read } of readers) assert.strictEqual(yield* Stream.runCount(read(store)), 0)
          for (const range of [{}, { reverse: true, offset: 3, limit: 1 }, { prefix: "a", gt: "b" }]) {
            assert.strictEqual(yield* store.count(range), 0)
            assert.deepStrictEqual(yield* Stream.runCollect(store.keys(range)), [])
            if (!readOnly) assert.strictEqual(yield* store.deleteRange(range), 0)
          }
        }))
    }))

  it.effect("emptied gives nothing, and then newer records", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(entries)
      yield* store.clear
      for (const { read } of readers) assert.strictEqual(yield* Stream.runCount(read(store)), 0)
      // The first of all keys
      yield* store.putMany([[Uint8Array.of(0), 1]])
      for (const { read } of readers) assert.strictEqual(yield* Stream.runCount(read(store)), 1)
    }).pipe(Effect.provide(Store.layerTemp())))
})
