import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Engine, Store } from "effect-lmdb"
import * as LmdbCircuitBreaker from "effect-lmdb/CircuitBreaker"
import * as LmdbCluster from "effect-lmdb/Cluster"
import * as LmdbEventLog from "effect-lmdb/EventLog"
import * as LmdbKeyValueStore from "effect-lmdb/KeyValueStore"
import * as LmdbPersistedQueue from "effect-lmdb/PersistedQueue"
import * as LmdbPersistence from "effect-lmdb/Persistence"
import * as LmdbRateLimiter from "effect-lmdb/RateLimiter"
import { BackendContract, FaultyEngine } from "effect-lmdb/testing"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as Workflow from "effect/workflow/Workflow"

const program = Effect.gen(function*() {
  const store = yield* Store
  yield* store.put("answer", { value: 42n })
  yield* store.flush
  yield* Console.log("stored and read:", yield* store.getOrFail("answer"))
})

// What is for tests loads without a test runner.
const faults = Effect.gen(function*() {
  const { engine } = yield* FaultyEngine.make
  const services: Engine.Engine["Service"] = engine
  yield* Console.log("with faults on demand:", services.fileName, typeof BackendContract.define)
})

// The interfaces of Effect, each from a subpath of its own.
const ports = Effect.scoped(Effect.gen(function*() {
  const kv = yield* LmdbKeyValueStore.make()
  yield* kv.set("answer", "42")
  const cache = yield* Effect.flatMap(LmdbPersistence.makeBacking(), ({ make }) => make("answers"))
  yield* cache.set("answer", { value: 42 }, undefined)
  yield* Console.log("ports:", yield* kv.get("answer"), yield* cache.get("answer"))
}))

const queue = Effect.gen(function*() {
  const numbers = yield* PersistedQueue.make({ name: "numbers", schema: Schema.Int })
  yield* numbers.offer(42)
  yield* numbers.take((number) => Console.log("taken from a queue:", number))
}).pipe(Effect.provide(LmdbPersistedQueue.layer()))

const journal = Effect.scoped(Effect.gen(function*() {
  const { entries, write } = yield* LmdbEventLog.makeJournal()
  yield* write({ event: "Added", primaryKey: "1", payload: Uint8Array.of(42), effect: () => Effect.void })
  yield* Console.log("entries of a journal:", (yield* entries).length)
}))

const limits = Effect.gen(function*() {
  const limiter = yield* RateLimiter.RateLimiter
  const { remaining } = yield* limiter.consume({ key: "a", limit: 43, window: "1 minute" })
  yield* Console.log("left of a limit:", remaining)
}).pipe(Effect.provide(LmdbRateLimiter.layer()))

const breakers = Effect.gen(function*() {
  const breaker = yield* CircuitBreaker.CircuitBreaker
  yield* Effect.ignore(breaker.execute(Effect.fail("unavailable"), { key: "a" }))
  yield* Console.log("a circuit is", (yield* breaker.state("a"))._tag)
}).pipe(
  Effect.provide(LmdbCircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(1), openDuration: "1 minute" }))
)

const Greeting = Workflow.make("Greeting", {
  payload: { name: Schema.String },
  idempotencyKey: ({ name }) => name,
  success: Schema.String
})

const workflow = Effect.gen(function*() {
  yield* Console.log("result of a workflow:", yield* Greeting.execute({ name: "Ada" }))
}).pipe(Effect.provide(
  Greeting.toLayer(({ name }) => Effect.succeed(`Hello ${name}`)).pipe(
    Layer.provideMerge(LmdbCluster.Workflows.layer()),
    Layer.provideMerge(LmdbCluster.MessageStorage.layerCleanup())
  )
))

const runners = Effect.scoped(Effect.gen(function*() {
  const storage = yield* LmdbCluster.RunnerStorage.makeEncoded
  yield* storage.register("localhost:1", "a runner", true)
  yield* Console.log("runners:", yield* storage.getRunners, "shards:", yield* storage.acquire("localhost:1", ["a:1"]))
})).pipe(Effect.provide(ShardingConfig.layer()))

Effect.all([program, faults, ports, queue, journal, limits, breakers, workflow, runners]).pipe(
  Effect.provide(Store.layerTemp()),
  NodeRuntime.runMain
)
