/**
 * What a transaction has read, so that it can be told whether it would read the same
 * again.
 *
 * What was read is kept as fingerprints: of a range, one for each part, whatever its
 * size. A range that was read holds as a whole, so that a record which somebody adds
 * to it is noticed too.
 */
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import type { KeyRange, RangePart, RangeRequest, Reader } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { fromBytes } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { qualifiedKey } from "../buffer/writeSet.ts"
import { ownBytes } from "../engineBytes.ts"
import { readOf } from "./overlay.ts"
import * as RangeReader from "./rangeReader.ts"

type Records = RangePart["records"]

/** What was read: nothing, or bytes. Short ones stand for themselves. */
type Fingerprint = string | undefined

const longestPlain = 64

const fingerprint = (bytes: Uint8Array | undefined): Fingerprint => {
  if (bytes === undefined) return undefined
  const own = ownBytes(bytes)
  return own.length <= longestPlain ? `=${fromBytes(own)}` : createHash("sha256").update(own).digest("base64")
}

/** The fingerprint of records in the order of their keys. */
class RecordsDigest {
  readonly #hash = createHash("sha256")

  add(records: Records): void {
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

interface RangeRead {
  readonly database: string
  readonly range: KeyRange
  readonly values: boolean
  readonly digest: string
}

/** What a transaction has read. */
export class ReadSet {
  readonly #values = new Map<string, Map<ByteString, Fingerprint>>()
  readonly #existence = new Map<string, Map<ByteString, boolean>>()
  readonly #counts = new Map<string, number>()
  readonly #ranges: Array<RangeRead> = []
  /** Whether the same thing was read twice with different results: then it never holds. */
  #isTorn = false

  /** Takes down what was read under a key. */
  addValue(database: string, key: ByteString, bytes: Uint8Array | undefined): void {
    this.#add(this.#values, database, key, fingerprint(bytes))
  }

  /** Takes down whether there was a value. */
  addExistence(database: string, key: ByteString, exists: boolean): void {
    this.#add(this.#existence, database, key, exists)
  }

  /** Takes down how many records there were. */
  addCount(database: string, count: number): void {
    if ((this.#counts.get(database) ?? count) !== count) this.#isTorn = true
    this.#counts.set(database, count)
  }

  /** Takes down a part of a range. */
  addRange(database: string, request: RangeRequest, { records, rest }: RangePart): void {
    const digest = new RecordsDigest()
    digest.add(request.reverse ? records.toReversed() : records)
    this.#ranges.push({ database, range: readOf(request, rest), values: request.values, digest: digest.end() })
  }

  /** What it has read, by name: keys, and databases of which it has read a range or the size. */
  *addresses(): IterableIterator<string> {
    for (const databases of [this.#values, this.#existence]) {
      for (const [database, keys] of databases) {
        for (const key of keys.keys()) yield qualifiedKey(database, key)
      }
    }
    yield* this.#counts.keys()
    for (const { database } of this.#ranges) yield database
  }

  /** Whether all of it would be read again. */
  holds(present: Reader): Result.Result<boolean, EngineFailure> {
    if (this.#isTorn) return Result.succeed(false)
    for (const [database, keys] of this.#values) {
      for (const [key, was] of keys) {
        const is = present.get(database, key)
        if (Result.isFailure(is)) return Result.fail(is.failure)
        if (fingerprint(is.success) !== was) return Result.succeed(false)
      }
    }
    for (const [database, keys] of this.#existence) {
      for (const [key, existed] of keys) {
        const exists = present.has(database, key)
        if (Result.isFailure(exists) || exists.success !== existed) return Result.map(exists, () => false)
      }
    }
    for (const [database, was] of this.#counts) {
      const is = present.count(database)
      if (Result.isFailure(is) || is.success !== was) return Result.map(is, () => false)
    }
    for (const read of this.#ranges) {
      const digest = digestOf(present, read)
      if (Result.isFailure(digest) || digest.success !== read.digest) return Result.map(digest, () => false)
    }
    return Result.succeed(true)
  }

  #add<A>(databases: Map<string, Map<ByteString, A>>, database: string, key: ByteString, value: A): void {
    const keys = databases.get(database)
    if (keys === undefined) databases.set(database, new Map([[key, value]]))
    else if (!keys.has(key)) keys.set(key, value)
    else if (keys.get(key) !== value) this.#isTorn = true
  }
}

const digestOf = (present: Reader, { database, range, values }: RangeRead): Result.Result<string, EngineFailure> => {
  const read = RangeReader.make(present, database, { ...range, reverse: false, values })
  const digest = new RecordsDigest()
  for (;;) {
    const part = read()
    if (Result.isFailure(part)) return Result.fail(part.failure)
    if (part.success === undefined) return Result.succeed(digest.end())
    digest.add(part.success)
  }
}
