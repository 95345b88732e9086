/**
 * Makes keys of a collection from ids that come from outside.
 *
 * The primary keys of the cluster, URLs and file names can be longer than a key of LMDB, and can contain half of a
 * surrogate pair, which no key may. Such an id is stored under its SHA-256. The record keeps the id itself.
 */
import * as Predicate from "effect/Predicate"
import { createHash } from "node:crypto"

/** The longest id in UTF-16 code units that is stored as it is: at most 768 bytes of UTF-8, so two of them fit into a key. */
const maxLength = 256

/** Marks a key that is a hash. An id that begins with it is hashed too, so that it never equals the key of another id. */
const mark = "sha256:"

/** Hashes the UTF-16 code units. In UTF-8, two different ids with lone surrogates would have the same bytes. */
const hash = (id: string): string => mark + createHash("sha256").update(Buffer.from(id, "utf16le")).digest("hex")

const needsHash = (id: string): boolean => id.length > maxLength || id.startsWith(mark) || !id.isWellFormed()

/**
 * Returns the key of an id. Different ids have different keys. An id that is not text, such as an `undefined` that the
 * compiler took for text, is returned: the schema of the key refuses it.
 */
export const storageKey = (id: string): string => Predicate.isString(id) && needsHash(id) ? hash(id) : id
