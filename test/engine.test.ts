/** The engine below the store: what LMDB does and our code works around, on the Environment itself. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { existsSync, statSync } from "node:fs"
import { join } from "node:path"
import { Engine, type EngineOptions, type Environment, type Write } from "../src/Engine.ts"
import * as LmdbEngine from "../src/internal/lmdbEngine.ts"
import { ByteString, fromBytes } from "../src/Key.ts"
import { temporaryFolder } from "./harness.ts"

const mebibyte = 1024 * 1024

const open = Effect.fnUntraced(function*(options: Partial<EngineOptions> = {}) {
  const path = yield* temporaryFolder
  const engine = yield* Effect.provide(Engine, LmdbEngine.layer)
  const environment = yield* engine.open({
    path,
    subdirectory: true,
    readOnly: false,
    mapSize: mebibyte,
    maxMapSize: undefined,
    durability: "sync",
    compression: false,
    encryptionKey: undefined,
    ...options
  })
  return { environment, lengthOf: () => statSync(join(path, "data.mdb")).size, path, engine }
})

const key = (text: string): ByteString => ByteString(text)

const bytes = (length: number, fill = 1): Uint8Array => new Uint8Array(length).fill(fill)

const writing = (...writes: ReadonlyArray<Write>) => ({ clear: false, writes })

const lengthAt = (environment: Environment, text: string): number | undefined =>
  Result.getOrThrow(environment.get(key(text)))?.length

const statsOf = (environment: Environment) => Result.getOrThrow(environment.stats())

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
      assert.isFalse(Result.getOrThrow(environment.has(key("large"))))
      assert.strictEqual(statsOf(environment).entries, 1)
    }))

  it.effect("is set anew by a resize, also after the engine lost sight of it", () =>
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
    "is kept to the page through random batches and the pages that the end of a commit takes",
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
          const writes = batch.map(({ key: index, length }): Write => [
            key(`key ${index}`),
            length === null ? null : bytes(length)
          ])
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
  it.effect("is whole or nothing, and the last write of a key wins", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(
        writing([key("a"), bytes(1)], [key("a"), bytes(2)], [key("b"), bytes(1)], [key("b"), null])
      )
      assert.strictEqual(lengthAt(environment, "a"), 2)
      assert.isUndefined(lengthAt(environment, "b"))
    }))

  it.effect("once begun is finished: whoever interrupts it waits for it", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      const large = writing([key("a"), bytes(100_000)])
      const fiber = yield* Effect.forkChild(environment.commit(large), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(lengthAt(environment, "a"), 100_000)
    }))

  it.effect("may delete what is not there, and may be empty", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(writing([key("missing"), null]))
      yield* environment.commit(writing())
      assert.strictEqual(statsOf(environment).entries, 0)
    }))

  it.effect("that clears an empty database again and again harms nothing", () =>
    Effect.gen(function*() {
      const { engine, environment, path } = yield* open()
      for (let round = 0; round < 20; round++) {
        yield* environment.commit({ clear: true, writes: [] })
        yield* environment.commit({ clear: true, writes: [[key(`key ${round}`), bytes(5000)]] })
        assert.strictEqual(statsOf(environment).entries, 1)
        yield* environment.commit({ clear: true, writes: [] })
        assert.strictEqual(statsOf(environment).entries, 0)
      }
      yield* environment.commit(writing([key("after"), bytes(3)]))
      assert.strictEqual(lengthAt(environment, "after"), 3)
      assert.isDefined(engine)
      assert.isTrue(existsSync(path))
    }))

  it.effect("keeps empty values apart from missing ones", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(writing([key("empty"), bytes(0)]))
      assert.isTrue(Result.getOrThrow(environment.has(key("empty"))))
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
      yield* environment.commit(writing(...keys.map((name, index): Write => [name, bytes(index + 1)])))
      for (const [index, name] of keys.entries()) {
        assert.strictEqual(Result.getOrThrow(environment.get(name))?.length, index + 1)
        assert.isTrue(Result.getOrThrow(environment.has(name)))
      }
      assert.strictEqual(statsOf(environment).entries, keys.length)
    }))

  it.effect("that cannot be are errors and no crash", () =>
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
          Result.match(environment.get(bad), { onFailure: () => true, onSuccess: (value) => value === undefined })
        )
      }
      yield* environment.commit(writing([key("b"), bytes(2)]))
      assert.strictEqual(lengthAt(environment, "b"), 2)
    }))
})

describe("reading", () => {
  it.effect("gives bytes that count until the next read", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      yield* environment.commit(writing([key("a"), bytes(5000, 7)], [key("b"), bytes(10, 9)]))
      const a = Result.getOrThrow(environment.get(key("a")))
      assert.deepStrictEqual(a?.slice(0, a.length), bytes(5000, 7))
      const b = Result.getOrThrow(environment.get(key("b")))
      assert.deepStrictEqual(b?.slice(0, b.length), bytes(10, 9))
    }))

  it.effect("sees nothing of a commit before it is done, and all of it after", () =>
    Effect.gen(function*() {
      const { environment } = yield* open()
      const writes = Array.from({ length: 100 }, (_, index): Write => [key(`key ${index}`), bytes(100)])
      const fiber = yield* Effect.forkChild(environment.commit(writing(...writes)), { startImmediately: true })
      const counts = new Set<number>()
      while (fiber.pollUnsafe() === undefined) {
        counts.add(writes.filter(([name]) => Result.getOrThrow(environment.has(name))).length)
        yield* Effect.yieldNow
      }
      counts.add(writes.filter(([name]) => Result.getOrThrow(environment.has(name))).length)
      assert.isTrue(counts.has(100))
      for (const count of counts) assert.include([0, 100], count)
    }))

  it.effect("after the scope closed is an EngineFailure and no crash", () =>
    Effect.gen(function*() {
      const { environment } = yield* Effect.scoped(open())
      const calls: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        Effect.suspend(() => Effect.fromResult(environment.get(key("a")))),
        Effect.suspend(() => Effect.fromResult(environment.has(key("a")))),
        Effect.suspend(() => Effect.fromResult(environment.stats())),
        environment.commit(writing([key("a"), bytes(1)])),
        environment.backup("unused", { compact: false })
      ]
      for (const call of calls) assert.propertyVal(yield* Effect.flip(call), "_tag", "EngineFailure")
    }))
})
