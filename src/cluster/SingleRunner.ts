/**
 * Runs a cluster in one process, with its messages in a store.
 *
 * @since 0.2.0
 */
import type * as EffectMessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import type * as Config from "effect/Config"
import * as Layer from "effect/Layer"
import type { OpenError } from "../Collection.ts"
import * as RunnerWakeUp from "../internal/ports/cluster/runnerWakeUp.ts"
import { ownLayer } from "../internal/ports/ownLayer.ts"
import type { Store } from "../Store.ts"
import * as MessageStorage from "./MessageStorage.ts"

/**
 * Options of a cluster in one process.
 *
 * @category options
 * @since 0.2.0
 */
export interface SingleRunnerOptions {
  /** The configuration of the cluster. What is not given comes from the environment of the process, or is Effect's default. */
  readonly shardingConfig?: Partial<ShardingConfig.ShardingConfig["Service"]> | undefined
}

/**
 * Provides a cluster of this process only: entities, singletons and crons whose messages are in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options?: SingleRunnerOptions
): Layer.Layer<
  Sharding.Sharding | Runners.Runners | EffectMessageStorage.MessageStorage,
  OpenError | Config.ConfigError,
  Store
> =>
  ownLayer(RunnerWakeUp.layerRunner.pipe(
    Layer.provideMerge(Sharding.layer),
    Layer.provideMerge(Runners.layerNoop),
    Layer.provideMerge(Layer.provide(RunnerWakeUp.layerStorage, MessageStorage.layer)),
    Layer.provide(RunnerWakeUp.WakeUp.layer),
    Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
    Layer.provide(ShardingConfig.layerFromEnv(options?.shardingConfig))
  ))
