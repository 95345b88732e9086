/**
 * One call of the function that commits: encodes the units of a commit, and decodes the outcome.
 */
import { Buffer } from "node:buffer"
import type { Read } from "../../Backend.ts"
import type { ByteString } from "../../Key.ts"
import { qualifiedKey, type WriteSet } from "../buffer/writeSet.ts"
import type { ValuesBefore } from "../commit/valuesBefore.ts"
import { isLogged } from "../databases.ts"
import { noBytes } from "../engineBytes.ts"
import { rangeFlags, writeKinds } from "./commitFunction.ts"
import { bytesIn, keyParameter, numberIn, numbersIn, numbersParameter, type Rows } from "./server.ts"

/** Writes, and what must still be true for them to be made. */
export interface Unit {
  readonly reads: Iterable<Read>
  readonly writes: WriteSet
}

/** What a commit does besides its writes. */
export interface CommitOptions {
  readonly isAsync: boolean
  readonly notifies: boolean
  /** Whether the log gets the values before the commit. */
  readonly previous: boolean
  /** What the answer has about the values before the commit: 0 nothing, 1 whether there was one, 2 the values. */
  readonly before: 0 | 1 | 2
  /** The time of the commit, in milliseconds since 1970. */
  readonly now: number
}

/** The outcome of a commit. */
export interface Outcome {
  /** The number of the commit; 0 if nothing was written. */
  readonly number: number
  /** The units whose conditions do not hold. */
  readonly failed: ReadonlySet<number>
  readonly before: ValuesBefore
}

/** The place of a write in the order of its commit. */
interface Written {
  readonly database: string
  readonly key: ByteString
}

/** A call that can be made any number of times. */
export interface CommitCall {
  readonly parameters: ReadonlyArray<unknown>
  readonly written: ReadonlyMap<number, Written>
}

type NumberOf = (database: string) => number

/** What `v_want` says about a value or about its existence. */
export const wantOf = (read: Extract<Read, { readonly _tag: "Value" | "Existence" }>): Uint8Array => {
  if (read._tag === "Existence") return read.exists ? Buffer.of(0x31) : noBytes
  const { fingerprint } = read
  if (fingerprint === undefined) return noBytes
  return fingerprint.startsWith("=")
    ? Buffer.from(fingerprint, "latin1")
    : Buffer.concat([Buffer.of(0x23), Buffer.from(fingerprint, "base64")])
}

const flagsOf = ({ range: { from, to }, values }: Extract<Read, { readonly _tag: "Range" }>): number =>
  // Without a lower bound, the bound is the empty key, which no record has.
  (from === undefined || from.inclusive ? rangeFlags.includesFrom : 0) |
  (from === undefined ? 0 : rangeFlags.hasFrom) |
  (to === undefined ? 0 : rangeFlags.hasTo) |
  (to?.inclusive === true ? rangeFlags.includesTo : 0) |
  (values ? rangeFlags.values : 0)

/** Encodes the conditions of all units, by columns. */
export const encodeReads = (
  units: ReadonlyArray<Pick<Unit, "reads">>,
  numberOf: NumberOf
): ReadonlyArray<unknown> => {
  const values: Array<[unit: number, db: number, key: Uint8Array, want: Uint8Array]> = []
  const counts: Array<[unit: number, db: number, count: number]> = []
  const ranges: Array<[unit: number, db: number, flags: number, from: Uint8Array, to: Uint8Array, digest: Uint8Array]> =
    []
  for (const [unit, { reads }] of units.entries()) {
    for (const read of reads) {
      const db = numberOf(read.database)
      if (read._tag === "Count") counts.push([unit, db, read.count])
      else if (read._tag === "Range") {
        const { digest, range: { from, to } } = read
        ranges.push([
          unit,
          db,
          flagsOf(read),
          from === undefined ? noBytes : keyParameter(from.key),
          to === undefined ? noBytes : keyParameter(to.key),
          Buffer.from(digest, "base64")
        ])
      } else values.push([unit, db, keyParameter(read.key), wantOf(read)])
    }
  }
  return [
    numbersParameter(values.map(([unit]) => unit)),
    numbersParameter(values.map(([, db]) => db)),
    values.map(([, , key]) => key),
    values.map(([, , , want]) => want),
    numbersParameter(counts.map(([unit]) => unit)),
    numbersParameter(counts.map(([, db]) => db)),
    numbersParameter(counts.map(([, , count]) => count)),
    numbersParameter(ranges.map(([unit]) => unit)),
    numbersParameter(ranges.map(([, db]) => db)),
    numbersParameter(ranges.map(([, , flags]) => flags)),
    ranges.map(([, , , from]) => from),
    ranges.map(([, , , , to]) => to),
    ranges.map(([, , , , , digest]) => digest)
  ]
}

/** One write of a unit, with its place in the commit. */
interface EncodedWrite {
  readonly unit: number
  readonly n: number
  readonly db: number
  readonly kind: number
  readonly key: Uint8Array
  readonly value: Uint8Array
}

const kindOf = (database: string, kind: number): number => isLogged(database) ? kind : kind | writeKinds.unlogged

/** Encodes the clears and the writes of all units, by columns. */
const encodeWrites = (units: ReadonlyArray<Unit>, numberOf: NumberOf) => {
  const clears: Array<EncodedWrite> = []
  const writes: Array<EncodedWrite> = []
  const written = new Map<number, Written>()
  let n = 0
  for (const [unit, { writes: set }] of units.entries()) {
    const { expiredKeys } = set
    for (const database of set.cleared) {
      const kind = kindOf(database, writeKinds.clear)
      clears.push({ unit, n: n++, db: numberOf(database), kind, key: noBytes, value: noBytes })
    }
    for (const [database, key, value] of set.toArray()) {
      const isExpired = expiredKeys?.get(database)?.has(key) === true
      const kind = value === null ? isExpired ? writeKinds.expire : writeKinds.delete : writeKinds.put
      written.set(n, { database, key })
      writes.push({
        unit,
        n: n++,
        db: numberOf(database),
        kind: kindOf(database, kind),
        key: keyParameter(key),
        value: value ?? noBytes
      })
    }
  }
  const columns = (rows: ReadonlyArray<EncodedWrite>) => [
    numbersParameter(rows.map(({ unit }) => unit)),
    numbersParameter(rows.map((row) => row.n)),
    numbersParameter(rows.map(({ db }) => db)),
    numbersParameter(rows.map(({ kind }) => kind))
  ]
  return {
    written,
    columns: [
      ...columns(clears),
      ...columns(writes),
      writes.map(({ key }) => key),
      writes.map(({ value }) => value)
    ]
  }
}

/** The names of all databases of units. */
export const databasesOf = (units: ReadonlyArray<Unit>): ReadonlyArray<string> => {
  const names = new Set<string>()
  for (const { reads, writes } of units) {
    for (const { database } of reads) names.add(database)
    for (const database of writes.cleared) names.add(database)
    for (const [database] of writes) names.add(database)
  }
  return [...names]
}

/** The types of the parameters, in their order. */
const types = (
  "text bigint boolean boolean boolean int bigint " +
  "int[] int[] bytea[] bytea[] int[] int[] bigint[] int[] int[] int[] bytea[] bytea[] bytea[] " +
  "int[] int[] int[] int[] int[] int[] int[] int[] bytea[] bytea[]"
).split(" ")

/** The statement of the call. */
export const statement = (name: string): string =>
  `SELECT c.o_number, c.o_failed, c.o_n::float8, c.o_had, c.o_old FROM ${name}(${
    types.map((type, at) => `$${at + 1}::${type}`).join(", ")
  }) c`

/** Makes a call. `token` is 0 if nothing is written: then the call needs no record of its outcome. */
export const make = (
  units: ReadonlyArray<Unit>,
  numberOf: NumberOf,
  client: string,
  token: number,
  { before, isAsync, notifies, now, previous }: CommitOptions
): CommitCall => {
  const { columns, written } = encodeWrites(units, numberOf)
  return {
    written,
    parameters: [
      client,
      `${token}`,
      isAsync,
      notifies,
      previous,
      before,
      `${Math.floor(now)}`,
      ...encodeReads(units, numberOf),
      ...columns
    ]
  }
}

/** Decodes the outcome of a call. */
export const outcomeOf = ({ written }: CommitCall, rows: Rows): Outcome => {
  const before = new Map<string, Uint8Array | boolean>()
  for (const [, , n, had, old] of rows.slice(1)) {
    const write = written.get(numberIn(n) ?? -1)
    if (write !== undefined) before.set(qualifiedKey(write.database, write.key), had === true && (bytesIn(old) ?? true))
  }
  return {
    number: numberIn(rows[0]?.[0]) ?? 0,
    failed: new Set(numbersIn(rows[0]?.[1])),
    before
  }
}
