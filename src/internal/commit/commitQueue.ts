/**
 * The commit queue of a store: when a commit begins, what it takes, and how it ends.
 *
 * A store has one queue. Writes wait in the active memtable, atomic batches wait in the queue.
 * Only one commit runs at a time. It runs with a permit and in a separate fiber, so that the fibers that
 * requested it can be interrupted. It commits the waiting batches, and the pending writes before
 * them.
 *
 * ```text
 *   put ──offer──▶ active memtable ─┐  full, flushInterval has passed, flush
 *                                   ├──request──▶ schedule ──▶ runNext ──▶ GroupCommit.commit ─┐
 *   putMany, transaction ──submit───┘                            │  (batches wait)             ├──▶ end
 *                                                                └──────▶ flushMemtable ───────┘
 * ```
 *
 * `memtable.ts` draws the states of a memtable, `mapGrowth.ts` what happens if a commit does
 * not fit. `pendingWrites.ts` contains `offer` and `flush`, and the functions that wait for a commit. If a commit fails
 * and no fiber waits for it, the next write fails with its error.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Semaphore from "effect/Semaphore"
import type { Reader as EngineReader } from "../../Engine.ts"
import { type CommitError, EngineFailure } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import type { WriteBuffer } from "../buffer/writeBuffer.ts"
import { structuresDatabase } from "../databases.ts"
import type { Fork } from "../fork.ts"
import * as MapGrowth from "../lmdb/mapGrowth.ts"
import { withParentSpan } from "../privateSpan.ts"
import { count } from "../quantity.ts"
import * as Committer from "./committer.ts"
import type { ForeignCommits } from "./foreignCommits.ts"
import * as GroupCommit from "./groupCommit.ts"
import { type Metrics, updatePending } from "./metrics.ts"
import * as NextState from "./nextState.ts"

/** How long a commit waits for transactions that run again, in milliseconds. All other writers wait as long. */
const longestGatherMillis = 20

/** A commit stops waiting after this number of turns in which no batch was accepted. */
const gatherIdleTurns = 4

/** The options of a queue, and the parts of the store that it uses. */
export interface CommitQueueOptions {
  readonly path: string
  /** How long a write may stay pending before a commit starts. `undefined`: no limit. */
  readonly flushInterval: Duration.Duration | undefined
  /** How many bytes of atomic batches one commit takes at most. It takes at least one batch. */
  readonly batchBytes: number
  readonly buffer: WriteBuffer
  readonly committer: Committer.Committer
  readonly foreignCommits: ForeignCommits
  /** Reads the current state, pending writes included. */
  readonly live: EngineReader
  readonly metrics: Metrics
  /** The running commit holds the only permit. */
  readonly permit: Semaphore.Semaphore
  readonly fork: Fork
}

/** The atomic batches of the running commit. Until it ends, only `nextSnapshot` shows their expected writes. */
interface RunningCommit {
  readonly submissions: ReadonlyArray<GroupCommit.Submission>
  readonly done: Deferred.Deferred<void>
}

/** Whether the next commit is scheduled already. */
type NextCommit =
  | { readonly _tag: "Idle" }
  /** With `gathers`, the commit first waits for other fibers that can still add to it (`gather`). */
  | { readonly _tag: "Scheduled"; readonly gathers: boolean }

/** The commit queue of a store. */
export interface CommitQueue {
  readonly options: CommitQueueOptions
  nextCommit: NextCommit
  /** The batches that no commit has taken yet. */
  readonly waiting: Array<GroupCommit.Submission>
  /** The running commit, if any. */
  running: RunningCommit | undefined
  /** The state that the running commit and the one after it will leave. */
  readonly next: NextState.NextState
  /** Starts a commit after `flushInterval`. */
  timer: Fiber.Fiber<void> | undefined
  /** The error of a commit that no fiber waited for. */
  unreported: CommitError | undefined
  writesSinceYield: number
  isClosed: boolean
}

/** Makes an empty queue. */
export const make = (options: CommitQueueOptions): CommitQueue => ({
  options,
  nextCommit: { _tag: "Idle" },
  waiting: [],
  running: undefined,
  next: NextState.make(),
  timer: undefined,
  unreported: undefined,
  writesSinceYield: 0,
  isClosed: false
})

// ---------------------------------------------------------------------------
// ending a commit
// ---------------------------------------------------------------------------

/**
 * Completes a deferred after the current turn of the event loop. Completing it resumes the waiting fibers at once, and a
 * writer among them would fill the next batch before the commit of this one continues.
 */
const completeLater = <A, E>(deferred: Deferred.Deferred<A, E>, exit: Exit.Exit<A, E>): void =>
  queueMicrotask(() => Deferred.doneUnsafe(deferred, exit))

/** Logs the error of a commit that no fiber waits for, and keeps it for the next write. */
const reportLater = (self: CommitQueue, cause: Cause.Cause<CommitError>): Effect.Effect<void> =>
  Effect.suspend(() => {
    self.unreported = Option.getOrUndefined(Cause.findErrorOption(cause))
    return Effect.logWarning(`A commit of the store at ${self.options.path} failed; its writes stay pending`, cause)
  })

/** Gives the result of a commit to the fibers that wait for it. */
const notifyWaiters = (
  self: CommitQueue,
  memtable: Memtable.Memtable,
  exit: Exit.Exit<void, CommitError>
): Effect.Effect<void> =>
  Effect.andThen(
    updatePending(self.options.metrics, self.options.buffer),
    Effect.sync(() => {
      completeLater(memtable.outcome, exit)
      queueMicrotask(() => {
        for (const resume of memtable.waiters) resume(exit)
      })
    })
  )

/** Reports the writes that a commit left out: to the waiting fibers, or to the next write if none waits. Logs them too. */
const reportLeftOut = Effect.fnUntraced(function*(
  self: CommitQueue,
  memtable: Memtable.Memtable,
  leftOut: ReadonlyMap<string, number>
) {
  const lost = Array.from(
    leftOut,
    ([name, records]) => `${count(records, "pending write")} to the collection "${name}"`
  )
  const error = new EngineFailure({
    operation: "commit",
    code: 0,
    detail: `lost ${lost.join(" and ")}. Another process has begun to migrate the collection to another ` +
      "version or to other indexes; start this process again with the program that the other process runs",
    isRetryable: false
  })
  if (memtable.waiters.size === 0) self.unreported = error
  yield* Effect.logError(`A commit of the store at ${self.options.path} was not complete`, Cause.fail(error))
  yield* notifyWaiters(self, memtable, Exit.fail(error))
})

/** Ends the commit of a memtable. With `isReported`, a fiber receives its error, so it need not be kept. */
const end = (
  self: CommitQueue,
  memtable: Memtable.Memtable,
  exit: Exit.Exit<void, CommitError>,
  isReported: boolean
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { buffer, foreignCommits } = self.options
    const leftOut = foreignCommits.takeLeftOut()
    if (Exit.isSuccess(exit)) {
      buffer.discard()
      self.unreported = undefined
      return leftOut.size > 0 ? reportLeftOut(self, memtable, leftOut) : notifyWaiters(self, memtable, exit)
    }
    buffer.restore()
    startTimer(self)
    const isReceived = isReported || memtable.waiters.size > 0
    return Effect.andThen(isReceived ? Effect.void : reportLater(self, exit.cause), notifyWaiters(self, memtable, exit))
  })

// ---------------------------------------------------------------------------
// running a commit
// ---------------------------------------------------------------------------

/** Seals the active memtable if it has writes. */
const seal = (self: CommitQueue): Memtable.Memtable | undefined => {
  const memtable = self.options.buffer.seal(self.options.foreignCommits.count)
  if (memtable !== undefined) {
    stopTimer(self)
    completeLater(memtable.sealed, Exit.void)
  }
  return memtable
}

/** Commits the pending writes. The caller must have the permit. */
const flushMemtable = (self: CommitQueue, isReported: boolean): Effect.Effect<void, CommitError> =>
  Effect.uninterruptible(Effect.suspend(() => {
    const memtable = seal(self)
    return memtable === undefined ? Effect.void : Effect.onExit(
      Committer.commitMemtable(self.options.committer, memtable),
      (exit) => end(self, memtable, exit, isReported)
    )
  }))

const rankOf = ({ batch, isAccepted }: GroupCommit.Submission): number => isAccepted ? Infinity : batch.priority

const byRank = (a: GroupCommit.Submission, b: GroupCommit.Submission): number => {
  const [first, second] = [rankOf(a), rankOf(b)]
  return first === second ? 0 : second - first
}

/**
 * Takes the accepted batches and then those of the highest priority, up to the bytes of one commit, and at least one.
 * Accepted batches stay in their order: each may have read what those before it write.
 */
const takeSubmissions = ({ next, options, waiting }: CommitQueue): ReadonlyArray<GroupCommit.Submission> => {
  waiting.sort(byRank)
  let bytes = 0
  let number = 0
  for (const { batch } of waiting) {
    if (number > 0 && bytes + batch.writes.bytes > options.batchBytes) break
    bytes += batch.writes.bytes
    number++
    // A later step in the same transaction could read its records, but their structures are known only after the commit.
    if (batch.writes.entriesOf(structuresDatabase).size > 0) break
  }
  const taken = waiting.splice(0, number)
  for (const submission of taken) submission.state = { _tag: "Committing", writes: submission.batch.writes }
  NextState.begin(next, taken)
  return taken
}

/** Real time: a `TestClock` must not stop it. */
const now = (): number => Clock.Clock.defaultValue().currentTimeMillisUnsafe()

/**
 * Lets the other fibers of the current turn run, so that they share the commit. While transactions that were in
 * conflict run again in turn, and one after the other is accepted for this commit, it waits for them too.
 */
const gather = ({ next }: CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const latest = now() + longestGatherMillis
    const goOn = (accepted: number, idleTurns: number): Effect.Effect<void> =>
      Effect.flatMap(Effect.yieldNow, () => {
        const current = next.accepted.length
        if (current === 0 || now() >= latest) return Effect.void
        const idle = current === accepted ? idleTurns + 1 : 0
        return idle === gatherIdleTurns ? Effect.void : goOn(current, idle)
      })
    return goOn(next.accepted.length, 0)
  })

/** Commits the waiting batches and the pending writes before them. Without batches, commits the requested memtable. */
const runNext = (self: CommitQueue): Effect.Effect<void> =>
  Effect.suspend(() => {
    const done = Deferred.makeUnsafe<void>()
    // From now on, a write to a key of one of these batches waits for this commit and is applied after it.
    self.running = { submissions: self.waiting, done }
    const run = Effect.suspend(() => {
      self.nextCommit = { _tag: "Idle" }
      const submissions = takeSubmissions(self)
      self.running = { submissions, done }
      if (submissions.length > 0) return GroupCommit.commit(groupContextOf(self), submissions)
      return self.options.buffer.active.state._tag === "Requested"
        ? Effect.ignoreCause(flushMemtable(self, false))
        : Effect.void
    })
    const gathers = self.nextCommit._tag === "Scheduled" && self.nextCommit.gathers
    return Effect.ensuring(
      gathers ? Effect.andThen(gather(self), run) : run,
      Effect.sync(() => {
        NextState.end(self.next, self.running?.submissions ?? [])
        self.running = undefined
        Deferred.doneUnsafe(done, Exit.void)
        if (self.waiting.length > 0) schedule(self, true)
      })
    )
  })

const groupContextOf = (self: CommitQueue): GroupCommit.GroupContext => ({
  committer: self.options.committer,
  foreignCommits: self.options.foreignCommits,
  seal: () => seal(self),
  onFitted: (writes) => NextState.setActualWrites(self.next, writes),
  end: (memtable, exit, isReported) => end(self, memtable, exit, isReported)
})

// ---------------------------------------------------------------------------
// starting a commit
// ---------------------------------------------------------------------------

/** Starts a commit when no other runs. Requests that arrive before it begins share it. */
const schedule = (self: CommitQueue, gathers: boolean): void => {
  if (self.nextCommit._tag === "Scheduled") {
    if (gathers) self.nextCommit = { _tag: "Scheduled", gathers }
    return
  }
  self.nextCommit = { _tag: "Scheduled", gathers }
  const { fork, permit } = self.options
  fork(Effect.uninterruptible(permit.withPermit(runNext(self))))
}

/** Requests the commit of a memtable. Only the first request of a memtable has an effect. */
export const request = (self: CommitQueue, memtable: Memtable.Memtable, gathers = false): void => {
  if (Memtable.isRequested(memtable) || memtable.writes.size === 0) return
  memtable.state = { _tag: "Requested" }
  schedule(self, gathers)
}

const stopTimer = (self: CommitQueue): void => {
  self.timer?.interruptUnsafe()
  self.timer = undefined
}

/** Starts the timer that requests a commit after `flushInterval`. */
export const startTimer = (self: CommitQueue): void => {
  const { buffer, flushInterval, fork } = self.options
  if (self.timer !== undefined || flushInterval === undefined || buffer.active.writes.size === 0) return
  self.timer = fork(Effect.andThen(
    Effect.sleep(flushInterval),
    Effect.sync(() => {
      self.timer = undefined
      request(self, buffer.active)
    })
  ))
}

// ---------------------------------------------------------------------------
// submitting and closing
// ---------------------------------------------------------------------------

/** Accepts a batch for the coming commit if the batch allows it and the file is readable. */
const accept = ({ next, options: { committer, live } }: CommitQueue, submission: GroupCommit.Submission): void => {
  const { acceptance } = submission.batch
  if (acceptance === undefined || !MapGrowth.isReadable(committer.map)) return
  if (NextState.accept(next, submission, live)) acceptance.onAccepted()
}

/**
 * Commits an atomic batch after the pending writes. Returns `false` if the batch has decided to write nothing. Calls
 * `refusal` in the same turn in which it queues the batch. Otherwise the store could close in between, and no
 * commit would take the batch.
 */
export const submit = <E>(
  self: CommitQueue,
  batch: GroupCommit.AtomicBatch,
  refusal: () => Effect.Effect<never, E> | undefined
): Effect.Effect<boolean, CommitError | E> =>
  withParentSpan((span): Effect.Effect<boolean, CommitError | E> => {
    const refused = refusal()
    if (refused !== undefined) return refused
    const submission = GroupCommit.submissionOf(batch, span)
    self.waiting.push(submission)
    schedule(self, true)
    accept(self, submission)
    return Effect.onInterrupt(Deferred.await(submission.outcome), () => {
      submission.isAwaited = false
      if (submission.state._tag !== "Waiting") return Effect.ignore(Deferred.await(submission.outcome))
      self.waiting.splice(self.waiting.indexOf(submission), 1)
      NextState.remove(self.next, submission)
      Deferred.doneUnsafe(submission.outcome, Exit.succeed(false))
      return Effect.void
    })
  })

/** Waits for all submitted batches, and makes the last commit. */
export const close: (self: CommitQueue) => Effect.Effect<void, CommitError> = Effect.fnUntraced(
  function*(self) {
    const submissions = [...self.running?.submissions ?? [], ...self.waiting]
    for (const { outcome } of submissions) yield* Effect.exit(Deferred.await(outcome))
    self.isClosed = true
    stopTimer(self)
    yield* self.options.permit.withPermit(flushMemtable(self, true))
    // A commit may have left out writes. If no fiber has received that error, the close fails with it.
    if (self.unreported !== undefined) return yield* self.unreported
  }
)
