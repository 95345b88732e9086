/**
 * Commits to a file that grows up to a limit.
 *
 * LMDB keeps a file within its map. When a batch does not fit, this module enlarges the map and
 * commits the batch again, driven by the schedule `resize`; at the limit the batch fails with
 * `MapFull`. Resizing closes and reopens the file, so readers wait: they hold the read side of a
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
 * - A full file needs free pages to delete anything. LMDB's engine holds some back for that:
 *   the emergency pages, which only a batch of deletions may use.
 * - LMDB reuses the pages that a transaction frees two transactions later. When a batch does not
 *   fit at the limit, two empty transactions make those pages usable, and the batch is tried again.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schedule from "effect/Schedule"
import type { Batch, EngineFull, Environment, Plan } from "../../Engine.ts"
import { type CommitError, type EngineFailure, MapFull } from "../../StoreError.ts"
import * as Settled from "../settled.ts"
import type { ReadersWriterLock } from "./readersWriterLock.ts"

/** What one commit does. */
export interface Work {
  /** Decides inside LMDB's write transaction what it writes. */
  readonly plan: Plan
  /** How many writes it may have, for the message when it does not fit. */
  readonly size: number
  /** Whether it may use the emergency pages, because its plan only deletes. */
  readonly isFreeing: () => boolean
}

/** What commits work with. */
export interface MapGrowthOptions {
  readonly path: string
  readonly environment: Environment
  /** Readers hold its read side; a resize holds its write side. */
  readonly lock: ReadersWriterLock
  /** The size of the map of the open environment, in bytes. */
  readonly mapSize: number
  /** The length of the file of the open environment, in pages. */
  readonly pages: number
  /** The size that the map may grow to, in bytes. */
  readonly maxMapSize: number | undefined
  /** The schedule of the retry after a growth. */
  readonly resize: Schedule.Schedule<unknown>
  /** Runs when readers begin to find a batch in LMDB. */
  readonly onApplied: (batch: Batch) => void
  /** Runs after each transaction that is on disk. */
  readonly onCommitted: (batch: Batch, transactionId: number) => Effect.Effect<void>
  /** Runs after the map has grown to a size in bytes. */
  readonly onGrown: (mapSize: number) => Effect.Effect<void>
}

type State = { readonly _tag: "Usable" } | { readonly _tag: "Resizing" } | { readonly _tag: "Unresized" }

/** The map of an open file, and what commits to it. */
export interface MapGrowth {
  readonly options: MapGrowthOptions
  state: State
  /** The size of the map, in bytes. */
  mapSize: number
  /** Whether the map includes the emergency pages. */
  usesEmergencyPages: boolean
  /** Whether all pages that earlier transactions freed can be reused, also those freed before the file was opened. */
  isReclaimed: boolean
}

/**
 * Whether a commit did not fit: at the limit of the file, or because the map could not grow, as in a process
 * that has no addresses left.
 */
export const isOutOfRoom = (error: CommitError): boolean =>
  error._tag === "MapFull" || error._tag === "EngineFailure" && error.operation === "resize"

const smallestGrowth = 64 * 1024 * 1024

/** A file this small, in pages, cannot have enough freed pages to matter. */
const fewPages = 16

const emptyWork: Work = {
  plan: () => Exit.succeed({ clear: [], writes: [] }),
  size: 0,
  isFreeing: () => true
}

/** Makes what commits to an open file. */
export const make = (options: MapGrowthOptions): MapGrowth => ({
  options,
  state: { _tag: "Usable" },
  mapSize: options.mapSize,
  usesEmergencyPages: false,
  isReclaimed: options.pages <= fewPages
})

/** Whether the file can be read; it cannot while a resize has it closed. */
export const isReadable = (self: MapGrowth): boolean => self.state._tag !== "Resizing"

/** Waits until the file can be read, and keeps it open while an effect runs. */
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
          // An environment that could not be reopened fails every read with the reason, until it can be reopened.
          self.state = Exit.isFailure(exit) ? { _tag: "Unresized" } : { _tag: "Usable" }
        })
      ),
      Effect.uninterruptible
    )
  )

/** Resizes to the present size: after a growth LMDB sees its limit again only then. */
const restoreSize = (self: MapGrowth): Effect.Effect<void, EngineFailure> =>
  Effect.suspend(() => resizeTo(self, self.mapSize, false))

/** Makes the exact limit visible to LMDB again, where snapshots prevented it and have been released. */
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

/** Makes room after a batch did not fit; `false` at the limit. */
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

/** Fails with what is known of the limit; `pending` says how many writes did not fit. */
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
    const { environment, onApplied, onCommitted } = self.options
    let applied: Batch | undefined
    const commitPlanned = environment.commit((present, id) =>
      Settled.map(plan(present, id), (batch) =>
        batch === undefined ? undefined : {
          ...batch,
          onWritten: () => {
            applied = batch
            onApplied(batch)
          }
        })
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
    // LMDB could not see the limit: this does not count as an attempt of the schedule.
    return Effect.andThen(resizeAgain, attempt)
  }).pipe(
    Effect.tap(Effect.sync(() => {
      self.isReclaimed = false
    }))
  )
}

/** Grows and commits again after an attempt that did not fit, as often as the schedule says. */
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
    // The failed attempt counts as the first of the schedule: the map grows only if the schedule allows another.
    let next: Effect.Effect<void, EngineFull | CommitError> = Effect.fail(full)
    const attempt = Effect.suspend(() => {
      const present = next
      next = growAndCommit
      return present
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

/** Commits work that may use the emergency pages, without growing. */
export const commitWithEmergencyPages = (self: MapGrowth, work: Work): Effect.Effect<void, CommitError> =>
  Effect.suspend(() =>
    Effect.andThen(resizeTo(self, self.mapSize, true), commitOnce(self, work)).pipe(
      Effect.catchTag("EngineFull", () => mapFull(self, work.size)),
      Effect.ensuring(Effect.ignore(restoreSize(self)))
    )
  )

/**
 * Makes the pages that earlier transactions freed usable. LMDB reuses them two transactions
 * later, so this commits two empty ones. If it fails, the next commit tries again.
 */
export const reclaimFreedPages = (self: MapGrowth): Effect.Effect<void> =>
  commitWithEmergencyPages(self, emptyWork).pipe(
    Effect.andThen(commitWithEmergencyPages(self, emptyWork)),
    Effect.andThen(Effect.sync(() => {
      self.isReclaimed = true
    })),
    Effect.ignore
  )

/** Commits all of a work or nothing: grows the map, and where it cannot grow reclaims freed pages. */
export const commit = (self: MapGrowth, work: Work): Effect.Effect<void, CommitError> =>
  Effect.catch(
    commitGrowing(self, work),
    (error) =>
      self.isReclaimed || !isOutOfRoom(error)
        ? Effect.fail(error)
        : Effect.andThen(reclaimFreedPages(self), commitGrowing(self, work))
  )
