/** What a process that was killed had claimed: an element of a queue, and the lock of a shard. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as Cluster from "../../src/Cluster.ts"
import { Store, type StoreService } from "../../src/index.ts"
import { assertWaits, openOn, using } from "../support/fixtures/queues.ts"
import { start, temporaryFolder } from "../support/harness.ts"
import { type Started, startProgram } from "../support/startProgram.ts"
import { hangLimit } from "../support/timeLimits.ts"

const program = new URL("../programs/claimant.ts", import.meta.url).pathname

/** Starts a process that claims, and waits until it has. */
const startClaimant = Effect.fnUntraced(function*(path: string, mode: "exclusive" | "shared") {
  const started = yield* startProgram(program, path, mode)
  const [, opening = ""] = (yield* started.line("claims")).split(" ")
  return { ...started, opening }
})

const kill = ({ child, exit }: Started) => Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), exit)

/**
 * The clock of the process that claims is a real one. A store that is shared looks for commits every 50 milliseconds, so the
 * clock is set before the store is opened.
 */
const setClock = Effect.flatMap(TestClock.withLive(Clock.currentTimeMillis), TestClock.setTime)

const take = Effect.gen(function*() {
  const queue = yield* PersistedQueue.make({ name: "work", schema: Schema.Int })
  return yield* queue.take((_, { attempts, id }) => Effect.succeed([id, attempts]))
})

const openRunners = (store: StoreService) =>
  Cluster.RunnerStorage.makeEncoded.pipe(
    Effect.provideService(Store, store),
    Effect.provide(ShardingConfig.layer()),
    Effect.scoped
  )

describe("what a killed process has claimed", () => {
  it.effect("is free at once for the next process that opens the store", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const claimant = yield* startClaimant(path, "exclusive")
      yield* kill(claimant)
      yield* setClock
      const store = yield* Store.make({ path })
      const queues = yield* openOn(store)
      assert.deepStrictEqual(yield* using(queues)(take), ["a", 2])
      const runners = yield* openRunners(store)
      assert.deepStrictEqual(yield* runners.getRunners, [])
      assert.deepStrictEqual(yield* runners.acquire("next:1", ["default:1"]), ["default:1"])
    }).pipe(Effect.scoped), hangLimit)

  it.effect(
    "is free for those that share the store 5 seconds later, and before that it is not",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        yield* setClock
        const store = yield* Store.make({ path, shared: true })
        const claimant = yield* startClaimant(path, "shared")
        yield* setClock
        const queues = yield* openOn(store)
        const runners = yield* openRunners(store)
        const taker = yield* using(queues)(start(take))
        // As long as it lives, also stopped.
        claimant.child.kill("SIGSTOP")
        yield* TestClock.adjust("20 seconds")
        yield* using(queues)(assertWaits(taker))
        assert.isFalse(yield* store.opening.hasEnded(claimant.opening))
        assert.deepStrictEqual(yield* runners.acquire("next:1", ["default:1"]), [])
        assert.strictEqual((yield* runners.getRunners).length, 1)

        yield* kill(claimant)
        assert.isTrue(yield* store.opening.hasEnded(claimant.opening))
        assert.deepStrictEqual(yield* runners.getRunners, [])
        assert.deepStrictEqual(yield* runners.acquire("next:1", ["default:1"]), ["default:1"])
        yield* using(queues)(assertWaits(taker))
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* Fiber.join(taker), ["a", 2])
      }).pipe(Effect.scoped),
    hangLimit
  )

  it.effect("is free at once for queues that start later on a store that is shared", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* setClock
      const store = yield* Store.make({ path, shared: true })
      yield* kill(yield* startClaimant(path, "shared"))
      // Later than the offer of the other process, and earlier than the end of the lease.
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* using(yield* openOn(store))(take), ["a", 2])
    }).pipe(Effect.scoped), hangLimit)
})
