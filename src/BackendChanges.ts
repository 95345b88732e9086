/**
 * Defines what a backend reports to subscribers: the committed changes of a database, and the numbers of transactions.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { ByteString } from "./Key.ts"
import type { ChangesMissed, EngineFailure } from "./StoreError.ts"

/**
 * Describes one write of a committed transaction.
 *
 * **Details**
 *
 * `value` is `null` if the key was deleted. `before` describes the value before the transaction: `false` if the key had
 * none, `true` if it had one, or the bytes of that value. It is `undefined` if the subscriber did not ask for it.
 * If the transaction cleared the database, its keys had no values before the writes.
 *
 * @category models
 * @since 0.1.0
 */
export type CommittedWrite = readonly [
  key: ByteString,
  value: Uint8Array | null,
  before?: Uint8Array | boolean | undefined
]

/**
 * Describes what one transaction has changed in a database.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommittedChanges {
  readonly transactionId: number
  /** Whether the database was cleared before the writes. */
  readonly isCleared: boolean
  /** The written keys, each once. */
  readonly writes: ReadonlyArray<CommittedWrite>
  /** The keys that were deleted because their records had expired. */
  readonly expired: ReadonlySet<ByteString>
}

/**
 * Gives one subscriber its changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subscription<E = never> {
  /** Waits for the next transaction that has changed any of the subscribed keys. */
  readonly take: Effect.Effect<CommittedChanges, ChangesMissed | Cause.Done | E>
  /** Ends the subscription. `take` gives the waiting changes first. */
  readonly end: () => void
}

/**
 * Selects the changes of a subscription.
 *
 * @category options
 * @since 0.1.0
 */
export interface SubscriptionOptions {
  readonly database: string
  readonly contains: (key: ByteString) => boolean
  /** The maximum number of waiting changes. A single transaction may have more. */
  readonly capacity: number
  /** What the subscriber receives about the value before the transaction. Default: nothing. */
  readonly before?: "nothing" | "existence" | "value" | undefined
}

/**
 * Selects the changes of a subscription to the change log, which has the commits of all processes.
 *
 * @category options
 * @since 0.1.0
 */
export interface LogSubscriptionOptions extends Omit<SubscriptionOptions, "capacity"> {
  /** The subscriber receives the transactions after this one. */
  readonly since: number
  /** How often to look for commits of other processes. */
  readonly pollInterval: Duration.Duration
}

/**
 * Describes a committed transaction.
 *
 * **Details**
 *
 * Commits of other processes are noticed some time later, several at once. One element stands for all of them
 * up to `transactionId`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Commit {
  /** The number of the transaction; later transactions have higher numbers. */
  readonly transactionId: number
  /** Whether this process committed it. */
  readonly isOwn: boolean
}

/**
 * Gives one subscriber the commits of all processes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommitSubscription {
  readonly take: Effect.Effect<Commit, EngineFailure | Cause.Done>
  /** Ends the subscription. `take` gives the waiting commits first. */
  readonly end: () => void
}
