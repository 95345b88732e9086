/**
 * An open store, which all of its handles share: a backend, the codec of its values, and the state of its transactions.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import { constFalse } from "effect/Function"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Backend, Snapshot } from "../../Backend.ts"
import { Engine, type Environment } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { type CommitError, type EngineFailure, OpenFailed } from "../../StoreError.ts"
import type { StoreOpening } from "../../StoreOpening.ts"
import * as ChangeLog from "../commit/changeLog.ts"
import * as LocalBackend from "../commit/localBackend.ts"
import * as Metrics from "../commit/metrics.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { changeLogDatabase, recordsDatabase, structuresDatabase } from "../databases.ts"
import type { Fork } from "../fork.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import * as Settled from "../settled.ts"
import * as OpenDefinitions from "../transaction/openDefinitions.ts"
import * as RetryQueue from "../transaction/retryQueue.ts"
import * as Expiry from "./expiry.ts"
import type { ResolvedOptions } from "./storeOptions.ts"
import * as Sweeper from "./sweeper.ts"

/** A snapshot of the committed records, without pending writes. */
export interface OpenCommittedSnapshot extends OpenSnapshot {
  /** The last transaction that it includes. */
  readonly transactionId: number
}

/** Which attempt of a transaction reads. */
interface Attempt {
  readonly isFirst: boolean
  /** Whether an attempt before it could not read to its end, because its snapshot was outdated. */
  readonly isHeld: boolean
}

/** An open store. */
export interface OpenStore {
  /** The options of the handle that opened the store. Other handles may have other values for some of them. */
  readonly options: ResolvedOptions
  readonly backend: Backend
  readonly opening: StoreOpening
  /** Encodes and decodes values by the record structures of the store. */
  readonly structures: StructureTable.StructureTable
  readonly metrics: Metrics.Metrics
  /** The counters that are plain numbers, for fast reads. */
  readonly counts: Metrics.Counts
  readonly retryQueue: RetryQueue.RetryQueue
  /** What is known about expiring records. */
  readonly expiry: Expiry.Expiry
  /** Deletes expired records; `undefined` in a read-only store. */
  readonly sweeper: Sweeper.Sweeper | undefined
  /** The definition with which each collection was last opened. */
  readonly definitions: OpenDefinitions.OpenDefinitions
  /** By the database of a collection: formats the keys of its records for messages. */
  readonly shownKeys: Map<string, (key: ByteString) => string>
  /** Whether the backend is open. A close makes this `false` after the last read has ended. */
  readonly isOpen: () => boolean
  /** Opens a snapshot. The close of the store releases it. */
  readonly openSnapshot: () => Effect.Effect<OpenSnapshot, EngineFailure>
  /** Opens a snapshot of the committed records. The close of the store releases it. */
  readonly openCommittedSnapshot: () => Effect.Effect<OpenCommittedSnapshot, EngineFailure>
  /** Opens the snapshot of an attempt of a transaction. The close of the store releases it. */
  readonly openTransactionSnapshot: (attempt: Attempt) => Effect.Effect<OpenSnapshot, EngineFailure>
  /** Counts the open snapshots. */
  readonly openSnapshots: () => number
  /** Makes the last commit, waits for the fibers that read, and closes the backend. */
  readonly finish: Effect.Effect<void, CommitError>
}

/** Makes functions that open snapshots, and keeps a list of the open ones. */
const trackSnapshots = (backend: Backend, now: () => number) => {
  /** The time at which each was opened, oldest first. */
  const open = new Map<OpenSnapshot, number>()
  const track = (reader: Snapshot, isTentative: boolean, isOutdated: () => boolean = constFalse): OpenSnapshot => {
    const snapshot: OpenSnapshot = {
      reader,
      isTentative,
      isOutdated,
      isReleased: () => !open.has(snapshot),
      release: () => {
        if (open.delete(snapshot)) reader.release()
      }
    }
    open.set(snapshot, now())
    return snapshot
  }
  return {
    count: () => open.size,
    oldestAge: () => {
      for (const openedAt of open.values()) return now() - openedAt
      return 0
    },
    open: () => Settled.map(backend.snapshot(), (reader) => track(reader, false)),
    openTransaction: ({ isFirst, isHeld }: Attempt) => {
      if (backend.transactionSnapshot !== undefined) {
        return Effect.map(
          backend.transactionSnapshot({ isHeld }),
          (reader) => track(reader, reader.isTentative, reader.isOutdated)
        )
      }
      return isFirst
        ? Settled.map(backend.snapshot(), (reader) => track(reader, false))
        : Settled.map(backend.nextSnapshot(), (reader) => track(reader, reader.isTentative))
    },
    openCommitted: () =>
      Effect.andThen(
        backend.beforeSnapshot,
        Effect.map(
          backend.committedSnapshot(),
          (reader): OpenCommittedSnapshot => ({ ...track(reader, false), transactionId: reader.transactionId })
        )
      ),
    releaseAll: () => {
      for (const snapshot of open.keys()) snapshot.release()
    }
  }
}

/** Makes a function that starts background fibers. They are interrupted at the end of the scope. */
const makeFork: Effect.Effect<Fork, never, Scope.Scope> = Effect.updateContext(
  FiberSet.makeRuntime<never, void, never>(),
  // Background fibers must not become children of the span in which the store was opened.
  (context: Context.Context<Scope.Scope>) => Context.omit(Tracer.ParentSpan)(context)
)

/** Identifies the opening of a store. While it is open and no other process can commit, all others have ended. */
const openingOf = ({ hasOtherWriters, opening }: Backend, isOpen: () => boolean): StoreOpening => {
  // The backend may have given the same one to other stores of this process.
  if (hasOtherWriters && opening !== undefined) return opening
  const id = opening?.id ?? SecureRandom.uuidV4Unsafe()
  return {
    id,
    knowsEnds: !hasOtherWriters,
    hasEnded: (other) => hasOtherWriters ? Effect.succeed(false) : Effect.sync(() => isOpen() && other !== id)
  }
}

/** Makes a store on an open backend. Its background fibers are interrupted at the end of the scope. */
export const fromBackend: (
  options: ResolvedOptions,
  stored: Backend
) => Effect.Effect<OpenStore, never, Scope.Scope> = Effect.fnUntraced(function*(options, stored) {
  const { path, readOnly, shared } = options
  const fork = yield* makeFork
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const expiry = yield* Expiry.make(stored, { now, isShared: shared || readOnly })
  const backend = Expiry.over(expiry)
  const sweeper = readOnly ? undefined : Sweeper.make(expiry, { path, fork })
  const metrics = Metrics.make(path)
  const counts = Metrics.makeCounts()
  const structures = yield* StructureTable.make({ backend, checksums: options.checksums, fork })
  const retryQueue = RetryQueue.make(fork)
  const snapshots = trackSnapshots(backend, now)
  yield* Metrics.publish(metrics, counts, snapshots)
  let isOpen = true
  const store: OpenStore = {
    options,
    backend,
    opening: openingOf(stored, () => isOpen),
    structures,
    metrics,
    counts,
    retryQueue,
    expiry,
    sweeper,
    definitions: OpenDefinitions.make(),
    shownKeys: new Map(),
    isOpen: () => isOpen,
    openSnapshot: snapshots.open,
    openCommittedSnapshot: snapshots.openCommitted,
    openTransactionSnapshot: snapshots.openTransaction,
    openSnapshots: snapshots.count,
    finish: Effect.uninterruptible(Effect.andThen(
      sweeper === undefined ? Effect.void : Sweeper.stop(sweeper),
      backend.close(Effect.sync(() => {
        isOpen = false
        snapshots.releaseAll()
        RetryQueue.close(retryQueue)
      }))
    ))
  }
  return store
})

/** Begins the change log of a file without one. If the file has no room for it, the first commit begins the log. */
const beginLog = (environment: Environment, { changeLog, readOnly }: ResolvedOptions) =>
  changeLog === undefined || readOnly ?
    Effect.void :
    Effect.suspend(() =>
      Effect.asVoid(
        environment.commit((present, transactionId) =>
          ChangeLog.begin(changeLog, present, environment.databases(), transactionId)
        )
      )
    ).pipe(Effect.catchTag("EngineFull", () => Effect.void))

/** Whether the file may have a change log: of this process, of an earlier one, or of another one that has it open now. */
const mayHaveLog = (environment: Environment, { changeLog, path, readOnly, shared }: ResolvedOptions) =>
  Effect.suspend((): Effect.Effect<boolean, OpenFailed> => {
    if (readOnly) return Effect.succeed(false)
    if (changeLog !== undefined || shared) return Effect.succeed(true)
    return Effect.mapError(
      Effect.map(ChangeLog.readState(environment), (state) => state !== undefined),
      (cause) => new OpenFailed({ reason: { _tag: "Engine", detail: cause.message }, path, cause })
    )
  })

/** Opens the environment of a store, and the backend on it, until the scope closes. */
export const openBackend: (
  options: ResolvedOptions
) => Effect.Effect<Backend, OpenFailed, Engine | Scope.Scope> = Effect.fnUntraced(function*(options) {
  const engine = yield* Engine
  const environment = yield* engine.open(options)
  const fork = yield* makeFork
  const { fileBytes, mapSize, pageSize } = yield* environment.createDatabases([
    structuresDatabase,
    recordsDatabase,
    // A process without a change log deletes the log of other processes when it commits, so it must have it open.
    ...(options.changeLog !== undefined || options.shared ? [changeLogDatabase] : [])
  ]).pipe(
    Effect.andThen(beginLog(environment, options)),
    Effect.andThen(Effect.suspend(() => environment.stats())),
    Effect.mapError((cause) =>
      new OpenFailed({ reason: { _tag: "Engine", detail: cause.message }, path: options.path, cause })
    )
  )
  const metrics = Metrics.make(options.path)
  yield* Metric.update(metrics.mapSize, mapSize)
  return yield* LocalBackend.make({
    ...options,
    environment,
    mapSize,
    pages: fileBytes / pageSize,
    metrics,
    fork,
    hasOtherWriters: options.shared || options.readOnly,
    log: (yield* mayHaveLog(environment, options))
      ? { options: options.changeLog, clock: yield* Clock.Clock }
      : undefined
  })
})

/** Opens a store on the engine of the context, until the scope closes. */
export const make = (options: ResolvedOptions): Effect.Effect<OpenStore, OpenFailed, Engine | Scope.Scope> =>
  Effect.flatMap(openBackend(options), (backend) => fromBackend(options, backend))
