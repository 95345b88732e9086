/**
 * Runners of a cluster and the locks of its shards.
 *
 * It has the cases of the tests of Effect's SQL storage (4.0.0-rc.111). Left out are those about advisory locks, prefixes of
 * tables, and connections that a database server holds or loses.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Array from "effect/Array"
import * as Runner from "effect/cluster/Runner"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as EffectRunnerStorage from "effect/cluster/RunnerStorage"
import * as ShardId from "effect/cluster/ShardId"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { RunnerStorage } from "../../../src/Cluster.ts"
import { Store, type StoreService } from "../../../src/index.ts"
import * as Runners from "../../../src/internal/ports/cluster/runners.ts"
import { temporaryFolder, withStore } from "../../support/harness.ts"

const expiration = 35_000

const configured = Effect.provide(ShardingConfig.layer({ shardLockExpiration: expiration }))

const openOn = (store: StoreService) =>
  RunnerStorage.makeEncoded.pipe(Effect.provideService(Store, store), configured, Effect.orDie)

/** Runs a test on the runners of a new store. */
const onStorage = <A, E>(
  test: (storage: EffectRunnerStorage.Encoded, store: StoreService) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.gen(function*() {
    const store = yield* Store
    return yield* test(yield* openOn(store), store)
  }).pipe(Effect.scoped, Effect.provide(Store.layerTemp()))

const runnerRecord = (machineId: number, heartbeat: number) =>
  [`runner:${machineId}`, {
    address: `runner:${machineId}`,
    runner: "",
    machineId,
    healthy: true,
    heartbeat
  }] as const

describe("a runner", () => {
  it.effect("is known until it leaves, with its health", () =>
    Effect.gen(function*() {
      const storage = yield* EffectRunnerStorage.RunnerStorage
      const address = RunnerAddress.make("localhost", 1234)
      const runner = Runner.make({ address, groups: ["default"], weight: 1 })
      yield* storage.register(runner, true)
      assert.deepStrictEqual(yield* storage.getRunners, [[runner, true]])
      yield* storage.setRunnerHealth(address, false)
      assert.deepStrictEqual(yield* storage.getRunners, [[runner, false]])
      yield* storage.unregister(address)
      assert.deepStrictEqual(yield* storage.getRunners, [])
    }).pipe(
      Effect.provide(RunnerStorage.layer),
      Effect.provide(Layer.merge(Store.layerTemp(), ShardingConfig.layer()))
    ))

  it.effect("that was not heard of for a while is not given any more, until it is heard of again", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* storage.register("a:1", "runner a", true)
        yield* storage.register("b:1", "runner b", true)
        yield* TestClock.adjust(expiration - 1)
        yield* storage.refresh("b:1", [])
        assert.strictEqual((yield* storage.getRunners).length, 2)
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(yield* storage.getRunners, [["runner b", true]])
        yield* storage.refresh("a:1", [])
        assert.strictEqual((yield* storage.getRunners).length, 2)
      })
    ))

  it.effect("that nobody has registered stays unknown", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* storage.refresh("a:1", [])
        yield* storage.setRunnerHealth("a:1", true)
        yield* storage.unregister("a:1")
        assert.deepStrictEqual(yield* storage.getRunners, [])
      })
    ))

  it.effect("replaces what was registered for its address", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* storage.register("a:1", "before", true)
        yield* storage.register("a:1", "after", false)
        assert.deepStrictEqual(yield* storage.getRunners, [["after", false]])
      })
    ))
})

describe("machine ids", () => {
  it.effect("stay with an address, also when it leaves and in the next process", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const ids = yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const storage = yield* openOn(store)
          const first = yield* storage.register("a:1", "a", true)
          const second = yield* storage.register("b:1", "b", true)
          yield* storage.unregister("a:1")
          const third = yield* storage.register("c:1", "c", true)
          return [first, second, third]
        }))
      assert.deepStrictEqual(ids, [1, 2, 3])
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const storage = yield* openOn(store)
          assert.strictEqual(yield* storage.register("a:1", "a", true), 1)
          assert.strictEqual(yield* storage.register("c:1", "c", true), 3)
        }))
    }).pipe(Effect.scoped))

  it.effect("are different for runners that register at the same time", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const other = yield* openOn(store)
        const ids = yield* Effect.forEach(
          Array.range(1, 20),
          (number) => (number % 2 === 0 ? storage : other).register(`runner:${number}`, "runner", true),
          { concurrency: "unbounded" }
        )
        assert.sameMembers(ids, Array.range(1, 20))
      })
    ))

  it.effect("are taken from the runner that is away for the longest time when none is free", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const { records: runners } = yield* Effect.provideService(Runners.open, Store, store)
        yield* runners.putMany(Array.map(Array.range(1, 1024), (id) => runnerRecord(id, 2000)))
        yield* TestClock.adjust(expiration + 1500)
        const error = yield* Effect.flip(storage.register("new:1", "new", true))
        assert.deepInclude(error.cause, { _tag: "TooManyRunners", address: "new:1" })
        yield* runners.putMany([runnerRecord(7, 1000), runnerRecord(8, 1400)])
        assert.strictEqual(yield* storage.register("new:1", "new", true), 7)
        assert.isFalse(yield* runners.has("runner:7"))
        yield* storage.unregister("new:1")
        assert.strictEqual(yield* storage.register("newer:1", "newer", true), 7)
      })
    ))
})

describe("what an opening of the store that has ended has left", () => {
  const shards = Array.map(Array.range(1, 3), (id) => `default:${id}`)

  it.effect("is no runner, and holds no shard", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const storage = yield* openOn(store)
          yield* storage.register("a:1", "runner a", true)
          yield* storage.acquire("a:1", shards)
        }))
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const storage = yield* openOn(store)
          assert.deepStrictEqual(yield* storage.getRunners, [])
          assert.deepStrictEqual(yield* storage.acquire("b:1", ["default:2", "default:3"]), ["default:2", "default:3"])
          // What this opening holds is not free for another runner of this process.
          assert.deepStrictEqual(yield* (yield* openOn(store)).acquire("c:1", shards), ["default:1"])
          yield* storage.register("a:1", "runner a again", true)
          assert.deepStrictEqual(yield* storage.getRunners, [["runner a again", true]])
        }))
    }).pipe(Effect.scoped))
})

describe("a shard lock", () => {
  const shards = Array.map(Array.range(1, 3), (id) => `default:${id}`)

  it.effect("belongs to one runner, which can acquire it again", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* storage.acquire("a:1", ["default:1", "default:2"]), ["default:1", "default:2"])
        assert.deepStrictEqual(yield* storage.acquire("b:1", shards), ["default:3"])
        assert.deepStrictEqual(yield* storage.acquire("a:1", shards), ["default:1", "default:2"])
        assert.deepStrictEqual(yield* storage.refresh("a:1", shards), ["default:1", "default:2"])
        assert.deepStrictEqual(yield* storage.refresh("c:1", shards), [])
      })
    ))

  it.effect("ends when it was not renewed for a while", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* storage.acquire("a:1", shards)
        yield* TestClock.adjust(expiration)
        // This is a heartbeat, and renews no lock.
        yield* storage.refresh("a:1", [])
        assert.deepStrictEqual(yield* storage.refresh("a:1", ["default:1"]), ["default:1"])
        assert.deepStrictEqual(yield* storage.acquire("b:1", shards), [])
        yield* TestClock.adjust(1)
        assert.deepStrictEqual(yield* storage.acquire("b:1", shards), ["default:2", "default:3"])
        // Nobody has taken these before it was renewed.
        yield* TestClock.adjust(2 * expiration)
        assert.deepStrictEqual(yield* storage.refresh("b:1", shards), ["default:2", "default:3"])
        assert.deepStrictEqual(yield* storage.refresh("a:1", shards), ["default:1"])
      })
    ))

  it.effect("is released by its owner only", () =>
    onStorage((storage) =>
      Effect.gen(function*() {
        yield* storage.acquire("a:1", ["default:1", "default:2"])
        yield* storage.acquire("b:1", ["default:3"])
        yield* storage.release("b:1", "default:1")
        assert.deepStrictEqual(yield* storage.acquire("c:1", shards), [])
        yield* storage.release("a:1", "default:1")
        assert.deepStrictEqual(yield* storage.acquire("c:1", shards), ["default:1"])
        yield* storage.releaseAll("a:1")
        assert.deepStrictEqual(yield* storage.acquire("c:1", shards), ["default:1", "default:2"])
      })
    ))

  it.effect("is given to one of several runners at the same time", () =>
    onStorage((storage, store) =>
      Effect.gen(function*() {
        const all = Array.map(Array.range(1, 50), (id) => `default:${id}`)
        const storages = yield* Effect.forEach(Array.range(1, 5), () => openOn(store))
        const acquired = yield* Effect.forEach(
          [storage, ...storages].entries(),
          ([number, one]) => one.acquire(`runner:${number}`, all),
          { concurrency: "unbounded" }
        )
        assert.sameMembers(acquired.flat(), all)
      })
    ))

  it.effect("has an id and an address of any length", () =>
    Effect.gen(function*() {
      const storage = yield* EffectRunnerStorage.RunnerStorage
      const address = RunnerAddress.make("host".repeat(1000), 1)
      const shard = ShardId.make("group".repeat(1000), 1)
      yield* storage.register(Runner.make({ address, groups: ["default"], weight: 1 }), true)
      assert.deepStrictEqual(yield* storage.acquire(address, [shard]), [shard])
      assert.deepStrictEqual(yield* storage.refresh(address, [shard]), [shard])
      yield* storage.releaseAll(address)
      assert.deepStrictEqual(yield* storage.refresh(address, [shard]), [])
    }).pipe(
      Effect.provide(RunnerStorage.layer),
      Effect.provide(Layer.merge(Store.layerTemp(), ShardingConfig.layer()))
    ))
})

describe("failures", () => {
  it.effect("are persistence errors", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const storage = yield* withStore({ path }, openOn)
      const calls: Record<string, Effect.Effect<unknown, { readonly _tag: string; readonly cause: unknown }>> = {
        getRunners: storage.getRunners,
        register: storage.register("a:1", "a", true),
        unregister: storage.unregister("a:1"),
        setRunnerHealth: storage.setRunnerHealth("a:1", true),
        acquire: storage.acquire("a:1", ["default:1"]),
        refresh: storage.refresh("a:1", []),
        release: storage.release("a:1", "default:1"),
        releaseAll: storage.releaseAll("a:1")
      }
      for (const [name, call] of Object.entries(calls)) {
        const error = yield* Effect.flip(call)
        assert.strictEqual(error._tag, "PersistenceError", name)
        assert.deepInclude(error.cause, { _tag: "Closed" }, name)
      }
    }).pipe(Effect.scoped))
})
