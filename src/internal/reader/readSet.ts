/**
 * The read set of a transaction: records what it reads, and validates that it would read the same again.
 *
 * The set keeps a fingerprint of each value, and one digest for each part of a range, of whatever size. A
 * range is validated as a whole, so a record that another fiber adds to it is a conflict too.
 */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import type { Read, Reader } from "../../Backend.ts"
import type { RangePart, RangeRequest } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { fromBytes } from "../../Key.ts"
import { qualifiedKey } from "../buffer/writeSet.ts"
import { ownBytes } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import { readOf } from "./overlay.ts"
import * as RangeReader from "./rangeReader.ts"
import { RecordsDigest } from "./recordsDigest.ts"

/** Identifies the bytes of a value; `undefined` if the key had none. Short values are their own fingerprint. */
export type Fingerprint = string | undefined

/** The longest value, in bytes, that is its own fingerprint. Longer ones are hashed. */
const longestPlain = 64

/** The fingerprint of a value, as `Backend.ts` defines it. */
export const fingerprint = (bytes: Uint8Array): string => {
  const own = ownBytes(bytes)
  return own.length <= longestPlain ? `=${fromBytes(own)}` : createHash("sha256").update(own).digest("base64")
}

type RangeRead = Extract<Read, { readonly _tag: "Range" }>

/** Records what a transaction has read. */
export class ReadSet implements Iterable<Read> {
  readonly #values = new Map<string, Map<ByteString, Fingerprint>>()
  readonly #existence = new Map<string, Map<ByteString, boolean>>()
  readonly #counts = new Map<string, number>()
  readonly #ranges: Array<RangeRead> = []
  #isTorn = false

  /** Whether two reads of the same key or count had different results. Such a transaction cannot be committed. */
  get isTorn(): boolean {
    return this.#isTorn
  }

  /** Records the value that was read under a key. */
  addValue(database: string, key: ByteString, read: Fingerprint): void {
    this.#add(this.#values, database, key, read)
  }

  /** Records whether a key had a value. */
  addExistence(database: string, key: ByteString, exists: boolean): void {
    this.#add(this.#existence, database, key, exists)
  }

  /** Records the number of records of a database. */
  addCount(database: string, count: number): void {
    if ((this.#counts.get(database) ?? count) !== count) this.#isTorn = true
    this.#counts.set(database, count)
  }

  /** Records a part of a range. */
  addRange(database: string, request: RangeRequest, { records, rest }: RangePart): void {
    const digest = new RecordsDigest()
    digest.add(request.reverse ? records.toReversed() : records)
    this.#ranges.push({
      _tag: "Range",
      database,
      range: readOf(request, rest),
      values: request.values,
      digest: digest.end()
    })
  }

  /** The qualified keys of the records that it has read, and the databases of which it has read a range or the count. */
  *qualifiedKeys(): IterableIterator<string> {
    for (const databases of [this.#values, this.#existence]) {
      for (const [database, keys] of databases) {
        for (const key of keys.keys()) yield qualifiedKey(database, key)
      }
    }
    yield* this.#counts.keys()
    for (const { database } of this.#ranges) yield database
  }

  *[Symbol.iterator](): IterableIterator<Read> {
    for (const [database, keys] of this.#values) {
      for (const [key, read] of keys) yield { _tag: "Value", database, key, fingerprint: read }
    }
    for (const [database, keys] of this.#existence) {
      for (const [key, exists] of keys) yield { _tag: "Existence", database, key, exists }
    }
    for (const [database, count] of this.#counts) yield { _tag: "Count", database, count }
    yield* this.#ranges
  }

  #add<A>(databases: Map<string, Map<ByteString, A>>, database: string, key: ByteString, value: A): void {
    const keys = databases.get(database)
    if (keys === undefined) databases.set(database, new Map([[key, value]]))
    else if (!keys.has(key)) keys.set(key, value)
    else if (keys.get(key) !== value) this.#isTorn = true
  }
}

const digestOf = Effect.fnUntracedEager(function*(present: Reader, { database, range, values }: RangeRead) {
  const read = RangeReader.make(present, database, { ...range, reverse: false, values })
  const digest = new RecordsDigest()
  for (;;) {
    const part = yield* read()
    if (part === undefined) return digest.end()
    digest.add(part)
  }
})

/** The values of one database. They are validated by one read. */
interface ValueReads {
  readonly keys: Array<ByteString>
  readonly fingerprints: Array<Fingerprint>
}

/** Separates the reads of values, grouped by database, from the other reads. */
const grouped = (reads: Iterable<Read>) => {
  const values = new Map<string, ValueReads>()
  const others: Array<Exclude<Read, { readonly _tag: "Value" }>> = []
  for (const read of reads) {
    if (read._tag !== "Value") {
      others.push(read)
      continue
    }
    let ofDatabase = values.get(read.database)
    if (ofDatabase === undefined) values.set(read.database, ofDatabase = { keys: [], fingerprints: [] })
    ofDatabase.keys.push(read.key)
    ofDatabase.fingerprints.push(read.fingerprint)
  }
  return { values, others }
}

/** Returns whether all reads would have the same results again. Ends at once if every read does. */
export const validate = Effect.fnUntracedEager(function*(reads: Iterable<Read>, present: Reader) {
  const { others, values } = grouped(reads)
  for (const [database, { fingerprints, keys }] of values) {
    const found = yield* present.getMany(database, keys, fingerprint)
    if (found.some((read, at) => read !== fingerprints[at])) return false
  }
  for (const read of others) {
    switch (read._tag) {
      case "Existence":
        if ((yield* present.has(read.database, read.key)) !== read.exists) return false
        break
      case "Count":
        if ((yield* present.count(read.database)) !== read.count) return false
        break
      case "Range":
        if ((yield* digestOf(present, read)) !== read.digest) return false
    }
  }
  return true
})

/** Makes a reader that records all reads of another reader. */
export const recorded = (reader: Reader, reads: ReadSet): Reader => ({
  get: (database, key, decode) => {
    let read: Fingerprint
    const found = reader.get(database, key, (bytes) => {
      read = fingerprint(bytes)
      return decode(bytes)
    })
    return Settled.map(found, (value) => {
      reads.addValue(database, key, read)
      return value
    })
  },
  getMany: (database, keys, decode) => {
    const read = new Map<number, string>()
    const found = reader.getMany(database, keys, (bytes, at) => {
      read.set(at, fingerprint(bytes))
      return decode(bytes, at)
    })
    return Settled.map(found, (values) => {
      for (const [at, key] of keys.entries()) reads.addValue(database, key, read.get(at))
      return values
    })
  },
  has: (database, key) =>
    Settled.map(reader.has(database, key), (exists) => {
      reads.addExistence(database, key, exists)
      return exists
    }),
  read: (database, request) =>
    Settled.map(reader.read(database, request), (part) => {
      reads.addRange(database, request, part)
      return part
    }),
  count: (database) =>
    Settled.map(reader.count(database), (count) => {
      reads.addCount(database, count)
      return count
    })
})
