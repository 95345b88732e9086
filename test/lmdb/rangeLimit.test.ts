/** The limit of the file while streams are open. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { statSync } from "node:fs"
import { join } from "node:path"
import { Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import { temporaryFolder } from "../support/harness.ts"
import { type HandRead, openWith, readByHand } from "../support/streaming.ts"

const kibibyte = 1024
const mebibyte = 1024 * kibibyte

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const lengthOf = (path: string): number => statSync(join(path, "data.mdb")).size

const text = (length: number, name: string | number): string => `${name} ${"x".repeat(length)}`

/** Whether a write was made; it can only fail with `MapFull`. */
const isMade = <E>(write: Effect.Effect<unknown, E>) =>
  Effect.matchEffect(write, {
    onFailure: (error) => {
      assert.propertyVal(error, "_tag", "MapFull")
      return Effect.succeed(false)
    },
    onSuccess: () => Effect.succeed(true)
  })

/** More records than a stream reads at a time. */
const base = Array.from({ length: 300 }, (_, index) => [`base ${1000 + index}`, index] as const)

/** Fills a store until nothing more fits, and gives the keys. */
const fill = Effect.fnUntraced(function*(store: StoreService) {
  const keys: Array<string> = []
  while (yield* isMade(store.putMany({ [`fill ${keys.length}`]: text(15_000, keys.length) }))) {
    keys.push(`fill ${keys.length}`)
  }
  return keys
})

/** A stream of which the first part is read, and all that it must give. */
const openStream = Effect.fnUntraced(function*(store: StoreService, expected: ReadonlyMap<string, unknown>) {
  const scope = yield* Scope.make()
  const read = yield* Scope.provide(readByHand(store.entries()), scope)
  const first = yield* read.next
  const isWhole = Effect.andThen(
    Effect.map(
      read.rest,
      (rest) => assert.deepStrictEqual([...first, ...rest], [...expected].toSorted(([a], [b]) => a < b ? -1 : 1))
    ),
    Scope.close(scope, Exit.void)
  )
  return { isWhole, abandon: Scope.close(scope, Exit.void) }
})

const keyAt = (index: number): string => `key ${String(index % 12).padStart(2, "0")}`

const Step = Schema.Struct({
  call: Schema.Literals([
    "put",
    "put",
    "put",
    "delete",
    "putMany",
    "deleteMany",
    "deleteRange",
    "flush",
    "clear",
    "refill",
    "open",
    "open",
    "read",
    "abandon"
  ]),
  key: between(0, 11),
  size: Schema.Union([between(0, 60), between(1000, 9000), between(0, 150_000)]),
  others: between(1, 6)
})

const run = Effect.fnUntraced(function*(
  steps: ReadonlyArray<typeof Step.Type>,
  options: Omit<StoreOptions, "path">,
  limit: number
) {
  const path = yield* temporaryFolder
  const store = yield* Store.make({ ...options, path, batchBytes: "64 MiB", durability: "noSync" })
  const streams: Array<Effect.Success<ReturnType<typeof openStream>>> = []
  let model = new Map<string, unknown>(base)
  yield* store.putMany(base)
  for (const [index, { call, key, others, size }] of steps.entries()) {
    const next = new Map(model)
    const some = Array.from({ length: others }, (_, other) => keyAt(key + other))
    const value = text(size, index)
    const write = (): Effect.Effect<unknown, unknown> => {
      switch (call) {
        case "put":
          next.set(keyAt(key), value)
          return store.put(keyAt(key), value)
        case "delete":
          next.delete(keyAt(key))
          return store.delete(keyAt(key))
        case "putMany":
          for (const name of some) next.set(name, value)
          return store.putMany(some.map((name) => [name, value] as const))
        case "deleteMany":
          for (const name of some) next.delete(name)
          return store.deleteMany(some)
        case "deleteRange":
          for (const name of next.keys()) if (name.startsWith("key") && name >= keyAt(key)) next.delete(name)
          return store.deleteRange({ prefix: "key", gte: keyAt(key) })
        case "flush":
          return store.flush
        case "clear":
          next.clear()
          return store.clear
        case "refill":
          for (const [name, count] of base) next.set(name, count)
          return store.putMany(base)
        case "open":
          return Effect.map(openStream(store, model), (stream) => streams.push(stream))
        case "read":
          return streams.shift()?.isWhole ?? Effect.void
        case "abandon":
          return streams.pop()?.abandon ?? Effect.void
      }
    }
    if (yield* isMade(write())) model = next
    assert.isAtMost(lengthOf(path), limit)
    assert.strictEqual((yield* store.stats).snapshots, streams.length)
    assert.deepStrictEqual(new Map(yield* Stream.runCollect(store.entries())), model)
  }
  for (const { isWhole } of streams) yield* isWhole
  assert.isAtMost(lengthOf(path), limit)
  assert.strictEqual((yield* store.stats).snapshots, 0)

  // With no stream open all is as ever
  yield* store.clear
  assert.isTrue(yield* isMade(store.putMany([["again", text(30_000, "again")]])))
  assert.strictEqual(yield* store.count(), 1)
  assert.isAtMost(lengthOf(path), limit)
}, Effect.scoped)

const workload = { steps: Schema.Array(Step).check(Schema.isBetweenLength(20, 50)) }

describe("with streams open", () => {
  it.effect.prop(
    "random workloads read the right records and never exceed the limit, and afterwards the store works normally",
    workload,
    ({ steps }) =>
      Effect.gen(function*() {
        for (const limit of [300_001, mebibyte]) yield* run(steps, { mapSize: "256 KiB", maxMapSize: limit }, limit)
      }),
    { arbitrary: { runs: 10, size: 50, seed: "streams at the limit" } }
  )

  it.effect.prop(
    "random workloads grow a map that has no limit",
    workload,
    ({ steps }) => run(steps, { mapSize: "256 KiB" }, Infinity),
    { arbitrary: { runs: 8, size: 50, seed: "streams and growth" } }
  )

  /** A store in which nothing fits any more, and a stream of it that has begun. */
  const fullStore = Effect.fnUntraced(function*(options: Pick<StoreOptions, "durability">) {
    const path = yield* temporaryFolder
    const store = yield* Store.make({ ...options, path, maxMapSize: "1 MiB", batchBytes: "64 MiB" })
    yield* store.putMany(base)
    const keys = yield* fill(store)
    const stored = new Map<string, unknown>([
      ...base,
      ...keys.map((key, index) => [key, text(15_000, index)] as const)
    ])
    return { keys, path, store, stored, stream: yield* openStream(store, stored) }
  })

  it.effect("a full store gives MapFull and loses no write, and has room again after they have ended", () =>
    Effect.gen(function*() {
      const { keys, path, store, stored, stream } = yield* fullStore({})
      // What is deleted is still there for the stream
      yield* store.deleteMany(keys.slice(0, 30))
      assert.isFalse(yield* isMade(store.putMany([["more", text(300_000, "more")]])))
      assert.isAtMost(lengthOf(path), mebibyte)
      assert.strictEqual(yield* store.size, stored.size - 30)
      yield* store.put("pending", text(300_000, "pending"))
      assert.isFalse(yield* isMade(store.flush))
      assert.isTrue(yield* store.has("pending"))
      yield* stream.isWhole
      yield* store.flush
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.isAtMost(lengthOf(path), mebibyte)
    }))

  it.effect("a full store accepts deletions, one by one, until the emergency pages are used up", () =>
    Effect.gen(function*() {
      const { keys, path, store, stream } = yield* fullStore({ durability: "noSync" })
      for (const key of keys) {
        yield* store.delete(key)
        yield* isMade(store.flush)
        assert.isAtMost(lengthOf(path), mebibyte)
        assert.isFalse(yield* store.has(key))
      }
      yield* stream.isWhole
      yield* store.flush
      assert.strictEqual(yield* store.size, base.length)
      assert.isTrue(yield* isMade(store.putMany({ more: text(200_000, "more") })))
      assert.isAtMost(lengthOf(path), mebibyte)
    }))

  it.effect("that end in the middle of a commit at the limit, deletions are still accepted", () =>
    Effect.gen(function*() {
      let commits = 0
      let endAt = Infinity
      let ending: Effect.Effect<void> = Effect.void
      const { path, store } = yield* openWith(
        { maxMapSize: "512 KiB", batchBytes: "64 MiB", durability: "noSync" },
        (environment) => ({
          commit: (batch) =>
            Effect.andThen(Effect.suspend(() => ++commits === endAt ? ending : Effect.void), environment.commit(batch))
        })
      )
      yield* store.putMany(base)
      for (let round = 1; round <= 8; round++) {
        const keys = yield* fill(store)
        assert.isAbove(keys.length, 3)
        const read: HandRead<unknown, unknown> = yield* readByHand(store.entries())
        yield* read.next
        yield* store.put("too much", text(600_000, round))
        ending = read.end
        endAt = commits + round
        for (const key of keys) yield* store.delete(key)
        // The value cannot fit; the deletions beside it can
        assert.isFalse(yield* isMade(store.flush))
        yield* read.end
        yield* store.delete("too much")
        yield* store.flush
        assert.strictEqual(yield* store.size, base.length, `ended at commit ${round}`)
        assert.isAtMost(lengthOf(path), 512 * kibibyte)
      }
    }))

  it.effect(
    "that follow each other, a full store does not stay full",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, maxMapSize: "1 MiB", durability: "noSync" })
        yield* store.putMany(base)
        const rewrite = (round: number) =>
          isMade(store.putMany(Array.from({ length: 10 }, (_, index) => [keyAt(index), text(10_000, round)] as const)))
        const open = Effect.gen(function*() {
          const read = yield* readByHand(store.keys())
          yield* read.next
          return read
        })
        // Pins all that is written over until nothing fits any more
        const long = yield* open
        while (yield* rewrite(0)) assert.isAtMost(lengthOf(path), mebibyte)
        let current = yield* open
        yield* long.end
        let rewritten = 0
        for (let round = 1; round <= 20; round++) {
          if (yield* rewrite(round)) rewritten++
          assert.isAtMost(lengthOf(path), mebibyte)
          yield* current.end
          current = yield* open
        }
        assert.isAtLeast(rewritten, 10)
      })
  )
})
