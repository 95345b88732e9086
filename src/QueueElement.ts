/**
 * Lists the elements of queues. It is a part of `effect-lmdb/PersistedQueue`.
 *
 * @since 0.2.0
 */
import type * as DateTime from "effect/DateTime"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Result from "effect/Result"
import type * as Stream from "effect/Stream"
import * as Listing from "./internal/ports/queueListing.ts"
import type { Store } from "./Store.ts"
import type { Closed, EngineFailure, KeyEncoding } from "./StoreError.ts"

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

/**
 * Streams the elements of a queue, or of all queues, in the order of their ids. It reads a snapshot of a store, which may be
 * open with `readOnly`. An element that the store cannot decode is a failure in the stream, and does not end it.
 *
 * @category inspection
 * @since 0.2.0
 */
export const elements = (
  selection: QueueElementSelection = {}
): Stream.Stream<ListedQueueElement, Closed | EngineFailure | KeyEncoding, Store> => Listing.elements(selection)

/**
 * Reads an element of a queue. Returns `none` if the queue has no such element.
 *
 * @category inspection
 * @since 0.2.0
 */
export const element = (
  name: string,
  id: string
): Effect.Effect<Option.Option<ListedQueueElement>, Closed | EngineFailure | KeyEncoding, Store> =>
  Listing.element(name, id)
