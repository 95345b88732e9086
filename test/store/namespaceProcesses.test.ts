/** Namespaces of a store that several processes have open. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { join } from "node:path"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { namespaceDatabase } from "../../src/internal/databases.ts"
import { storedIn, swept } from "../support/expiring.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"

const program = new URL("../programs/namespaceWriter.ts", import.meta.url).pathname

/** Runs the program to its end while other fibers run; fails unless it succeeds. */
const run = (path: string, job: string, times = 1): Effect.Effect<void> =>
  Effect.callback<number | null>((resume) => {
    const child = spawn(process.execPath, [program, path, job, `${times}`], { stdio: "inherit" })
    child.on("close", (status) => resume(Effect.succeed(status)))
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(Effect.map((status) => assert.strictEqual(status, 0)))

describe("processes that share a store", () => {
  it.live("lose nothing of what they update in a namespace that each of them creates", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true })
      yield* Effect.all([run(path, "count", 60), run(path, "count", 60)], { concurrency: "unbounded" })
      const sessions = yield* store.namespace("sessions")
      assert.strictEqual(yield* sessions.getOrFail("hits"), 120)
      assert.strictEqual(yield* store.size, 0)
    }), testLimit)

  it.effect(
    "read in one transaction what another has written to a namespace that it has created",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, shared: true })
        yield* run(path, "put")
        const both = Effect.zip(
          store.get("sessions"),
          Effect.flatMap(store.namespace("sessions"), (sessions) => sessions.get("ada"))
        )
        assert.deepStrictEqual(yield* store.withTransaction(both), [Option.some(1), Option.some({ page: 3 })])
      }),
    testLimit
  )

  it.live("delete what another has let expire in a namespace that they have not opened", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true })
      yield* run(path, "expiring")
      yield* swept(store, 1)
      assert.strictEqual(yield* storedIn(store, namespaceDatabase("sessions")), 0)
      assert.strictEqual(yield* storedIn(store, "expiry"), 0)
    }).pipe(Effect.scoped), testLimit)

  it.effect("copy the namespaces that another has created", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const from = yield* Store.make({ path: join(folder, "from"), shared: true })
      const to = yield* Store.make({ path: join(folder, "to") })
      yield* run(join(folder, "from"), "put")
      yield* Store.copy(from, to)
      const sessions = yield* to.namespace("sessions")
      assert.deepStrictEqual(yield* Stream.runCollect(sessions.entries()), [["ada", { page: 3 }]])
    }), testLimit)
})

describe("a read-only store", () => {
  it.effect(
    "has an empty namespace until another process creates it, and then what is in it",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* withStore({ path }, (store) => store.put("a", 1))
        const store = yield* Store.make({ path, readOnly: true })
        const sessions = yield* store.namespace("sessions")
        const open = yield* sessions.snapshot
        assert.deepStrictEqual(
          yield* Effect.all([sessions.get("ada"), sessions.has("ada"), sessions.size, sessions.count(), open.size]),
          [Option.none(), false, 0, 0, 0]
        )
        assert.deepStrictEqual(yield* Stream.runCollect(sessions.keys()), [])
        assert.strictEqual((yield* Effect.flip(sessions.put("ada", 1)))._tag, "ReadOnly")
        assert.strictEqual((yield* Effect.flip(sessions.clear))._tag, "ReadOnly")
        yield* run(path, "put")
        assert.deepStrictEqual(
          yield* store.withTransaction(Effect.zip(store.get("sessions"), sessions.size)),
          [Option.some(1), 1]
        )
        assert.deepStrictEqual(yield* sessions.get("ada"), Option.some({ page: 3 }))
        assert.deepStrictEqual(yield* Stream.runCollect(sessions.keys()), ["ada"])
        // It shows the moment at which it was opened
        assert.deepStrictEqual(yield* Effect.all([open.size, open.has("ada")]), [0, false])
      }).pipe(Effect.scoped),
    testLimit
  )

  it.effect(
    "reads a value of a namespace that another process creates after it was opened",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* withStore({ path }, (store) => store.put("a", 1))
        const store = yield* Store.make({ path, readOnly: true })
        const sessions = yield* store.namespace("sessions")
        assert.isFalse(yield* sessions.has("ada"))
        yield* run(path, "put")
        assert.isTrue(yield* sessions.has("ada"))
      }),
    testLimit
  )
})
