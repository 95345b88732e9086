/**
 * Keeps the runners of a cluster and the locks of its shards in a store: Effect's `RunnerStorage`. It is for several
 * processes on one machine that share a file: each opens the store with `shared: true`.
 *
 * **Details**
 *
 * - Each call is a transaction, on disk when it returns, and exact across the processes.
 * - A runner has the same machine id as long as it has the same address, and no other runner has it.
 * - A shard lock ends when its process has closed the store or has died, or when it was not renewed for
 *   `shardLockExpiration`, by `Clock`. All processes have the same clock.
 * - A process whose shard has passed to another runner can neither save replies to its messages nor commit their handlers,
 *   before it has noticed the loss too. The storage of messages on the same store checks that.
 * - The calls do not belong to the transaction of their fiber.
 * - Every failure is a `PersistenceError`. Its `cause` is the error of the store.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import type { PersistenceError } from "effect/cluster/ClusterError"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { OpenError } from "../Collection.ts"
import { orFail } from "../internal/ports/cluster/persistenceError.ts"
import * as Runners from "../internal/ports/cluster/runners.ts"
import * as ShardLocks from "../internal/ports/cluster/shardLocks.ts"
import * as ShardOwnership from "../internal/ports/cluster/shardOwnership.ts"
import { Store } from "../Store.ts"

/**
 * Makes the storage in its encoded form, for an adapter of your own. The storage of messages of the same store refuses what
 * only the holder of a shard may do, from the first `acquire` until the scope closes.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeEncoded: Effect.Effect<
  RunnerStorage.Encoded,
  OpenError,
  Store | ShardingConfig.ShardingConfig | Scope.Scope
> = Effect.gen(function*() {
  const store = yield* Store
  const { opening } = store
  const { shardLockExpiration } = yield* ShardingConfig.ShardingConfig
  const runners = yield* Runners.open
  const locks = yield* ShardLocks.open
  const expiration = Duration.toMillis(shardLockExpiration)
  const holder = SecureRandom.uuidV4Unsafe()
  const holders = ShardOwnership.holdersOf(store)
  yield* Effect.addFinalizer(() => Effect.sync(() => holders.delete(holder)))

  const context = yield* Effect.context()

  // Effect renews a lock in the fiber of a handler too. The lock does not belong to the transaction of the handler, so the
  // call has the context in which the storage was made.
  const call = <A, E>(use: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, PersistenceError> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.updateContext(orFail(use(now)), () => context))
  const inTransaction = <A, E>(use: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, PersistenceError> =>
    call((now) => store.withTransaction(use(now)))

  return {
    register: (address, runner, healthy) =>
      inTransaction((now) =>
        Runners.register(runners, {
          address,
          runner,
          healthy,
          now,
          opening: opening.id,
          aliveSince: now - expiration
        })
      ),
    unregister: (address) => call(() => Runners.unregister(runners, address)),
    getRunners: call((now) => Runners.alive(runners, opening, now - expiration)).pipe(
      Effect.map((alive) => alive.map(({ healthy, runner }) => [runner, healthy] as const))
    ),
    setRunnerHealth: (address, healthy) => call(() => Runners.setHealth(runners, address, healthy)),
    acquire: (address, shardIds) =>
      Effect.suspend(() => {
        holders.set(holder, { locks, expiration })
        return inTransaction((now) =>
          ShardLocks.acquire(locks, { address, holder, shardIds, now, opening, endedBefore: now - expiration })
        )
      }),
    refresh: (address, shardIds) =>
      inTransaction((now) =>
        Effect.andThen(
          Runners.beat(runners, address, opening.id, now),
          ShardLocks.renew(locks, { address, holder, shardIds, now })
        )
      ),
    release: (address, shardId) => inTransaction(() => ShardLocks.release(locks, { address, holder, shardId })),
    releaseAll: (address) => call(() => ShardLocks.releaseAll(locks, { address, holder }))
  }
})

/**
 * Makes the storage in the store of the context.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: Effect.Effect<
  RunnerStorage.RunnerStorage["Service"],
  OpenError,
  Store | ShardingConfig.ShardingConfig | Scope.Scope
> = Effect.map(makeEncoded, RunnerStorage.makeEncoded)

/**
 * Provides Effect's `RunnerStorage` in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer: Layer.Layer<
  RunnerStorage.RunnerStorage,
  OpenError,
  Store | ShardingConfig.ShardingConfig
> = Layer.effect(RunnerStorage.RunnerStorage, make)
