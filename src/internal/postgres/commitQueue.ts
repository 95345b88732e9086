/**
 * The commit queue of a store on a database server: when a commit begins, and what it takes.
 *
 * One commit runs at a time. It first commits the pending writes, and then as many waiting requests as one call can decide.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { CommitRequest } from "../../Backend.ts"
import type { CommitError, EngineFailure } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { toWriteSet, type WriteSet } from "../buffer/writeSet.ts"
import * as CommitRound from "./commitRound.ts"
import * as MemtableCommits from "./memtableCommits.ts"
import * as QueueState from "./queueState.ts"
import * as UnitConflicts from "./unitConflicts.ts"

// ---------------------------------------------------------------------------
// requests
// ---------------------------------------------------------------------------

const byPriority = (a: QueueState.Submission, b: QueueState.Submission): number =>
  (b.request.priority ?? 0) - (a.request.priority ?? 0)

/** Takes the requests of the highest priority that one call can decide: at least one. */
const takeSubmissions = (
  { options: { batchBytes }, waiting }: QueueState.CommitQueue
): ReadonlyArray<QueueState.Submission> => {
  waiting.sort(byPriority)
  const group = UnitConflicts.make()
  const taken: Array<QueueState.Submission> = []
  let bytes = 0
  for (const submission of waiting) {
    const { request: { reads }, writes } = submission
    if (taken.length > 0 && bytes + writes.bytes > batchBytes) break
    if (!UnitConflicts.fits(group, { reads, writes })) continue
    UnitConflicts.add(group, { reads, writes })
    bytes += writes.bytes
    submission.isTaken = true
    taken.push(submission)
  }
  for (const submission of taken) waiting.splice(waiting.indexOf(submission), 1)
  return taken
}

/** Ends the waiting requests whose reads a commit has changed: no later commit can make them. */
const endRefuted = ({ waiting }: QueueState.CommitQueue, made: WriteSet): void => {
  if (made.isEmpty) return
  const refuted = waiting.filter(({ isCareful, request, writes }) =>
    !isCareful && UnitConflicts.isRefutedBy({ reads: request.reads, writes }, made)
  )
  for (const submission of refuted) {
    waiting.splice(waiting.indexOf(submission), 1)
    QueueState.completeLater(submission.outcome, Exit.succeed(false))
  }
}

/** Computes the units of requests. Ends those that cannot be made. */
const unitsOf = Effect.fnUntraced(function*(self: QueueState.CommitQueue, taken: ReadonlyArray<QueueState.Submission>) {
  const units = yield* Effect.forEach(
    taken,
    ({ isCareful, request, writes }) => CommitRound.unitOf(self.options.committing, request, writes, isCareful),
    { concurrency: "unbounded" }
  )
  return taken.flatMap((submission, at) => {
    const unit = units[at]
    if (unit !== undefined) return [{ submission, unit }]
    QueueState.completeLater(submission.outcome, Exit.succeed(false))
    return []
  })
})

/** Ends a request that the server has not made, or lets it be decided again with more care. */
const endFailedUnit = (self: QueueState.CommitQueue, submission: QueueState.Submission): void => {
  const { options: { committing }, waiting } = self
  const { isCareful, writes } = submission
  const hasGuards = CommitRound.guardsOf(committing, writes).length > 0
  if (!isCareful && !hasGuards) return QueueState.completeLater(submission.outcome, Exit.succeed(false))
  CommitRound.forgetGuards(committing, writes)
  submission.isCareful = true
  submission.isTaken = false
  waiting.push(submission)
}

/** Commits requests in one call. */
const commitSubmissions = Effect.fnUntraced(function*(
  self: QueueState.CommitQueue,
  taken: ReadonlyArray<QueueState.Submission>
): Effect.fn.Return<void, EngineFailure> {
  const { committing } = self.options
  const prepared = yield* unitsOf(self, taken)
  if (prepared.length === 0) return
  const call = yield* CommitRound.prepare(committing, prepared.map(({ unit }) => unit))
  const { failed, made } = yield* Effect.catchTag(
    CommitRound.commit(committing, call),
    "UnknownOutcome",
    (unknown) => Effect.fail(CommitRound.unknownOutcome(unknown))
  )
  yield* QueueState.countCommit(self, made)
  for (const [at, { submission }] of prepared.entries()) {
    if (failed.has(at)) endFailedUnit(self, submission)
    else QueueState.completeLater(submission.outcome, Exit.succeed(true))
  }
  endRefuted(self, made)
})

/** Commits requests, and gives them the error of a call that failed. */
const commitTaken = (
  self: QueueState.CommitQueue,
  taken: ReadonlyArray<QueueState.Submission>
): Effect.Effect<void> => {
  const writes = taken.reduce((sum, submission) => sum + submission.writes.size, 0)
  return Effect.catchCause(
    QueueState.traced(self, writes, commitSubmissions(self, taken)),
    (cause) =>
      Effect.sync(() => {
        for (const { outcome } of taken) QueueState.completeLater(outcome, Exit.failCause(cause))
      })
  )
}

/** Commits the pending writes and the waiting requests. */
const runNext = (self: QueueState.CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const running: QueueState.RunningCommit = { submissions: self.waiting, done: Deferred.makeUnsafe() }
    // From now on, a write to a key of one of these requests waits for this commit.
    self.running = running
    const run = Effect.suspend(() => {
      self.isScheduled = false
      const submissions = [...self.waiting]
      running.submissions = submissions
      const isWanted = submissions.length > 0 || Memtable.isRequested(self.options.buffer.active) ||
        self.sealed !== undefined
      const flushed = isWanted ? MemtableCommits.flush(self, false) : Effect.void
      return Effect.matchCauseEffect(flushed, {
        onFailure: (cause) =>
          Effect.sync(() => {
            startTimer(self)
            // The requests may have read what is still pending.
            for (const submission of submissions) {
              const at = self.waiting.indexOf(submission)
              if (at < 0) continue
              self.waiting.splice(at, 1)
              QueueState.completeLater(submission.outcome, Exit.failCause(cause))
            }
          }),
        onSuccess: () =>
          Effect.suspend(() => {
            const taken = takeSubmissions(self)
            running.submissions = taken
            return taken.length === 0 ? Effect.void : commitTaken(self, taken)
          })
      })
    })
    return Effect.ensuring(
      // The other fibers of this turn share the commit.
      Effect.andThen(Effect.yieldNow, run),
      Effect.sync(() => {
        self.running = undefined
        QueueState.completeLater(running.done, Exit.void)
        QueueState.completeLater(self.attempted, Exit.void)
        self.attempted = Deferred.makeUnsafe()
        if (self.waiting.length > 0) schedule(self)
      })
    )
  })

// ---------------------------------------------------------------------------
// starting a commit
// ---------------------------------------------------------------------------

/** Starts a commit when no other runs. */
const schedule = (self: QueueState.CommitQueue): void => {
  if (self.isScheduled) return
  self.isScheduled = true
  QueueState.fork(self, Effect.uninterruptible(self.options.permit.withPermit(runNext(self))))
}

/** Requests the commit of a memtable. */
export const requestCommit = (self: QueueState.CommitQueue, memtable: Memtable.Memtable): void => {
  if (memtable === self.sealed?.memtable) return schedule(self)
  if (Memtable.isRequested(memtable) || memtable.writes.size === 0) return
  memtable.state = { _tag: "Requested" }
  schedule(self)
}

/** Starts the timer that requests a commit after `flushInterval`. */
export const startTimer = (self: QueueState.CommitQueue): void => {
  const { buffer, flushInterval } = self.options
  if (self.timer !== undefined || flushInterval === undefined || self.isClosed) return
  if (buffer.active.writes.size === 0 && self.sealed === undefined) return
  self.timer = QueueState.fork(
    self,
    Effect.andThen(
      Effect.sleep(flushInterval),
      Effect.sync(() => {
        self.timer = undefined
        requestCommit(self, self.sealed?.memtable ?? buffer.active)
      })
    )
  )
}

/** Commits a request after the pending writes. Returns `false` if it was not made. */
export const submit = <E>(
  self: QueueState.CommitQueue,
  request: CommitRequest,
  refusal: () => Effect.Effect<never, E> | undefined
): Effect.Effect<boolean, CommitError | E> =>
  Effect.suspend((): Effect.Effect<boolean, CommitError | E> => {
    const refused = refusal()
    if (refused !== undefined) return refused
    const submission: QueueState.Submission = {
      request,
      writes: toWriteSet(request.writes),
      outcome: Deferred.makeUnsafe(),
      isCareful: !CommitRound.isPlain(request),
      isTaken: false
    }
    self.waiting.push(submission)
    schedule(self)
    return Effect.onInterrupt(Deferred.await(submission.outcome), () => {
      const at = self.waiting.indexOf(submission)
      if (submission.isTaken || at < 0) return Effect.ignore(Deferred.await(submission.outcome))
      self.waiting.splice(at, 1)
      Deferred.doneUnsafe(submission.outcome, Exit.succeed(false))
      return Effect.void
    })
  })

/** Commits one request in a separate transaction. The caller must have the permit. */
export const commitOne = Effect.fnUntraced(function*(
  self: QueueState.CommitQueue,
  request: CommitRequest
): Effect.fn.Return<boolean, CommitError> {
  const { committing } = self.options
  // The server takes no call after one with a later token.
  if (self.sealed !== undefined) yield* MemtableCommits.flush(self, false)
  const writes = toWriteSet(request.writes)
  const unit = yield* CommitRound.unitOf(committing, request, writes, !CommitRound.isPlain(request))
  if (unit === undefined) return false
  const { failed, made } = yield* Effect.catchTag(
    CommitRound.commit(committing, yield* CommitRound.prepare(committing, [unit])),
    "UnknownOutcome",
    (unknown) => Effect.fail(CommitRound.unknownOutcome(unknown))
  )
  yield* QueueState.countCommit(self, made)
  endRefuted(self, made)
  return failed.size === 0
})

/** Waits for all requests, and makes the last commit. */
export const close: (self: QueueState.CommitQueue) => Effect.Effect<void, CommitError> = Effect.fnUntraced(
  function*(self) {
    while (self.waiting.length > 0 || self.running !== undefined) {
      const submissions = [...self.running?.submissions ?? [], ...self.waiting]
      for (const { outcome } of submissions) yield* Effect.exit(Deferred.await(outcome))
      if (self.running !== undefined) yield* Deferred.await(self.running.done)
    }
    self.isClosed = true
    QueueState.stopTimer(self)
    yield* Effect.mapError(
      self.options.permit.withPermit(MemtableCommits.flush(self, true)),
      // No later commit can ask for the outcome.
      (error) =>
        self.sealed !== undefined && error._tag === "EngineFailure"
          ? CommitRound.unknownOutcome({ failure: error })
          : error
    )
    if (self.unreported !== undefined) return yield* self.unreported
  }
)
