/** Commits of all processes, and live queries and changes of what other processes commit. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { type ChildProcess, spawn } from "node:child_process"
import * as process from "node:process"
import { type Commit, Store, type StoreService } from "../../src/index.ts"
import { below } from "../support/fixtures/transactions.ts"
import { start, temporaryFolder, turns, until } from "../support/harness.ts"
import { testLimit } from "../support/timeLimits.ts"

const program = new URL("../programs/logWriter.ts", import.meta.url).pathname

/** A process that writes to a store when it is told to. */
interface Writer {
  readonly child: ChildProcess
  /** Has it put numbers; waits until they are on disk. */
  readonly put: (key: string, number: number) => Effect.Effect<void>
  readonly lines: Array<string>
}

const writer = (options: object): Effect.Effect<Writer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Writer>((resume) => {
      const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ["pipe", "pipe", "inherit"] })
      const lines: Array<string> = []
      const put = (key: string, number: number) =>
        Effect.suspend(() => {
          const before = lines.length
          child.stdin.write(`${key} ${number}\n`)
          return Effect.callback<void>((done) => {
            const look = () => {
              if (lines.length > before) done(Effect.void)
              else child.stdout.once("data", () => setImmediate(look))
            }
            look()
          })
        })
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        lines.push(...text.trim().split("\n"))
        if (lines[0] === "ready") resume(Effect.succeed({ child, put, lines }))
      })
    }),
    ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
  )

const collect = Effect.fnUntraced(function*<A, E>(stream: Stream.Stream<A, E>) {
  const told: Array<A> = []
  yield* start(Stream.runForEach(stream, (item) => Effect.sync(() => told.push(item))))
  return told
})

/** Sets the clock until polls have found something. A poll that begins after the clock was set waits until it is set again. */
const untilPolled = (holds: () => boolean) =>
  Effect.repeat(Effect.andThen(TestClock.adjust("50 millis"), turns(100)), { until: holds })

describe("commits", () => {
  it.effect("of this process are reported at once, with the numbers of their changes", () =>
    Effect.gen(function*() {
      const store = yield* Store.make({ path: yield* temporaryFolder })
      const commits = yield* start(Stream.runCollect(store.commits()))
      const changes = yield* start(Stream.runCollect(store.changes()))
      yield* store.putMany({ a: 1 })
      yield* store.put("b", 1)
      yield* store.close()
      const ids = (yield* Fiber.join(changes)).map(({ transactionId }) => transactionId)
      assert.deepStrictEqual(
        yield* Fiber.join(commits),
        ids.map((transactionId): Commit => ({ transactionId, isOwn: true }))
      )
    }))

  it.effect(
    "of other processes are reported once, at the next poll",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const store = yield* Store.make({ path, shared: true })
        const other = yield* writer({ path, shared: true })
        const told = yield* collect(store.commits({ pollInterval: "1 minute" }))
        const single = yield* collect(store.commits({ pollInterval: "1 hour" }))
        yield* other.put("a", 1)
        yield* other.put("a", 2)
        assert.deepStrictEqual(told, [])
        yield* TestClock.adjust("1 minute")
        yield* until(() => told.length === 1)
        assert.isFalse(told[0]?.isOwn)
        // One that is noticed by the own commit that follows it
        yield* other.put("a", 3)
        yield* store.putMany({ b: 1 })
        yield* until(() => told.length === 3)
        const own = told[2]?.transactionId ?? 0
        assert.deepStrictEqual(told.slice(1), [{ transactionId: own - 1, isOwn: false }, {
          transactionId: own,
          isOwn: true
        }])
        assert.deepStrictEqual(single, told.slice(1))
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(told.length, 3)
      }),
    testLimit
  )
})

const numbersIn = (store: StoreService) =>
  Effect.map(Stream.runCollect(store.entries()), (entries) => Object.fromEntries<unknown>(entries))

describe("commits of other processes", () => {
  for (const changeLog of [undefined, { retention: "1 hour" }] as const) {
    it.effect(
      `are reported by watch and watchRange, ${changeLog === undefined ? "without" : "with"} a change log`,
      () =>
        Effect.gen(function*() {
          const path = yield* temporaryFolder
          const store = yield* Store.make({ path, shared: true, changeLog })
          const other = yield* writer({ path, shared: true, changeLog })
          const values = yield* collect(store.watch("a"))
          const events = yield* collect(store.watchRange({ pollInterval: "10 millis" }))
          yield* until(() => values.length === 1 && events.length === 1)
          for (const n of below(3)) {
            yield* other.put("a", n)
            yield* untilPolled(() => values.length === n + 2 && events.length >= n + 2)
          }
          yield* store.putMany({ own: 1 })
          yield* until(() => events.length >= 5)
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(values.map(Option.getOrUndefined), [undefined, 0, 1, 2])
          const state: Record<string, unknown> = {}
          for (const event of events) {
            const entries = event._tag === "Snapshot"
              ? event.entries
              : event.changes.map(([key, value]) => [key, Option.getOrUndefined(value)] as const)
            for (const [key, value] of entries) state[key] = value
          }
          assert.deepStrictEqual(state, yield* numbersIn(store))
          const tags = new Set(events.slice(1).map(({ _tag }) => _tag))
          if (changeLog !== undefined) assert.deepStrictEqual([...tags], ["Changes"])
        }),
      testLimit
    )
  }

  it.effect(
    "are reported to a process that only reads",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const changeLog = { retention: "1 hour" } as const
        const other = yield* writer({ path, changeLog })
        const reader = yield* Store.make({ path, readOnly: true })
        const values = yield* collect(reader.watch("a"))
        const told = yield* collect(Stream.filterMap(reader.changes({ since: 0 }), (change) =>
          change._tag === "Put" ? Result.succeed(change.key) : Result.failVoid))
        yield* until(() =>
          values.length === 1
        )
        for (const n of below(3)) {
          yield* other.put("a", n)
          yield* untilPolled(() => values.length === n + 2 && told.length === n + 1)
        }
        assert.deepStrictEqual(values.map(Option.getOrUndefined), [undefined, 0, 1, 2])
      }),
    testLimit
  )

  it.effect(
    "are reported by changes since a transaction, in the order of the commits, for two writers and this process",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const changeLog = { retention: "1 hour" } as const
        const store = yield* Store.make({ path, shared: true, changeLog })
        const writers = [
          yield* writer({ path, shared: true, changeLog }),
          yield* writer({ path, shared: true, changeLog })
        ]
        const told = yield* collect(Stream.mapEffect(store.changes({ since: 0 }), (change) =>
          change._tag === "Put"
            ? Effect.map(change.value, (value) => [change.transactionId, change.key, value] as const)
            : Effect.succeed([change.transactionId, change._tag, 0] as const)))
        yield* Effect.forEach(writers.entries(), ([at, { put }]) =>
          Effect.forEach(below(20), (n) => put(`writer ${at}`, n)), { concurrency: "unbounded" }).pipe(
            Effect.zip(
              Effect.forEach(below(20), (n) =>
                store.putMany({ own: n })),
              { concurrent: true }
            )
          )
        yield* untilPolled(() =>
          told.length === 60
        )
        const ids = told.map(([id]) => id)
        assert.deepStrictEqual(ids, [...new Set(ids)].toSorted((a, b) => a - b))
        for (const key of ["writer 0", "writer 1", "own"]) {
          assert.deepStrictEqual(told.filter(([, name]) => name === key).map(([, , n]) => n), [...below(20)])
        }
      }),
    testLimit
  )

  it.effect(
    "are not missed by a projection whose process is killed repeatedly",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const changeLog = { retention: "1 hour" } as const
        const options = { path, changeLog, runs: true }
        const acknowledged: Array<number> = []
        for (const kills of below(4)) {
          const before = acknowledged.length
          yield* Effect.scoped(Effect.gen(function*() {
            const { child, lines } = yield* writer({ ...options, from: before })
            yield* until(() => lines.length > 5 + 3 * kills)
            child.kill("SIGKILL")
            yield* until(() => child.exitCode !== null || child.signalCode !== null)
            for (const line of lines) if (line !== "ready") acknowledged.push(Number(line))
          }))
        }
        const store = yield* Store.make({ path, changeLog })
        const stored = yield* store.getOrFail("count")
        const counts = yield* Stream.runCollect(Stream.takeUntil(
          Stream.mapEffect(store.changes({ since: 0 }), (change) =>
            change._tag === "Put" ? Effect.map(change.value, Number) : Effect.succeed(0)),
          (count) =>
            count === stored
        ))
        // Each commit that is on disk is in the log, and each of the log is on disk.
        for (const [at, count] of counts.entries()) {
          if (at > 0) assert.strictEqual(count, (counts[at - 1] ?? 0) + 1)
        }
        assert.includeMembers([...counts], acknowledged)
        assert.isAbove(acknowledged.length, 20)
      }),
    testLimit
  )
})
