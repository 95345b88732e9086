/**
 * Expiry of records: hides expired records from readers. The database `expiry` says when records expire.
 *
 * An open store knows a time before which none of its records expires. Until then, expiry costs a read one comparison.
 * If other processes may write to the store, no such time is known, and each read checks for expired records.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Backend, CommitRequest, CommittedSnapshot, Reader, Snapshot } from "../../Backend.ts"
import type { KeyRange, Write } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { toWriteSet } from "../buffer/writeSet.ts"
import { expiryDatabase } from "../databases.ts"
import * as ExpiryEntries from "../reader/expiryEntries.ts"
import { type Candidates, type ExpirySource, readCandidates, unexpired } from "../reader/unexpired.ts"
import * as Settled from "../settled.ts"
import { deletionsOf } from "./expiryWrites.ts"
import * as UnseenTimes from "./unseenTimes.ts"

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
  /** The times of running writes that no reader sees yet. */
  readonly unseen: UnseenTimes.UnseenTimes
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
    unseen: UnseenTimes.make(),
    onEarlier: () => undefined
  }
  yield* Effect.ignore(Effect.gen(function*() {
    self.hasDatabase = (yield* backend.databases()).includes(expiryDatabase)
    self.earliest = self.hasDatabase ? (yield* nextTime(backend.reader, -Infinity)) ?? Infinity : Infinity
  }))
  return self
})

/** Finds the time of the first entry after a moment. */
const nextTime = (reader: Reader, moment: number): Effect.Effect<number | undefined, EngineFailure> =>
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

/** Sets `earliest` from what is stored and what is being written. */
export const refreshEarliest = (self: Expiry): Effect.Effect<void, EngineFailure> => {
  const { backend, unseen } = self
  const reading = Effect.suspend(() =>
    UnseenTimes.reading(unseen, () => nextTime(backend.reader, -Infinity), (next, unseenTime) => {
      self.earliest = Math.min(next ?? Infinity, unseenTime)
    })
  )
  return backend.whileReadable(reading)
}

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
        // While this read waited, another fiber may have created it.
        if (names.includes(expiryDatabase)) self.hasDatabase = true
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
  if (self.isShared) {
    return Settled.map(candidatesIn(self, reader, moment), (candidates) => {
      if (candidates.size > 0) note(self, moment)
      return candidates
    })
  }
  const read = () =>
    Settled.flatMap(
      candidatesIn(self, reader, moment),
      (candidates) => Settled.map(nextTime(reader, moment), (next) => ({ candidates, next }))
    )
  return UnseenTimes.reading(self.unseen, read, ({ candidates, next }, unseenTime) => {
    self.cache = { candidates, from: moment, until: Math.min(next ?? Infinity, unseenTime) }
    return candidates
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

/** Calls a function with the time of each entry in `expiry` that is written. */
const forEachTime = (writes: Iterable<Write>, noteTime: (time: number) => void): void => {
  for (const [database, entry, write] of writes) {
    if (database === expiryDatabase && write !== null) noteTime(ExpiryEntries.timeOf(entry))
  }
}

/** Runs a write that notes when its records expire, before a reader sees them. */
const noting = <A, E>(
  self: Expiry,
  write: (noteTime: (time: number) => void) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  self.isShared || !self.hasDatabase
    ? write((time) => note(self, time))
    : UnseenTimes.writing(self.unseen, (noteUnseen) =>
      write((time) => {
        noteUnseen(time)
        note(self, time)
      }))

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
    return noting(self, (noteTime) => {
      for (const [entry, write] of entries) if (write !== null) noteTime(ExpiryEntries.timeOf(entry))
      return committing
    })
  })

/** Makes a backend whose readers hide what has expired. */
export const over = (self: Expiry): Backend => {
  const { backend } = self
  const reader = unexpired(backend.reader, {
    moment: () => momentOf(self),
    candidates: (moment) => presentCandidates(self, moment)
  })
  const viewOf = view(self)
  const { transactionSnapshot } = backend
  const readerOf = (stored: Reader): Reader => stored === backend.reader ? reader : viewOf(stored)
  return {
    ...backend,
    reader,
    snapshot: () => hidingExpired(self, backend.snapshot),
    nextSnapshot: () => hidingExpired(self, backend.nextSnapshot),
    transactionSnapshot: transactionSnapshot === undefined
      ? undefined
      : (options) => hidingExpired(self, () => transactionSnapshot(options)),
    committedSnapshot: () =>
      Effect.map(
        backend.committedSnapshot(),
        (committed): CommittedSnapshot => ({ ...committed, ...viewOf(committed) })
      ),
    step: (step, options) => {
      const { exact } = options
      const hiding = exact === undefined ? options : { ...options, exact: (stored: Reader) => exact(readerOf(stored)) }
      return noting(self, (noteTime) =>
        backend.step(
          (stored) =>
            Settled.map(step(readerOf(stored)), (taken) => {
              forEachTime(taken.writes, noteTime)
              return taken
            }),
          hiding
        ))
    },
    commit: (request, admission) => commit(self, request, admission)
  }
}
