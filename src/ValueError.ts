/**
 * The errors that are about a value: it cannot be stored, or not be read back.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { inCollection } from "./internal/inCollection.ts"
import type { ShownKey } from "./KeyError.ts"

/** What the constructors are given besides the key. */
interface Properties {
  readonly detail: string
  readonly collection?: string | undefined
  readonly cause?: unknown
}

/**
 * The value cannot be stored: it is or contains a function, a symbol, a promise
 * or another thing that has no bytes, or it has more bytes than the engine can write.
 *
 * @category errors
 * @since 0.1.0
 */
export class ValueEncoding<out Key = unknown>
  extends Schema.TaggedError<ValueEncoding>("effect-lmdb/ValueEncoding")("ValueEncoding", {
    /** The key, as shown to a person, under which the value was to be stored. */
    shownKey: Schema.String,
    /** What cannot be stored. */
    detail: Schema.String,
    /** The collection that it was to be stored in, if any. */
    collection: Schema.optional(Schema.String),
    /** What the codec threw, or what the schema says. */
    cause: Schema.optional(Schema.Defect())
  })
{
  readonly #key: Key

  constructor(properties: ShownKey<Key> & Properties, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Gives the key under which the value was to be stored. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key and what cannot be stored. */
  override get message(): string {
    return `The value for key ${this.shownKey}${inCollection(this)} cannot be stored: ${this.detail}`
  }
}

/**
 * The bytes stored under the key are not a value that this package wrote, or the value does not fit the schema of
 * its collection.
 *
 * **Details**
 *
 * `key` is the caller's own where the call named it. Where a range, an index or a stream led to the
 * record it is the stored key: text or bytes in a store, in a collection the encoded form of its schema, or the
 * bytes where the key does not decode either. It stays in the process: neither a log nor an encoded error has it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ValueDecoding<out Key = unknown>
  extends Schema.TaggedError<ValueDecoding>("effect-lmdb/ValueDecoding")("ValueDecoding", {
    /** The key as it is shown to a person. */
    shownKey: Schema.String,
    /** What is wrong with the bytes. */
    detail: Schema.String,
    /** The collection that they are stored in, if any. */
    collection: Schema.optional(Schema.String),
    /** What the codec threw, or what the schema says. */
    cause: Schema.optional(Schema.Defect())
  })
{
  readonly #key: Key

  constructor(properties: ShownKey<Key> & Properties, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Gives the key under which the value is stored. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key and what is wrong with the bytes under it, or with their value. */
  override get message(): string {
    if (Schema.isSchemaError(this.cause)) {
      return `The value stored under key ${this.shownKey}${inCollection(this)} does not fit the schema: ${this.detail}`
    }
    return `The bytes stored under key ${this.shownKey}${inCollection(this)} are not a value: ${this.detail}`
  }
}
