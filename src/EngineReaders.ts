/**
 * Describes the processes that have a file of an engine open, and their read transactions.
 *
 * @since 0.2.0
 */
import type { StoreHolder } from "./StoreHolder.ts"

/**
 * Describes a slot for read transactions, which a process has taken.
 *
 * @category models
 * @since 0.2.0
 */
export interface ReaderSlot {
  readonly processId: number
  /** The transaction that is being read now. `undefined` if the slot is idle. */
  readonly transactionId: number | undefined
}

/**
 * Lists the processes that have a file open, and the slots for their read transactions.
 *
 * @category models
 * @since 0.2.0
 */
export interface EngineReaders {
  /** The other processes. */
  readonly processes: ReadonlyArray<StoreHolder>
  readonly slots: ReadonlyArray<ReaderSlot>
}
