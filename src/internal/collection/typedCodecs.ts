/**
 * Makes the codecs of a collection: they convert keys and values to bytes and back, through their schemas.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaParser from "effect/SchemaParser"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import { type ByteString, toBytes } from "../../Key.ts"
import type { KeySchema, PrefixOf } from "../../KeySchema.ts"
import {
  type EngineFailure,
  KeyEncoding,
  type KeyEncodingReason,
  type ShownKey,
  ValueDecoding,
  ValueEncoding
} from "../../StoreError.ts"
import * as StructureTable from "../commit/structureTable.ts"
import * as OrderedKeyCodec from "../key/orderedKeyCodec.ts"
import { count } from "../quantity.ts"
import * as Settled from "../settled.ts"
import type { OpenStore } from "../store/openStore.ts"
import type { StoreHandle } from "../store/storeAccess.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import * as KeyLength from "./keyLength.ts"
import { isNative } from "./schemaShape.ts"
import { isSparse, takesHoles } from "./sparseArrays.ts"

/**
 * Runs a schema, and converts everything that it throws into an error. In a program that is not type-checked, a value
 * such as a proxy may throw when a schema reads it. A transformation may throw too.
 */
const bySchema = <A, E, R>(
  run: () => Effect.Effect<A, Schema.SchemaError, R>,
  refuse: (detail: string, cause: unknown) => E
): Effect.Effect<A, E, R> => {
  const refuseAny = (cause: unknown): E => refuse(Predicate.isError(cause) ? cause.message : "it cannot be read", cause)
  const started = Result.try(run)
  if (Result.isFailure(started)) return Effect.fail(refuseAny(started.failure))
  const effect = started.success
  return Settled.isSucceeded(effect)
    ? effect
    : Effect.catchDefect(Effect.mapError(effect, refuseAny), (defect) => Effect.fail(refuseAny(defect)))
}

/** Converts keys to bytes and back. */
export interface KeyCodec<K extends KeySchema> {
  readonly encode: (key: K["Type"]) => Effect.Effect<ByteString, KeyEncoding, K["EncodingServices"]>
  /** Encodes a prefix. Encodes each element of a tuple by its own schema. */
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

// In a program that is not type-checked the value may be a proxy, for which `instanceof` may throw.
const isBytes = (key: unknown): key is Uint8Array =>
  Result.getOrElse(Result.try(() => key instanceof Uint8Array), () => false)

/** An array with more elements is shown only by its kind. */
const mostShownElements = 8

/** A text with more characters, or a bigint with more bits, is not formatted: the result would be cut anyway. */
const longestFormatted = 10_000

const isShort = (key: unknown): boolean => {
  if (Predicate.isString(key)) return key.length <= longestFormatted
  if (Predicate.isBigInt(key)) return BigInt.asIntN(longestFormatted, key) === key
  if (!Predicate.isObjectKeyword(key)) return true
  return key instanceof Date || DateTime.isDateTime(key) ||
    (Array.isArray(key) && key.length <= mostShownElements && key.every(isShort))
}

/** Makes the function that shows a key, or any value that was given as a key. The value may be large, or throw when it is read. */
const makeShow = ({ keys }: StoreHandle) => (key: unknown): string => {
  if (Predicate.isString(key) || isBytes(key)) return keys.show(key)
  const text = Result.getOrElse(Result.try(() => isShort(key) ? Formatter.format(key) : ""), () => "")
  if (text === "") return keys.show(key)
  return text.length > longestShown ? `${text.slice(0, longestShown - 3)}...` : text
}

/**
 * Encodes the prefix of a key: each element of a tuple or an array by its schema. Returns any other prefix unchanged.
 * With `isStart`, the last element stays unchanged if it is text or bytes, as it may be only the beginning of an element.
 */
type EncodeElements<R> = (prefix: unknown, isStart: boolean) => Effect.Effect<unknown, KeyEncoding, R>

/** Makes the encoder of the elements of key prefixes. */
const makeElementEncoder = <K extends KeySchema>(
  { ast }: K,
  refuse: (key: unknown, detail: string) => KeyEncoding
): EncodeElements<K["EncodingServices"]> => {
  if (ast._tag !== "Arrays" || ast.encoding !== undefined) return Effect.succeed
  const encoderOf = (element: SchemaAST.AST) =>
    Schema.encodeUnknownEffect(Schema.make<Schema.Codec<unknown, unknown, never, K["EncodingServices"]>>(element))
  const encoders = ast.elements.map(encoderOf)
  const [rest] = ast.rest.map(encoderOf)
  const encodeElement = (element: unknown, at: number): Effect.Effect<unknown, KeyEncoding, K["EncodingServices"]> => {
    const encode = encoders[at] ?? rest
    // There are too many elements: the ordered codec refuses them.
    if (encode === undefined) return Effect.succeed(element)
    return bySchema(() => encode(element), (detail) => refuse(element, detail))
  }
  return (prefix, isStart) => {
    if (!Array.isArray(prefix)) return Effect.succeed(prefix)
    const elements: ReadonlyArray<unknown> = prefix
    const isOpen = (element: unknown, at: number) =>
      isStart && at === elements.length - 1 && (Predicate.isString(element) || isBytes(element))
    return Settled.all(
      elements.map((element, at) => isOpen(element, at) ? Effect.succeed(element) : encodeElement(element, at))
    )
  }
}

/** Makes the codec of keys, or says why keys of the schema have no order. */
export const makeKeyCodec = <K extends KeySchema>(
  schema: K,
  handle: StoreHandle,
  collection: string
): Result.Result<KeyCodec<K>, string> =>
  Result.map(OrderedKeyCodec.make(schema), (ordered) => {
    const { maxKeyBytes } = handle.core.backend
    const showKey = makeShow(handle)
    const encodeBySchema = Schema.encodeUnknownEffect(schema)
    const decodeBySchema = Schema.decodeUnknownEffect(schema)

    const refuse = (reason: KeyEncodingReason["_tag"], key: unknown, detail: string) =>
      new KeyEncoding({ reason: { _tag: reason, detail }, key, shownKey: showKey(key), collection })

    const refuseStored = (bytes: ByteString, detail: string) =>
      new KeyEncoding({
        reason: { _tag: "NotDecodable", detail },
        key: stored(bytes).key,
        shownKey: showKey(show(bytes)),
        collection
      })

    const show = (bytes: ByteString): string =>
      Result.match(ordered.decodePart(bytes, 0), {
        onSuccess: ({ value }) => showKey(value),
        onFailure: () => count(bytes.length, "byte")
      })

    const stored = (bytes: ByteString): ShownKey => ({
      key: Result.match(ordered.decodePart(bytes, 0), {
        onSuccess: ({ value }): unknown => value,
        onFailure: () => toBytes(bytes)
      }),
      shownKey: show(bytes)
    })

    const checkLength = (bytes: ByteString, recordBytes = 0): Result.Result<ByteString, KeyEncoding> => {
      if (bytes.length + recordBytes <= maxKeyBytes) return Result.succeed(bytes)
      const key = stored(bytes)
      const detail = KeyLength.describe(key.key, bytes.length, recordBytes, maxKeyBytes)
      return Result.fail(new KeyEncoding({ reason: { _tag: "TooLong", detail }, ...key, collection }))
    }

    const orderedBytes = (key: unknown, bytes: Result.Result<ByteString, string>) =>
      Effect.fromResult(
        Result.flatMap(
          Result.mapError(bytes, (detail) => refuse("Schema", key, `${detail}.`)),
          (made) => checkLength(made)
        )
      )

    const encodeElements = makeElementEncoder(schema, (key, detail) => refuse("Schema", key, detail))

    return {
      encode: (key) =>
        Settled.flatMap(
          bySchema(() => encodeBySchema(key), (detail) => refuse("Schema", key, detail)),
          (encoded) => orderedBytes(key, ordered.encode(encoded))
        ),
      encodePrefix: (prefix) =>
        Settled.flatMap(
          encodeElements(prefix, false),
          (encoded) => orderedBytes(prefix, ordered.encodePrefix(encoded))
        ),
      encodeStart: (start) =>
        Settled.flatMap(encodeElements(start, true), (encoded) => orderedBytes(start, ordered.encodeStart(encoded))),
      decode: (bytes) =>
        Settled.flatMap(
          Effect.fromResult(Result.mapError(ordered.decode(bytes), (detail) => refuseStored(bytes, detail))),
          (encoded) => bySchema(() => decodeBySchema(encoded), (detail) => refuseStored(bytes, detail))
        ),
      endOf: (bytes) =>
        Result.mapBoth(ordered.decodePart(bytes, 0), {
          onSuccess: ({ end }) => end,
          onFailure: (detail) => refuseStored(bytes, detail)
        }),
      show,
      stored,
      checkLength
    }
  })

/** A value of the schema, and its bytes. */
interface Encoded<out Value> {
  readonly value: Value
  readonly bytes: Uint8Array
}

/** Tests whether a value is a plain object or an array. Only these go through the `make` of a schema. */
const isPlain = (value: unknown): boolean => {
  // A proxy may throw.
  const prototype: unknown = Result.getOrElse(
    Result.try((): unknown => Predicate.isObjectOrArray(value) ? Object.getPrototypeOf(value) : undefined),
    () => undefined
  )
  return prototype === null || prototype === Object.prototype || prototype === Array.prototype
}

/** Converts values to bytes and back. The keys are for error messages. */
export interface ValueCodec<V extends ValueSchema> {
  /** The schema whose encoded side is stored. */
  readonly stored: Schema.Constraint
  /** The most bytes of a record, its index entries included. */
  readonly maxBytes: number
  /** Encodes a value. Passes a plain object that is not a value of the schema through the `make` of the schema. */
  readonly encode: <Key>(
    value: ValueInput<V>,
    key: () => ShownKey<Key>
  ) => Effect.Effect<Encoded<V["Type"]>, ValueEncoding<Key>, V["EncodingServices"]>
  /** Decodes the value of a record with its index entries. */
  readonly decode: <Key>(
    record: Uint8Array,
    key: () => ShownKey<Key>
  ) => Effect.Effect<V["Type"], ValueDecoding<Key> | EngineFailure, V["DecodingServices"]>
  /** Converts the encoded form of a value to bytes. */
  readonly encodeRaw: <Key>(value: unknown, key: () => ShownKey<Key>) => Result.Result<Uint8Array, ValueEncoding<Key>>
  /** Decodes a record to the encoded form of its value. The bytes need to be valid only during the call. */
  readonly decodeRaw: <Key>(
    record: Uint8Array,
    key: () => ShownKey<Key>
  ) => Effect.Effect<unknown, ValueDecoding<Key> | EngineFailure>
  /** Decodes the encoded form of a value by the schema. */
  readonly decodeEncoded: <Key>(
    encoded: unknown,
    key: () => ShownKey<Key>
  ) => Effect.Effect<V["Type"], ValueDecoding<Key>, V["DecodingServices"]>
  /** Removes the fields that the schema does not have from the encoded form of a value. */
  readonly withoutOtherFields: <Key>(
    encoded: unknown,
    key: () => ShownKey<Key>
  ) => Effect.Effect<unknown, ValueDecoding<Key>>
}

/**
 * Returns the schema whose encoded side is stored. The value codec would store only the fields of the classes of Effect
 * (Option, DateTime, Duration, ...), so a schema with such classes is stored in its JSON form.
 */
export const storedSchema = <S extends ValueSchema>(schema: S): S | Schema.toCodecJson<S> =>
  isNative(schema.ast) ? schema : Schema.toCodecJson(schema)

/** Makes the codec of values. */
export const makeValueCodec = <V extends ValueSchema>(
  schema: V,
  { backend, structures }: OpenStore,
  collection: string
): ValueCodec<V> => {
  const stored = storedSchema(schema)
  const encodeBySchema = Schema.encodeUnknownEffect(stored)
  const decodeBySchema = Schema.decodeUnknownEffect(stored)
  const makeBySchema = SchemaParser.makeEffect(schema)
  const closeBySchema = Schema.decodeUnknownEffect(Schema.toEncoded(stored))
  const mayHang = takesHoles(stored.ast)
  const detailOfSparse = "its arrays with holes have more than 1,000,000 elements"

  const encodeRaw: ValueCodec<V>["encodeRaw"] = (value, key) =>
    Result.mapError(
      StructureTable.encode(structures, value),
      (failure) => StructureTable.encodingError(failure, { ...key(), collection })
    )

  const decodeRaw: ValueCodec<V>["decodeRaw"] = (record, key) =>
    StructureTable.decode(structures, CollectionRecord.valueOf(record), () => ({ ...key(), collection }))

  const bySchemaOf = <A, E, R>(
    value: unknown,
    run: () => Effect.Effect<A, Schema.SchemaError, R>,
    refuse: (failure: { readonly detail: string; readonly cause?: unknown }) => E
  ): Effect.Effect<A, E, R> =>
    mayHang && isSparse(value)
      ? Effect.fail(refuse({ detail: detailOfSparse }))
      : bySchema(run, (detail, cause) => refuse({ detail, cause }))

  const refuseValue =
    <Key>(key: () => ShownKey<Key>) => (failure: { readonly detail: string; readonly cause?: unknown }) =>
      new ValueEncoding({ ...key(), collection, ...failure })

  const encodeTyped = <Key>(value: V["Type"], key: () => ShownKey<Key>) =>
    bySchemaOf(value, () => encodeBySchema(value), refuseValue(key))

  const makeTyped = <Key>(
    value: ValueInput<V>,
    key: () => ShownKey<Key>
  ): Effect.Effect<V["Type"], ValueEncoding<Key>> =>
    bySchemaOf(
      value,
      () => Effect.mapError(makeBySchema(value), (issue) => new Schema.SchemaError(issue)),
      refuseValue(key)
    )

  interface Typed {
    readonly value: V["Type"]
    readonly encoded: unknown
  }

  const encodeValue = <Key>(
    value: V["Type"],
    key: () => ShownKey<Key>
  ): Effect.Effect<Typed, ValueEncoding<Key>, V["EncodingServices"]> =>
    Settled.map(encodeTyped(value, key), (encoded) => ({ value, encoded }))

  /** Encodes a value. If that fails and the value is a plain object or an array, makes a value of it and encodes that. */
  const encodeMade = <Key>(
    value: ValueInput<V>,
    key: () => ShownKey<Key>
  ): Effect.Effect<Typed, ValueEncoding<Key>, V["EncodingServices"]> => {
    const typed = encodeValue(value, key)
    return Settled.isSucceeded(typed) || !isPlain(value)
      ? typed
      : Effect.catch(typed, () => Effect.flatMap(makeTyped(value, key), (made) => encodeValue(made, key)))
  }

  const decodeWith = <A, R, Key>(
    encoded: unknown,
    key: () => ShownKey<Key>,
    run: (encoded: unknown) => Effect.Effect<A, Schema.SchemaError, R>
  ) =>
    bySchemaOf(
      encoded,
      () => run(encoded),
      (failure) => new ValueDecoding({ ...key(), collection, ...failure })
    )

  const decodeEncoded: ValueCodec<V>["decodeEncoded"] = (encoded, key) => decodeWith(encoded, key, decodeBySchema)

  return {
    stored,
    maxBytes: backend.maxValueBytes,
    encodeRaw,
    decodeRaw,
    decodeEncoded,
    withoutOtherFields: (encoded, key) => decodeWith(encoded, key, closeBySchema),
    encode: (value, key) =>
      Settled.flatMap(
        encodeMade(value, key),
        (typed) =>
          Effect.fromResult(Result.map(encodeRaw(typed.encoded, key), (bytes) => ({ value: typed.value, bytes })))
      ),
    decode: (record, key) => Settled.flatMap(decodeRaw(record, key), (encoded) => decodeEncoded(encoded, key))
  }
}
