/**
 * A snapshot of a store: what LMDB had at one moment, read through the writes that were pending
 * then.
 */
import type { Reader } from "../../Backend.ts"

/** The state of a store at one moment, pending writes included. */
export interface OpenSnapshot {
  readonly reader: Reader
  /** Whether its reader has released it, or the store has closed. */
  readonly isReleased: () => boolean
  /** Releases the snapshot. Only the first call does anything. */
  readonly release: () => void
}
