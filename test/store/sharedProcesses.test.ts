/** What several processes write to a shared store at the same time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { all, openUsers, user, userOf } from "../support/fixtures/collections.ts"
import { below } from "../support/fixtures/transactions.ts"
import { temporaryFolder } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"

const program = new URL("../programs/sharedWriter.ts", import.meta.url)

const Counts = Schema.Record(Schema.String, Schema.Int)
type Counts = typeof Counts.Type

/** Runs jobs, each in a process of its own, which begin together when all have opened the store. */
const together = Effect.fnUntraced(function*(path: string, jobs: ReadonlyArray<readonly [job: string, times: number]>) {
  const outputs = yield* Effect.callback<ReadonlyArray<string>>((resume) => {
    const printed: Array<string> = jobs.map(() => "")
    let ready = 0
    let ended = 0
    const children = jobs.map(([job, times], name) =>
      spawn(process.execPath, [program.pathname, path, job, `${name}`, `${times}`], {
        stdio: ["pipe", "pipe", "inherit"]
      })
    )
    for (const [name, child] of children.entries()) {
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        const before = printed[name] ?? ""
        printed[name] = before + text
        if (before.includes("\n") || !printed[name].includes("\n")) return
        ready++
        if (ready === jobs.length) { for (const each of children) each.stdin.end("go\n") }
      })
      child.on("close", () => {
        ended++
        if (ended === jobs.length) resume(Effect.succeed(printed))
      })
    }
    return Effect.sync(() => {
      for (const child of children) child.kill("SIGKILL")
    })
  })
  const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Counts))
  return yield* Effect.forEach(outputs, (output) => decode(output.slice("ready\n".length)))
})

/** How often each came out, in all processes. */
const sumOf = (counts: ReadonlyArray<Counts>): Counts => {
  const sum: Record<string, number> = {}
  for (const each of counts) {
    for (const [outcome, count] of Object.entries(each)) sum[outcome] = (sum[outcome] ?? 0) + count
  }
  return sum
}

const twice = (job: string, times: number): ReadonlyArray<readonly [job: string, times: number]> => [[job, times], [
  job,
  times
]]

/** The users in a shared store of this process. */
const openShared = Effect.fnUntraced(function*(path: string) {
  const store = yield* Store.make({ path, shared: true })
  return { store, users: yield* Effect.provideService(openUsers, Store, store) }
})

describe("processes that share a store", () => {
  it.effect(
    "insert the same 30 addresses: each address has one record, and 30 inserts fail with UniqueViolation",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        assert.deepStrictEqual(sumOf(yield* together(path, twice("emails", 30))), { done: 30, UniqueViolation: 30 })
        const { users } = yield* openShared(path)
        const emails = (yield* all(users.values())).map(({ email }) => email)
        assert.deepStrictEqual(emails.toSorted(), below(30).map((n) => `email ${n}@example.com`).toSorted())
        assert.deepStrictEqual(yield* users.verify, [])
        yield* users.rebuildIndexes
      }),
    testLimit
  )

  it.effect("insert the same 30 keys, three at a time: each key is inserted once", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const counts = yield* together(path, below(3).map(() => ["keys", 30]))
      assert.deepStrictEqual(sumOf(counts), { done: 30, KeyExists: 60 })
      const { users } = yield* openShared(path)
      assert.strictEqual(yield* users.size, 30)
      assert.deepStrictEqual(yield* users.verify, [])
    }), testLimit)

  it.effect(
    "lose no update of a counter that two of them update, in the store and in a collection",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* Effect.scoped(Effect.flatMap(openShared(path), ({ users }) => users.put(1, user({ age: 0 }))))
        const counts = yield* together(path, [["counter", 100], ["counter", 100], ["birthdays", 100], [
          "birthdays",
          100
        ]])
        assert.deepStrictEqual(sumOf(counts), { done: 400 })
        const { store, users } = yield* openShared(path)
        assert.strictEqual(yield* store.getOrFail("counter"), 200)
        assert.strictEqual((yield* users.getOrFail(1)).age, 200)
        assert.deepStrictEqual(yield* users.verify, [])
      }),
    testLimit
  )

  it.effect("delete each key and each record once", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(Effect.flatMap(openShared(path), ({ store, users }) =>
        Effect.andThen(
          store.putMany(below(40).map((n) => [`key ${n}`, n] as const)),
          users.putMany(below(40).map((n) => [n, userOf(`email ${n}`, n)] as const))
        )))
      const counts = yield* together(path, [...twice("deletions", 40), ...twice("recordDeletions", 40)])
      assert.deepStrictEqual(sumOf(counts), { done: 80, KeyNotFound: 80 })
      const { store, users } = yield* openShared(path)
      assert.strictEqual(yield* store.size, 0)
      assert.strictEqual(yield* users.size, 0)
      assert.deepStrictEqual(yield* users.verify, [])
    }), testLimit)

  it.effect("keep every index exact when they put addresses that other records have", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const counts = sumOf(yield* together(path, below(3).map(() => ["puts", 200])))
      assert.deepStrictEqual(Object.keys(counts).toSorted(), ["UniqueViolation", "done"])
      const { users } = yield* openShared(path)
      const emails = (yield* all(users.values())).map(({ email }) => email)
      assert.strictEqual(new Set(emails).size, emails.length)
      assert.deepStrictEqual(yield* users.verify, [])
    }), testLimit)
})
