/** Transactions of several processes on one file, and of a process that is killed. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import * as process from "node:process"
import { Store, type StoreService } from "../../src/index.ts"
import { begin, below, contentOf } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, withStore } from "../support/harness.ts"
import { openWith } from "../support/streaming.ts"

const programs = {
  transfers: new URL("../programs/transferMoney.ts", import.meta.url),
  pairs: new URL("../programs/pairs.ts", import.meta.url),
  changeRange: new URL("../programs/changeRange.ts", import.meta.url)
}

interface Ended {
  readonly output: string
  readonly errors: string
}

/** Runs a program in a process of its own; kills it when `onOutput` says so. */
const run = (
  program: URL,
  programArguments: ReadonlyArray<string>,
  onOutput: (output: string) => boolean = () => false
) =>
  Effect.callback<Ended>((resume) => {
    const child = spawn(process.execPath, [program.pathname, ...programArguments])
    let output = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
      if (onOutput(output)) child.kill("SIGKILL")
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text
    })
    child.on("close", () => resume(Effect.succeed({ output, errors })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const accounts = below(10).map((n) => `account ${n}`)

const sumOf = (store: StoreService) =>
  Effect.map(
    Stream.runCollect(store.values({ prefix: "account" })),
    (values) => values.reduce((sum: number, value) => sum + Number(value), 0)
  )

describe("several processes", () => {
  it.effect("that move money among the same accounts keep the sum, during and at the end", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true, durability: "noSync" })
      yield* store.putMany(accounts.map((name) => [name, 100] as const))
      const printed = yield* Queue.unbounded<void>()
      const transfers = () =>
        run(programs.transfers, [path, `${accounts.length}`, "200"], () => {
          Queue.offerUnsafe(printed, undefined)
          return false
        })
      const sums = new Set<number>()
      const states = new Set<string>()
      const look = Effect.gen(function*() {
        sums.add(yield* store.withTransaction(sumOf(store)))
        states.add(JSON.stringify(yield* contentOf(store)))
      })
      yield* start(Effect.forever(Effect.andThen(Queue.take(printed), look)))
      const ended = yield* Effect.forEach(below(4), transfers, { concurrency: "unbounded" })
      yield* look
      assert.deepStrictEqual(ended.map(({ errors }) => errors), below(4).map(() => ""))
      for (const { output } of ended) assert.isTrue(output.endsWith("\ndone\n"))
      assert.deepStrictEqual([...sums], [100 * accounts.length])
      assert.isAbove(states.size, 3, "it was looked at meanwhile")
    }))

  it.effect("a transaction conflicts with commits of another process to a key and to a range that it has read", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true })
      yield* store.putMany({ a: 1, b: 2, x: 3, y: 4 })
      const reads: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        store.get("x"),
        store.count({ gte: "o", lt: "p" }),
        store.size,
        store.get("a")
      ]
      const transactions = yield* Effect.forEach(
        reads,
        (read, index) =>
          Effect.tap(begin(store), ({ inside }) => inside(Effect.andThen(read, store.put(`mine ${index}`, 1))))
      )
      const reader = yield* begin(store)
      assert.strictEqual(yield* reader.inside(store.getOrFail("x")), 3)
      assert.strictEqual((yield* run(programs.changeRange, [path, "x"])).errors, "")
      // They are looked at against what is there now, and one after the other
      const outcomes = yield* Effect.forEach(transactions, ({ commit }) => Effect.result(commit))
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Failure", "Failure", "Failure", "Success"])
      assert.deepStrictEqual(yield* reader.inside(contentOf(store)), { a: 1, b: 2, x: 3, y: 4 })
      yield* reader.commit
      assert.deepStrictEqual(yield* contentOf(store), { a: 1, b: 2, "mine 3": 1, other: "process" })
    }))

  it.effect("a transaction that only reads sees one earlier state, also after pending writes were committed and overwritten", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const committed = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      let isHeld = false
      const { store } = yield* openWith({ path, shared: true }, (environment) => ({
        // Delayed after the commit: the pending writes are on disk, and the store does not know it yet
        commit: (plan) =>
          Effect.tap(
            environment.commit(plan),
            () => isHeld ? Effect.andThen(Deferred.succeed(committed, undefined), Deferred.await(goOn)) : Effect.void
          )
      }))
      yield* store.putMany({ a: 0, z: 0 })
      isHeld = true
      yield* store.put("z", 1)
      const flushing = yield* start(store.flush)
      yield* Deferred.await(committed)
      assert.strictEqual((yield* run(programs.changeRange, [path, "z"])).errors, "")
      const seen = yield* store.withTransaction(contentOf(store))
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(flushing)
      // With `other` the key `z` is gone
      assert.include(
        [{ a: 0, z: 1 }, { a: 0 }, { a: 0, other: "process" }].map((state) => JSON.stringify(state)),
        JSON.stringify(seen)
      )
    }))
})

describe("a process that is killed", () => {
  it.effect("has all returned transactions on disk, each of them complete", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const { errors, output } = yield* run(programs.pairs, [path], (all) => all.split("\n").length > 40)
      assert.strictEqual(errors, "")
      const acknowledged = output.trim().split("\n").length
      assert.isAtLeast(acknowledged, 40)
      const content = yield* withStore({ path }, contentOf)
      const last = Number(content["last"])
      assert.isAtLeast(last, acknowledged)
      const pairs = below(last).flatMap((n) => [[`left ${n + 1}`, n + 1], [`right ${n + 1}`, n + 1]] as const)
      assert.deepStrictEqual(content, { last, ...Object.fromEntries(pairs) })
    }))
})
