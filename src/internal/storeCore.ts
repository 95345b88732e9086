/**
 * What all holders of one open store share: the buffer, the committer, and when a
 * commit begins.
 *
 * A commit of pending writes runs in a fiber of its own, so that whoever asked for
 * it can be interrupted without harm. Commits follow one another under a
 * semaphore. A commit that nobody waited for and that failed leaves its error for
 * the next put.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Tracer from "effect/Tracer"
import { Engine, type Environment, type Write } from "../Engine.ts"
import type { ByteString, KeyCodec } from "../Key.ts"
import * as Key from "../Key.ts"
import { type EngineFailure, OpenFailed } from "../StoreError.ts"
import type { Codec } from "../Value.ts"
import * as Value from "../Value.ts"
import type { CommitError } from "./committer.ts"
import * as Committer from "./committer.ts"
import * as Metrics from "./metrics.ts"
import { frozenPending, type Source } from "./rangeReader.ts"
import * as RwLock from "./rwLock.ts"
import type { ResolvedOptions } from "./storeOptions.ts"
import * as WriteBuffer from "./writeBuffer.ts"

/** The store as it was at one moment, pending writes included. */
export interface OpenSnapshot extends Source {
  /** Whether it was given up, by its reader or because the store closed. */
  readonly isReleased: () => boolean
  /** Gives the snapshot up; only the first call does anything. */
  readonly release: () => void
}

/** An open store, below its holders. */
export interface StoreCore {
  readonly options: ResolvedOptions
  readonly environment: Environment
  readonly keys: KeyCodec
  readonly values: Codec
  readonly buffer: WriteBuffer.WriteBuffer
  /** Whether the environment is not closed, nor about to be. */
  readonly isOpen: () => boolean
  /** Whether the environment can be read; it cannot for a moment while it is resized. */
  readonly isReadable: () => boolean
  /** Runs an effect as soon as and as long as the environment can be read. */
  readonly whileReadable: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** What must happen before a snapshot is opened: the first of a row lets the limit be seen again. */
  readonly beforeSnapshot: Effect.Effect<void>
  /** Opens a snapshot; it is given up when the store closes. */
  readonly openSnapshot: () => Result.Result<OpenSnapshot, EngineFailure>
  /** How many snapshots are open. */
  readonly openSnapshots: () => number
  /** Takes a write into the buffer and sees to its commit. */
  readonly write: (key: ByteString, value: WriteBuffer.PendingWrite) => void
  /** Gives, once, the error of a commit that nobody waited for. */
  readonly takeUnreported: () => CommitError | undefined
  /** Waits for the commit that makes room in the buffer; fails as that one does. */
  readonly awaitRoom: Effect.Effect<void, CommitError>
  /** Commits what is pending: all of it is on disk when it returns. */
  readonly flush: Effect.Effect<void, CommitError>
  /** The same, but an error is left for the next put. */
  readonly flushQuietly: Effect.Effect<void>
  /** Waits for the commit that runs or was asked for; an error is left for the next put. */
  readonly awaitCommitting: Effect.Effect<void>
  /** Whether a unit that has this key, or a clear, is being committed: what it writes is visible to nobody yet. */
  readonly isInUnit: (key: ByteString) => boolean
  /** Waits until no unit is being committed. */
  readonly awaitUnit: Effect.Effect<void>
  /** Commits writes that belong together, after those that are pending. */
  readonly commitUnit: (writes: ReadonlyArray<Write>) => Effect.Effect<void, CommitError>
  /** Deletes everything, pending writes too. */
  readonly clear: Effect.Effect<void, CommitError>
  /** Makes the last commit and waits for whoever uses the environment. */
  readonly finish: Effect.Effect<void, CommitError>
}

const observeCommit = Effect.fnUntraced(function*(
  commit: Effect.Effect<void, CommitError>,
  writes: number,
  metrics: Metrics.Metrics
) {
  const [duration, exit] = yield* Effect.timed(Effect.exit(commit))
  if (Exit.isSuccess(exit)) {
    yield* Metric.update(metrics.commits, 1)
    yield* Metric.update(metrics.committedWrites, writes)
  }
  yield* Metric.update(metrics.commitDuration, duration)
  return yield* exit
}, (effect, _, writes) => Effect.withSpan(effect, "Store.commit", { attributes: { writes } }))

/** Writes that belong together, while they are being committed. */
interface Unit {
  readonly has: (key: ByteString) => boolean
  readonly settled: Deferred.Deferred<void>
}

/** Opens the environment of a store and what works on it, until the scope closes. */
export const make = Effect.fnUntraced(function*(options: ResolvedOptions) {
  const engine = yield* Engine
  const environment = yield* engine.open(options)
  // What runs in the background is no part of the span in which the store was opened.
  const fork = yield* Effect.updateContext(
    FiberSet.makeRuntime<never, void, never>(),
    (context: Context.Context<Scope.Scope>) => Context.omit(Tracer.ParentSpan)(context)
  )
  const lock = yield* RwLock.make
  const oneCommit = yield* Semaphore.make(1)
  const buffer = WriteBuffer.make(options)
  const { mapSize } = yield* Effect.mapError(
    Effect.fromResult(environment.stats()),
    (cause) => new OpenFailed({ reason: "Engine", path: options.path, detail: cause.message, cause })
  )
  const metrics = Metrics.make(options.path)
  const committer = Committer.make({ ...options, environment, lock, mapSize, metrics })
  yield* Metric.update(metrics.mapSize, mapSize)
  let unreported: CommitError | undefined
  let timer: Fiber.Fiber<void> | undefined
  let isOpen = true
  let hasNoRoom = false
  /** Why the pending writes that went with the present unit are pending again. */
  let failedWithUnit: Cause.Cause<CommitError> | undefined
  let unit: Unit | undefined
  const snapshots = new Set<OpenSnapshot>()

  // ---------------------------------------------------------------------------
  // one commit after the other
  // ---------------------------------------------------------------------------

  /** Logs an error that nobody waits for and keeps it for the next put. */
  const leave = (cause: Cause.Cause<CommitError>): Effect.Effect<void> =>
    Effect.suspend(() => {
      unreported = Option.getOrUndefined(Cause.findErrorOption(cause))
      return Effect.logWarning(`A commit of the store at ${options.path} failed; its writes stay pending`, cause)
    })

  /** Ends the commit of a generation. */
  const settle = (
    generation: WriteBuffer.Generation,
    exit: Exit.Exit<void, CommitError>,
    isReported: boolean
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const isHeard = isReported || generation.waiting > 0
      if (Exit.isSuccess(exit)) {
        buffer.forget()
        unreported = undefined
      } else {
        buffer.giveBack()
        startTimer()
        if (isReported) failedWithUnit = exit.cause
      }
      return Exit.isFailure(exit) && !isHeard ? leave(exit.cause) : Effect.void
    }).pipe(
      Effect.andThen(Effect.suspend(() => Metric.update(metrics.pendingWrites, buffer.size()))),
      Effect.andThen(Effect.suspend(() => Metric.update(metrics.pendingBytes, buffer.bytes()))),
      // Whoever waits for the generation runs on at once when it is done: that comes last.
      Effect.andThen(Effect.sync(() => Deferred.doneUnsafe(generation.settled, exit)))
    )

  /** Watches a commit; deletions that follow one that did not fit are there to make room. */
  const observe = (commit: Effect.Effect<void, CommitError>, writes: number): Effect.Effect<void, CommitError> =>
    Effect.onExit(observeCommit(commit, writes, metrics), (exit) =>
      Effect.sync(() => {
        hasNoRoom = isMapFull(exit)
      }))

  const commitBatch = (writes: ReadonlyArray<Write>, clear: boolean): Effect.Effect<void, CommitError> =>
    observe(committer.commit({ clear, writes }), writes.length)

  /** Takes the pending writes out of the buffer for a commit that cannot be interrupted. */
  const withGeneration = (
    use: (generation: WriteBuffer.Generation | undefined) => Effect.Effect<void, CommitError>
  ): Effect.Effect<void, CommitError> =>
    Effect.uninterruptible(Effect.suspend(() => {
      const generation = buffer.rotate()
      if (generation !== undefined) stopTimer()
      return use(generation)
    }))

  const commitWrites = ({ freeing, writes }: WriteBuffer.Generation): Effect.Effect<void, CommitError> =>
    observe(committer.commitPending({ writes, freeing, onCommitted: buffer.remove }), writes.size)

  const commitGeneration = (
    generation: WriteBuffer.Generation,
    isReported: boolean
  ): Effect.Effect<void, CommitError> =>
    Effect.onExit(commitWrites(generation), (exit) => settle(generation, exit, isReported))

  const commitPending = (isReported: boolean): Effect.Effect<void, CommitError> =>
    withGeneration((generation) => generation === undefined ? Effect.void : commitGeneration(generation, isReported))

  /** Commits a unit whose writes come after those of a generation. */
  const commitUnitAfter = Effect.fnUntraced(function*(
    generation: WriteBuffer.Generation,
    writes: ReadonlyArray<Write>
  ): Effect.fn.Return<void, CommitError> {
    // The engine shows a transaction some time before its writes are gone from the buffer. Who read then would see one
    // half of a unit that writes over pending writes, so these are committed and forgotten first.
    const isOverPending = writes.some(([key]) => generation.writes.has(key))
    const first = yield* Effect.exit(
      isOverPending ? commitWrites(generation) : commitBatch([...generation.writes, ...writes], false)
    )
    if (!isMapFull(first)) {
      yield* settle(generation, first, true)
      yield* first
      return yield* isOverPending ? commitBatch(writes, false) : Effect.void
    }
    // The pending writes do not fit. Who reads in this moment may see the unit beside them, which the way out is worth.
    const alone = yield* Effect.exit(commitBatch(writes, false))
    if (Exit.isSuccess(alone)) {
      for (const [key] of writes) buffer.remove(key)
      if (generation.writes.size === 0) return yield* settle(generation, alone, true)
      // The unit is committed: what becomes of the older writes is not its caller's concern.
      return yield* Effect.ignore(commitGeneration(generation, false))
    }
    yield* commitGeneration(generation, true)
    yield* commitBatch(writes, false)
  })

  /** Tells of a unit while it is being committed. */
  const asUnit = <A, E>(has: Unit["has"], commit: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      const settled = Deferred.makeUnsafe<void>()
      unit = { has, settled }
      return Effect.onExit(commit, () =>
        Effect.sync(() => {
          unit = undefined
          Deferred.doneUnsafe(settled, Exit.void)
        }))
    })

  /** Runs a unit in its turn. The error of pending writes that went with it is left when its caller is interrupted. */
  const inTurn = (
    unitAfter: (generation: WriteBuffer.Generation | undefined) => Effect.Effect<void, CommitError>
  ): Effect.Effect<void, CommitError> =>
    Effect.suspend(() => {
      let failed: Cause.Cause<CommitError> | undefined
      const commit = withGeneration((generation) => {
        failedWithUnit = undefined
        return Effect.ensuring(
          unitAfter(generation),
          Effect.sync(() => {
            failed = failedWithUnit
          })
        )
      })
      return Effect.onInterrupt(
        oneCommit.withPermit(commit),
        () => failed === undefined ? Effect.void : leave(failed)
      )
    })

  const commitUnit = (writes: ReadonlyArray<Write>): Effect.Effect<void, CommitError> =>
    inTurn((generation) => {
      const keys = new Set(writes.map(([key]) => key))
      return asUnit(
        (key) => keys.has(key),
        generation === undefined ? commitBatch(writes, false) : commitUnitAfter(generation, writes)
      )
    })

  const commitClear = commitBatch([], true)

  /** Clears a store with pending writes, which are committed first for the reason that units have, if they can be. */
  const clearAfter = Effect.fnUntraced(function*(
    generation: WriteBuffer.Generation
  ): Effect.fn.Return<void, CommitError> {
    const first = yield* Effect.exit(commitWrites(generation))
    if (Exit.isSuccess(first)) {
      yield* settle(generation, first, true)
      return yield* commitClear
    }
    yield* Effect.onExit(commitClear, (exit) => settle(generation, exit, true))
  })

  const clear = inTurn((generation) =>
    asUnit(() => true, generation === undefined ? commitClear : clearAfter(generation))
  )

  // ---------------------------------------------------------------------------
  // when a commit begins
  // ---------------------------------------------------------------------------

  const requestCommit = (generation: WriteBuffer.Generation): void => {
    if (generation.isRequested || generation.writes.size === 0) return
    generation.isRequested = true
    fork(Effect.ignoreCause(
      oneCommit.withPermit(Effect.suspend(() => generation === buffer.filling() ? commitPending(false) : Effect.void))
    ))
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
  const awaitCommit = (generation: WriteBuffer.Generation): Effect.Effect<void, CommitError> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        // Counted before the commit begins: it may fail at once, and then somebody knows.
        generation.waiting++
        requestCommit(generation)
      }),
      () => Deferred.await(generation.settled),
      () =>
        Effect.sync(() => {
          generation.waiting--
        })
    )

  /** The same for those who do not hand its error on: it stays for the next put. */
  const awaitCommitQuietly = (generation: WriteBuffer.Generation): Effect.Effect<void> =>
    Effect.suspend(() => {
      requestCommit(generation)
      return Effect.ignore(Deferred.await(generation.settled))
    })

  const pendingGeneration = (): WriteBuffer.Generation | undefined => {
    const filling = buffer.filling()
    return filling.writes.size > 0 ? filling : buffer.committing()
  }

  const openSnapshot = (): Result.Result<OpenSnapshot, EngineFailure> =>
    Result.map(environment.snapshot(), (stored) => {
      const snapshot: OpenSnapshot = {
        read: stored.read,
        pending: frozenPending(buffer.entries()),
        isReleased: () => !snapshots.has(snapshot),
        release: () => {
          if (snapshots.delete(snapshot)) stored.release()
        }
      }
      snapshots.add(snapshot)
      return snapshot
    })

  const core: StoreCore = {
    options,
    environment,
    keys: Key.make({ ...options.key, maxBytes: environment.maxKeyBytes }),
    values: Value.make(),
    buffer,
    isOpen: () => isOpen,
    isReadable: committer.isReadable,
    beforeSnapshot: Effect.suspend(() =>
      environment.mustResize() ? oneCommit.withPermit(committer.restoreLimit) : Effect.void
    ),
    openSnapshot,
    openSnapshots: () => snapshots.size,
    whileReadable: lock.withRead,
    write: (key, value) => {
      buffer.write(key, value, hasNoRoom)
      startTimer()
      if (buffer.isFull()) requestCommit(buffer.filling())
    },
    takeUnreported: () => {
      const error = unreported
      unreported = undefined
      return error
    },
    awaitRoom: Effect.suspend(() => awaitCommit(buffer.committing() ?? buffer.filling())),
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
    isInUnit: (key) => unit !== undefined && unit.has(key),
    awaitUnit: Effect.suspend(() => unit === undefined ? Effect.void : Deferred.await(unit.settled)),
    commitUnit,
    clear,
    finish: Effect.uninterruptible(Effect.andThen(
      Effect.sync(stopTimer),
      Effect.ensuring(
        oneCommit.withPermit(commitPending(true)),
        // Behind whoever uses the environment.
        lock.withWrite(Effect.sync(() => {
          isOpen = false
          for (const snapshot of snapshots) snapshot.release()
        }))
      )
    ))
  }
  return core
})

const isMapFull = (exit: Exit.Exit<void, CommitError>): boolean =>
  Exit.isFailure(exit) && Option.exists(Cause.findErrorOption(exit.cause), (error) => error._tag === "MapFull")
