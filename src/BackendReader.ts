/**
 * Defines what reads the records of a backend: readers of the current state, and snapshots.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { RangePart, RangeRequest } from "./Engine.ts"
import type { ByteString } from "./Key.ts"
import type { EngineFailure } from "./StoreError.ts"

/**
 * Reads records. A database that does not exist is read as an empty one.
 *
 * **Details**
 *
 * LMDB answers at once: its effects are `Exit`s. A database server answers later. Code that reads
 * must be correct for both.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  /**
   * Reads a value and decodes it. Returns `undefined` if the key has none.
   *
   * **Gotchas**
   *
   * The bytes are valid only while `decode` runs. Only the first `length` bytes of their `ArrayBuffer` belong to the
   * value.
   */
  readonly get: <A>(
    database: string,
    key: ByteString,
    decode: (bytes: Uint8Array) => A
  ) => Effect.Effect<A | undefined, EngineFailure>

  /**
   * Reads values of one moment and decodes them, in the order of the list. A key without a value gives `undefined`.
   */
  readonly getMany: <A>(
    database: string,
    keys: ReadonlyArray<ByteString>,
    decode: (bytes: Uint8Array, at: number) => A
  ) => Effect.Effect<ReadonlyArray<A | undefined>, EngineFailure>

  /** Tells whether a key has a value. */
  readonly has: (database: string, key: ByteString) => Effect.Effect<boolean, EngineFailure>

  /** Reads a part of a range. */
  readonly read: (database: string, request: RangeRequest) => Effect.Effect<RangePart, EngineFailure>

  /** Counts the records of a database. */
  readonly count: (database: string) => Effect.Effect<number, EngineFailure>

  /** Also reads the expired records that this reader hides. `undefined` if it hides none. */
  readonly stored?: Reader | undefined
}

/**
 * Reads the records of one moment. Later writes do not change what it reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot extends Reader {
  /**
   * Releases the snapshot. It must not be read after that. A read that still waits fails with `EngineFailure`. Further
   * calls do nothing.
   */
  readonly release: () => void
}

/**
 * A snapshot of the state that the next commit is about to make.
 *
 * @category models
 * @since 0.1.0
 */
export interface NextSnapshot extends Snapshot {
  /**
   * Whether it has writes that are not committed yet, and may never be. A result that was computed from them is valid only
   * after a commit has checked the reads.
   */
  readonly isTentative: boolean
}

/**
 * A snapshot that one attempt of a transaction reads.
 *
 * **Details**
 *
 * All reads are of one state of the store. That may be a later state than that of the opening, if everything that was read
 * is the same in it.
 *
 * @category models
 * @since 0.2.0
 */
export interface TransactionSnapshot extends NextSnapshot {
  /**
   * Whether no state has everything that was read and what a read was about to return, or the state was lost. Such a read
   * interrupts its fiber, and so do all later reads. The attempt is a conflict, whatever it returns.
   */
  readonly isOutdated: () => boolean
}

/**
 * A snapshot of the committed records, without pending writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommittedSnapshot extends Snapshot {
  /** The number of the last transaction that the snapshot includes. */
  readonly transactionId: number
}
