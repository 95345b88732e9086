/**
 * Which shards this process holds, for its storage of messages.
 *
 * A process can stop for a while, and go on after its shards have passed to other runners. It notices that when it renews
 * its locks. Until then, the storage of messages refuses what only the runner that holds a shard may do. It checks the lock
 * in the transaction of the call itself.
 *
 * A process that has acquired no shard in a store may do everything: it has no runners there, or keeps their locks in
 * memory.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { StoreOpening } from "../../../StoreOpening.ts"
import type { StoreService } from "../../../StoreService.ts"
import * as ShardLocks from "./shardLocks.ts"

/** A storage of runners of this process that has acquired shards. */
interface Holding {
  readonly locks: ShardLocks.ShardLocks
  /** How long a lock lasts, in milliseconds. */
  readonly expiration: number
}

/** The storages of runners of a store, by the names of their holders. */
type Holders = Map<string, Holding>

/** The holders of each open store in this process, whose handles all have the same opening. */
const byOpening = new WeakMap<StoreOpening, Holders>()

/** Returns the holders of a store. */
export const holdersOf = ({ opening }: StoreService): Holders => {
  const holders: Holders = byOpening.get(opening) ?? new Map()
  byOpening.set(opening, holders)
  return holders
}

/** Another runner handles the messages of a shard now. */
export class ShardNotHeld extends Data.TaggedError("ShardNotHeld")<{ readonly shardId: string }> {
  override readonly message =
    `This process no longer holds the shard ${this.shardId}. The runner that holds it handles its messages again`
}

/** Fails if this process does not hold a shard. */
export const check = Effect.fnUntraced(function*(holders: Holders, shardId: string) {
  const [holding] = holders.values()
  if (holding === undefined) return
  const held = yield* ShardLocks.heldBy(holding.locks, holders, [shardId])
  if (held.length === 0) return yield* new ShardNotHeld({ shardId })
})

/** Gives those of the shards that this process holds and whose locks have not ended. */
export const current = Effect.fnUntraced(function*(holders: Holders, shardIds: ReadonlyArray<string>, now: number) {
  const [holding] = holders.values()
  if (holding === undefined) return shardIds
  const held = yield* ShardLocks.heldBy(holding.locks, holders, shardIds)
  return yield* ShardLocks.notEnded(holding.locks, held, now - holding.expiration)
})
