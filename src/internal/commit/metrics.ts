/**
 * What a store counts. Each metric carries the attribute `store`, the path, so that
 * the stores of a process can be told apart.
 */
import * as Metric from "effect/Metric"

/** The metrics of the store at a path. */
export const make = (path: string) => {
  const attributes = { store: path }
  return {
    /** Transactions committed. */
    commits: Metric.counter("effect_lmdb_commits", {
      description: "Transactions committed",
      incremental: true,
      attributes
    }),
    /** Writes, of values and deletions, in committed transactions. */
    committedWrites: Metric.counter("effect_lmdb_committed_writes", {
      description: "Writes in committed transactions",
      incremental: true,
      attributes
    }),
    /** Transactions that were in conflict with another, and ran again or were given up. */
    conflicts: Metric.counter("effect_lmdb_transaction_conflicts", {
      description: "Transactions that were in conflict with another",
      incremental: true,
      attributes
    }),
    /** How long a commit took, growths and waiting for the disk included. */
    commitDuration: Metric.timer("effect_lmdb_commit_duration", {
      description: "Duration of commits",
      attributes
    }),
    /** Distinct keys with a pending write, as of the last commit. */
    pendingWrites: Metric.gauge("effect_lmdb_pending_writes", {
      description: "Distinct keys with a pending write, as of the last commit",
      attributes
    }),
    /** The encoded size of the pending writes in bytes, as of the last commit. */
    pendingBytes: Metric.gauge("effect_lmdb_pending_bytes", {
      description: "Encoded size of the pending writes in bytes, as of the last commit",
      attributes
    }),
    /** How often the map grew. */
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
