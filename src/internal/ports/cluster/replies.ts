/**
 * The replies to requests: the chunks of a stream, and the exit.
 *
 * The key has the tag of the reply, so that a request has at most one exit, each sequence of a chunk is there once, and the
 * exit comes after the chunks.
 */
import type * as Reply from "effect/cluster/Reply"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Collection from "../../../Collection.ts"

/** The request, the kind of the reply, and the sequence of a chunk. */
const Key = Schema.Tuple([Schema.BigInt, Schema.Literals(["Chunk", "WithExit"]), Schema.Number])

const Chunk = Schema.Struct({
  _tag: Schema.tag("Chunk"),
  id: Schema.BigInt,
  requestId: Schema.BigInt,
  sequence: Schema.Number,
  values: Schema.fromJsonString(Schema.NonEmptyArray(Schema.Unknown)),
  acknowledged: Schema.Boolean
})
