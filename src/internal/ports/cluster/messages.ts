/**
 * The messages of a cluster: requests to entities, and the acknowledgements and interrupts that follow them.
 *
 * A record never changes after it was stored. What is waiting to be delivered is in the mailbox.
 */
import type * as Envelope from "effect/cluster/Envelope"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ReadError } from "../../../CollectionRange.ts"
import type { ValueDecoding } from "../../../StoreError.ts"
import * as Damage from "../damage.ts"
import * as PortCollection from "../portCollection.ts"
import { storageKey } from "../storageKey.ts"

/** What all kinds of messages have. Ids are snowflakes of 63 bits. */
const common = {
  id: Schema.BigInt,
  requestId: Schema.BigInt,
  address: Schema.Struct({
    shardId: Schema.Struct({ group: Schema.String, id: Schema.Number }),
    entityType: Schema.String,
    entityId: Schema.String
  }),
  /** Orders the messages by when they were stored. */
  sequence: Schema.Number,
  /** From when on the message can be delivered, in milliseconds. */
  deliverAt: Schema.optionalKey(Schema.Number)
}

const Request = Schema.Struct({
  ...common,
  _tag: Schema.tag("Request"),
  /** The whole primary key. Its index may have a hash of it. */
  primaryKey: Schema.optionalKey(Schema.String),
  tag: Schema.String,
  payload: Schema.fromJsonString(Schema.Unknown),
  headers: Schema.Record(Schema.String, Schema.String),
  traceId: Schema.optionalKey(Schema.String),
  spanId: Schema.optionalKey(Schema.String),
  sampled: Schema.optionalKey(Schema.Boolean)
})

const AckChunk = Schema.Struct({ ...common, _tag: Schema.tag("AckChunk"), replyId: Schema.BigInt })

const Interrupt = Schema.Struct({ ...common, _tag: Schema.tag("Interrupt") })

export const Message = Schema.Union([Request, AckChunk, Interrupt])

export type Message = typeof Message.Type

export type Request = typeof Request.Type

/** The name of the collection. */
export const collection = "effect.Cluster.messages"

/** Opens the collection. */
export const open = PortCollection.make(collection, {
  key: Schema.BigInt,
  value: Message,
  indexes: {
    byPrimaryKey: {
      key: Schema.String,
      unique: true,
      of: (message) =>
        message._tag === "Request" && message.primaryKey !== undefined ? storageKey(message.primaryKey) : undefined
    },
    /** The acknowledgements and interrupts, by their request. */
    control: {
      key: Schema.BigInt,
      of: ({ _tag, requestId }) => _tag === "Request" ? undefined : requestId
    },
    byEntity: {
      key: Schema.Tuple([Schema.String, Schema.String]),
      of: ({ address }) => entityKey(address)
    }
  }
})

export type Messages = Effect.Success<typeof open>

/** Returns the key of an entity in the index `byEntity`. */
export const entityKey = (
  { entityId, entityType }: { readonly entityType: string; readonly entityId: string }
): readonly [string, string] => [storageKey(entityType), storageKey(entityId)]

/** Makes the record of an envelope. */
export const fromEnvelope = (
  envelope: Envelope.Encoded,
  options: { readonly sequence: number; readonly primaryKey: string | null; readonly deliverAt: number | null }
): Message => {
  const { shardId } = envelope.address
  const shared = {
    requestId: BigInt(envelope.requestId),
    address: {
      shardId: { group: shardId.group, id: shardId.id },
      entityType: envelope.address.entityType,
      entityId: envelope.address.entityId
    },
    sequence: options.sequence,
    ...(options.deliverAt === null ? {} : { deliverAt: options.deliverAt })
  }
  switch (envelope._tag) {
    case "Request":
      return {
        ...shared,
        _tag: "Request",
        id: shared.requestId,
        tag: envelope.tag,
        payload: envelope.payload,
        headers: { ...envelope.headers },
        ...(options.primaryKey === null ? {} : { primaryKey: options.primaryKey }),
        ...(envelope.traceId === undefined ? {} : { traceId: envelope.traceId }),
        ...(envelope.spanId === undefined ? {} : { spanId: envelope.spanId }),
        ...(envelope.sampled === undefined ? {} : { sampled: envelope.sampled })
      }
    case "AckChunk":
      return { ...shared, _tag: "AckChunk", id: BigInt(envelope.id), replyId: BigInt(envelope.replyId) }
    case "Interrupt":
      return { ...shared, _tag: "Interrupt", id: BigInt(envelope.id) }
  }
}

/** Makes the envelope of a record. */
export const toEnvelope = (message: Message): Envelope.Encoded => {
  const shared = { requestId: String(message.requestId), address: message.address }
  switch (message._tag) {
    case "Request":
      return {
        ...shared,
        _tag: "Request",
        tag: message.tag,
        payload: message.payload,
        headers: message.headers,
        ...(message.traceId === undefined ? {} : { traceId: message.traceId }),
        ...(message.spanId === undefined ? {} : { spanId: message.spanId }),
        ...(message.sampled === undefined ? {} : { sampled: message.sampled })
      }
    case "AckChunk":
      return { ...shared, _tag: "AckChunk", id: String(message.id), replyId: String(message.replyId) }
    case "Interrupt":
      return { ...shared, _tag: "Interrupt", id: String(message.id) }
  }
}

/**
 * Finds the id of the request that was stored under a primary key, also of a damaged one. It can be the id of a damaged request
 * that was deleted: its place in the index stays.
 */
export const idOfPrimaryKey = (
  messages: Messages,
  primaryKey: string
): Effect.Effect<Option.Option<bigint>, ReadError> =>
  Stream.runHead(messages.indexes.byPrimaryKey.keys({ equals: storageKey(primaryKey) }))

/** The messages that belong to a request: those that decode, and the errors of those that do not, by their ids. */
export interface OfRequest {
  /** In the order in which they were stored: the request is the first one, unless it is damaged. */
  readonly messages: ReadonlyArray<Message>
  readonly damaged: ReadonlyMap<bigint, ValueDecoding>
}

/** Returns the ids of the acknowledgements and interrupts of a request, damaged ones too. */
export const controlIds = ({ indexes }: Messages, requestId: bigint) =>
  Stream.runCollect(indexes.control.keys({ equals: requestId }))

/** Reads all messages that belong to a request. */
export const ofRequest = Effect.fnUntraced(function*(
  messages: Messages,
  requestId: bigint
): Effect.fn.Return<OfRequest, ReadError> {
  const ids = [requestId, ...(yield* controlIds(messages, requestId))]
  const { damaged, found } = yield* Damage.getEach(messages, ids)
  return { messages: [...found.values()].toSorted((a, b) => a.sequence - b.sequence), damaged }
})

export const isRequest = (message: Message): message is Request => message._tag === "Request"
