/**
 * The mailbox of a cluster: the messages that wait to be delivered, in the order of delivery.
 *
 * A message is in the mailbox as long as its request has neither an exit nor a chunk that is not acknowledged. An entry is
 * small, so that a look for messages reads no payloads of messages that it does not deliver.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Collection from "../../../Collection.ts"
import * as TimeSequence from "../timeSequence.ts"
import type { Message } from "./messages.ts"

/** From when on the message can be delivered, 0 for at once; its sequence; its id. */
const Key = Schema.Tuple([Schema.Number, Schema.Number, Schema.BigInt])

const Entry = Schema.Struct({
  shardId: Schema.String,
  entityType: Schema.String,
  entityId: Schema.String,
  /** The sequence of the last chunk, if the request has chunks. All of them are acknowledged. */
  lastChunk: Schema.optionalKey(Schema.Number)
})

export type Entry = typeof Entry.Type

/** An entry of the mailbox, and the message that it stands for. */
export interface Waiting extends Entry {
  readonly id: bigint
  readonly sequence: number
}

/** Opens the collection. */
export const open = Collection.make("effect.Cluster.mailbox", { key: Key, value: Entry })

export type Mailbox = Effect.Success<typeof open>

const issued = TimeSequence.make()

/** Returns the next number of a message. */
export const nextSequence = (now: number): number => TimeSequence.next(issued, now)

/** Continues the numbers after that of the last message that waits. */
export const continueSequence = Effect.fnUntraced(function*(mailbox: Mailbox) {
  const last = yield* Stream.runHead(mailbox.keys({ prefix: [0], reverse: true, limit: 1 }))
  if (Option.isSome(last)) TimeSequence.continueAfter(issued, last.value[1])
}, Effect.catchTag("KeyEncoding", Effect.die))

const keyOf = ({ deliverAt = 0, id, sequence }: Message) => [Math.max(deliverAt, 0), sequence, id] as const

/** Puts messages into the mailbox. */
export const add = (mailbox: Mailbox, messages: ReadonlyArray<Message>, lastChunk?: number) =>
  Effect.forEach(messages, (message) =>
    mailbox.put(keyOf(message), {
      shardId: `${message.address.shardId.group}:${message.address.shardId.id}`,
      entityType: message.address.entityType,
      entityId: message.address.entityId,
      ...(lastChunk === undefined ? {} : { lastChunk })
    }), { discard: true })

/** Takes messages out of the mailbox. */
export const remove = (mailbox: Mailbox, messages: ReadonlyArray<Message>) =>
  Effect.forEach(messages, (message) => mailbox.delete(keyOf(message)), { discard: true })

/**
 * Reads the first messages that can be delivered and that a predicate accepts, in the order in which they were stored.
 * Messages for a later time are not read.
 */
export const due = Effect.fnUntraced(function*(
  mailbox: Mailbox,
  accepts: (waiting: Waiting) => boolean,
  { limit, now }: { readonly now: number; readonly limit: number }
) {
  const accepted = (entries: ReturnType<Mailbox["entries"]>) =>
    entries.pipe(
      Stream.map(([[, sequence, id], entry]): Waiting => ({ ...entry, sequence, id })),
      Stream.filter(accepts)
    )
  const atOnce = yield* Stream.runCollect(Stream.take(accepted(mailbox.entries({ prefix: [0] })), limit))
  const delayed = now > 0
    ? yield* Stream.runCollect(accepted(mailbox.entries({ gt: [0, Infinity, 0n], lte: [now, Infinity, 0n] })))
    : []
  return [...atOnce, ...delayed].toSorted((a, b) => a.sequence - b.sequence).slice(0, limit)
})

/** Gives the entries of messages that wait in the mailbox and are due, in the order in which they were stored. */
export const waitingOf = Effect.fnUntraced(function*(mailbox: Mailbox, messages: ReadonlyArray<Message>, now: number) {
  const { found } = yield* mailbox.getMany(messages.filter(({ deliverAt = 0 }) => deliverAt <= now).map(keyOf))
  return Array.from(found, ([[, sequence, id], entry]): Waiting => ({ ...entry, sequence, id }))
    .toSorted((a, b) => a.sequence - b.sequence)
})
