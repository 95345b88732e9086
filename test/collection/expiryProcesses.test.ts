/** Expired records of a store that several processes open, or whose process is killed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as process from "node:process"
import { stopSweeper, storedIn } from "../support/expiring.ts"
import { open, session } from "../support/fixtures/sessions.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"

const program = new URL("../programs/sweeper.ts", import.meta.url)

const count = 3000

/** Sessions that have expired long ago by the clock of other processes: the clock of this test begins in 1970. */
const writeSessions = (path: string) =>
  withStore({ path }, (store) =>
    Effect.gen(function*() {
      yield* stopSweeper(store)
      const sessions = yield* open(store)
      const all = Array.from({ length: count }, (_, at) => [at, session(`user ${at % 7}`, `t${at}`)] as const)
      yield* sessions.putMany([...all, [count, session("ada", "t", null)]])
    }))

/** Runs the program to its end, or until it has printed a line; gives the last number that it has printed. */
const run = (args: ReadonlyArray<string>, isKilled = false): Effect.Effect<number> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [program.pathname, ...args], { stdio: ["ignore", "pipe", "inherit"] })
    let printed = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text
      if (isKilled) child.kill("SIGKILL")
    })
    child.on("close", () => resume(Effect.succeed(Number(printed.trim().split("\n").at(-1)))))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const databases = ["collection/sessions", "index/sessions/byUser", "index/sessions/byToken"]

/** Nothing is stored but the session that stays. */
const assertSwept = (path: string) =>
  withStore({ path }, (store) =>
    Effect.gen(function*() {
      for (const database of databases) assert.strictEqual(yield* storedIn(store, database), 1, database)
      assert.strictEqual(yield* storedIn(store, "expiry"), 0)
    }))

describe("expired records", () => {
  it.effect(
    "are deleted once by processes that share the store",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* writeSessions(path)
        const deleted = yield* Effect.all([run([path, "shared"]), run([path, "shared"]), run([path, "shared"])], {
          concurrency: "unbounded"
        })
        assert.strictEqual(deleted[0] + deleted[1] + deleted[2], count)
        yield* assertSwept(path)
      }),
    testLimit
  )

  it.effect(
    "are deleted with their index entries or not at all when the process is killed, and are deleted later",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* writeSessions(path)
        const before = yield* run([path], true)
        assert.isAbove(before, 0)
        yield* withStore({ path }, (store) =>
          Effect.gen(function*() {
            yield* stopSweeper(store)
            const left = yield* storedIn(store, "collection/sessions")
            for (const database of databases) assert.strictEqual(yield* storedIn(store, database), left, database)
            assert.strictEqual(yield* storedIn(store, "expiry"), left - 1)
          }))
        yield* run([path])
        yield* assertSwept(path)
      }),
    testLimit
  )
})
