/**
 * Encodes the keys of a store as byte strings, decodes byte strings as text, and shows keys in
 * messages.
 *
 * All kinds of keys with the same bytes name the same record: `"é"` under `"utf8"` is
 * `Uint8Array.of(0xc3, 0xa9)`. Bytes that are not text are shown as `0xff00`.
 */
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { types } from "node:util"
import { ByteString, fromBytes, type Key, toBytes } from "../../Key.ts"
import { KeyEncoding, type KeyEncodingReason } from "../../StoreError.ts"
import { count } from "../quantity.ts"
import { encodings, isAscii, loneSurrogate, replacementCharacter, type TextEncoding, toBuffer } from "./textEncoding.ts"

type Bytes = ArrayBufferView | ArrayBufferLike

/** How keys are encoded. */
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
   * What happens to a character that the encoding cannot express: `"strict"` refuses
   * the key, `"replace"` replaces the character by U+FFFD in the Unicode encodings and
   * by `?` in the others, and `"ignore"` leaves the character out. Stored bytes that
   * are not text in the encoding are treated alike, but always replaced by U+FFFD.
   */
  readonly errors: "strict" | "replace" | "ignore"
  /**
   * The Unicode normal form into which strings are converted before they are encoded.
   * Bytes are not normalised. A string of more than `8 * maxBytes` characters is refused
   * as too long before it is normalised.
   */
  readonly normalization: "NFC" | "NFD" | "NFKC" | "NFKD" | undefined
  /** Shows a key in messages. If it throws, the default rule of `KeyCodec.show` applies. */
  readonly format: ((key: Key) => string) | undefined
  /** The length of the longest key that the engine allows, in bytes. */
  readonly maxBytes: number
}

/** The values of the options that are not given to `make`. */
const defaultOptions: KeyOptions = {
  encoding: "utf8",
  errors: "strict",
  normalization: undefined,
  format: undefined,
  maxBytes: 1978
}

/** Encodes keys, decodes byte strings, and shows keys. No method throws. */
export interface KeyCodec {
  /** Encodes a key, or says why the value is not a key: a program in JavaScript can pass any value. */
  readonly encode: (key: Key) => Result.Result<ByteString, KeyEncoding>
  /** Decodes a stored key as text, or fails with the reason `NotDecodable`. */
  readonly decode: (bytes: ByteString) => Result.Result<string, KeyEncoding>
  /**
   * Shows a key, or a value that was given as one, in a message.
   *
   * **Details**
   *
   * Text is quoted, unprintable characters are escaped, and text of more than 50
   * characters ends with `...`. Bytes that are printable text in the encoding of the
   * store (UTF-8 under `"binary"`) are shown as text. Other bytes are shown as `0x...`:
   * all of up to 16 bytes, otherwise the first 8 and the number of bytes. Show a byte
   * string with `show(toBytes(bytes))`.
   */
  readonly show: (key: unknown) => string
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
/** In characters. */
const longestShownText = 50
const longestShownBytes = 16
const longestShownBits = 10_000
/** Longer bytes are never a key, so they are shown in hexadecimal digits without an attempt to decode them. */
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
      // Making the digits of a very large bigint takes minutes.
      return BigInt.asIntN(longestShownBits, input) === input ? cut(`${input}n`) : "[bigint]"
    case "number":
    case "boolean":
      return String(input)
    default:
      return input === undefined || input === null ? String(input) : Object.prototype.toString.call(input)
  }
}

// `show` runs code of the caller (`format`, getters, proxies), which may throw or return anything.
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

// No normal form makes text eight times shorter, so longer text cannot fit and is not normalised.
const mostShortened = 8

const makeEncodeString = (options: KeyOptions, encoding: TextEncoding, refuse: Refuse): (key: string) => Encoded => {
  const { encoding: name, errors, maxBytes, normalization } = options
  // Has room for one character more than the longest key, so that a longer key is recognised as too long.
  const memory = Buffer.allocUnsafeSlow(maxBytes + 4)

  const refuseCharacter = (key: string, text: string, index: number): Encoded => {
    const character = `U+${hexadecimal(text.slice(index)).toUpperCase().padStart(4, "0")}`
    const remedy = `or set keyErrors to "replace" or "ignore".`
    return encoding.inexpressible === loneSurrogate
      ? refuse(
        "LoneSurrogate",
        key,
        `it has a lone surrogate (${character}) at index ${index}, which is not valid text; ` +
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
        : `${name} has none of its characters; set keyEncoding to "utf8", or keyErrors to "replace".`
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
      "it has no bytes (was its buffer transferred or shrunk?); give at least one byte."
    )

  const copy = (key: Bytes, view: Uint8Array): Encoded => {
    if (view.length === 0) return refuseEmpty(key)
    return view.length <= options.maxBytes
      ? Result.succeed(fromBytes(view))
      : refuseTooLong(refuse, options, key, count(view.length, "byte"))
  }

  // Reading a buffer that was transferred or shrunk throws.
  return (key) => Result.getOrElse(Result.try(() => copy(key, viewOf(key))), () => refuseEmpty(key))
}

const makeDecode = (options: KeyOptions, encoding: TextEncoding, refuse: Refuse): KeyCodec["decode"] => {
  const { encoding: name, errors } = options
  const refuseBytes = (bytes: ByteString, detail: string) => refuse("NotDecodable", toBytes(bytes), detail)
  return (bytes) => {
    if (name === "binary") {
      return refuseBytes(bytes, `keyEncoding "binary" does not decode keys as text; ask for bytes.`)
    }
    const text = encoding.decode(bytes)
    if (text !== undefined) return Result.succeed(text)
    return errors === "strict"
      ? refuseBytes(bytes, `it is not text in ${name}; ask for bytes, or set keyErrors to "replace" or "ignore".`)
      : Result.succeed(encoding.decodeLossy(bytes, errors === "replace" ? replacementCharacter : ""))
  }
}

/**
 * Makes the codec for the keys of a store. Its errors say what is wrong with a key and what to
 * do. The index of a character in an error counts UTF-16 code units of the normalised string.
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
      return refuse(
        "WrongType",
        key,
        `${type} is not a key; give a string, or bytes (Uint8Array, ArrayBuffer, a view).`
      )
    },
    decode: makeDecode(all, encoding, refuse),
    show
  }
}
