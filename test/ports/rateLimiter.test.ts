/**
 * What Effect's `RateLimiter` promises, on the limits of a store, and what they do beyond it.
 *
 * The cases of Effect's suite are here in other words. Cases of the adaptive limit that differ only in their numbers are
 * left to rateLimiterModel.test.ts, which compares all calls with Effect's memory layer.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Buffer } from "node:buffer"
import { spawn } from "node:child_process"
import * as process from "node:process"
import { Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import * as LmdbRateLimiter from "../../src/RateLimiter.ts"
import { storedIn, swept } from "../support/expiring.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { type LogEntry, start, temporaryFolder, withLog } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"
import { hangLimit } from "../support/timeLimits.ts"

type Limits = RateLimiter.RateLimiterStore["Service"]

const database = "collection/effect.RateLimiter"

const live = (options: Partial<StoreOptions> = {}) =>
  LmdbRateLimiter.layer().pipe(Layer.provideMerge(Store.layerTemp(options)))

const openOn = (store: StoreService, options?: LmdbRateLimiter.RateLimiterOptions) =>
  Effect.provideService(LmdbRateLimiter.makeStore(options), Store, store)

/** Opens the store in a folder for an effect on its limits, and closes it again. */
const inFolder = <A, E, R>(options: StoreOptions, use: (limits: Limits) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(Effect.flatMap(Store.make(options), (store) => openOn(store)), use))

/** The number of damaged limits that the log tells of. */
const toldOf = (log: ReadonlyArray<LogEntry>) =>
  log.filter(({ text }) => text.includes("A rate limit is damaged and begins again")).length

const perMinute = { key: "a", limit: 5, window: "1 minute" } as const

/** Takes a token of a window of 5 seconds for 5 tokens. */
const take = (limits: Limits, key = "a", tokens = 1) =>
  limits.fixedWindow({ key, tokens, limit: 5, refillRate: Duration.seconds(1) })

const consume = (limits: Limits, tokens = 1) =>
  limits.adaptiveConsume({ key: "a", tokens, fallbackLimit: 5, fallbackWindow: Duration.minutes(1) })

const refuse = (limits: Limits, epoch: number, tokens: number, seconds: number) =>
  limits.adaptiveFeedback({ key: "a", epoch, tokens, status: 429, retryAfter: Duration.seconds(seconds) })

const retryAfterOf = ({ reason }: RateLimiter.RateLimiterError) =>
  reason._tag === "RateLimitExceeded" ? Duration.toMillis(reason.retryAfter) : reason.message

const stores = [{ name: "a store of one process", shared: false }, { name: "a shared store", shared: true }]

describe.each(stores)("on $name", ({ shared }) => {
  it.effect("a full window delays what exceeds it into the next windows", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const seconds = Effect.map(
        limiter.consume({ ...perMinute, onExceeded: "delay" }),
        ({ delay }) => Duration.toSeconds(delay)
      )
      const first = yield* Effect.replicateEffect(seconds, 11)
      assert.deepStrictEqual(first, [0, 0, 0, 0, 0, 60, 60, 60, 60, 60, 120])
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* seconds, 90)
      yield* TestClock.adjust("45 seconds")
      assert.strictEqual(yield* seconds, 45)
    }).pipe(Effect.provide(live({ shared }))))

  it.effect("a full window refuses until it has ended, and a refusal takes nothing", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const call = limiter.consume(perMinute)
      yield* Effect.replicateEffect(call, 5)
      assert.strictEqual(retryAfterOf(yield* Effect.flip(call)), 60_000)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(retryAfterOf(yield* Effect.flip(call)), 30_000)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* call).remaining, 4)
    }).pipe(Effect.provide(live({ shared }))))

  it.effect("a bucket gives its tokens back one by one", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const call = limiter.consume({ ...perMinute, algorithm: "token-bucket" })
      yield* Effect.replicateEffect(call, 5)
      assert.strictEqual(retryAfterOf(yield* Effect.flip(call)), 12_000)
      yield* TestClock.adjust("36 seconds")
      assert.strictEqual((yield* call).remaining, 2)
    }).pipe(Effect.provide(live({ shared }))))

  it.effect("a bucket gives tokens in advance if calls may be delayed", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const seconds = Effect.map(
        limiter.consume({ ...perMinute, algorithm: "token-bucket", onExceeded: "delay" }),
        ({ delay }) => Duration.toSeconds(delay)
      )
      assert.deepStrictEqual(yield* Effect.replicateEffect(seconds, 7), [0, 0, 0, 0, 0, 12, 24])
      yield* TestClock.adjust("18 seconds")
      assert.strictEqual(yield* seconds, 18)
    }).pipe(Effect.provide(live({ shared }))))

  it.effect("an adaptive limit cools down, learns what the server accepts, and keeps to it", () =>
    Effect.gen(function*() {
      const limits = yield* RateLimiter.RateLimiterStore
      assert.strictEqual((yield* consume(limits)).phase, "inactive")
      yield* refuse(limits, 0, 1, 1)
      assert.deepStrictEqual(yield* consume(limits), { delay: Duration.seconds(1), epoch: 0, phase: "cooldown" })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* consume(limits, 2), { delay: Duration.zero, epoch: 1, phase: "learning" })
      yield* TestClock.adjust("4 seconds")
      yield* consume(limits, 3)
      yield* refuse(limits, 1, 3, 6)
      // A second refusal of the same epoch is late.
      yield* refuse(limits, 1, 3, 600)
      yield* TestClock.adjust("6 seconds")
      const learned = { delay: Duration.zero, epoch: 2, phase: "learned" }
      assert.deepStrictEqual(yield* Effect.replicateEffect(consume(limits), 2), [learned, learned])
      assert.deepStrictEqual(yield* consume(limits), { ...learned, delay: Duration.seconds(10) })
      yield* refuse(limits, 2, 1, 30)
      assert.deepStrictEqual(yield* consume(limits), { delay: Duration.seconds(30), epoch: 2, phase: "cooldown" })
      yield* TestClock.adjust("90 seconds")
      assert.strictEqual((yield* consume(limits)).phase, "inactive")
    }).pipe(Effect.provide(live({ shared }))))

  it.effect("fibers that call at the same time share no token", () =>
    Effect.gen(function*() {
      const limits = yield* RateLimiter.RateLimiterStore
      const taken = yield* Effect.all(Array.from({ length: 20 }, () => take(limits)), { concurrency: "unbounded" })
      assert.strictEqual(taken.filter(([count]) => count <= 5).length, 5)
    }).pipe(Effect.provide(live({ shared }))))
})

describe("`sleep`", () => {
  it.effect("waits until the limit permits the call", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const sleep = RateLimiter.sleep(limiter, { key: "a", limit: 1, window: "1 second" })
      yield* sleep
      const second = yield* start(sleep)
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(second)).remaining, -1)
    }).pipe(Effect.provide(live())))
})

describe("keys", () => {
  it.effect("the algorithms, and limiters of different names, have nothing in common", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const limits = yield* RateLimiter.RateLimiterStore
      const others = yield* openOn(store, { name: "others" })
      const same = yield* openOn(store)
      yield* take(limits)
      assert.deepStrictEqual(yield* take(others), [1, 1000])
      assert.deepStrictEqual(yield* take(same), [2, 2000])
      const bucket = { key: "a", tokens: 1, limit: 5, refillRate: Duration.seconds(1), allowOverflow: false }
      assert.deepStrictEqual(yield* limits.tokenBucket(bucket), [4, 0])
      assert.strictEqual((yield* consume(limits)).phase, "inactive")
    }).pipe(Effect.provide(live())))

  it.effect("may be empty, very long, or no well-formed text", () =>
    Effect.gen(function*() {
      const limits = yield* RateLimiter.RateLimiterStore
      const long = "k".repeat(5000)
      for (const key of ["", long, `${long}!`, "\uD800", "\uD801"]) {
        assert.deepStrictEqual(yield* take(limits, key), [1, 1000], key)
        assert.deepStrictEqual(yield* take(limits, key), [2, 2000], key)
      }
    }).pipe(Effect.provide(live())))
})

describe("the records", () => {
  it.effect("are there after the store was opened again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* inFolder({ path }, (limits) => take(limits, "a", 3))
      assert.deepStrictEqual(yield* inFolder({ path }, (limits) => take(limits)), [4, 4000])
    }))

  it.effect("are deleted in the background when their time has passed", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const limits = yield* RateLimiter.RateLimiterStore
      yield* take(limits)
      yield* limits.tokenBucket({
        key: "a",
        tokens: 1,
        limit: 5,
        refillRate: Duration.seconds(2),
        allowOverflow: false
      })
      yield* refuse(limits, 0, 1, 1)
      yield* store.flush
      assert.strictEqual(yield* storedIn(store, database), 3)
      yield* TestClock.adjust("61 seconds")
      yield* swept(store, 3)
      yield* store.flush
      assert.strictEqual(yield* storedIn(store, database), 0)
    }).pipe(Effect.provide(live())))

  it.effect("of a refused call and of a full bucket are not written", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const limits = yield* RateLimiter.RateLimiterStore
      const bucket = { key: "a", limit: 5, refillRate: Duration.seconds(1), allowOverflow: false }
      assert.deepStrictEqual(yield* take(limits, "a", 6), [6, 0])
      assert.deepStrictEqual(yield* limits.tokenBucket({ ...bucket, tokens: 6 }), [-1, 0])
      assert.deepStrictEqual(yield* limits.tokenBucket({ ...bucket, tokens: 0 }), [5, 0])
      yield* store.flush
      assert.strictEqual(yield* storedIn(store, database), 0)
    }).pipe(Effect.provide(live())))

  it.effect("belong to the transaction of the caller", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const limits = yield* RateLimiter.RateLimiterStore
      const failing = Effect.andThen(take(limits, "a", 2), Effect.fail("boom"))
      assert.strictEqual(yield* Effect.flip(store.withTransaction(failing)), "boom")
      assert.deepStrictEqual(yield* take(limits), [1, 1000])
      yield* store.withTransaction(take(limits))
      assert.deepStrictEqual(yield* take(limits), [3, 3000])
    }).pipe(Effect.provide(live())))
})

/** Checks that a call fails because of the store, and returns the reason. */
const storeErrorOf = Effect.fnUntraced(function*<A>(call: Effect.Effect<A, RateLimiter.RateLimiterError>) {
  const { reason } = yield* Effect.flip(call)
  return reason._tag === "RateLimitStoreError" ? reason : assert.fail(reason._tag)
})

describe("failures", () => {
  it.effect("a closed store and a read-only store are errors of the limiter", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const scope = yield* Scope.make()
      const limits = yield* openOn(yield* Scope.provide(Store.make({ path }), scope))
      yield* take(limits)
      yield* Scope.close(scope, Exit.void)
      assert.include((yield* storeErrorOf(take(limits))).message, `rate limit "a"`)
      assert.deepInclude((yield* storeErrorOf(consume(limits))).cause, { _tag: "Closed" })
      const readOnly = inFolder({ path, readOnly: true }, (unwritable) => storeErrorOf(take(unwritable)))
      assert.deepInclude((yield* readOnly).cause, { _tag: "ReadOnly" })
    }))

  it.effect.each([false, true])(
    "a damaged limit begins again, and the log tells of it once; shared: %s",
    (shared) =>
      withLog((log) =>
        Effect.gen(function*() {
          const path = yield* temporaryFolder
          yield* inFolder({ path, shared }, (limits) => Effect.all([take(limits), take(limits)]))
          const records = yield* recordsOf(path, database)
          assert.strictEqual(records.length, 1)
          for (const [key] of records) yield* tamper(path, [[database, key, Buffer.of(0xc1)]])
          yield* inFolder({ path, shared }, (limits) =>
            Effect.gen(function*() {
              // Calls at the same time replace it once.
              const taken = yield* Effect.replicateEffect(take(limits), 2, { concurrency: "unbounded" })
              assert.deepStrictEqual(taken.map(([count]) => count).toSorted((a, b) => a - b), [1, 2])
              assert.strictEqual(toldOf(log), 1)
              assert.deepStrictEqual(yield* take(limits, "b"), [1, 1000])
            }))
          yield* inFolder(
            { path, shared },
            (limits) => Effect.map(take(limits), ([count]) => assert.strictEqual(count, 3))
          )
          assert.strictEqual(toldOf(log), 1)
        })
      )
  )

  it.effect("numbers that would make a limit last for ever are refused", () =>
    Effect.gen(function*() {
      const limiter = yield* RateLimiter.RateLimiter
      const limits = yield* RateLimiter.RateLimiterStore
      const endless = limiter.consume({ key: "a", limit: 0, window: "1 minute", onExceeded: "delay" })
      assert.include((yield* storeErrorOf(endless)).message, "`refillRate`")
      assert.include((yield* storeErrorOf(take(limits, "a", NaN))).message, "`tokens`")
      assert.include((yield* storeErrorOf(consume(limits, Infinity))).message, "`tokens`")
      assert.deepStrictEqual(yield* take(limits), [1, 1000])
    }).pipe(Effect.provide(live())))
})

describe("a limit that is not a number", () => {
  it.effect.each(["fixed-window", "token-bucket"] as const)(
    "is refused, and does not admit everything: %s",
    (algorithm) =>
      Effect.gen(function*() {
        const limiter = yield* RateLimiter.RateLimiter
        const limits: ReadonlyArray<unknown> = [NaN, undefined, "2"]
        for (const limit of limits) {
          for (const onExceeded of ["fail", "delay"] as const) {
            // @ts-expect-error it is no number
            const taking = limiter.consume({ key: "a", limit, window: "1 minute", algorithm, onExceeded })
            assert.include((yield* storeErrorOf(taking)).message, "`limit`")
          }
        }
        const unlimited = limiter.consume({ key: "a", limit: Infinity, window: "1 minute" })
        assert.strictEqual((yield* unlimited).remaining, Infinity)
      }).pipe(Effect.provide(live()))
  )
})

describe("traces", () => {
  it.effect("have no spans of the limiter", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const limits = yield* RateLimiter.RateLimiterStore
        const opening = spans.length
        yield* take(limits)
        yield* refuse(limits, 0, 1, 1)
        yield* consume(limits)
        // The commits are those of the store.
        const names = spans.slice(opening).map(({ name }) => name).filter((name) => name !== "Store.commit")
        assert.deepStrictEqual(names, [])
      }).pipe(Effect.provide(live({ shared: true })))
    ))
})

const program = new URL("../programs/limitTaker.ts", import.meta.url).pathname

/** Runs a process that takes from the limits of a store, and returns how many calls of each algorithm were admitted. */
const takeInProcess = (path: string, calls: number) =>
  Effect.callback<ReadonlyArray<number>>((resume) => {
    const child = spawn(process.execPath, [program, path, String(calls)], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.on("close", () => resume(Effect.succeed(output.trim().split(" ").map(Number))))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("processes on one store", () => {
  it.effect("share a limit exactly", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const admitted = yield* Effect.all([takeInProcess(path, 200), takeInProcess(path, 200)], { concurrency: 2 })
      const windows = admitted.map(([count = NaN]) => count)
      const tokens = admitted.map(([, count = NaN]) => count)
      assert.strictEqual(windows.reduce((sum, count) => sum + count), 250, windows.join())
      assert.strictEqual(tokens.reduce((sum, count) => sum + count), 150, tokens.join())
    }), hangLimit)
})
