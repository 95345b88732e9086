/**
 * Expiry of records: hides expired records from readers, and writes the entries of the database `expiry`, which say when
 * records expire.
 *
 * An open store knows a time before which none of its records expires. Until then, expiry costs a read one comparison.
 * If other processes may write to the store, no such time is known, and each read checks for expired records.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Backend, CommitRequest, CommittedSnapshot, Reader, Snapshot, Step } from "../../Backend.ts"
import type { KeyRange, Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { fromWrites, toWriteSet } from "../buffer/writeSet.ts"
import { expiryDatabase, hasRecords, indexOfRecords } from "../databases.ts"
import { keyOf } from "../engineBytes.ts"
import * as ExpiryEntries from "../reader/expiryEntries.ts"
import * as RecordLayout from "../reader/recordLayout.ts"
import { type Candidates, type ExpirySource, readCandidates, unexpired } from "../reader/unexpired.ts"
import * as Settled from "../settled.ts"

/** The candidates that were read last, and the times for which they are complete. */
interface CandidateCache {
  readonly candidates: Candidates
  readonly from: number
  /** At this time further records may expire. */
  readonly until: number
}

/** What an open store knows about its expiring records. */
export interface Expiry {
  /** The backend. Its readers show expired records too. */
  readonly backend: Backend
  readonly now: () => number
  /** Whether other processes may write records that expire. */
  readonly isShared: boolean
  /** Whether the file has the database `expiry`. */
  hasDatabase: boolean
  /** When this process last checked whether the file has that database. */
  lastLookup: number
  /** No record expires before this time. Not used if other processes write. */
  earliest: number
  cache: CandidateCache | undefined
  /** The number of running commits with entries that no reader sees yet, and the earliest time of these entries. */
  runningCommits: number
  earliestInCommits: number
  /** Called after `earliest` was lowered. Wakes the sweeper. */
  onEarlier: () => void
}

/** How often a process checks whether another process has created the database `expiry`, in milliseconds. */
const lookupInterval = 1000

/** Reads which records of an open backend expire next. */
export const make: (
  backend: Backend,
  options: { readonly now: () => number; readonly isShared: boolean }
) => Effect.Effect<Expiry> = Effect.fnUntraced(function*(backend, { isShared, now }) {
  const self: Expiry = {
    backend,
    now,
    isShared,
    hasDatabase: true,
    lastLookup: now(),
    // If reading it fails now, each read checks for expired records until the sweeper has read it.
    earliest: -Infinity,
    cache: undefined,
    runningCommits: 0,
    earliestInCommits: Infinity,
    onEarlier: () => undefined
  }
  yield* Effect.ignore(Effect.gen(function*() {
    self.hasDatabase = (yield* backend.databases()).includes(expiryDatabase)
    self.earliest = self.hasDatabase ? (yield* nextTime(backend.reader, -Infinity)) ?? Infinity : Infinity
  }))
  return self
})

/** Finds the time of the first entry after a moment. */
export const nextTime = (reader: Reader, moment: number): Effect.Effect<number | undefined, EngineFailure> =>
  firstTimeIn(reader, moment === -Infinity ? { from: undefined, to: undefined } : ExpiryEntries.after(moment), 1)

const firstTimeIn = (
  reader: Reader,
  range: KeyRange,
  maxRecords: number
): Effect.Effect<number | undefined, EngineFailure> =>
  Settled.flatMap(
    reader.read(expiryDatabase, { ...range, reverse: false, values: false, maxRecords, maxBytes: Infinity }),
    ({ records: [first], rest }) =>
      // Pending writes may delete all entries of this part.
      first === undefined && rest?.from !== undefined
        ? firstTimeIn(reader, { from: { key: rest.from.key, inclusive: true }, to: undefined }, 256)
        : Exit.succeed(first === undefined ? undefined : ExpiryEntries.timeOf(first[0]))
  )

/** Whether the store may have records that expire. */
const mayExist = ({ hasDatabase, isShared }: Expiry): boolean => hasDatabase || isShared

/** Creates the database `expiry`. Call it before writing the first record that expires. */
export const ensureDatabase = (self: Expiry): Effect.Effect<void, EngineFailure> =>
  self.hasDatabase ? Exit.void : Effect.map(self.backend.createDatabases([expiryDatabase]), () => {
    self.hasDatabase = true
  })

// ---------------------------------------------------------------------------
// what has expired
// ---------------------------------------------------------------------------

/** The time at which a read begins; `undefined` if no record can have expired by then. */
const momentOf = (self: Expiry): number | undefined => {
  if (self.isShared) return self.now()
  if (self.earliest === Infinity) return undefined
  const now = self.now()
  return now < self.earliest ? undefined : now
}

const noCandidates: Exit.Exit<Candidates> = Exit.succeed(new Map())

/** Opens the database `expiry` if another process has created it. */
export const openDatabase = (self: Expiry, moment: number): Effect.Effect<void, EngineFailure> => {
  if (self.hasDatabase || moment < self.lastLookup + lookupInterval) return Exit.void
  self.lastLookup = moment
  return Settled.flatMap(
    self.backend.openDatabase(expiryDatabase),
    () =>
      Settled.map(self.backend.databases(), (names) => {
        self.hasDatabase = names.includes(expiryDatabase)
      })
  )
}

/** Reads all candidates of a reader. */
const candidatesIn = (
  self: Expiry,
  reader: Reader,
  moment: number
): Effect.Effect<Candidates, EngineFailure> =>
  Settled.flatMap(openDatabase(self, moment), () => self.hasDatabase ? readCandidates(reader, moment) : noCandidates)

/** Reads the candidates of the current state, or returns those of the last read if no further record can have expired. */
const presentCandidates = (self: Expiry, moment: number): Effect.Effect<Candidates, EngineFailure> => {
  const { cache } = self
  if (!self.isShared && cache !== undefined && moment >= cache.from && moment < cache.until) {
    return Exit.succeed(cache.candidates)
  }
  const { reader } = self.backend
  return Settled.flatMap(candidatesIn(self, reader, moment), (candidates) => {
    if (self.isShared) {
      if (candidates.size > 0) note(self, moment)
      return Exit.succeed(candidates)
    }
    return Settled.map(nextTime(reader, moment), (next) => {
      self.cache = { candidates, from: moment, until: Math.min(next ?? Infinity, self.earliestInCommits) }
      return candidates
    })
  })
}

/** The expired records of a reader whose state does not change, at one moment. They are read once, when they are needed. */
const dueAt = (self: Expiry, reader: Reader, moment: number): ExpirySource => {
  let candidates: Effect.Effect<Candidates, EngineFailure> | undefined
  return {
    moment: () => moment,
    candidates: () => {
      if (candidates !== undefined) return candidates
      return Settled.map(candidatesIn(self, reader, moment), (read) => {
        candidates = Exit.succeed(read)
        return read
      })
    }
  }
}

/** Makes a reader that hides what has expired by now. The state of the given reader must not change. */
const view = (self: Expiry) => (reader: Reader): Reader => {
  const moment = momentOf(self)
  return moment === undefined ? reader : unexpired(reader, dueAt(self, reader, moment))
}

// ---------------------------------------------------------------------------
// a backend whose readers hide what has expired
// ---------------------------------------------------------------------------

/** Notes that a record expires at a time. */
const note = (self: Expiry, time: number): void => {
  if (self.cache !== undefined && time < self.cache.until) self.cache = { ...self.cache, until: time }
  if (time >= self.earliest) return
  self.earliest = time
  self.onEarlier()
}

const noteAll = (self: Expiry, writes: Iterable<Write>): void => {
  for (const [database, entry, write] of writes) {
    if (database === expiryDatabase && write !== null) note(self, ExpiryEntries.timeOf(entry))
  }
}

/** Opens a snapshot that hides what had expired when it was opened. */
const hidingExpired = <S extends Snapshot>(
  self: Expiry,
  open: () => Effect.Effect<S, EngineFailure>
): Effect.Effect<S, EngineFailure> => {
  const moment = momentOf(self)
  const opened = open()
  return moment === undefined
    ? opened
    : Settled.map(opened, (stored): S => ({ ...stored, ...unexpired(stored, dueAt(self, stored, moment)) }))
}

/** Commits a request. No reader sees its entries of `expiry` before it is committed, so their times are noted now. */
const commit = (self: Expiry, request: CommitRequest, admission: Parameters<Backend["commit"]>[1]) =>
  Effect.suspend(() => {
    const writes = toWriteSet(request.writes)
    const entries = writes.entriesOf(expiryDatabase)
    const deletions = self.hasDatabase ? (stored: Reader) => deletionsOf(self, stored, writes) : undefined
    const committing = self.backend.commit({ ...request, writes, view: view(self), deletions }, admission)
    if (entries.size === 0) return committing
    self.runningCommits++
    for (const [entry, write] of entries) {
      if (write === null) continue
      const time = ExpiryEntries.timeOf(entry)
      self.earliestInCommits = Math.min(self.earliestInCommits, time)
      note(self, time)
    }
    return Effect.ensuring(
      committing,
      Effect.sync(() => {
        self.runningCommits--
        if (self.runningCommits === 0) self.earliestInCommits = Infinity
      })
    )
  })

/** Makes a backend whose readers hide what has expired. */
export const over = (self: Expiry): Backend => {
  const { backend } = self
  const reader = unexpired(backend.reader, {
    moment: () => momentOf(self),
    candidates: (moment) => presentCandidates(self, moment)
  })
  const viewOf = view(self)
  const readerOf = (stored: Reader): Reader => stored === backend.reader ? reader : viewOf(stored)
  return {
    ...backend,
    reader,
    snapshot: () => hidingExpired(self, backend.snapshot),
    nextSnapshot: () => hidingExpired(self, backend.nextSnapshot),
    committedSnapshot: () =>
      Effect.map(
        backend.committedSnapshot(),
        (committed): CommittedSnapshot => ({ ...committed, ...viewOf(committed) })
      ),
    step: (step, options) => {
      const { exact } = options
      return backend.step(
        (stored) => {
          const taken = step(readerOf(stored))
          if (Settled.isSucceeded(taken)) {
            noteAll(self, taken.value.writes)
            return taken
          }
          return Settled.map(taken, (waited) => {
            noteAll(self, waited.writes)
            return waited
          })
        },
        exact === undefined ? options : { ...options, exact: (stored) => exact(readerOf(stored)) }
      )
    },
    commit: (request, admission) => commit(self, request, admission)
  }
}

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

/** When the written record expires; `undefined` if it does not, and for a deletion. */
const timeOf = ([database, , write]: Write): number | undefined =>
  write === null || !hasRecords(database) ? undefined : RecordLayout.timeOf(write)

/** The write of the entry that says when the record of a write expires. */
const entryOf = ({ backend: { maxKeyBytes } }: Expiry, time: number, [database, key]: Write): Write =>
  ExpiryEntries.toWrite(time, database, key, maxKeyBytes)

/** A stored record with an expiry time that a write replaces. */
interface Replaced {
  readonly time: number
  /** Its index entries if it has expired: the caller could not see the record, so it cannot delete them. */
  readonly entries: ReadonlyArray<RecordLayout.IndexEntry>
}

const replacedBy = (
  self: Expiry,
  stored: Reader,
  [database, key]: Write
): Effect.Effect<Replaced | undefined, EngineFailure> =>
  stored.get(database, key, (record): Replaced | undefined => {
    const time = RecordLayout.timeOf(record)
    return time === undefined
      ? undefined
      : { time, entries: time <= self.now() ? RecordLayout.entriesOf(record) : [] }
  })

/** Makes the write that deletes an index entry. The entry is under one of two keys, because an index can be unique or not. */
export const toDeleteEntry = (
  { backend: { maxKeyBytes } }: Expiry,
  stored: Reader,
  database: string,
  key: ByteString,
  [place, indexKey]: RecordLayout.IndexEntry
): Effect.Effect<ReadonlyArray<Write>, EngineFailure> => {
  const index = indexOfRecords(database, place)
  return Settled.map(stored.get(index, indexKey, keyOf), (holder): ReadonlyArray<Write> => {
    if (holder !== undefined) return holder === key ? [[index, indexKey, null]] : []
    const entry = RecordLayout.plainEntry(indexKey, key)
    return entry.length <= maxKeyBytes ? [[index, entry, null]] : []
  })
}

/** Makes the writes that delete the entries of replaced records. `writes` may also write some of the same keys. */
const deletionsOf = Effect.fnUntracedEager(function*(self: Expiry, stored: Reader, writes: Iterable<Write>) {
  const deletions: Array<Write> = []
  for (const write of writes) {
    if (!hasRecords(write[0])) continue
    const replaced = yield* replacedBy(self, stored, write)
    if (replaced === undefined) continue
    if (replaced.time !== timeOf(write)) {
      const [database, key] = entryOf(self, replaced.time, write)
      deletions.push([database, key, null])
    }
    for (const entry of replaced.entries) {
      deletions.push(...(yield* toDeleteEntry(self, stored, write[0], write[1], entry)))
    }
  }
  return deletions
})

/**
 * Adds the entries of `expiry` for the writes of a call. If the record of the call has already expired, returns deletions
 * of all keys instead: of the record and of its index entries.
 */
export const completed = (self: Expiry, writes: ReadonlyArray<Write>): ReadonlyArray<Write> => {
  const entries: Array<Write> = []
  for (const write of writes) {
    const time = timeOf(write)
    if (time === undefined) continue
    if (time <= self.now()) return writes.map(([database, key]) => [database, key, null])
    entries.push(entryOf(self, time, write))
  }
  return entries.length === 0 ? writes : [...writes, ...entries]
}

const withEntries = <A>(self: Expiry, step: Step<A>): Step<A> => {
  const writes = completed(self, step.writes)
  return writes === step.writes ? step : { result: step.result, writes }
}

/**
 * Adds the entries of `expiry` to a step in a transaction. The commit of the transaction deletes the entries of replaced
 * records, because it is the first to know which records the writes replace.
 */
export const completingInside = <A, E>(
  self: Expiry,
  take: (reader: Reader) => Effect.Effect<Step<A>, E>
): (reader: Reader) => Effect.Effect<Step<A>, E> =>
(reader) => Settled.map(take(reader), (step) => withEntries(self, step))

/**
 * Adds the entries of `expiry` to a step outside transactions, and deletes the entries of the records that it replaces: the
 * entries in `expiry`, and the index entries of expired records, which the step did not see.
 */
export const completing = <A, E>(
  self: Expiry,
  take: (reader: Reader) => Effect.Effect<Step<A>, E>
): (reader: Reader) => Effect.Effect<Step<A>, E | EngineFailure> =>
(reader) => {
  const taken = take(reader)
  if (!mayExist(self)) return Settled.map(taken, (step) => withEntries(self, step))
  return Settled.flatMap(
    taken,
    (step) =>
      Settled.map(deletionsOf(self, reader.stored ?? reader, step.writes), (deletions): Step<A> => {
        const { result, writes } = withEntries(self, step)
        if (deletions.length === 0) return { result, writes }
        const written = fromWrites(step.writes)
        return {
          result,
          writes: [...writes, ...deletions.filter(([database, key]) => !written.touches(database, key))]
        }
      })
  )
}
