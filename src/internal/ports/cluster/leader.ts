/**
 * The leader of processes that share a store: the one process whose runner gets the shards. The other processes wait until
 * it has ended, and one of them is then the leader.
 *
 * Only the leader asks for shards. A runner has a shard when it holds the lock of the shard. So even if two processes take
 * themselves for the leader for a moment, they never handle the same message.
 *
 * Processes with different groups of shards have different leaders.
 */
import * as Clock from "effect/Clock"
import type { PersistenceError } from "effect/cluster/ClusterError"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import type * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Store } from "../../../Store.ts"
import * as Damage from "../damage.ts"
import * as PortCollection from "../portCollection.ts"
import { storageKey } from "../storageKey.ts"
import { orFail } from "./persistenceError.ts"
import * as Runners from "./runners.ts"

/** The address of the leader, by its groups of shards. */
const openLeaders = PortCollection.make("effect.Cluster.leaders", { key: Schema.String, value: Schema.String })

type Leaders = Effect.Success<typeof openLeaders>

/** Begins the address of each runner that has a leader. Other runners on the same store keep their records. */
const host = "single-runner-"

/** How long the record of a process stays if it cannot be known whether the process has ended, in milliseconds: 1 day. */
const lifetime = 24 * 60 * 60 * 1000

/**
 * Gives the runner of this process an address that no other runner has. A runner with the address of another one would take
 * the shards of that one. A process without an address stays a client.
 */
export const layerAddress: Layer.Layer<ShardingConfig.ShardingConfig, never, ShardingConfig.ShardingConfig> = Layer
  .effect(
    ShardingConfig.ShardingConfig,
    Effect.map(ShardingConfig.ShardingConfig, (config) => ({
      ...config,
      runnerAddress: Option.map(
        config.runnerAddress,
        ({ port }) => RunnerAddress.make(`${host}${SecureRandom.uuidV4Unsafe()}`, port)
      ),
      runnerListenAddress: Option.none()
    }))
  )

/** Returns the leaders. The runner of this process becomes the leader of its groups if there is none that is alive. */
const elect = Effect.fnUntraced(function*(
  leaders: Leaders,
  { alive, groups, own }: {
    /** The addresses of the runners that are alive. */
    readonly alive: ReadonlySet<string>
    readonly groups: string
    /** The address of the runner of this process, if it is registered. */
    readonly own: string | undefined
  }
) {
  const stored = new Set(
    (yield* leaders.collect({ undecodable: "result" })).filter(Result.isSuccess).map(({ success }) => success)
  )
  const { found } = yield* Damage.getEach(leaders, [groups])
  const leader = found.get(groups)
  if (own === undefined || !alive.has(own) || (leader !== undefined && alive.has(leader))) return stored
  yield* leaders.put(groups, own)
  return stored.add(own)
})

/** Makes a storage of runners in which only leaders are healthy, so that only they get shards. */
export const make = Effect.fnUntraced(function*(storage: RunnerStorage.Encoded) {
  const store = yield* Store
  const { assignedShardGroups, shardLockExpiration } = yield* ShardingConfig.ShardingConfig
  const groups = storageKey(JSON.stringify([...new Set(assignedShardGroups)].toSorted()))
  const expiration = Duration.toMillis(shardLockExpiration)
  const runners = yield* Runners.open
  const leaders = yield* openLeaders
  const context = yield* Effect.context()
  const scope = yield* Effect.scope
  /** The address of the runner of this process, as long as it is registered. */
  let own: string | undefined = undefined

  /** A transaction of its own, as all calls of the storage are. */
  const inTransaction = <A, E>(use: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, PersistenceError> =>
    Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => Effect.updateContext(orFail(store.withTransaction(use(now))), () => context)
    )

  const getRunners = inTransaction(Effect.fnUntraced(function*(now) {
    const alive = yield* Runners.alive(runners, store.opening, now - expiration)
    const leading = yield* elect(leaders, { alive: new Set(alive.map(({ address }) => address)), groups, own })
    return alive.map(({ address, runner }) => [runner, leading.has(address)] as const)
  }))

  const removeEnded = inTransaction((now) =>
    Runners.removeEnded(runners, store.opening, {
      selects: (address) => address.startsWith(host),
      endedBefore: now - lifetime
    })
  )

  return {
    ...storage,
    register: Effect.fnUntraced(function*(address, runner, healthy) {
      if (own !== address) {
        yield* removeEnded
        // The runner makes ids with its machine id until it has closed.
        yield* Scope.addFinalizer(scope, Effect.ignore(inTransaction(() => Runners.remove(runners, address))))
      }
      const machineId = yield* storage.register(address, runner, healthy)
      own = address
      return machineId
    }),
    unregister: (address) =>
      Effect.suspend(() => {
        own = undefined
        return storage.unregister(address)
      }),
    getRunners,
    // Only its lease tells whether a runner is alive.
    setRunnerHealth: () => Effect.void
  } satisfies RunnerStorage.Encoded
})
