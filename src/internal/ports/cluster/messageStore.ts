/**
 * The messages of a cluster, their replies and the mailbox, changed together.
 *
 *              saved                              exit saved
 *     request ───────> waits in the mailbox ────────────────────> answered
 *                          │         ^                                │
 *              chunk saved │         │ chunk acknowledged             │ replies cleared
 *                          v         │                                v
 *                       waits for the acknowledgement         waits in the mailbox
 *
 * Acknowledgements and interrupts wait in the mailbox when their request does.
 */
import type * as Envelope from "effect/cluster/Envelope"
import type * as Reply from "effect/cluster/Reply"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { Store } from "../../../Store.ts"
import type { ValueDecoding } from "../../../StoreError.ts"
import type { StoreService } from "../../../StoreService.ts"
import * as Damage from "../damage.ts"
import * as Claims from "./claims.ts"
import * as Mailbox from "./mailbox.ts"
import * as Messages from "./messages.ts"
import * as Replies from "./replies.ts"
import * as ShardOwnership from "./shardOwnership.ts"

export interface MessageStore {
  readonly store: StoreService
  readonly messages: Messages.Messages
  readonly mailbox: Mailbox.Mailbox
  readonly replies: Replies.Replies
  readonly claims: Claims.Claims
  readonly damage: Damage.Damage
  readonly holders: ReturnType<typeof ShardOwnership.holdersOf>
}

/** Opens the collections. */
export const open = Effect.gen(function*() {
  const store = yield* Store
  const self: MessageStore = {
    store,
    messages: yield* Messages.open,
    mailbox: yield* Mailbox.open,
    replies: yield* Replies.open,
    claims: Claims.make(),
    damage: Damage.make(),
    holders: ShardOwnership.holdersOf(store)
  }
  yield* Mailbox.continueSequence(self.mailbox)
  return self
})

/** The request that was stored before with the same primary key or id, and its last reply. */
export interface Known {
  readonly id: bigint
  readonly lastReply: Option.Option<Replies.Stored>
}

/** The request is damaged, so that no runner can handle it again. */
class RequestDamaged extends Data.TaggedError("RequestDamaged")<{
  readonly requestId: bigint
  readonly cause: ValueDecoding
}> {
  override readonly message = `The request ${this.requestId} of the cluster is damaged, so no runner can handle it ` +
    "again, and the replies to it stay. Send it again with its primary key, restore a backup, or delete all messages to " +
    "its entity with `clearAddress`"
}

/**
 * Reads a request and its acknowledgements and interrupts, in the order in which they were stored. Leaves out the damaged
 * ones, and gives their errors.
 */
const readOfRequest = Effect.fnUntraced(function*(self: MessageStore, requestId: bigint) {
  const read = yield* Messages.ofRequest(self.messages, requestId)
  yield* reportDamaged(self, read.damaged)
  return read
})

/** Logs that messages are damaged and are not delivered, once for each. */
export const reportDamaged = (self: MessageStore, damaged: ReadonlyMap<bigint, ValueDecoding>) =>
  Effect.forEach(damaged, ([id, error]) =>
    Damage.report(
      self.damage,
      error,
      `The message ${id} of the cluster is damaged and is not delivered. The other messages are. Restore a backup, or ` +
        "delete all messages to its entity with `clearAddress`"
    ), { discard: true })

/**
 * Stores a request, unless it is known. If the known one is damaged, or was when it was deleted, the request is stored under
 * the known id.
 */
export const saveRequest = Effect.fnUntraced(
  function*(self: MessageStore, request: Messages.Request) {
    const byKey = request.primaryKey === undefined
      ? Option.none()
      : yield* Messages.idOfPrimaryKey(self.messages, request.primaryKey)
    const id = Option.getOrElse(byKey, () => request.id)
    const { damaged, found } = yield* Damage.getEach(self.messages, [id])
    if (damaged.size === 0 && found.size === 0 && Option.isNone(byKey)) {
      yield* self.messages.insert(id, request)
      yield* Mailbox.add(self.mailbox, [request])
      return Option.none<Known>()
    }
    if (found.size === 0) yield* replaceDamaged(self, { ...request, id, requestId: id })
    return Option.some<Known>({ id, lastReply: yield* Replies.lastSound(self.replies, self.damage, id) })
  },
  (effect, self) =>
    Effect.tap(
      self.store.withTransaction(effect),
      (known) => Effect.sync(() => Option.map(known, ({ id }) => Claims.releaseUndelivered(self.claims, id)))
    )
)

/**
 * Stores a request in place of its damaged record. Its caller has sent it again: with the same primary key or id, it is the
 * same request. It stays before its acknowledgements and interrupts.
 */
const replaceDamaged = Effect.fnUntraced(function*(self: MessageStore, sent: Messages.Request) {
  const { messages } = yield* Messages.ofRequest(self.messages, sent.id)
  const request = { ...sent, sequence: Math.min(sent.sequence, ...messages.map(({ sequence }) => sequence - 1)) }
  yield* Mailbox.removeIds(self.mailbox, new Set([request.id]))
  yield* self.messages.put(request.id, request)
  if (yield* Replies.hasPending(self.replies, request.id)) return
  yield* Mailbox.add(self.mailbox, [request], yield* Replies.lastChunkOf(self.replies, request.id))
})

/**
 * Stores an acknowledgement or an interrupt. An acknowledgement replaces the earlier ones of its request, and the messages
 * of the request wait again if it was the last one that was missing.
 */
export const saveControl = Effect.fnUntraced(
  function*(self: MessageStore, message: Exclude<Messages.Message, Messages.Request>) {
    if (message._tag === "AckChunk") {
      yield* Replies.acknowledge(self.replies, self.damage, message.requestId, message.replyId)
      const { messages: earlier } = yield* readOfRequest(self, message.requestId)
      yield* forget(self, earlier.filter(({ _tag }) => _tag === "AckChunk"))
    }
    yield* self.messages.insert(message.id, message)
    if (yield* Replies.hasPending(self.replies, message.requestId)) return
    const { messages } = yield* readOfRequest(self, message.requestId)
    yield* Mailbox.add(self.mailbox, messages, yield* Replies.lastChunkOf(self.replies, message.requestId))
  },
  (effect, self) => self.store.withTransaction(effect)
)

/**
 * Stores a reply. Fails with `KeyExists` if there is a second exit, or a second chunk with the same sequence, and with
 * `ShardNotHeld` if another runner handles the request now.
 */
export const saveReply = Effect.fnUntraced(function*(self: MessageStore, reply: Reply.Encoded) {
  const isExit = reply._tag === "WithExit"
  const ids = yield* self.store.withTransaction(Effect.gen(function*() {
    yield* Replies.insert(self.replies, reply)
    const { damaged, messages } = yield* readOfRequest(self, BigInt(reply.requestId))
    const shardId = shardOf(self, messages, damaged)
    if (shardId !== undefined) yield* ShardOwnership.check(self.holders, shardId)
    yield* Mailbox.remove(self.mailbox, messages)
    const damagedIds = new Set(damaged.keys())
    if (isExit) yield* Mailbox.removeIds(self.mailbox, damagedIds)
    return [...messages.map(({ id }) => id), ...damagedIds]
  }))
  if (isExit) yield* finish(self, ids)
})

/**
 * Returns the shard of a request. If its record is damaged, the acknowledgements and interrupts of the request have the
 * shard too, and so has the claim of the runner that handles it. A request that is in none of them is known to no other
 * runner, as damaged messages are not delivered.
 */
const shardOf = (
  { claims }: MessageStore,
  messages: ReadonlyArray<Messages.Message>,
  damaged: ReadonlyMap<bigint, ValueDecoding>
): string | undefined => {
  const [first] = messages
  return first === undefined
    ? Array.from(damaged.keys(), (id) => claims.byMessage.get(id)?.shardId).find(Predicate.isNotUndefined)
    : Mailbox.shardName(first.address.shardId)
}

/** Notes that messages have left the mailbox for good, as soon as that is committed. */
export const finish = (self: MessageStore, ids: ReadonlyArray<bigint>) =>
  Claims.FinishedInTransaction.use((inTransaction) =>
    Effect.sync(() => {
      for (const id of ids) {
        if (inTransaction === undefined) self.claims.finished.add(id)
        else inTransaction.push(id)
      }
    })
  )

/**
 * Deletes the replies to a request, so that it waits again. With `expectedReplyId`, only if that is its last reply.
 * Interrupts are deleted too, unless there is an expected reply: they were sent to the run that it has ended. Fails with
 * `RequestDamaged` if the request is damaged: without its replies, it would have no answer any more.
 */
export const clearReplies = Effect.fnUntraced(function*(
  self: MessageStore,
  requestId: bigint,
  expectedReplyId: bigint | undefined
) {
  const waiting = yield* self.store.withTransaction(Effect.gen(function*() {
    if (expectedReplyId !== undefined) {
      const last = yield* Replies.last(self.replies, requestId)
      if (Option.isNone(last) || last.value.id !== expectedReplyId) return []
    }
    const { damaged, messages: all } = yield* readOfRequest(self, requestId)
    const cause = damaged.get(requestId)
    if (cause !== undefined) return yield* new RequestDamaged({ requestId, cause })
    yield* Replies.clear(self.replies, requestId)
    const ended = all.filter(({ _tag }) => _tag === "Interrupt" && expectedReplyId === undefined)
    yield* forget(self, ended)
    const rest = all.filter((message) => !ended.includes(message))
    yield* Mailbox.add(self.mailbox, rest)
    return rest
  }))
  Claims.releaseMessages(self.claims, waiting.map(({ id }) => id))
})

type EntityName = Pick<Envelope.Encoded["address"], "entityType" | "entityId">

/** Deletes all messages to an entity, and the replies to them, damaged ones too. */
export const clearEntity = (self: MessageStore, entity: EntityName) =>
  Effect.map(
    self.store.withTransaction(deleteEntity(self, entity)),
    (ids) => Claims.releaseMessages(self.claims, ids)
  )

/** Deletes what `clearEntity` deletes, in the transaction of the caller. Returns the ids of the messages. */
export const deleteEntity = Effect.fnUntraced(function*(self: MessageStore, entity: EntityName) {
  const keys = self.messages.indexes.byEntity.keys({ equals: Messages.entityKey(entity) })
  const ids = yield* Stream.runCollect(keys)
  for (const id of ids) yield* Replies.clear(self.replies, id)
  yield* forgetIds(self, ids)
  return ids
})

/** Deletes a request and all that belongs to it, damaged or not, in the transaction of the caller. */
export const deleteRequest = Effect.fnUntraced(function*(self: MessageStore, requestId: bigint) {
  yield* Replies.clear(self.replies, requestId)
  yield* forgetIds(self, [requestId, ...(yield* Messages.controlIds(self.messages, requestId))])
})

/** Deletes messages by their ids, damaged ones too. */
const forgetIds = Effect.fnUntraced(function*(self: MessageStore, ids: ReadonlyArray<bigint>) {
  const { damaged, found } = yield* Damage.getEach(self.messages, ids)
  yield* forget(self, [...found.values()])
  yield* Mailbox.removeIds(self.mailbox, new Set(damaged.keys()))
  yield* self.messages.deleteMany([...damaged.keys()])
})

const forget = Effect.fnUntraced(function*(self: MessageStore, messages: ReadonlyArray<Messages.Message>) {
  yield* Mailbox.remove(self.mailbox, messages)
  for (const { id } of messages) yield* self.messages.delete(id)
})
