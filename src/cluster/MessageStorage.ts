/**
 * Keeps the messages of a cluster, and the replies to them, in a store: Effect's `MessageStorage`.
 *
 * **Details**
 *
 * - What is saved is on disk when the call returns. Fibers that save at the same time share commits.
 * - A look for messages writes nothing. The process remembers which messages its runner has taken. After a crash no message
 *   waits for a claim to end.
 * - A message or a reply that the store cannot decode is left out. The others are given, and the log tells of it once.
 * - Every failure is a `PersistenceError`. Its `cause` is the error of the store.
 *
 * @since 0.2.0
 */
import * as Clock from "effect/Clock"
import * as Entity from "effect/cluster/Entity"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import type { OpenError } from "../Collection.ts"
import { CallerFailure } from "../internal/ports/callerFailure.ts"
import * as Claims from "../internal/ports/cluster/claims.ts"
import * as Mailbox from "../internal/ports/cluster/mailbox.ts"
import * as MailboxReads from "../internal/ports/cluster/mailboxReads.ts"
import * as Cleanup from "../internal/ports/cluster/messageCleanup.ts"
import * as Messages from "../internal/ports/cluster/messages.ts"
import * as MessageStore from "../internal/ports/cluster/messageStore.ts"
import { orFail } from "../internal/ports/cluster/persistenceError.ts"
import * as Replies from "../internal/ports/cluster/replies.ts"
import * as ShardOwnership from "../internal/ports/cluster/shardOwnership.ts"
import type { Store } from "../Store.ts"

const { Duplicate, Success } = MessageStorage.SaveResultEncoded

/**
 * Makes the storage in its encoded form, for an adapter of your own. It has its own claims: one for each runner.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeEncoded: Effect.Effect<MessageStorage.Encoded, OpenError, Store> = Effect.map(
  MessageStore.open,
  (self): MessageStorage.Encoded => ({
    saveEnvelope: ({ deliverAt, envelope, primaryKey }) =>
      Clock.currentTimeMillis.pipe(
        Effect.flatMap((now) => {
          const sequence = Mailbox.nextSequence(now)
          const message = Messages.fromEnvelope(envelope, { sequence, primaryKey, deliverAt })
          return Messages.isRequest(message)
            ? MessageStore.saveRequest(self, message)
            : Effect.as(MessageStore.saveControl(self, message), Option.none<MessageStore.Known>())
        }),
        Effect.map(Option.match({
          onNone: () => Success(),
          onSome: ({ id, lastReply }) =>
            Duplicate({
              originalId: Snowflake.Snowflake(id),
              lastReceivedReply: Option.map(lastReply, Replies.toEncoded)
            })
        })),
        orFail
      ),
    saveReply: (reply) => orFail(MessageStore.saveReply(self, reply)),
    clearReplies: (requestId, options) => orFail(MessageStore.clearReplies(self, requestId, options?.expectedReplyId)),
    requestIdForPrimaryKey: (primaryKey) =>
      Effect.gen(function*() {
        const id = yield* Messages.idOfPrimaryKey(self.messages, primaryKey)
        return Option.isSome(id) && (yield* self.messages.has(id.value))
          ? Option.some(Snowflake.Snowflake(id.value))
          : Option.none()
      }).pipe(orFail),
    repliesFor: (requestIds) =>
      Replies.pendingOf(self.replies, self.damage, requestIds.map(BigInt)).pipe(
        Effect.map((replies) => replies.map(Replies.toEncoded)),
        orFail
      ),
    repliesForUnfiltered: (requestIds) =>
      Effect.forEach(requestIds, (id) => Replies.all(self.replies, BigInt(id))).pipe(
        Effect.map((replies) => replies.flat().map(Replies.toEncoded)),
        orFail
      ),
    unprocessedMessages: (shardIds, now, options) =>
      options?.addresses?.length === 0
        ? Effect.succeed([])
        : orFail(MailboxReads.take(self, { ...options, shardIds, now })),
    unprocessedMessagesById: (ids, now) => orFail(MailboxReads.byIds(self, [...ids], now)),
    resetRequests: (ids) => Effect.sync(() => Claims.releaseMessages(self.claims, ids)),
    resetAddresses: (addresses) =>
      Effect.sync(() => Claims.releaseWhere(self.claims, MailboxReads.ofAddresses(addresses))),
    resetShards: (shardIds) =>
      Effect.sync(() => Claims.releaseWhere(self.claims, ({ shardId }) => shardIds.includes(shardId))),
    clearAddress: (address) => orFail(MessageStore.clearEntity(self, address)),
    withTransaction: (effect) => withTransaction(self, effect)
  })
)

/**
 * Fails if another runner handles the messages of the entity that runs the effect. From then on, the transaction is in
 * conflict with a runner that takes the shard of the entity.
 */
const checkShard = ({ holders }: MessageStore.MessageStore) =>
  Effect.flatMap(Effect.serviceOption(Entity.CurrentAddress), (address) =>
    Option.isNone(address)
      ? Effect.void
      : ShardOwnership.check(holders, Mailbox.shardName(address.value.shardId)))

/**
 * Runs the effect of a caller, once, in a transaction. The entity manager has counted on the reply of the effect when it
 * ends, so a transaction that is in conflict is not run again: it is a defect, and Effect delivers the request again.
 */
const withTransaction = <A, E, R>(
  self: MessageStore.MessageStore,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  References.TracerEnabled.use((isTraced) => {
    const finished: Array<bigint> = []
    return effect.pipe(
      Effect.withTracerEnabled(isTraced),
      Effect.provideService(Claims.FinishedInTransaction, finished),
      Effect.mapError((error) => new CallerFailure(error)),
      (handler) => Effect.andThen(checkShard(self), handler),
      self.store.withTransactionRetry(Schedule.recurs(0)),
      Effect.withTracerEnabled(false),
      Effect.catch((error) => error instanceof CallerFailure ? Effect.fail(error.error) : Effect.die(error)),
      Effect.tap(() => MessageStore.finish(self, finished))
    )
  })

/**
 * Makes the storage in the store of the context.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: Effect.Effect<
  MessageStorage.MessageStorage["Service"],
  OpenError,
  Store | Snowflake.Generator
> = Effect.flatMap(makeEncoded, MessageStorage.makeEncoded)

/**
 * Provides Effect's `MessageStorage` in the store of the context.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer: Layer.Layer<MessageStorage.MessageStorage, OpenError, Store> = Layer.effect(
  MessageStorage.MessageStorage,
  make
).pipe(Layer.provide(Snowflake.layerGenerator))

/**
 * Options of the deletion of answered requests.
 *
 * @category options
 * @since 0.2.0
 */
export interface CleanupOptions {
  /** How long a request stays after it was answered. Default: 30 days. */
  readonly timeToLive?: Duration.Input | undefined
  /** How often the layer looks for such requests. Default: 1 hour. */
  readonly interval?: Duration.Input | undefined
}

/**
 * Deletes requests some time after they were answered, with their replies, as long as the layer is there. Without this
 * layer they stay in the store until `clearAddress`, as in Effect's other storages.
 *
 * **Details**
 *
 * - What waits for a runner or for its answer stays, however old it is.
 * - After its deletion, a request with the same primary key is a new request: it is handled again.
 * - The messages of a workflow are deleted together, when the workflow and its parent have completed. After that, the same
 *   payload starts the workflow anew.
 * - A pass reads only requests that are older than `timeToLive`. Several processes can have the layer.
 *
 * @category layers
 * @since 0.2.0
 */
export const layerCleanup = (options?: CleanupOptions): Layer.Layer<never, OpenError, Store> => {
  const timeToLive = Duration.toMillis(options?.timeToLive ?? Duration.days(30))
  return Layer.effectDiscard(Effect.gen(function*() {
    const self = yield* MessageStore.open
    const pass = Effect.flatMap(Clock.currentTimeMillis, (now) => Cleanup.deleteAnswered(self, now - timeToLive))
    yield* pass.pipe(
      Effect.withTracerEnabled(false),
      Effect.catchCause((cause) => Effect.logWarning("Failed to delete answered requests of the cluster", cause)),
      Effect.repeat(Schedule.spaced(options?.interval ?? Duration.hours(1))),
      Effect.forkScoped
    )
  }))
}
