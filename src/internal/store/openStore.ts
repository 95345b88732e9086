/**
 * An open store, which all of its handles share: a backend, and what encodes values and runs transactions on it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Backend, Snapshot } from "../../Backend.ts"
import { Engine } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import { type CommitError, type EngineFailure, OpenFailed } from "../../StoreError.ts"
import * as LocalBackend from "../commit/localBackend.ts"
import * as Metrics from "../commit/metrics.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { recordsDatabase, structuresDatabase } from "../databases.ts"
import type { Fork } from "../fork.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import * as Settled from "../settled.ts"
import * as OpenDefinitions from "../transaction/openDefinitions.ts"
import * as RetryQueue from "../transaction/retryQueue.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** An open store. */
export interface OpenStore {
  /** The options of the handle that opened the store. Other handles may have other values for some of them. */
  readonly options: ResolvedOptions
  readonly backend: Backend
  /** Encodes and decodes values by the record structures of the store. */
  readonly structures: StructureTable.StructureTable
  readonly metrics: Metrics.Metrics
  /** What is counted in plain numbers. */
  readonly counts: Metrics.Counts
  readonly retryQueue: RetryQueue.RetryQueue
  /** The definition by which each collection was last opened. */
  readonly definitions: OpenDefinitions.OpenDefinitions
  /** Formats the keys of the records of a collection for messages, by the database of the records. */
  readonly shownKeys: Map<string, (key: ByteString) => string>
  /** Whether the backend is open. It is `false` from when the close has waited for the last read. */
  readonly isOpen: () => boolean
  /** Opens a snapshot; it is released when the store closes. */
  readonly openSnapshot: () => Effect.Effect<OpenSnapshot, EngineFailure>
  /** Opens a snapshot of what the next commit is about to leave. */
  readonly openNextSnapshot: () => Effect.Effect<OpenSnapshot, EngineFailure>
  /** How many snapshots are open. */
  readonly openSnapshots: () => number
  /** Makes the last commit, waits for the fibers that read, and closes the backend. */
  readonly finish: Effect.Effect<void, CommitError>
}

/** Opens snapshots, and keeps a list of those that are open. */
const trackSnapshots = (backend: Backend, clock: Clock.Clock) => {
  /** When each was opened, the oldest first. */
  const open = new Map<OpenSnapshot, number>()
  const track = (reader: Snapshot, isTentative: boolean): OpenSnapshot => {
    const snapshot: OpenSnapshot = {
      reader,
      isTentative,
      isReleased: () => !open.has(snapshot),
      release: () => {
        if (open.delete(snapshot)) reader.release()
      }
    }
    open.set(snapshot, clock.currentTimeMillisUnsafe())
    return snapshot
  }
  return {
    count: () => open.size,
    oldestAge: () => {
      for (const openedAt of open.values()) return clock.currentTimeMillisUnsafe() - openedAt
      return 0
    },
    open: () => Settled.map(backend.snapshot(), (reader) => track(reader, false)),
    openNext: () => Settled.map(backend.nextSnapshot(), (reader) => track(reader, reader.isTentative)),
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

/** Makes a store on an open backend. Its background fibers are interrupted at the end of the scope. */
export const fromBackend: (
  options: ResolvedOptions,
  backend: Backend
) => Effect.Effect<OpenStore, never, Scope.Scope> = Effect.fnUntraced(function*(options, backend) {
  const fork = yield* makeFork
  const metrics = Metrics.make(options.path)
  const counts = Metrics.makeCounts()
  const structures = yield* StructureTable.make({ backend, checksums: options.checksums, fork })
  const retryQueue = RetryQueue.make(fork)
  const snapshots = trackSnapshots(backend, yield* Clock.Clock)
  yield* Metrics.publish(metrics, counts, snapshots)
  let isOpen = true
  const store: OpenStore = {
    options,
    backend,
    structures,
    metrics,
    counts,
    retryQueue,
    definitions: OpenDefinitions.make(),
    shownKeys: new Map(),
    isOpen: () => isOpen,
    openSnapshot: snapshots.open,
    openNextSnapshot: snapshots.openNext,
    openSnapshots: snapshots.count,
    finish: backend.close(Effect.sync(() => {
      isOpen = false
      snapshots.releaseAll()
      RetryQueue.close(retryQueue)
    }))
  }
  return store
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
    recordsDatabase
  ]).pipe(
    Effect.andThen(Effect.suspend(() => environment.stats())),
    Effect.mapError((cause) =>
      new OpenFailed({ reason: { _tag: "Engine", detail: cause.message }, path: options.path, cause })
    )
  )
  const metrics = Metrics.make(options.path)
  yield* Metric.update(metrics.mapSize, mapSize)
  return yield* LocalBackend.make({ ...options, environment, mapSize, pages: fileBytes / pageSize, metrics, fork })
})

/** Opens a store on the engine of the context, until the scope closes. */
export const make = (options: ResolvedOptions): Effect.Effect<OpenStore, OpenFailed, Engine | Scope.Scope> =>
  Effect.flatMap(openBackend(options), (backend) => fromBackend(options, backend))
