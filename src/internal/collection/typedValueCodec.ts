/**
 * Makes the codec of the values of a collection: it converts values to bytes and back, through their schema.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type { ValueInput, ValueSchema } from "../../CollectionOptions.ts"
import { type EngineFailure, type ShownKey, ValueDecoding, ValueEncoding } from "../../StoreError.ts"
import * as StructureTable from "../commit/structureTable.ts"
import * as Settled from "../settled.ts"
import type { OpenStore } from "../store/openStore.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import { type Convert, runSchema } from "./runSchema.ts"
import { isNative } from "./schemaShape.ts"
import { isSparse, takesHoles } from "./sparseArrays.ts"

/** A value of the schema, and its bytes. */
interface Encoded<out Value> {
  readonly value: Value
  readonly bytes: Uint8Array
}

/** Converts values to bytes and back. The keys are for error messages. */
export interface ValueCodec<V extends ValueSchema> {
  /** The schema whose encoded side is stored. */
  readonly stored: Schema.Constraint
  /** The names of the fields of the schema; `undefined` if it is not a struct or a class. */
  readonly fields: ReadonlyArray<string> | undefined
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

/** Returns the names of the fields of a struct or a class. */
const fieldsOf = (schema: ValueSchema): ReadonlyArray<string> | undefined =>
  Predicate.hasProperty(schema, "fields") && Predicate.isObject(schema.fields) ? Object.keys(schema.fields) : undefined

/** A codec of values. */
interface TypedValues<V extends ValueSchema> {
  readonly structures: OpenStore["structures"]
  /** The name of the collection, for errors. */
  readonly collection: string
  readonly encodeBySchema: Convert<unknown, V["EncodingServices"]>
  readonly decodeBySchema: Convert<V["Type"], V["DecodingServices"]>
  readonly makeBySchema: (value: ValueInput<V>) => Effect.Effect<V["Type"], SchemaIssue.Issue>
  /** Decodes the encoded side of the schema to itself, which removes the fields that the schema does not have. */
  readonly closeBySchema: Convert<unknown, never>
  /** Whether the schema accepts arrays with holes. It needs minutes for many holes. */
  readonly takesHoles: boolean
}

interface Refusal {
  readonly detail: string
  readonly cause?: unknown
}

const tooSparse = "its arrays with holes have more than 1,000,000 elements"

/** Runs a schema on a value. Refuses arrays that consist mostly of holes: a schema would need minutes for them. */
const run = <V extends ValueSchema, A, E, R>(
  self: TypedValues<V>,
  value: unknown,
  convert: Convert<A, R>,
  refuse: (refusal: Refusal) => E
): Effect.Effect<A, E, R> =>
  self.takesHoles && isSparse(value)
    ? Effect.fail(refuse({ detail: tooSparse }))
    : runSchema(convert, value, (detail, cause) => refuse({ detail, cause }))

// ---------------------------------------------------------------------------
// encoding
// ---------------------------------------------------------------------------

/** A value of the schema, and its encoded form. */
interface Typed<out Value> {
  readonly value: Value
  readonly encoded: unknown
}

const refuseValue =
  <V extends ValueSchema, Key>({ collection }: TypedValues<V>, key: () => ShownKey<Key>) => (refusal: Refusal) =>
    new ValueEncoding({ ...key(), collection, ...refusal })

const encodeTyped = <V extends ValueSchema, Key>(
  self: TypedValues<V>,
  value: V["Type"],
  key: () => ShownKey<Key>
): Effect.Effect<Typed<V["Type"]>, ValueEncoding<Key>, V["EncodingServices"]> =>
  Settled.map(
    run(self, value, self.encodeBySchema, refuseValue(self, key)),
    (encoded) => ({ value, encoded })
  )

const makeTyped = <V extends ValueSchema, Key>(
  self: TypedValues<V>,
  value: ValueInput<V>,
  key: () => ShownKey<Key>
): Effect.Effect<V["Type"], ValueEncoding<Key>> =>
  run(
    self,
    value,
    () => Effect.mapError(self.makeBySchema(value), (issue) => new Schema.SchemaError(issue)),
    refuseValue(self, key)
  )

/** Tests whether a value is a plain object or an array. Only these go through the `make` of a schema. */
const isPlain = (value: unknown): boolean => {
  // A proxy may throw.
  const prototype: unknown = Result.getOrElse(
    Result.try((): unknown => Predicate.isObjectOrArray(value) ? Object.getPrototypeOf(value) : undefined),
    () => undefined
  )
  return prototype === null || prototype === Object.prototype || prototype === Array.prototype
}

/** Encodes a value. If that fails and the value is a plain object or an array, makes a value of it and encodes that. */
const encodeInput = <V extends ValueSchema, Key>(
  self: TypedValues<V>,
  value: ValueInput<V>,
  key: () => ShownKey<Key>
): Effect.Effect<Typed<V["Type"]>, ValueEncoding<Key>, V["EncodingServices"]> => {
  const typed = encodeTyped(self, value, key)
  return Settled.isSucceeded(typed) || !isPlain(value)
    ? typed
    : Effect.catch(typed, () => Effect.flatMap(makeTyped(self, value, key), (made) => encodeTyped(self, made, key)))
}

const encodeRaw = <V extends ValueSchema, Key>(
  { collection, structures }: TypedValues<V>,
  value: unknown,
  key: () => ShownKey<Key>
): Result.Result<Uint8Array, ValueEncoding<Key>> =>
  Result.mapError(
    StructureTable.encode(structures, value),
    (failure) => StructureTable.encodingError(failure, { ...key(), collection })
  )

const encode = <V extends ValueSchema, Key>(
  self: TypedValues<V>,
  value: ValueInput<V>,
  key: () => ShownKey<Key>
): Effect.Effect<Encoded<V["Type"]>, ValueEncoding<Key>, V["EncodingServices"]> =>
  Settled.flatMap(
    encodeInput(self, value, key),
    (typed) =>
      Effect.fromResult(Result.map(encodeRaw(self, typed.encoded, key), (bytes) => ({ value: typed.value, bytes })))
  )

// ---------------------------------------------------------------------------
// decoding
// ---------------------------------------------------------------------------

const decodeRaw = <V extends ValueSchema, Key>(
  { collection, structures }: TypedValues<V>,
  record: Uint8Array,
  key: () => ShownKey<Key>
): Effect.Effect<unknown, ValueDecoding<Key> | EngineFailure> =>
  StructureTable.decode(structures, CollectionRecord.valueOf(record), () => ({ ...key(), collection }))

const decodeBy = <V extends ValueSchema, A, R, Key>(
  self: TypedValues<V>,
  encoded: unknown,
  key: () => ShownKey<Key>,
  convert: Convert<A, R>
): Effect.Effect<A, ValueDecoding<Key>, R> =>
  run(
    self,
    encoded,
    convert,
    (refusal) => new ValueDecoding({ ...key(), collection: self.collection, ...refusal })
  )

const decode = <V extends ValueSchema, Key>(
  self: TypedValues<V>,
  record: Uint8Array,
  key: () => ShownKey<Key>
): Effect.Effect<V["Type"], ValueDecoding<Key> | EngineFailure, V["DecodingServices"]> =>
  Settled.flatMap(decodeRaw(self, record, key), (encoded) => decodeBy(self, encoded, key, self.decodeBySchema))

/** Makes the codec of values. */
export const makeValueCodec = <V extends ValueSchema>(
  schema: V,
  { backend, structures }: OpenStore,
  collection: string
): ValueCodec<V> => {
  const stored = storedSchema(schema)
  const self: TypedValues<V> = {
    structures,
    collection,
    encodeBySchema: Schema.encodeUnknownEffect(stored),
    decodeBySchema: Schema.decodeUnknownEffect(stored),
    makeBySchema: SchemaParser.makeEffect(schema),
    closeBySchema: Schema.decodeUnknownEffect(Schema.toEncoded(stored)),
    takesHoles: takesHoles(stored.ast)
  }
  return {
    stored,
    fields: fieldsOf(schema),
    maxBytes: backend.maxValueBytes,
    encode: (value, key) => encode(self, value, key),
    decode: (record, key) => decode(self, record, key),
    encodeRaw: (value, key) => encodeRaw(self, value, key),
    decodeRaw: (record, key) => decodeRaw(self, record, key),
    decodeEncoded: (encoded, key) => decodeBy(self, encoded, key, self.decodeBySchema),
    withoutOtherFields: (encoded, key) => decodeBy(self, encoded, key, self.closeBySchema)
  }
}
