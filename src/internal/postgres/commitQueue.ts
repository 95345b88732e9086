/**
 * The commit queue of a store on a database server: when a commit begins, what it takes, and how it ends.
 *
 * One commit runs at a time. It first commits the pending writes, and then as many waiting requests as one call can decide.
 * If the outcome of a call is not known, the pending writes in it stay sealed, and the next commit makes the same call
 * again before anything else. So they are never written twice.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Semaphore from "effect/Semaphore"
import type { CommitRequest } from "../../Backend.ts"
import type { CommitError, EngineFailure } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import type { WriteBuffer } from "../buffer/writeBuffer.ts"
import { toWriteSet, WriteSet } from "../buffer/writeSet.ts"
import type { Metrics } from "../commit/metrics.ts"
import * as CommitRound from "./commitRound.ts"
import * as PendingLayers from "./pendingLayers.ts"
import * as UnitConflicts from "./unitConflicts.ts"

/** The options of a queue, and the parts of the store that it uses. */
export interface CommitQueueOptions {
  readonly path: string
  readonly flushInterval: Duration.Duration | undefined
  readonly batchBytes: number
  readonly buffer: WriteBuffer
  readonly layers: PendingLayers.PendingLayers
  readonly committing: CommitRound.Committing
  readonly metrics: Metrics
  /** The running commit holds the only permit. */
  readonly permit: Semaphore.Semaphore
}

/** A request that waits for its commit. */
export interface Submission {
  readonly request: CommitRequest
  readonly writes: WriteSet
  readonly outcome: Deferred.Deferred<boolean, CommitError>
  /** Whether its reads are repeated over the stored records. */
  isCareful: boolean
  isTaken: boolean
}

/** The commit that runs. */
interface RunningCommit {
  submissions: ReadonlyArray<Submission>
  readonly done: Deferred.Deferred<void>
}

/** Pending writes in a call whose outcome is not known. */
interface Sealed {
  readonly memtable: Memtable.Memtable
  readonly prepared: CommitRound.Prepared
  readonly leftOut: ReadonlyMap<string, number>
}

/** The queue. */
export interface CommitQueue {
  readonly options: CommitQueueOptions
  readonly waiting: Array<Submission>
  running: RunningCommit | undefined
  isScheduled: boolean
  /** Completes when the next attempt to commit has ended. */
  attempted: Deferred.Deferred<void>
  sealed: Sealed | undefined
  timer: Fiber.Fiber<void> | undefined
  /** The error of a commit that no fiber waited for. */
  unreported: CommitError | undefined
  isClosed: boolean
}

/** Makes an empty queue. */
export const make = (options: CommitQueueOptions): CommitQueue => ({
  options,
  waiting: [],
  running: undefined,
  isScheduled: false,
  attempted: Deferred.makeUnsafe(),
  sealed: undefined,
  timer: undefined,
  unreported: undefined,
  isClosed: false
})

/** Completes a deferred after the current turn: a writer that it resumes would run before the commit continues. */
const completeLater = <A, E>(deferred: Deferred.Deferred<A, E>, exit: Exit.Exit<A, E>): void =>
  queueMicrotask(() => Deferred.doneUnsafe(deferred, exit))

const fork = ({ options: { committing: { server } } }: CommitQueue, effect: Effect.Effect<void>) => server.fork(effect)

// ---------------------------------------------------------------------------
// pending writes
// ---------------------------------------------------------------------------

const updateGauges = ({ options: { buffer, metrics } }: CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.andThen(Metric.update(metrics.pendingWrites, buffer.size), Metric.update(metrics.pendingBytes, buffer.bytes))
  )

const notifyWaiters = (
  self: CommitQueue,
  memtable: Memtable.Memtable,
  exit: Exit.Exit<void, CommitError>
): Effect.Effect<void> =>
  Effect.andThen(
    updateGauges(self),
    Effect.sync(() => {
      completeLater(memtable.outcome, exit)
      queueMicrotask(() => {
        for (const resume of memtable.waiters) resume(exit)
        memtable.waiters.clear()
      })
    })
  )

/** Keeps and logs the error of a commit that no fiber waits for. */
const reportLater = (self: CommitQueue, cause: Cause.Cause<CommitError>): Effect.Effect<void> =>
  Effect.suspend(() => {
    self.unreported = Option.getOrUndefined(Cause.findErrorOption(cause))
    return Effect.logWarning(`A commit of the store ${self.options.path} failed; its writes stay pending`, cause)
  })

/** Ends a commit of pending writes that succeeded. */
const endCommitted = Effect.fnUntraced(
  function*(self: CommitQueue, { leftOut, memtable }: Sealed, isReported: boolean) {
    self.sealed = undefined
    self.options.buffer.discard()
    self.unreported = undefined
    const lost = CommitRound.leftOutFailure(leftOut)
    if (lost === undefined) return yield* notifyWaiters(self, memtable, Exit.void)
    if (memtable.waiters.size === 0 && !isReported) self.unreported = lost
    yield* Effect.logError(`A commit of the store ${self.options.path} was not complete`, Cause.fail(lost))
    yield* notifyWaiters(self, memtable, Exit.fail(lost))
  }
)

/** Gives the error of a commit to the fibers that wait for writes which it did not begin to commit. */
const failActive = ({ options: { buffer: { active } } }: CommitQueue, exit: Exit.Exit<void, CommitError>): void => {
  if (Memtable.isRequested(active)) active.state = { _tag: "Active" }
  const waiters = [...active.waiters]
  active.waiters.clear()
  queueMicrotask(() => {
    for (const resume of waiters) resume(exit)
  })
}

/** Ends a commit of pending writes that failed. Those whose outcome is not known stay sealed. */
const endFailed = (
  self: CommitQueue,
  memtable: Memtable.Memtable,
  cause: Cause.Cause<CommitError>,
  isReported: boolean
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { buffer, layers } = self.options
    if (self.sealed === undefined) {
      buffer.restore()
      PendingLayers.move(layers, memtable, buffer.active)
    } else failActive(self, Exit.failCause(cause))
    startTimer(self)
    const isReceived = isReported || memtable.waiters.size > 0
    return Effect.andThen(
      isReceived ? Effect.void : reportLater(self, cause),
      notifyWaiters(self, memtable, Exit.failCause(cause))
    )
  })

/** Prepares the call that commits a sealed memtable. */
const prepareSealed = Effect.fnUntraced(function*(
  { options: { committing, layers } }: CommitQueue,
  memtable: Memtable.Memtable
): Effect.fn.Return<Sealed, EngineFailure> {
  const { leftOut, ...unit } = yield* CommitRound.checkPending(committing, memtable.writes)
  const prepared = yield* CommitRound.prepare(committing, [unit])
  PendingLayers.begin(layers, memtable, committing.token)
  return { memtable, prepared, leftOut }
})

/** Commits a sealed memtable, again if a guard of a collection has changed meanwhile. */
const commitSealed = Effect.fnUntraced(function*(
  self: CommitQueue,
  memtable: Memtable.Memtable
): Effect.fn.Return<Sealed, EngineFailure> {
  const { committing } = self.options
  const sealed = self.sealed ?? (yield* prepareSealed(self, memtable))
  const { failed, made } = yield* CommitRound.commit(committing, sealed.prepared).pipe(
    Effect.catchTag("UnknownOutcome", ({ failure }) => {
      self.sealed = sealed
      return Effect.fail(failure)
    })
  )
  self.sealed = undefined
  if (failed.size > 0) {
    CommitRound.forgetGuards(committing, memtable.writes)
    return yield* commitSealed(self, memtable)
  }
  yield* countCommit(self, made)
  return sealed
})

const countCommit = ({ options: { metrics } }: CommitQueue, made: WriteSet): Effect.Effect<void> =>
  made.isEmpty
    ? Effect.void
    : Effect.andThen(Metric.update(metrics.commits, 1), Metric.update(metrics.committedWrites, made.size))

/** Seals the active memtable, unless a sealed one still waits for the outcome of its call. */
const seal = (self: CommitQueue): Memtable.Memtable | undefined => {
  const { buffer } = self.options
  if (buffer.flushing !== undefined) return buffer.flushing
  const memtable = buffer.seal(0)
  if (memtable === undefined) return undefined
  stopTimer(self)
  completeLater(memtable.sealed, Exit.void)
  return memtable
}

const traced = <A, E>(self: CommitQueue, writes: number, commit: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.useSpan("Store.commit", { attributes: { path: self.options.path, writes } }, (span) =>
    Effect.flatMap(
      Effect.timed(Effect.exit(Effect.withParentSpan(commit, span, { captureStackTrace: false }))),
      ([duration, exit]) => Effect.andThen(Metric.update(self.options.metrics.commitDuration, duration), exit)
    ))

/** Commits the pending writes. The caller must have the permit. */
const flushMemtable = (self: CommitQueue, isReported: boolean): Effect.Effect<void, CommitError> =>
  Effect.uninterruptible(Effect.suspend((): Effect.Effect<void, CommitError> => {
    const wasSealed = self.sealed !== undefined
    const memtable = seal(self)
    if (memtable === undefined) return Effect.void
    return Effect.matchCauseEffect(traced(self, memtable.writes.size, commitSealed(self, memtable)), {
      onSuccess: (sealed) =>
        // The writes that came while the outcome was not known are committed too.
        Effect.andThen(
          endCommitted(self, sealed, isReported),
          wasSealed ? flushMemtable(self, isReported) : Effect.void
        ),
      onFailure: (cause) => Effect.andThen(endFailed(self, memtable, cause, isReported), Effect.failCause(cause))
    })
  }))

// ---------------------------------------------------------------------------
// requests
// ---------------------------------------------------------------------------

const byPriority = (a: Submission, b: Submission): number => (b.request.priority ?? 0) - (a.request.priority ?? 0)

/** Takes the requests of the highest priority that one call can decide: at least one. */
const takeSubmissions = ({ options: { batchBytes }, waiting }: CommitQueue): ReadonlyArray<Submission> => {
  waiting.sort(byPriority)
  const group = UnitConflicts.make()
  const taken: Array<Submission> = []
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
const endRefuted = ({ waiting }: CommitQueue, made: WriteSet): void => {
  if (made.isEmpty) return
  const refuted = waiting.filter(({ isCareful, request, writes }) =>
    !isCareful && UnitConflicts.isRefutedBy({ reads: request.reads, writes }, made)
  )
  for (const submission of refuted) {
    waiting.splice(waiting.indexOf(submission), 1)
    completeLater(submission.outcome, Exit.succeed(false))
  }
}

/** Computes the units of requests. Ends those that cannot be made. */
const unitsOf = Effect.fnUntraced(function*(self: CommitQueue, taken: ReadonlyArray<Submission>) {
  const units = yield* Effect.forEach(
    taken,
    ({ isCareful, request, writes }) => CommitRound.unitOf(self.options.committing, request, writes, isCareful),
    { concurrency: "unbounded" }
  )
  return taken.flatMap((submission, at) => {
    const unit = units[at]
    if (unit !== undefined) return [{ submission, unit }]
    completeLater(submission.outcome, Exit.succeed(false))
    return []
  })
})

/** Ends a request that the server has not made, or lets it be decided again with more care. */
const endFailedUnit = (self: CommitQueue, submission: Submission): void => {
  const { options: { committing }, waiting } = self
  const { isCareful, writes } = submission
  const hasGuards = CommitRound.guardsOf(committing, writes).length > 0
  if (!isCareful && !hasGuards) return completeLater(submission.outcome, Exit.succeed(false))
  CommitRound.forgetGuards(committing, writes)
  submission.isCareful = true
  submission.isTaken = false
  waiting.push(submission)
}

/** Commits requests in one call. */
const commitSubmissions = Effect.fnUntraced(function*(
  self: CommitQueue,
  taken: ReadonlyArray<Submission>
): Effect.fn.Return<void, EngineFailure> {
  const { committing } = self.options
  const prepared = yield* unitsOf(self, taken)
  if (prepared.length === 0) return
  const call = yield* CommitRound.prepare(committing, prepared.map(({ unit }) => unit))
  const { failed, made } = yield* Effect.catchTag(
    CommitRound.commit(committing, call),
    "UnknownOutcome",
    ({ failure }) => Effect.fail(failure)
  )
  yield* countCommit(self, made)
  for (const [at, { submission }] of prepared.entries()) {
    if (failed.has(at)) endFailedUnit(self, submission)
    else completeLater(submission.outcome, Exit.succeed(true))
  }
  endRefuted(self, made)
})

/** Commits requests, and gives them the error of a call that failed. */
const commitTaken = (self: CommitQueue, taken: ReadonlyArray<Submission>): Effect.Effect<void> => {
  const writes = taken.reduce((sum, submission) => sum + submission.writes.size, 0)
  return Effect.catchCause(traced(self, writes, commitSubmissions(self, taken)), (cause) =>
    Effect.sync(() => {
      for (const { outcome } of taken) completeLater(outcome, Exit.failCause(cause))
    }))
}

/** Commits the pending writes and the waiting requests. */
const runNext = (self: CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const running: RunningCommit = { submissions: self.waiting, done: Deferred.makeUnsafe() }
    // From now on, a write to a key of one of these requests waits for this commit.
    self.running = running
    const run = Effect.suspend(() => {
      self.isScheduled = false
      const submissions = [...self.waiting]
      running.submissions = submissions
      const isWanted = submissions.length > 0 || Memtable.isRequested(self.options.buffer.active) ||
        self.sealed !== undefined
      const flushed = isWanted ? flushMemtable(self, false) : Effect.void
      return Effect.matchCauseEffect(flushed, {
        onFailure: (cause) =>
          Effect.sync(() => {
            // The requests may have read what is still pending.
            for (const submission of submissions) {
              const at = self.waiting.indexOf(submission)
              if (at < 0) continue
              self.waiting.splice(at, 1)
              completeLater(submission.outcome, Exit.failCause(cause))
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
        completeLater(running.done, Exit.void)
        completeLater(self.attempted, Exit.void)
        self.attempted = Deferred.makeUnsafe()
        if (self.waiting.length > 0) schedule(self)
      })
    )
  })

// ---------------------------------------------------------------------------
// starting a commit
// ---------------------------------------------------------------------------

/** Starts a commit when no other runs. */
const schedule = (self: CommitQueue): void => {
  if (self.isScheduled) return
  self.isScheduled = true
  fork(self, Effect.uninterruptible(self.options.permit.withPermit(runNext(self))))
}

/** Requests the commit of a memtable. */
export const request = (self: CommitQueue, memtable: Memtable.Memtable): void => {
  if (memtable === self.sealed?.memtable) return schedule(self)
  if (Memtable.isRequested(memtable) || memtable.writes.size === 0) return
  memtable.state = { _tag: "Requested" }
  schedule(self)
}

const stopTimer = (self: CommitQueue): void => {
  self.timer?.interruptUnsafe()
  self.timer = undefined
}

/** Starts the timer that requests a commit after `flushInterval`. */
export const startTimer = (self: CommitQueue): void => {
  const { buffer, flushInterval } = self.options
  if (self.timer !== undefined || flushInterval === undefined || self.isClosed) return
  if (buffer.active.writes.size === 0 && self.sealed === undefined) return
  self.timer = fork(
    self,
    Effect.andThen(
      Effect.sleep(flushInterval),
      Effect.sync(() => {
        self.timer = undefined
        request(self, self.sealed?.memtable ?? buffer.active)
      })
    )
  )
}

/** Commits a request after the pending writes. Returns `false` if it was not made. */
export const submit = <E>(
  self: CommitQueue,
  request: CommitRequest,
  refusal: () => Effect.Effect<never, E> | undefined
): Effect.Effect<boolean, CommitError | E> =>
  Effect.suspend((): Effect.Effect<boolean, CommitError | E> => {
    const refused = refusal()
    if (refused !== undefined) return refused
    const submission: Submission = {
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
  self: CommitQueue,
  request: CommitRequest
): Effect.fn.Return<boolean, CommitError> {
  const { committing } = self.options
  const writes = toWriteSet(request.writes)
  const unit = yield* CommitRound.unitOf(committing, request, writes, !CommitRound.isPlain(request))
  if (unit === undefined) return false
  const { failed, made } = yield* Effect.catchTag(
    CommitRound.commit(committing, yield* CommitRound.prepare(committing, [unit])),
    "UnknownOutcome",
    ({ failure }) => Effect.fail(failure)
  )
  yield* countCommit(self, made)
  endRefuted(self, made)
  return failed.size === 0
})

/** Waits for all requests, and makes the last commit. */
export const close: (self: CommitQueue) => Effect.Effect<void, CommitError> = Effect.fnUntraced(function*(self) {
  while (self.waiting.length > 0 || self.running !== undefined) {
    const submissions = [...self.running?.submissions ?? [], ...self.waiting]
    for (const { outcome } of submissions) yield* Effect.exit(Deferred.await(outcome))
    if (self.running !== undefined) yield* Deferred.await(self.running.done)
  }
  self.isClosed = true
  stopTimer(self)
  yield* self.options.permit.withPermit(flushMemtable(self, true))
  if (self.unreported !== undefined) return yield* self.unreported
})
