/**
 * The metrics of a store. Each metric has the attribute `store` with the path of the store, because a process can have
 * several stores.
 */
import * as Metric from "effect/Metric"

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
    commitDuration: Metric.timer("effect_lmdb_commit_duration", {
      description: "Duration of commits",
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
    })
  }
}

/** The metrics of one store. */
export type Metrics = ReturnType<typeof make>
