/** Two stores in one program: each has ports of its own. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Persistence from "effect/persistence/Persistence"
import * as Schema from "effect/Schema"
import { Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import * as LmdbPersistence from "../../src/Persistence.ts"

const make = Effect.gen(function*() {
  return {
    queue: yield* PersistedQueue.make({ name: "q", schema: Schema.String }),
    failed: yield* LmdbPersistedQueue.FailedElements,
    persistence: yield* Persistence.Persistence
  }
})

class A extends Context.Service<A, Effect.Success<typeof make>>()("test/A") {}

class B extends Context.Service<B, Effect.Success<typeof make>>()("test/B") {}

const ports = () =>
  Layer.mergeAll(LmdbPersistedQueue.layer(), LmdbPersistence.layer()).pipe(Layer.provide(Store.layerTemp()))

const live = Layer.mergeAll(
  Layer.effect(A, make).pipe(Layer.provide(ports())),
  Layer.effect(B, make).pipe(Layer.provide(ports()))
)

describe("two stores in one program", () => {
  it.effect("have queues, failed elements and cached results of their own", () =>
    Effect.gen(function*() {
      const [a, b] = [yield* A, yield* B]
      assert.notStrictEqual(a.persistence, b.persistence)
      assert.notStrictEqual(a.failed, b.failed)
      yield* b.queue.offer("of b", { id: "1" })
      yield* a.queue.offer("of a", { id: "1" })
      assert.strictEqual(yield* a.queue.take(Effect.succeed), "of a")
      assert.strictEqual(yield* b.queue.take(Effect.succeed), "of b")
    }).pipe(Effect.provide(live)))
})
