/**
 * Reads a range of a database as a stream of bytes, for one holder of a store.
 *
 * A stream reads part by part and yields between the parts, so that it holds up
 * neither memory nor other fibers. Its snapshot is released with its scope; in a
 * transaction it is that of the transaction.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { KeyRange, Reader } from "../../Engine.ts"
import type { StreamRange } from "../../Range.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import type { Transaction } from "../transaction/transaction.ts"
import type { Holder, StoreAccess } from "./storeAccess.ts"

/** A key with the bytes of its value, empty where values are not read. */
export type StoredRecord = RangeReader.Part[number]

/** Gives the next of what a stream reads. */
export type RecordPull<A> = Pull.Pull<Arr.NonEmptyReadonlyArray<A>, Closed | EngineFailure>

/** Finds what belongs to a record, in the same moment; `undefined` leaves it out. */
export type Resolve<A> = (record: StoredRecord, reader: Reader) => Result.Result<A | undefined, EngineFailure>

/** What of a range is read, and how. */
export type RecordStreamOptions =
  & KeyRange
  & Pick<StreamRange, "reverse" | "offset" | "limit" | "snapshot">
  & {
    readonly database: string
    readonly values: boolean
  }

/** What a stream reads from. */
interface Source {
  readonly reader: Reader
  /** Fails when nothing can be read from it any more. */
  readonly check: Effect.Effect<void, Closed>
}

/** Cuts parts as `offset` and `limit` want it. */
const makeCut = ({ limit = Infinity, offset = 0 }: RecordStreamOptions) => {
  let passOver = offset
  let left = limit
  return {
    isDone: () => left === 0,
    wanted: () => passOver + left,
    apply: (part: RangeReader.Part): RangeReader.Part => {
      const kept = part.slice(passOver, passOver + left)
      passOver = Math.max(0, passOver - part.length)
      left -= kept.length
      return kept
    }
  }
}

/** The record itself. */
export const itself: Resolve<StoredRecord> = Result.succeed

/** What a part was converted to: up to the first that fails. */
export interface Converted<B, E> {
  readonly items: ReadonlyArray<B>
  readonly failed?: { readonly error: E } | undefined
}

/** Converts what is pulled, part by part. What comes before an item that fails is given first. */
export const converting = <A, B, E, R>(
  pull: RecordPull<A>,
  convert: (part: ReadonlyArray<A>) => Effect.Effect<Converted<B, E>, never, R>
): Pull.Pull<Arr.NonEmptyReadonlyArray<B>, E | Closed | EngineFailure, void, R> => {
  let failed: Converted<B, E>["failed"]
  const pullOrFail = Effect.suspend((): Pull.Pull<ReadonlyArray<A>, E | Closed | EngineFailure> =>
    failed === undefined ? pull : Effect.fail(failed.error)
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

/** Opens the streams of one holder. */
export type OpenRecords = ReturnType<typeof make>

/** Makes what opens the streams of one holder. */
export const make = ({ core, isClosed }: Holder, { closed, ended, enter, readLive, whenReadable }: StoreAccess) => {
  const checkOpen = Effect.suspend(() => isClosed() ? closed : Effect.void)

  const openSnapshot: Effect.Effect<Source, Closed | EngineFailure, Scope.Scope> = Effect.andThen(
    core.beforeSnapshot,
    readLive(() =>
      Effect.acquireRelease(
        Effect.suspend(() => Effect.fromResult(core.openSnapshot())),
        (opened) => Effect.sync(opened.release)
      )
    )
  ).pipe(
    Effect.map(({ isReleased, reader }) => ({
      reader,
      check: Effect.suspend(() => isClosed() || isReleased() ? closed : Effect.void)
    }))
  )

  /** The store as it is each time that a part is read. */
  const openLive: Effect.Effect<Source, Closed | EngineFailure> = readLive((reader) =>
    Effect.succeed({ reader, check: checkOpen })
  )

  const openInside = (transaction: Transaction): Effect.Effect<Source> =>
    Effect.sync(() => ({
      reader: transaction.freeze(),
      check: Effect.andThen(checkOpen, Effect.suspend(() => transaction.isOpen() ? Effect.void : ended))
    }))

  const pullFrom = <A>(
    { check, reader }: Source,
    options: RecordStreamOptions,
    resolve: Resolve<A>
  ): RecordPull<A> => {
    const { database, from, reverse, to, values } = options
    const cut = makeCut(options)
    const read = RangeReader.make(reader, database, { from, to, values, reverse: reverse === true, wanted: cut.wanted })
    const readPart = (): Pull.Pull<ReadonlyArray<A>, Closed | EngineFailure> => {
      const part = read()
      if (Result.isFailure(part)) return Effect.fail(part.failure)
      if (part.success === undefined) return Cause.done()
      const found: Array<A> = []
      for (const record of cut.apply(part.success)) {
        const resolved = resolve(record, reader)
        if (Result.isFailure(resolved)) return Effect.fail(resolved.failure)
        if (resolved.success !== undefined) found.push(resolved.success)
      }
      return Effect.succeed(found)
    }
    const readNext = Effect.suspend((): Pull.Pull<ReadonlyArray<A>, Closed | EngineFailure> =>
      cut.isDone() ? Cause.done() : whenReadable(() => Effect.flatMap(check, readPart))
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

  return <A>(
    options: RecordStreamOptions,
    resolve: Resolve<A>
  ): Effect.Effect<RecordPull<A>, Closed | EngineFailure, Scope.Scope> =>
    enter((transaction) =>
      Effect.map(
        transaction !== undefined ? openInside(transaction) : options.snapshot === false ? openLive : openSnapshot,
        (source) => pullFrom(source, options, resolve)
      )
    )
}
