/**
 * Commits batches to LMDB, publishes them to the change feed and the metrics, and decides what to commit first
 * if not everything fits.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import type * as Tracer from "effect/Tracer"
import type { Batch, Environment, Write } from "../../Engine.ts"
import type { CommitError } from "../../StoreError.ts"
import * as Memtable from "../buffer/memtable.ts"
import { hasOnlyDeletions, qualifiedKey } from "../buffer/writeSet.ts"
import * as MapGrowth from "../lmdb/mapGrowth.ts"
import { inSpan } from "../privateSpan.ts"
import * as Settled from "../settled.ts"
import type { ForeignCommits } from "./foreignCommits.ts"
import type { Metrics } from "./metrics.ts"

/** The options of a committer, and the parts of the store that it uses. */
export interface CommitterOptions extends Omit<MapGrowth.MapGrowthOptions, "onCommitted" | "onGrown"> {
  readonly environment: Environment
  readonly metrics: Metrics
  readonly foreignCommits: ForeignCommits
  /** Runs after each transaction that changed something, in the order of the transactions. */
  readonly onChanged: (batch: Batch, transactionId: number) => void
}

/** Commits batches to LMDB. */
export interface Committer {
  readonly options: CommitterOptions
  readonly map: MapGrowth.MapGrowth
  /** Whether the last commit did not fit. If so, later deletions are committed first, because they make room. */
  hasNoRoom: boolean
}

/** Whether a commit did not fit. */
export const didNotFit = (exit: Exit.Exit<unknown, CommitError>): boolean =>
  Exit.isFailure(exit) && Option.exists(Cause.findErrorOption(exit.cause), MapGrowth.isOutOfRoom)

/** Counts a transaction and publishes its changes, unless it is empty. */
const notify = Effect.fnUntraced(function*(options: CommitterOptions, batch: Batch, transactionId: number) {
  options.foreignCommits.committed(transactionId)
  let writes = 0
  for (const _ of batch.writes) writes++
  // Empty transactions only reclaim freed pages.
  if (writes === 0 && batch.clear.length === 0) return
  yield* Metric.update(options.metrics.commits, 1)
  yield* Metric.update(options.metrics.committedWrites, writes)
  for (const keys of batch.expired?.values() ?? []) yield* Metric.update(options.metrics.expiredRecords, keys.size)
  options.onChanged(batch, transactionId)
})

/** Makes a committer. */
export const make = (options: CommitterOptions): Committer => ({
  options,
  map: MapGrowth.make({
    ...options,
    onCommitted: (batch, transactionId) => notify(options, batch, transactionId),
    onGrown: (size) =>
      Effect.andThen(Metric.update(options.metrics.growths, 1), Metric.update(options.metrics.mapSize, size))
  }),
  hasNoRoom: false
})

/** As many links as OpenTelemetry keeps of a span by default. */
const mostLinks = 128

/** Links to the spans of the fibers that wait for a commit. */
const linksTo = (spans: Iterable<Tracer.AnySpan>): ReadonlyArray<Tracer.SpanLink> => {
  const links = new Map<string, Tracer.SpanLink>()
  for (const span of spans) {
    if (links.size === mostLinks) break
    links.set(span.spanId, { span, attributes: {} })
  }
  return [...links.values()]
}

/** Returns the spans of the fibers that wait for a commit. Called at its end. */
type WaitingSpans = () => Iterable<Tracer.AnySpan>

/** Measures the duration of a commit that runs in a span, links the span to others, and records whether the commit fitted. */
const measured = Effect.fnUntraced(function*(
  self: Committer,
  commit: Effect.Effect<void, CommitError>,
  span: Tracer.Span,
  spans: WaitingSpans
): Effect.fn.Return<void, CommitError> {
  const [duration, exit] = yield* Effect.timed(Effect.exit(inSpan(commit, span)))
  span.addLinks(linksTo(spans()))
  yield* Metric.update(self.options.metrics.commitDuration, duration)
  self.hasNoRoom = didNotFit(exit)
  yield* exit
})

/** Runs a commit in a span. */
const traced = (
  self: Committer,
  commit: Effect.Effect<void, CommitError>,
  writes: number,
  spans: WaitingSpans
): Effect.Effect<void, CommitError> =>
  Effect.useSpan(
    "Store.commit",
    { attributes: { path: self.options.path, writes } },
    (span) => measured(self, commit, span, spans)
  )

/** Fails with the error of the first attempt if the emergency pages are not enough either. */
const orFailWith = (error: CommitError, commit: Effect.Effect<void, CommitError>): Effect.Effect<void, CommitError> =>
  Effect.catchTag(commit, "MapFull", (full) => Effect.fail(error._tag === "MapFull" ? full : error))

/** Commits one transaction: all of its writes or none. If it does not fit and only deletes, it may use the emergency pages. */
export const commitUntraced = (self: Committer, work: MapGrowth.Work): Effect.Effect<void, CommitError> =>
  Effect.catch(
    MapGrowth.commit(self.map, work),
    (error) =>
      MapGrowth.isOutOfRoom(error) && work.isFreeing()
        ? orFailWith(error, MapGrowth.commitWithEmergencyPages(self.map, work))
        : Effect.fail(error)
  )

/** Commits one transaction in a span. */
export const commit = (
  self: Committer,
  work: MapGrowth.Work,
  spans: WaitingSpans
): Effect.Effect<void, CommitError> => traced(self, commitUntraced(self, work), work.size, spans)

// ---------------------------------------------------------------------------
// memtables
// ---------------------------------------------------------------------------

/** Describes the commit of some writes of a memtable. */
const memtableWork = (
  { options: { foreignCommits } }: Committer,
  memtable: Memtable.Memtable,
  writes: ReadonlyArray<Write>
): MapGrowth.Work => ({
  plan: (present, transactionId) => {
    Memtable.enterTransaction(memtable)
    return Settled.map(foreignCommits.repair(writes, memtable.foreignAtStart, present, transactionId), (repaired) => ({
      clear: [],
      writes: repaired
    }))
  },
  size: writes.length,
  isFreeing: () => hasOnlyDeletions(writes)
})

/** Orders atomic units by the database and the key of their first write. */
const byFirst: Order.Order<ReadonlyArray<Write>> = Order.mapInput(
  Order.String,
  ([first]) => first === undefined ? "" : qualifiedKey(first[0], first[1])
)

/** Commits units of deletions with the emergency pages. Halves them until they fit: each half makes room for the next. */
const commitDeletions = (
  self: Committer,
  memtable: Memtable.Memtable,
  units: ReadonlyArray<ReadonlyArray<Write>>
): Effect.Effect<void, CommitError> =>
  Effect.catchTag(
    MapGrowth.commitWithEmergencyPages(self.map, memtableWork(self, memtable, units.flat())),
    "MapFull",
    (full) => {
      if (units.length === 1) return Effect.fail(full)
      const middle = units.length >> 1
      return Effect.andThen(
        commitDeletions(self, memtable, units.slice(0, middle)),
        commitDeletions(self, memtable, units.slice(middle))
      )
    }
  )

/** Commits the deletions that make room, and then the other writes. */
const commitDeletionsFirst = Effect.fnUntraced(function*(
  self: Committer,
  memtable: Memtable.Memtable,
  ahead: ReadonlyArray<ReadonlyArray<Write>>,
  error: CommitError
) {
  const { writes } = memtable
  // In the order of keys, pages become empty early, and the next deletions of the same transaction can use them.
  yield* Effect.catchTag(
    commitDeletions(self, memtable, ahead.toSorted(byFirst)),
    "MapFull",
    (): Effect.Effect<never, CommitError> =>
      error._tag === "MapFull" ? MapGrowth.mapFull(self.map, writes.size) : Effect.fail(error)
  )
  // The committed deletions are no longer among the writes.
  if (writes.size > 0) {
    yield* MapGrowth.reclaimFreedPages(self.map)
    yield* MapGrowth.commit(self.map, memtableWork(self, memtable, writes.toArray()))
  }
})

/**
 * Commits a sealed memtable in one transaction. If it does not fit, commits the deletions that were buffered
 * to make room first, and the other writes after them.
 */
export const commitMemtable = (self: Committer, memtable: Memtable.Memtable): Effect.Effect<void, CommitError> =>
  Effect.suspend(() => {
    const size = memtable.writes.size
    const whole = Effect.suspend(() =>
      MapGrowth.commit(self.map, memtableWork(self, memtable, Memtable.takeForCommit(memtable)))
    )
    const committed = Effect.catch(whole, (error) => {
      if (!MapGrowth.isOutOfRoom(error)) return Effect.fail(error)
      const ahead = Memtable.deletionsAhead(memtable)
      return ahead.length > 0 ? commitDeletionsFirst(self, memtable, ahead, error) : Effect.fail(error)
    })
    return traced(self, committed, size, () => memtable.spans)
  })
