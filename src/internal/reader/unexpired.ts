/**
 * Hides expired records and their index entries from readers, until the sweeper deletes them.
 *
 * The bytes of a record contain its expiry time, so a read that has these bytes needs nothing else. Other reads use
 * candidates: the records that may have expired according to the database `expiry`, and their index entries. Each
 * candidate that a read finds is checked against its record.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader } from "../../Backend.ts"
import type { RangePart, RangeRequest } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { expiryDatabase, hasEntries, hasRecords, indexOfRecords, recordsOfIndex } from "../databases.ts"
import { keyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import * as ExpiryEntries from "./expiryEntries.ts"
import * as RangeReader from "./rangeReader.ts"
import * as RecordLayout from "./recordLayout.ts"

/** Maps a database and a key of a record or index entry to the key of its record, for everything that may have expired. */
export type Candidates = ReadonlyMap<string, ReadonlyMap<ByteString, ByteString>>

/** Says what may have expired in a reader. */
export interface ExpirySource {
  /** Returns the time of a read; `undefined` if nothing can have expired by then. Called before each read. */
  readonly moment: () => number | undefined
  /** Reads the candidates of a time: everything that has expired by then, and possibly more. */
  readonly candidates: (moment: number) => Effect.Effect<Candidates, EngineFailure>
}

// ---------------------------------------------------------------------------
// candidates
// ---------------------------------------------------------------------------

const addCandidate = (
  candidates: Map<string, Map<ByteString, ByteString>>,
  database: string,
  entry: ByteString,
  key: ByteString
): void => {
  const keys = candidates.get(database)
  if (keys === undefined) candidates.set(database, new Map([[entry, key]]))
  else keys.set(entry, key)
}

/** The keys of the records of due entries, by their databases. */
const dueKeys = (part: RangeReader.Part): ReadonlyMap<string, ReadonlyArray<ByteString>> => {
  const keys = new Map<string, Array<ByteString>>()
  for (const record of part) {
    const entry = ExpiryEntries.parse(record)
    if (entry === undefined) continue
    const ofDatabase = keys.get(entry.database)
    if (ofDatabase === undefined) keys.set(entry.database, [entry.key])
    else ofDatabase.push(entry.key)
  }
  return keys
}

/**
 * Reads which records and index entries have expired, and which will have when another read uses the same candidates.
 * Ends at once if every read does.
 */
export const readCandidates = Effect.fnUntracedEager(function*(stored: Reader, moment: number) {
  const candidates = new Map<string, Map<ByteString, ByteString>>()
  const read = RangeReader.make(stored, expiryDatabase, {
    ...ExpiryEntries.until(moment),
    reverse: false,
    values: true
  })
  for (;;) {
    const part = yield* read()
    if (part === undefined) return candidates
    for (const [database, keys] of dueKeys(part)) {
      const found = yield* stored.getMany(
        database,
        keys,
        // A record that lives longer than its entry says may expire before the candidates are read again.
        (record) => RecordLayout.timeOf(record) === undefined ? undefined : RecordLayout.entriesOf(record)
      )
      for (const [at, key] of keys.entries()) {
        const entries = found[at]
        if (entries === undefined) continue
        addCandidate(candidates, database, key, key)
        for (const [place, indexKey] of entries) {
          const index = indexOfRecords(database, place)
          // The entry has the first key in a unique index, and the second one in other indexes.
          addCandidate(candidates, index, indexKey, key)
          addCandidate(candidates, index, RecordLayout.plainEntry(indexKey, key), key)
        }
      }
    }
  }
})

// ---------------------------------------------------------------------------
// what is hidden
// ---------------------------------------------------------------------------

/** A reader of everything stored, and the time at which it is read. */
interface ReaderAt {
  readonly stored: Reader
  readonly moment: number
}

/** Whether a record has expired; `undefined` if it does not exist. */
const isExpired = (
  { moment, stored }: ReaderAt,
  database: string,
  key: ByteString
): Effect.Effect<boolean | undefined, EngineFailure> =>
  stored.get(database, key, (record) => RecordLayout.isExpired(record, moment))

/** Whether the record of an index entry has expired. The value of an entry of a unique index is the key of the record. */
const isEntryExpired = (
  self: ReaderAt,
  index: string,
  entry: ByteString,
  key: ByteString
): Effect.Effect<boolean | undefined, EngineFailure> =>
  Settled.flatMap(
    self.stored.get(index, entry, keyOf),
    (holder) =>
      holder === undefined
        ? Exit.succeed(undefined)
        : isExpired(self, recordsOfIndex(index), holder === "" ? key : holder)
  )

/** Tells for each key whether it has expired, in the order of the keys. */
const areExpired = (
  self: ReaderAt,
  candidates: Candidates,
  database: string,
  keys: ReadonlyArray<ByteString>
): Effect.Effect<ReadonlyArray<boolean | undefined>, EngineFailure> => {
  const records = candidates.get(database)
  const check = hasEntries(database) ? isEntryExpired : isExpired
  return Settled.allReads(keys.map((key) => {
    const record = records?.get(key)
    return record === undefined ? Exit.succeed(false) : check(self, database, key, record)
  }))
}

/** Leaves out the records of a part that have expired. */
const withoutExpired = (
  self: ReaderAt,
  candidates: Candidates,
  database: string,
  part: RangePart
): Effect.Effect<RangePart, EngineFailure> => {
  const ofDatabase = candidates.get(database)
  if (ofDatabase === undefined) return Exit.succeed(part)
  const found = part.records.flatMap(([key]) => ofDatabase.has(key) ? [key] : [])
  return Settled.map(areExpired(self, candidates, database, found), (expired) => {
    // An entry that is gone by now was deleted while the read waited.
    const hidden = new Set(found.filter((_, at) => expired[at] !== false))
    return { records: part.records.filter(([key]) => !hidden.has(key)), rest: part.rest }
  })
}

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** Whether what a database contains can expire. */
const mayExpire = (database: string): boolean => hasRecords(database) || hasEntries(database)

const getUnexpired = <A>(
  self: ReaderAt,
  due: ExpirySource,
  database: string,
  key: ByteString,
  decode: (bytes: Uint8Array) => A
): Effect.Effect<A | undefined, EngineFailure> => {
  const { moment, stored } = self
  if (hasRecords(database)) {
    return stored.get(database, key, (record) => RecordLayout.isExpired(record, moment) ? undefined : decode(record))
  }
  return Settled.flatMap(
    due.candidates(moment),
    (candidates) =>
      Settled.flatMap(
        areExpired(self, candidates, database, [key]),
        ([expired]) => expired === true ? Exit.succeed(undefined) : stored.get(database, key, decode)
      )
  )
}

const getManyUnexpired = <A>(
  self: ReaderAt,
  due: ExpirySource,
  database: string,
  keys: ReadonlyArray<ByteString>,
  decode: (bytes: Uint8Array, at: number) => A
): Effect.Effect<ReadonlyArray<A | undefined>, EngineFailure> => {
  const { moment, stored } = self
  if (hasRecords(database)) {
    return stored.getMany(
      database,
      keys,
      (record, at) => RecordLayout.isExpired(record, moment) ? undefined : decode(record, at)
    )
  }
  return Settled.flatMap(
    due.candidates(moment),
    (candidates) =>
      Settled.flatMap(areExpired(self, candidates, database, keys), (expired) =>
        Settled.map(
          stored.getMany(database, keys, decode),
          (values) => values.map((value, at) => expired[at] === true ? undefined : value)
        ))
  )
}

const readUnexpired = (
  self: ReaderAt,
  due: ExpirySource,
  database: string,
  request: RangeRequest
): Effect.Effect<RangePart, EngineFailure> => {
  const { moment, stored } = self
  if (request.values && hasRecords(database)) {
    return Settled.map(stored.read(database, request), ({ records, rest }) => ({
      records: records.filter(([, record]) => !RecordLayout.isExpired(record, moment)),
      rest
    }))
  }
  return Settled.flatMap(due.candidates(moment), (candidates) =>
    Settled.flatMap(
      stored.read(database, request),
      (part) => withoutExpired(self, candidates, database, part)
    ))
}

/** Counts what has not expired. If the reader has no fixed state, what is deleted meanwhile may be counted. */
const countUnexpired = (self: ReaderAt, due: ExpirySource, database: string): Effect.Effect<number, EngineFailure> =>
  Settled.flatMap(
    due.candidates(self.moment),
    (candidates) =>
      Settled.flatMap(self.stored.count(database), (count) =>
        Settled.map(
          areExpired(self, candidates, database, [...candidates.get(database)?.keys() ?? []]),
          (expired) => count - expired.filter((isOne) => isOne === true).length
        ))
  )

/** Makes a reader that hides what has expired. */
export const unexpired = (stored: Reader, due: ExpirySource): Reader => {
  /** The reader at the time of the read; `undefined` if nothing in the database can have expired. */
  const momentOf = (database: string): ReaderAt | undefined => {
    const moment = due.moment()
    return moment === undefined || !mayExpire(database) ? undefined : { stored, moment }
  }
  return {
    stored,
    get: (database, key, decode) => {
      const self = momentOf(database)
      return self === undefined ? stored.get(database, key, decode) : getUnexpired(self, due, database, key, decode)
    },
    getMany: (database, keys, decode) => {
      const self = momentOf(database)
      return self === undefined
        ? stored.getMany(database, keys, decode)
        : getManyUnexpired(self, due, database, keys, decode)
    },
    has: (database, key) => {
      const self = momentOf(database)
      return self === undefined
        ? stored.has(database, key)
        : Settled.map(getUnexpired(self, due, database, key, () => true), (exists) => exists === true)
    },
    read: (database, request) => {
      const self = momentOf(database)
      return self === undefined ? stored.read(database, request) : readUnexpired(self, due, database, request)
    },
    count: (database) => {
      const self = momentOf(database)
      return self === undefined ? stored.count(database) : countUnexpired(self, due, database)
    }
  }
}
