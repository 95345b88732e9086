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
import * as Order from "effect/Order"
import * as Result from "effect/Result"
import type * as Schedule from "effect/Schedule"
import type { Batch, EngineFull, Environment, Plan, Write } from "../../Engine.ts"
import type { CommitError } from "../../StoreError.ts"
import { type EngineFailure, MapFull } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { addressOf, hasOnlyDeletions } from "../buffer/writeSet.ts"
import type { RwLock } from "../lmdb/readersWriterLock.ts"
import type { OtherCommits } from "./foreignCommits.ts"
import type { Metrics } from "./metrics.ts"

/** What the committer works with. */
export interface CommitterOptions {
  readonly path: string
  readonly environment: Environment
  readonly metrics: Metrics
  readonly otherCommits: OtherCommits
  /** Its read side is held while the environment is in use, its write side to resize. */
  readonly lock: RwLock
  /** The size of the map of the open environment, in bytes. */
  readonly mapSize: number
  /** How many pages the file of the open environment has. */
  readonly pages: number
  /** The size that the map may grow to, in bytes. */
  readonly maxMapSize: number | undefined
  /** The schedule of the retry after a growth. */
  readonly resize: Schedule.Schedule<unknown>
  /** Called at the moment from which on a batch is read from the environment. */
  readonly onWritten: (batch: Batch) => void
  /** Told of every transaction that is on disk, in their order. */
  readonly onCommitted: (batch: Batch, transactionId: number) => void
}

/** What is committed as one. */
export interface Work {
  /** Decides inside of the transaction what it writes. */
  readonly plan: Plan
  /** How many writes it may have, for the message when it does not fit. */
  readonly size: number
  /** Whether it may use the pages that are held back, because its plan only deletes. */
  readonly isFreeing: () => boolean
}

/** Brings batches to the engine. */
export interface Committer {
  /** Commits a transaction: all of it or nothing. */
  readonly commit: (work: Work) => Effect.Effect<void, CommitError>
  /**
   * Commits pending writes as one. Where they do not fit, the deletions that were
   * made to make room are committed ahead, and the rest after them.
   */
  readonly commitPending: (pending: Memtable.Generation) => Effect.Effect<void, CommitError>
  /** Lets the limit be seen exactly again, where it is not and can be. */
  readonly restoreLimit: Effect.Effect<void>
  /** Whether the environment can be read; it cannot for a moment while it is resized. */
  readonly isReadable: () => boolean
}

const smallestGrowth = 64 * 1024 * 1024

/** A file of so many pages, as a new one is, has freed less than any limit leaves. */
const fewPages = 16

const noWork: Work = {
  plan: () => Result.succeed({ clear: [], writes: [] }),
  size: 0,
  isFreeing: () => true
}

/** By the database and the key of the first write. */
const byFirst: Order.Order<ReadonlyArray<Write>> = Order.mapInput(
  Order.String,
  ([first]) => first === undefined ? "" : addressOf(first[0], first[1])
)

/** Makes a committer. */
export const make = (options: CommitterOptions): Committer => {
  const { environment, lock, maxMapSize, metrics, otherCommits } = options
  let mapSize = options.mapSize
  let isReadable = true
  let mustResize = false
  let isInReserve = false
  /** Whether all that earlier transactions freed can be used, also those before the environment was opened. */
  let isAged = options.pages <= fewPages

  /** The work of making writes that are pending. */
  const workOf = (writes: ReadonlyArray<Write>, generation: Memtable.Generation): Work => ({
    plan: (present, transactionId) => {
      generation.isInTransaction = true
      return Result.map(otherCommits.complete(writes, generation.since, present, transactionId), (completed) => ({
        clear: [],
        writes: completed
      }))
    },
    size: writes.length,
    isFreeing: () => hasOnlyDeletions(writes)
  })

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
      return Effect.fail(new MapFull({ limit: maxMapSize ?? mapSize, used, pending, outcome: "pending" }))
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

  /** Counts a transaction, unless it was made for the age of freed pages, and tells of it. */
  const tell = Effect.fnUntraced(function*(batch: Batch, transactionId: number) {
    otherCommits.committed(transactionId)
    let writes = 0
    for (const _ of batch.writes) writes++
    if (writes === 0 && batch.clear.length === 0) return
    yield* Metric.update(metrics.commits, 1)
    yield* Metric.update(metrics.committedWrites, writes)
    options.onCommitted(batch, transactionId)
  })

  /** Runs one transaction and tells of it. */
  const transact = (plan: Plan): Effect.Effect<void, EngineFull | EngineFailure> =>
    Effect.suspend(() => {
      let written: Batch | undefined
      const commitPlanned = environment.commit((present, number) =>
        Result.map(plan(present, number), (batch) => {
          if (batch === undefined) return undefined
          return {
            ...batch,
            onWritten: () => {
              written = batch
              options.onWritten(batch)
            }
          }
        })
      )
      return Effect.flatMap(commitPlanned, (transactionId) =>
        written === undefined || transactionId === undefined ? Effect.void : tell(written, transactionId))
    })

  const commitOnce = ({ plan }: Work): Effect.Effect<void, EngineFull | EngineFailure> => {
    const resizeAgain = Effect.suspend(() => resizeTo(mapSize, isInReserve))
    const attempt = Effect.suspend(() => mustResize ? resizeAgain : Effect.void).pipe(
      Effect.andThen(lock.withRead(transact(plan)))
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

  /** Goes on after an attempt that did not fit, as often as the schedule says. */
  const retryGrowing = (work: Work, first: EngineFull): Effect.Effect<void, CommitError> =>
    Effect.suspend(() => {
      let full = first
      const growAndCommit = Effect.suspend(() => makeRoom(full)).pipe(
        Effect.flatMap((hasRoom): Effect.Effect<void, EngineFull | CommitError> =>
          hasRoom ? commitOnce(work) : mapFull(work.size)
        ),
        Effect.tapError((error) =>
          Effect.sync(() => {
            if (error._tag === "EngineFull") full = error
          })
        )
      )
      // The schedule begins with the attempt that was made: the map grows when it has said that the batch is tried again.
      let next: Effect.Effect<void, EngineFull | CommitError> = Effect.fail(full)
      const attempt = Effect.suspend(() => {
        const present = next
        next = growAndCommit
        return present
      })
      return attempt.pipe(
        Effect.retry({
          schedule: options.resize,
          while: (error: EngineFull | CommitError) => error._tag === "EngineFull"
        }),
        Effect.catchTag("EngineFull", () =>
          // The limit is seen again only after this.
          Effect.andThen(resizeTo(mapSize, false), mapFull(work.size)))
      )
    })

  const commitGrowing = (work: Work): Effect.Effect<void, CommitError> =>
    Effect.catchTag(commitOnce(work), "EngineFull", (full) => retryGrowing(work, full))

  /** Runs a commit that may use the pages held back for deletions, without growing. */
  const commitInReserve = (work: Work): Effect.Effect<void, CommitError> =>
    Effect.suspend(() =>
      Effect.andThen(resizeTo(mapSize, true), commitOnce(work)).pipe(
        Effect.catchTag("EngineFull", () => mapFull(work.size)),
        Effect.ensuring(Effect.ignore(resizeTo(mapSize, false)))
      )
    )

  /** What a transaction frees can be used by the one after the next: makes it two later. */
  const letFreedPagesAge: Effect.Effect<void> = commitInReserve(noWork).pipe(
    Effect.andThen(commitInReserve(noWork)),
    Effect.andThen(Effect.sync(() => {
      isAged = true
    })),
    // What could not be made older this time can be the next.
    Effect.ignore
  )

  const commitAged = (work: Work): Effect.Effect<void, CommitError> =>
    Effect.catchTag(
      commitGrowing(work),
      "MapFull",
      (full) => isAged ? Effect.fail(full) : Effect.andThen(letFreedPagesAge, commitGrowing(work))
    )

  /** Halves groups of deletions until they fit: each half makes room for the next. */
  const commitDeletions = (
    groups: ReadonlyArray<ReadonlyArray<Write>>,
    pending: Memtable.Generation
  ): Effect.Effect<void, CommitError> =>
    Effect.catchTag(commitInReserve(workOf(groups.flat(), pending)), "MapFull", (full) => {
      if (groups.length === 1) return Effect.fail(full)
      const middle = groups.length >> 1
      return Effect.andThen(
        commitDeletions(groups.slice(0, middle), pending),
        commitDeletions(groups.slice(middle), pending)
      )
    })

  const commitDeletionsFirst = Effect.fnUntraced(function*(
    pending: Memtable.Generation,
    ahead: ReadonlyArray<ReadonlyArray<Write>>
  ) {
    const { writes } = pending
    // In key order a page that becomes empty is free for the next within the same transaction.
    yield* Effect.catchTag(commitDeletions(ahead.toSorted(byFirst), pending), "MapFull", () => mapFull(writes.size))
    // What is on disk is no longer among the writes.
    if (writes.size > 0) yield* Effect.andThen(letFreedPagesAge, commitAged(workOf(writes.toArray(), pending)))
  })

  return {
    commit: (work) =>
      Effect.catchTag(
        commitAged(work),
        "MapFull",
        (full) => work.isFreeing() ? commitInReserve(work) : Effect.fail(full)
      ),
    commitPending: (pending) =>
      Effect.catchTag(commitAged(workOf(Memtable.take(pending), pending)), "MapFull", (full) => {
        const ahead = Memtable.deletionsAhead(pending)
        return ahead.length > 0 ? commitDeletionsFirst(pending, ahead) : Effect.fail(full)
      }),
    restoreLimit: Effect.suspend(() =>
      environment.mustResize() ? Effect.ignore(resizeTo(mapSize, false)) : Effect.void
    ),
    isReadable: () => isReadable
  }
}
