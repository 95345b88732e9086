/**
 * What is compared: Effect's storage interfaces in memory, in this store, and in SQL on SQLite.
 */
import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SingleRunner from "effect/cluster/SingleRunner"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Persistence from "effect/persistence/Persistence"
import * as RateLimiter from "effect/persistence/RateLimiter"
import type * as Scope from "effect/Scope"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { join } from "node:path"
import { Workflows } from "../../../src/Cluster.ts"
import { Store } from "../../../src/index.ts"
import * as LmdbKeyValueStore from "../../../src/KeyValueStore.ts"
import * as LmdbPersistedQueue from "../../../src/PersistedQueue.ts"
import * as LmdbPersistence from "../../../src/Persistence.ts"
import * as LmdbRateLimiter from "../../../src/RateLimiter.ts"
import type { PortSystem } from "./plan.ts"
import * as SqlClient from "./sqlClient.ts"

/** The interfaces of a system that is open. */
export interface Ports {
  readonly keyValueStore: Layer.Layer<KeyValueStore.KeyValueStore, unknown>
  readonly persistence: Layer.Layer<Persistence.Persistence, unknown>
  readonly queues: Layer.Layer<PersistedQueue.PersistedQueueFactory, unknown>
  /** Effect has none on SQL. */
  readonly rateLimiter?: Layer.Layer<RateLimiter.RateLimiter, unknown>
  readonly workflows: Layer.Layer<WorkflowEngine.WorkflowEngine, unknown>
  /** Waits until everything written is on disk. */
  readonly onDisk: Effect.Effect<void, unknown>
}

/** Opens a system in an empty folder. `isDurable` tells whether each write is on disk when it returns. */
type OpenPorts = (folder: string, isDurable: boolean) => Effect.Effect<Ports, unknown, Scope.Scope>

/** Shorter than the default of 10 seconds, so that no sample waits for a poll. */
const shardingConfig = { entityMessagePollInterval: 100, entityReplyPollInterval: 100 }

const memory: OpenPorts = () =>
  Effect.succeed({
    keyValueStore: KeyValueStore.layerMemory,
    persistence: Persistence.layerMemory,
    queues: Layer.provide(PersistedQueue.layer, PersistedQueue.layerStoreMemory),
    rateLimiter: Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory),
    workflows: ClusterWorkflowEngine.layer.pipe(
      Layer.provide(Sharding.layer),
      Layer.provide(Runners.layerNoop),
      Layer.provide([MessageStorage.layerMemory, RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
      Layer.provide(ShardingConfig.layer(shardingConfig))
    ),
    onDisk: Effect.void
  })

const effectLmdb: OpenPorts = Effect.fnUntraced(function*(folder, isDurable) {
  const store = yield* Store.make({ path: folder })
  const live = Layer.succeed(Store, store)
  const options = { durable: isDurable }
  return {
    keyValueStore: Layer.provide(LmdbKeyValueStore.layer(options), live),
    persistence: Layer.provide(LmdbPersistence.layer(options), live),
    queues: Layer.provide(LmdbPersistedQueue.layer(), live),
    rateLimiter: Layer.provide(LmdbRateLimiter.layer(), live),
    workflows: Layer.provide(Workflows.layer({ shardingConfig }), live),
    onDisk: store.flush
  }
})

const sql: OpenPorts = Effect.fnUntraced(function*(folder, isDurable) {
  const database = yield* SqlClient.openDatabase(join(folder, "ports.sqlite"), isDurable)
  const live = SqlClient.layer(database)
  return {
    keyValueStore: Layer.provide(KeyValueStore.layerSql(), live),
    persistence: Layer.provide(Persistence.layerSql, live),
    queues: PersistedQueue.layer.pipe(Layer.provide(PersistedQueue.layerStoreSql()), Layer.provide(live)),
    workflows: ClusterWorkflowEngine.layer.pipe(
      Layer.provide(SingleRunner.layer({ shardingConfig, runnerStorage: "memory" })),
      Layer.provide([live, NodeCrypto.layerDigest])
    ),
    onDisk: Effect.sync(() => database.exec("PRAGMA wal_checkpoint(PASSIVE)"))
  }
})

/** The systems by their names. */
export const portSystems: Record<PortSystem, OpenPorts> = {
  "memory": memory,
  "effect-lmdb": effectLmdb,
  "SQL on SQLite": sql
}
