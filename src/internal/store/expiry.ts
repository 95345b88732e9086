/**
 * The records of a store that expire: what hides them from readers when their time has come, and which entries of the
 * database `expiry` are written with them.
 *
 * An open store knows a time before which none of its records expires. Until then a read costs one comparison.
 * Where other processes may write too, there is no such time, and each read looks.
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
import { type Candidates, type Due, readCandidates, unexpired } from "../reader/unexpired.ts"
import * as Settled from "../settled.ts"

/** What may have expired, as it was read last. */
interface Loaded {
  readonly candidates: Candidates
  readonly from: number
  /** Until when there are no others. */
  readonly until: number
}

/** The records of a store that expire. */
export interface Expiry {
  /** The backend, whose readers hide nothing. */
  readonly backend: Backend
  readonly now: () => number
  /** Whether other processes may write records that expire. */
  readonly isShared: boolean
  /** Whether the file has the database of the entries. */
  exists: boolean
  /** When this process has looked last whether the file has it. */
  lookedAt: number
  /** No record expires before this time. It is of no use where other processes write. */
  earliest: number
  loaded: Loaded | undefined
  /** How many commits are under way whose entries no reader sees yet, and the earliest time of these. */
  commits: number
  earliestInCommits: number
  /** Wakes the sweeper, for `earliest` is another time now. */
  onEarlier: () => void
}

/** How often a process looks for a database that another process may have made, in milliseconds. */
const lookInterval = 1000

/** Makes what knows the expiring records of an open backend. */
export const make: (
  backend: Backend,
  options: { readonly now: () => number; readonly isShared: boolean }
) => Effect.Effect<Expiry> = Effect.fnUntraced(function*(backend, { isShared, now }) {
  const self: Expiry = {
    backend,
    now,
    isShared,
    exists: true,
    lookedAt: now(),
    // If it cannot be read now, each read looks, until the sweeper has read it.
    earliest: -Infinity,
    loaded: undefined,
    commits: 0,
    earliestInCommits: Infinity,
    onEarlier: () => undefined
  }
  yield* Effect.ignore(Effect.gen(function*() {
    self.exists = (yield* backend.databases()).includes(expiryDatabase)
    self.earliest = self.exists ? (yield* nextTime(backend.reader, -Infinity)) ?? Infinity : Infinity
  }))
  return self
})

/** The first time after a moment at which an entry says that a record expires. */
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
      // Pending writes may delete the first entries that are stored.
      first === undefined && rest?.from !== undefined
        ? firstTimeIn(reader, { from: { key: rest.from.key, inclusive: true }, to: undefined }, 256)
        : Exit.succeed(first === undefined ? undefined : ExpiryEntries.timeOf(first[0]))
  )

/** Whether there may be records that expire. */
const mayExist = ({ exists, isShared }: Expiry): boolean => exists || isShared

/** Creates the database of the entries. Call it before the first record that expires is written. */
export const ensureDatabase = (self: Expiry): Effect.Effect<void, EngineFailure> =>
  self.exists ? Exit.void : Effect.map(self.backend.createDatabases([expiryDatabase]), () => {
    self.exists = true
  })

// ---------------------------------------------------------------------------
// what has expired
// ---------------------------------------------------------------------------

/** The moment as of which is read; `undefined` where nothing can have expired. */
const momentOf = (self: Expiry): number | undefined => {
  if (self.isShared) return self.now()
  if (self.earliest === Infinity) return undefined
  const now = self.now()
  return now < self.earliest ? undefined : now
}

const noCandidates: Exit.Exit<Candidates> = Exit.succeed(new Map())

/** Opens the database of the entries where another process has made it. */
export const look = (self: Expiry, moment: number): Effect.Effect<void, EngineFailure> => {
  if (self.exists || moment < self.lookedAt + lookInterval) return Exit.void
  self.lookedAt = moment
  return Settled.flatMap(
    self.backend.openDatabase(expiryDatabase),
    () =>
      Settled.map(self.backend.databases(), (names) => {
        self.exists = names.includes(expiryDatabase)
      })
  )
}

/** Reads all that has expired of what a reader has. */
const candidatesIn = (
  self: Expiry,
  reader: Reader,
  moment: number
): Effect.Effect<Candidates, EngineFailure> =>
  Settled.flatMap(look(self, moment), () => self.exists ? readCandidates(reader, moment) : noCandidates)

/** The same of what is stored at present; it is read again only when more may have expired. */
const presentCandidates = (self: Expiry, moment: number): Effect.Effect<Candidates, EngineFailure> => {
  const { loaded } = self
  if (!self.isShared && loaded !== undefined && moment >= loaded.from && moment < loaded.until) {
    return Exit.succeed(loaded.candidates)
  }
  const { reader } = self.backend
  return Settled.flatMap(candidatesIn(self, reader, moment), (candidates) => {
    if (self.isShared) {
      if (candidates.size > 0) note(self, moment)
      return Exit.succeed(candidates)
    }
    return Settled.map(nextTime(reader, moment), (next) => {
      self.loaded = { candidates, from: moment, until: Math.min(next ?? Infinity, self.earliestInCommits) }
      return candidates
    })
  })
}

/** What has expired of what a reader has that does not change, as of one moment. */
const dueAt = (self: Expiry, reader: Reader, moment: number): Due => {
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

/** Reads what has not expired, as of now and from then on, of what a reader has that does not change. */
const view = (self: Expiry) => (reader: Reader): Reader => {
  const moment = momentOf(self)
  return moment === undefined ? reader : unexpired(reader, dueAt(self, reader, moment))
}

// ---------------------------------------------------------------------------
// a backend whose readers hide what has expired
// ---------------------------------------------------------------------------

/** Notes that a record expires at a time. */
const note = (self: Expiry, time: number): void => {
  if (self.loaded !== undefined && time < self.loaded.until) self.loaded = { ...self.loaded, until: time }
  if (time >= self.earliest) return
  self.earliest = time
  self.onEarlier()
}

const noteAll = (self: Expiry, writes: Iterable<Write>): void => {
  for (const [database, entry, write] of writes) {
    if (database === expiryDatabase && write !== null) note(self, ExpiryEntries.timeOf(entry))
  }
}

/** Hides what has expired when a snapshot is opened. */
const hiding = <S extends Snapshot>(
  self: Expiry,
  open: () => Effect.Effect<S, EngineFailure>
): Effect.Effect<S, EngineFailure> => {
  const moment = momentOf(self)
  const opened = open()
  return moment === undefined
    ? opened
    : Settled.map(opened, (stored): S => ({ ...stored, ...unexpired(stored, dueAt(self, stored, moment)) }))
}

/** Commits a request, whose entries no reader sees before it is committed. */
const commit = (self: Expiry, request: CommitRequest, admission: Parameters<Backend["commit"]>[1]) =>
  Effect.suspend(() => {
    const entries = toWriteSet(request.writes).entriesOf(expiryDatabase)
    const writes = self.exists ? [...request.writes].filter(([database]) => hasRecords(database)) : []
    const deletions = writes.length === 0 ? undefined : (stored: Reader) => deletionsOf(self, stored, writes)
    const committing = self.backend.commit({ ...request, view: view(self), deletions }, admission)
    if (entries.size === 0) return committing
    self.commits++
    for (const [entry, write] of entries) {
      if (write === null) continue
      const time = ExpiryEntries.timeOf(entry)
      self.earliestInCommits = Math.min(self.earliestInCommits, time)
      note(self, time)
    }
    return Effect.ensuring(
      committing,
      Effect.sync(() => {
        self.commits--
        if (self.commits === 0) self.earliestInCommits = Infinity
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
    snapshot: () => hiding(self, backend.snapshot),
    nextSnapshot: () => hiding(self, backend.nextSnapshot),
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

/** When the record expires that a write makes. */
const timeOf = ([database, , write]: Write): number | undefined =>
  write === null || !hasRecords(database) ? undefined : RecordLayout.timeOf(write)

/** The write that says when a record expires. */
const entryOf = ({ backend: { maxKeyBytes } }: Expiry, time: number, [database, key]: Write): Write =>
  ExpiryEntries.toWrite(time, database, key, maxKeyBytes)

/** What a write replaces that expires. */
interface Replaced {
  readonly time: number
  /** Its entries in indexes, where it has expired: the writes did not see them. */
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

/** The writes that delete the entry of a record in an index, which is under one of two keys. */
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

/** The writes that delete the entries of the records that are replaced. Some may be for keys that are written. */
const deletionsOf = Effect.fnUntracedEager(function*(self: Expiry, stored: Reader, writes: ReadonlyArray<Write>) {
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
 * Adds the entries of the records that expire. A record that has expired as it is written is deleted instead, with
 * its entries in indexes, which are among the writes of the same call.
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
 * Does the same with the writes of a step in a transaction. What belongs to the records that they replace is deleted when the
 * transaction is committed: only then it is known which records these are.
 */
export const completingInside = <A, E>(
  self: Expiry,
  take: (reader: Reader) => Effect.Effect<Step<A>, E>
): (reader: Reader) => Effect.Effect<Step<A>, E> =>
(reader) => Settled.map(take(reader), (step) => withEntries(self, step))

/**
 * Does the same with the writes of a step, and deletes what belongs to the records that these replace: their entries in
 * `expiry`, and in indexes where they have expired, for the step has not seen them.
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
