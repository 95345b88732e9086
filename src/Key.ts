/**
 * The keys that a program gives to a store, and the byte strings that the store makes of
 * them.
 *
 * A key is a string or bytes in any container. A store orders keys by their bytes. It
 * converts each key at once into a `ByteString`: a JavaScript string with one character
 * from U+0000 to U+00FF for each byte. A byte string can be the key of a `Map`, `<`
 * compares two of them in byte order, and later changes of the caller's memory do not
 * change it.
 *
 * @since 0.1.0
 */
import * as Brand from "effect/Brand"
import { Buffer } from "node:buffer"

/**
 * A key of a store: a string, or bytes in any container.
 *
 * **Details**
 *
 * The bytes of a view (`Buffer`, `DataView`, any typed array) are those between its own
 * offset and length. A store copies the bytes when it gets the key.
 *
 * @category models
 * @since 0.1.0
 */
export type Key = string | Uint8Array | ArrayBufferView | ArrayBufferLike

/**
 * The bytes of a key as a string with one character, U+0000 to U+00FF, for each
 * byte. `<` compares two byte strings in the order of their bytes.
 *
 * @category models
 * @since 0.1.0
 */
export type ByteString = Brand.Branded<string, "effect-lmdb/ByteString">

/**
 * Marks a string as a byte string.
 *
 * **Gotchas**
 *
 * It does not check the string. Use it for strings that are made of byte strings. Convert
 * bytes with `fromBytes`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ByteString: Brand.Constructor<ByteString> = Brand.nominal<ByteString>()

/**
 * Copies bytes into a byte string.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromBytes = (bytes: Uint8Array): ByteString =>
  ByteString(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1"))

/**
 * Copies the bytes of a byte string into new memory.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toBytes = (bytes: ByteString): Uint8Array => {
  const array = new Uint8Array(bytes.length)
  for (let index = 0; index < array.length; index++) array[index] = bytes.charCodeAt(index)
  return array
}
