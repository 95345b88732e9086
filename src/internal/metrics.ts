/**
 * What a store counts. Each metric carries the attribute `store`, the path.
 */
import * as Metric from "effect/Metric"

/** Transactions committed. */
export const commits = Metric.counter("effect_lmdb_commits", {
  description: "Transactions committed",
  incremental: true
})

/** Writes, of values and deletions, in committed transactions. */
export const committedWrites = Metric.counter("effect_lmdb_committed_writes", {
  description: "Writes in committed transactions",
  incremental: true
})

/** How long a commit took, growths and waiting for the disk included. */
export const commitDuration = Metric.timer("effect_lmdb_commit_duration", {
  description: "Duration of commits"
})

/** Distinct keys with a pending write, as of the last commit. */
export const pendingWrites = Metric.gauge("effect_lmdb_pending_writes", {
  description: "Distinct keys with a pending write, as of the last commit"
})

/** The encoded size of the pending writes in bytes, as of the last commit. */
export const pendingBytes = Metric.gauge("effect_lmdb_pending_bytes", {
  description: "Encoded size of the pending writes in bytes, as of the last commit"
})

/** How often the map grew. */
export const growths = Metric.counter("effect_lmdb_growths", {
  description: "Growths of the map",
  incremental: true
})

/** The size of the map in bytes. */
export const mapSize = Metric.gauge("effect_lmdb_map_size", {
  description: "Size of the map in bytes"
})
