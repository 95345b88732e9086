/**
 * Encodes the cursors of pages: the end of a page as text, which a program can put into a URL.
 *
 * A cursor is the position of the last item on a page: the bytes of its entry in the database. These bytes are unique,
 * even if records have equal keys in an index. So the next page begins exactly after that item, even if other fibers
 * write between the two calls. A cursor is valid only for the collection or index and the direction that it was made
 * for. Four bytes of it identify them. The key of the item can be read from a cursor.
 *
 * ```text
 *   version (1 byte) | fingerprint of the database and the direction (4 bytes) | bytes of the entry
 * ```
 */
import * as Base64Url from "effect/encoding/Base64Url"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { type ByteString, fromBytes } from "../../Key.ts"

/** The database and the direction that a cursor is for. */
export interface PageSource {
  readonly database: string
  /** Whether the pages are read from the end. */
  readonly reverse: boolean
}

const version = 1

const fingerprintBytes = 4

const headBytes = 1 + fingerprintBytes

const headOf = ({ database, reverse }: PageSource): Buffer =>
  Buffer.concat([
    Buffer.from([version]),
    createHash("sha256").update(`${reverse ? "reverse" : "forward"} ${database}`).digest().subarray(0, fingerprintBytes)
  ])

/** Makes the cursor of the page that ends with an entry. */
export const make = (source: PageSource, entry: ByteString): string =>
  Base64Url.encode(Buffer.concat([headOf(source), Buffer.from(entry, "latin1")]))

/** Returns the bytes of the entry after which the next page begins, or says why the cursor is not valid here. */
export const entryOf = (source: PageSource, cursor: string): Result.Result<ByteString, string> => {
  const decoded = Base64Url.decode(cursor)
  if (Result.isFailure(decoded) || decoded.success.length <= headBytes || decoded.success[0] !== version) {
    return Result.fail("it is not a cursor that `page` has returned")
  }
  const bytes = Buffer.from(decoded.success)
  return bytes.subarray(0, headBytes).equals(headOf(source))
    ? Result.succeed(fromBytes(bytes.subarray(headBytes)))
    : Result.fail("it is the cursor of another collection, of another index, or of the other direction")
}
