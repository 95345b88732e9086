/**
 * The state of the commit queue of a store on a database server, and what all of its parts do with it.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Semaphore from "effect/Semaphore"
import type { CommitRequest } from "../../Backend.ts"
import type { CommitError } from "../../StoreError.ts"
import type * as Memtable from "../buffer/memtable.ts"
import type { WriteBuffer } from "../buffer/writeBuffer.ts"
import type { WriteSet } from "../buffer/writeSet.ts"
import type { Metrics } from "../commit/metrics.ts"
import type * as CommitRound from "./commitRound.ts"
import type * as PendingLayers from "./pendingLayers.ts"

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
export interface RunningCommit {
  submissions: ReadonlyArray<Submission>
  readonly done: Deferred.Deferred<void>
}

/** Pending writes in a call whose outcome is not known. */
export interface Sealed {
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
export const completeLater = <A, E>(deferred: Deferred.Deferred<A, E>, exit: Exit.Exit<A, E>): void =>
  queueMicrotask(() => Deferred.doneUnsafe(deferred, exit))

export const fork = ({ options: { committing: { server } } }: CommitQueue, effect: Effect.Effect<void>) =>
  server.fork(effect)

/** Counts a commit in the metrics. */
export const countCommit = ({ options: { metrics } }: CommitQueue, made: WriteSet): Effect.Effect<void> =>
  made.isEmpty
    ? Effect.void
    : Effect.andThen(Metric.update(metrics.commits, 1), Metric.update(metrics.committedWrites, made.size))

/** Runs a commit in a span, and measures its duration. */
export const traced = <A, E>(self: CommitQueue, writes: number, commit: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.useSpan("Store.commit", { attributes: { path: self.options.path, writes } }, (span) =>
    Effect.flatMap(
      Effect.timed(Effect.exit(Effect.withParentSpan(commit, span, { captureStackTrace: false }))),
      ([duration, exit]) => Effect.andThen(Metric.update(self.options.metrics.commitDuration, duration), exit)
    ))

/** Stops the timer that requests a commit. */
export const stopTimer = (self: CommitQueue): void => {
  self.timer?.interruptUnsafe()
  self.timer = undefined
}
