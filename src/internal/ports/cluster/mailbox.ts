/**
 * The mailbox of a cluster: the messages that wait to be delivered, in the order of delivery.
 *
 * A message is in the mailbox as long as its request has neither an exit nor a chunk that is not acknowledged. An entry is
 * small, so that a look for messages reads no payloads of messages that it does not deliver.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ValueDecoding } from "../../../StoreError.ts"
import * as Damage from "../damage.ts"
import * as PortCollection from "../portCollection.ts"
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
export const open = PortCollection.make("effect.Cluster.mailbox", { key: Key, value: Entry })

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

/** Returns the name of a shard, as Effect has it. */
export const shardName = ({ group, id }: Message["address"]["shardId"]): string => `${group}:${id}`

const entryOf = ({ address }: Message, lastChunk: number | undefined): Entry => ({
  shardId: shardName(address.shardId),
  entityType: address.entityType,
  entityId: address.entityId,
  ...(lastChunk === undefined ? {} : { lastChunk })
})

/** Makes the entry of a message again. */
export const waitingFor = (message: Message, lastChunk: number | undefined): Waiting => ({
  ...entryOf(message, lastChunk),
  id: message.id,
  sequence: message.sequence
})

/** Puts messages into the mailbox. */
export const add = (mailbox: Mailbox, messages: ReadonlyArray<Message>, lastChunk?: number) =>
  Effect.forEach(messages, (message) => mailbox.put(keyOf(message), entryOf(message, lastChunk)), { discard: true })

/** Takes messages out of the mailbox. */
export const remove = (mailbox: Mailbox, messages: ReadonlyArray<Message>) =>
  Effect.forEach(messages, (message) => mailbox.delete(keyOf(message)), { discard: true })

/** Takes messages of which only the ids are known out of the mailbox. Reads all keys of the mailbox. */
export const removeIds = Effect.fnUntraced(function*(mailbox: Mailbox, ids: ReadonlySet<bigint>) {
  if (ids.size === 0) return
  const keys = yield* Stream.runCollect(Stream.filter(mailbox.keys(), ([, , id]) => ids.has(id)))
  yield* mailbox.deleteMany(keys)
})

/** An entry that does not decode, and the message that it stands for. */
interface DamagedEntry {
  readonly id: bigint
  readonly error: ValueDecoding
}

/** The entries of messages that can be delivered. */
export interface Due {
  readonly waiting: ReadonlyArray<Waiting>
  readonly damaged: ReadonlyArray<DamagedEntry>
}

type Entries = Stream.Success<ReturnType<typeof entriesOf>>

const entriesOf = (mailbox: Mailbox, range: Parameters<Mailbox["entries"]>[0]) =>
  mailbox.entries({ ...range, undecodable: "result" })

/**
 * Reads the first messages that can be delivered and that a predicate accepts, in the order in which they were stored.
 * Messages for a later time are not read. Entries that do not decode do not count for the limit.
 */
export const due = Effect.fnUntraced(function*(
  mailbox: Mailbox,
  accepts: (waiting: Waiting) => boolean,
  { limit, now }: { readonly now: number; readonly limit: number }
) {
  const damaged: Array<DamagedEntry> = []
  const accept = ([[, sequence, id], entry]: Entries): ReadonlyArray<Waiting> => {
    if (Result.isFailure(entry)) {
      damaged.push({ id, error: entry.failure })
      return []
    }
    const waiting = { ...entry.success, sequence, id }
    return accepts(waiting) ? [waiting] : []
  }
  const accepted = (range: Parameters<Mailbox["entries"]>[0]) =>
    Stream.flattenIterable(Stream.map(entriesOf(mailbox, range), accept))
  const atOnce = yield* Stream.runCollect(Stream.take(accepted({ prefix: [0] }), limit))
  const delayed = now > 0
    ? yield* Stream.runCollect(accepted({ gt: [0, Infinity, 0n], lte: [now, Infinity, 0n] }))
    : []
  return { waiting: inOrder([...atOnce, ...delayed]).slice(0, limit), damaged }
})

/** Sorts messages by when they were stored. */
export const inOrder = (waiting: ReadonlyArray<Waiting>): ReadonlyArray<Waiting> =>
  waiting.toSorted((a, b) => a.sequence - b.sequence)

/** Gives the entries of messages that wait in the mailbox and are due, in the order in which they were stored. */
export const waitingOf = Effect.fnUntraced(function*(mailbox: Mailbox, messages: ReadonlyArray<Message>, now: number) {
  const keys = messages.filter(({ deliverAt = 0 }) => deliverAt <= now).map(keyOf)
  const { damaged, found } = yield* Damage.getEach(mailbox, keys)
  return {
    waiting: inOrder(Array.from(found, ([[, sequence, id], entry]) => ({ ...entry, sequence, id }))),
    damaged: Array.from(damaged, ([[, , id], error]) => ({ id, error }))
  }
})
