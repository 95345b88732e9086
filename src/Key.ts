/**
 * A key as the user has it, turned into bytes, and back for display.
 *
 * A key is a string or bytes of any kind; the store orders keys by their bytes,
 * compares them and keeps them in maps. So a key is turned at once into a
 * `ByteString`: a JavaScript string with one character from U+0000 to U+00FF for
 * each byte. It is a value: it works as the key of a `Map`, `<` compares it in
 * byte order, and nothing that happens later to the caller's memory changes it.
 *
 * All kinds of keys with the same bytes name the same entry: `"é"` under
 * `"utf8"` is `Uint8Array.of(0xc3, 0xa9)`.
 *
 * **Example** (One entry under two kinds of keys)
 *
 * ```ts
 * import * as Key from "./Key.ts"
 * import * as Result from "effect/Result"
 *
 * const keys = Key.make()
 * const fromString = Result.getOrThrow(keys.encode("é"))
 * const fromBytes = Result.getOrThrow(keys.encode(Uint8Array.of(0xc3, 0xa9)))
 *
 * console.log(fromString === fromBytes) // => true
 * console.log(keys.show(new Uint8Array([0xff, 0x00]))) // => 0xff00
 * ```
 *
 * @since 0.1.0
 */
import * as Brand from "effect/Brand"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { types } from "node:util"
import {
  encodings,
  isAscii,
  loneSurrogate,
  replacementCharacter,
  type TextEncoding,
  toBuffer
} from "./internal/key/textEncoding.ts"
import { count } from "./internal/quantity.ts"
import type { KeyEncodingReason } from "./StoreError.ts"
import { KeyEncoding } from "./StoreError.ts"

type Bytes = ArrayBufferView | ArrayBufferLike

/**
 * What a store takes as a key: a string, or bytes in any container.
 *
 * **Details**
 *
 * Of a view (`Buffer`, `DataView`, any typed array) the bytes between its own
 * offset and length count. Bytes are copied when the key is handed over.
 *
 * @category models
 * @since 0.1.0
 */
export type Key = string | Uint8Array | ArrayBufferView | ArrayBufferLike

/**
 * The bytes of a key as a string with one character, U+0000 to U+00FF, for each
 * byte. Two byte strings compare by `<` as their bytes do.
 *
 * @category models
 * @since 0.1.0
 */
export type ByteString = Brand.Branded<string, "effect-lmdb/ByteString">

/**
 * Says that a string is a byte string.
 *
 * **Gotchas**
 *
 * It is not checked. Bytes become a byte string by `fromBytes`, keys by
 * `KeyCodec.encode`; this is for strings that are made of byte strings.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ByteString: Brand.Constructor<ByteString> = Brand.nominal<ByteString>()

/**
 * How keys become bytes.
 *
 * @category options
 * @since 0.1.0
 */
export interface KeyOptions {
  /**
   * The encoding of string keys; `"binary"` refuses strings.
   *
   * **Gotchas**
   *
   * The order of keys is the order of their bytes: that of the code points under
   * `"utf8"`, `"latin1"` and `"ascii"`, but under `"utf16le"` the low byte of each
   * code unit counts first, so that `"\u0100"` sorts before `"a"`.
   */
  readonly encoding: "utf8" | "utf16le" | "latin1" | "ascii" | "binary"
  /**
   * What happens to a character that the encoding cannot express: the key is
   * refused (`"strict"`), the character is replaced by U+FFFD in the Unicode
   * encodings and by `?` in the others (`"replace"`), or left out (`"ignore"`).
   * The same goes, with U+FFFD throughout, for stored bytes that are no text.
   */
  readonly errors: "strict" | "replace" | "ignore"
  /**
   * The normal form that strings are brought into before they are encoded; bytes
   * stay as they are. A string with more than `8 * maxBytes` characters is then
   * too long, whatever would be left of it.
   */
  readonly normalization: "NFC" | "NFD" | "NFKC" | "NFKD" | undefined
  /** Shows a key in messages. Where it throws, the rule of `KeyCodec.show` holds. */
  readonly format: ((key: Key) => string) | undefined
  /** The longest key that the engine allows, in bytes. */
  readonly maxBytes: number
}

/** What `make` takes for the options that are not given. */
const defaultOptions: KeyOptions = {
  encoding: "utf8",
  errors: "strict",
  normalization: undefined,
  format: undefined,
  maxBytes: 1978
}

/**
 * Turns keys into bytes, and bytes into text. Nothing in it throws.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyCodec {
  /** Gives the bytes of a key, or says why it is none: any value can be passed at run time. */
  readonly encode: (key: Key) => Result.Result<ByteString, KeyEncoding>
  /** Gives the text of a stored key, or fails with the reason `NotDecodable`. */
  readonly decode: (bytes: ByteString) => Result.Result<string, KeyEncoding>
  /**
   * Shows a key, or what was given as one, in a message.
   *
   * **Details**
   *
   * Text is quoted, with escapes for what is not printable, and cut with `...`
   * to 50 characters. Bytes are shown alike when they are printable text in the
   * encoding of the store (UTF-8 under `"binary"`), else as `0x...`: whole up to
   * 16 bytes, beyond that the first 8 and the length. A byte string is shown by
   * `show(toBytes(bytes))`.
   */
  readonly show: (key: unknown) => string
}

/**
 * Copies bytes into a byte string.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromBytes = (bytes: Uint8Array): ByteString =>
  ByteString(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1"))

/**
 * Gives the bytes of a byte string, in memory of their own.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toBytes = (bytes: ByteString): Uint8Array => {
  const array = new Uint8Array(bytes.length)
  for (let index = 0; index < array.length; index++) array[index] = bytes.charCodeAt(index)
  return array
}

const isBytes = (input: unknown): input is Bytes => ArrayBuffer.isView(input) || types.isAnyArrayBuffer(input)

const isKey = (input: unknown): input is Key => typeof input === "string" || isBytes(input)

const viewOf = (bytes: Bytes): Uint8Array => {
  if (bytes instanceof Uint8Array) return bytes
  return ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes)
}

// The joiners U+200C and U+200D are part of emoji and of Indic and Persian words.
const unprintable = /[^\P{C}\u200c\u200d]|[\p{Zl}\p{Zp}]/gu
const longestShownText = 50
const longestShownBytes = 16
const longestShownBits = 10_000
// No engine has longer keys: what is longer need not be searched for text.
const longestDecodedBytes = 4096

const hexadecimal = (character: string): string => (character.codePointAt(0) ?? 0).toString(16)

const cut = (text: string): string => {
  const characters = Array.from(text.slice(0, 2 * longestShownText + 2))
  return characters.length > longestShownText ? `${characters.slice(0, longestShownText - 3).join("")}...` : text
}

const showText = (text: string): string =>
  JSON.stringify(cut(text)).replace(unprintable, (character) => `\\u{${hexadecimal(character)}}`)

const showBytes = (bytes: Uint8Array, encoding: TextEncoding): string => {
  if (bytes.length <= longestDecodedBytes) {
    const text = encoding.decode(fromBytes(bytes))
    if (text !== undefined && text.search(unprintable) < 0) return showText(text)
  }
  const first = (length: number): string => `0x${toBuffer(fromBytes(bytes.subarray(0, length))).toString("hex")}`
  return bytes.length > longestShownBytes
    ? `${first(longestShownBytes / 2)}...(${count(bytes.length, "byte")})`
    : first(longestShownBytes)
}

const showOther = (input: unknown): string => {
  switch (typeof input) {
    case "symbol":
      return cut(input.toString())
    case "bigint":
      // The digits of a very large one take minutes.
      return BigInt.asIntN(longestShownBits, input) === input ? cut(`${input}n`) : "[bigint]"
    case "number":
    case "boolean":
      return String(input)
    default:
      return input === undefined || input === null ? String(input) : Object.prototype.toString.call(input)
  }
}

// Code of the caller runs in here (`format`, getters, proxies): it may throw, and give what is no string.
const attempt = (show: () => unknown): unknown => Result.getOrUndefined(Result.try(show))

const makeShow = ({ format }: KeyOptions, encoding: TextEncoding): KeyCodec["show"] => {
  const showByRule = (key: unknown): string => {
    if (typeof key === "string") return showText(key)
    return isBytes(key) ? showBytes(viewOf(key), encoding) : showOther(key)
  }
  return (key) => {
    const formatted = isKey(key) ? attempt(() => format?.(key)) : undefined
    const shown = typeof formatted === "string" ? formatted : attempt(() => showByRule(key))
    return typeof shown === "string" ? shown : `[${typeof key}]`
  }
}

type Encoded = Result.Result<ByteString, KeyEncoding>

type Refuse = (reason: KeyEncodingReason["_tag"], key: unknown, detail: string) => Result.Result<never, KeyEncoding>

const refuseTooLong = (refuse: Refuse, options: KeyOptions, key: unknown, length: string): Encoded =>
  refuse(
    "TooLong",
    key,
    `it has ${length}, the longest key has ${count(options.maxBytes, "byte")}; ` +
      "shorten it, or use a hash of it as the key."
  )

// No normal form makes text so many times shorter: to normalise longer text would only take long.
const mostShortened = 8

const makeEncodeString = (options: KeyOptions, encoding: TextEncoding, refuse: Refuse): (key: string) => Encoded => {
  const { encoding: name, errors, maxBytes, normalization } = options
  // Four bytes more than the longest key: what does not fit is seen to be too long.
  const memory = Buffer.allocUnsafeSlow(maxBytes + 4)

  const refuseCharacter = (key: string, text: string, index: number): Encoded => {
    const character = `U+${hexadecimal(text.slice(index)).toUpperCase().padStart(4, "0")}`
    const remedy = `or set keyErrors to "replace" or "ignore".`
    return encoding.inexpressible === loneSurrogate
      ? refuse(
        "LoneSurrogate",
        key,
        `it has a lone surrogate (${character}) at index ${index}, which is no text; ` +
          `repair it (toWellFormed), ${remedy}`
      )
      : refuse(
        "NotInEncoding",
        key,
        `it has ${character} at index ${index}, which ${name} lacks; set keyEncoding to "utf8", ${remedy}`
      )
  }

  const refuseEmpty = (key: string): Encoded =>
    refuse(
      "Empty",
      key,
      key === ""
        ? "it is empty; give at least one character."
        : `nothing of it is left in ${name}; set keyEncoding to "utf8", or keyErrors to "replace".`
    )

  const check = (key: string, text: string, bytes: string): Encoded => {
    if (bytes.length === 0) return refuseEmpty(key)
    return bytes.length <= maxBytes
      ? Result.succeed(ByteString(bytes))
      : refuseTooLong(refuse, options, key, `${count(Buffer.byteLength(text, name), "byte")} in ${name}`)
  }

  const checkText = (key: string, text: string): Encoded => {
    if (encoding.expresses(text)) return check(key, text, encoding.encode(text, memory))
    if (errors === "strict") return refuseCharacter(key, text, text.search(encoding.inexpressible))
    const rest = text.replace(encoding.inexpressible, errors === "replace" ? encoding.replacement : "")
    return check(key, rest, encoding.encode(rest, memory))
  }

  return (key) => {
    if (encoding.extendsAscii && isAscii(key)) return check(key, key, key)
    if (normalization === undefined) return checkText(key, key)
    return key.length > maxBytes * mostShortened
      ? refuseTooLong(refuse, options, key, count(key.length, "character"))
      : checkText(key, key.normalize(normalization))
  }
}

const refuseStrings = (refuse: Refuse) => (key: string): Encoded =>
  refuse(
    "StringNotAllowed",
    key,
    `keyEncoding "binary" allows no strings; give bytes, or set keyEncoding to "utf8".`
  )

const makeEncodeBytes = (options: KeyOptions, refuse: Refuse): (key: Bytes) => Encoded => {
  const refuseEmpty = (key: Bytes): Encoded =>
    refuse(
      "Empty",
      key,
      "there are no bytes in it, or no longer (was its buffer transferred or shrunk?); give at least one byte."
    )

  const copy = (key: Bytes, view: Uint8Array): Encoded => {
    if (view.length === 0) return refuseEmpty(key)
    return view.length <= options.maxBytes
      ? Result.succeed(fromBytes(view))
      : refuseTooLong(refuse, options, key, count(view.length, "byte"))
  }

  // A buffer that was transferred or shrunk throws.
  return (key) => Result.getOrElse(Result.try(() => copy(key, viewOf(key))), () => refuseEmpty(key))
}

const makeDecode = (options: KeyOptions, encoding: TextEncoding, refuse: Refuse): KeyCodec["decode"] => {
  const { encoding: name, errors } = options
  const refuseBytes = (bytes: ByteString, detail: string) => refuse("NotDecodable", toBytes(bytes), detail)
  return (bytes) => {
    if (name === "binary") return refuseBytes(bytes, `keyEncoding "binary" has no text; ask for bytes.`)
    const text = encoding.decode(bytes)
    if (text !== undefined) return Result.succeed(text)
    return errors === "strict"
      ? refuseBytes(bytes, `it is no text in ${name}; ask for bytes, or set keyErrors to "replace" or "ignore".`)
      : Result.succeed(encoding.decodeLossy(bytes, errors === "replace" ? replacementCharacter : ""))
  }
}

/**
 * Makes the codec for the keys of a store.
 *
 * **Details**
 *
 * Its errors say what is wrong with a key and what to do. The index of a
 * character in them counts UTF-16 code units of the normalised string.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Partial<KeyOptions> = {}): KeyCodec => {
  const all: KeyOptions = { ...defaultOptions, ...options }
  const encoding = all.encoding === "binary" ? encodings.utf8 : encodings[all.encoding]
  const show = makeShow(all, encoding)
  const refuse: Refuse = (reason, key, detail) =>
    Result.fail(new KeyEncoding({ reason: { _tag: reason, detail }, key, shownKey: show(key) }))
  const encodeString = all.encoding === "binary" ? refuseStrings(refuse) : makeEncodeString(all, encoding, refuse)
  const encodeBytes = makeEncodeBytes(all, refuse)
  return {
    encode: (key: unknown) => {
      if (typeof key === "string") return encodeString(key)
      if (isBytes(key)) return encodeBytes(key)
      const type = key === null ? "null" : typeof key
      return refuse("WrongType", key, `${type} is no key; give a string, or bytes (Uint8Array, ArrayBuffer, a view).`)
    },
    decode: makeDecode(all, encoding, refuse),
    show
  }
}
