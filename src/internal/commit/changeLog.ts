/**
 * The change log: the writes of the last transactions, in a database of the file.
 *
 * Each transaction writes its record in the same transaction of LMDB. So the log has exactly the transactions that are on
 * disk. A transaction also deletes some of the oldest records that are beyond the retention.
 *
 * The record `state` says after which transaction the log is complete. If a process without a change log commits, it
 * deletes the log, and the next process with a change log begins a new one. So the log has no gaps.
 */
import type * as Clock from "effect/Clock"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { Buffer } from "node:buffer"
import type { CommittedWrite, Reader as BackendReader } from "../../Backend.ts"
import type { Batch, Bound, KeyRange, Reader, Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { changeLogDatabase, isLogged } from "../databases.ts"
import * as Settled from "../settled.ts"
import * as ChangeLogRecord from "./changeLogRecord.ts"
import { beforeOf, type Detail, expiredKeys, type ValuesBefore } from "./valuesBefore.ts"

/** How much the log keeps. Transactions beyond any of the limits are deleted. */
export interface Retention {
  /** The maximum age of a transaction, in milliseconds. */
  readonly age: number
  /** The maximum number of transactions. */
  readonly commits: number
  /** The maximum size of the log, in bytes. */
  readonly bytes: number
}

/** The options of the change log of a store. */
export interface ChangeLogOptions {
  readonly retention: Retention
  /** Whether the log has the values before each transaction. */
  readonly previous: boolean
}

/** The change log of an open store. */
export interface ChangeLog {
  /** `undefined`: this process writes no log, and deletes the log of another process when it commits. */
  readonly options: ChangeLogOptions | undefined
  readonly clock: Clock.Clock
}

/** The stored state of the log. */
export interface State {
  /** The log has all transactions after this one. */
  readonly start: number
  /** The last transaction in the log; `start` if it is empty. */
  readonly last: number
  readonly commits: number
  readonly bytes: number
  /** When the oldest transaction was committed, in milliseconds since 1970; infinite if the log is empty. */
  readonly oldest: number
  /** Whether the log has the values before each transaction. */
  readonly hasPrevious: boolean
}

const stateKey = ByteString("state")

/** All keys of transactions are less than this, because their numbers are less than 2^53, and so begin with a zero byte. */
const recordsEnd: Bound = { key: ByteString("\u0001"), inclusive: false }

/** The number of fields of the state: start, last, commits, bytes, oldest, and 1 or 0 for `hasPrevious`. */
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

/** The state of an empty log that begins after the transaction `start`. */
const empty = (start: number, { previous }: ChangeLogOptions): State => ({
  start,
  last: start,
  commits: 0,
  bytes: 0,
  oldest: Infinity,
  hasPrevious: previous
})

/**
 * Whether a transaction can be added to a log. It cannot if the log lacks the values before earlier transactions that the
 * options ask for. Nor can it if the file is a copy that was made record by record, because the
 * transactions of a copy are numbered from the start.
 */
const isUsable = (state: State | undefined, { previous }: ChangeLogOptions, transactionId: number): state is State =>
  state !== undefined && state.last < transactionId && (state.hasPrevious || !previous)

/** Reads the state of the log; `undefined` if the file has no log. */
export const readState = (reader: Reader): Exit.Exit<State | undefined, EngineFailure> =>
  reader.get(changeLogDatabase, stateKey, decodeState)

/** Reads the state of the log from a reader whose reads may wait. */
export const readStoredState = (reader: BackendReader): Effect.Effect<State | undefined, EngineFailure> =>
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

/** The `start` of a new log: 0 if the file has no records, otherwise the transaction before this one. */
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

/**
 * Makes the batch that begins a log. Returns `undefined` if the file has a log that can be continued. Call it inside LMDB's
 * write transaction.
 */
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

/** What the log records about the value of a key before a transaction. */
export const detailOf = ({ options }: ChangeLog, database: string): Detail =>
  options === undefined || !isLogged(database) ? "nothing" : options.previous ? "value" : "existence"

/** Groups the changes of a batch by database. Leaves out databases that the log does not record. */
const toDatabases = (
  batch: Batch,
  before: ValuesBefore,
  detail: Detail
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
    const made = { name, isCleared: false, writes: [], expired: expiredKeys(batch, name) }
    databases.set(name, made)
    return made
  }
  for (const name of batch.clear) if (isLogged(name)) databaseOf(name).isCleared = true
  for (const [name, key, value] of batch.writes) {
    if (isLogged(name)) databaseOf(name).writes.push([key, value, beforeOf(before, name, key, detail)])
  }
  return [...databases.values()]
}

/** How many old transactions one transaction deletes at most. It adds one, so the log shrinks, and the commit stays short. */
const maxTrimmed = 16

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
      key === undefined ? Settled.nothing : Settled.map(
        present.get(changeLogDatabase, key, ChangeLogRecord.headOf),
        (head) => head && { ...head, transactionId: ChangeLogRecord.ofKey(key)[0] }
      )
  )

const afterTrimming = (state: State, { bytes, transactionId }: OldestTransaction): State => ({
  ...state,
  start: transactionId,
  commits: state.commits - 1,
  bytes: state.bytes - bytes
})

/** Makes the deletions of the oldest transactions beyond the retention, at most `maxTrimmed`, and the state after them. */
const trim = (
  present: Reader,
  full: State,
  options: ChangeLogOptions,
  now: number
): Exit.Exit<readonly [State, ReadonlyArray<Write>], EngineFailure> => {
  const deletions: Array<Write> = []
  let state = full
  let left = maxTrimmed
  while (isBeyond(state, options, now)) {
    const found = oldestAfter(present, state.start)
    if (Exit.isFailure(found)) return Exit.failCause(found.cause)
    const oldest = found.value
    const time = oldest?.time ?? Infinity
    // Keeps the time of the oldest transaction that remains.
    if (oldest === undefined || left === 0 || !isBeyond({ ...state, oldest: time }, options, now)) {
      return Exit.succeed([{ ...state, oldest: time }, deletions])
    }
    for (let part = 0; part < ChangeLogRecord.partsOf(oldest.bytes); part++) {
      deletions.push([changeLogDatabase, ChangeLogRecord.keyOf(oldest.transactionId, part), null])
    }
    state = afterTrimming(state, oldest)
    left--
  }
  return Exit.succeed([state, deletions])
}

/** Adds the record of a transaction to its batch, and the deletions of old ones. */
const append = (
  { clock }: ChangeLog,
  options: ChangeLogOptions,
  present: Reader,
  batch: Batch,
  databases: ReadonlyArray<ChangeLogRecord.LoggedDatabase>,
  transactionId: number
): Exit.Exit<Batch, EngineFailure> =>
  Settled.flatMap(readState(present), (found): Exit.Exit<Batch, EngineFailure> => {
    const continues = isUsable(found, options, transactionId)
    const state = continues ? found : empty(transactionId - 1, options)
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
        clear: continues ? batch.clear : [...batch.clear, changeLogDatabase],
        writes: [...batch.writes, ...deletions, ...added, stateWrite(next)]
      }
    })
  })

/** Deleting a log of at least this size, in bytes, frees more room than it takes. */
const longLogBytes = 1024 * 1024

/** Adds the deletion of the log to a batch. In a full file, only deletes the state of a short log, which needs least room. */
const drop = (present: Reader, batch: Batch, isFull: boolean): Exit.Exit<Batch, EngineFailure> =>
  Settled.map(readState(present), (state) => {
    if (state === undefined) return batch
    return isFull && state.bytes < longLogBytes
      ? { ...batch, writes: [...batch.writes, [changeLogDatabase, stateKey, null]] }
      : { ...batch, clear: [...batch.clear, changeLogDatabase] }
  })

/**
 * Adds to a batch what it writes to the log. Call it inside LMDB's write transaction. With `isFull`, the file has no room,
 * and the log is deleted so that deletions of records fit.
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

/** The maximum number and bytes of the records that a follower reads at a time. */
const maxPartRecords = 64
const maxPartBytes = 1024 * 1024

/** Some transactions of the log, and the last transaction that was read. */
export interface LogPart {
  readonly transactions: ReadonlyArray<ChangeLogRecord.LoggedTransaction>
  readonly position: number
}

/** Reads all parts of a logged transaction, of which the first is given. */
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
 * Reads some transactions after a transaction. Returns `undefined` if the log begins later, or if it lacks the values
 * before them that the caller needs.
 */
export const readAfter = (
  reader: Reader,
  position: number,
  needsPrevious: boolean
): Exit.Exit<LogPart | undefined, EngineFailure> =>
  Settled.flatMap(readState(reader), (state): Exit.Exit<LogPart | undefined, EngineFailure> => {
    if (state === undefined || state.start > position || (needsPrevious && !state.hasPrevious)) return Settled.nothing
    const range: KeyRange = { from: { key: ChangeLogRecord.keyOf(position + 1, 0), inclusive: true }, to: recordsEnd }
    return Settled.flatMap(
      reader.read(changeLogDatabase, {
        ...range,
        reverse: false,
        values: true,
        maxRecords: maxPartRecords,
        maxBytes: maxPartBytes
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
