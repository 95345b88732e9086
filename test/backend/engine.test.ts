/** The engine below the store: what LMDB does and our code works around, on the Environment itself. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { existsSync } from "node:fs"
import type { Environment, Plan, Write } from "../../src/Engine.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import { type ByteString, fromBytes } from "../../src/Key.ts"
import { EngineFailure } from "../../src/StoreError.ts"
import { bytes, copy, countOf, key, keysIn, mebibyte, open, valueOf } from "../support/environment.ts"
import { writing } from "../support/harness.ts"

const lengthAt = (environment: Environment, text: string): number | undefined =>
  valueOf(environment.get(recordsDatabase, key(text), copy))?.length

const statsOf = (environment: Environment) => valueOf(environment.stats())

const has = (environment: Environment, name: ByteString) => valueOf(environment.has(recordsDatabase, name))

const clearing = (...writes: ReadonlyArray<Write>): Plan => () => Exit.succeed({ clear: [recordsDatabase], writes })

describe("the size of the map", () => {
  it.effect("is a limit: a batch that does not fit is EngineFull, and neither file nor data change", () =>
    Effect.gen(function*() {
      const { environment, lengthOf } = yield* open()
      yield* environment.commit(writing([key("kept"), bytes(10)]))
      const before = lengthOf()
      const full = yield* Effect.flip(
        environment.commit(
          writing([key("kept"), null], [key("small"), bytes(10)], [key("large"), bytes(25 * mebibyte)])
        )
      )
      assert(full._tag === "EngineFull")
      assert.strictEqual(full.mapSize, mebibyte)
      assert.isAbove(full.needed, mebibyte)
      assert.strictEqual(lengthOf(), before)
      assert.strictEqual(lengthAt(environment, "kept"), 10)
      assert.isUndefined(lengthAt(environment, "small"))
      assert.isFalse(has(environment, key("large")))
      assert.strictEqual(countOf(environment), 1)
    }))

  it.effect("is set again by a resize, also after the engine could not see it", () =>
    Effect.gen(function*() {
      const { environment, lengthOf } = yield* open()
      const large = writing([key("large"), bytes(2 * mebibyte)])
      for (let round = 0; round < 5; round++) {
        assert.propertyVal(yield* Effect.flip(environment.commit(large)), "_tag", "EngineFull")
        // Until a resize nothing is committed, however small
        const small = yield* Effect.flip(environment.commit(writing([key("small"), bytes(1)])))
        assert.propertyVal(small, "_tag", "EngineFull")
        yield* environment.resize(mebibyte, { useReserve: false })
        assert.isAtMost(lengthOf(), mebibyte)
      }
      yield* environment.commit(writing([key("small"), bytes(1)]))
      yield* environment.resize(4 * mebibyte, { useReserve: false })
      assert.strictEqual(statsOf(environment).mapSize, 4 * mebibyte)
      yield* environment.commit(large)
      assert.strictEqual(lengthAt(environment, "large"), 2 * mebibyte)
      assert.strictEqual(lengthAt(environment, "small"), 1)
    }))

  it.effect.prop(
    "is exact to the page under random batches, including the pages that the end of a commit needs",
    {
      batches: Schema.Array(
        Schema.Array(Schema.Struct({
          key: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 })),
          length: Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9000 })))
        })).check(Schema.isMaxLength(40))
      ).check(Schema.isBetweenLength(20, 40))
    },
    ({ batches }) =>
      Effect.gen(function*() {
        const mapSize = 400_000
        const { environment, lengthOf } = yield* open({ mapSize, durability: "noSync" })
        for (const batch of batches) {
          const writes = batch.map(({ key: index, length }) =>
            [
              key(`key ${index}`),
              length === null ? null : bytes(length)
            ] as const
          )
          yield* Effect.catchTag(
            environment.commit(writing(...writes)),
            "EngineFull",
            () => environment.resize(mapSize, { useReserve: false })
          )
          assert.isAtMost(lengthOf(), mapSize)
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 20, size: 40, seed: "engine" } }
  )
})

describe("a commit", () => {
  it.effect("makes all writes or none, and the last write of a key wins", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(
        writing([key("a"), bytes(1)], [key("a"), bytes(2)], [key("b"), bytes(1)], [key("b"), null])
      )
      assert.strictEqual(lengthAt(environment, "a"), 2)
      assert.isUndefined(lengthAt(environment, "b"))
    }))

  it.effect("is completed after it has started: an interruption waits for it", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      const large = writing([key("a"), bytes(100_000)])
      const fiber = yield* Effect.forkChild(environment.commit(large), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(lengthAt(environment, "a"), 100_000)
    }))

  it.effect("may delete missing keys, and may be empty", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(writing([key("missing"), null]))
      yield* environment.commit(writing())
      assert.strictEqual(countOf(environment), 0)
    }))

  it.effect("that clears an empty database many times changes nothing", () =>
    Effect.gen(function*() {
      const { engine, environment, path } = yield* open()
      for (let round = 0; round < 20; round++) {
        yield* environment.commit(clearing())
        yield* environment.commit(clearing([recordsDatabase, key(`key ${round}`), bytes(5000)]))
        assert.strictEqual(countOf(environment), 1)
        yield* environment.commit(clearing())
        assert.strictEqual(countOf(environment), 0)
      }
      yield* environment.commit(writing([key("after"), bytes(3)]))
      assert.strictEqual(lengthAt(environment, "after"), 3)
      assert.isDefined(engine)
      assert.isTrue(existsSync(path))
    }))

  it.effect("returns the number of its transaction, which increases by one with each commit, and no number if its plan abandons it", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      const numbers: Array<number | undefined> = []
      const plans = [
        writing([key("a"), bytes(1)]),
        writing([key("a"), bytes(1)]),
        clearing(),
        clearing(),
        writing([key("missing"), null]),
        writing([key("a"), bytes(1)])
      ]
      for (const plan of plans) numbers.push(yield* environment.commit(plan))
      const [first] = numbers
      assert(first !== undefined)
      assert.deepStrictEqual(numbers, plans.map((_, index) => first + index))
      assert.isUndefined(yield* environment.commit(() => Exit.succeed(undefined)))
      assert.isAtLeast((yield* environment.commit(writing())) ?? 0, first + plans.length)
    }))

  it.effect("lets its plan read the state, and writes nothing if the plan abandons it or fails", () =>
    Effect.gen(function*() {
      const { environment, lengthOf } = yield* open()
      yield* environment.commit(writing([key("a"), bytes(3)], [key("c"), bytes(4)]))
      const before = lengthOf()
      const seen: Array<unknown> = []
      const look: Plan = (present) => {
        seen.push(
          valueOf(present.get(recordsDatabase, key("a"), copy))?.length,
          valueOf(present.has(recordsDatabase, key("b"))),
          valueOf(present.count(recordsDatabase)),
          keysIn(present)
        )
        return Exit.succeed(undefined)
      }
      assert.isUndefined(yield* environment.commit(look))
      assert.deepStrictEqual(seen, [3, false, 2, ["a", "c"]])
      const failure = new EngineFailure({ operation: "plan", code: 5, detail: "planned", isRetryable: false })
      assert.strictEqual(yield* Effect.flip(environment.commit(() => Exit.fail(failure))), failure)
      assert.strictEqual(lengthOf(), before)
      yield* environment.commit((present) =>
        Exit.map(present.get(recordsDatabase, key("a"), copy), (a) => ({
          clear: [recordsDatabase],
          writes: [[recordsDatabase, key("b"), bytes(1 + (a?.length ?? 0))]]
        }))
      )
      assert.deepStrictEqual(keysIn(environment), ["b"])
      assert.strictEqual(lengthAt(environment, "b"), 4)
    }))

  it.effect("may run its plan several times, and writes what the last run decides", () =>
    Effect.gen(function*() {
      const { environment, lengthOf } = yield* open()
      // A file that reaches into the pages that are held back: what a batch leaves for its end is tried out there
      yield* environment.resize(mebibyte, { useReserve: true })
      yield* environment.commit(writing([key("large"), bytes(100_000)]))
      for (let index = 0; lengthOf() < mebibyte - 16 * 4096; index++) {
        yield* environment.commit(writing([key(`key ${index}`), bytes(3000)]))
      }
      yield* environment.commit(writing([key("large"), null]))
      for (let round = 0; round < 2; round++) yield* environment.commit(writing())
      yield* environment.resize(mebibyte, { useReserve: false })
      let runs = 0
      const remove: Plan = (present) => {
        runs++
        return Exit.map(present.has(recordsDatabase, key("key 0")), (isThere) =>
          isThere
            ? {
              clear: [],
              writes: [[recordsDatabase, key("key 0"), null], [recordsDatabase, key("runs"), bytes(runs)]]
            }
            : undefined)
      }
      yield* environment.commit(remove)
      assert.isAbove(runs, 1)
      assert.isFalse(has(environment, key("key 0")))
      assert.strictEqual(lengthAt(environment, "runs"), runs)
      assert.isUndefined(yield* environment.commit(remove))
      assert.isAtMost(lengthOf(), mebibyte)
    }))

  it.effect("keeps empty values apart from missing ones", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(writing([key("empty"), bytes(0)]))
      assert.isTrue(has(environment, key("empty")))
      assert.strictEqual(lengthAt(environment, "empty"), 0)
    }))
})

describe("keys", () => {
  it.effect("are bytes of every value, up to the longest that the engine allows", () =>
    Effect.gen(function*() {
      const { environment } = yield* open({ mapSize: 8 * mebibyte })
      assert.strictEqual(environment.maxKeyBytes, 1978)
      const keys = [
        ...Array.from({ length: 256 }, (_, byte) => fromBytes(Uint8Array.of(byte))),
        fromBytes(Uint8Array.of(0, 0)),
        fromBytes(Uint8Array.of(0, 255)),
        fromBytes(bytes(1978, 255)),
        fromBytes(bytes(1977, 255))
      ]
      yield* environment.commit(writing(...keys.map((name, index) => [name, bytes(index + 1)] as const)))
      for (const [index, name] of keys.entries()) {
        assert.strictEqual(valueOf(environment.get(recordsDatabase, name, copy))?.length, index + 1)
        assert.isTrue(has(environment, name))
      }
      assert.strictEqual(countOf(environment), keys.length)
    }))

  it.effect("that are not valid give errors and do not crash", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(writing([key("a"), bytes(1)]))
      for (const bad of [key(""), key("k".repeat(1979)), key("k".repeat(5000))]) {
        assert.propertyVal(
          yield* Effect.flip(environment.commit(writing([key("b"), bytes(1)], [bad, bytes(1)]))),
          "_tag",
          "EngineFailure"
        )
        // All or nothing
        assert.isUndefined(lengthAt(environment, "b"))
        assert.isTrue(
          Exit.match(environment.get(recordsDatabase, bad, copy), {
            onFailure: () => true,
            onSuccess: (value) => value === undefined
          })
        )
      }
      yield* environment.commit(writing([key("b"), bytes(2)]))
      assert.strictEqual(lengthAt(environment, "b"), 2)
    }))
})

describe("reading", () => {
  it.effect("gives the bytes of a value, which are valid while they are decoded", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(writing([key("a"), bytes(5000, 7)], [key("b"), bytes(10, 9)]))
      const a = valueOf(environment.get(recordsDatabase, key("a"), copy))
      assert.deepStrictEqual(a?.slice(0, a.length), bytes(5000, 7))
      const b = valueOf(environment.get(recordsDatabase, key("b"), copy))
      assert.deepStrictEqual(b?.slice(0, b.length), bytes(10, 9))
    }))

  it.effect("sees no write of a commit before its end, and all of its writes afterwards", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      const writes = Array.from({ length: 100 }, (_, index) => [key(`key ${index}`), bytes(100)] as const)
      const fiber = yield* Effect.forkChild(environment.commit(writing(...writes)), { startImmediately: true })
      const counts = new Set<number>()
      while (fiber.pollUnsafe() === undefined) {
        counts.add(writes.filter(([name]) => has(environment, name)).length)
        yield* Effect.yieldNow
      }
      counts.add(writes.filter(([name]) => has(environment, name)).length)
      assert.isTrue(counts.has(100))
      for (const count of counts) assert.include([0, 100], count)
    }))

  it.effect("after the scope has closed fails with EngineFailure and does not crash", () =>
    Effect.gen(function*() {
      const { environment } = yield* Effect.scoped(open())
      const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.suspend(() => environment.get(recordsDatabase, key("a"), copy)),
        Effect.suspend(() => environment.has(recordsDatabase, key("a"))),
        Effect.suspend(() => environment.stats()),
        environment.commit(writing([key("a"), bytes(1)])),
        environment.backup("unused", { compact: false })
      ]
      for (const call of calls) assert.propertyVal(yield* Effect.flip(call), "_tag", "EngineFailure")
    }))
})
