/** What is written as one, beside pending writes that fit with it, fit without it, or do not fit. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { cpSync } from "node:fs"
import { EngineFull, type Write } from "../../src/Engine.ts"
import { Store, type StoreService } from "../../src/index.ts"
import { recordsDatabase } from "../../src/internal/databases.ts"
import * as StoreAccess from "../../src/internal/store/storeAccess.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"
import { ByteString } from "../../src/Key.ts"
import type { Closed, EngineFailure, KeyEncoding, ValueDecoding } from "../../src/StoreError.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { increment, leaving, openSeeded } from "../support/fixtures/transactions.ts"
import { faultyStore, start, temporaryFolder, turns, withLog, withStore } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

/** No room in a map that may not grow. */
const full = new EngineFull({ mapSize: 1_048_576, needed: 1_048_577 })

const fails = () => Exit.fail(faults.readersFull)

/** A new store with two pending writes, and what its engine was asked to commit. */
const withPending = Effect.gen(function*() {
  const opened = yield* faultyStore({ mapSize: "1 MiB", maxMapSize: "1 MiB", flushInterval: "Infinity" })
  yield* opened.store.put("pending", "old")
  yield* opened.store.put("other", "old")
  const asked = () => opened.faulty.batches().map((batch) => batch.map(([, key]) => String(key)))
  return { ...opened, asked }
})

describe("a putMany with pending writes", () => {
  it.effect("is one transaction with them, and its own values win", () =>
    Effect.gen(function*() {
      const { asked, store } = yield* withPending
      yield* store.putMany({ own: "new", pending: "new" })
      assert.deepStrictEqual(asked(), [["pending", "other", "own"]])
      assert.strictEqual(yield* store.getOrFail("pending"), "new")
    }))

  it.effect("that do not fit together with it is committed before them", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      yield* faulty.fail("commit", full)
      yield* store.putMany({ own: "new", pending: "new" })
      assert.deepStrictEqual(asked(), [["pending", "other", "own"], ["own", "pending"], ["other"]])
      assert.strictEqual(yield* store.getOrFail("pending"), "new")
      assert.strictEqual((yield* store.stats).pending, 0)
    }))

  it.effect("that is committed before them succeeds although they fail, and the next put gets their error", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { faulty, store } = yield* withPending
        yield* faulty.fail("commit", full, 1)
        yield* faulty.fail("commit", faults.diskFull, 3)
        yield* store.putMany({ pending: "new" })
        assert.strictEqual(yield* store.getOrFail("pending"), "new")
        assert.strictEqual((yield* store.stats).pending, 1)
        assert.deepStrictEqual(log.map(({ level }) => level), ["WARN"])
        assert.strictEqual(yield* Effect.flip(store.put("more", 1)), faults.diskFull)
        yield* store.flush
        assert.strictEqual(yield* store.getOrFail("other"), "old")
      })
    ))

  it.effect("that it overwrites completely leaves nothing to commit after it", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      yield* faulty.fail("commit", full)
      yield* store.putMany({ pending: "new", other: "new" })
      assert.deepStrictEqual(asked(), [["pending", "other"], ["pending", "other"]])
      assert.strictEqual((yield* store.stats).pending, 0)
    }))

  it.effect("is committed with the rest of an atomic unit of which it overwrites a part", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      const { access } = StoreInternals.of(store)
      const group = ["record", "index"].map((key): Write => [recordsDatabase, ByteString(key), Uint8Array.of(1)])
      yield* StoreAccess.enterToWrite(access, (transaction) => StoreAccess.write(access, transaction, group))
      yield* faulty.fail("commit", full)
      yield* store.putMany({ record: "new" })
      assert.deepStrictEqual(asked(), [
        ["pending", "other", "record", "index"],
        ["record", "index"],
        ["pending", "other"]
      ])
      assert.strictEqual(yield* store.getOrFail("record"), "new")
    }))

  it.effect("comes after them if it does not fit alone either", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      yield* faulty.fail("commit", full, 1)
      yield* faulty.fail("commit", full, 2)
      yield* store.putMany({ own: "new" })
      assert.deepStrictEqual(asked(), [["pending", "other", "own"], ["own"], ["pending", "other"], ["own"]])
    }))

  it.effect("fails with their error if it cannot be committed before them, and no other call gets the error", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const { asked, faulty, store } = yield* withPending
        yield* faulty.fail("commit", full, 1)
        yield* faulty.fail("commit", full, 2)
        yield* faulty.fail("commit", faults.diskFull, 3)
        assert.strictEqual(yield* Effect.flip(store.putMany({ own: "new" })), faults.diskFull)
        assert.strictEqual(asked().length, 3)
        assert.strictEqual((yield* store.stats).pending, 2)
        yield* store.put("more", 1)
        assert.isFalse(yield* store.has("own"))
        assert.deepStrictEqual(log, [])
      })
    ))

  it.effect("is not committed before them if the disk is full", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      yield* faulty.fail("commit", faults.diskFull)
      assert.strictEqual(yield* Effect.flip(store.putMany({ own: "new" })), faults.diskFull)
      assert.strictEqual(asked().length, 1)
      assert.strictEqual((yield* store.stats).pending, 2)
      // Its caller has heard of it, the next put need not
      yield* store.put("more", 1)
    }))

  it.effect("that is interrupted during its commit leaves their error to the next put", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* withPending
      const held = yield* faulty.holdCommit
      yield* faulty.fail("commit", faults.diskFull)
      const writing = yield* start(store.putMany({ own: "new" }))
      yield* held.isWanted
      const interrupting = yield* start(Fiber.interrupt(writing))
      yield* turns(5)
      assert.isUndefined(interrupting.pollUnsafe())
      yield* held.release
      yield* Fiber.join(interrupting)
      assert.strictEqual(yield* Effect.flip(store.put("more", 1)), faults.diskFull)
      assert.strictEqual((yield* store.stats).pending, 2)
    }))
})

describe("a transaction that does not fit together with pending writes", () => {
  const reads: ReadonlyArray<{
    readonly what: string
    readonly read: (store: StoreService) => Effect.Effect<unknown, EngineFailure | Closed | KeyEncoding | ValueDecoding>
    readonly commits: ReadonlyArray<ReadonlyArray<string>>
  }> = [
    { what: "a record", read: (store) => store.get("pending"), commits: [["pending", "own"], ["other"]] },
    { what: "whether it exists", read: (store) => store.has("pending"), commits: [["pending", "own"], ["other"]] },
    { what: "records", read: (store) => store.getMany(["pending", "x"]), commits: [["pending", "own"], ["other"]] },
    {
      what: "a range",
      read: (store) => Stream.runCollect(store.keys({ prefix: "p" })),
      commits: [["pending", "own"], ["other"]]
    },
    { what: "the number of records", read: (store) => store.size, commits: [["pending", "other", "own"]] },
    { what: "nothing pending", read: (store) => store.get("x"), commits: [["own"], ["pending", "other"]] }
  ]

  it.effect.each(reads)(
    "is committed with the pending writes that it has read, before the others: $what",
    ({ commits, read }) =>
      Effect.gen(function*() {
        const { asked, faulty, store } = yield* withPending
        yield* faulty.fail("commit", full)
        yield* store.withTransaction(Effect.andThen(read(store), store.put("own", "new")))
        assert.deepStrictEqual<unknown>(asked().slice(1), commits)
        assert.strictEqual((yield* store.stats).pending, 0)
      })
  )

  it.effect("is committed with the whole atomic unit of which it has read a part", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      const { access } = StoreInternals.of(store)
      const unit = ["record", "index"].map((key): Write => [recordsDatabase, ByteString(key), Uint8Array.of(1)])
      yield* StoreAccess.enterToWrite(access, (transaction) => StoreAccess.write(access, transaction, unit))
      yield* faulty.fail("commit", full)
      yield* store.withTransaction(Effect.andThen(store.has("record"), store.put("own", "new")))
      assert.deepStrictEqual(asked().slice(1), [["record", "index", "own"], ["pending", "other"]])
    }))

  it.effect("fails in a full file if what it has read does not fit, and otherwise goes ahead", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const copy = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity", closeFailure: "log" })
      yield* store.putMany({ large: "x".repeat(600_000), balance: 0 })
      yield* store.put("order", "y".repeat(500_000))
      const after = (key: string) =>
        store.withTransaction(Effect.andThen(store.has(key), store.put(`after ${key}`, true)))
      assert.strictEqual((yield* Effect.flip(after("order")))._tag, "MapFull")
      yield* after("balance")
      cpSync(path, copy, { recursive: true })
      const { found } = yield* withStore({ path: copy }, (other) => other.getMany(["after order", "after balance"]))
      assert.deepStrictEqual<unknown>([...found], [["after balance", true]])
    }))
})

describe("a put during the commit of a putMany", () => {
  it.effect("waits if it writes one of its keys, which no reader sees yet, and otherwise does not wait", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.putMany({ a: 0, b: 0, c: 0 })
      const first = yield* faulty.holdCommit
      const busy = yield* start(store.flush.pipe(Effect.andThen(store.putMany({ busy: 1 }))))
      yield* first.isWanted
      // These two are committed together
      const many = yield* Effect.forEach(["a", "b"], (key) => start(store.putMany({ [key]: 1 })))
      const second = yield* faulty.holdCommit
      yield* first.release
      yield* second.isWanted
      const waiting = yield* Effect.forEach(
        [store.put("a", 2), store.delete("b"), store.update("a", Option.map((value) => [value]))],
        start
      )
      yield* store.put("c", 2)
      yield* turns(20)
      for (const fiber of waiting) assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual(yield* store.getOrFail("a"), 0)
      yield* second.release
      yield* Fiber.joinAll([busy, ...many])
      yield* Fiber.joinAll(waiting)
      const { found } = yield* store.getMany(["a", "b", "c"])
      assert.deepStrictEqual<unknown>(Object.fromEntries(found), { a: [2], c: 2 })
    }))
})

describe("a put after an atomic batch in the same turn", () => {
  it.effect.each(["putMany", "clear", "withTransaction"] as const)(
    "is visible after it: %s",
    (which) =>
      Effect.gen(function*() {
        const { store } = yield* faultyStore()
        const batches = {
          putMany: store.putMany({ key: "unit" }),
          clear: store.clear,
          withTransaction: store.withTransaction(store.put("key", "unit"))
        }
        const batch = yield* Effect.forkChild(batches[which], { startImmediately: true })
        yield* store.put("key", "later")
        yield* Fiber.join(batch)
        yield* store.flush
        assert.strictEqual(yield* store.getOrFail("key"), "later")
      })
  )
})

describe("a clear with pending writes", () => {
  it.effect.each([full, faults.diskFull])(
    "that cannot be committed drops them: $_tag",
    (fault) =>
      Effect.gen(function*() {
        const { asked, faulty, store } = yield* withPending
        yield* faulty.fail("commit", fault)
        yield* store.clear
        assert.deepStrictEqual(asked().slice(1), [[]])
        assert.strictEqual((yield* store.stats).pending, 0)
        assert.strictEqual(yield* store.size, 0)
      })
  )
})

describe("atomic batches that wait for a commit", () => {
  const value = new Uint8Array(100)

  /** How many bytes it has under a key of one character. */
  const bytesOfOne = Effect.gen(function*() {
    const { store } = yield* SpyEngine.open()
    yield* store.put("a", value)
    return (yield* store.stats).pendingBytes
  })

  it.effect.each([
    { count: 2, more: 0, commits: [["first"], ["a", "b"], ["c", "d"], ["e"]] },
    { count: 2, more: -1, commits: [["first"], ["a"], ["b"], ["c"], ["d"], ["e"]] },
    { count: 1, more: -1, commits: [["first"], ["a"], ["b"], ["c"], ["d"], ["e"]] }
  ])(
    "are committed up to batchBytes, at least one: $count and $more bytes",
    (each) =>
      Effect.gen(function*() {
        const { commits, count, more } = each
        const { spy, store } = yield* SpyEngine.open({ batchBytes: count * (yield* bytesOfOne) + more })
        const held = yield* spy.hold("commit")
        const first = yield* start(store.putMany({ first: 1 }))
        yield* held.begun
        const fibers = yield* Effect.forEach(["a", "b", "c", "d", "e"], (key) => start(store.putMany({ [key]: value })))
        yield* held.release
        yield* Fiber.joinAll([first, ...fibers])
        assert.deepStrictEqual(spy.commits(), commits)
      })
  )

  it.effect("are committed one by one, after the pending writes, if they do not fit together", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      const held = yield* faulty.holdCommit
      const flushing = yield* start(store.flush)
      yield* held.isWanted
      yield* store.put("late", 1)
      // They are tried again when freed pages have come of age
      for (const attempt of [1, 4]) yield* faulty.fail("commit", full, attempt)
      const fibers = yield* Effect.forEach(["a", "b"], (key) => start(store.putMany({ [key]: 1 })))
      yield* held.release
      yield* Fiber.joinAll([flushing, ...fibers])
      assert.deepStrictEqual(
        asked().filter((keys) => keys.length > 0).slice(1),
        [["late", "a", "b"], ["late", "a", "b"], ["late"], ["a"], ["b"]]
      )
      assert.strictEqual(yield* store.size, 5)
    }))

  it.effect("do not use the emergency pages because one of them only deletes", () =>
    Effect.gen(function*() {
      const { asked, faulty, store } = yield* withPending
      const held = yield* faulty.holdCommit
      const flushing = yield* start(store.flush)
      yield* held.isWanted
      for (const attempt of [1, 4]) yield* faulty.fail("commit", full, attempt)
      const fibers = yield* Effect.forEach([store.deleteMany(["pending"]), store.putMany({ more: 1 })], start)
      yield* held.release
      yield* Fiber.joinAll([flushing, ...fibers])
      assert.deepStrictEqual(
        asked().filter((keys) => keys.length > 0).slice(1),
        [["pending", "more"], ["pending", "more"], ["pending"], ["more"]]
      )
    }))

  it.effect("report an error to the callers that still wait, and to no other call", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* withPending
      const first = yield* faulty.holdCommit
      const flushing = yield* start(store.flush)
      yield* first.isWanted
      yield* store.put("late", 1)
      const gone = yield* start(store.putMany({ gone: 1 }))
      const there = yield* start(store.putMany({ there: 1 }))
      const second = yield* faulty.holdCommit
      yield* faulty.fail("commit", faults.diskFull)
      yield* first.release
      yield* second.isWanted
      const interrupting = yield* start(Fiber.interrupt(gone))
      yield* turns(5)
      yield* second.release
      yield* Fiber.joinAll([flushing, interrupting])
      assert.strictEqual(yield* Effect.flip(Fiber.join(there)), faults.diskFull)
      yield* store.put("more", 1)
    }))

  it.effect("make no transaction if their precondition is no longer true", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* openSeeded()
      const outside = yield* leaving
      const before = spy.transactions()
      const conflict = store.withTransactionRetry(Schedule.recurs(0))(
        Effect.gen(function*() {
          yield* store.update("a", increment)
          yield* outside(store.putMany({ a: 10 }))
        })
      )
      assert.strictEqual((yield* Effect.flip(conflict))._tag, "TransactionConflict")
      assert.strictEqual(spy.transactions() - before, 1)
    }))

  it.effect("fail if the engine cannot validate the precondition", () =>
    Effect.gen(function*() {
      let fault: EngineFailure | undefined
      const { store } = yield* openWith({}, (environment) => ({
        commit: (plan) =>
          environment.commit((present, transactionId) =>
            plan(
              fault === undefined ? present : { ...present, get: fails, getMany: fails },
              transactionId
            )
          )
      }))
      yield* store.putMany({ a: 1 })
      fault = faults.readersFull
      assert.strictEqual(yield* Effect.flip(store.withTransaction(store.update("a", increment))), fault)
    }))
})
