/**
 * Converts keys to JSON and back without loss. Keys have the tags of values (`jsonForm.ts`), and two more.
 */
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { type ByteString, fromBytes } from "../../Key.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import * as JsonForm from "../value/jsonForm.ts"
import { anyKeyCodec } from "./anyKeyCodec.ts"
import type { Checked } from "./orderedScalars.ts"
import { encodings, toBuffer } from "./textEncoding.ts"

type Json = Schema.Json

const bytesForm = (bytes: ByteString): Json => ({ $bytes: toBuffer(bytes).toString("base64") })

// -----------------------------------------------------------------------------
// Keys as values
// -----------------------------------------------------------------------------

const isTuple = (key: OrderedKey): key is ReadonlyArray<OrderedKey> => Array.isArray(key)

/** Converts a key. */
export const toJson = (key: OrderedKey): Json => {
  if (isTuple(key)) return key.map(toJson)
  if (DateTime.isDateTime(key)) return { $dateTime: new Date(key.epochMilliseconds).toISOString() }
  return Result.getOrElse(JsonForm.toJson(key), () => null)
}

const isJsonList = (json: Json): json is ReadonlyArray<Json> => Array.isArray(json)

/** Returns the content of an object whose only field is a tag. */
const contentOf = (json: Json, tag: string): Json | undefined =>
  typeof json === "object" && json !== null && !isJsonList(json) && Object.keys(json).length === 1 &&
    Object.hasOwn(json, tag)
    ? json[tag]
    : undefined

/** The tuples of a key have fewer levels. */
const maximumDepth = 1000

const isScalar = (value: unknown): value is OrderedKey =>
  value instanceof Uint8Array || value instanceof Date ||
  ["boolean", "number", "bigint", "string"].includes(typeof value)

const toScalar = (json: Json): Checked<OrderedKey> =>
  Result.flatMap(
    JsonForm.fromJson(json),
    (value) =>
      isScalar(value)
        ? Result.succeed(value)
        : Result.fail("a key is a boolean, a number, text, a tuple, $bigint, $date, $dateTime or $bytes")
  )

const toKey = (json: Json, depth: number): Checked<OrderedKey> => {
  if (isJsonList(json)) {
    return depth === maximumDepth
      ? Result.fail("its arrays are nested too deeply")
      : Result.all(json.map((element) => toKey(element, depth + 1)))
  }
  const time = contentOf(json, "$dateTime")
  if (time === undefined) return toScalar(json)
  return Result.flatMap(
    JsonForm.fromJson({ $date: time }),
    (date) =>
      date instanceof Date && !Number.isNaN(date.getTime())
        ? Result.succeed(DateTime.makeUnsafe(date.getTime()))
        : Result.fail("$dateTime must be a time")
  )
}

/** Converts the JSON form of a key, or says what is wrong. */
export const fromJson = (json: Json): Checked<OrderedKey> => toKey(json, 0)

// -----------------------------------------------------------------------------
// The bytes of keys of stores
// -----------------------------------------------------------------------------

/** Converts the key of a store or of a namespace: UTF-8 to text, and other bytes to `$bytes`. */
export const storeKeyToJson = (bytes: ByteString): Json => encodings.utf8.decode(bytes) ?? bytesForm(bytes)

/** Converts the JSON form of the key of a store, or says what is wrong. */
export const storeKeyFromJson = (json: Json): Checked<ByteString> => {
  if (typeof json === "string") {
    return json.isWellFormed()
      ? Result.succeed(fromBytes(Buffer.from(json, "utf8")))
      : Result.fail("the text has a lone surrogate")
  }
  return Result.flatMap(
    JsonForm.fromJson(json),
    (key) => key instanceof Uint8Array ? Result.succeed(fromBytes(key)) : Result.fail("it must be text or $bytes")
  )
}

// -----------------------------------------------------------------------------
// The bytes of keys of collections and indexes
// -----------------------------------------------------------------------------

/** Converts the key of a collection or of an index. Bytes that are not such a key become `$key`. */
export const orderedKeyToJson = (bytes: ByteString): Json =>
  Result.match(anyKeyCodec.decode(bytes), {
    onSuccess: toJson,
    onFailure: () => ({ $key: toBuffer(bytes).toString("base64") })
  })

/** Converts the JSON form of the key of a collection or of an index, or says what is wrong. */
export const orderedKeyFromJson = (json: Json): Checked<ByteString> => {
  const content = contentOf(json, "$key")
  if (content === undefined) return Result.flatMap(toKey(json, 0), anyKeyCodec.encode)
  return Result.flatMap(
    JsonForm.fromJson({ $bytes: content }),
    (bytes) =>
      bytes instanceof Uint8Array ? Result.succeed(fromBytes(bytes)) : Result.fail("$key must be text in Base64")
  )
}
