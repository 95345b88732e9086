/** What fibers and the dispatcher do at moments that a program cannot choose. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Store } from "../../src/index.ts"
import * as EndedClaims from "../../src/internal/ports/endedClaims.ts"
import * as Dispatcher from "../../src/internal/ports/queueDispatcher.ts"
import * as QueueElements from "../../src/internal/ports/queueElements.ts"
import * as Leases from "../../src/internal/ports/queueLeases.ts"
import { hold, openOn, using } from "../support/fixtures/queues.ts"
import { start, temporaryFolder } from "../support/harness.ts"

/** The queues of a store, and a dispatcher of its own on them. */
const opened = Effect.gen(function*() {
  const store = yield* Store.make({ path: yield* temporaryFolder })
  const queues = yield* openOn(store)
  const elements = yield* Effect.provideService(QueueElements.open, Store, store)
  const openings = yield* Effect.provideService(EndedClaims.open, Store, store)
  const leases = Leases.make({ store, elements, openings }, "2 minutes")
  yield* Leases.join(leases)
  const dispatcher = Dispatcher.make(leases)
  yield* start(Dispatcher.run(dispatcher))
  yield* queues.offer({ name: "q", id: "a", element: 1, isCustomId: true })
  return { dispatcher, leases, queues }
})

const options = { name: "q", maxAttempts: 3 }

describe("a fiber that is interrupted", () => {
  it.effect("after it was given an element and before it goes on gives the element back", () =>
    Effect.gen(function*() {
      const { dispatcher, leases, queues } = yield* opened
      const interrupted = Dispatcher.take(dispatcher, options, (waiting) => Effect.andThen(waiting, Effect.interrupt))
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(interrupted)))
      assert.strictEqual(leases.held.size, 0)
      const { attempts, id } = yield* using(queues)(hold("q"))
      assert.deepStrictEqual([id, attempts], ["a", 1])
    }).pipe(Effect.scoped))

  it.effect("while the dispatcher claims an element for it leaves the element to others", () =>
    Effect.gen(function*() {
      const { dispatcher, leases, queues } = yield* opened
      // The claim is made, and waits for its commit.
      const fiber = yield* start(
        Effect.uninterruptibleMask((restore) => Dispatcher.take(dispatcher, options, restore))
      )
      yield* Effect.repeat(Effect.yieldNow, { until: () => leases.claims > 0 })
      yield* Fiber.interrupt(fiber)
      const { attempts, id } = yield* using(queues)(hold("q"))
      assert.deepStrictEqual([id, attempts], ["a", 1])
      yield* Effect.repeat(Effect.yieldNow, { until: () => leases.held.size === 0 })
    }).pipe(Effect.scoped))
})
