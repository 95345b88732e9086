/** Takes messages from the mailbox for delivery, with what their entities need to go on. */
import type * as Envelope from "effect/cluster/Envelope"
import type * as Reply from "effect/cluster/Reply"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ReadError } from "../../../CollectionRange.ts"
import type { ValueDecoding } from "../../../StoreError.ts"
import * as Damage from "../damage.ts"
import * as Claims from "./claims.ts"
import * as Mailbox from "./mailbox.ts"
import * as Messages from "./messages.ts"
import { type MessageStore, reportDamaged } from "./messageStore.ts"
import * as Replies from "./replies.ts"
import * as ShardOwnership from "./shardOwnership.ts"

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
    addresses.map((address) => addressKey({ ...address, shardId: Mailbox.shardName(address.shardId) }))
  )
  return (one: Pick<Mailbox.Entry, "shardId" | "entityType" | "entityId">): boolean => keys.has(addressKey(one))
}

/** What a look has found: messages to deliver, and damaged records. */
interface Found {
  readonly deliveries: ReadonlyMap<bigint, Delivery>
  readonly damaged: ReadonlyMap<bigint, ValueDecoding>
}

interface TakeOptions {
  readonly shardIds: ReadonlyArray<string>
  readonly now: number
  readonly limit?: number | undefined
  readonly addresses?: ReadonlyArray<Address> | undefined
}

/**
 * Takes the messages of shards that are due and not claimed, in the order in which they were stored. The messages of a
 * shard that this process has lost stay where they are.
 */
export const take = Effect.fnUntraced(function*(self: MessageStore, options: TakeOptions) {
  const { limit = Infinity } = options
  const deliveries: Array<Delivery> = []
  while (true) {
    const found = yield* takeOnce(self, { ...options, limit: limit - deliveries.length })
    deliveries.push(...found.deliveries)
    // The damaged ones are claimed now, and others can be taken in place of them.
    if (found.damaged.size === 0 || deliveries.length === limit) return deliveries
  }
})

const takeOnce = Effect.fnUntraced(function*(
  self: MessageStore,
  { addresses, limit, now, shardIds }: TakeOptions & { readonly limit: number }
) {
  const shards = new Set(shardIds)
  const isSelected = addresses === undefined ? () => true : ofAddresses(addresses)
  const accepts = (one: Mailbox.Waiting) =>
    shards.has(one.shardId) && isSelected(one) && !Claims.isClaimed(self.claims, one.id, now)
  Claims.forgetFinished(self.claims)
  // A transaction that only reads: all parts of a delivery are of one moment.
  const found = yield* self.store.withTransaction(Effect.gen(function*() {
    const waiting = yield* withDamaged(self, yield* Mailbox.due(self.mailbox, accepts, { now, limit }), accepts)
    const taken = (yield* ofHeldShards(self, waiting, now)).slice(0, limit)
    return { taken, ...(yield* read(self, taken)) }
  }))
  const claimed = Claims.claim(self.claims, found.taken, now)
  for (const id of found.damaged.keys()) self.claims.undelivered.add(id)
  yield* reportDamaged(self, found.damaged)
  return { deliveries: claimed.flatMap(({ id }) => found.deliveries.get(id) ?? []), damaged: found.damaged }
})

/** Reads messages by their ids if they wait and are due, whether they are claimed or not. Claims nothing. */
export const byIds = Effect.fnUntraced(function*(self: MessageStore, ids: ReadonlyArray<bigint>, now: number) {
  const found = yield* self.store.withTransaction(Effect.gen(function*() {
    const messages = yield* Damage.getEach(self.messages, ids)
    const due = yield* Mailbox.waitingOf(self.mailbox, [...messages.found.values()], now)
    const waiting = yield* withDamaged(self, due, () => true)
    const all = yield* read(self, yield* ofHeldShards(self, waiting, now))
    return { ...all, damaged: new Map([...messages.damaged, ...all.damaged]) }
  }))
  yield* reportDamaged(self, found.damaged)
  return [...found.deliveries.values()]
})

/** Selects the messages of shards that this process has not lost. */
const ofHeldShards = Effect.fnUntraced(function*(
  self: MessageStore,
  waiting: ReadonlyArray<Mailbox.Waiting>,
  now: number
) {
  const shardIds = [...new Set(waiting.map(({ shardId }) => shardId))]
  const held = new Set(yield* ShardOwnership.current(self.holders, shardIds, now))
  return waiting.filter(({ shardId }) => held.has(shardId))
})

/** Adds the entries that are damaged to those that are not: all that they have is in other records. */
const withDamaged = Effect.fnUntraced(function*(
  self: MessageStore,
  { damaged, waiting }: Mailbox.Due,
  accepts: (one: Mailbox.Waiting) => boolean
) {
  if (damaged.length === 0) return waiting
  const messages = yield* Damage.getEach(self.messages, damaged.map(({ id }) => id))
  yield* reportDamaged(self, messages.damaged)
  const made: Array<Mailbox.Waiting> = []
  for (const message of messages.found.values()) {
    made.push(Mailbox.waitingFor(message, yield* Replies.lastChunkOf(self.replies, message.requestId)))
  }
  return Mailbox.inOrder([...waiting, ...made.filter(accepts)])
})

/** Reads the messages of entries of the mailbox, in the order of the entries. */
const read = Effect.fnUntraced(function*(
  self: MessageStore,
  waiting: ReadonlyArray<Mailbox.Waiting>
): Effect.fn.Return<Found, ReadError> {
  const { damaged, found } = yield* Damage.getEach(self.messages, waiting.map(({ id }) => id))
  const chunks = yield* Replies.lastChunks(self.replies, waiting)
  const deliveries = new Map<bigint, Delivery>()
  for (const { id } of waiting) {
    const message = found.get(id)
    if (message === undefined || chunks.damaged.has(id)) continue
    const last = Messages.isRequest(message) ? Option.fromNullishOr(chunks.found.get(id)) : Option.none()
    deliveries.set(id, {
      envelope: Messages.toEnvelope(message),
      lastSentReply: Option.map(last, Replies.toEncoded)
    })
  }
  return { deliveries, damaged: new Map([...damaged, ...chunks.damaged]) }
})
