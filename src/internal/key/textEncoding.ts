/**
 * The encodings of string keys: which characters each can express, and how it encodes text and decodes bytes.
 */
import { identity } from "effect/Function"
import { Buffer, isUtf8 } from "node:buffer"

/** Copies the bytes of a byte string into a `Buffer`. */
export const toBuffer = (bytes: string): Buffer => Buffer.from(bytes, "latin1")

/** Whether text, or a byte string, has only ASCII characters. */
export const isAscii = (text: string): boolean => !/[\u0080-\uffff]/.test(text)

/** An encoding of text. It uses byte strings, which have one character from U+0000 to U+00FF for each byte. */
export interface TextEncoding {
  /** Matches the characters that the encoding cannot express. */
  readonly inexpressible: RegExp
  /** Whether the encoding can express all characters of a text. It is faster than a search with `inexpressible`. */
  readonly expresses: (text: string) => boolean
  /** Replaces such a character under `"replace"`. */
  readonly replacement: string
  /** Whether the byte string of ASCII text is the text itself. */
  readonly extendsAscii: boolean
  /** Encodes text, or as much of its beginning as fits into `memory`. */
  readonly encode: (text: string, memory: Buffer) => string
  /** Decodes bytes; returns `undefined` if they are not text in this encoding. */
  readonly decode: (bytes: string) => string | undefined
  /** Decodes bytes, with `replacement` in place of bytes that are not text. */
  readonly decodeLossy: (bytes: string, replacement: string) => string
}

/** The character that decoders put in place of bytes that are not text. */
export const replacementCharacter = "\ufffd"
/** Matches half of a surrogate pair without its other half. */
export const loneSurrogate = /\p{Surrogate}/gu
const notLatin1 = /[\u0100-\u{10ffff}]/gu
const notAscii = /[\u0080-\u{10ffff}]/gu
const utf8 = new TextEncoder()

const decodeUtf16 = (bytes: string): string => toBuffer(bytes).toString("utf16le")

/** The encodings that a key may have, by name. */
export const encodings: { readonly [Name in "utf8" | "utf16le" | "latin1" | "ascii"]: TextEncoding } = {
  utf8: {
    inexpressible: loneSurrogate,
    expresses: (text) => text.isWellFormed(),
    replacement: replacementCharacter,
    extendsAscii: true,
    encode: (text, memory) => memory.toString("latin1", 0, utf8.encodeInto(text, memory).written),
    decode: (bytes) => {
      if (isAscii(bytes)) return bytes
      const buffer = toBuffer(bytes)
      return isUtf8(buffer) ? buffer.toString("utf8") : undefined
    },
    // A stored U+FFFD is text and stays. In the parts between, `toString` makes a U+FFFD of each invalid byte.
    decodeLossy: (bytes, replacement) =>
      bytes.split("\xef\xbf\xbd")
        .map((part) => toBuffer(part).toString("utf8").replaceAll(replacementCharacter, replacement))
        .join(replacementCharacter)
  },
  utf16le: {
    inexpressible: loneSurrogate,
    expresses: (text) => text.isWellFormed(),
    replacement: replacementCharacter,
    extendsAscii: false,
    encode: (text, memory) => memory.toString("latin1", 0, memory.write(text, "utf16le")),
    decode: (bytes) => {
      const text = decodeUtf16(bytes)
      return bytes.length % 2 === 0 && text.isWellFormed() ? text : undefined
    },
    decodeLossy: (bytes, replacement) =>
      decodeUtf16(bytes).replace(loneSurrogate, replacement) + (bytes.length % 2 === 0 ? "" : replacement)
  },
  latin1: {
    inexpressible: notLatin1,
    expresses: (text) => text.search(notLatin1) < 0,
    replacement: "?",
    extendsAscii: true,
    encode: identity,
    decode: identity,
    decodeLossy: identity
  },
  ascii: {
    inexpressible: notAscii,
    expresses: isAscii,
    replacement: "?",
    extendsAscii: true,
    encode: identity,
    decode: (bytes) => isAscii(bytes) ? bytes : undefined,
    decodeLossy: (bytes, replacement) => bytes.replace(notAscii, replacement)
  }
}
