/** Batches that are decided before their transaction: the engine writes them beside the program where it may. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import type { Batch, Environment, Write } from "../src/Engine.ts"
import { recordsName } from "../src/internal/storeCore.ts"
import { type ByteString } from "../src/Key.ts"
import { bytes, countOf, key, mebibyte, open } from "./environment.ts"
import { start, writing } from "./harness.ts"

const batchOf = (
  writes: ReadonlyArray<readonly [key: ByteString, value: Uint8Array | null]>,
  clear: ReadonlyArray<string> = []
): Batch => ({ clear, writes: writes.map(([name, value]): Write => [recordsName, name, value]) })

const numbered = (count: number, length = 50): ReadonlyArray<readonly [ByteString, Uint8Array]> =>
  Array.from(
    { length: count },
    (_, index) => [key(`key ${String(index).padStart(6, "0")}`), bytes(length, index % 256)]
  )

const mapSizeOf = (environment: Environment) => Result.getOrThrow(environment.stats()).mapSize

/** The pages that say what the last transaction was. */
const metaPagesOf = (path: string): string => readFileSync(join(path, "data.mdb")).toString("latin1", 0, 8192)

/** Holds the main thread until the file has another last transaction; `false` when it has none after long. */
const isWrittenMeanwhile = (path: string): boolean => {
  const before = metaPagesOf(path)
  const end = process.hrtime.bigint() + 2_000_000_000n
  while (process.hrtime.bigint() < end) {
    if (metaPagesOf(path) !== before) return true
  }
  return false
}

describe("a batch", () => {
  it.effect("without a limit is written while the main thread is busy", () =>
    Effect.gen(function*() {
      const { environment, path } = yield* open({ mapSize: 64 * mebibyte })
      const commit = yield* start(environment.commit(batchOf(numbered(1000))))
      assert.isTrue(isWrittenMeanwhile(path))
      yield* Fiber.join(commit)
      assert.strictEqual(countOf(environment), 1000)
    }))

  it.effect("has the number of its transaction, as plans have", () =>
    Effect.gen(function*() {
      const { environment } = yield* open({ mapSize: 64 * mebibyte })
      const works = [
        batchOf(numbered(1)),
        writing([key("a"), bytes(1)]),
        batchOf(numbered(100)),
        batchOf([[key("a"), null]]),
        batchOf([[key("missing"), null]]),
        batchOf([]),
        batchOf([], [recordsName]),
        writing([key("a"), bytes(1)]),
        batchOf(numbered(10))
      ]
      const numbers: Array<number | undefined> = []
      for (const work of works) numbers.push(yield* environment.commit(work))
      const [first = 0] = numbers
      assert.deepStrictEqual(numbers, works.map((_, index) => first + index))
    }))

  it.effect("is told of at the moment from which on it is read", () =>
    Effect.gen(function*() {
      const { environment } = yield* open({ mapSize: 64 * mebibyte })
      for (const count of [1, 10, 1000]) {
        const told: Array<number> = []
        const commit = yield* start(environment.commit({
          ...batchOf(numbered(count)),
          onWritten: () => told.push(countOf(environment))
        }))
        while (told.length === 0) {
          assert.isBelow(countOf(environment), count)
          yield* Effect.yieldNow
        }
        yield* Fiber.join(commit)
        assert.deepStrictEqual(told, [count])
      }
    }))

  it.effect("is all or nothing where a write of it cannot be", () =>
    Effect.gen(function*() {
      const { environment } = yield* open({ mapSize: 64 * mebibyte })
      for (const bad of [key(""), key("k".repeat(1979)), key("k".repeat(5000))]) {
        const failure = yield* Effect.flip(environment.commit(batchOf([...numbered(100), [bad, bytes(1)]])))
        assert.strictEqual(failure._tag, "EngineFailure")
        assert.strictEqual(countOf(environment), 0)
      }
      const elsewhere: Batch = { clear: [], writes: [...batchOf(numbered(100)).writes, ["none", key("a"), bytes(1)]] }
      assert.strictEqual((yield* Effect.flip(environment.commit(elsewhere)))._tag, "EngineFailure")
      assert.strictEqual(countOf(environment), 0)
      yield* environment.commit(batchOf(numbered(3)))
      assert.strictEqual(countOf(environment), 3)
    }))

  it.effect("that does not fit into the map is EngineFull, also without a limit, and nothing of it is written", () =>
    Effect.gen(function*() {
      const { environment } = yield* open({ mapSize: mebibyte })
      const large = batchOf(numbered(1000, 3000))
      const full = yield* Effect.flip(environment.commit(large))
      assert.strictEqual(full._tag, "EngineFull")
      assert.strictEqual(countOf(environment), 0)
      // Until a resize nothing is committed, however small
      assert.strictEqual((yield* Effect.flip(environment.commit(batchOf(numbered(1)))))._tag, "EngineFull")
      yield* environment.resize(16 * mebibyte, { useReserve: false })
      yield* environment.commit(large)
      assert.strictEqual(countOf(environment), 1000)
      assert.strictEqual(mapSizeOf(environment), 16 * mebibyte)
    }))

  it.effect("under a limit keeps it to the page", () =>
    Effect.gen(function*() {
      const limit = mebibyte
      const { environment, lengthOf } = yield* open({ mapSize: limit, maxMapSize: limit })
      let fulls = 0
      for (let round = 0; round < 200; round++) {
        const writes = numbered(20, 2000).map(([name, value]) => [key(`${name} ${round}`), value] as const)
        const exit = yield* Effect.exit(environment.commit(batchOf(writes)))
        assert.isAtMost(lengthOf(), limit)
        if (exit._tag === "Failure") {
          fulls++
          yield* environment.resize(limit, { useReserve: false })
        }
      }
      assert.isAbove(fulls, 0)
      assert.isAbove(countOf(environment), 0)
    }))

  it.effect("has a number behind those of another process", () =>
    Effect.gen(function*() {
      const { environment, path } = yield* open({ mapSize: 64 * mebibyte })
      const first = (yield* environment.commit(batchOf(numbered(100)))) ?? 0
      const program = new URL("./programs/shapes.ts", import.meta.url).pathname
      const { stderr } = spawnSync(process.execPath, [program, path, "0", "10"], { encoding: "utf8" })
      assert.strictEqual(stderr, "")
      const second = (yield* environment.commit(batchOf(numbered(101)))) ?? 0
      assert.isAbove(second, first + 1)
      assert.strictEqual(yield* environment.commit(writing([key("a"), bytes(1)])), second + 1)
      assert.strictEqual(countOf(environment), 112)
    }))
})
