/**
 * Runs a cluster in one process at a time, with its messages in a store.
 *
 * @since 0.2.0
 */
import type * as EffectMessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as EffectRunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { OpenError } from "../Collection.ts"
import * as Leader from "../internal/ports/cluster/leader.ts"
import * as RunnerWakeUp from "../internal/ports/cluster/runnerWakeUp.ts"
import * as StandbyCalls from "../internal/ports/cluster/standbyCalls.ts"
import { ownLayer } from "../internal/ports/ownLayer.ts"
import { Store } from "../Store.ts"
import * as MessageStorage from "./MessageStorage.ts"
import * as RunnerStorage from "./RunnerStorage.ts"

/**
 * Options of a cluster in one process at a time.
 *
 * @category options
 * @since 0.2.0
 */
export interface SingleRunnerOptions {
  /**
   * The configuration of the cluster. What is not given comes from the environment of the process, or is Effect's default.
   * With `runnerStorage: "store"`, each process has an address of its own, whatever `runnerAddress` says. A process with
   * `runnerAddress: Option.none()` only sends messages.
   */
  readonly shardingConfig?: Partial<ShardingConfig.ShardingConfig["Service"]> | undefined
  /**
   * Where the locks of the shards are. Default: `"store"` if other processes can write to the store (`shared: true`, or
   * PostgreSQL), and `"memory"` if not.
   *
   * **Details**
   *
   * - `"store"`: one process at a time handles messages, and the other ones wait until it has ended.
   * - `"memory"`: the process handles all messages, and nothing is stored about it. If a second process does that on the same
   *   store, both run every workflow and every entity.
   */
  readonly runnerStorage?: "memory" | "store" | undefined
}

type Services = Sharding.Sharding | Runners.Runners | EffectMessageStorage.MessageStorage

const cluster = (runners: typeof Runners.layerNoop) =>
  RunnerWakeUp.layerRunner.pipe(
    Layer.provideMerge(Sharding.layer),
    Layer.provideMerge(runners),
    Layer.provideMerge(Layer.provide(RunnerWakeUp.layerStorage, MessageStorage.layer)),
    Layer.provide(RunnerWakeUp.WakeUp.layer),
    Layer.provide(RunnerHealth.layerNoop)
  )

const inMemory = Layer.provide(cluster(Runners.layerNoop), EffectRunnerStorage.layerMemory)

const inStore = RunnerWakeUp.layerCommits.pipe(
  Layer.provideMerge(cluster(Layer.provide(StandbyCalls.layer, Runners.layerNoop))),
  Layer.provide(Layer.effect(
    EffectRunnerStorage.RunnerStorage,
    Effect.map(Effect.flatMap(RunnerStorage.makeEncoded, Leader.make), EffectRunnerStorage.makeEncoded)
  )),
  Layer.provide(Leader.layerAddress)
)

/** Whether no other process can write to the store: then all openings but that of this process have ended. */
const isAlone = Effect.flatMap(Store, ({ opening }) => opening.hasEnded(""))

/**
 * Provides a cluster that runs in one process at a time: entities, singletons and crons whose messages are in the store of the
 * context.
 *
 * **Details**
 *
 * Several processes can have the layer on one store that they share. One of them handles all messages. The others are on
 * standby: what they send is saved, the first process handles it, and they get the replies. When the first process has
 * ended, another one goes on. A process that stops for a while and goes on can neither save replies nor commit
 * handlers of shards that have passed to another one.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options?: SingleRunnerOptions
): Layer.Layer<Services, OpenError | Config.ConfigError, Store> => {
  const config = ShardingConfig.layerFromEnv(options?.shardingConfig)
  const runner = Effect.map(
    options?.runnerStorage === undefined ? isAlone : Effect.succeed(options.runnerStorage === "memory"),
    (isInMemory): Layer.Layer<Services, OpenError, Store | ShardingConfig.ShardingConfig> =>
      isInMemory ? inMemory : inStore
  )
  return ownLayer(Layer.provide(Layer.unwrap(runner), config))
}
