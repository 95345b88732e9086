/** Takes messages from the mailbox for delivery, with what their entities need to go on. */
import type * as Envelope from "effect/cluster/Envelope"
import type * as Reply from "effect/cluster/Reply"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Claims from "./claims.ts"
import * as Mailbox from "./mailbox.ts"
import * as Messages from "./messages.ts"
import type { MessageStore } from "./messageStore.ts"
import * as Replies from "./replies.ts"

interface Address {
  readonly shardId: { readonly group: string; readonly id: number }
  readonly entityType: string
  readonly entityId: string
}

/** A message for an entity, and the last chunk that its request has sent. */
interface Delivery {
  readonly envelope: Envelope.Encoded
  readonly lastSentReply: Option.Option<Reply.Encoded>
}

const addressKey = ({ entityId, entityType, shardId }: Pick<Mailbox.Entry, "shardId" | "entityType" | "entityId">) =>
  JSON.stringify([shardId, entityType, entityId])

/** Makes a predicate that selects what belongs to one of the addresses. */
export const ofAddresses = (addresses: ReadonlyArray<Address>) => {
  const keys = new Set(
    addresses.map((address) => addressKey({ ...address, shardId: `${address.shardId.group}:${address.shardId.id}` }))
  )
  return (one: Pick<Mailbox.Entry, "shardId" | "entityType" | "entityId">): boolean => keys.has(addressKey(one))
}

/** Takes the messages of shards that are due and not claimed, in the order in which they were stored. */
export const take = Effect.fnUntraced(function*(
  self: MessageStore,
  { addresses, limit, now, shardIds }: {
    readonly shardIds: ReadonlyArray<string>
    readonly now: number
    readonly limit?: number | undefined
    readonly addresses?: ReadonlyArray<Address> | undefined
  }
) {
  const shards = new Set(shardIds)
  const isSelected = addresses === undefined ? () => true : ofAddresses(addresses)
  Claims.forgetFinished(self.claims)
  // A transaction that only reads: all parts of a delivery are of one moment.
  const found = yield* self.store.withTransaction(Effect.gen(function*() {
    const waiting = yield* Mailbox.due(
      self.mailbox,
      (one) => shards.has(one.shardId) && isSelected(one) && !Claims.isClaimed(self.claims, one.id, now),
      { now, limit: limit ?? Infinity }
    )
    return { waiting, deliveries: yield* read(self, waiting) }
  }))
  const claimed = Claims.claim(self.claims, found.waiting, now)
  return claimed.flatMap(({ id }) => found.deliveries.get(id) ?? [])
})

/** Reads messages by their ids if they wait and are due, whether they are claimed or not. Claims nothing. */
export const byIds = (self: MessageStore, ids: ReadonlyArray<bigint>, now: number) =>
  self.store.withTransaction(Effect.gen(function*() {
    const { found } = yield* self.messages.getMany(ids)
    const waiting = yield* Mailbox.waitingOf(self.mailbox, [...found.values()], now)
    return [...(yield* read(self, waiting)).values()]
  }))

/** Reads the messages of entries of the mailbox, in the order of the entries. */
const read = Effect.fnUntraced(function*(self: MessageStore, waiting: ReadonlyArray<Mailbox.Waiting>) {
  const { found } = yield* self.messages.getMany(waiting.map(({ id }) => id))
  const chunks = yield* Replies.lastChunks(self.replies, waiting)
  const deliveries = new Map<bigint, Delivery>()
  for (const { id } of waiting) {
    const message = found.get(id)
    if (message === undefined) continue
    const last = Messages.isRequest(message) ? Option.fromNullishOr(chunks.get(id)) : Option.none()
    deliveries.set(id, {
      envelope: Messages.toEnvelope(message),
      lastSentReply: Option.map(last, Replies.toEncoded)
    })
  }
  return deliveries
})
