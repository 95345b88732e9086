import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as MutableRef from "effect/MutableRef"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"
import * as ReadersWriterLock from "../../src/internal/lmdb/readersWriterLock.ts"

type Side = "read" | "write"

const sides: ReadonlyArray<Side> = ["read", "write"]

const withSide = (lock: ReadersWriterLock.ReadersWriterLock, side: Side) =>
  side === "read" ? lock.withRead : lock.withWrite

/** Starts a fiber and runs it until it waits for something. */
const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

const pause = (times: number) => Effect.repeat(Effect.yieldNow, { times })

/** Fails unless a reader and a writer get the lock at once. */
const assertFree = Effect.fnUntraced(function*(lock: ReadersWriterLock.ReadersWriterLock) {
  for (const side of sides) {
    const fiber = yield* start(withSide(lock, side)(Effect.void))
    assert.deepStrictEqual(fiber.pollUnsafe(), Exit.void, `the lock is not free for a ${side}`)
  }
})

/** Somebody under the lock until `leave` is done. */
const occupy = Effect.fnUntraced(function*(lock: ReadersWriterLock.ReadersWriterLock, side: Side) {
  const leave = yield* Deferred.make<void>()
  const fiber = yield* start(withSide(lock, side)(Deferred.await(leave)))
  return { fiber, leave: Effect.andThen(Deferred.succeed(leave, undefined), Fiber.await(fiber)) }
})

/** Keeps count of who is under the lock, and of every breach of its rule. */
const makeWitness = () => {
  const counts = { readers: 0, writers: 0, mostReaders: 0, breaches: 0, entries: 0 }
  const watch = (side: Side, body: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        counts.entries++
        if (side === "read") counts.readers++
        else counts.writers++
        counts.mostReaders = Math.max(counts.mostReaders, counts.readers)
        if (counts.writers > 1 || (counts.writers === 1 && counts.readers > 0)) counts.breaches++
      }),
      () => body,
      () =>
        Effect.sync(() => {
          if (side === "read") counts.readers--
          else counts.writers--
        })
    )
  return { counts, watch }
}

describe("RwLock", () => {
  describe("mutual exclusion", () => {
    it.effect("is kept among two thousand fibers, and readers overlap", () =>
      Effect.gen(function*() {
        const lock = yield* ReadersWriterLock.make
        const { counts, watch } = makeWitness()
        yield* Effect.forEach(
          Array.from({ length: 2000 }, (_, index) => index),
          (index) => {
            const side = (index * 7919) % 10 < 7 ? "read" : "write"
            return Effect.andThen(
              pause((index * 104729) % 23),
              withSide(lock, side)(watch(side, pause((index * 31) % 5)))
            )
          },
          { concurrency: "unbounded", discard: true }
        )
        assert.strictEqual(counts.breaches, 0)
        assert.strictEqual(counts.entries, 2000)
        assert.isAbove(counts.mostReaders, 1)
        yield* assertFree(lock)
      }))

    it.effect("lets readers in together", () =>
      Effect.gen(function*() {
        const lock = yield* ReadersWriterLock.make
        const first = yield* Deferred.make<void>()
        const second = yield* Deferred.make<void>()
        yield* Effect.all([
          lock.withRead(Effect.andThen(Deferred.succeed(first, undefined), Deferred.await(second))),
          lock.withRead(Effect.andThen(Deferred.succeed(second, undefined), Deferred.await(first)))
        ], { concurrency: "unbounded" })
      }))

    it.effect.each([["read", "write"], ["write", "read"], ["write", "write"]] as const)(
      "a %s excludes a %s",
      ([holder, other]) =>
        Effect.gen(function*() {
          const lock = yield* ReadersWriterLock.make
          const held = yield* occupy(lock, holder)
          const waiting = yield* start(withSide(lock, other)(Effect.void))
          yield* pause(100)
          assert.isUndefined(waiting.pollUnsafe())
          yield* held.leave
          yield* Fiber.join(waiting)
        })
    )
  })

  describe("order", () => {
    const orderOf = Effect.fnUntraced(function*(holder: Side, arrivals: ReadonlyArray<`${Side} ${number}`>) {
      const lock = yield* ReadersWriterLock.make
      const order: Array<string> = []
      const held = yield* occupy(lock, holder)
      const fibers = yield* Effect.forEach(arrivals, (name) =>
        Effect.tap(
          start(
            withSide(lock, name.startsWith("read") ? "read" : "write")(
              Effect.andThen(Effect.sync(() => order.push(name)), pause(3))
            )
          ),
          pause(30)
        ))
      yield* held.leave
      yield* Fiber.joinAll(fibers)
      return order
    })

    it.effect("a waiting writer runs before readers that come later", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* orderOf("read", ["write 1", "read 1", "read 2"]),
          ["write 1", "read 1", "read 2"]
        )
      }))

    it.effect("readers that wait for a writer run before the next writer", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          yield* orderOf("write", ["read 1", "read 2", "write 1", "read 3", "write 2", "write 3", "read 4"]),
          ["read 1", "read 2", "write 1", "read 3", "write 2", "write 3", "read 4"]
        )
      }))

    it.effect("also where every fiber yields at every step", () =>
      Effect.gen(function*() {
        const arrivals = ["write 1", "read 2", "write 3", "read 4", "write 5", "write 6", "read 7", "write 8"] as const
        for (let budget = 3; budget <= 20; budget++) {
          const order = yield* Effect.provideService(orderOf("write", arrivals), Scheduler.MaxOpsBeforeYield, budget)
          assert.deepStrictEqual(order, [...arrivals])
        }
      }))

    it.effect.each(sides)(
      "neither side starves under a constant stream of the other side: %s",
      (side) =>
        Effect.gen(function*() {
          const rivals = 5
          const turns = 100
          const lock = yield* ReadersWriterLock.make
          const rivalTurns = MutableRef.make(0)
          const rival = withSide(lock, side === "read" ? "write" : "read")(
            Effect.andThen(Effect.sync(() => MutableRef.increment(rivalTurns)), pause(7))
          )
          const fibers = yield* Effect.forEach(Array.from({ length: rivals }), () => start(Effect.forever(rival)))
          for (let turn = 1; turn <= turns; turn++) {
            const before = MutableRef.get(rivalTurns)
            const turnsOfRivals = () => MutableRef.get(rivalTurns) - before
            const fiber = yield* start(withSide(lock, side)(Effect.void))
            // A side that starves would wait forever: the bound ends it.
            while (fiber.pollUnsafe() === undefined && turnsOfRivals() <= 2 * rivals) yield* Effect.yieldNow
            assert.isDefined(fiber.pollUnsafe(), `starved in turn ${turn}`)
            assert.isAtMost(turnsOfRivals(), 2 * rivals)
          }
          assert.isAtLeast(MutableRef.get(rivalTurns), turns / 2)
          yield* Fiber.interruptAll(fibers)
          yield* assertFree(lock)
        })
    )
  })

  describe("release", () => {
    it.effect.each(sides)("after success, failure, defect and interruption: %s", (side) =>
      Effect.gen(function*() {
        const lock = yield* ReadersWriterLock.make
        const run = withSide(lock, side)
        assert.strictEqual(yield* run(Effect.succeed(42)), 42)
        yield* assertFree(lock)
        assert.strictEqual(yield* Effect.flip(run(Effect.fail("no"))), "no")
        yield* assertFree(lock)
        assert.deepStrictEqual(yield* Effect.exit(run(Effect.die("bug"))), Exit.die("bug"))
        yield* assertFree(lock)
        assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(run(Effect.interrupt))))
        yield* assertFree(lock)
        const { fiber } = yield* occupy(lock, side)
        yield* Fiber.interrupt(fiber)
        yield* assertFree(lock)
      }))

    it.effect.each(sides)("does not touch a scope of the caller: %s", (side) =>
      Effect.gen(function*() {
        const lock = yield* ReadersWriterLock.make
        let closed = false
        yield* Effect.scoped(Effect.gen(function*() {
          yield* withSide(lock, side)(Effect.addFinalizer(() => Effect.sync(() => closed = true)))
          assert.isFalse(closed)
        }))
        assert.isTrue(closed)
      }))
  })

  describe("interruption", () => {
    it.effect.each(
      [
        { state: "a writer in the gate, after a writer", holder: "write", ahead: undefined, waiter: "write" },
        { state: "a reader in the gate, after a writer", holder: "write", ahead: undefined, waiter: "read" },
        { state: "a writer in the gate, after a waiting writer", holder: "read", ahead: "write", waiter: "write" },
        { state: "a reader in the gate, after a waiting writer", holder: "read", ahead: "write", waiter: "read" },
        { state: "a writer after a reader", holder: "read", ahead: undefined, waiter: "write" }
      ] as const
    )("removes $state", ({ ahead, holder, waiter }) =>
      Effect.gen(function*() {
        const lock = yield* ReadersWriterLock.make
        const held = yield* occupy(lock, holder)
        const first = ahead && (yield* start(withSide(lock, ahead)(Effect.void)))
        const fiber = yield* start(withSide(lock, waiter)(Effect.die("never runs")))
        const last = yield* start(lock.withRead(Effect.void))
        assert.isUndefined(fiber.pollUnsafe())
        yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
        // A writer that gave up no longer keeps readers from joining a reader.
        if (holder === "read" && ahead === undefined) yield* Fiber.join(last)
        else assert.isUndefined(last.pollUnsafe())
        yield* held.leave
        if (first) yield* Fiber.join(first)
        yield* Fiber.join(last)
        yield* assertFree(lock)
      }))

    it.effect.each(sides)("reaches the effect under the lock: %s", (side) =>
      Effect.gen(function*() {
        const lock = yield* ReadersWriterLock.make
        const fiber = yield* start(withSide(lock, side)(Effect.never))
        yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      }))

    it.effect.each(sides)(
      "does not reach an uninterruptible caller, under the lock or waiting: %s",
      (side) =>
        Effect.gen(function*() {
          const lock = yield* ReadersWriterLock.make
          const held = yield* occupy(lock, "write")
          const done: Array<string> = []
          const caller = yield* start(Effect.uninterruptible(
            withSide(lock, side)(Effect.andThen(pause(5), Effect.sync(() => done.push("body"))))
          ))
          const interruption = yield* start(Fiber.interrupt(caller))
          yield* pause(20)
          assert.isUndefined(caller.pollUnsafe())
          yield* held.leave
          yield* Fiber.await(interruption)
          assert.deepStrictEqual(done, ["body"])
          yield* assertFree(lock)
        })
    )

    it.effect("an uninterruptible body ends before the lock is released", () =>
      Effect.gen(function*() {
        const lock = yield* ReadersWriterLock.make
        const { counts, watch } = makeWitness()
        const holder = yield* start(lock.withWrite(Effect.uninterruptible(watch("write", pause(10)))))
        const reader = yield* start(lock.withRead(watch("read", Effect.void)))
        yield* Fiber.interrupt(holder)
        yield* Fiber.join(reader)
        assert.deepStrictEqual([counts.entries, counts.breaches], [2, 0])
        yield* assertFree(lock)
      }))

    const smallNumber = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 }))
    const Task = Schema.Struct({
      side: Schema.Literals(sides),
      delay: smallNumber,
      length: smallNumber,
      outcome: Schema.Literals(["succeed", "fail", "die"]),
      interruptAfter: Schema.UndefinedOr(smallNumber)
    })

    it.effect.prop(
      "at any point of any fiber leaves the lock free and exclusive",
      {
        tasks: Schema.Array(Task).check(Schema.isMaxLength(30)),
        // So small a budget of operations makes fibers yield, and so be interrupted, between the lock's own steps.
        budget: Schema.Int.check(Schema.isBetween({ minimum: 3, maximum: 20 }))
      },
      ({ budget, tasks }) =>
        Effect.gen(function*() {
          const lock = yield* ReadersWriterLock.make
          const { counts, watch } = makeWitness()
          yield* Effect.forEach(tasks, (task) =>
            Effect.gen(function*() {
              yield* pause(task.delay)
              const end = { succeed: Effect.void, fail: Effect.fail("no"), die: Effect.die("bug") }[task.outcome]
              const body = Effect.andThen(watch(task.side, pause(task.length)), end)
              const fiber = yield* Effect.forkChild(
                Effect.provideService(withSide(lock, task.side)(body), Scheduler.MaxOpsBeforeYield, budget)
              )
              if (task.interruptAfter !== undefined) {
                yield* pause(task.interruptAfter)
                yield* Fiber.interrupt(fiber)
              }
              const exit = yield* Fiber.await(fiber)
              const isExpected = Exit.match(exit, {
                onSuccess: () => task.outcome === "succeed",
                onFailure: (cause) =>
                  Cause.hasInterrupts(cause)
                    ? task.interruptAfter !== undefined
                    : task.outcome !== "succeed"
              })
              assert.isTrue(isExpected)
            }), { concurrency: "unbounded", discard: true })
          assert.deepStrictEqual([counts.breaches, counts.readers, counts.writers], [0, 0, 0])
          yield* assertFree(lock)
        }),
      { arbitrary: { runs: 300 } }
    )
  })
})
