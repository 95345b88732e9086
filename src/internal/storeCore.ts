/**
 * What all holders of one open store share.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Tracer from "effect/Tracer"
import { Engine, type Environment, type Reader } from "../Engine.ts"
import type { ByteString } from "../Key.ts"
import { type EngineFailure, OpenFailed } from "../StoreError.ts"
import type { Codec } from "../Value.ts"
import * as Value from "../Value.ts"
import * as Changes from "./changes.ts"
import type { CommitError } from "./committer.ts"
import * as Committer from "./committer.ts"
import * as Metrics from "./metrics.ts"
import * as OpenDefinitions from "./openDefinitions.ts"
import * as OtherCommits from "./otherCommits.ts"
import { over } from "./overlay.ts"
import * as PendingCommits from "./pendingCommits.ts"
import * as RetryTurns from "./retryTurns.ts"
import * as RwLock from "./rwLock.ts"
import type { ResolvedOptions } from "./storeOptions.ts"
import * as StructureDefinitions from "./structureDefinitions.ts"
import * as UnitCommits from "./unitCommits.ts"
import * as WriteBuffer from "./writeBuffer.ts"

/** The store as it was at one moment, pending writes included. */
export interface OpenSnapshot {
  readonly reader: Reader
  /** Whether it was given up, by its reader or because the store closed. */
  readonly isReleased: () => boolean
  /** Gives the snapshot up; only the first call does anything. */
  readonly release: () => void
}

/** An open store, below its holders. */
export interface StoreCore {
  /** The options of the holder that opened it. Where holders may differ, each goes by its own. */
  readonly options: ResolvedOptions
  readonly environment: Environment
  readonly values: Codec
  readonly beginUnit: StructureDefinitions.StructureDefinitions["beginUnit"]
  readonly buffer: WriteBuffer.WriteBuffer
  /** Reads the store as it is at present, pending writes included. */
  readonly live: Reader
  readonly pending: PendingCommits.PendingCommits
  readonly units: UnitCommits.UnitCommits
  readonly changes: Changes.Changes
  readonly otherCommits: OtherCommits.OtherCommits
  readonly metrics: Metrics.Metrics
  readonly retryTurns: RetryTurns.RetryTurns
  /** By which definition each collection was opened last. */
  readonly definitions: OpenDefinitions.OpenDefinitions
  /** How the keys of the records of a collection are shown, by its database. */
  readonly shownKeys: Map<string, (key: ByteString) => string>
  /** Whether the environment is not closed, nor about to be. */
  readonly isOpen: () => boolean
  /** Whether the environment can be read; it cannot for a moment while it is resized. */
  readonly isReadable: () => boolean
  /** Runs an effect as soon as and as long as the environment can be read. */
  readonly whileReadable: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * Opens databases, and creates those that do not exist, while no commit runs. Who waits can be interrupted; the
   * databases are then created nevertheless.
   */
  readonly createDatabases: Environment["createDatabases"]
  /** What must happen before a snapshot is opened: the first of a row lets the limit be seen again. */
  readonly beforeSnapshot: Effect.Effect<void>
  /** Opens a snapshot; it is given up when the store closes. */
  readonly openSnapshot: () => Result.Result<OpenSnapshot, EngineFailure>
  /** How many snapshots are open. */
  readonly openSnapshots: () => number
  /** Makes the last commit and waits for whoever uses the environment. */
  readonly finish: Effect.Effect<void, CommitError>
}

/** The database of the records that are put into the store itself. */
export const recordsName = "records"

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
  const { fileBytes, mapSize, pageSize } = yield* environment.createDatabases([
    StructureDefinitions.structuresName,
    recordsName
  ]).pipe(
    Effect.andThen(Effect.suspend(() => Effect.fromResult(environment.stats()))),
    Effect.mapError((cause) => new OpenFailed({ reason: "Engine", path: options.path, detail: cause.message, cause }))
  )
  const buffer = WriteBuffer.make(options)
  const metrics = Metrics.make(options.path)
  const changes = Changes.make(options.path)
  const openDefinitions = OpenDefinitions.make()
  const otherCommits = OtherCommits.make(openDefinitions)
  const committer = Committer.make({
    ...options,
    environment,
    lock,
    mapSize,
    pages: fileBytes / pageSize,
    metrics,
    otherCommits,
    onWritten: buffer.written,
    onCommitted: changes.publish
  })
  yield* Metric.update(metrics.mapSize, mapSize)
  const context: PendingCommits.CommitContext = { options, buffer, committer, metrics, otherCommits, oneCommit, fork }
  const definitions = StructureDefinitions.make({ ...context, environment, checksums: options.checksums })
  const pending = PendingCommits.make(context)
  const units = UnitCommits.make(context, pending)
  const retryTurns = RetryTurns.make(fork)
  const snapshots = new Set<OpenSnapshot>()
  let isOpen = true

  const openSnapshot = (): Result.Result<OpenSnapshot, EngineFailure> =>
    Result.map(environment.snapshot(), (stored) => {
      const snapshot: OpenSnapshot = {
        reader: over(buffer.freeze(), stored),
        isReleased: () => !snapshots.has(snapshot),
        release: () => {
          if (snapshots.delete(snapshot)) stored.release()
        }
      }
      snapshots.add(snapshot)
      return snapshot
    })

  // Behind whoever uses the environment.
  const shut = lock.withWrite(Effect.sync(() => {
    isOpen = false
    for (const snapshot of snapshots) snapshot.release()
    changes.end()
    retryTurns.end()
  }))

  const core: StoreCore = {
    options,
    environment,
    values: Value.make({ ...options, maxBytes: environment.maxValueBytes, structures: definitions.structures }),
    beginUnit: definitions.beginUnit,
    buffer,
    live: over(buffer, environment),
    pending,
    units,
    changes,
    otherCommits,
    metrics,
    retryTurns,
    definitions: openDefinitions,
    shownKeys: new Map(),
    isOpen: () => isOpen,
    isReadable: committer.isReadable,
    whileReadable: lock.withRead,
    createDatabases: (names) =>
      Effect.suspend(() => {
        const done = Deferred.makeUnsafe<void, EngineFailure>()
        fork(Effect.asVoid(Deferred.into(oneCommit.withPermit(environment.createDatabases(names)), done)))
        return Deferred.await(done)
      }),
    beforeSnapshot: Effect.suspend(() =>
      environment.mustResize() ? oneCommit.withPermit(committer.restoreLimit) : Effect.void
    ),
    openSnapshot,
    openSnapshots: () => snapshots.size,
    finish: Effect.uninterruptible(Effect.ensuring(Effect.andThen(units.finish, pending.finish), shut))
  }
  return core
})
