/**
 * Makes the codec of the keys of a collection or an index: it converts keys to bytes and back, through their schema.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { type ByteString, toBytes } from "../../Key.ts"
import type { KeySchema, PrefixOf } from "../../KeySchema.ts"
import { KeyEncoding, type ShownKey } from "../../StoreError.ts"
import * as OrderedKeyCodec from "../key/orderedKeyCodec.ts"
import { count } from "../quantity.ts"
import * as Settled from "../settled.ts"
import type { StoreHandle } from "../store/storeAccess.ts"
import * as KeyLength from "./keyLength.ts"
import { type Convert, runSchema } from "./runSchema.ts"

/** Converts keys to bytes and back. */
export interface KeyCodec<K extends KeySchema> {
  readonly encode: (key: K["Type"]) => Effect.Effect<ByteString, KeyEncoding, K["EncodingServices"]>
  /** Encodes a prefix, each element of a tuple by its own schema. */
  readonly encodePrefix: (
    prefix: PrefixOf<K>
  ) => Effect.Effect<ByteString, KeyEncoding, K["EncodingServices"]>
  /** Encodes a prefix whose last text or bytes may continue in the keys. */
  readonly encodeStart: (
    start: PrefixOf<K>
  ) => Effect.Effect<ByteString, KeyEncoding, K["EncodingServices"]>
  readonly decode: (bytes: ByteString) => Effect.Effect<K["Type"], KeyEncoding, K["DecodingServices"]>
  /** Returns the end of the key at the beginning of the bytes, as an offset. */
  readonly endOf: (bytes: ByteString) => Result.Result<number, KeyEncoding>
  /** Shows a stored key in a message. */
  readonly show: (bytes: ByteString) => string
  /** Returns a stored key for an error: in its encoded form, or as bytes if it does not decode. */
  readonly stored: (bytes: ByteString) => ShownKey
  /** Fails with `KeyEncoding` (`TooLong`) if the bytes, with those of the key of a record, are too long for the engine. */
  readonly checkLength: (bytes: ByteString, recordBytes?: number) => Result.Result<ByteString, KeyEncoding>
}

const longestShown = 50

// In a program that is not type-checked, the value may be a proxy, for which `instanceof` may throw.
const isBytes = (key: unknown): key is Uint8Array =>
  Result.getOrElse(Result.try(() => key instanceof Uint8Array), () => false)

/** The most elements of an array that is formatted. A longer array is shown as a kind of value. */
const mostShownElements = 8

/** The most characters of a text, or bits of a bigint, that is formatted. The result of a longer one would be cut. */
const longestFormatted = 10_000

const isShort = (key: unknown): boolean => {
  if (Predicate.isString(key)) return key.length <= longestFormatted
  if (Predicate.isBigInt(key)) return BigInt.asIntN(longestFormatted, key) === key
  if (!Predicate.isObjectKeyword(key)) return true
  return key instanceof Date || DateTime.isDateTime(key) ||
    (Array.isArray(key) && key.length <= mostShownElements && key.every(isShort))
}

/** Formats a key, or any value that was given as a key, for a message. The value may be large, or throw when it is read. */
const format = ({ keys }: StoreHandle, key: unknown): string => {
  if (Predicate.isString(key) || isBytes(key)) return keys.show(key)
  const text = Result.getOrElse(Result.try(() => isShort(key) ? Formatter.format(key) : ""), () => "")
  if (text === "") return keys.show(key)
  return text.length > longestShown ? `${text.slice(0, longestShown - 3)}...` : text
}

/** Encodes an element of a key that is a tuple or an array. */
type EncodeElement<R> = Convert<unknown, R>

/** The encoders of the elements of keys that are tuples or arrays. */
interface ElementEncoders<R> {
  readonly fixed: ReadonlyArray<EncodeElement<R>>
  /** The encoder of all elements after the fixed ones, if such elements are allowed. */
  readonly rest: EncodeElement<R> | undefined
}

/** A codec of keys. */
interface TypedKeys<K extends KeySchema> {
  readonly handle: StoreHandle
  /** The name of the collection, or of the index as `collection.index`, for errors. */
  readonly collection: string
  readonly ordered: OrderedKeyCodec.OrderedCodec<K["Encoded"]>
  readonly encodeBySchema: Convert<K["Encoded"], K["EncodingServices"]>
  readonly decodeBySchema: Convert<K["Type"], K["DecodingServices"]>
  /** Whether the schema encodes every text as itself, as `Schema.String` and brands of it do. */
  readonly isText: boolean
  /** `undefined` if the keys are not tuples or arrays, or the schema transforms each of them as a whole. */
  readonly elements: ElementEncoders<K["EncodingServices"]> | undefined
}

// ---------------------------------------------------------------------------
// errors
// ---------------------------------------------------------------------------

/** Makes the error for a key that the schema does not encode, or that has no order. */
const refuse = <K extends KeySchema>({ collection, handle }: TypedKeys<K>, key: unknown, detail: string) =>
  new KeyEncoding({ reason: { _tag: "Schema", detail }, key, shownKey: format(handle, key), collection })

const show = <K extends KeySchema>({ handle, ordered }: TypedKeys<K>, bytes: ByteString): string =>
  Result.match(ordered.decodePart(bytes, 0), {
    onSuccess: ({ value }) => format(handle, value),
    onFailure: () => count(bytes.length, "byte")
  })

const stored = <K extends KeySchema>(self: TypedKeys<K>, bytes: ByteString): ShownKey => ({
  key: Result.match(self.ordered.decodePart(bytes, 0), {
    onSuccess: ({ value }): unknown => value,
    onFailure: () => toBytes(bytes)
  }),
  shownKey: show(self, bytes)
})

/** Makes the error for a stored key that does not decode. */
const refuseStored = <K extends KeySchema>(self: TypedKeys<K>, bytes: ByteString, detail: string) =>
  new KeyEncoding({
    reason: { _tag: "NotDecodable", detail },
    key: stored(self, bytes).key,
    shownKey: format(self.handle, show(self, bytes)),
    collection: self.collection
  })

const checkLength = <K extends KeySchema>(
  self: TypedKeys<K>,
  bytes: ByteString,
  recordBytes = 0
): Result.Result<ByteString, KeyEncoding> => {
  const { maxKeyBytes } = self.handle.core.backend
  if (bytes.length + recordBytes <= maxKeyBytes) return Result.succeed(bytes)
  const key = stored(self, bytes)
  const detail = KeyLength.describe(key.key, bytes.length, recordBytes, maxKeyBytes)
  return Result.fail(new KeyEncoding({ reason: { _tag: "TooLong", detail }, ...key, collection: self.collection }))
}

// ---------------------------------------------------------------------------
// encoding
// ---------------------------------------------------------------------------

/** Checks the result of the ordered codec, and the length of the bytes. It runs for each key, so it allocates no closure. */
const checked = <K extends KeySchema>(self: TypedKeys<K>, key: unknown, bytes: Result.Result<ByteString, string>) => {
  if (Result.isFailure(bytes)) return Exit.fail(refuse(self, key, `${bytes.failure}.`))
  const length = checkLength(self, bytes.success)
  return Result.isSuccess(length) ? Exit.succeed(length.success) : Exit.fail(length.failure)
}

const encode = <K extends KeySchema>(
  self: TypedKeys<K>,
  key: K["Type"]
): Effect.Effect<ByteString, KeyEncoding, K["EncodingServices"]> =>
  self.isText && typeof key === "string"
    ? checked(self, key, self.ordered.encode(key))
    : Settled.flatMap(
      runSchema(self.encodeBySchema, key, (detail) => refuse(self, key, detail)),
      (encoded) => checked(self, key, self.ordered.encode(encoded))
    )

const makeElementEncoders = <K extends KeySchema>(
  { ast }: K
): ElementEncoders<K["EncodingServices"]> | undefined => {
  if (ast._tag !== "Arrays" || ast.encoding !== undefined) return undefined
  const encoderOf = (element: SchemaAST.AST) =>
    Schema.encodeUnknownEffect(Schema.make<Schema.Codec<unknown, unknown, never, K["EncodingServices"]>>(element))
  return { fixed: ast.elements.map(encoderOf), rest: ast.rest.map(encoderOf)[0] }
}

/**
 * Encodes the prefix of a key: each element of a tuple or an array by its schema. Returns any other prefix unchanged.
 * With `isStart`, the last element stays unchanged if it is text or bytes, as it may be only the beginning of an element.
 */
const encodeElements = <K extends KeySchema>(
  self: TypedKeys<K>,
  prefix: unknown,
  isStart: boolean
): Effect.Effect<unknown, KeyEncoding, K["EncodingServices"]> => {
  const { elements: encoders } = self
  if (encoders === undefined || !Array.isArray(prefix)) return Effect.succeed(prefix)
  const elements: ReadonlyArray<unknown> = prefix
  const isOpen = (element: unknown, at: number) =>
    isStart && at === elements.length - 1 && (Predicate.isString(element) || isBytes(element))
  return Settled.all(elements.map((element, at) => {
    const encodeElement = encoders.fixed[at] ?? encoders.rest
    // The ordered codec refuses a prefix with too many elements.
    return encodeElement === undefined || isOpen(element, at)
      ? Effect.succeed(element)
      : runSchema(encodeElement, element, (detail) => refuse(self, element, detail))
  }))
}

const encodePrefix = <K extends KeySchema>(self: TypedKeys<K>, prefix: PrefixOf<K>) =>
  Settled.flatMap(
    encodeElements(self, prefix, false),
    (encoded) => checked(self, prefix, self.ordered.encodePrefix(encoded))
  )

const encodeStart = <K extends KeySchema>(self: TypedKeys<K>, start: PrefixOf<K>) =>
  Settled.flatMap(
    encodeElements(self, start, true),
    (encoded) => checked(self, start, self.ordered.encodeStart(encoded))
  )

// ---------------------------------------------------------------------------
// decoding
// ---------------------------------------------------------------------------

const decode = <K extends KeySchema>(self: TypedKeys<K>, bytes: ByteString) =>
  Settled.flatMap(
    Effect.fromResult(Result.mapError(self.ordered.decode(bytes), (detail) => refuseStored(self, bytes, detail))),
    (encoded) => runSchema(self.decodeBySchema, encoded, (detail) => refuseStored(self, bytes, detail))
  )

const endOf = <K extends KeySchema>(self: TypedKeys<K>, bytes: ByteString): Result.Result<number, KeyEncoding> =>
  Result.mapBoth(self.ordered.decodePart(bytes, 0), {
    onSuccess: ({ end }) => end,
    onFailure: (detail) => refuseStored(self, bytes, detail)
  })

/** Makes the codec of keys, or says why keys of the schema have no order. */
export const makeKeyCodec = <K extends KeySchema>(
  schema: K,
  handle: StoreHandle,
  collection: string
): Result.Result<KeyCodec<K>, string> =>
  Result.map(OrderedKeyCodec.make(schema), (ordered) => {
    const { ast } = schema
    const self: TypedKeys<K> = {
      handle,
      collection,
      ordered,
      encodeBySchema: Schema.encodeUnknownEffect(schema),
      decodeBySchema: Schema.decodeUnknownEffect(schema),
      isText: ast._tag === "String" && ast.checks === undefined && ast.encoding === undefined,
      elements: makeElementEncoders(schema)
    }
    return {
      encode: (key) => encode(self, key),
      encodePrefix: (prefix) => encodePrefix(self, prefix),
      encodeStart: (start) => encodeStart(self, start),
      decode: (bytes) => decode(self, bytes),
      endOf: (bytes) => endOf(self, bytes),
      show: (bytes) => show(self, bytes),
      stored: (bytes) => stored(self, bytes),
      checkLength: (bytes, recordBytes) => checkLength(self, bytes, recordBytes)
    }
  })
