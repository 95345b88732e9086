/**
 * A snapshot of a store: the committed records of one moment, and the writes that were pending then.
 */
import type { Reader } from "../../Backend.ts"

/** Reads the state of a store at one moment: the committed records, and usually the writes that were pending. */
export interface OpenSnapshot {
  readonly reader: Reader
  /** Whether it has writes that are not committed yet, and may never be. */
  readonly isTentative: boolean
  /** Whether its state could not be kept until the last read: the transaction that reads it has to run again. */
  readonly isOutdated: () => boolean
  /** Whether it was released. The store releases it when it closes. */
  readonly isReleased: () => boolean
  /** Releases the snapshot. Further calls do nothing. */
  readonly release: () => void
}
