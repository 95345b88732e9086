/**
 * The errors that are about a key: it was refused, or nothing is stored under it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { inCollection } from "./internal/inCollection.ts"

/**
 * The key that an error is about, as a value and as text.
 *
 * @category models
 * @since 0.1.0
 */
export interface ShownKey<out Key = unknown> {
  /** The key itself. */
  readonly key: Key
  /** The key as `formatKey` shows it to a person. */
  readonly shownKey: string
}

interface Place {
  readonly collection?: string | undefined
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
 * - `Empty`: no bytes are left, LMDB has no empty keys
 * - `TooLong`: more bytes than the engine allows (1978)
 * - `LoneSurrogate`: the string is not well-formed Unicode (`keyErrors: "strict"`)
 * - `NotInEncoding`: a character that `keyEncoding` cannot express (`keyErrors: "strict"`)
 * - `StringNotAllowed`: a string although `keyEncoding` is `"binary"`
 * - `WrongType`: neither a string nor bytes
 * - `NotDecodable`: a stored key that is no text in `keyEncoding`, when text was asked for, or
 *   does not decode by the schema of its collection
 * - `Schema`: not a key of the schema of its collection, or one that has no order (`NaN`)
 * - `Argument`: what chooses keys makes no sense: a range with an end that is `undefined`, with a
 *   property that ranges do not have or with a limit that is no whole number; a list of keys that is
 *   text or bytes. `key` names it
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
 * Why a key was refused, as a type.
 *
 * @category errors
 * @since 0.1.0
 */
export type KeyEncodingReason = typeof KeyEncodingReason.Type

/**
 * A key was refused, before anything was read or written.
 *
 * **Details**
 *
 * `key` is what was given as a key, whatever it is, and `undefined` with the reason `Argument`. Of a
 * stored key that does not decode (`NotDecodable`) it is the encoded form, or the bytes where there is none.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyEncoding extends Schema.TaggedError<KeyEncoding>("effect-lmdb/KeyEncoding")("KeyEncoding", {
  /** Why the key was refused: an object with `_tag`, as `Effect.catchReason` takes it. */
  reason: KeyEncodingReason,
  /** The key as it is shown to a person, or the name of the argument. */
  shownKey: Schema.String,
  /** The collection, or the index as `collection.index`, where it is the key of one. */
  collection: Schema.optional(Schema.String)
}) {
  readonly #key: unknown

  constructor(
    properties: ShownKey & Place & { readonly reason: KeyEncodingReason },
    options?: Schema.MakeOptions
  ) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Gives what was given as a key. */
  get key(): unknown {
    return this.#key
  }
  /** Says what is wrong with the key and what to do, as the reason has it. */
  get detail(): string {
    return this.reason.detail
  }
  /** Shows the key, what is wrong with it and what to do. */
  override get message(): string {
    const what = this.reason._tag === "Argument"
      ? `argument ${this.shownKey.replace(/^the /, "")}`
      : `key ${this.shownKey}`
    return `Bad ${what}${inCollection(this)}: ${this.detail}`
  }
}

/**
 * There is no value under the key, and the method called wants one.
 *
 * **Details**
 *
 * `Key` is the type of the keys of the store, the collection or the index that the method belongs to.
 *
 * **Gotchas**
 *
 * `key` stays in the process: neither a log nor an encoded error has it. They have `shownKey`.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeyNotFound<out Key = unknown>
  extends Schema.TaggedError<KeyNotFound>("effect-lmdb/KeyNotFound")("KeyNotFound", {
    /** The key as it is shown to a person. */
    shownKey: Schema.String,
    /** The collection, or the index as `collection.index`, where it was looked for in one. */
    collection: Schema.optional(Schema.String)
  })
{
  readonly #key: Key

  constructor(properties: ShownKey<Key> & Place, options?: Schema.MakeOptions) {
    super(properties, options)
    this.#key = properties.key
  }
  /** Gives the key that the caller asked for. */
  get key(): Key {
    return this.#key
  }
  /** Shows the key. */
  override get message(): string {
    return `Key not found${inCollection(this)}: ${this.shownKey}`
  }
}
