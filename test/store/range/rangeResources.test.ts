/** What a stream takes while it runs, and gives back however it ends. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { statSync } from "node:fs"
import { join } from "node:path"
import { EngineFailure, Store, type StoreService } from "../../../src/index.ts"
import { ByteString } from "../../../src/Key.ts"
import { start, temporaryFolder, writing } from "../../support/harness.ts"
import { openWith, readByHand, withReads } from "../../support/streaming.ts"

const keyOf = (index: number): string => `key ${String(index).padStart(5, "0")}`

const count = 1000

const entries = Array.from({ length: count }, (_, index) => [keyOf(index), index] as const)

const snapshotsOf = (store: StoreService) => Effect.map(store.stats, (stats) => stats.snapshots)

describe("the reader of a stream", () => {
  it.effect.each<{ readonly how: string; readonly read: (store: StoreService) => Effect.Effect<unknown, unknown> }>([
    { how: "is read to its end", read: (store) => Stream.runDrain(store.entries()) },
    { how: "gives nothing", read: (store) => Stream.runDrain(store.entries({ prefix: "none" })) },
    { how: "is read up to its limit", read: (store) => Stream.runDrain(store.entries({ limit: 3 })) },
    { how: "is abandoned after some records", read: (store) => Stream.runDrain(Stream.take(store.keys(), 3)) },
    { how: "is asked for its first record only", read: (store) => Stream.runHead(store.values()) },
    {
      how: "is left by its consumer's failure",
      read: (store) => Stream.runForEach(store.keys(), () => Effect.fail("enough"))
    },
    {
      how: "is left by its consumer's defect",
      read: (store) => Effect.exit(Stream.runForEach(store.keys(), () => Effect.die("enough")))
    },
    {
      how: "has a bad record",
      read: (store) => Stream.runDrain(store.keys({ gte: Uint8Array.of(0xff) }))
    },
    {
      how: "is read by hand and ended",
      read: (store) => Effect.scoped(Effect.flatMap(readByHand(store.keys()), (read) => read.next))
    },
    { how: "is counted", read: (store) => store.count({ gt: keyOf(10) }) },
    { how: "is deleted", read: (store) => store.deleteRange({ gt: keyOf(10) }) }
  ])("is released when it $how", ({ read }) =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany([...entries, [Uint8Array.of(0xff), "no text"]])
      yield* Effect.exit(read(store))
      assert.strictEqual(yield* snapshotsOf(store), 0)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("is released at once when it is interrupted, at any point", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(entries)
      let mostOpen = 0
      for (let turns = 0; turns < 25; turns++) {
        const waiting = yield* start(Stream.runForEach(store.keys(), () => Effect.never))
        const reading = yield* start(Stream.runForEachArray(store.entries(), () => Effect.yieldNow))
        const counting = yield* start(store.count())
        yield* Effect.repeat(Effect.yieldNow, { times: turns })
        mostOpen = Math.max(mostOpen, yield* snapshotsOf(store))
        yield* Fiber.interruptAll([waiting, reading, counting])
        assert.strictEqual(yield* snapshotsOf(store), 0)
      }
      assert.strictEqual(mostOpen, 3)
    }).pipe(Effect.provide(Store.layerTemp())))

  it.effect("is released when the engine fails, and the stream fails with the error", () =>
    Effect.gen(function*() {
      const failure = new EngineFailure({ operation: "read", code: 5, detail: "Input/output error", isRetryable: true })
      let reads = 0
      const { store } = yield* openWith({}, (environment) =>
        withReads(environment, (part) => ++reads === 3 ? Exit.fail(failure) : part))
      yield* store.putMany(entries)
      const given: Array<string> = []
      const exit = yield* Effect.flip(Stream.runForEach(store.keys(), (key) =>
        Effect.sync(() => given.push(key))))
      assert.strictEqual(exit, failure)
      assert.deepStrictEqual(given, entries.slice(0, given.length).map(([key]) => key))
      assert.isAbove(given.length, 0)
      assert.strictEqual(yield* snapshotsOf(store), 0)
    }))

  it.effect("is counted in the stats while it is open", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(entries)
      const one = yield* readByHand(store.keys())
      const other = yield* readByHand(store.values({ reverse: true }))
      const without = yield* readByHand(store.entries({ snapshot: false }))
      assert.strictEqual(yield* snapshotsOf(store), 0)
      yield* Effect.all([one.next, other.next, without.next])
      assert.strictEqual(yield* snapshotsOf(store), 2)
      yield* one.end
      assert.strictEqual(yield* snapshotsOf(store), 1)
      yield* other.rest
      assert.strictEqual(yield* snapshotsOf(store), 0)
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))

  it.effect("does not hold pages after its release", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, durability: "noSync" })
      const rewrite = (round: number) =>
        store.putMany(
          Array.from({ length: 20 }, (_, index) => [keyOf(index), `${round} ${"x".repeat(20_000)}`] as const)
        )
      const length = () => statSync(join(path, "data.mdb")).size
      for (let round = 0; round < 10; round++) yield* rewrite(round)
      const settled = length()
      for (let round = 0; round < 20; round++) {
        yield* Stream.runHead(store.keys())
        const waiting = yield* start(Stream.runForEach(store.keys(), () => Effect.never))
        yield* rewrite(round)
        yield* Fiber.interrupt(waiting)
      }
      assert.isAtMost(length(), 3 * settled)
    }))
})

describe("streams never fill the table of readers", () => {
  it.effect("10,000 of them one after the other", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(entries)
      for (let round = 0; round < 10_000; round++) {
        if (round % 100 === 0) yield* store.putMany({ round })
        const head = yield* Stream.runHead(store.keys({ limit: 1 }))
        assert.strictEqual(head._tag, "Some")
      }
      assert.strictEqual(yield* snapshotsOf(store), 0)
    }).pipe(Effect.provide(Store.layerTemp({ durability: "noSync" }))))

  it.effect("1,000 of them at a time, each at another state of the store", () =>
    Effect.gen(function*() {
      const store = yield* Store
      yield* store.putMany(entries)
      for (let time = 0; time < 3; time++) {
        yield* Effect.gen(function*() {
          const streams = yield* Effect.forEach(
            Array.from({ length: 1000 }, (_, round) => round),
            Effect.fnUntraced(function*(round) {
              yield* store.putMany({ [keyOf(999)]: round })
              const read = yield* readByHand(store.entries({ gte: keyOf(700) }))
              const first = yield* read.next
              assert.strictEqual(first.length, 256)
              return { read, round }
            })
          )
          assert.strictEqual(yield* snapshotsOf(store), 1000)
          for (const { read, round } of streams) {
            const rest = yield* read.rest
            assert.deepStrictEqual(rest.find(([key]) => key === keyOf(999)), [keyOf(999), round])
          }
        }).pipe(Effect.scoped)
        assert.strictEqual(yield* snapshotsOf(store), 0)
      }
    }).pipe(Effect.provide(Store.layerTemp({ durability: "noSync" }))))
})

describe("a part of a stream does not block other fibers", () => {
  /** Counts how often other fibers run. */
  const countTurns = Effect.fnUntraced(function*<A, E>(effect: Effect.Effect<A, E>) {
    let turns = 0
    const other = yield* start(Effect.forever(Effect.sync(() => turns++)))
    yield* effect
    yield* Fiber.interrupt(other)
    return turns
  })

  it.effect.each<{ readonly what: string; readonly isStored: boolean }>([
    { what: "stored records", isStored: true },
    { what: "many pending writes", isStored: false }
  ])("$what are given in small parts, and other fibers run between them", ({ isStored }) =>
    Effect.gen(function*() {
      const store = yield* Store
      const many = 20_000
      for (let index = 0; index < many; index++) yield* store.put(keyOf(index), index)
      if (isStored) yield* store.flush
      for (const snapshot of [true, false]) {
        const parts: Array<number> = []
        const note = (part: ReadonlyArray<unknown>) => Effect.sync(() => parts.push(part.length))
        const streamed = yield* countTurns(Stream.runForEachArray(store.entries({ snapshot }), note))
        assert.strictEqual(parts.reduce((sum, length) => sum + length, 0), many)
        assert.isAtMost(Math.max(...parts), 1000)
        assert.isAtLeast(streamed, parts.length)
      }
      assert.isAtLeast(yield* countTurns(store.count()), many / 1000)
    }).pipe(Effect.provide(Store.layerTemp({ batchSize: 1_000_000, batchBytes: "1 GiB", durability: "noSync" }))))

  it.effect("records that are deleted, not requested or only counted do not block other fibers either", () =>
    Effect.gen(function*() {
      const { environment, store } = yield* openWith({ batchSize: 1_000_000 })
      const many = 20_000
      const writes = Array.from({ length: many }, (_, index) => [ByteString(keyOf(index)), Uint8Array.of(1)] as const)
      yield* environment.commit(writing(...writes))
      assert.isAtLeast(yield* countTurns(Stream.runDrain(store.keys({ offset: many }))), many / 1000)
      for (let index = 0; index < many; index++) yield* store.delete(keyOf(index))
      assert.isAtLeast(yield* countTurns(Stream.runDrain(store.keys())), many / 1000)
    }))
})
