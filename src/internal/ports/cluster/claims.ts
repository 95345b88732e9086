/**
 * The messages that this runner has taken from the mailbox and works on.
 *
 * A claim is kept in the process: one runner at a time owns a shard, and it releases the claims of a shard when it gets
 * the shard. So taking messages writes nothing, and a message whose process has died waits for nothing.
 */
import * as Context from "effect/Context"
import type { Waiting } from "./mailbox.ts"

/** How long a claim lasts, in milliseconds: as long as in Effect's other storages. */
const lifetime = 10 * 60 * 1000

/** What a claim is about. */
type Claimed = Pick<Waiting, "id" | "shardId" | "entityType" | "entityId">

interface Claim extends Omit<Claimed, "id"> {
  /** When the claim ends, in milliseconds. */
  readonly until: number
}

export interface Claims {
  readonly byMessage: Map<bigint, Claim>
  /** The messages that have left the mailbox for good. */
  readonly finished: Set<bigint>
  /** The messages that are claimed and were not delivered, because they are damaged. */
  readonly undelivered: Set<bigint>
}

export const make = (): Claims => ({ byMessage: new Map(), finished: new Set(), undelivered: new Set() })

export const isClaimed = ({ byMessage }: Claims, id: bigint, now: number): boolean => {
  const claim = byMessage.get(id)
  return claim !== undefined && claim.until > now
}

/** Claims those of the messages that are not claimed, and returns them. */
export const claim = <M extends Claimed>(claims: Claims, messages: ReadonlyArray<M>, now: number): ReadonlyArray<M> =>
  messages.filter((message) => {
    if (isClaimed(claims, message.id, now)) return false
    const { entityId, entityType, id, shardId } = message
    claims.byMessage.set(id, { shardId, entityType, entityId, until: now + lifetime })
    return true
  })

/** Releases the claims of messages. */
export const releaseMessages = ({ byMessage }: Claims, ids: Iterable<bigint>): void => {
  for (const id of ids) byMessage.delete(id)
}

/** Releases the claim of a message that was damaged when it was claimed: it is stored again. */
export const releaseUndelivered = (claims: Claims, id: bigint): void => {
  if (claims.undelivered.delete(id)) releaseMessages(claims, [id])
}

/** Releases the claims that a predicate selects. */
export const releaseWhere = ({ byMessage }: Claims, selects: (claim: Claim) => boolean): void => {
  for (const [id, one] of byMessage) if (selects(one)) byMessage.delete(id)
}

/**
 * Forgets the claims of the messages that are finished. It is called before the mailbox is read: a reader that has begun
 * before still finds such a message there, and its claim.
 */
export const forgetFinished = (claims: Claims): void => {
  releaseMessages(claims, claims.finished)
  claims.finished.clear()
}

/** The messages that the transaction of the caller has finished. They are finished when it is committed. */
export const FinishedInTransaction = Context.Reference<Array<bigint> | undefined>(
  "effect-lmdb/Cluster/FinishedInTransaction",
  { defaultValue: () => undefined }
)
