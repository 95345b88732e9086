/**
 * Commits of pending writes: when they begin, and who hears of their errors.
 *
 * A commit of pending writes runs in a fiber of its own, so that whoever asked for
 * it can be interrupted without harm. Commits follow one another under a
 * semaphore. A commit that nobody waited for and that failed leaves its error for
 * the next put.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Semaphore from "effect/Semaphore"
import type { Write } from "../../Engine.ts"
import { Closed, type CommitError, EngineFailure } from "../../StoreError.ts"
import type { Generation } from "../buffer/memtable.ts"
import type { WriteBuffer } from "../buffer/writeBuffer.ts"
import type { Fork } from "../fork.ts"
import { count } from "../quantity.ts"
import type { ResolvedOptions } from "../store/storeOptions.ts"
import type { Committer } from "./committer.ts"
import type { OtherCommits } from "./foreignCommits.ts"
import type { Metrics } from "./metrics.ts"

/** What commits work with. */
export interface CommitContext {
  readonly options: ResolvedOptions
  readonly buffer: WriteBuffer
  readonly committer: Committer
  readonly metrics: Metrics
  readonly otherCommits: OtherCommits
  /** Its permit is held by the commit that runs. */
  readonly oneCommit: Semaphore.Semaphore
  readonly fork: Fork
}

/** Commits of pending writes. */
export interface PendingCommits {
  /** Takes writes that belong together into the buffer and sees to their commit. */
  readonly write: (group: ReadonlyArray<Write>) => void
  /**
   * What a writer does behind some writes while a commit waits for the main thread to write
   * its batch: else a loop of puts would fill the next batch first, and wait for the disk then.
   */
  readonly giveWay: () => Effect.Effect<void> | undefined
  /** Gives, once, the error of a commit that nobody waited for. */
  readonly takeUnreported: () => CommitError | undefined
  /** Waits for the commit that makes room in the buffer, or for one to begin; fails as the former does. */
  readonly awaitRoom: Effect.Effect<void, CommitError | Closed>
  /** Commits what is pending: all of it is on disk when it returns. */
  readonly flush: Effect.Effect<void, CommitError | Closed>
  /** The same, but an error is left for the next put. */
  readonly flushQuietly: Effect.Effect<void>
  /** Waits for the commit that runs or was asked for; an error is left for the next put. */
  readonly awaitCommitting: Effect.Effect<void>
  /** Makes the last commit. */
  readonly finish: Effect.Effect<void, CommitError>

  /** Watches a commit of some writes. */
  readonly observe: (commit: Effect.Effect<void, CommitError>, writes: number) => Effect.Effect<void, CommitError>
  /** Takes the pending writes out of the buffer for a commit that cannot be interrupted; `oneCommit` is held. */
  readonly withGeneration: <A, E>(
    use: (generation: Generation | undefined) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E>
  /** Commits the writes of a generation that was taken out. */
  readonly commitWrites: (generation: Generation) => Effect.Effect<void, CommitError>
  /** Ends the commit of a generation; `isReported` says whether somebody gets its error. */
  readonly settle: (
    generation: Generation,
    exit: Exit.Exit<void, CommitError>,
    isReported: boolean
  ) => Effect.Effect<void>
}

/** Whether a commit did not fit. */
export const isMapFull = (exit: Exit.Exit<unknown, CommitError>): boolean =>
  Exit.isFailure(exit) && Option.exists(Cause.findErrorOption(exit.cause), (error) => error._tag === "MapFull")

/**
 * Ends a wait when the present step is done. Whoever waits runs on at once then: a writer
 * would fill the next batch before the commit of this one goes on.
 */
const endLater = <A, E>(wait: Deferred.Deferred<A, E>, exit: Exit.Exit<A, E>): void =>
  queueMicrotask(() => Deferred.doneUnsafe(wait, exit))

/** So often a writer gives way: each time costs as much as some writes. */
const writesBetweenTurns = 8

/** Makes what commits the pending writes of a store. */
export const make = (
  { buffer, committer, fork, metrics, oneCommit, options, otherCommits }: CommitContext
): PendingCommits => {
  let unreported: CommitError | undefined
  let timer: Fiber.Fiber<void> | undefined
  let hasNoRoom = false
  let writesSinceTurn = 0
  let isEnded = false

  // ---------------------------------------------------------------------------
  // a commit
  // ---------------------------------------------------------------------------

  /** Logs an error that nobody waits for and keeps it for the next put. */
  const leave = (cause: Cause.Cause<CommitError>): Effect.Effect<void> =>
    Effect.suspend(() => {
      unreported = Option.getOrUndefined(Cause.findErrorOption(cause))
      return Effect.logWarning(`A commit of the store at ${options.path} failed; its writes stay pending`, cause)
    })

  const updateGauges = Effect.suspend(() =>
    Effect.andThen(
      Metric.update(metrics.pendingWrites, buffer.size()),
      Metric.update(metrics.pendingBytes, buffer.bytes())
    )
  )

  /** Tells those who wait what became of a commit. */
  const tellWaiting = (generation: Generation, exit: Exit.Exit<void, CommitError>) =>
    Effect.andThen(
      updateGauges,
      Effect.sync(() => {
        endLater(generation.settled, exit)
        queueMicrotask(() => {
          for (const resume of generation.waiting) resume(exit)
        })
      })
    )

  const settle: PendingCommits["settle"] = (generation, exit, isReported) =>
    Effect.suspend(() => {
      const leftOut = otherCommits.takeLeftOut()
      const isHeard = isReported || generation.waiting.size > 0
      if (Exit.isSuccess(exit)) {
        buffer.forget()
        unreported = undefined
        return leftOut.size > 0 ? reportLeftOut(generation, leftOut) : tellWaiting(generation, exit)
      }
      buffer.giveBack()
      startTimer()
      return Effect.andThen(isHeard ? Effect.void : leave(exit.cause), tellWaiting(generation, exit))
    })

  /** Tells what a commit had to leave out: those who wait, or else the next put, and the log. */
  const reportLeftOut = Effect.fnUntraced(function*(generation: Generation, leftOut: ReadonlyMap<string, number>) {
    const lost = Array.from(
      leftOut,
      ([name, records]) => `${count(records, "pending write")} to the collection "${name}"`
    )
    const error = new EngineFailure({
      operation: "commit",
      code: 0,
      detail:
        `not made, and lost: ${lost.join(" and ")}. Another process has begun to bring the collection to another ` +
        "version or to other indexes; start this process again with the program that the other one runs",
      isRetryable: false
    })
    if (generation.waiting.size === 0) unreported = error
    yield* Effect.logError(`A commit of the store at ${options.path} was not complete`, Cause.fail(error))
    yield* tellWaiting(generation, Exit.fail(error))
  })

  const observe: PendingCommits["observe"] = (commit, writes) =>
    Effect.gen(function*() {
      const [duration, exit] = yield* Effect.timed(Effect.exit(commit))
      yield* Metric.update(metrics.commitDuration, duration)
      // Deletions that follow a commit that did not fit are there to make room.
      hasNoRoom = isMapFull(exit)
      yield* exit
    }).pipe(Effect.withSpan("Store.commit", { attributes: { writes } }, { captureStackTrace: false }))

  const withGeneration: PendingCommits["withGeneration"] = (use) =>
    Effect.uninterruptible(Effect.suspend(() => {
      const generation = buffer.rotate()
      // Nothing was written to it yet.
      buffer.filling().since = otherCommits.count()
      if (generation !== undefined) {
        stopTimer()
        endLater(generation.begun, Exit.void)
      }
      return use(generation)
    }))

  const commitWrites = (generation: Generation): Effect.Effect<void, CommitError> =>
    Effect.suspend(() =>
      observe(
        committer.commitPending(generation),
        generation.writes.size
      )
    )

  const commitPending = (isReported: boolean): Effect.Effect<void, CommitError> =>
    withGeneration((generation) =>
      generation === undefined
        ? Effect.void
        : Effect.onExit(commitWrites(generation), (exit) => settle(generation, exit, isReported))
    )

  // ---------------------------------------------------------------------------
  // when it begins
  // ---------------------------------------------------------------------------

  /** Has a generation committed, unless that was asked for: as soon as no other commit runs, and then behind a delay. */
  const requestCommit = (generation: Generation, delay: Effect.Effect<void> = Effect.void): void => {
    if (generation.isRequested || generation.writes.size === 0) return
    generation.isRequested = true
    const commit = Effect.suspend(() => generation === buffer.filling() ? commitPending(false) : Effect.void)
    fork(Effect.ignoreCause(oneCommit.withPermit(Effect.andThen(delay, commit))))
  }

  const stopTimer = (): void => {
    timer?.interruptUnsafe()
    timer = undefined
  }

  const startTimer = (): void => {
    if (timer !== undefined || options.flushInterval === undefined || buffer.filling().writes.size === 0) return
    timer = fork(Effect.andThen(
      Effect.sleep(options.flushInterval),
      Effect.sync(() => {
        timer = undefined
        requestCommit(buffer.filling())
      })
    ))
  }

  /** Sees to it that a generation is committed, and waits for it. */
  const awaitCommit = (generation: Generation): Effect.Effect<void, CommitError | Closed> =>
    Effect.callback((resume) => {
      // Between two steps of a caller the store may close: nobody commits then what its last commit gave back.
      if (isEnded) return resume(Effect.fail(new Closed({ path: options.path, what: "Store" })))
      // The fiber may have yielded since it was told to wait.
      if (Deferred.isDoneUnsafe(generation.settled)) return resume(Deferred.await(generation.settled))
      // Known before the commit begins: it may fail at once, and then somebody hears of it.
      generation.waiting.add(resume)
      // Whoever writes and waits in the same turn shares the commit.
      requestCommit(generation, Effect.yieldNow)
      return Effect.sync(() => {
        generation.waiting.delete(resume)
      })
    })

  /** The same for those who do not hand its error on: it stays for the next put. */
  const awaitCommitQuietly = (generation: Generation): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (isEnded) return Effect.void
      requestCommit(generation)
      return Effect.ignore(Deferred.await(generation.settled))
    })

  const pendingGeneration = (): Generation | undefined => {
    const filling = buffer.filling()
    return filling.writes.size > 0 ? filling : buffer.committing()
  }

  return {
    write: (group) => {
      buffer.write(group, hasNoRoom)
      startTimer()
      if (buffer.isFull()) requestCommit(buffer.filling())
    },
    giveWay: () => {
      const committing = buffer.committing()
      if (committing === undefined || committing.isInTransaction) return undefined
      writesSinceTurn = (writesSinceTurn + 1) % writesBetweenTurns
      return writesSinceTurn === 0 ? Effect.yieldNow : undefined
    },
    takeUnreported: () => {
      const error = unreported
      unreported = undefined
      return error
    },
    awaitRoom: Effect.suspend((): Effect.Effect<void, CommitError | Closed> => {
      const committing = buffer.committing()
      const filling = buffer.filling()
      if (committing !== undefined) return awaitCommit(committing)
      // The fiber may have yielded since it was told that there is no room.
      if (!buffer.isFull()) return Effect.void
      return filling.isRequested ? Deferred.await(filling.begun) : awaitCommit(filling)
    }),
    flush: Effect.suspend(() => {
      const generation = pendingGeneration()
      return generation === undefined ? Effect.void : awaitCommit(generation)
    }),
    flushQuietly: Effect.suspend(() => {
      const generation = pendingGeneration()
      return generation === undefined ? Effect.void : awaitCommitQuietly(generation)
    }),
    awaitCommitting: Effect.suspend(() => {
      const generation = buffer.committing() ?? buffer.filling()
      return generation.isRequested ? awaitCommitQuietly(generation) : Effect.void
    }),
    finish: Effect.andThen(
      Effect.sync(() => {
        isEnded = true
        stopTimer()
      }),
      // What a commit had to leave out is not pending any more: if no caller has heard of that, the close is the last to tell.
      Effect.andThen(
        oneCommit.withPermit(commitPending(true)),
        Effect.suspend(() => unreported === undefined ? Effect.void : Effect.fail(unreported))
      )
    ),
    observe,
    withGeneration,
    commitWrites,
    settle
  }
}
