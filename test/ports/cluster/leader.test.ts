/** The leader of several runners on one store: which of them are healthy, in the eyes of all of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Runner from "effect/cluster/Runner"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as ShardId from "effect/cluster/ShardId"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Cluster from "../../../src/Cluster.ts"
import { Store } from "../../../src/index.ts"
import * as Leader from "../../../src/internal/ports/cluster/leader.ts"
import * as Runners from "../../../src/internal/ports/cluster/runners.ts"
import * as StoreInternals from "../../../src/internal/store/storeInternals.ts"
import { damage } from "../../support/fixtures/collections.ts"

const expiration = 35_000

/** A runner with a storage of its own, as a process has. */
const openRunner = Effect.fnUntraced(function*(groups: ReadonlyArray<string> = ["default"]) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  return yield* Effect.gen(function*() {
    const { runnerAddress } = yield* ShardingConfig.ShardingConfig
    const address = Option.getOrThrow(runnerAddress)
    const runner = Runner.make({ address, groups: [...groups], weight: 1 })
    const encoded = yield* Effect.flatMap(Cluster.RunnerStorage.makeEncoded, Leader.make)
    const storage = RunnerStorage.makeEncoded(encoded)
    return {
      host: address.host,
      register: storage.register(runner, true),
      unregister: storage.unregister(address),
      acquire: storage.acquire(address, [ShardId.make("default", 1)]),
      renew: storage.refresh(address, [ShardId.make("default", 1)]),
      /** The runners that get shards, as this runner sees it. */
      leaders: Effect.map(
        storage.getRunners,
        (all) => all.filter(([, healthy]) => healthy).map(([found]) => found.address.host)
      ),
      close: Scope.close(scope, Exit.void)
    }
  }).pipe(
    Effect.provide(Leader.layerAddress),
    Effect.provide(ShardingConfig.layer({ shardLockExpiration: expiration, assignedShardGroups: [...groups] })),
    Scope.provide(scope)
  )
})

describe("runners on one store", () => {
  it.effect("have the one as leader that was there first, until it leaves", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* openRunner(), yield* openRunner()]
      assert.strictEqual(yield* one.register, 1)
      assert.deepStrictEqual(yield* one.leaders, [one.host])
      assert.strictEqual(yield* two.register, 2)
      for (const runner of [one, two]) assert.deepStrictEqual(yield* runner.leaders, [one.host])
      yield* one.unregister
      assert.deepStrictEqual(yield* one.leaders, [])
      for (const runner of [two, one]) assert.deepStrictEqual(yield* runner.leaders, [two.host])
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))

  it.effect("keep the leader that has taken over from one that stopped for a while", () =>
    Effect.gen(function*() {
      const [one, two] = [yield* openRunner(), yield* openRunner()]
      for (const runner of [one, two]) yield* runner.register
      assert.deepStrictEqual(yield* one.leaders, [one.host])
      assert.strictEqual((yield* one.acquire).length, 1)
      yield* TestClock.adjust(expiration - 1)
      yield* two.renew
      assert.deepStrictEqual(yield* two.leaders, [one.host])
      yield* TestClock.adjust(2)
      assert.deepStrictEqual(yield* two.leaders, [two.host])
      assert.strictEqual((yield* two.acquire).length, 1)
      yield* one.register
      for (const runner of [one, two]) assert.deepStrictEqual(yield* runner.leaders, [two.host])
      assert.deepStrictEqual(yield* one.renew, [])
      assert.deepStrictEqual(yield* one.acquire, [])
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))

  it.effect("have a leader for each set of groups", () =>
    Effect.gen(function*() {
      const [one, two, other] = [yield* openRunner(["a", "b"]), yield* openRunner(["b", "a"]), yield* openRunner(["c"])]
      for (const runner of [one, two, other]) {
        yield* runner.register
        yield* runner.leaders
      }
      for (const runner of [one, two, other]) assert.sameMembers(yield* runner.leaders, [one.host, other.host])
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))

  it.effect("elect a leader again if its record is damaged", () =>
    Effect.gen(function*() {
      const one = yield* openRunner()
      yield* one.register
      yield* one.leaders
      const { backend } = StoreInternals.of(yield* Store).access.handle.core
      const all = { from: undefined, to: undefined, reverse: false, values: false, maxRecords: 100, maxBytes: Infinity }
      const name = "collection/effect.Cluster.leaders"
      const { records } = yield* backend.reader.read(name, all)
      assert.strictEqual(records.length, 1)
      yield* damage(records.map(([key]) => [name, key, Uint8Array.of(0xc1)]))
      assert.deepStrictEqual(yield* one.leaders, [one.host])
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))

  it.effect("leave no records: neither those that have closed, nor those of which nothing was heard for a day", () =>
    Effect.gen(function*() {
      const runners = yield* Runners.open
      const one = yield* openRunner()
      yield* one.register
      yield* one.unregister
      assert.strictEqual(yield* runners.records.size, 1)
      yield* one.close
      assert.strictEqual(yield* runners.records.size, 0)
      assert.strictEqual(yield* runners.machineIds.size, 0)
      const lost = yield* openRunner()
      yield* lost.register
      yield* TestClock.adjust("25 hours")
      const next = yield* openRunner()
      assert.strictEqual(yield* next.register, 1)
      assert.strictEqual(yield* runners.records.size, 1)
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))
})
