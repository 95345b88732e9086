/**
 * Defines the errors about a value: it cannot be stored, or it cannot be read.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { type ErrorPlace, inPlace } from "./internal/errorPlace.ts"
import type { ShownKey } from "./KeyError.ts"

/** The arguments of the constructors, without the key. */
interface Properties extends ErrorPlace {
  readonly detail: string
  readonly cause?: unknown
}

/**
 * The value cannot be stored. It is or contains a function, a symbol, a promise or another value that cannot be encoded,
 * the schema of its collection does not accept it, or its encoded form is too large for the engine.
 *
 * @category errors
 * @since 0.1.0
 */
export class ValueEncoding<out Key = unknown>
  extends Schema.TaggedError<ValueEncoding>("effect-lmdb/ValueEncoding")("ValueEncoding", {
    /** The key of the value, as text. */
    shownKey: Schema.String,
    /** Says which part of the value cannot be stored, and why. */
    detail: Schema.String,
    /** The name of the collection, if the call was on one. */
    collection: Schema.optional(Schema.String),
    /** The name of the namespace, if the call was on one. */
    namespace: Schema.optional(Schema.String),
    /** The error of the codec or of the schema, if any. */
    cause: Schema.optional(Schema.Defect())
  })
{
  readonly #key: Key

  constructor(properties: ShownKey<Key> & Properties, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Returns the key of the value that could not be stored. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key and what cannot be stored. */
  override get message(): string {
    return `The value for key ${this.shownKey}${inPlace(this)} cannot be stored: ${this.detail}`
  }
}

/**
 * The bytes under the key are not a value that this package has written, or the schema of the collection does not decode
 * the value.
 *
 * **Details**
 *
 * If the call named the key, `key` is that key. If a range, an index or a stream has found the record, `key` is the
 * stored key: text or bytes in a store, in a collection the encoded form of its schema, or bytes if the key does not
 * decode either. Logs and encoded errors do not contain `key`. They contain `shownKey`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ValueDecoding<out Key = unknown>
  extends Schema.TaggedError<ValueDecoding>("effect-lmdb/ValueDecoding")("ValueDecoding", {
    /** The key as text. */
    shownKey: Schema.String,
    /** Says what is wrong with the bytes or with the value. */
    detail: Schema.String,
    /** The name of the collection, if the value is in one. */
    collection: Schema.optional(Schema.String),
    /** The name of the namespace, if the value is in one. */
    namespace: Schema.optional(Schema.String),
    /** The error of the codec or of the schema, if any. */
    cause: Schema.optional(Schema.Defect())
  })
{
  readonly #key: Key

  constructor(properties: ShownKey<Key> & Properties, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Returns the key under which the value is stored. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key and what is wrong with the bytes under it, or with their value. */
  override get message(): string {
    if (Schema.isSchemaError(this.cause)) {
      return `The value stored under key ${this.shownKey}${inPlace(this)} does not fit the schema: ${this.detail}`
    }
    return `The bytes stored under key ${this.shownKey}${inPlace(this)} are not a value: ${this.detail}`
  }
}
