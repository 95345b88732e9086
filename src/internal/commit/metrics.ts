/**
 * The metrics of a store. Each metric has the attribute `store` with the path of the store, because a process can have
 * several stores.
 *
 * Frequent events are counted in plain numbers, which the metrics show when a program reads them. So a read of a record
 * costs only one addition for its metric.
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Metric from "effect/Metric"

/** The counters that are plain numbers. They start at 0 when the store opens. */
export interface Counts {
  /** Calls that read. A call for a record, for several, for a count or for a stream counts as one. */
  reads: number
  /** Subscribers that got `ChangesMissed`. */
  missedChanges: number
  /** Writes that a unique index refused. */
  uniqueViolations: number
}

/** Makes the counters of a store, all 0. */
export const makeCounts = (): Counts => ({ reads: 0, missedChanges: 0, uniqueViolations: 0 })

/** The upper bounds of the buckets for durations, in milliseconds: each is about twice the one before it. */
const durations = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000]

type Attributes = { readonly store: string }

/** Makes a counter that only rises. */
const counter = (name: string, description: string, attributes: Attributes) =>
  Metric.counter(`effect_lmdb_${name}`, { description, incremental: true, attributes })

const gauge = (name: string, description: string, attributes: Attributes) =>
  Metric.gauge(`effect_lmdb_${name}`, { description, attributes })

/** Makes the metrics of the store at a path. */
export const make = (path: string) => {
  const attributes: Attributes = { store: path }
  return {
    commits: counter("commits", "Transactions committed", attributes),
    /** Writes, both values and deletions, in committed transactions. */
    committedWrites: counter("committed_writes", "Writes in committed transactions", attributes),
    expiredRecords: counter("expired_records", "Records deleted because they had expired", attributes),
    /** Transactions that conflicted with another, and then ran again or failed. */
    conflicts: counter("transaction_conflicts", "Transactions that were in conflict with another", attributes),
    /** The duration of a commit. It includes growths of the map and the wait for the disk. */
    commitDuration: Metric.timer("effect_lmdb_commit_duration_milliseconds", {
      description: "Duration of commits, in milliseconds",
      boundaries: durations,
      attributes
    }),
    pendingWrites: gauge("pending_writes", "Distinct keys with a pending write, as of the last commit", attributes),
    pendingBytes: gauge(
      "pending_bytes",
      "Encoded size of the pending writes in bytes, as of the last commit",
      attributes
    ),
    growths: counter("growths", "Growths of the map", attributes),
    mapSize: gauge("map_size", "Size of the map in bytes", attributes),
    reads: counter(
      "reads",
      "Calls that read: single records, several, counts, and streams, each as one",
      attributes
    ),
    missedChanges: counter(
      "missed_changes",
      "Subscribers to changes that were too slow and got ChangesMissed",
      attributes
    ),
    uniqueViolations: counter("unique_violations", "Writes that a unique index refused", attributes),
    openSnapshots: gauge("open_snapshots", "Snapshots that are open, of transactions and of streams", attributes),
    /** LMDB cannot reuse pages that were freed after the oldest snapshot was opened. */
    oldestSnapshotAge: gauge(
      "oldest_snapshot_age_milliseconds",
      "Age of the oldest open snapshot, in milliseconds; 0 where none is open",
      attributes
    )
  }
}

/** The metrics of one store. */
export type Metrics = ReturnType<typeof make>

/** The figures about the open snapshots of a store. */
export interface SnapshotFigures {
  readonly count: () => number
  /** The age of the oldest in milliseconds. */
  readonly oldestAge: () => number
}

/** Lets the metrics read the plain numbers of an open store. The counters continue from their current values. */
export const publish = (metrics: Metrics, counts: Counts, snapshots: SnapshotFigures): Effect.Effect<void> =>
  Effect.map(Effect.context(), (context) => {
    const showCount = (metric: Metrics["reads"], count: () => number): void => {
      const before = metric.valueUnsafe(context).count
      const get = () => ({ count: before + count(), incremental: true })
      Metric.registerUnsafe(metric, context, { get, update: constVoid, modify: constVoid })
    }
    const showValue = (metric: Metrics["openSnapshots"], value: () => number): void => {
      Metric.registerUnsafe(metric, context, { get: () => ({ value: value() }), update: constVoid, modify: constVoid })
    }
    showCount(metrics.reads, () => counts.reads)
    showCount(metrics.missedChanges, () => counts.missedChanges)
    showCount(metrics.uniqueViolations, () => counts.uniqueViolations)
    showValue(metrics.openSnapshots, snapshots.count)
    showValue(metrics.oldestSnapshotAge, snapshots.oldestAge)
  })

/** Sets the gauges of the pending writes to the present numbers of a buffer. */
export const updatePending = (
  metrics: Metrics,
  buffer: { readonly size: number; readonly bytes: number }
): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.andThen(Metric.update(metrics.pendingWrites, buffer.size), Metric.update(metrics.pendingBytes, buffer.bytes))
  )
