/**
 * The metrics of a store. Each metric has the attribute `store` with the path of the store, because a process can have
 * several stores.
 *
 * What happens often is counted in plain numbers, which the metrics show when a program reads them. So a read costs
 * one addition more.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

/** What is counted in plain numbers, since the store was opened. */
export interface Counts {
  /** Calls that read: single records, several, counts, and streams, each as one. */
  reads: number
  /** Subscribers that got `ChangesMissed`. */
  missedChanges: number
  /** Writes that a unique index refused. */
  uniqueViolations: number
}

/** Starts to count. */
export const makeCounts = (): Counts => ({ reads: 0, missedChanges: 0, uniqueViolations: 0 })

/** From a quarter of a millisecond, in steps of about two, to half a minute. */
const durations = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000]

/** Makes the metrics of the store at a path. */
export const make = (path: string) => {
  const attributes = { store: path }
  return {
    /** Committed transactions. */
    commits: Metric.counter("effect_lmdb_commits", {
      description: "Transactions committed",
      incremental: true,
      attributes
    }),
    /** Writes, both values and deletions, in committed transactions. */
    committedWrites: Metric.counter("effect_lmdb_committed_writes", {
      description: "Writes in committed transactions",
      incremental: true,
      attributes
    }),
    /** Records that were deleted because they had expired. */
    expiredRecords: Metric.counter("effect_lmdb_expired_records", {
      description: "Records deleted because they had expired",
      incremental: true,
      attributes
    }),
    /** Transactions that conflicted with another, and then ran again or failed. */
    conflicts: Metric.counter("effect_lmdb_transaction_conflicts", {
      description: "Transactions that were in conflict with another",
      incremental: true,
      attributes
    }),
    /** The duration of a commit, with growths of the map and the wait for the disk. */
    commitDuration: Metric.timer("effect_lmdb_commit_duration_milliseconds", {
      description: "Duration of commits, in milliseconds",
      boundaries: durations,
      attributes
    }),
    /** The number of distinct keys with a pending write after the last commit. */
    pendingWrites: Metric.gauge("effect_lmdb_pending_writes", {
      description: "Distinct keys with a pending write, as of the last commit",
      attributes
    }),
    /** The size of the pending writes, keys and encoded values, after the last commit, in bytes. */
    pendingBytes: Metric.gauge("effect_lmdb_pending_bytes", {
      description: "Encoded size of the pending writes in bytes, as of the last commit",
      attributes
    }),
    /** Growths of the map. */
    growths: Metric.counter("effect_lmdb_growths", {
      description: "Growths of the map",
      incremental: true,
      attributes
    }),
    /** The size of the map in bytes. */
    mapSize: Metric.gauge("effect_lmdb_map_size", {
      description: "Size of the map in bytes",
      attributes
    }),
    /** Calls that read. */
    reads: Metric.counter("effect_lmdb_reads", {
      description: "Calls that read: single records, several, counts, and streams, each as one",
      incremental: true,
      attributes
    }),
    /** Subscribers that were too slow. */
    missedChanges: Metric.counter("effect_lmdb_missed_changes", {
      description: "Subscribers to changes that were too slow and got ChangesMissed",
      incremental: true,
      attributes
    }),
    /** Writes that a unique index refused. */
    uniqueViolations: Metric.counter("effect_lmdb_unique_violations", {
      description: "Writes that a unique index refused",
      incremental: true,
      attributes
    }),
    /** How many snapshots are open at present, of transactions and of streams. */
    openSnapshots: Metric.gauge("effect_lmdb_open_snapshots", {
      description: "Snapshots that are open, of transactions and of streams",
      attributes
    }),
    /** How long the oldest of them has been open: pages that were freed since cannot be used again. */
    oldestSnapshotAge: Metric.gauge("effect_lmdb_oldest_snapshot_age_milliseconds", {
      description: "Age of the oldest open snapshot, in milliseconds; 0 where none is open",
      attributes
    })
  }
}

/** The metrics of one store. */
export type Metrics = ReturnType<typeof make>

/** What is known of the open snapshots of a store. */
export interface SnapshotFigures {
  readonly count: () => number
  /** The age of the oldest in milliseconds. */
  readonly oldestAge: () => number
}

const ignore = (): void => undefined

/** Shows the plain numbers of an open store whenever a program reads its metrics. Counters go on from where they were. */
export const publish = (metrics: Metrics, counts: Counts, snapshots: SnapshotFigures): Effect.Effect<void> =>
  Effect.map(Effect.context(), (context) => {
    const showCount = (metric: Metrics["reads"], count: () => number): void => {
      const before = metric.valueUnsafe(context).count
      const get = () => ({ count: before + count(), incremental: true })
      Metric.registerUnsafe(metric, context, { get, update: ignore, modify: ignore })
    }
    const showValue = (metric: Metrics["openSnapshots"], value: () => number): void => {
      Metric.registerUnsafe(metric, context, { get: () => ({ value: value() }), update: ignore, modify: ignore })
    }
    showCount(metrics.reads, () => counts.reads)
    showCount(metrics.missedChanges, () => counts.missedChanges)
    showCount(metrics.uniqueViolations, () => counts.uniqueViolations)
    showValue(metrics.openSnapshots, snapshots.count)
    showValue(metrics.oldestSnapshotAge, snapshots.oldestAge)
  })
