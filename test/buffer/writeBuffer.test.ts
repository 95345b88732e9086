/** The two generations of pending writes: when a commit begins, and what goes on while it runs. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import type { Write } from "../../src/Engine.ts"
import * as WriteBuffer from "../../src/internal/buffer/writeBuffer.ts"
import { ByteString } from "../../src/Key.ts"
import { faultyStore, start, turns, until } from "../support/harness.ts"

const bytes = (length: number) => new Uint8Array(length)

const records = "records"

const write = (key: ByteString, value: Uint8Array | null, database = records): Write => [database, key, value]

const lengths = (buffer: WriteBuffer.WriteBuffer): ReadonlyArray<readonly [string, number | undefined]> =>
  Array.from(buffer.entriesOf(records), ([key, value]) => [key, value?.length])

const commitsAre = (faulty: { readonly calls: (operation: "commit") => number }, commits: number) =>
  Effect.map(turns(10), () => assert.strictEqual(faulty.calls("commit"), commits))

/** A change of a buffer, and how many ranges are read after it. */
const RangeStep = Schema.Struct({
  type: Schema.Literals(["write", "write", "write", "seal", "discard"]),
  key: Schema.Literals(["a", "b", "c", "d", "e", "f"]),
  reads: Schema.Literals([0, 1, 2, 3])
})

describe("the buffer", () => {
  const [a, b, c, d] = ["a", "b", "c", "d"].map((key) => ByteString(key))
  assert(a !== undefined && b !== undefined && c !== undefined && d !== undefined)

  it("counts distinct keys and the bytes of keys and values of both memtables", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 1000 })
    buffer.write([write(a, bytes(10))], false)
    buffer.write([write(a, bytes(20))], false)
    buffer.write([write(b, null)], false)
    assert.deepStrictEqual([buffer.size, buffer.bytes], [2, 22])
    assert.isDefined(buffer.seal(0))
    buffer.write([write(a, bytes(5))], false)
    buffer.write([write(c, bytes(1))], false)
    assert.deepStrictEqual([buffer.size, buffer.bytes], [3, 30])
    assert.deepStrictEqual(lengths(buffer), [
      ["b", undefined],
      ["a", 5],
      ["c", 1]
    ])
    buffer.discard()
    assert.deepStrictEqual([buffer.size, buffer.bytes], [2, 8])
  })

  it("restores the writes of a failed commit below newer writes", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 1000 })
    buffer.write([write(a, bytes(1))], false)
    buffer.write([write(b, bytes(2))], false)
    assert.isDefined(buffer.seal(0))
    buffer.write([write(c, bytes(3))], false)
    buffer.write([write(a, bytes(4))], false)
    buffer.restore()
    assert.deepStrictEqual(lengths(buffer), [
      ["a", 4],
      ["b", 2],
      ["c", 3]
    ])
    assert.strictEqual(buffer.bytes, 1 + 4 + 1 + 2 + 1 + 3)
    assert.isUndefined(buffer.flushing)
  })

  it.effect.prop(
    "has the pending writes of a range in the order of their keys after each change, read once or again and again",
    { steps: Schema.Array(RangeStep) },
    ({ steps }) =>
      Effect.sync(() => {
        const buffer = new WriteBuffer.WriteBuffer({ batchSize: 100, batchBytes: 10_000 })
        const [active, flushing] = [new Map<string, number>(), new Map<string, number>()]
        let written = 0
        for (const step of steps) {
          if (step.type === "write") {
            buffer.write([write(ByteString(step.key), bytes(++written))], false)
            active.set(step.key, written)
          } else if (step.type === "seal" && flushing.size === 0 && active.size > 0) {
            buffer.seal(0)
            for (const [name, length] of active) flushing.set(name, length)
            active.clear()
          } else if (step.type === "discard") {
            buffer.discard()
            flushing.clear()
          }
          const expected = [...new Map([...flushing, ...active])].filter(([name]) => name >= "b" && name < "e")
            .toSorted(([one], [other]) => one < other ? -1 : 1)
          const range = {
            from: { key: ByteString("b"), inclusive: true },
            to: { key: ByteString("e"), inclusive: false }
          }
          for (let time = 0; time < step.reads; time++) {
            assert.deepStrictEqual(
              buffer.range(records, range).map(([name, value]) => [String(name), value?.length]),
              expected
            )
          }
        }
      }),
    { arbitrary: { runs: 50, size: 30, seed: "ranges" } }
  )

  it("distinguishes a deletion from a key without a pending write", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 1000 })
    buffer.write([write(a, bytes(1))], false)
    assert.isDefined(buffer.seal(0))
    buffer.write([write(a, null)], false)
    assert.isNull(buffer.get(records, a))
    assert.isUndefined(buffer.get(records, b))
  })

  it("is empty after a commit, and an empty buffer has no commit", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 1000 })
    assert.isUndefined(buffer.seal(0))
    assert.isUndefined(buffer.flushing)
  })

  it("accepts two batches, then only replacements of pending values that fit", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 1, batchBytes: 1000 })
    buffer.write([write(a, bytes(10))], false)
    assert.isTrue(buffer.isFull)
    assert.isFalse(buffer.accepts([write(b, bytes(1))]))
    assert.isDefined(buffer.seal(0))
    assert.isTrue(buffer.accepts([write(b, bytes(1))]))
    buffer.write([write(b, bytes(10))], false)
    assert.isFalse(buffer.accepts([write(c, bytes(1))]))
    assert.isTrue(buffer.accepts([write(b, bytes(10))]))
    assert.isTrue(buffer.accepts([write(b, bytes(998))]))
    assert.isFalse(buffer.accepts([write(b, bytes(999))]))
    assert.isTrue(buffer.accepts([write(b, null)]))
  })

  it("accepts no write while two batches are committed as one after a failure", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 1, batchBytes: 1000 })
    buffer.write([write(a, bytes(10))], false)
    assert.isDefined(buffer.seal(0))
    buffer.write([write(b, bytes(10))], false)
    buffer.restore()
    assert.isFalse(buffer.accepts([write(c, bytes(1))]))
    assert.isDefined(buffer.seal(0))
    assert.isFalse(buffer.accepts([write(c, bytes(1))]))
    assert.isTrue(buffer.accepts([write(c, null)]))
    buffer.discard()
    assert.isTrue(buffer.accepts([write(c, bytes(1))]))
  })

  it("is full with batchSize keys or batchBytes bytes, the bytes of keys included", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 3, batchBytes: 100 })
    buffer.write([write(a, bytes(98))], false)
    assert.isFalse(buffer.isFull)
    buffer.write([write(a, bytes(99))], false)
    assert.isTrue(buffer.isFull)
    buffer.write([write(a, null), write(b, null)], false)
    assert.isFalse(buffer.isFull)
    buffer.write([write(c, null)], false)
    assert.isTrue(buffer.isFull)
  })

  it("has room while a batch is being committed as long as both have fewer bytes than two batches", () => {
    for (const [committing, isAccepted] of [[149, true], [150, false]] as const) {
      const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 100 })
      buffer.write([write(a, bytes(committing - 1))], false)
      assert.isDefined(buffer.seal(0))
      buffer.write([write(b, bytes(49))], false)
      assert.strictEqual(buffer.accepts([write(c, bytes(1))]), isAccepted)
    }
  })

  it("accepts a write that does not make it larger, whatever its size", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 100 })
    buffer.write([write(a, bytes(5000))], false)
    assert.isTrue(buffer.accepts([write(a, bytes(4999))]))
    assert.isTrue(buffer.accepts([write(a, bytes(5000))]))
    assert.isFalse(buffer.accepts([write(a, bytes(5001))]))
  })

  it("marks the commit of a sealed memtable as requested", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 100 })
    buffer.write([write(a, bytes(1))], false)
    assert.strictEqual(buffer.active.state._tag, "Active")
    assert.strictEqual(buffer.seal(0)?.state._tag, "Flushing")
    assert.strictEqual(buffer.active.state._tag, "Active")
  })

  it("keeps its writes if no memtable is being committed that it could restore", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 100 })
    buffer.write([write(a, bytes(1))], false)
    buffer.restore()
    assert.deepStrictEqual(lengths(buffer), [["a", 1]])
  })

  it("accepts a value larger than a batch as a batch of its own", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 100 })
    assert.isTrue(buffer.accepts([write(a, bytes(5000))]))
    buffer.write([write(a, bytes(5000))], false)
    assert.isFalse(buffer.accepts([write(b, bytes(1))]))
    assert.isDefined(buffer.seal(0))
    assert.isTrue(buffer.accepts([write(b, bytes(5000))]))
    buffer.write([write(b, bytes(5000))], false)
    assert.isFalse(buffer.accepts([write(c, bytes(1))]))
  })

  it("accepts a deletion with any pending writes, but not while a full memtable waits", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 1, batchBytes: 1000 })
    buffer.write([write(a, bytes(1))], false)
    assert.isTrue(buffer.accepts([write(b, null)]))
    assert.isDefined(buffer.seal(0))
    buffer.write([write(b, bytes(1))], false)
    assert.isFalse(buffer.accepts([write(c, null)]))
    assert.isTrue(buffer.accepts([write(b, null)]))
  })
})

describe("an atomic unit of writes", () => {
  const [a, b, c] = ["a", "b", "c"].map((key) => ByteString(key))
  assert(a !== undefined && b !== undefined && c !== undefined)

  it("is accepted as a whole: all of its values replace pending values and fit, or there is room for all", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 2, batchBytes: 100 })
    buffer.write([write(a, bytes(10)), write(b, bytes(10))], false)
    assert.isTrue(buffer.isFull)
    assert.isTrue(buffer.accepts([write(a, bytes(10)), write(b, bytes(87))]))
    assert.isFalse(buffer.accepts([write(a, bytes(10)), write(b, bytes(88))]))
    // What one grows by another may make room for
    assert.isTrue(buffer.accepts([write(a, null), write(b, bytes(20))]))
    assert.isFalse(buffer.accepts([write(a, bytes(10)), write(c, bytes(1))]))
    assert.isDefined(buffer.seal(0))
    assert.isTrue(buffer.accepts([write(a, bytes(10)), write(c, bytes(1))]))
  })

  it("waits like a value unless it has only deletions", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 1, batchBytes: 100 })
    buffer.write([write(a, bytes(1))], false)
    assert.isTrue(buffer.accepts([write(b, null), write(c, null)]))
    assert.isFalse(buffer.accepts([write(b, null), write(c, bytes(1))]))
    assert.isDefined(buffer.seal(0))
    buffer.write([write(b, bytes(1))], false)
    assert.isFalse(buffer.accepts([write(b, null), write(c, null)]))
  })

  it("may write to several databases, which have keys of their own", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 100 })
    buffer.write([write(a, bytes(1)), write(a, bytes(2), "other"), write(b, null, "other")], false)
    assert.isDefined(buffer.seal(0))
    buffer.write([write(a, bytes(3), "other"), write(c, bytes(4), "third")], false)
    assert.deepStrictEqual([buffer.size, buffer.bytes], [4, 2 + 3 + 1 + 4 + 5])
    assert.deepStrictEqual(lengths(buffer), [["a", 1]])
    assert.deepStrictEqual([...buffer.entriesOf("other")], [[b, null], [a, bytes(3)]])
    assert.deepStrictEqual(buffer.get("other", a), bytes(3))
    assert.isUndefined(buffer.get("third", a))
    buffer.restore()
    assert.deepStrictEqual(lengths(buffer), [["a", 1]])
    assert.deepStrictEqual(new Map(buffer.entriesOf("other")), new Map([[a, bytes(3)], [b, null]]))
    assert.deepStrictEqual([...buffer.entriesOf("third")], [[c, bytes(4)]])
  })

  it("that is frozen does not change", () => {
    const buffer = new WriteBuffer.WriteBuffer({ batchSize: 10, batchBytes: 100 })
    const everything = { from: undefined, to: undefined }
    buffer.write([write(b, bytes(2)), write(a, bytes(1))], false)
    assert.isDefined(buffer.seal(0))
    buffer.write([write(a, null)], false)
    const frozen = buffer.freeze()
    assert.strictEqual(buffer.freeze(), frozen)
    const expected = [[a, null], [b, bytes(2)]] as const
    assert.deepStrictEqual(frozen.range(records, everything), expected)
    const changes = [
      () => buffer.applied({ clear: [], writes: [[records, b, null]] }),
      () => buffer.restore(),
      () => buffer.write([write(c, bytes(3))], false),
      () => void buffer.seal(0),
      () => buffer.discard()
    ]
    for (const change of changes) {
      const before = buffer.freeze()
      const seen = before.range(records, everything)
      change()
      assert.notStrictEqual(buffer.freeze(), before)
      assert.deepStrictEqual(before.range(records, everything), seen)
      assert.deepStrictEqual(buffer.freeze().range(records, everything), buffer.range(records, everything))
    }
    assert.deepStrictEqual(frozen.range(records, everything), expected)
    assert.isUndefined(frozen.get(records, c))
    assert.deepStrictEqual(frozen.range(records, { from: { key: a, inclusive: false }, to: undefined }), [expected[1]])
  })
})

describe("while a commit runs", () => {
  it.effect("every other call continues and sees every write", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 100 })
      yield* store.putMany({ stored: 0, overwritten: 0, gone: 0 })
      yield* store.put("committing", 1)
      yield* store.put("overwritten", 1)
      yield* store.delete("gone")
      const held = yield* faulty.holdCommit
      const flushing = yield* start(store.flush)
      yield* held.isWanted

      yield* store.put("filling", 2)
      yield* store.put("overwritten", 2)
      yield* store.delete("committing")
      yield* store.update("stored", Option.map((value) => Number(value) + 10))
      const keys = ["stored", "committing", "overwritten", "gone", "filling"]
      const { found, missing } = yield* store.getMany(keys)
      assert.deepStrictEqual(Object.fromEntries(found), { stored: 10, overwritten: 2, filling: 2 })
      assert.deepStrictEqual(missing, ["committing", "gone"])
      assert.strictEqual(yield* store.getOrFail("overwritten"), 2)
      assert.isFalse(yield* store.has("gone"))
      assert.isFalse(yield* store.has("committing"))
      yield* store.deleteOrFail("filling")
      yield* store.put("filling", 3)
      assert.strictEqual(yield* store.size, 3)
      assert.strictEqual((yield* store.stats).pending, 5)
      assert.isUndefined(flushing.pollUnsafe())

      yield* held.release
      yield* Fiber.join(flushing)
      assert.strictEqual((yield* store.stats).pending, 4)
      assert.deepStrictEqual(Object.fromEntries((yield* store.getMany(keys)).found), {
        stored: 10,
        overwritten: 2,
        filling: 3
      })
    }))

  it.effect("a put waits only when both memtables are full, and continues when the commit ends", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 3 })
      const held = yield* faulty.holdCommit
      for (const key of ["a1", "a2", "a3"]) yield* store.put(key, 1)
      yield* held.isWanted
      for (const key of ["b1", "b2", "b3"]) yield* store.put(key, 1)
      const waiting = yield* Effect.forEach(["c1", "c2"], (key) => start(store.put(key, 1)))
      // A key that is pending in the active memtable does not make it larger
      yield* store.put("b1", 2)
      yield* turns(20)
      for (const fiber of waiting) assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual((yield* store.stats).pending, 6)
      assert.isFalse(yield* store.has("c1"))
      yield* held.release
      yield* Fiber.joinAll(waiting)
      yield* store.flush
      assert.deepStrictEqual(faulty.batches().map((batch) => batch.map(([, key]) => key)), [
        ["a1", "a2", "a3"],
        ["b1", "b2", "b3"],
        ["c1", "c2"]
      ])
    }))

  it.effect("a waiting put that is interrupted writes nothing", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ batchSize: 1 })
      const held = yield* faulty.holdCommit
      yield* store.put("a", 1)
      yield* held.isWanted
      yield* store.put("b", 1)
      const waiting = yield* start(store.put("c", 1))
      yield* Fiber.interrupt(waiting)
      yield* held.release
      yield* store.flush
      assert.isFalse(yield* store.has("c"))
      assert.strictEqual(yield* store.size, 2)
    }))

  it.effect("all flushes share one commit, and a flush after a newer write gets another commit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const held = yield* faulty.holdCommit
      yield* store.put("a", 1)
      const early = yield* Effect.replicateEffect(start(store.flush), 20)
      yield* held.isWanted
      const during = yield* Effect.replicateEffect(start(store.flush), 20)
      yield* store.put("b", 1)
      const late = yield* Effect.replicateEffect(start(store.flush), 20)
      yield* held.release
      yield* Fiber.joinAll([...early, ...during])
      yield* Fiber.joinAll(late)
      assert.deepStrictEqual(faulty.batches().map((batch) => batch.map(([, key]) => key)), [["a"], ["b"]])
    }))

  it.effect("a flush with nothing pending makes no commit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.flush
      yield* store.put("a", 1)
      yield* store.flush
      yield* store.flush
      assert.strictEqual(faulty.calls("commit"), 1)
    }))

  it.effect("an update is atomic for other fibers: many writers lose no update", () =>
    Effect.gen(function*() {
      const { open, store } = yield* faultyStore({ batchSize: 2, durability: "noSync" })
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, index) => index),
        (index) =>
          Effect.gen(function*() {
            for (let round = 0; round < 10; round++) {
              yield* store.update("count", (count) => Option.some(Number(Option.getOrElse(count, () => 0)) + 1))
              yield* store.put(`other ${index} ${round}`, round)
              yield* turns(index % 3)
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
      assert.strictEqual(yield* store.getOrFail("count"), 400)
      yield* store.close({ strict: true })
      assert.strictEqual(yield* Effect.flatMap(open, (again) => again.getOrFail("count")), 400)
    }))

  it.effect("other fibers see all writes of a putMany or none", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      const held = yield* faulty.holdCommit
      const writing = yield* start(store.putMany({ a: 1, b: 1 }))
      yield* held.isWanted
      assert.deepStrictEqual((yield* store.getMany(["a", "b"])).missing, ["a", "b"])
      yield* held.release
      yield* Fiber.join(writing)
      assert.deepStrictEqual((yield* store.getMany(["a", "b"])).missing, [])
    }))
})

describe("the interval", () => {
  it.effect("starts at the first pending write, and later writes do not delay the commit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "1 second" })
      yield* TestClock.adjust("10 seconds")
      yield* store.put("a", 1)
      yield* TestClock.adjust("600 millis")
      yield* store.put("b", 1)
      yield* TestClock.adjust("399 millis")
      yield* commitsAre(faulty, 0)
      yield* TestClock.adjust("1 millis")
      yield* until(() => faulty.calls("commit") === 1)
      yield* store.flush
      assert.strictEqual(faulty.batches()[0]?.length, 2)
    }))

  it.effect("starts no commit without pending writes, and starts again with the next write", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "1 second" })
      yield* store.put("a", 1)
      yield* TestClock.adjust("1 second")
      yield* until(() => faulty.calls("commit") === 1)
      yield* store.flush
      yield* TestClock.adjust("1 hour")
      yield* commitsAre(faulty, 1)
      yield* store.delete("a")
      yield* TestClock.adjust("999 millis")
      yield* commitsAre(faulty, 1)
      yield* TestClock.adjust("1 millis")
      yield* until(() => faulty.calls("commit") === 2)
    }))

  it.effect("starts again after a flush", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "1 second" })
      yield* store.put("a", 1)
      yield* TestClock.adjust("900 millis")
      yield* store.flush
      yield* store.put("b", 1)
      yield* TestClock.adjust("999 millis")
      yield* commitsAre(faulty, 1)
      yield* TestClock.adjust("1 millis")
      yield* until(() => faulty.calls("commit") === 2)
    }))

  it.effect("also applies to writes that are made during a commit", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "1 second" })
      const held = yield* faulty.holdCommit
      yield* store.put("a", 1)
      const flushing = yield* start(store.flush)
      yield* held.isWanted
      yield* store.put("b", 1)
      yield* TestClock.adjust("1 second")
      yield* commitsAre(faulty, 1)
      yield* held.release
      yield* Fiber.join(flushing)
      yield* until(() => faulty.batches().length === 2)
      assert.strictEqual(faulty.calls("commit"), 2)
      assert.deepStrictEqual(faulty.batches()[1]?.map(([, key]) => key), ["b"])
    }))

  it.effect("that is infinite starts no commit, but batchSize and flush do", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity", batchSize: 2 })
      yield* store.put("a", 1)
      yield* TestClock.adjust("100000 days")
      yield* commitsAre(faulty, 0)
      yield* store.put("b", 1)
      yield* until(() => faulty.calls("commit") === 1)
      yield* store.put("c", 1)
      yield* store.flush
      assert.strictEqual(faulty.calls("commit"), 2)
    }))
})
