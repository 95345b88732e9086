/**
 * Waits for the locks of other processes.
 *
 * The kernel does not tell a process when a lock becomes free without blocking its thread, so
 * a fiber that waits tries again every few milliseconds.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { EngineFailure, OpenFailed } from "../../StoreError.ts"
import { failure } from "./lmdbErrors.ts"
import * as StoreHolders from "./storeHolders.ts"
import { commits, gate, type LockHandle, type LockRange, openings, tryLock, unlock } from "./storeLockFile.ts"

/** Other processes run in real time, so a `TestClock` must not stop the waiting. */
export const clock = Clock.Clock.defaultValue()

const millisNow = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** How long a process that waits for the gate, or to enter the store, sleeps before it tries again. */
const longPoll = Duration.millis(25)

/** How long a commit or an opening sleeps before it tries again: both take only some milliseconds. */
const shortPoll = Duration.millis(1)

/** The time, in milliseconds, after which a process logs what it waits for. */
const quietMillis = 500

/** The time, in milliseconds, for which a process waits for the gate in any case: others keep it only for some milliseconds. */
export const gateMillis = 1000

/** Tries to enter the store until there is no conflict. Returns whether it waited; fails after the timeout. */
export const untilEntered = Effect.fnUntraced(function*(
  enter: Effect.Effect<StoreHolders.Conflict | undefined, OpenFailed>,
  opener: StoreHolders.Opener,
  lockTimeout: Duration.Duration
) {
  const start = millisNow()
  let hasLogged = false
  for (let attempts = 1;; attempts++) {
    const conflict = yield* enter
    if (conflict === undefined) return attempts > 1
    const elapsed = millisNow() - start
    const timeout = Math.max(Duration.toMillis(lockTimeout), conflict.kind === "opening" ? gateMillis : 0)
    if (elapsed >= timeout) return yield* StoreHolders.refusal(conflict, opener)
    if (!hasLogged && elapsed >= quietMillis) {
      hasLogged = true
      yield* Effect.logInfo(`Waiting to open the store at ${opener.path}: ${StoreHolders.explain(conflict, opener)}`)
    }
    yield* clock.sleep(longPoll)
  }
})

/** When waiting for a lock ends with an error. */
export interface Deadline<E> {
  /** The most milliseconds to wait for one lock. */
  readonly millis: number
  readonly error: () => E
}

/** Which lock is taken, and how. */
interface LockAttempt<E> {
  readonly range: LockRange
  readonly shared: boolean
  readonly poll: Duration.Duration
  /** `undefined` waits without a limit. */
  readonly deadline: Deadline<E> | undefined
}

/** Tries to take a lock until it succeeds, or the deadline has passed. */
const untilLocked = <E = never>(
  handle: LockHandle,
  { deadline, poll, range, shared }: LockAttempt<E>
): Effect.Effect<void, E | EngineFailure> =>
  Effect.suspend(() => {
    const start = millisNow()
    const attempt = Effect.try({
      try: () => {
        if (handle.isClosed) throw new Error("the store is closed")
        return tryLock(handle, range, shared)
      },
      catch: failure("lock")
    })
    const wait: Effect.Effect<void, E | EngineFailure> = Effect.flatMap(attempt, (isLocked) => {
      if (isLocked) return Effect.void
      return deadline !== undefined && millisNow() - start >= deadline.millis
        ? Effect.fail(deadline.error())
        : Effect.andThen(clock.sleep(poll), wait)
    })
    return wait
  })

/** Runs `locking`, which takes a lock, and then `use`. Releases the lock at the end if it was taken. */
const withLock = <A, E, R, E2>(
  handle: LockHandle,
  range: LockRange,
  locking: Effect.Effect<void, E2>,
  use: Effect.Effect<A, E, R>
): Effect.Effect<A, E | E2, R> =>
  Effect.suspend(() => {
    let isLocked = false
    const locked = Effect.map(locking, () => {
      isLocked = true
    })
    return Effect.ensuring(
      Effect.andThen(locked, use),
      Effect.sync(() => {
        if (isLocked && !handle.isClosed) unlock(handle, range)
      })
    )
  })

/** The locks that the openings and commits of one store take. */
export interface SharedLocks {
  readonly handle: LockHandle
  /** Lets one fiber of this process run alone at a time: the kernel grants a process its own locks twice. */
  readonly aloneInProcess: Semaphore.Semaphore
}

export const make = (handle: LockHandle): SharedLocks => ({ handle, aloneInProcess: Semaphore.makeUnsafe(1) })

/** Runs an effect while this process has the gate and no process commits. */
export const alone = <A, E, R, E2 = never>(
  { aloneInProcess, handle }: SharedLocks,
  use: Effect.Effect<A, E, R>,
  deadline?: Deadline<E2>
): Effect.Effect<A, E | E2 | EngineFailure, R> => {
  const lockAlone = (range: LockRange, poll: Duration.Duration) =>
    untilLocked(handle, { range, shared: false, poll, deadline })
  const withoutCommits = withLock(handle, commits, lockAlone(commits, shortPoll), use)
  const withoutOpenings = withLock(handle, openings, lockAlone(openings, shortPoll), withoutCommits)
  return aloneInProcess.withPermit(withLock(handle, gate, lockAlone(gate, longPoll), withoutOpenings))
}

/** Runs a commit while no process opens the files of LMDB. */
export const committing = <A, E, R>(
  { handle }: SharedLocks,
  commit: Effect.Effect<A, E, R>
): Effect.Effect<A, E | EngineFailure, R> => {
  const lockShared = (range: LockRange) =>
    untilLocked(handle, { range, shared: true, poll: shortPoll, deadline: undefined })
  // A commit keeps `openings` only until it has `commits`. An opening that waits for running commits keeps `openings`,
  // and so stops further commits from beginning.
  const locking = withLock(handle, openings, lockShared(openings), lockShared(commits))
  return withLock(handle, commits, locking, commit)
}
