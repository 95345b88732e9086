/**
 * The change log: what the last transactions wrote, in a database of the file.
 *
 * Each transaction writes its own record, in the same transaction of LMDB. So the log has every transaction that is on disk, and no
 * other one. A transaction also deletes some of the oldest records that are beyond the retention.
 *
 * Under the key `state` is from where on the log is complete. A process without a change log that commits deletes
 * the log, and the next process with one begins it anew: the log never lacks a transaction in the middle.
 */
import type * as Clock from "effect/Clock"
import * as Exit from "effect/Exit"
import { Buffer } from "node:buffer"
import type { CommittedWrite } from "../../Backend.ts"
import type { Batch, Bound, KeyRange, Reader, Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { changeLogDatabase, isLogged } from "../databases.ts"
import * as Settled from "../settled.ts"
import * as ChangeLogRecord from "./changeLogRecord.ts"
import { beforeOf, type ValuesBefore, type Wanted } from "./valuesBefore.ts"

/** How long the log reaches back. What is beyond one of the limits is deleted. */
export interface Retention {
  /** In milliseconds. */
  readonly age: number
  /** In transactions. */
  readonly commits: number
  /** In bytes of the log. */
  readonly bytes: number
}

/** How a store keeps a change log. */
export interface ChangeLogOptions {
  readonly retention: Retention
  /** Whether the log has the values before each transaction. */
  readonly previous: boolean
}

/** The change log of an open store. */
export interface ChangeLog {
  /** `undefined`: this process keeps no log, and deletes that of another one when it commits. */
  readonly options: ChangeLogOptions | undefined
  readonly clock: Clock.Clock
}

/** What is known of the whole log. */
export interface State {
  /** The log has all transactions after this one. */
  readonly start: number
  /** The last transaction that it has; `start` if it has none. */
  readonly last: number
  readonly commits: number
  readonly bytes: number
  /** When the oldest transaction was committed, in milliseconds since 1970; infinite if there is none. */
  readonly oldest: number
  /** Whether it has the values before each transaction. */
  readonly hasPrevious: boolean
}

const nothing = Exit.succeed(undefined)

const stateKey = ByteString("state")

/** All keys of transactions begin with a zero, for their numbers are less than 2^53. */
const recordsEnd: Bound = { key: ByteString("\u0001"), inclusive: false }

/** How many numbers the state has: start, last, commits, bytes, oldest, and 1 if it has the values before. */
const stateNumbers = 6

const encodeState = ({ bytes, commits, hasPrevious, last, oldest, start }: State): Uint8Array => {
  const target = Buffer.alloc(8 * stateNumbers)
  for (const [at, number] of [start, last, commits, bytes, oldest, hasPrevious ? 1 : 0].entries()) {
    target.writeDoubleLE(number, 8 * at)
  }
  return target
}

const decodeState = (bytes: Uint8Array): State => {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const numberAt = (at: number) => view.readDoubleLE(8 * at)
  return {
    start: numberAt(0),
    last: numberAt(1),
    commits: numberAt(2),
    bytes: numberAt(3),
    oldest: numberAt(4),
    hasPrevious: numberAt(5) === 1
  }
}

/** A log without transactions that has those after `start`. */
const empty = (start: number, { previous }: ChangeLogOptions): State => ({
  start,
  last: start,
  commits: 0,
  bytes: 0,
  oldest: Infinity,
  hasPrevious: previous
})

/**
 * Whether a transaction can be added to a log. It cannot if the values before earlier transactions are lacking, or if the file is a
 * copy that was made record by record, whose transactions are counted anew.
 */
const isUsable = (state: State | undefined, { previous }: ChangeLogOptions, transactionId: number): state is State =>
  state !== undefined && state.last < transactionId && (state.hasPrevious || !previous)

/** Reads what is known of the whole log; `undefined` if there is no log. */
export const readState = (reader: Reader): Exit.Exit<State | undefined, EngineFailure> =>
  reader.get(changeLogDatabase, stateKey, decodeState)

const stateWrite = (state: State): Write => [changeLogDatabase, stateKey, encodeState(state)]

/** Reads the first key of a range. */
const firstKey = (
  reader: Reader,
  database: string,
  range: KeyRange = { from: undefined, to: undefined }
): Exit.Exit<ByteString | undefined, EngineFailure> =>
  Settled.map(
    reader.read(database, { ...range, reverse: false, values: false, maxRecords: 1, maxBytes: 1 }),
    ({ records: [first] }) => first?.[0]
  )

/** Where a log begins. It reaches back to the beginning of the file if the file has no records. */
const startOf = (
  present: Reader,
  databases: ReadonlyArray<string>,
  transactionId: number
): Exit.Exit<number, EngineFailure> => {
  for (const database of databases.filter(isLogged)) {
    const first = firstKey(present, database)
    if (Exit.isFailure(first)) return Exit.failCause(first.cause)
    if (first.value !== undefined) return Exit.succeed(transactionId - 1)
  }
  return Exit.succeed(0)
}

/** Begins a log where there is none that can be used; `undefined` if there is one. Call it inside LMDB's write transaction. */
export const begin = (
  options: ChangeLogOptions,
  present: Reader,
  databases: ReadonlyArray<string>,
  transactionId: number
): Exit.Exit<Batch | undefined, EngineFailure> =>
  Settled.flatMap(
    readState(present),
    (state): Exit.Exit<Batch | undefined, EngineFailure> =>
      isUsable(state, options, transactionId) ? Exit.succeed(undefined) : Settled.map(
        startOf(present, databases, transactionId),
        (start) => ({ clear: [changeLogDatabase], writes: [stateWrite(empty(start, options))] })
      )
  )

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

/** What the log wants to know of a key before a transaction. */
export const wantedOf = ({ options }: ChangeLog, database: string): Wanted =>
  options === undefined || !isLogged(database) ? "nothing" : options.previous ? "value" : "existence"

const noKeys: ReadonlySet<ByteString> = new Set()

/** Gives what a batch changes, by databases. Databases without records of a program are left out. */
const toDatabases = (
  batch: Batch,
  before: ValuesBefore,
  wanted: Wanted
): ReadonlyArray<ChangeLogRecord.LoggedDatabase> => {
  const databases = new Map<string, {
    name: string
    isCleared: boolean
    writes: Array<CommittedWrite>
    expired: ReadonlySet<ByteString>
  }>()
  const databaseOf = (name: string) => {
    const known = databases.get(name)
    if (known !== undefined) return known
    const made = { name, isCleared: false, writes: [], expired: batch.expired?.get(name) ?? noKeys }
    databases.set(name, made)
    return made
  }
  for (const name of batch.clear) if (isLogged(name)) databaseOf(name).isCleared = true
  for (const [name, key, value] of batch.writes) {
    if (isLogged(name)) databaseOf(name).writes.push([key, value, beforeOf(before, name, key, wanted)])
  }
  return [...databases.values()]
}

/** A transaction deletes at most this many of the oldest ones: more than it adds, and little work. */
const trimmedAtOnce = 16

const isBeyond = ({ bytes, commits, oldest }: State, { retention }: ChangeLogOptions, now: number): boolean =>
  commits > 0 && (commits > retention.commits || bytes > retention.bytes || now - oldest > retention.age)

/** The oldest transaction of a log. */
interface OldestTransaction extends ChangeLogRecord.RecordHead {
  readonly transactionId: number
}

/** Finds the first transaction of the log after another one. */
const oldestAfter = (
  present: Reader,
  transactionId: number
): Exit.Exit<OldestTransaction | undefined, EngineFailure> =>
  Settled.flatMap(
    firstKey(present, changeLogDatabase, {
      from: { key: ChangeLogRecord.keyOf(transactionId + 1, 0), inclusive: true },
      to: recordsEnd
    }),
    (key): Exit.Exit<OldestTransaction | undefined, EngineFailure> =>
      key === undefined ? nothing : Settled.map(
        present.get(changeLogDatabase, key, ChangeLogRecord.headOf),
        (head) => head && { ...head, transactionId: ChangeLogRecord.ofKey(key)[0] }
      )
  )

const withoutOldest = (state: State, { bytes, transactionId }: OldestTransaction): State => ({
  ...state,
  start: transactionId,
  commits: state.commits - 1,
  bytes: state.bytes - bytes
})

/** Deletes the oldest transactions that are beyond the retention, as many as one transaction may delete. */
const trim = (
  present: Reader,
  full: State,
  options: ChangeLogOptions,
  now: number
): Exit.Exit<readonly [State, ReadonlyArray<Write>], EngineFailure> => {
  const deletions: Array<Write> = []
  let state = full
  let left = trimmedAtOnce
  while (isBeyond(state, options, now)) {
    const found = oldestAfter(present, state.start)
    if (Exit.isFailure(found)) return Exit.failCause(found.cause)
    const oldest = found.value
    const time = oldest?.time ?? Infinity
    // The state has the time of the oldest transaction that is left.
    if (oldest === undefined || left === 0 || !isBeyond({ ...state, oldest: time }, options, now)) {
      return Exit.succeed([{ ...state, oldest: time }, deletions])
    }
    for (let part = 0; part < ChangeLogRecord.partsOf(oldest.bytes); part++) {
      deletions.push([changeLogDatabase, ChangeLogRecord.keyOf(oldest.transactionId, part), null])
    }
    state = withoutOldest(state, oldest)
    left--
  }
  return Exit.succeed([state, deletions])
}

/** Adds the record of a transaction to its batch, and deletes old ones. */
const append = (
  { clock }: ChangeLog,
  options: ChangeLogOptions,
  present: Reader,
  batch: Batch,
  databases: ReadonlyArray<ChangeLogRecord.LoggedDatabase>,
  transactionId: number
): Exit.Exit<Batch, EngineFailure> =>
  Settled.flatMap(readState(present), (found): Exit.Exit<Batch, EngineFailure> => {
    const isGoingOn = isUsable(found, options, transactionId)
    const state = isGoingOn ? found : empty(transactionId - 1, options)
    const now = clock.currentTimeMillisUnsafe()
    return Settled.map(trim(present, state, options, now), ([trimmed, deletions]) => {
      const parts = ChangeLogRecord.encode(databases, now)
      const next: State = {
        ...trimmed,
        last: transactionId,
        commits: trimmed.commits + 1,
        bytes: parts.reduce((bytes, part) => bytes + part.length, trimmed.bytes),
        oldest: Math.min(trimmed.oldest, now)
      }
      const added = parts.map((part, at): Write => [changeLogDatabase, ChangeLogRecord.keyOf(transactionId, at), part])
      return {
        ...batch,
        clear: isGoingOn ? batch.clear : [...batch.clear, changeLogDatabase],
        writes: [...batch.writes, ...deletions, ...added, stateWrite(next)]
      }
    })
  })

/** A log this long, in bytes, makes room when it is deleted: more than deleting it takes. */
const longLog = 1024 * 1024

/** Deletes the log with a batch. In a full file, a short log only becomes invalid, because that takes the least room. */
const drop = (present: Reader, batch: Batch, isFull: boolean): Exit.Exit<Batch, EngineFailure> =>
  Settled.map(readState(present), (state) => {
    if (state === undefined) return batch
    return isFull && state.bytes < longLog
      ? { ...batch, writes: [...batch.writes, [changeLogDatabase, stateKey, null]] }
      : { ...batch, clear: [...batch.clear, changeLogDatabase] }
  })

/**
 * Adds to a batch what it writes to the log. Call it inside LMDB's write transaction. With `isFull`, the file has no room: then the
 * log is deleted, because deletions of records must find room.
 */
export const amend = (
  self: ChangeLog,
  { batch, before, isFull, present, transactionId }: {
    readonly present: Reader
    readonly batch: Batch
    readonly before: ValuesBefore
    readonly transactionId: number
    readonly isFull: boolean
  }
): Exit.Exit<Batch, EngineFailure> => {
  const { options } = self
  if (options === undefined) return drop(present, batch, isFull)
  const databases = toDatabases(batch, before, options.previous ? "value" : "existence")
  if (databases.length === 0) return Exit.succeed(batch)
  return isFull
    ? drop(present, batch, isFull)
    : append(self, options, present, batch, databases, transactionId)
}

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/** A follower reads this much of the log at a time. */
const readRecords = 64
const readBytes = 1024 * 1024

/** Transactions of the log, and the last transaction that was read. */
export interface LogPart {
  readonly transactions: ReadonlyArray<ChangeLogRecord.LoggedTransaction>
  readonly position: number
}

/** Reads the parts of a transaction of the log after the first. */
const readRest = (
  reader: Reader,
  transactionId: number,
  first: Uint8Array
): Exit.Exit<ReadonlyArray<Uint8Array>, EngineFailure> => {
  const count = ChangeLogRecord.partsOf(ChangeLogRecord.headOf(first).bytes)
  const keys = Array.from({ length: count - 1 }, (_, at) => ChangeLogRecord.keyOf(transactionId, at + 1))
  return Settled.map(
    reader.getMany(changeLogDatabase, keys, (bytes) => new Uint8Array(bytes.subarray(0, bytes.length))),
    (rest) => [first, ...rest.filter((part) => part !== undefined)]
  )
}

/**
 * Reads some transactions after a transaction; `undefined` where the log does not reach back so far, or lacks the
 * values before them that the caller needs.
 */
export const readAfter = (
  reader: Reader,
  position: number,
  needsPrevious: boolean
): Exit.Exit<LogPart | undefined, EngineFailure> =>
  Settled.flatMap(readState(reader), (state): Exit.Exit<LogPart | undefined, EngineFailure> => {
    if (state === undefined || state.start > position || (needsPrevious && !state.hasPrevious)) return nothing
    const range: KeyRange = { from: { key: ChangeLogRecord.keyOf(position + 1, 0), inclusive: true }, to: recordsEnd }
    return Settled.flatMap(
      reader.read(changeLogDatabase, {
        ...range,
        reverse: false,
        values: true,
        maxRecords: readRecords,
        maxBytes: readBytes
      }),
      ({ records }) => {
        const transactions: Array<ChangeLogRecord.LoggedTransaction> = []
        let last = position
        for (const [key, first] of records) {
          const [transactionId, part] = ChangeLogRecord.ofKey(key)
          if (part > 0) continue
          const parts = readRest(reader, transactionId, first)
          if (Exit.isFailure(parts)) return Exit.failCause(parts.cause)
          transactions.push(ChangeLogRecord.decode(transactionId, parts.value))
          last = transactionId
        }
        return Exit.succeed({ transactions, position: last })
      }
    )
  })
