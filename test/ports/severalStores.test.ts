/** Two stores in one program: each has ports of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Persistence from "effect/persistence/Persistence"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as LmdbCircuitBreaker from "../../src/CircuitBreaker.ts"
import { Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"
import * as LmdbRateLimiter from "../../src/RateLimiter.ts"

const make = Effect.gen(function*() {
  return {
    queue: yield* PersistedQueue.make({ name: "q", schema: Schema.String }),
    failed: yield* LmdbPersistedQueue.FailedElements,
    persistence: yield* Persistence.Persistence,
    limiter: yield* RateLimiter.RateLimiter,
    breaker: yield* CircuitBreaker.CircuitBreaker
  }
})

class A extends Context.Service<A, Effect.Success<typeof make>>()("test/A") {}

class B extends Context.Service<B, Effect.Success<typeof make>>()("test/B") {}

const ports = () =>
  Layer.mergeAll(
    LmdbPersistedQueue.layer(),
    LmdbPersistence.layer(),
    LmdbRateLimiter.layer(),
    LmdbCircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(1), openDuration: "1 minute" })
  ).pipe(Layer.provide(Store.layerTemp()))

const live = Layer.mergeAll(
  Layer.effect(A, make).pipe(Layer.provide(ports())),
  Layer.effect(B, make).pipe(Layer.provide(ports()))
)

describe("two stores in one program", () => {
  it.effect("have queues, failed elements, cached results, rate limits and circuits of their own", () =>
    Effect.gen(function*() {
      const [a, b] = [yield* A, yield* B]
      assert.notStrictEqual(a.persistence, b.persistence)
      assert.notStrictEqual(a.failed, b.failed)
      const limit = { key: "k", limit: 1, window: "1 minute" } as const
      assert.strictEqual((yield* a.limiter.consume(limit)).remaining, 0)
      assert.strictEqual((yield* b.limiter.consume(limit)).remaining, 0)
      assert.strictEqual(yield* Effect.flip(a.breaker.execute(Effect.fail("boom"), { key: "k" })), "boom")
      assert.strictEqual((yield* a.breaker.state("k"))._tag, "Open")
      assert.strictEqual((yield* b.breaker.state("k"))._tag, "Closed")
      yield* b.queue.offer("of b", { id: "1" })
      yield* a.queue.offer("of a", { id: "1" })
      assert.strictEqual(yield* a.queue.take(Effect.succeed), "of a")
      assert.strictEqual(yield* b.queue.take(Effect.succeed), "of b")
    }).pipe(Effect.provide(live)))
})
