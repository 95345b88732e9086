/**
 * Brings batches to the engine, grows the map when they do not fit, and finds room
 * for deletions where it may grow no further.
 *
 * One batch at a time: whoever calls sees to that.
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import type * as Schedule from "effect/Schedule"
import type { Batch, EngineFull, Environment, Write } from "../Engine.ts"
import type { ByteString } from "../Key.ts"
import { type EngineFailure, MapFull } from "../StoreError.ts"
import type { Metrics } from "./metrics.ts"
import type { RwLock } from "./rwLock.ts"

/** What a commit can fail with. */
export type CommitError = MapFull | EngineFailure

/** What the committer works with. */
export interface CommitterOptions {
  readonly path: string
  readonly environment: Environment
  readonly metrics: Metrics
  /** Its read side is held while the environment is in use, its write side to resize. */
  readonly lock: RwLock
  /** The size of the map of the open environment, in bytes. */
  readonly mapSize: number
  /** The size that the map may grow to, in bytes. */
  readonly maxMapSize: number | undefined
  /** The schedule of the retry after a growth. */
  readonly resize: Schedule.Schedule<unknown>
}

/** Writes that do not belong together. */
interface PendingWrites {
  readonly writes: ReadonlyMap<ByteString, Uint8Array | null>
  /** The deletions among them that were made to make room. */
  readonly freeing: ReadonlySet<ByteString>
  /** Called with what is on disk before the rest is. */
  readonly onCommitted: (key: ByteString) => void
}

/** Brings batches to the engine. */
export interface Committer {
  /** Commits a batch as one: all of it or nothing. */
  readonly commit: (batch: Batch) => Effect.Effect<void, CommitError>
  /**
   * Commits pending writes as one. Where they do not fit, the deletions that were
   * made to make room are committed ahead, and the rest after them.
   */
  readonly commitPending: (pending: PendingWrites) => Effect.Effect<void, CommitError>
  /** Lets the limit be seen exactly again, where it is not and can be. */
  readonly restoreLimit: Effect.Effect<void>
  /** Whether the environment can be read; it cannot for a moment while it is resized. */
  readonly isReadable: () => boolean
}

const smallestGrowth = 64 * 1024 * 1024

const noWrites: Batch = { clear: false, writes: [] }

const batchOf = (writes: Iterable<Write>): Batch => ({ clear: false, writes })

const isDeletion = (write: Write): boolean => write[1] === null

const byKey = ([a]: Write, [b]: Write): number => a < b ? -1 : 1

const countOf = (writes: Iterable<Write>): number => {
  let count = 0
  for (const _ of writes) count++
  return count
}

/** Makes a committer. */
export const make = (options: CommitterOptions): Committer => {
  const { environment, lock, maxMapSize, metrics } = options
  let mapSize = options.mapSize
  let isReadable = true
  let mustResize = false
  let isInReserve = false
  /** Whether all that earlier transactions freed can be used. */
  let isAged = true

  const resizeTo = (size: number, useReserve: boolean): Effect.Effect<void, EngineFailure> =>
    lock.withWrite(
      Effect.suspend(() => {
        isReadable = false
        isInReserve = useReserve
        return environment.resize(size, { useReserve })
      }).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            // An environment that could not be opened again says so in every call, until it can.
            isReadable = true
            mustResize = Exit.isFailure(exit)
          })
        ),
        Effect.uninterruptible
      )
    )

  const mapFull = (pending: number): Effect.Effect<never, MapFull> =>
    Effect.suspend(() => {
      const used = Result.match(environment.stats(), {
        onFailure: () => mapSize,
        onSuccess: (stats) => stats.fileBytes
      })
      return Effect.fail(new MapFull({ limit: maxMapSize ?? mapSize, used, pending }))
    })

  const growTo = Effect.fnUntraced(function*(size: number) {
    yield* Effect.logInfo(
      `Growing the map of the store at ${options.path} from ${ByteSize.format(ByteSize.bytes(mapSize))} to ${
        ByteSize.format(ByteSize.bytes(size))
      }`
    )
    yield* resizeTo(size, false)
    mapSize = size
    yield* Metric.update(metrics.growths, 1)
    yield* Metric.update(metrics.mapSize, size)
  }, (effect, size) => Effect.withSpan(effect, "Store.grow", { attributes: { from: mapSize, to: size } }))

  /** Makes room after a batch did not fit; `false` where there is no more to be had. */
  const makeRoom = Effect.fnUntraced(function*(full: EngineFull) {
    if (full.needed === full.mapSize) return true
    const wanted = Math.max(2 * mapSize, mapSize + smallestGrowth, full.needed)
    const size = Math.min(wanted, maxMapSize ?? wanted)
    if (size > mapSize) {
      yield* growTo(size)
      return true
    }
    // The limit is seen again only after this.
    yield* resizeTo(mapSize, false)
    return false
  })

  const commitOnce = (batch: Batch): Effect.Effect<void, EngineFull | EngineFailure> => {
    const resizeAgain = Effect.suspend(() => resizeTo(mapSize, isInReserve))
    const attempt = Effect.suspend(() => mustResize ? resizeAgain : Effect.void).pipe(
      Effect.andThen(lock.withRead(environment.commit(batch)))
    )
    return Effect.catchTag(attempt, "EngineFull", (full) => {
      if (full.needed > full.mapSize) return Effect.fail(full)
      // The limit could not be seen: no attempt of the schedule is spent on that.
      return Effect.andThen(resizeAgain, attempt)
    }).pipe(
      Effect.tap(Effect.sync(() => {
        isAged = false
      }))
    )
  }

  const commitGrowing = (batch: Batch): Effect.Effect<void, CommitError> =>
    Effect.suspend(() => {
      let full: EngineFull | undefined
      // The map grows when the schedule has said that the batch is tried again, and not before.
      const attempt: Effect.Effect<void, EngineFull | CommitError> = Effect.suspend(() =>
        full === undefined ? Effect.succeed(true) : makeRoom(full)
      ).pipe(
        Effect.flatMap((hasRoom): Effect.Effect<void, EngineFull | CommitError> =>
          hasRoom ? commitOnce(batch) : mapFull(countOf(batch.writes))
        ),
        Effect.tapError((error) =>
          Effect.sync(() => {
            if (error._tag === "EngineFull") full = error
          })
        )
      )
      return attempt.pipe(
        Effect.retry({
          schedule: options.resize,
          while: (error: EngineFull | CommitError) => error._tag === "EngineFull"
        }),
        Effect.catchTag("EngineFull", () =>
          // The limit is seen again only after this.
          Effect.andThen(resizeTo(mapSize, false), mapFull(countOf(batch.writes))))
      )
    })

  /** Runs a commit that may use the pages held back for deletions, without growing. */
  const commitInReserve = (batch: Batch): Effect.Effect<void, CommitError> =>
    Effect.andThen(resizeTo(mapSize, true), commitOnce(batch)).pipe(
      Effect.catchTag("EngineFull", () => mapFull(countOf(batch.writes))),
      Effect.ensuring(Effect.ignore(resizeTo(mapSize, false)))
    )

  /** What a transaction frees can be used by the one after the next: makes it two later. */
  const letFreedPagesAge: Effect.Effect<void> = Effect.ignore(
    Effect.andThen(commitInReserve(noWrites), commitInReserve(noWrites))
  ).pipe(
    Effect.andThen(Effect.sync(() => {
      isAged = true
    }))
  )

  const commit = (batch: Batch): Effect.Effect<void, CommitError> =>
    Effect.catchTag(
      commitGrowing(batch),
      "MapFull",
      (full) => isAged ? Effect.fail(full) : Effect.andThen(letFreedPagesAge, commitGrowing(batch))
    )

  /** Halves the deletions until they fit: each half makes room for the next. */
  const commitDeletions = (
    deletions: ReadonlyArray<Write>,
    onCommitted: (key: ByteString) => void
  ): Effect.Effect<void, CommitError> =>
    commitInReserve(batchOf(deletions)).pipe(
      Effect.andThen(Effect.sync(() => {
        for (const [key] of deletions) onCommitted(key)
      })),
      Effect.catchTag("MapFull", (full) => {
        if (deletions.length === 1) return Effect.fail(full)
        const middle = deletions.length >> 1
        return Effect.andThen(
          commitDeletions(deletions.slice(0, middle), onCommitted),
          commitDeletions(deletions.slice(middle), onCommitted)
        )
      })
    )

  const commitDeletionsFirst = Effect.fnUntraced(function*({ freeing, onCommitted, writes }: PendingWrites) {
    const rest = [...writes]
    // Nothing but deletions: no value is at stake when some of them come first.
    const isAhead = rest.every(isDeletion) ? isDeletion : ([key]: Write) => freeing.has(key)
    // In key order a page that becomes empty is free for the next within the same transaction.
    yield* Effect.catchTag(
      commitDeletions(rest.filter(isAhead).toSorted(byKey), onCommitted),
      "MapFull",
      () => mapFull(writes.size)
    )
    const values = rest.filter((write) => !isAhead(write))
    if (values.length > 0) yield* Effect.andThen(letFreedPagesAge, commit(batchOf(values)))
  })

  return {
    commit: (batch) =>
      Effect.catchTag(
        commit(batch),
        "MapFull",
        (full) => batch.clear || [...batch.writes].every(isDeletion) ? commitInReserve(batch) : Effect.fail(full)
      ),
    commitPending: (pending) =>
      Effect.catchTag(
        commit(batchOf(pending.writes)),
        "MapFull",
        (full) =>
          pending.freeing.size > 0 || [...pending.writes].every(isDeletion)
            ? commitDeletionsFirst(pending)
            : Effect.fail(full)
      ),
    restoreLimit: Effect.suspend(() =>
      environment.mustResize() ? Effect.ignore(resizeTo(mapSize, false)) : Effect.void
    ),
    isReadable: () => isReadable
  }
}
