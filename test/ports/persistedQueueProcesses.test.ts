/** Queues on which several processes work. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Store } from "../../src/index.ts"
import { allGiven, openOn, using } from "../support/fixtures/queues.ts"
import { start, temporaryFolder } from "../support/harness.ts"
import { startProgram } from "../support/startProgram.ts"
import { testLimit } from "../support/timeLimits.ts"

const offerer = new URL("../programs/queueOfferer.ts", import.meta.url).pathname
const worker = new URL("../programs/queueWorker.ts", import.meta.url).pathname

/** A folder with a shared store of this process, its queues, and a file to which the workers write. */
const shared = Effect.gen(function*() {
  const folder = yield* temporaryFolder
  const path = join(folder, "store")
  const file = join(folder, "lines")
  writeFileSync(file, "")
  const queues = yield* openOn(yield* Store.make({ path, shared: true }))
  return { path, file, queues }
})

const openWork = PersistedQueue.make({ name: "work", schema: Schema.Int })

const linesOf = (file: string) => readFileSync(file, "utf8").trim().split("\n")

describe("processes that work on the same queue", () => {
  it.effect("are woken by the offers of another process, when its commits are noticed", () =>
    Effect.gen(function*() {
      // After all offers: the clock of the other process is a real one.
      yield* TestClock.setTime((yield* TestClock.withLive(Clock.currentTimeMillis)) + 3_600_000)
      const { path, queues } = yield* shared
      yield* Effect.gen(function*() {
        const queue = yield* openWork
        const fibers = yield* Effect.replicateEffect(start(queue.take((number) => Effect.succeed(number))), 20)
        yield* allGiven
        const { exit } = yield* startProgram(offerer, path, "20")
        assert.strictEqual(yield* exit, 0)
        yield* TestClock.adjust("50 millis")
        const taken = yield* Effect.forEach(fibers, Fiber.join)
        assert.sameMembers(taken, Array.from({ length: 20 }, (_, number) => number))
      }).pipe(using(queues))
    }).pipe(Effect.scoped), testLimit)

  it.live("handle each element once, never two of them at the same time", () =>
    Effect.gen(function*() {
      const { file, path, queues } = yield* shared
      yield* Effect.gen(function*() {
        const queue = yield* openWork
        const workers = yield* Effect.forEach(
          ["first", "second"],
          (name) => startProgram(worker, path, file, name, "8")
        )
        yield* Effect.forEach(workers, ({ line }) => line("ready"), { concurrency: "unbounded" })
        // Each of the two holds its first element until both have one. So both work.
        const ids = yield* Effect.forEach(
          Array.from({ length: 300 }, (_, number) => number),
          (number) => queue.offer(number, { id: `${number}` }),
          { concurrency: 50 }
        )
        yield* Effect.forEach(workers, ({ line }) => line("holds"), { concurrency: "unbounded" })
        for (const { child } of workers) child.stdin?.write("go\n")
        const handled = () => linesOf(file).filter((line) => line.startsWith("end")).length
        yield* Effect.repeat(Effect.sleep(20), { until: () => handled() === ids.length })
        for (const { child } of workers) child.stdin?.end()
        assert.deepStrictEqual(yield* Effect.forEach(workers, ({ exit }) => exit), [0, 0])

        const running = new Set<string>()
        const done = new Set<string>()
        for (const line of linesOf(file)) {
          const [event = "", id = "", attempt] = line.split(" ")
          assert.strictEqual(attempt, "1", line)
          assert.isFalse(done.has(id), line)
          assert.strictEqual(running.has(id), event === "end", line)
          if (event === "begin") running.add(id)
          else done.add(id)
        }
        assert.sameMembers([...done], ids)
        assert.strictEqual(new Set(linesOf(file).map((line) => line.split(" ")[3])).size, 2)
      }).pipe(using(queues))
    }).pipe(Effect.scoped), testLimit)

  it.live(
    "get the element of one that was killed when its lease has ended, with the next attempt",
    () =>
      Effect.gen(function*() {
        const { file, path, queues } = yield* shared
        yield* Effect.gen(function*() {
          const queue = yield* openWork
          yield* queue.offer(1, { id: "a" })
          const { child, exit, line } = yield* startProgram(worker, path, file, "killed", "1", "2")
          assert.strictEqual(yield* line("holds"), "holds a")
          const taker = yield* start(queue.take((number, { attempts, id }) => Effect.succeed([number, attempts, id])))
          child.kill("SIGKILL")
          yield* exit
          assert.deepStrictEqual(yield* Fiber.join(taker), [1, 2, "a"])
          assert.deepStrictEqual(linesOf(file), ["begin a 1 killed"])
        }).pipe(using(queues))
      }).pipe(Effect.scoped),
    testLimit
  )
})
