/** Transactions in conflict share commits: they run again on what the commits that are under way will leave. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { EngineFull, type Environment, type Plan } from "../../src/Engine.ts"
import type { StoreService } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import * as SpyEngine from "../support/engines/spyEngine.ts"
import { below, contentOf, increment, numberOf } from "../support/fixtures/transactions.ts"
import { start, turns, until } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

type CommitError = EngineFull | typeof faults.diskFull

/** What becomes of a commit, from the moment at which its batch fits. */
type Disk = () => Effect.Effect<void, CommitError>

/** A store whose commits wait for the disk as long as the test says, and succeed only if it says so. */
const openOnDisk = (disk: Disk) =>
  openWith({ flushInterval: "Infinity", durability: "noSync" }, (environment: Environment) => ({
    commit: (plan: Plan) =>
      Effect.suspend(() => {
        const planned = plan(environment, 0)
        if (Exit.isSuccess(planned)) planned.value?.onFitted?.()
        return Effect.andThen(disk(), environment.commit(plan))
      }).pipe(Effect.uninterruptible)
  }))

/** A disk that keeps the commits back whose results are given, in turn; all later ones succeed at once. */
const heldDisk = Effect.fnUntraced(function*(count: number) {
  const held = yield* Effect.forEach(
    below(count),
    () => Effect.all({ begun: Deferred.make<void>(), result: Deferred.make<void, CommitError>() })
  )
  let next = 0
  const disk: Disk = () => {
    const commit = held[next++]
    return commit === undefined
      ? Effect.void
      : Effect.andThen(Deferred.succeed(commit.begun, undefined), Deferred.await(commit.result))
  }
  return { disk, commits: () => next, held }
})

/** The first of two held commits. */
const firstOf = <A>([first]: ReadonlyArray<A>): A => Option.getOrThrow(Option.fromNullishOr(first))

/** Counts up in a transaction, and gives the count. */
const countUp = (store: StoreService, key = "count") =>
  store.withTransaction(Effect.gen(function*() {
    const count = (yield* numberOf(store, key)) + 1
    yield* store.put(key, count)
    return count
  }))

const together = <A, E, R>(count: number, use: (index: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(below(count), use, { concurrency: "unbounded" })

describe("transactions in conflict", () => {
  it.effect("share a few commits: a thousand on one counter, each with a count of its own", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      const counts = yield* together(1000, () => countUp(store))
      assert.deepStrictEqual(counts.toSorted((a, b) => a - b), below(1000).map((n) => n + 1))
      assert.strictEqual(yield* store.getOrFail("count"), 1000)
      assert.isBelow(spy.transactions(), 100)
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))

  it.effect("share commits if each writes several of ten counters and a record of its own", () =>
    Effect.gen(function*() {
      const { spy, store } = yield* SpyEngine.open()
      yield* together(200, (n) =>
        store.withTransaction(Effect.gen(function*() {
          yield* store.update(`count ${n % 10}`, increment)
          yield* Effect.yieldNow
          yield* store.update(`count ${(n + 3) % 10}`, increment)
          yield* store.put(`own ${n}`, n)
        })))
      const content = yield* contentOf(store)
      for (const n of below(10)) assert.strictEqual(content[`count ${n}`], 40)
      assert.strictEqual(Object.keys(content).length, 210)
      assert.isBelow(spy.transactions(), 50)
    }))

  it.effect("run again while the winning commit waits for the disk, and are committed by the next commit", () =>
    Effect.gen(function*() {
      const { commits, disk, held } = yield* heldDisk(1)
      const { store } = yield* openOnDisk(disk)
      let runs = 0
      const fiber = yield* start(together(5, () =>
        store.withTransaction(Effect.suspend(() => {
          runs++
          return store.update("count", increment)
        }))))
      yield* Deferred.await(firstOf(held).begun)
      yield* until(() => runs === 9)
      // No fiber sees anything of that
      yield* turns(20)
      assert.strictEqual(yield* numberOf(store, "count"), 0)
      assert.strictEqual(yield* store.size, 0)
      assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(firstOf(held).result, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(runs, 9)
      assert.strictEqual(commits(), 2)
      assert.strictEqual(yield* store.getOrFail("count"), 5)
    }))

  it.effect("with a run that only reads or fails end after the commit that it has read", () =>
    Effect.gen(function*() {
      const { disk, held } = yield* heldDisk(1)
      const { store } = yield* openOnDisk(disk)
      const take = (name: string, taken: (by: string) => Effect.Effect<string, string>) =>
        store.withTransaction(Effect.gen(function*() {
          const by = yield* store.get("taken")
          if (Option.isSome(by)) return yield* taken(String(by.value))
          yield* store.put("taken", name)
          return name
        }))
      const first = yield* start(take("first", () => Effect.succeed("")))
      const second = yield* start(take("second", (by) => Effect.succeed(`by ${by}`)))
      const third = yield* start(take("third", (by) => Effect.fail(`by ${by}`)))
      const fourth = yield* start(take("fourth", (by) => Effect.die(`by ${by}`)))
      yield* Deferred.await(firstOf(held).begun)
      yield* turns(50)
      for (const fiber of [first, second, third, fourth]) assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(firstOf(held).result, undefined)
      assert.strictEqual(yield* Fiber.join(first), "first")
      assert.strictEqual(yield* Fiber.join(second), "by first")
      assert.strictEqual(yield* Effect.flip(Fiber.join(third)), "by first")
      assert.deepStrictEqual(Exit.findDefect(yield* Fiber.await(fourth)), Result.succeed("by first"))
    }))

  it.effect("share a few commits if all but one of them write nothing or fail", () =>
    Effect.gen(function*() {
      const { commits, disk } = yield* heldDisk(0)
      const { store } = yield* openOnDisk(disk)
      const takers = yield* together(300, (n) =>
        Effect.result(store.withTransaction(Effect.gen(function*() {
          const by = yield* store.get("taken")
          if (Option.isNone(by)) return yield* store.put("taken", n)
          if (n % 2 === 0) return yield* Effect.fail("too late")
        }))))
      assert.strictEqual(takers.filter((result) => result._tag === "Failure").length, 149)
      assert.isBelow(commits(), 50)
    }))

  it.effect("run again if the commit that they have read fails", () =>
    Effect.gen(function*() {
      const { disk, held } = yield* heldDisk(1)
      const { store } = yield* openOnDisk(disk)
      const seen: Array<Array<number>> = [[], [], []]
      const fibers = yield* Effect.forEach(seen, (counts, index) =>
        start(store.withTransaction(Effect.gen(function*() {
          const count = (yield* numberOf(store, "count")) + 1
          counts.push(count)
          if (index === 2 && count === 3) return yield* Effect.fail("three")
          yield* store.put("count", count)
          return count
        }))))
      yield* Deferred.await(firstOf(held).begun)
      yield* until(() => seen[2]?.at(-1) === 3)
      yield* Deferred.fail(firstOf(held).result, faults.diskFull)
      const [first, second, third] = yield* Effect.forEach(fibers, Fiber.await)
      assert.deepStrictEqual(first && Exit.findErrorOption(first), Option.some(faults.diskFull))
      assert.deepStrictEqual([second, third], [Exit.succeed(1), Exit.succeed(2)])
      assert.deepStrictEqual(seen, [[1], [1, 2, 1], [1, 3, 2]])
      assert.strictEqual(yield* store.getOrFail("count"), 2)
    }))

  it.effect("run again if a put comes before them, and do not lose the put", () =>
    Effect.gen(function*() {
      const { disk, held } = yield* heldDisk(1)
      const { store } = yield* openOnDisk(disk)
      yield* store.put("limit", 10)
      let runs = 0
      const fiber = yield* start(together(3, () =>
        store.withTransaction(Effect.gen(function*() {
          runs++
          yield* store.put("count", (yield* numberOf(store, "count")) + (yield* numberOf(store, "limit")))
        }))))
      yield* Deferred.await(firstOf(held).begun)
      yield* until(() => runs === 5)
      yield* turns(20)
      yield* store.put("limit", 100)
      yield* Deferred.succeed(firstOf(held).result, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* store.getOrFail("count"), 210)
    }))

  it.effect("continue if one of them is interrupted after others have read its writes", () =>
    Effect.gen(function*() {
      const { disk, held } = yield* heldDisk(1)
      const { store } = yield* openOnDisk(disk)
      let runs = 0
      const fibers = yield* Effect.forEach(below(5), () =>
        start(store.withTransaction(Effect.suspend(() => {
          runs++
          return store.update("count", increment)
        }))))
      yield* Deferred.await(firstOf(held).begun)
      yield* until(() => runs === 9)
      yield* turns(20)
      yield* Fiber.interrupt(Option.getOrThrow(Option.fromNullishOr(fibers[2])))
      yield* Deferred.succeed(firstOf(held).result, undefined)
      const made = (yield* Effect.forEach(fibers, Fiber.await)).filter(Exit.isSuccess)
      assert.strictEqual(made.length, 4)
      assert.strictEqual(yield* store.getOrFail("count"), 4)
      assert.strictEqual((yield* store.stats).snapshots, 0)
    }))

  it.effect("that may not run again fail with the number of their runs", () =>
    Effect.gen(function*() {
      const { store } = yield* SpyEngine.open({ transactionRetry: Schedule.recurs(0), durability: "noSync" })
      const results = yield* together(10, () => Effect.result(countUp(store)))
      const failed = results.flatMap((result) => result._tag === "Failure" ? [result.failure] : [])
      assert.strictEqual(failed.length, 9)
      for (const error of failed) assert.deepInclude(error, { _tag: "TransactionConflict", attempts: 1 })
      assert.strictEqual(yield* store.getOrFail("count"), 1)
    }))

  it.effect("are committed one by one if they do not fit together, and only one that does not fit alone fails", () =>
    Effect.gen(function*() {
      const { disk, held } = yield* heldDisk(2)
      const { store } = yield* openOnDisk(disk)
      yield* Deferred.succeed(firstOf(held).result, undefined)
      const [, second] = held
      const fiber = yield* start(together(5, () => countUp(store)))
      yield* Deferred.await(Option.getOrThrow(Option.fromNullishOr(second)).begun)
      const full = new EngineFull({ mapSize: 1_048_576, needed: 1_048_576 })
      yield* Deferred.fail(Option.getOrThrow(Option.fromNullishOr(second)).result, full)
      const counts = yield* Fiber.join(fiber)
      assert.deepStrictEqual(counts.toSorted((a, b) => a - b), [1, 2, 3, 4, 5])
      assert.strictEqual(yield* store.getOrFail("count"), 5)
    }))
})

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Program = Schema.Struct({
  key: Schema.Literals(["a", "b"]),
  pauses: between(0, 4),
  start: between(0, 20),
  end: Schema.Literals(["commit", "commit", "fail", "read", "interrupt"])
})

/** What a program of a key does: counts up; or fails, or only reads, as soon as the count is above zero. */
const takePart = (store: StoreService, { end, key, pauses }: typeof Program.Type) =>
  store.withTransaction(Effect.gen(function*() {
    const count = yield* numberOf(store, key)
    yield* turns(pauses)
    const counts = count === 0 || end === "commit" || end === "interrupt"
    if (!counts) return yield* end === "fail" ? Effect.fail(count) : Effect.succeed(count)
    yield* store.put(key, count + 1)
    return count + 1
  }))

/** Checks the ends of the programs of a key, of which the last count is committed. */
const assertGapless = (
  ends: ReadonlyArray<readonly [end: typeof Program.Type["end"], exit: Exit.Exit<number, unknown>]>,
  last: number
): void => {
  const made: Array<number> = []
  for (const [end, exit] of ends) {
    const seen = Exit.isSuccess(exit) ? exit.value : Option.getOrUndefined(Exit.findErrorOption(exit))
    if (typeof seen === "number") assert.isAtMost(seen, last)
    if (end === "commit" && Exit.isSuccess(exit)) made.push(exit.value)
  }
  assert.strictEqual(new Set(made).size, made.length)
  assert.isAtLeast(last, made.length)
  assert.isAtMost(last, made.length + ends.filter(([end]) => end !== "commit").length)
}

describe("a disk that fails sometimes", () => {
  it.effect.prop(
    "leaves no gap between returned, visible, reported and committed writes",
    {
      programs: Schema.Array(Program).check(Schema.isBetweenLength(4, 16)),
      failures: Schema.Array(Schema.Boolean).check(Schema.isBetweenLength(1, 8)),
      puts: Schema.Array(between(0, 30)).check(Schema.isBetweenLength(0, 3))
    },
    ({ failures, programs, puts }) =>
      Effect.gen(function*() {
        let commits = 0
        const { store } = yield* openOnDisk(() =>
          Effect.andThen(turns(3), failures[commits++] === true ? Effect.fail(faults.diskFull) : Effect.void)
        )
        const fibers = yield* Effect.forEach(programs, (program) =>
          start(Effect.gen(function*() {
            yield* turns(program.start)
            const running = yield* start(takePart(store, program))
            yield* turns(program.pauses + 6)
            if (program.end === "interrupt") yield* Fiber.interrupt(running)
            return [program.end, yield* Fiber.await(running)] as const
          })))
        for (const pause of puts) {
          yield* turns(pause)
          yield* Effect.ignore(store.put("other", pause))
        }
        const ends = yield* Effect.forEach(fibers, Fiber.join)
        commits = failures.length
        yield* Effect.retry(store.flush, { times: 2 })
        const content = yield* contentOf(store)
        for (const key of ["a", "b"]) {
          assertGapless(ends.filter((_, index) => programs[index]?.key === key), Number(content[key] ?? 0))
        }
        assert.strictEqual((yield* store.stats).snapshots, 0)
      }),
    { arbitrary: { runs: 60 } }
  )
})
