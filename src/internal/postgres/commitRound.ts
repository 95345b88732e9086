/**
 * One commit: computes the conditions of its units, calls the server, and takes in the outcome.
 *
 * The reads of a request were made by a reader that hides expired records. In a store without them, the server can check
 * these reads as they are. Otherwise this module first repeats them over the stored records, and the server checks the
 * reads of the stored records: the request holds if both checks do.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { CollectionGuard, CommitRequest, PendingChecks, Read, Reader } from "../../Backend.ts"
import { type CommitError, EngineFailure } from "../../StoreError.ts"
import { toBatch, withDeletions, WriteSet } from "../buffer/writeSet.ts"
import * as ChangeFeed from "../commit/changeFeed.ts"
import { collectionDatabase, indexDatabases } from "../databases.ts"
import { ReadSet, recorded, validate } from "../reader/readSet.ts"
import * as CommitCall from "./commitCall.ts"
import * as DatabaseNumbers from "./databaseNumbers.ts"
import type { Server } from "./server.ts"
import { engineFailure, mayHaveRun, retrying } from "./sqlFailure.ts"

/** What the commits of a store need. */
export interface Committing {
  readonly server: Server
  readonly numbers: DatabaseNumbers.DatabaseNumbers
  /** Reads what is committed, expired records included. */
  readonly stored: Reader
  readonly changes: ChangeFeed.ChangeFeed
  readonly checks: PendingChecks
  readonly options: Pick<CommitCall.CommitOptions, "isAsync" | "notifies" | "previous">
  /** The reads of the guards of collections, as long as no call has found them changed. */
  readonly guardReads: WeakMap<CollectionGuard, ReadSet>
  /** The token of the last call. */
  token: number
  /** How many calls wait for their answers. */
  unanswered: number
  /** What runs when no call waits for its answer. */
  readonly afterAnswers: Array<() => void>
}

/** Runs a function when no call waits for its answer. */
export const whenAnswered = ({ afterAnswers, unanswered }: Committing, run: () => void): void => {
  if (unanswered === 0) run()
  else afterAnswers.push(run)
}

/** The outcome of a call is not known: the connection was lost, and the server did not answer for a long time. */
export class UnknownOutcome extends Data.TaggedError("UnknownOutcome")<{ readonly failure: EngineFailure }> {}

/** The units of a call, and what to do if it has to be made again. */
export interface Prepared {
  readonly call: CommitCall.CommitCall
  readonly units: ReadonlyArray<CommitCall.Unit>
}

// ---------------------------------------------------------------------------
// guards of collections
// ---------------------------------------------------------------------------

/** The guards of the collections that some writes belong to, by the names of the collections. */
export const guardsOf = (
  { checks: { guards } }: Committing,
  writes: WriteSet
): ReadonlyArray<readonly [name: string, guard: CollectionGuard]> =>
  [...guards].filter(([name]) => writes.entriesOf(collectionDatabase(name)).size > 0)

/** Returns the reads that show that a collection is as this process has opened it. Gives it up if it is not. */
const guardReadsOf = Effect.fnUntraced(function*(
  { guardReads, stored }: Committing,
  guard: CollectionGuard
): Effect.fn.Return<ReadSet | undefined, EngineFailure> {
  const known = guardReads.get(guard)
  if (known !== undefined) return known
  const reads = new ReadSet()
  if (!(yield* guard.isAsOpened(recorded(stored, reads)))) {
    guard.giveUp()
    return undefined
  }
  guardReads.set(guard, reads)
  return reads
})

/** Forgets what is known of the guards of writes, because a call may have found it changed. */
export const forgetGuards = (self: Committing, writes: WriteSet): void => {
  for (const [, guard] of guardsOf(self, writes)) self.guardReads.delete(guard)
}

/** Gives the reads of several sets, one after the other. */
const joined = (sets: ReadonlyArray<Iterable<Read>>): ReadonlyArray<Read> => {
  const reads: Array<Read> = []
  for (const set of sets) reads.push(...set)
  return reads
}

/** Removes the writes to a collection and to its indexes. */
const removeCollection = (writes: WriteSet, name: string): void => {
  writes.removeAll(collectionDatabase(name))
  const databases = new Set(Array.from(writes, ([database]) => database))
  for (const database of databases) if (database.startsWith(indexDatabases(name))) writes.removeAll(database)
}

/** Pending writes that can be committed, what must hold, and the number of records of collections that are left out. */
export interface CheckedWrites extends CommitCall.Unit {
  readonly leftOut: ReadonlyMap<string, number>
}

/** Leaves out the pending writes to collections that another process has taken over. */
export const checkPending = Effect.fnUntraced(function*(
  self: Committing,
  pending: WriteSet
): Effect.fn.Return<CheckedWrites, EngineFailure> {
  const guards = guardsOf(self, pending)
  if (guards.length === 0) return { reads: [], writes: pending, leftOut: new Map() }
  const reads: Array<CommitCall.Unit["reads"]> = []
  const leftOut = new Map<string, number>()
  const writes = new WriteSet()
  writes.addAll(pending)
  for (const [name, guard] of guards) {
    const found = guard.isGivenUp() ? undefined : yield* guardReadsOf(self, guard)
    if (found !== undefined) {
      reads.push(found)
      continue
    }
    leftOut.set(name, pending.entriesOf(collectionDatabase(name)).size)
    removeCollection(writes, name)
  }
  return { reads: joined(reads), writes, leftOut }
})

// ---------------------------------------------------------------------------
// requests
// ---------------------------------------------------------------------------

/** Whether the server can check the reads of a request as they are. */
export const isPlain = ({ deletions }: CommitRequest): boolean => deletions === undefined

/**
 * Makes the unit of a request. Returns `undefined` if the request cannot be made. With `isCareful`, checks the reads of the
 * request over the stored records first.
 */
export const unitOf = Effect.fnUntraced(function*(
  self: Committing,
  request: CommitRequest,
  writes: WriteSet,
  isCareful: boolean
): Effect.fn.Return<CommitCall.Unit | undefined, EngineFailure> {
  const { deletions, isPermitted, reads, view } = request
  const guards: Array<ReadSet> = []
  for (const [, guard] of guardsOf(self, writes)) {
    const found = yield* guardReadsOf(self, guard)
    if (found === undefined) return undefined
    guards.push(found)
  }
  if (!isCareful) {
    return isPermitted?.() === false
      ? undefined
      : { reads: guards.length === 0 ? reads : joined([reads, ...guards]), writes }
  }
  const raw = new ReadSet()
  const reader = recorded(self.stored, raw)
  if (!(yield* validate(reads, view?.(reader) ?? reader))) return undefined
  const deleted = deletions === undefined ? [] : yield* deletions(reader)
  // Another process has committed between two of these reads.
  if (raw.isTorn) return yield* unitOf(self, request, writes, isCareful)
  if (isPermitted?.() === false) return undefined
  return { reads: joined([raw, ...guards]), writes: withDeletions(writes, deleted) }
})

// ---------------------------------------------------------------------------
// the call
// ---------------------------------------------------------------------------

const beforeOf = ({ changes }: Committing): CommitCall.CommitOptions["before"] => {
  let before: CommitCall.CommitOptions["before"] = 0
  for (const { options } of changes.subscribers) {
    if (options.before === "value") return 2
    if (options.before === "existence") before = 1
  }
  return before
}

/** Prepares a call. It takes the next token unless nothing is written. */
export const prepare = Effect.fnUntraced(function*(
  self: Committing,
  units: ReadonlyArray<CommitCall.Unit>
): Effect.fn.Return<Prepared, EngineFailure> {
  const numbers = yield* DatabaseNumbers.ensure(self.numbers, CommitCall.databasesOf(units))
  const isWriting = units.some(({ writes }) => !writes.isEmpty)
  if (isWriting) self.token++
  const call = CommitCall.make(
    units,
    (database) => numbers.get(database) ?? 0,
    self.server.client,
    isWriting ? self.token : 0,
    { ...self.options, before: beforeOf(self), now: yield* Clock.currentTimeMillis }
  )
  return { call, units }
})

/** Makes a prepared call, again if the connection is lost. Fails with `UnknownOutcome` if it may have been made. */
const send = (
  { server: { patience, sql, tables } }: Committing,
  { call }: Prepared
): Effect.Effect<CommitCall.Outcome, EngineFailure | UnknownOutcome> =>
  Effect.suspend(() => {
    let mayBeMade = false
    const once = Effect.flatMap(sql.reserve, (connection) =>
      Effect.tapError(connection.executeValues(CommitCall.statement(tables.commit), call.parameters), (error) =>
        Effect.sync(() => {
          // Later attempts may fail in another way, and do not tell what became of this one.
          mayBeMade ||= mayHaveRun(error)
        })))
    return retrying(Effect.scoped(once), patience).pipe(
      Effect.map((rows) =>
        CommitCall.outcomeOf(call, rows)
      ),
      Effect.mapError((error) => {
        const failure = engineFailure("commit", error)
        return mayBeMade ? new UnknownOutcome({ failure }) : failure
      })
    )
  })

/** The failure of a request whose outcome is not known. */
export const unknownOutcome = (
  { failure: { cause, code, detail, operation, sqlState } }: Pick<UnknownOutcome, "failure">
): EngineFailure =>
  new EngineFailure({
    operation,
    code,
    detail: `${detail}; the answer of the server was lost, so it may have made the commit`,
    // Making the commit again could do everything twice.
    isRetryable: false,
    outcome: "unknown",
    ...(sqlState === undefined ? {} : { sqlState }),
    cause
  })

/** The writes of the units that were made, in the order of the units. */
const madeBy = ({ units }: Prepared, { failed, number }: CommitCall.Outcome): WriteSet => {
  const made = new WriteSet()
  if (number > 0) { for (const [at, { writes }] of units.entries()) if (!failed.has(at)) made.addAll(writes) }
  return made
}

/** What a call has done. */
export interface Committed {
  readonly made: WriteSet
  readonly failed: ReadonlySet<number>
}

const answered = (self: Committing): void => {
  self.unanswered--
  if (self.unanswered === 0) { for (const run of self.afterAnswers.splice(0)) run() }
}

/** Makes a prepared call, and tells subscribers what it has written. */
export const commit = (
  self: Committing,
  prepared: Prepared
): Effect.Effect<Committed, EngineFailure | UnknownOutcome> =>
  Effect.suspend(() => {
    self.unanswered++
    return Effect.ensuring(
      Effect.map(send(self, prepared), (outcome) => {
        const made = madeBy(prepared, outcome)
        if (outcome.number > 0) ChangeFeed.publish(self.changes, toBatch(made), outcome.number, outcome.before)
        return { made, failed: outcome.failed }
      }),
      Effect.sync(() => answered(self))
    )
  })

/** The error of pending writes that were left out. */
export const leftOutFailure = (leftOut: ReadonlyMap<string, number>): CommitError | undefined => {
  if (leftOut.size === 0) return undefined
  const lost = Array.from(leftOut, ([name, records]) => `${records} pending writes to the collection "${name}"`)
  return new EngineFailure({
    operation: "commit",
    code: 0,
    detail:
      `lost ${lost.join(" and ")}. Another process has begun to migrate the collection to another version or to ` +
      "other indexes; start this process again with the program that the other process runs",
    isRetryable: false
  })
}
