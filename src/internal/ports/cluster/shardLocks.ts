/** The locks of shards: which runner owns a shard, and since when. A lock that is not renewed ends after a while. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Collection from "../../../Collection.ts"
import { storageKey } from "../storageKey.ts"

const Lock = Schema.Struct({
  shardId: Schema.String,
  address: Schema.String,
  /** When it was last acquired or renewed, in milliseconds. */
  acquiredAt: Schema.Number
})

/** Opens the collection. */
export const open = Collection.make("effect.Cluster.shardLocks", {
  key: Schema.String,
  value: Lock,
  indexes: { byAddress: { key: Schema.String, of: ({ address }) => storageKey(address) } }
})

export type ShardLocks = Effect.Success<typeof open>

/** Gives a runner those of the shards that nobody holds, that it holds itself, or whose lock has ended. */
export const acquire = Effect.fnUntraced(function*(
  locks: ShardLocks,
  { address, endedBefore, now, shardIds }: {
    readonly address: string
    readonly shardIds: ReadonlyArray<string>
    readonly now: number
    /** Locks that were renewed before this time have ended. */
    readonly endedBefore: number
  }
) {
  const { found } = yield* locks.getMany(shardIds.map(storageKey))
  const acquired = shardIds.filter((shardId) => {
    const lock = found.get(storageKey(shardId))
    return lock === undefined || lock.address === address || lock.acquiredAt < endedBefore
  })
  yield* hold(locks, address, acquired, now)
  return acquired
})

/** Renews the locks that a runner holds, and returns them. */
export const renew = Effect.fnUntraced(function*(
  locks: ShardLocks,
  { address, now, shardIds }: {
    readonly address: string
    readonly shardIds: ReadonlyArray<string>
    readonly now: number
  }
) {
  const { found } = yield* locks.getMany(shardIds.map(storageKey))
  const held = shardIds.filter((shardId) => found.get(storageKey(shardId))?.address === address)
  yield* hold(locks, address, held, now)
  return held
})

const hold = (locks: ShardLocks, address: string, shardIds: ReadonlyArray<string>, now: number) =>
  Effect.forEach(
    shardIds,
    (shardId) => locks.put(storageKey(shardId), { shardId, address, acquiredAt: now }),
    { discard: true }
  )

/** Releases a shard, if the runner holds it. */
export const release = Effect.fnUntraced(function*(locks: ShardLocks, address: string, shardId: string) {
  const { found } = yield* locks.getMany([storageKey(shardId)])
  if (found.get(storageKey(shardId))?.address === address) yield* locks.delete(storageKey(shardId))
})

/** Releases all shards of a runner. */
export const releaseAll = (locks: ShardLocks, address: string) =>
  Effect.asVoid(locks.indexes.byAddress.deleteRange({ equals: storageKey(address) }))
