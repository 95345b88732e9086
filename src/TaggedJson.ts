/**
 * Converts the values and the keys of a store to JSON and back without loss.
 *
 * JSON lacks dates, `bigint`, `undefined`, `Map`, bytes and other values that a store can contain. They are written as an
 * object with one field, a tag, whose name begins with `$`. Everything that JSON can express is written as it is. The
 * command `effect-lmdb` reads and writes this form.
 *
 * | Value                                    | JSON                                                              |
 * | ---------------------------------------- | ----------------------------------------------------------------- |
 * | `undefined`                              | `{"$undefined": true}`                                            |
 * | `NaN`, `Infinity`, `-Infinity`, `-0`     | `{"$number": "NaN"}`                                              |
 * | `12n`                                    | `{"$bigint": "12"}`, or `"0xc"` in hexadecimal digits             |
 * | `Date`                                   | `{"$date": "2026-03-01T12:00:00.000Z"}`; `null` if it is invalid  |
 * | `Map`                                    | `{"$map": [["key", "value"]]}`                                    |
 * | `Set`                                    | `{"$set": ["member"]}`                                            |
 * | `Uint8Array`                             | `{"$bytes": "AQID"}` in Base64                                    |
 * | `ArrayBuffer`                            | `{"$buffer": "AQID"}`                                             |
 * | other typed arrays, `DataView`           | `{"$view": ["Int16Array", "AQIDBA=="]}`                           |
 * | `RegExp`                                 | `{"$regexp": ["source", "flags"]}`                                |
 * | `Error` and its kinds                    | `{"$error": {"name": "", "message": "", "stack": "", "cause": 1}}` |
 * | an array with holes or named elements    | `{"$sparse": [3, {"0": "first", "2": "last"}]}`                   |
 * | `Object(1)` and other boxed primitives   | `{"$boxed": 1}`                                                   |
 * | a field whose name begins with `$`       | the name with one more `$`: `{"$$set": 1}` is `{ $set: 1 }`       |
 *
 * If an object occurs in several places of a value, contains itself, or is nested deeper than 100 levels, the whole value
 * is `{"$graph": [root, ...objects]}`, and `{"$ref": 1}` in it is the object at position 1.
 *
 * A key of a store or of a namespace is text, or `{"$bytes": ...}` if it has other bytes. A key of a collection or of an
 * index has the form of its value: a tuple is an array, and a `DateTime.Utc` is
 * `{"$dateTime": "2026-03-01T12:00:00.000Z"}`.
 *
 * @since 0.2.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as KeyJson from "./internal/key/keyJson.ts"
import * as JsonForm from "./internal/value/jsonForm.ts"
import * as ParsedJson from "./internal/value/parsedJson.ts"
import type { OrderedKey } from "./KeySchema.ts"

/**
 * A value has no JSON form because it cannot be stored, or JSON is not the form of a value or a key.
 *
 * @category errors
 * @since 0.2.0
 */
export class InvalidTaggedJson extends Schema.TaggedError<InvalidTaggedJson>("effect-lmdb/InvalidTaggedJson")(
  "InvalidTaggedJson",
  {
    /** What was to be converted. */
    subject: Schema.Literals(["value", "key"]),
    /** Says what is wrong, at which place, and what to write instead. */
    detail: Schema.String
  }
) {
  /** Says what was to be converted, and what is wrong. */
  override get message(): string {
    return `The ${this.subject} cannot be converted: ${this.detail}`
  }
}

const invalid = (subject: InvalidTaggedJson["subject"]) => (detail: string): InvalidTaggedJson =>
  new InvalidTaggedJson({ subject, detail })

/**
 * Parses JSON. Fails with `InvalidTaggedJson` if the text is not JSON, or has an integer that a number cannot hold, such as
 * `12345678901234567890`, which `JSON.parse` rounds.
 *
 * @category conversions
 * @since 0.2.0
 */
export const parseJson = (text: string): Result.Result<Schema.Json, InvalidTaggedJson> =>
  Result.mapError(ParsedJson.parse(text), invalid("value"))

/**
 * Converts a value to JSON. Fails with `InvalidTaggedJson` if a store would refuse the value, for example because it
 * contains a function.
 *
 * **Example** (Showing what is stored)
 *
 * ```ts
 * import { Result } from "effect"
 * import { valueToJson } from "effect-lmdb/Inspect"
 *
 * const json = valueToJson({ name: "Ada", born: new Date("1815-12-10"), tags: new Set(["a"]) })
 * console.log(JSON.stringify(Result.getOrThrow(json)))
 * // {"name":"Ada","born":{"$date":"1815-12-10T00:00:00.000Z"},"tags":{"$set":["a"]}}
 * ```
 *
 * @category conversions
 * @since 0.2.0
 */
export const valueToJson = (value: unknown): Result.Result<Schema.Json, InvalidTaggedJson> =>
  Result.mapError(JsonForm.toJson(value), invalid("value"))

/**
 * Converts JSON to the value whose form it is. Fails with `InvalidTaggedJson`, which names the place, if a tag is unknown
 * or has the wrong content.
 *
 * @category conversions
 * @since 0.2.0
 */
export const valueFromJson = (json: Schema.Json): Result.Result<unknown, InvalidTaggedJson> =>
  Result.mapError(JsonForm.fromJson(json), invalid("value"))

/**
 * Converts a key to JSON: of a store, of a collection or of an index.
 *
 * @category conversions
 * @since 0.2.0
 */
export const keyToJson: (key: OrderedKey) => Schema.Json = KeyJson.toJson

/**
 * Converts JSON to the key whose form it is. Fails with `InvalidTaggedJson` if a part of it is not a key, as an object.
 *
 * @category conversions
 * @since 0.2.0
 */
export const keyFromJson = (json: Schema.Json): Result.Result<OrderedKey, InvalidTaggedJson> =>
  Result.mapError(KeyJson.fromJson(json), invalid("key"))
