/**
 * Reads a range of a database as a stream of bytes, for one handle.
 *
 * A stream reads one part at a time and yields between the parts, so that a long range takes no more
 * memory than a short one and other fibers can run. Its snapshot is released with its scope. In a
 * transaction, the stream reads what the transaction reads when the stream starts.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type { Reader } from "../../Backend.ts"
import type { KeyRange } from "../../Engine.ts"
import type { StreamRange } from "../../Range.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import * as Settled from "../settled.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as StoreAccess from "./storeAccess.ts"

type Access = StoreAccess.StoreAccess

/** A key with the bytes of its value. The bytes are empty if values are not read. */
export type StoredRecord = RangeReader.Part[number]

/** Pulls the next items of a stream. */
export type RecordPull<A> = Pull.Pull<Arr.NonEmptyReadonlyArray<A>, Closed | EngineFailure>

/** Finds the item for each record of a part, from the same reader. `undefined` leaves a record out. */
export type Resolve<A> = (
  part: ReadonlyArray<StoredRecord>,
  reader: Reader
) => Effect.Effect<ReadonlyArray<A | undefined>, EngineFailure>

/** Which records of a range a stream reads, and how. */
export type RecordStreamOptions =
  & KeyRange
  & Pick<StreamRange, "reverse" | "offset" | "limit" | "snapshot">
  & {
    readonly database: string
    readonly values: boolean
  }

/** The state that a stream reads. */
interface Source {
  /** Runs reads of one part, all of the same moment. Call it while the store can be read. */
  readonly read: <A, E>(use: (reader: Reader) => Effect.Effect<A, E>) => Effect.Effect<A, E | EngineFailure>
  /** Fails if the source can no longer be read, because the store has closed or the transaction has ended. */
  readonly check: Effect.Effect<void, Closed>
}

/** Applies `offset` and `limit` to the parts of a range. */
const makeCut = ({ limit = Infinity, offset = 0 }: RecordStreamOptions) => {
  let skipped = offset
  let left = limit
  return {
    isDone: () => left === 0,
    wanted: () => skipped + left,
    apply: (part: RangeReader.Part): RangeReader.Part => {
      const kept = part.slice(skipped, skipped + left)
      skipped = Math.max(0, skipped - part.length)
      left -= kept.length
      return kept
    }
  }
}

/** Returns the records themselves. */
export const itself: Resolve<StoredRecord> = Exit.succeed

/** The converted items of a part, before the first that failed, and its failure. */
export interface Converted<B, E> {
  readonly items: ReadonlyArray<B>
  readonly failed?: Exit.Exit<never, E> | undefined
}

/** Converts the items of a stream, one part at a time. If an item fails, gives the items before it and then fails. */
export const converting = <A, B, E, R>(
  pull: RecordPull<A>,
  convert: (part: ReadonlyArray<A>) => Effect.Effect<Converted<B, E>, never, R>
): Pull.Pull<Arr.NonEmptyReadonlyArray<B>, E | Closed | EngineFailure, void, R> => {
  let failed: Converted<B, E>["failed"]
  const pullOrFail = Effect.suspend((): Pull.Pull<ReadonlyArray<A>, E | Closed | EngineFailure> =>
    failed === undefined ? pull : failed
  )
  const next: Pull.Pull<Arr.NonEmptyReadonlyArray<B>, E | Closed | EngineFailure, void, R> = Effect.flatMap(
    Effect.flatMap(pullOrFail, convert),
    (converted) => {
      failed = converted.failed
      return Arr.isReadonlyArrayNonEmpty(converted.items) ? Effect.succeed(converted.items) : next
    }
  )
  return next
}

/** Opens a snapshot. It is released with the scope. */
export const acquireSnapshot = (access: Access): Effect.Effect<OpenSnapshot, Closed | EngineFailure, Scope.Scope> => {
  const { core } = access.handle
  return Effect.andThen(
    core.backend.beforeSnapshot,
    StoreAccess.readLive(access, () =>
      Effect.acquireRelease(
        Effect.suspend(core.openSnapshot),
        (opened) => Effect.sync(opened.release)
      ))
  )
}

/** Opens a snapshot for a stream. */
const openSnapshot = (access: Access): Effect.Effect<Source, Closed | EngineFailure, Scope.Scope> =>
  Effect.map(acquireSnapshot(access), ({ isReleased, reader }): Source => ({
    read: (use) => use(reader),
    check: Effect.suspend(() => access.handle.isClosed() || isReleased() ? access.closed : Effect.void)
  }))

const checkOpen = (access: Access): Effect.Effect<void, Closed> =>
  Effect.suspend(() => StoreAccess.refusal(access) ?? Effect.void)

/** Makes a source that reads each part from the current state of the store. */
const openLive = (access: Access): Effect.Effect<Source, Closed | EngineFailure> =>
  StoreAccess.readLive(
    access,
    () => Effect.succeed<Source>({ read: (use) => StoreAccess.readMoment(access, use), check: checkOpen(access) })
  )

/** Makes a source that reads what the transaction reads now: its later writes are not seen. */
const openInside = (access: Access, transaction: Transaction.Transaction): Effect.Effect<Source> =>
  Effect.sync(() => {
    const reader = Transaction.freezeReader(transaction)
    return {
      read: (use) => use(reader),
      check: Effect.andThen(
        checkOpen(access),
        Effect.suspend(() => Transaction.isOpen(transaction) ? Effect.void : access.transactionEnded)
      )
    }
  })

/** Finds the items for the records of a part. */
const resolveAll = <A>(
  part: RangeReader.Part,
  reader: Reader,
  resolve: Resolve<A>
): Effect.Effect<ReadonlyArray<A>, EngineFailure> =>
  Settled.map(resolve(part, reader), (resolved) => resolved.filter((found) => found !== undefined))

const pullFrom = <A>(
  access: Access,
  source: Source,
  options: RecordStreamOptions,
  resolve: Resolve<A>
): RecordPull<A> => {
  const { database, from, reverse, to, values } = options
  const cut = makeCut(options)
  /** The reader of the present part. */
  let present: Reader | undefined
  const read = RangeReader.make(
    { read: (name, request) => present?.read(name, request) ?? Effect.die("a part is read from a reader") },
    database,
    { from, to, values, reverse: reverse === true, wanted: cut.wanted }
  )
  const readPart = (): Pull.Pull<ReadonlyArray<A>, Closed | EngineFailure> => {
    const part = source.read((reader) => {
      present = reader
      return Settled.flatMap(
        read(),
        (records): Pull.Pull<ReadonlyArray<A>, EngineFailure> =>
          records === undefined ? Cause.done() : resolveAll(cut.apply(records), reader, resolve)
      )
    })
    // The transaction may have ended while the read waited.
    return Settled.isSettled(part) ?
      part :
      Effect.catchTag(part, "EngineFailure", (error) => Effect.andThen(source.check, Effect.fail(error)))
  }
  const readNext = Effect.suspend((): Pull.Pull<ReadonlyArray<A>, Closed | EngineFailure> =>
    cut.isDone() ? Cause.done() : StoreAccess.whenReadable(access, () => Effect.flatMap(source.check, readPart))
  )
  let isFirst = true
  const yieldBetween = Effect.suspend(() => {
    if (!isFirst) return Effect.yieldNow
    isFirst = false
    return Effect.void
  })
  const next: RecordPull<A> = yieldBetween.pipe(
    Effect.andThen(readNext),
    Effect.flatMap((found) => Arr.isReadonlyArrayNonEmpty(found) ? Effect.succeed(found) : next)
  )
  return next
}

/** Opens a stream in the transaction that the fiber is in, or outside transactions. */
export const open = <A>(
  access: Access,
  options: RecordStreamOptions,
  resolve: Resolve<A>
): Effect.Effect<RecordPull<A>, Closed | EngineFailure, Scope.Scope> =>
  StoreAccess.enter(access, (transaction) => {
    access.handle.core.counts.reads++
    return Effect.map(
      transaction !== undefined
        ? openInside(access, transaction)
        : options.snapshot === false
        ? openLive(access)
        : openSnapshot(access),
      (source) => pullFrom(access, source, options, resolve)
    )
  })
