/**
 * What Effect's `CircuitBreaker` promises, on the circuits of a store, and what they do beyond it. Cases that differ only in
 * their numbers are left to circuitBreakerModel.test.ts, which compares all calls with Effect's memory layer.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Buffer } from "node:buffer"
import { spawn } from "node:child_process"
import { createServer, type RequestListener } from "node:http"
import * as process from "node:process"
import * as LmdbCircuitBreaker from "../../src/CircuitBreaker.ts"
import { Store, type StoreOptions, type StoreService } from "../../src/index.ts"
import { storedIn, swept } from "../support/expiring.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { start, temporaryFolder, turns, until, withLog } from "../support/harness.ts"
import { withSpans } from "../support/spans.ts"
import { testLimit } from "../support/timeLimits.ts"

type Circuits = CircuitBreaker.CircuitBreakerStore["Service"]

const database = "collection/effect.CircuitBreaker"

/** Two failures open a circuit for a minute. */
const policy = { tripPolicy: CircuitBreaker.consecutive(2), openDuration: "1 minute" } as const

const live = (
  options: Partial<StoreOptions> = {},
  breaker: Partial<LmdbCircuitBreaker.CircuitBreakerLayerOptions> = {}
) => LmdbCircuitBreaker.layer({ ...policy, ...breaker }).pipe(Layer.provideMerge(Store.layerTemp(options)))

const openOn = (store: StoreService, options?: LmdbCircuitBreaker.CircuitBreakerOptions) =>
  Effect.provideService(LmdbCircuitBreaker.makeStore(options), Store, store)

/** Opens the store in a folder for an effect on its circuits, and closes it again. */
const inFolder = <A, E, R>(options: StoreOptions, use: (circuits: Circuits) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(Effect.flatMap(Store.make(options), (store) => openOn(store)), use))

/** A call that fails or succeeds through the breaker of the context. */
const call = <A, E>(effect: Effect.Effect<A, E>, key = "a") =>
  Effect.flatMap(CircuitBreaker.CircuitBreaker, ({ execute }) => execute(effect, { key }))

const failing = Effect.ignore(call(Effect.fail("boom")))

const reasonOf = <A>(effect: Effect.Effect<A, CircuitBreaker.CircuitBreakerError, CircuitBreaker.CircuitBreaker>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason._tag)

const stateOf = (key = "a") => Effect.flatMap(CircuitBreaker.CircuitBreaker, ({ state }) => state(key))

const tagOf = Effect.map(stateOf(), ({ _tag }) => _tag)

/** Records an outcome of a circuit that two failures open for a minute. */
const record = (circuits: Circuits, generation: number, outcome: "Success" | "Failure" | "Ignored", key = "a") =>
  circuits.record({ ...policy, key, generation, outcome, openFor: Duration.minutes(1) })

/** Opens a circuit. */
const openCircuit = Effect.fnUntraced(function*(circuits: Circuits, key: string = "a") {
  const { generation } = yield* Effect.scoped(circuits.admit(key))
  yield* record(circuits, generation, "Failure", key)
  yield* record(circuits, generation, "Failure", key)
})

const stores = [{ name: "a store of one process", shared: false }, { name: "a shared store", shared: true }]

describe.each(stores)("on $name", ({ shared }) => {
  it.effect("failures open the circuit, and a probe that succeeds closes it", () =>
    Effect.gen(function*() {
      yield* failing
      yield* call(Effect.succeed("a success resets the count"))
      yield* failing
      assert.strictEqual(yield* tagOf, "Closed")
      yield* failing
      assert.deepStrictEqual(yield* stateOf(), {
        _tag: "Open",
        key: "a",
        retryAfter: Duration.minutes(1),
        consecutiveOpenings: 1
      })
      assert.strictEqual(yield* reasonOf(call(Effect.void)), "CircuitOpen")
      assert.strictEqual(yield* call(Effect.succeed("another circuit"), "b"), "another circuit")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* call(Effect.succeed("probe")), "probe")
      assert.strictEqual(yield* tagOf, "Closed")
    }).pipe(Effect.provide(live({ shared }))))

  it.effect("of the fibers that find it half-open, one is the probe", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(failing, 2)
      yield* TestClock.adjust("1 minute")
      const answer = yield* Deferred.make<void>()
      let running = 0
      const probe = call(Effect.suspend(() => {
        running++
        return Deferred.await(answer)
      }))
      const fibers = yield* Effect.replicateEffect(start(Effect.result(probe)), 20)
      const isDone = (fiber: (typeof fibers)[number]) => fiber.pollUnsafe() !== undefined
      yield* until(() => running > 0 && fibers.filter(isDone).length === 19)
      assert.strictEqual(running, 1)
      assert.deepInclude(yield* stateOf(), { _tag: "HalfOpen", probing: true })
      yield* Deferred.succeed(answer, undefined)
      const results = yield* Effect.forEach(fibers, Fiber.join)
      const rejections = results.flatMap((result) => result._tag === "Failure" ? [result.failure.reason._tag] : [])
      assert.deepStrictEqual(rejections, Array.from({ length: 19 }, () => "CircuitHalfOpen"))
      assert.strictEqual(yield* tagOf, "Closed")
    }).pipe(Effect.provide(live({ shared }))))

  it.effect("an interrupted probe frees its slot, and its outcome changes nothing any more", () =>
    Effect.gen(function*() {
      const circuits = yield* CircuitBreaker.CircuitBreakerStore
      yield* openCircuit(circuits)
      yield* TestClock.adjust("1 minute")
      const interrupted = yield* start(call(Effect.never))
      yield* Effect.repeat(stateOf(), { until: ({ _tag }) => _tag === "HalfOpen" })
      yield* Fiber.interrupt(interrupted)
      assert.deepInclude(yield* stateOf(), { _tag: "HalfOpen", probing: false })
      const ignored = yield* Effect.scoped(circuits.admit("a"))
      yield* record(circuits, ignored.generation, "Ignored")
      const probe = yield* Effect.scoped(circuits.admit("a"))
      assert.isAbove(probe.generation, ignored.generation)
      assert.isUndefined(yield* record(circuits, ignored.generation, "Success"))
      assert.deepInclude(yield* stateOf(), { _tag: "HalfOpen", probing: true })
      assert.deepStrictEqual(yield* record(circuits, probe.generation, "Failure"), {
        key: "a",
        from: "HalfOpen",
        to: "Open",
        retryAfter: Duration.minutes(1),
        consecutiveOpenings: 2
      })
    }).pipe(Effect.provide(live({ shared }))))
})

describe("the open time", () => {
  it.effect("grows with each opening, until the circuit has been closed as long as it was open", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(failing, 2)
      yield* TestClock.adjust("1 second")
      yield* failing
      assert.deepInclude(yield* stateOf(), { retryAfter: Duration.seconds(2), consecutiveOpenings: 2 })
      yield* TestClock.adjust("2 seconds")
      yield* call(Effect.void)
      yield* TestClock.adjust("1999 millis")
      yield* Effect.replicateEffect(failing, 2)
      assert.deepInclude(yield* stateOf(), { retryAfter: Duration.seconds(4), consecutiveOpenings: 3 })
      yield* TestClock.adjust("4 seconds")
      yield* call(Effect.void)
      yield* TestClock.adjust("4 seconds")
      yield* Effect.replicateEffect(failing, 2)
      assert.deepInclude(yield* stateOf(), { retryAfter: Duration.seconds(1), consecutiveOpenings: 1 })
    }).pipe(Effect.provide(live({}, { openDuration: Schedule.exponential("1 second") }))))

  it.effect("can be infinite", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(failing, 2)
      yield* TestClock.adjust("1000 days")
      assert.deepInclude(yield* stateOf(), { _tag: "Open", retryAfter: Duration.infinity })
      assert.strictEqual(yield* reasonOf(call(Effect.void)), "CircuitOpen")
    }).pipe(Effect.provide(live({}, { openDuration: "Infinity" }))))
})

/** Moves the clock in steps between which renewals run. */
const pass = (seconds: number) =>
  Effect.repeat(Effect.andThen(TestClock.adjust("1 second"), turns(20)), { times: seconds - 1 })

describe("the lease of a probe", () => {
  it.effect("is renewed while the call runs", () =>
    Effect.gen(function*() {
      const circuits = yield* CircuitBreaker.CircuitBreakerStore
      yield* openCircuit(circuits)
      yield* TestClock.adjust("1 minute")
      const answer = yield* Deferred.make<string>()
      const probe = yield* start(call(Deferred.await(answer)))
      yield* pass(120)
      assert.deepInclude(yield* stateOf(), { _tag: "HalfOpen", probing: true })
      assert.strictEqual(yield* reasonOf(call(Effect.void)), "CircuitHalfOpen")
      yield* Deferred.succeed(answer, "well")
      assert.strictEqual(yield* Fiber.join(probe), "well")
      assert.strictEqual(yield* tagOf, "Closed")
    }).pipe(Effect.provide(live())))

  it.effect("ends after the process of the call has, and the outcome of that call changes nothing then", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const lost = yield* inFolder({ path }, (circuits) =>
        Effect.gen(function*() {
          yield* openCircuit(circuits)
          yield* TestClock.adjust("1 minute")
          return yield* Effect.scoped(circuits.admit("a"))
        }))
      yield* inFolder({ path }, (circuits) =>
        Effect.gen(function*() {
          yield* TestClock.adjust("9999 millis")
          assert.strictEqual((yield* Effect.flip(Effect.scoped(circuits.admit("a")))).reason._tag, "CircuitHalfOpen")
          yield* TestClock.adjust("1 millis")
          const { generation, probe } = yield* Effect.scoped(circuits.admit("a"))
          assert.isTrue(probe)
          assert.isAbove(generation, lost.generation)
          assert.isUndefined(yield* record(circuits, lost.generation, "Success"))
          assert.deepInclude(yield* circuits.state("a"), { _tag: "HalfOpen", probing: true })
        }))
    }))

  it.effect("is at least 1 second, and a failed renewal is logged and made again", () =>
    withLog((entries) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const store = yield* Scope.provide(Store.make({ path: yield* temporaryFolder }), scope)
        const circuits = yield* openOn(store, { probeLease: 0 })
        yield* openCircuit(circuits)
        yield* TestClock.adjust("1 minute")
        yield* circuits.admit("a")
        yield* TestClock.adjust("999 millis")
        assert.deepInclude(yield* circuits.state("a"), { probing: true })
        yield* Scope.close(scope, Exit.void)
        yield* pass(1)
        const warnings = entries.filter(({ text }) => text.includes(`renew the lease of the probe of the circuit "a"`))
        assert.isAtLeast(warnings.length, 2)
      }).pipe(Effect.scoped, Effect.provideService(References.UnhandledLogLevel, "Warn"))
    ))
})

describe("keys", () => {
  it.effect("circuits of different names have nothing in common", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const circuits = yield* CircuitBreaker.CircuitBreakerStore
      const others = yield* openOn(store, { name: "others" })
      const same = yield* openOn(store)
      yield* openCircuit(circuits)
      assert.strictEqual((yield* circuits.state("a"))._tag, "Open")
      assert.strictEqual((yield* same.state("a"))._tag, "Open")
      assert.strictEqual((yield* others.state("a"))._tag, "Closed")
    }).pipe(Effect.provide(live())))

  it.effect("may be empty, very long, or no well-formed text", () =>
    Effect.gen(function*() {
      const circuits = yield* CircuitBreaker.CircuitBreakerStore
      const long = "k".repeat(5000)
      for (const key of ["", long, `${long}!`, "\uD800", "\uD801"]) {
        assert.deepStrictEqual(yield* circuits.state(key), { _tag: "Closed", key })
        yield* openCircuit(circuits, key)
        assert.strictEqual((yield* circuits.state(key))._tag, "Open")
      }
    }).pipe(Effect.provide(live())))
})

describe("the records", () => {
  it.effect("are there after the store was opened again", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* inFolder({ path }, (circuits) => openCircuit(circuits))
      const state = yield* inFolder({ path, readOnly: true }, (circuits) => circuits.state("a"))
      assert.deepInclude(state, { _tag: "Open", consecutiveOpenings: 1 })
    }))

  it.effect("are deleted in the background when they are idle", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const circuits = yield* openOn(store, { idleTimeToLive: "1 minute" })
      yield* Effect.scoped(circuits.admit("closed"))
      yield* openCircuit(circuits, "open")
      yield* store.flush
      assert.strictEqual(yield* storedIn(store, database), 2)
      yield* TestClock.adjust("1 minute")
      yield* swept(store, 1)
      // The open circuit is kept for a minute after its open time.
      yield* TestClock.adjust("59999 millis")
      assert.deepInclude(yield* circuits.state("open"), { _tag: "Open", retryAfter: Duration.zero })
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* circuits.state("open"))._tag, "Closed")
      yield* swept(store, 2)
      yield* store.flush
      assert.strictEqual(yield* storedIn(store, database), 0)
    }).pipe(Effect.provide(live())))

  it.effect("begin again with a new generation after they were deleted, so an outcome from before changes nothing", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const circuits = yield* openOn(store, { idleTimeToLive: 0 })
      const old = yield* Effect.scoped(circuits.admit("a"))
      yield* TestClock.adjust("1 millis")
      const { generation } = yield* Effect.scoped(circuits.admit("a"))
      assert.isAbove(generation, old.generation)
      yield* record(circuits, old.generation, "Failure")
      yield* record(circuits, old.generation, "Failure")
      assert.strictEqual((yield* circuits.state("a"))._tag, "Closed")
    }).pipe(Effect.provide(live())))

  it.effect("do not belong to the transaction of the caller: a failure counts although the transaction fails", () =>
    Effect.gen(function*() {
      const store = yield* Store
      const transaction = store.withTransaction(
        Effect.andThen(store.put("n", 1), call(Effect.fail("boom")))
      )
      assert.strictEqual(yield* Effect.flip(transaction), "boom")
      assert.strictEqual(yield* Effect.flip(transaction), "boom")
      assert.strictEqual(yield* tagOf, "Open")
      assert.isFalse(yield* store.has("n"))
      assert.strictEqual((yield* store.withTransaction(stateOf()))._tag, "Open")
    }).pipe(Effect.provide(live())))
})

/** Checks that a call fails because of the store, and returns the reason. */
const storeErrorOf = Effect.fnUntraced(function*<A>(
  failed: Effect.Effect<A, CircuitBreaker.CircuitBreakerError, Scope.Scope>
) {
  const { reason } = yield* Effect.flip(Effect.scoped(failed))
  return reason._tag === "CircuitBreakerStoreError" ? reason : assert.fail(reason._tag)
})

describe("failures", () => {
  it.effect("a closed store and a read-only store are errors of the breaker", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const scope = yield* Scope.make()
      const circuits = yield* openOn(yield* Scope.provide(Store.make({ path }), scope))
      yield* openCircuit(circuits)
      yield* Scope.close(scope, Exit.void)
      assert.include((yield* storeErrorOf(circuits.admit("a"))).message, `circuit "a"`)
      assert.deepInclude((yield* storeErrorOf(circuits.state("a"))).cause, { _tag: "Closed" })
      assert.deepInclude((yield* storeErrorOf(record(circuits, 1, "Failure"))).cause, { _tag: "Closed" })
      const readOnly = inFolder({ path, readOnly: true }, (unwritable) => storeErrorOf(unwritable.admit("a")))
      assert.deepInclude((yield* readOnly).cause, { _tag: "ReadOnly" })
    }))

  it.effect("a damaged circuit begins again as closed, and the log tells of it once", () =>
    withLog((log) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const admission = yield* inFolder({ path }, (circuits) =>
          Effect.tap(Effect.scoped(circuits.admit("a")), openCircuit(circuits)))
        for (const [key] of yield* recordsOf(path, database)) {
          yield* tamper(path, [[database, key, Buffer.of(0xc1)]])
        }
        yield* Effect.gen(function*() {
          const circuits = yield* CircuitBreaker.CircuitBreakerStore
          assert.strictEqual((yield* circuits.state("a"))._tag, "Closed")
          // An outcome of a call from before the damage changes nothing.
          yield* record(circuits, admission.generation, "Failure")
          yield* TestClock.adjust(1)
          const later = yield* Effect.scoped(circuits.admit("a"))
          assert.isFalse(later.probe)
          assert.isAbove(later.generation, admission.generation)
          yield* record(circuits, admission.generation, "Failure")
          assert.isFalse((yield* Effect.scoped(circuits.admit("b"))).probe)
          assert.strictEqual(yield* call(Effect.succeed("it ran")), "it ran")
          yield* openCircuit(circuits)
          assert.strictEqual((yield* circuits.state("a"))._tag, "Open")
        }).pipe(Effect.provide(Layer.provide(LmdbCircuitBreaker.layer(policy), Store.layer({ path }))))
        const told = log.filter(({ text }) =>
          text.includes("A circuit is damaged and begins again as closed")
        )
        assert.strictEqual(told.length, 1)
      })
    ))
})

describe("traces", () => {
  it.effect("have no spans of the breaker", () =>
    withSpans((spans) =>
      Effect.gen(function*() {
        const circuits = yield* CircuitBreaker.CircuitBreakerStore
        const opening = spans.length
        yield* openCircuit(circuits)
        yield* circuits.state("a")
        // The commits are those of the store.
        const names = spans.slice(opening).map(({ name }) => name).filter((name) => name !== "Store.commit")
        assert.deepStrictEqual(names, [])
      }).pipe(Effect.provide(live({ shared: true })))
    ))
})

/** Starts a server on a free port, and gives its address. */
const serve = (listener: RequestListener) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly close: () => void }>((resume) => {
      const server = createServer(listener)
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = address !== null && typeof address === "object" ? address.port : 0
        const close = () => {
          server.closeAllConnections()
          server.close()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** A client that asks the breaker of the context before it sends a request. */
const guarded = Effect.map(
  Effect.all([HttpClient.HttpClient, CircuitBreaker.CircuitBreaker]),
  ([client, breaker]) => HttpClient.withCircuitBreaker(client, { breaker })
)

describe("HttpClient.withCircuitBreaker", () => {
  it.effect("sends nothing to a server that has failed, also after a restart, until its time is over", () =>
    Effect.gen(function*() {
      let requests = 0
      let isHealthy = false
      const { url } = yield* serve((_request, response) => {
        requests++
        if (isHealthy) response.end("well")
        else response.writeHead(503, { "retry-after": "120" }).end()
      })
      const path = yield* temporaryFolder
      const restarted = <A, E, R>(use: (client: Effect.Success<typeof guarded>) => Effect.Effect<A, E, R>) =>
        Effect.flatMap(guarded, use).pipe(
          Effect.provide(Layer.provide(LmdbCircuitBreaker.layer(policy), Store.layer({ path }))),
          Effect.provide(FetchHttpClient.layer)
        )
      yield* restarted((client) => Effect.replicateEffect(client.get(url), 2))
      yield* TestClock.adjust("119 seconds")
      const error = yield* restarted((client) => Effect.flip(client.get(url)))
      assert.strictEqual(error._tag === "CircuitBreakerError" ? error.reason._tag : error._tag, "CircuitOpen")
      assert.strictEqual(requests, 2)
      isHealthy = true
      yield* TestClock.adjust("1 second")
      const texts = yield* restarted((client) =>
        Effect.replicateEffect(Effect.flatMap(client.get(url), ({ text }) => text), 2)
      )
      assert.deepStrictEqual(texts, ["well", "well"])
      assert.strictEqual(requests, 4)
    }).pipe(Effect.scoped))
})

const program = new URL("../programs/circuitCaller.ts", import.meta.url).pathname

/** Runs a process that records failures. Returns how many of them opened the circuit, and how many calls were probes. */
const callInProcess = (path: string, calls: number, failures: number) =>
  Effect.callback<ReadonlyArray<number>>((resume) => {
    const args = [program, path, String(calls), String(failures)]
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.on("close", () => resume(Effect.succeed(output.trim().split(" ").map(Number))))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("processes on one store", () => {
  it.live(
    "share a circuit exactly: no failure is lost, and one call of them is the probe",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* inFolder({ path }, (circuits) =>
          Effect.gen(function*() {
            const { generation } = yield* Effect.scoped(circuits.admit("opened"))
            const recorded = {
              ...policy,
              key: "opened",
              generation,
              outcome: "Failure",
              openFor: Duration.zero
            } as const
            yield* circuits.record(recorded)
            yield* circuits.record(recorded)
          }))
        // The last failure of both opens the circuit.
        const processes = yield* Effect.all([callInProcess(path, 100, 200), callInProcess(path, 100, 200)], {
          concurrency: 2
        })
        assert.sameMembers(processes.map(([openings = NaN]) => openings), [0, 1])
        assert.sameMembers(processes.map(([, probes = NaN]) => probes), [0, 1])
        const state = yield* inFolder({ path }, (circuits) => circuits.state("counted"))
        assert.deepInclude(state, { _tag: "Open", consecutiveOpenings: 1 })
      }),
    testLimit
  )
})
