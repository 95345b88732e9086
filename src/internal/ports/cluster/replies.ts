/**
 * The replies to requests: the chunks of a stream, and the exit.
 *
 * The key has the tag of the reply. So a request has at most one exit, it has each sequence of a chunk once, and the exit
 * comes after the chunks.
 */
import type * as Reply from "effect/cluster/Reply"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ValueDecoding } from "../../../StoreError.ts"
import * as Damage from "../damage.ts"
import * as PortCollection from "../portCollection.ts"

/** The request, the kind of the reply, and the sequence of a chunk. */
const Key = Schema.Tuple([Schema.BigInt, Schema.Literals(["Chunk", "WithExit"]), Schema.Number])

/** An encoded exit. What is inside is checked by the schema of the request, where Effect decodes it. */
const EncodedExit = Schema.declare((input: unknown): input is Reply.WithExitEncoded["exit"] =>
  Predicate.isTagged(input, "Success") || Predicate.isTagged(input, "Failure")
)

const common = { id: Schema.BigInt, requestId: Schema.BigInt }

const Chunk = Schema.Struct({
  ...common,
  _tag: Schema.tag("Chunk"),
  sequence: Schema.Number,
  values: Schema.fromJsonString(Schema.NonEmptyArray(Schema.Unknown)),
  acknowledged: Schema.Boolean
})

const WithExit = Schema.Struct({
  ...common,
  _tag: Schema.tag("WithExit"),
  exit: Schema.fromJsonString(EncodedExit)
})

export const Stored = Schema.Union([Chunk, WithExit])

export type Stored = typeof Stored.Type

export type Exit = typeof WithExit.Type

export const isExit = (reply: Stored): reply is Exit => reply._tag === "WithExit"

/** The name of the collection. */
export const collection = "effect.Cluster.replies"

/** Opens the collection. */
export const open = PortCollection.make(collection, {
  key: Key,
  value: Stored,
  indexes: {
    /** The exits and the chunks that are not acknowledged, by their request. While it has one, its messages do not wait. */
    pending: {
      key: Schema.BigInt,
      of: (reply) => reply._tag === "WithExit" || !reply.acknowledged ? reply.requestId : undefined
    }
  }
})

export type Replies = Effect.Success<typeof open>

const keyOf = (reply: Stored) => [reply.requestId, reply._tag, reply._tag === "Chunk" ? reply.sequence : 0] as const

const fromEncoded = (reply: Reply.Encoded): Stored => {
  const shared = { id: BigInt(reply.id), requestId: BigInt(reply.requestId) }
  return reply._tag === "WithExit"
    ? { ...shared, _tag: "WithExit", exit: reply.exit }
    : { ...shared, _tag: "Chunk", sequence: reply.sequence, values: reply.values, acknowledged: false }
}

/** Gives a reply as Effect has it. */
export const toEncoded = (reply: Stored): Reply.Encoded => {
  const shared = { id: String(reply.id), requestId: String(reply.requestId) }
  return reply._tag === "WithExit"
    ? { ...shared, _tag: "WithExit", exit: reply.exit }
    : { ...shared, _tag: "Chunk", sequence: reply.sequence, values: reply.values }
}

/** Stores a reply. Fails with `KeyExists` if the request has an exit already, or a chunk with this sequence. */
export const insert = (replies: Replies, encoded: Reply.Encoded) => {
  const reply = fromEncoded(encoded)
  return replies.insert(keyOf(reply), reply)
}

/** Reads all replies to a request, in order. */
export const all = (replies: Replies, requestId: bigint) => replies.collect({ prefix: [requestId] })

/** Logs that a reply is damaged, once. */
const reportDamaged = (damage: Damage.Damage, requestId: bigint, error: ValueDecoding) =>
  Damage.report(
    damage,
    error,
    `A reply to the request ${requestId} of the cluster is damaged. Its caller waits until \`clearReplies\` has ` +
      "deleted the replies to the request and a runner has handled it again"
  )

/** Reads the exit of a request and the chunks that are not acknowledged, in order. Leaves out the damaged ones. */
const pending = Effect.fnUntraced(function*(replies: Replies, damage: Damage.Damage, requestId: bigint) {
  const found: Array<Stored> = []
  for (const reply of yield* replies.indexes.pending.collect({ equals: requestId, undecodable: "result" })) {
    if (Result.isSuccess(reply)) found.push(reply.success)
    else yield* reportDamaged(damage, requestId, reply.failure)
  }
  return found
})

/** Reads the exits of requests and the chunks that are not acknowledged, in order. Leaves out the damaged ones. */
export const pendingOf = (replies: Replies, damage: Damage.Damage, requestIds: ReadonlyArray<bigint>) =>
  Effect.map(Effect.forEach(requestIds, (id) => pending(replies, damage, id)), (found) => found.flat())

/** Tells whether a request has an exit or a chunk that is not acknowledged. */
export const hasPending = (replies: Replies, requestId: bigint) => replies.indexes.pending.has(requestId)

/** Reads the last reply to a request: the exit, or the last chunk. */
export const last = (replies: Replies, requestId: bigint) =>
  Effect.map(replies.last({ prefix: [requestId] }), Option.map(([, reply]) => reply))

/** Reads the last reply to a request. A damaged one is not given. */
export const lastSound = (replies: Replies, damage: Damage.Damage, requestId: bigint) =>
  last(replies, requestId).pipe(
    Effect.catchTag("ValueDecoding", (error) => Effect.as(reportDamaged(damage, requestId, error), Option.none()))
  )

/** Returns the sequence of the last chunk of a request, if a chunk is its last reply. */
export const lastChunkOf = (replies: Replies, requestId: bigint) =>
  Effect.map(
    Stream.runHead(replies.keys({ prefix: [requestId], reverse: true, limit: 1 })),
    (key) => Option.isSome(key) && key.value[1] === "Chunk" ? key.value[2] : undefined
  )

/** Reads the last chunks of requests, by the ids of the requests. Gives the errors of those that are damaged. */
export const lastChunks = Effect.fnUntraced(function*(
  replies: Replies,
  requests: ReadonlyArray<{ readonly id: bigint; readonly lastChunk?: number }>
) {
  const keys = requests.flatMap(({ id, lastChunk }) =>
    lastChunk === undefined ? [] : [[id, "Chunk", lastChunk] as const]
  )
  const { damaged, found } = yield* Damage.getEach(replies, keys)
  return {
    found: new Map(Array.from(found.values(), (reply) => [reply.requestId, reply])),
    damaged: new Map(Array.from(damaged, ([[requestId], error]) => [requestId, error]))
  }
})

/**
 * Marks a chunk as acknowledged. Does nothing if the request has no such chunk, or it was acknowledged before, or it is
 * damaged.
 */
export const acknowledge = Effect.fnUntraced(function*(
  replies: Replies,
  damage: Damage.Damage,
  requestId: bigint,
  id: bigint
) {
  for (const reply of yield* pending(replies, damage, requestId)) {
    if (reply._tag === "Chunk" && reply.id === id) yield* replies.put(keyOf(reply), { ...reply, acknowledged: true })
  }
})

/** Deletes all replies to a request. */
export const clear = (replies: Replies, requestId: bigint) => replies.deleteRange({ prefix: [requestId] })
