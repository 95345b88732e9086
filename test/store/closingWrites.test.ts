/** Writes that wait while their store closes: each is on disk, or was refused. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { Store, type StoreService } from "../../src/index.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { faultyStore, start, temporaryFolder, turns, withStore } from "../support/harness.ts"
import { readByHand } from "../support/streaming.ts"

/** Runs on what yielded when it is told to, and from then on at once. */
const makeHeldScheduler = () => {
  const held: Array<() => void> = []
  let isHeld = true
  return {
    scheduler: new Scheduler.MixedScheduler("async", (run) => {
      if (isHeld) held.push(run)
      else setImmediate(run)
      return () => {}
    }),
    release: Effect.sync(() => {
      isHeld = false
      for (const run of held.splice(0)) setImmediate(run)
    })
  }
}

const callsThatCommit: ReadonlyArray<readonly [string, (store: StoreService) => Effect.Effect<unknown, unknown>]> = [
  ["putMany", (store) => store.putMany({ a: 1, b: 2 })],
  ["deleteMany", (store) => store.deleteMany(["a"])],
  ["clear", (store) => store.clear],
  ["flush", (store) => Effect.andThen(store.put("a", 1), store.flush)],
  ["withTransaction", (store) => store.withTransaction(store.put("a", 1))]
]

it.live.each(callsThatCommit)(
  "%s also ends if the store closes between two of its steps",
  ([, call]) =>
    Effect.gen(function*() {
      for (let operations = 3; operations <= 60; operations++) {
        const { release, scheduler } = makeHeldScheduler()
        const path = yield* temporaryFolder
        const fiber = yield* Effect.scoped(Effect.flatMap(Store.make({ path, durability: "noSync" }), (store) =>
          Effect.forkDetach(
            call(store).pipe(
              Effect.exit,
              Effect.provideService(Scheduler.Scheduler, scheduler),
              Effect.provideService(Scheduler.MaxOpsBeforeYield, operations)
            ),
            { startImmediately: true }
          )))
        yield* release
        const exit = yield* Fiber.join(fiber)
        if (Exit.isFailure(exit)) {
          assert.propertyVal(Cause.squash(exit.cause), "_tag", "Closed")
        }
      }
    })
)

describe("closing", () => {
  it.effect("loses no acknowledged update after the last resize", () =>
    Effect.gen(function*() {
      const { path, spy, store } = yield* SpyEngine.open({ mapSize: "256 KiB" })
      yield* store.putMany({ counter: 0 })
      const streaming = yield* readByHand(store.keys())
      yield* streaming.next
      // Grows while the snapshot is open: the limit has to be set anew once it is gone
      yield* store.putMany({ large: "x".repeat(1_000_000) })
      yield* streaming.end

      const resize = yield* spy.hold("resize")
      const next = yield* start(Effect.scoped(Effect.flatMap(readByHand(store.keys()), (read) => read.next)))
      yield* resize.begun
      const updates = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => start(store.update("counter", Option.map((n) => Number(n) + 1)))
      )
      yield* turns(5)
      const closing = yield* start(store.close({ strict: true }))
      yield* turns(5)
      yield* resize.release
      yield* Fiber.join(closing)
      yield* Fiber.await(next)

      const exits = yield* Effect.forEach(updates, Fiber.await)
      const acknowledged = exits.filter(Exit.isSuccess).length
      assert.strictEqual(yield* withStore({ path }, (opened) => opened.getOrFail("counter")), acknowledged)
    }))
})

describe("a putMany that waits while its store closes", () => {
  it.effect("is committed, whatever the number and the size of waiting calls", () =>
    Effect.gen(function*() {
      const { faulty, open, store } = yield* faultyStore({ batchBytes: "1 KiB" })
      const held = yield* faulty.holdCommit
      const keys = Array.from({ length: 6 }, (_, index) => `key ${index}`)
      const writing = yield* Effect.forEach(keys, (key) => start(store.putMany({ [key]: "x".repeat(1000) })))
      const givenUp = yield* start(store.putMany({ givenUp: 1 }))
      yield* held.isWanted
      const closing = yield* start(store.close({ strict: true }))
      yield* Fiber.interrupt(givenUp)
      yield* held.release
      yield* Fiber.join(closing)
      yield* Fiber.joinAll(writing)
      const again = yield* open
      assert.deepStrictEqual((yield* again.getMany([...keys, "givenUp"])).missing, ["givenUp"])
    }))

  it.effect("is committed also if the store closes at once", () =>
    Effect.gen(function*() {
      const { open, store } = yield* faultyStore()
      const writing = yield* start(store.putMany({ a: 1 }))
      yield* store.close({ strict: true })
      yield* Fiber.join(writing)
      assert.strictEqual(yield* Effect.flatMap(open, (again) => again.getOrFail("a")), 1)
    }))
})

describe("an interrupted putMany", () => {
  it.effect("is committed anyway after its commit has started, in one transaction with the pending writes that it overwrites", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore()
      yield* store.put("shared", "pending")
      yield* store.put("other", "pending")
      const held = yield* faulty.holdCommit
      const writing = yield* start(store.putMany({ shared: 1 }))
      yield* held.isWanted
      const interrupting = yield* start(Fiber.interrupt(writing))
      assert.strictEqual(yield* store.getOrFail("shared"), "pending")
      yield* held.release
      yield* Fiber.join(interrupting)
      assert.strictEqual(faulty.batches().length, 1)
      assert.strictEqual((yield* store.stats).pending, 0)
      assert.strictEqual(yield* store.getOrFail("shared"), 1)
    }))
})

describe("a putMany that is interrupted while it waits", () => {
  it.effect("commits nothing", () =>
    Effect.gen(function*() {
      const { faulty, store } = yield* faultyStore({ flushInterval: "Infinity" })
      const held = yield* faulty.holdCommit
      const first = yield* start(store.putMany({ first: 1 }))
      yield* held.isWanted
      yield* store.put("pending", 1)
      const waiting = yield* start(store.putMany({ waiting: 1 }))
      yield* Fiber.interrupt(waiting)
      yield* held.release
      yield* Fiber.join(first)
      yield* turns(20)
      assert.strictEqual(faulty.calls("commit"), 1)
      assert.strictEqual((yield* store.stats).pending, 1)
      assert.isFalse(yield* store.has("waiting"))
    }))
})

describe("a link to a file that does not exist yet", () => {
  it.effect("is the same store before and after the file is created", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "link.mdb")
      symlinkSync(join(folder, "target.mdb"), path)
      const one = yield* Store.make({ path, subdirectory: false })
      const other = yield* Store.make({ path, subdirectory: false })
      yield* one.put("a", "pending")
      assert.strictEqual(yield* other.getOrFail("a"), "pending")
    }))
})
