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
import { Engine, type Environment, type Reader } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { type CommitError, type EngineFailure, OpenFailed } from "../../StoreError.ts"
import * as WriteBuffer from "../buffer/writeBuffer.ts"
import * as ChangeFeed from "../commit/changeFeed.ts"
import * as CommitQueue from "../commit/commitQueue.ts"
import * as Committer from "../commit/committer.ts"
import * as ForeignCommits from "../commit/foreignCommits.ts"
import * as Metrics from "../commit/metrics.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { recordsDatabase, structuresDatabase } from "../databases.ts"
import * as MapGrowth from "../lmdb/mapGrowth.ts"
import * as ReadersWriterLock from "../lmdb/readersWriterLock.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import { over } from "../reader/overlay.ts"
import * as OpenDefinitions from "../transaction/openDefinitions.ts"
import * as RetryQueue from "../transaction/retryQueue.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** An open store, below its holders. */
export interface StoreCore {
  /** The options of the holder that opened it. Where holders may differ, each uses its own options. */
  readonly options: ResolvedOptions
  readonly environment: Environment
  /** Encodes and decodes values, with the record structures of the store. */
  readonly structures: StructureTable.StructureTable
  readonly buffer: WriteBuffer.WriteBuffer
  /** Reads the store as it is at present, pending writes included. */
  readonly live: Reader
  readonly queue: CommitQueue.CommitQueue
  readonly changes: ChangeFeed.Changes
  readonly foreignCommits: ForeignCommits.ForeignCommits
  readonly metrics: Metrics.Metrics
  readonly retryQueue: RetryQueue.RetryQueue
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

/** Opens the environment of a store and what works on it, until the scope closes. */
export const make = Effect.fnUntraced(function*(options: ResolvedOptions) {
  const engine = yield* Engine
  const environment = yield* engine.open(options)
  // What runs in the background is no part of the span in which the store was opened.
  const fork = yield* Effect.updateContext(
    FiberSet.makeRuntime<never, void, never>(),
    (context: Context.Context<Scope.Scope>) => Context.omit(Tracer.ParentSpan)(context)
  )
  const lock = yield* ReadersWriterLock.make
  const permit = yield* Semaphore.make(1)
  const { fileBytes, mapSize, pageSize } = yield* environment.createDatabases([
    structuresDatabase,
    recordsDatabase
  ]).pipe(
    Effect.andThen(Effect.suspend(() => Effect.fromResult(environment.stats()))),
    Effect.mapError((cause) =>
      new OpenFailed({ reason: { _tag: "Engine", detail: cause.message }, path: options.path, cause })
    )
  )
  const buffer = new WriteBuffer.WriteBuffer(options)
  const metrics = Metrics.make(options.path)
  const changes = ChangeFeed.make(options.path)
  const openDefinitions = OpenDefinitions.make()
  const foreignCommits = new ForeignCommits.ForeignCommits(openDefinitions)
  const committer = Committer.make({
    ...options,
    environment,
    lock,
    mapSize,
    pages: fileBytes / pageSize,
    metrics,
    foreignCommits,
    onApplied: (batch) => buffer.applied(batch),
    onChanged: changes.publish
  })
  yield* Metric.update(metrics.mapSize, mapSize)
  const structures = StructureTable.make({ environment, committer, checksums: options.checksums, permit, fork })
  const queue = CommitQueue.make({ ...options, buffer, committer, foreignCommits, structures, metrics, permit, fork })
  const retryQueue = RetryQueue.make(fork)
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
    RetryQueue.close(retryQueue)
  }))

  const core: StoreCore = {
    options,
    environment,
    structures,
    buffer,
    live: over(buffer, environment),
    queue,
    changes,
    foreignCommits,
    metrics,
    retryQueue,
    definitions: openDefinitions,
    shownKeys: new Map(),
    isOpen: () => isOpen,
    isReadable: () => MapGrowth.isReadable(committer.map),
    whileReadable: (effect) => MapGrowth.whileReadable(committer.map, effect),
    createDatabases: (names) =>
      Effect.suspend(() => {
        const done = Deferred.makeUnsafe<void, EngineFailure>()
        fork(Effect.asVoid(Deferred.into(permit.withPermit(environment.createDatabases(names)), done)))
        return Deferred.await(done)
      }),
    beforeSnapshot: Effect.suspend(() =>
      environment.mustResize() ? permit.withPermit(MapGrowth.restoreLimit(committer.map)) : Effect.void
    ),
    openSnapshot,
    openSnapshots: () => snapshots.size,
    finish: Effect.uninterruptible(Effect.ensuring(CommitQueue.close(queue), shut))
  }
  return core
})
