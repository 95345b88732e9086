/**
 * The digest of records: `Backend.ts` defines it, as a part of `Read`.
 */
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { RangePart } from "../../Engine.ts"

/** Computes the digest of records in the order of their keys. */
export class RecordsDigest {
  readonly #hash = createHash("sha256")

  add(records: RangePart["records"]): void {
    const size = records.reduce((bytes, [key, value]) => bytes + 8 + key.length + value.length, 0)
    const buffer = Buffer.allocUnsafe(size)
    let at = 0
    for (const [key, value] of records) {
      at = buffer.writeUInt32LE(value.length, buffer.writeUInt32LE(key.length, at))
      at += buffer.write(key, at, "latin1")
      buffer.set(value, at)
      at += value.length
    }
    this.#hash.update(buffer)
  }

  end(): string {
    return this.#hash.digest("base64")
  }
}
