/**
 * Encodes and decodes the keys of collections without their schemas. The bytes of a key say its kind, so every key can be
 * decoded, and every value of a kind that has an order can be encoded.
 */
import * as Result from "effect/Result"
import type { ByteString } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import { type DecodedPart, guarded, type OrderedCodec } from "./orderedKeyCodec.ts"
import { type ByteCursor, type Kind, scalars } from "./orderedScalars.ts"
import { tuple, union } from "./orderedTuples.ts"

/** The kinds of elements: any kind, tuples of any kinds included. */
const element: Kind = {
  encode: (value) => anyKind.encode(value),
  encodePrefix: (value) => anyKind.encodePrefix(value),
  encodeStart: (value) => anyKind.encodeStart(value),
  decode: (cursor) => anyKind.decode(cursor)
}

/** All kinds. A tuple and an array have the same bytes, so a tuple is decoded as an array of any kinds. */
const anyKind: Kind = union([...Object.values(scalars), tuple({ elements: [], rest: element })])

const decodePart = (bytes: ByteString, offset: number): Result.Result<DecodedPart, string> => {
  const cursor: ByteCursor = { bytes, offset }
  return Result.mapBoth(anyKind.decode(cursor), {
    onSuccess: (value) => ({ value, end: cursor.offset }),
    onFailure: () => "the bytes are not those of a key of a collection"
  })
}

/** The codec of keys of any kind. */
export const anyKeyCodec: OrderedCodec<OrderedKey> = {
  encode: guarded(anyKind.encode),
  encodePrefix: guarded(anyKind.encodePrefix),
  encodeStart: guarded(anyKind.encodeStart),
  decode: (bytes) =>
    Result.flatMap(
      decodePart(bytes, 0),
      ({ end, value }) =>
        end === bytes.length ? Result.succeed(value) : Result.fail("there are bytes after the end of the key")
    ),
  decodePart
}
