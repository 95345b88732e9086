/** Two processes on one store on PostgreSQL: transfers, unique addresses, and a follower of the changes of both. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { openUsers } from "../support/fixtures/collections.ts"
import { below } from "../support/fixtures/transactions.ts"
import { start } from "../support/harness.ts"
import { serverUrl } from "../support/postgresServer.ts"
import * as PostgresStores from "../support/postgresStore.ts"

const rounds = 40
const accounts = 5

const decodeOutput = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Array(Schema.String)))

/** Runs the worker in a process of its own, and returns how its inserts ended. */
const work = (table: string, worker: number) =>
  Effect.callback<string>((resume) => {
    const program = new URL("../programs/postgresWorker.ts", import.meta.url).pathname
    const child = spawn(
      process.execPath,
      [program, serverUrl(), table, `${worker}`, `${rounds}`, `${accounts}`],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
    })
    child.on("close", () => resume(Effect.succeed(output)))
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(Effect.flatMap(decodeOutput))

const sumOf = (values: Iterable<unknown>) => [...values].reduce((sum: number, value) => sum + Number(value), 0)

describe("two processes on one store", () => {
  it.effect("keep the sum of the accounts at every moment, take each address once, and miss no change", () =>
    Effect.gen(function*() {
      const table = yield* PostgresStores.freshTable
      const store = yield* PostgresStores.openOn({ table })
      const users = yield* Effect.provideService(openUsers, Store, store)
      yield* store.putMany(below(accounts).map((number) => [`account ${number}`, 100] as const))

      const ends = new Set(below(2).map((worker) => `done ${worker}`))
      const seen = new Map<string, number>()
      const following = yield* start(Stream.runCollect(Stream.takeUntil(
        Stream.map(
          store.changes({ since: 0, pollInterval: "50 millis" }),
          (change) => change._tag === "Put" ? change : undefined
        ),
        (change) => {
          if (change !== undefined && change.key.startsWith("done")) {
            seen.set(change.key, (seen.get(change.key) ?? 0) + 1)
          }
          return [...ends].every((end) => seen.get(end) === rounds)
        }
      )))

      const working = yield* start(Effect.all([work(table, 0), work(table, 1)], { concurrency: 2 }))
      let looks = 0
      for (; working.pollUnsafe() === undefined; looks++) {
        const values = yield* Stream.runCollect(store.values({ prefix: "account" }))
        assert.strictEqual(sumOf(values), 100 * accounts)
      }
      assert.isAbove(looks, 5)
      const [first, second] = yield* Fiber.join(working)
      const outcomes = [...first, ...second]
      assert.strictEqual(outcomes.filter((outcome) => outcome === "Success").length, rounds)
      assert.strictEqual(outcomes.filter((outcome) => outcome === "UniqueViolation").length, rounds)
      assert.strictEqual(yield* users.size, rounds)
      assert.deepStrictEqual(yield* users.verify, [])

      const changes = yield* Fiber.join(following)
      const numbers = changes.flatMap((change) => change === undefined ? [] : [change.transactionId])
      assert.deepStrictEqual(numbers, numbers.toSorted((a, b) => a - b))
      assert.deepStrictEqual([...seen.values()], [rounds, rounds])
      // The changes add up to what is stored.
      const followed = new Map<string, unknown>()
      for (const change of changes) if (change !== undefined) followed.set(change.key, yield* change.value)
      for (const number of below(accounts)) {
        assert.strictEqual(followed.get(`account ${number}`), yield* store.getOrFail(`account ${number}`))
      }
    }))
})
