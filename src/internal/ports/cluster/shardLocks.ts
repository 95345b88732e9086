/**
 * The locks of shards: which runner holds a shard, and until when.
 *
 * The owner of a shard and the time of its last renewal are records of their own. A transaction that reads the owner is in
 * conflict with a runner that takes the shard, and not with the renewals.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Collection from "../../../Collection.ts"
import type { Store } from "../../../Store.ts"
import type { StoreOpening } from "../../../StoreOpening.ts"
import * as Damage from "../damage.ts"
import * as PortCollection from "../portCollection.ts"
import { storageKey } from "../storageKey.ts"

const Owner = Schema.Struct({
  shardId: Schema.String,
  address: Schema.String,
  /** The process of the runner. A runner that starts again has the same address. */
  holder: Schema.String,
  /** The opening of the store by that process. Earlier versions of the package did not store it. */
  opening: Schema.optionalKey(Schema.String)
})

const openOwners = PortCollection.make("effect.Cluster.shardLocks", {
  key: Schema.String,
  value: Owner,
  indexes: {
    byHolder: {
      key: Schema.Tuple([Schema.String, Schema.String]),
      of: ({ address, holder }) => [holder, storageKey(address)] as const
    }
  }
})

/** When the locks were last acquired or renewed, in milliseconds. */
const openLeases = PortCollection.make("effect.Cluster.shardLeases", { key: Schema.String, value: Schema.Number })

export interface ShardLocks {
  readonly owners: Effect.Success<typeof openOwners>
  readonly leases: Effect.Success<typeof openLeases>
}

/** Opens the collections. */
export const open = Effect.gen(function*(): Effect.fn.Return<ShardLocks, Collection.OpenError, Store> {
  return { owners: yield* openOwners, leases: yield* openLeases }
})

/** A runner, and shards. */
interface RunnerShards {
  readonly address: string
  readonly holder: string
  readonly shardIds: ReadonlyArray<string>
  readonly now: number
}

type Owner = typeof Owner.Type

const isOwnedBy = (owner: Owner | undefined, { address, holder }: Pick<Owner, "address" | "holder">): boolean =>
  owner?.address === address && owner.holder === holder

/** Returns the keys of the shards whose owners have ended. Their processes can do nothing more in the store. */
const endedOf = Effect.fnUntraced(function*({ hasEnded }: StoreOpening, owners: ReadonlyMap<string, Owner>) {
  const openings = new Set(Array.from(owners.values(), ({ opening = "" }) => opening))
  const ended = new Set(yield* Effect.filter(openings, hasEnded))
  return new Set([...owners].filter(([, { opening = "" }]) => ended.has(opening)).map(([key]) => key))
})

/**
 * Gives a runner those of the shards that no runner holds, that it holds itself, whose lock has ended, or whose owner has
 * ended. A damaged owner keeps its lock until it ends. A damaged lease begins again.
 */
export const acquire = Effect.fnUntraced(function*(
  locks: ShardLocks,
  { endedBefore, opening, ...runner }: RunnerShards & {
    /** The opening of the store by the process of the runner. */
    readonly opening: StoreOpening
    /** Locks that were renewed before this time have ended. */
    readonly endedBefore: number
  }
) {
  const keys = runner.shardIds.map(storageKey)
  const owners = yield* Damage.getEach(locks.owners, keys)
  const leases = yield* Damage.getEach(locks.leases, keys)
  const ended = yield* endedOf(opening, owners.found)
  const acquired = runner.shardIds.filter((shardId) => {
    const key = storageKey(shardId)
    const owner = owners.found.get(key)
    return owner?.address === runner.address || ended.has(key) || (owner === undefined && !owners.damaged.has(key)) ||
      (!leases.damaged.has(key) && (leases.found.get(key) ?? -Infinity) < endedBefore)
  })
  // An owner that stays the same is not written: transactions that have read it are not in conflict.
  const taken = acquired.filter((shardId) => !isOwnedBy(owners.found.get(storageKey(shardId)), runner))
  const { address, holder, now } = runner
  yield* locks.owners.putMany(
    taken.map((shardId) => [storageKey(shardId), { shardId, address, holder, opening: opening.id }])
  )
  yield* locks.leases.putMany([...leases.damaged.keys(), ...acquired.map(storageKey)].map((key) => [key, now]))
  return acquired
})

/** Renews the locks that a runner holds, and returns them. */
export const renew = Effect.fnUntraced(function*(locks: ShardLocks, runner: RunnerShards) {
  const owners = yield* Damage.getEach(locks.owners, runner.shardIds.map(storageKey))
  const held = runner.shardIds.filter((shardId) => isOwnedBy(owners.found.get(storageKey(shardId)), runner))
  yield* locks.leases.putMany(held.map((shardId) => [storageKey(shardId), runner.now]))
  return held
})

/** Releases a shard, if the runner holds it. */
export const release = Effect.fnUntraced(function*(
  locks: ShardLocks,
  { shardId, ...runner }: Pick<Owner, "address" | "holder" | "shardId">
) {
  const key = storageKey(shardId)
  const { found } = yield* Damage.getEach(locks.owners, [key])
  if (isOwnedBy(found.get(key), runner)) yield* locks.owners.delete(key)
})

/** Releases all shards of a runner. */
export const releaseAll = (locks: ShardLocks, { address, holder }: Pick<Owner, "address" | "holder">) =>
  Effect.asVoid(locks.owners.indexes.byHolder.deleteRange({ equals: [holder, storageKey(address)] }))

/** Gives those of the shards that one of the holders has. */
export const heldBy = Effect.fnUntraced(function*(
  locks: ShardLocks,
  holders: { readonly has: (holder: string) => boolean },
  shardIds: ReadonlyArray<string>
) {
  const { found } = yield* Damage.getEach(locks.owners, shardIds.map(storageKey))
  return shardIds.filter((shardId) => {
    const owner = found.get(storageKey(shardId))
    return owner !== undefined && holders.has(owner.holder)
  })
})

/** Gives those of the shards whose locks have not ended. */
export const notEnded = Effect.fnUntraced(function*(
  locks: ShardLocks,
  shardIds: ReadonlyArray<string>,
  endedBefore: number
) {
  const { found } = yield* Damage.getEach(locks.leases, shardIds.map(storageKey))
  return shardIds.filter((shardId) => (found.get(storageKey(shardId)) ?? -Infinity) >= endedBefore)
})
