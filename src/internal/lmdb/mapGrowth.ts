/**
 * Commits to a file that grows up to a limit.
 *
 * An LMDB file cannot be larger than its map. If a batch does not fit, this module enlarges the map and
 * commits the batch again, by the schedule `resize`. At the limit, the batch fails with
 * `MapFull`. A resize closes and reopens the file, so readers must wait: they take the read side of a
 * readers/writer lock, and a resize takes the write side.
 *
 * ```text
 *   Usable ──resizeTo──▶ Resizing ──reopened──▶ Usable
 *                            │
 *                            └──could not be reopened──▶ Unresized ──the next commit: resizeTo──▶ Resizing
 * ```
 *
 * **Details**
 *
 * - A deletion from a full file needs free pages. The engine reserves some pages for that:
 *   the emergency pages, which only a batch of deletions may use.
 * - LMDB reuses freed pages two transactions after the one that freed them. If a batch does not
 *   fit at the limit, two empty transactions make those pages usable, and the batch is tried again.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schedule from "effect/Schedule"
import type { Batch, EngineFull, Environment, Plan, Reader } from "../../Engine.ts"
import { type CommitError, type EngineFailure, MapFull } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import type { ReadersWriterLock } from "./readersWriterLock.ts"

/** What one commit does. */
export interface Work {
  /** Decides inside LMDB's write transaction what it writes. */
  readonly plan: Plan
  /** The number of its writes, for the error if it does not fit. */
  readonly size: number
  /** Tells whether it may use the emergency pages, because it only deletes. Call it after the plan has run. */
  readonly isFreeing: () => boolean
}

/** The options of the commits to a file, and the parts of the store that they use. */
export interface MapGrowthOptions {
  readonly path: string
  readonly environment: Environment
  /** Readers take its read side, a resize takes its write side. */
  readonly lock: ReadersWriterLock
  /** The size of the map of the open environment, in bytes. */
  readonly mapSize: number
  /** The length of the file of the open environment, in pages. */
  readonly pages: number
  /** The size that the map may grow to, in bytes. */
  readonly maxMapSize: number | undefined
  /** The schedule of the retry after a growth. */
  readonly resize: Schedule.Schedule<unknown>
  /**
   * Adds further writes to a batch, such as its record in the change log. Runs inside LMDB's write transaction. With
   * `isFull`, the batch uses the emergency pages.
   */
  readonly amend: (
    present: Reader,
    batch: Batch,
    transactionId: number,
    isFull: boolean
  ) => Exit.Exit<Batch, EngineFailure>
  /** Runs when reads of LMDB begin to see a batch. */
  readonly onApplied: (batch: Batch, transactionId: number) => void
  /** Runs after each transaction that is on disk. */
  readonly onCommitted: (batch: Batch, transactionId: number) => Effect.Effect<void>
  /** Runs after the map has grown to a size in bytes. */
  readonly onGrown: (mapSize: number) => Effect.Effect<void>
}

type State = { readonly _tag: "Usable" } | { readonly _tag: "Resizing" } | { readonly _tag: "Unresized" }

/** The map of an open file, and the state of its growth. */
export interface MapGrowth {
  readonly options: MapGrowthOptions
  state: State
  /** The size of the map, in bytes. */
  mapSize: number
  /** Whether the map includes the emergency pages. */
  usesEmergencyPages: boolean
  /** Whether LMDB can reuse all freed pages, including those that were freed before the file was opened. */
  isReclaimed: boolean
}

/**
 * Whether a commit did not fit: because of the limit of the file, or because the map could not grow, for example in a
 * process without free addresses.
 */
export const isOutOfRoom = (error: CommitError): boolean =>
  error._tag === "MapFull" || error._tag === "EngineFailure" && error.operation === "resize"

/** The smallest growth of a map, in bytes, unless the limit is nearer. */
const smallestGrowth = 64 * 1024 * 1024

/** A file this small, in pages, cannot have enough freed pages to matter. */
const fewPages = 16

const emptyWork: Work = {
  plan: () => Exit.succeed({ clear: [], writes: [] }),
  size: 0,
  isFreeing: () => true
}

/** Makes the state of an open file. */
export const make = (options: MapGrowthOptions): MapGrowth => ({
  options,
  state: { _tag: "Usable" },
  mapSize: options.mapSize,
  usesEmergencyPages: false,
  isReclaimed: options.pages <= fewPages
})

/** Whether the file can be read. It cannot be read during a resize, which closes it. */
export const isReadable = (self: MapGrowth): boolean => self.state._tag !== "Resizing"

/** Runs an effect when the file can be read, and keeps the file open until the effect ends. */
export const whileReadable = <A, E, R>(self: MapGrowth, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  self.options.lock.withRead(effect)

// ---------------------------------------------------------------------------
// resizing
// ---------------------------------------------------------------------------

const resizeTo = (self: MapGrowth, size: number, useEmergencyPages: boolean): Effect.Effect<void, EngineFailure> =>
  self.options.lock.withWrite(
    Effect.suspend(() => {
      self.state = { _tag: "Resizing" }
      self.usesEmergencyPages = useEmergencyPages
      return self.options.environment.resize(size, { useReserve: useEmergencyPages })
    }).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          // While the environment could not be reopened, every read fails with the reason. The next commit tries again.
          self.state = Exit.isFailure(exit) ? { _tag: "Unresized" } : { _tag: "Usable" }
        })
      ),
      Effect.uninterruptible
    )
  )

/** Resizes to the current size. After LMDB has enlarged its own map, this restores the limit. */
const restoreSize = (self: MapGrowth): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() => resizeTo(self, self.mapSize, false))

/** Makes the exact limit visible to LMDB again, if snapshots prevented it and have been released. */
export const restoreLimit = (self: MapGrowth): Effect.Effect<void> =>
  Effect.suspend(() => self.options.environment.mustResize() ? Effect.ignore(restoreSize(self)) : Effect.void)

const format = (bytes: number): string => ByteSize.format(ByteSize.bytes(bytes))

const growTo = Effect.fnUntraced(function*(self: MapGrowth, size: number) {
  yield* Effect.logInfo(
    `Growing the map of the store at ${self.options.path} from ${format(self.mapSize)} to ${format(size)}`
  )
  yield* resizeTo(self, size, false)
  self.mapSize = size
  yield* self.options.onGrown(size)
}, (effect, self, size) => Effect.withSpan(effect, "Store.grow", { attributes: { from: self.mapSize, to: size } }))

/** Makes room for a batch that did not fit. Returns `false` if the map is at its limit. */
const makeRoom = Effect.fnUntraced(function*(self: MapGrowth, full: EngineFull) {
  if (full.needed === full.mapSize) return true
  const { maxMapSize } = self.options
  const preferred = Math.max(2 * self.mapSize, self.mapSize + smallestGrowth, full.needed)
  const size = Math.min(preferred, maxMapSize ?? preferred)
  if (size > self.mapSize) {
    yield* growTo(self, size)
    return true
  }
  yield* restoreSize(self)
  return false
})

/** Fails with `MapFull`. `pending` is the number of writes that did not fit. */
export const mapFull = (self: MapGrowth, pending: number): Effect.Effect<never, MapFull> =>
  Effect.suspend(() => {
    const { environment, maxMapSize } = self.options
    const used = Exit.match(environment.stats(), {
      onFailure: () => self.mapSize,
      onSuccess: (stats) => stats.fileBytes
    })
    return Effect.fail(new MapFull({ limit: maxMapSize ?? self.mapSize, used, pending, outcome: "pending" }))
  })

// ---------------------------------------------------------------------------
// one commit
// ---------------------------------------------------------------------------

const transact = (self: MapGrowth, plan: Plan): Effect.Effect<void, EngineFull | EngineFailure> =>
  Effect.suspend(() => {
    const { amend, environment, onApplied, onCommitted } = self.options
    let applied: Batch | undefined
    const commitPlanned = environment.commit((present, id) =>
      Settled.flatMap(
        plan(present, id),
        (batch) =>
          batch === undefined ?
            Settled.nothing :
            Settled.map(amend(present, batch, id, self.usesEmergencyPages), (amended) => ({
              ...amended,
              onWritten: () => {
                applied = batch
                onApplied(batch, id)
              }
            }))
      )
    )
    return Effect.flatMap(
      commitPlanned,
      (transactionId) =>
        applied === undefined || transactionId === undefined ? Effect.void : onCommitted(applied, transactionId)
    )
  })

const commitOnce = (self: MapGrowth, { plan }: Work): Effect.Effect<void, EngineFull | EngineFailure> => {
  const resizeAgain = Effect.suspend(() => resizeTo(self, self.mapSize, self.usesEmergencyPages))
  const attempt = Effect.suspend(() => self.state._tag === "Unresized" ? resizeAgain : Effect.void).pipe(
    Effect.andThen(whileReadable(self, transact(self, plan)))
  )
  return Effect.catchTag(attempt, "EngineFull", (full) => {
    if (full.needed > full.mapSize) return Effect.fail(full)
    // The batch may fit: LMDB could only not see the limit. This does not count as an attempt of the schedule.
    return Effect.andThen(resizeAgain, attempt)
  }).pipe(
    Effect.tap(Effect.sync(() => {
      self.isReclaimed = false
    }))
  )
}

/** Enlarges the map and commits again, until the work fits or the schedule ends. */
const retryGrowing = (self: MapGrowth, work: Work, first: EngineFull): Effect.Effect<void, CommitError> =>
  Effect.suspend(() => {
    let full = first
    const growAndCommit = Effect.suspend(() => makeRoom(self, full)).pipe(
      Effect.flatMap((hasRoom): Effect.Effect<void, EngineFull | CommitError> =>
        hasRoom ? commitOnce(self, work) : mapFull(self, work.size)
      ),
      Effect.tapError((error) =>
        Effect.sync(() => {
          if (error._tag === "EngineFull") full = error
        })
      )
    )
    // The failed attempt counts as the first one of the schedule. The map grows only if the schedule allows another.
    let next: Effect.Effect<void, EngineFull | CommitError> = Effect.fail(full)
    const attempt = Effect.suspend(() => {
      const current = next
      next = growAndCommit
      return current
    })
    return attempt.pipe(
      Effect.retry({
        schedule: self.options.resize,
        while: (error: EngineFull | CommitError) => error._tag === "EngineFull"
      }),
      Effect.catchTag("EngineFull", () => Effect.andThen(restoreSize(self), mapFull(self, work.size)))
    )
  })

const commitGrowing = (self: MapGrowth, work: Work): Effect.Effect<void, CommitError> =>
  Effect.catchTag(commitOnce(self, work), "EngineFull", (full) => retryGrowing(self, work, full))

/** Commits work with the emergency pages. The map does not grow. */
export const commitWithEmergencyPages = (self: MapGrowth, work: Work): Effect.Effect<void, CommitError> =>
  Effect.suspend(() =>
    Effect.andThen(resizeTo(self, self.mapSize, true), commitOnce(self, work)).pipe(
      Effect.catchTag("EngineFull", () => mapFull(self, work.size)),
      Effect.ensuring(Effect.ignore(restoreSize(self)))
    )
  )

/**
 * Makes freed pages usable. LMDB reuses them two transactions after the one that freed them, so this commits two empty
 * transactions. If it fails, the next commit tries again.
 */
export const reclaimFreedPages = (self: MapGrowth): Effect.Effect<void> =>
  commitWithEmergencyPages(self, emptyWork).pipe(
    Effect.andThen(commitWithEmergencyPages(self, emptyWork)),
    Effect.andThen(Effect.sync(() => {
      self.isReclaimed = true
    })),
    Effect.ignore
  )

/** Commits all writes of a work or none. Enlarges the map if necessary. If it cannot grow, reclaims freed pages. */
export const commit = (self: MapGrowth, work: Work): Effect.Effect<void, CommitError> =>
  Effect.catch(
    commitGrowing(self, work),
    (error) =>
      self.isReclaimed || !isOutOfRoom(error)
        ? Effect.fail(error)
        : Effect.andThen(reclaimFreedPages(self), commitGrowing(self, work))
  )
