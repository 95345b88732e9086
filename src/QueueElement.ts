/**
 * Describes the elements of queues, as `effect-lmdb/PersistedQueue` lists them.
 *
 * @since 0.2.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Result from "effect/Result"

/**
 * The state of an element of a queue.
 *
 * **Details**
 *
 * - `due`: it can be taken.
 * - `delayed`: it can be taken later, at `dueAt`.
 * - `leased`: a worker has taken it.
 * - `failed`: its attempts are used up, or it does not decode. Nobody takes it any more.
 * - `completed`: it was handled. It is kept without its value, so that an offer with the same id does nothing.
 *
 * @category models
 * @since 0.2.0
 */
export type QueueElementState = "due" | "delayed" | "leased" | "failed" | "completed"

/**
 * Describes an element of a queue.
 *
 * @category models
 * @since 0.2.0
 */
export interface QueueElement {
  readonly queue: string
  readonly id: string
  readonly state: QueueElementState
  /** What was offered, as the schema of the queue has encoded it to JSON. `undefined` if the element is completed. */
  readonly element: unknown
  /** How often it was taken. */
  readonly attempts: number
  /** From when on it can be taken. */
  readonly dueAt: DateTime.Utc
  /** When its state was last changed. */
  readonly changedAt: DateTime.Utc
  /** When the lease of its worker ends. `undefined` if it is not leased. */
  readonly leasedUntil: DateTime.Utc | undefined
  /** Why the last attempt failed, as text. */
  readonly lastFailure: string | undefined
}

/**
 * Describes an element that the store cannot decode.
 *
 * @category models
 * @since 0.2.0
 */
export interface DamagedQueueElement {
  /** The name of the queue, and the id of the element. Long ones are given as hashes, as the key has them. */
  readonly queue: string
  readonly id: string
  readonly detail: string
}

/**
 * An element of a queue, or a damaged one.
 *
 * @category models
 * @since 0.2.0
 */
export type ListedQueueElement = Result.Result<QueueElement, DamagedQueueElement>

/**
 * Selects elements of queues.
 *
 * @category options
 * @since 0.2.0
 */
export interface QueueElementSelection {
  /** The name of a queue. Default: all queues. */
  readonly name?: string | undefined
}
