/**
 * Defines the errors about a key: it is not valid, or it has no value.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { type ErrorPlace, inPlace } from "./internal/errorPlace.ts"

/**
 * The key that an error is about, as a value and as text.
 *
 * @category models
 * @since 0.1.0
 */
export interface ShownKey<out Key = unknown> {
  /** The key itself. */
  readonly key: Key
  /** The key as text, made by the option `formatKey`. */
  readonly shownKey: string
}

const why = {
  /** What is wrong with the key and what to do. */
  detail: Schema.String
}

/**
 * Tells why a key was refused: the field `reason` of `KeyEncoding`, by its `_tag`.
 *
 * **Details**
 *
 * - `Empty`: the key has no bytes. LMDB has no empty keys.
 * - `TooLong`: the key has more bytes than the engine allows (1978).
 * - `LoneSurrogate`: the string is not well-formed Unicode (`keyErrors: "strict"`).
 * - `NotInEncoding`: `keyEncoding` cannot encode a character of the string (`keyErrors: "strict"`).
 * - `StringNotAllowed`: the key is a string, but `keyEncoding` is `"binary"`.
 * - `WrongType`: the key is neither a string nor bytes.
 * - `NotDecodable`: a stored key is not text in `keyEncoding`, although the call asks for text, or the schema of its
 *   collection does not decode it.
 * - `Schema`: the schema of the collection does not accept the key, or the key has no order (`NaN`).
 * - `Argument`: an argument that selects keys is not valid: a range with an end that is `undefined`, with an unknown
 *   property or with a limit that is not a whole number, or a list of keys that is text or bytes. `shownKey` names it.
 *
 * @category errors
 * @since 0.1.0
 */
export const KeyEncodingReason = Schema.TaggedUnion({
  Empty: why,
  TooLong: why,
  LoneSurrogate: why,
  NotInEncoding: why,
  StringNotAllowed: why,
  WrongType: why,
  NotDecodable: why,
  Schema: why,
  Argument: why
})

/**
 * The reason why a key was refused, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type KeyEncodingReason = typeof KeyEncodingReason.Type

/**
 * A key is not valid. Nothing was written.
 *
 * **Details**
 *
 * `key` is the given value, of any type, or `undefined` with the reason `Argument`. If a stored key does not decode
 * (`NotDecodable`), it is the encoded form of that key, or its bytes if there is no encoded form.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyEncoding extends Schema.TaggedError<KeyEncoding>("effect-lmdb/KeyEncoding")("KeyEncoding", {
  /** The reason: an object with `_tag`, for `Effect.catchReason`. */
  reason: KeyEncodingReason,
  /** The key as text, or the name of the argument. */
  shownKey: Schema.String,
  /** The name of the collection, or of the index as `collection.index`, if the key belongs to one. */
  collection: Schema.optional(Schema.String)
}) {
  readonly #key: unknown

  constructor(
    properties: ShownKey & Pick<ErrorPlace, "collection"> & { readonly reason: KeyEncodingReason },
    options?: Schema.MakeOptions
  ) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Returns the value that was given as a key. */
  get key(): unknown {
    return this.#key
  }
  /** Says what is wrong with the key and what to do. The same as `reason.detail`. */
  get detail(): string {
    return this.reason.detail
  }
  /** Shows the key, what is wrong with it and what to do. */
  override get message(): string {
    const what = this.reason._tag === "Argument"
      ? `argument ${this.shownKey.replace(/^the /, "")}`
      : `key ${this.shownKey}`
    return `Bad ${what}${inPlace(this)}: ${this.detail}`
  }
}

/**
 * The key has no value. Only methods that need a value fail with this error, such as `getOrFail` and `deleteOrFail`.
 *
 * **Details**
 *
 * `Key` is the type of the keys of the store, the collection or the index that the method belongs to.
 *
 * **Gotchas**
 *
 * Logs and encoded errors do not contain `key`. They contain `shownKey`.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyNotFound<out Key = unknown>
  extends Schema.TaggedError<KeyNotFound>("effect-lmdb/KeyNotFound")("KeyNotFound", {
    /** The key as text. */
    shownKey: Schema.String,
    /** The name of the collection, or of the index as `collection.index`, if the call was on one. */
    collection: Schema.optional(Schema.String),
    /** The name of the namespace, if the call was on one. */
    namespace: Schema.optional(Schema.String)
  })
{
  readonly #key: Key

  constructor(properties: ShownKey<Key> & ErrorPlace, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Returns the key that the caller has given. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key. */
  override get message(): string {
    return `Key not found${inPlace(this)}: ${this.shownKey}`
  }
}
