/** What a batch may take of a disk is known before it is written: the engine cannot be told of a disk that is full. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { open as openLmdb } from "lmdb"
import { existsSync, statfsSync } from "node:fs"
import { join } from "node:path"
import type { Batch, Write } from "../../src/Engine.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import { estimate, isHarmless, mostPagesOf, refusal, refusalWith } from "../../src/internal/lmdb/diskSpace.ts"
import { type Target, writeAll } from "../../src/internal/lmdb/lmdbBatch.ts"
import { pagesOf } from "../../src/internal/lmdb/pageCount.ts"
import { ByteString } from "../../src/Key.ts"
import { bytes, countOf, key, open } from "../support/environment.ts"
import { temporaryFolder, writing } from "../support/harness.ts"

const whole = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** A write: the number of its key, how long the key is, and how long the value; none below 0. */
const Change = Schema.Tuple([whole(0, 400), whole(4, 1900), whole(-2000, 20_000)])

/** Several like it, one behind the other: a tree grows by many. */
const Round = Schema.Struct({ changes: Schema.Array(Change), copies: whole(1, 60), clears: Schema.Boolean })

const keyCodec = {
  writeKey: (name: string, target: Buffer, start: number) => start + target.write(name, start, "latin1"),
  readKey: (source: Buffer, start: number, end: number) => source.toString("latin1", start, end)
}

/** The databases that are written to. */
const names = [recordsDatabase, ...Array.from({ length: 300 }, (_, index) => `other ${index}`)]

/** A file of the library, as the engine has it. */
const openTarget = Effect.gen(function*() {
  const path = yield* temporaryFolder
  const root = yield* Effect.acquireRelease(
    Effect.sync(() =>
      openLmdb({ path: join(path, "file"), noSubdir: true, noSync: true, maxDbs: 400, keyEncoder: keyCodec })
    ),
    (database) => Effect.promise(() => database.close())
  )
  const options = { encoding: "binary" as const, keyEncoder: keyCodec }
  const meta = root.openDB<Uint8Array, string>({ ...options, name: "meta" })
  const databases = new Map(names.map((name) => [name, root.openDB<Uint8Array, string>({ ...options, name })]))
  const target: Target = { databases, meta }
  const commit = (batch: Batch) => Effect.promise(() => meta.childTransaction(() => writeAll(target, batch)))
  return { commit, target, pages: () => pagesOf(meta.getStats()) }
})

describe("the estimated pages of a batch", () => {
  it.effect.prop(
    "are at least the pages that it takes",
    { rounds: Schema.Array(Round) },
    ({ rounds }) =>
      Effect.scoped(Effect.gen(function*() {
        const { commit, pages, target } = yield* openTarget
        for (const { changes, clears, copies } of rounds) {
          const writes = new Map<string, Write>()
          for (const [number, length, size] of changes) {
            for (let copy = 0; copy < copies; copy++) {
              const name = ByteString(`${number * 7919 % 401} ${copy}`.padEnd(length, "k"))
              writes.set(name, [recordsDatabase, name, size < 0 ? null : bytes(size)])
            }
          }
          const batch: Batch = { clear: clears ? [recordsDatabase] : [], writes: [...writes.values()] }
          const most = mostPagesOf(target, batch)
          const before = pages()
          assert.isAtMost(most, estimate(batch, before).mostPages)
          yield* commit(batch)
          assert.isAtMost(pages() - before, most)
        }
      })),
    { arbitrary: { runs: 60 } }
  )

  it.effect("are enough for many databases, each with its first page", () =>
    Effect.gen(function*() {
      const { commit, pages, target } = yield* openTarget
      for (const count of [1, 50, 301]) {
        const writes = names.slice(0, count).map((name): Write => [name, key(`key ${count}`), bytes(20)])
        const most = mostPagesOf(target, { clear: [], writes })
        const before = pages()
        yield* commit({ clear: [], writes })
        assert.isAtMost(pages() - before, most)
      }
    }))

  it.effect("are close to the real number for a large batch", () =>
    Effect.gen(function*() {
      const { commit, pages, target } = yield* openTarget
      for (const [round, size] of [60, 60, 60, 900, 900].entries()) {
        const writes = Array.from(
          { length: 20_000 },
          (_, index): Write => [recordsDatabase, key(`key ${index * 7919 % 60_013} ${round}`), bytes(size)]
        )
        const batch = { clear: [], writes }
        const most = mostPagesOf(target, batch)
        const before = pages()
        yield* commit(batch)
        const taken = pages() - before
        assert.isAtMost(taken, most)
        assert.isAtMost(most, 100 + 12 * taken)
      }
    }))
})

const batchOf = (...sizes: ReadonlyArray<number>): Batch => ({
  clear: [],
  writes: sizes.map((size, index): Write => [recordsDatabase, key(`key ${index}`), bytes(size)])
})

describe("a batch for which the disk has no room", () => {
  // Nobody reads the bytes of a batch that is refused.
  const large = new Uint8Array(2 ** 30)

  it.effect("is refused by the engine with the code of a full disk, and nothing is written", () =>
    Effect.gen(function*() {
      const { environment, lengthOf, path } = yield* open()
      yield* environment.commit(writing([key("kept"), bytes(10)]))
      const before = lengthOf()
      const { blocks, bsize } = statfsSync(path)
      const count = Math.ceil(blocks * bsize / large.length) + 1
      const writes = Array.from({ length: count }, (_, index) => [key(`large ${index}`), large] as const)
      const failure = yield* Effect.flip(environment.commit(writing([key("small"), bytes(1)], ...writes)))
      assert(failure._tag === "EngineFailure")
      assert.strictEqual(failure.code, 28)
      assert.isTrue(failure.isRetryable)
      assert.match(failure.detail, /^No space left on device: the commit may take \d+ bytes, \d+ are free$/)
      assert.strictEqual(lengthOf(), before)
      assert.strictEqual(countOf(environment), 1)
      yield* environment.commit(writing([key("small"), bytes(1)]))
      assert.strictEqual(countOf(environment), 2)
    }))

  it.effect("is not detected if the disk does not report its free space", () =>
    Effect.gen(function*() {
      const { pages, target } = yield* openTarget
      const batch: Batch = { clear: [], writes: [[recordsDatabase, key("a"), large]] }
      const estimated = estimate(batch, pages())
      assert.isFalse(isHarmless(target, estimated))
      assert.isUndefined(refusal(join(yield* temporaryFolder, "missing"), target, estimated))
      // A file system of the kernel has no blocks.
      if (existsSync("/proc/self")) assert.isUndefined(refusal("/proc/self/status", target, estimated))
    }))

  it.effect("is refused only if LMDB could not report it: if its values, or the values that it frees, are large", () =>
    Effect.gen(function*() {
      const { commit, pages, target } = yield* openTarget
      const isRefused = (batch: Batch) => {
        const refused = refusalWith(0, target, batch)
        // The free space is looked at before each batch that could be refused.
        if (refused !== undefined) assert.isFalse(isHarmless(target, estimate(batch, pages())))
        return refused !== undefined
      }
      assert.isTrue(isHarmless(target, estimate(batchOf(100), pages())))
      assert.isFalse(isRefused(batchOf(...Array.from({ length: 1000 }, () => 100))))
      assert.isFalse(isRefused(batchOf(10_000, 10, 10_000)))
      assert.isTrue(isRefused(batchOf(10, 1_000_000, 10)))
      assert.isFalse(isRefused(batchOf(99_000)))
      const before = pages()
      yield* commit(batchOf(...Array.from({ length: 60 }, () => 1_000_000)))
      assert.isAbove(pages(), before + 14_000)
      // The position in the file has more digits. Of 24 pages and of 25 the bytes have five digits, and six.
      assert.isFalse(isRefused(batchOf(98_000)))
      assert.isTrue(isRefused(batchOf(99_000)))
      assert.isFalse(isRefused({ clear: [], writes: [[recordsDatabase, key("none"), null]] }))
      assert.isTrue(isRefused({ clear: [recordsDatabase], writes: [] }))
    }))

  it.effect("needs more than the free space, including one mebibyte for other programs", () =>
    Effect.gen(function*() {
      const { target } = yield* openTarget
      for (const batch of [batchOf(1_000_000), batchOf(...Array.from({ length: 7 }, () => 1_000_000))]) {
        const needed = mostPagesOf(target, batch) * 4096 + 1_048_576
        assert.isUndefined(refusalWith(needed, target, batch))
        const refused = refusalWith(needed - 1, target, batch)
        assert.strictEqual(
          refused?.detail,
          `No space left on device: the commit may take ${needed} bytes, ${needed - 1} are free`
        )
        assert.strictEqual(refused?.operation, "commit")
      }
    }))
})
