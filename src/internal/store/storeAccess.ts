/**
 * How the methods of a store and of its collections read and write, for one of its
 * holders: in the transaction that the calling fiber is in, or else through the buffer.
 *
 * A call looks first at what may be in its way: a closed store or an ended transaction,
 * a read-only store, an environment that is being resized, a full buffer. JavaScript
 * between two suspensions is a step of its own, so that nothing else takes a permit.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { Reader, Write } from "../../Engine.ts"
import { type ByteString, type KeyCodec, toBytes } from "../../Key.ts"
import { Closed, type CommitError, type EngineFailure, ReadOnly, type ValueDecoding } from "../../StoreError.ts"
import { fromWrites, hasOnlyDeletions, type WriteSet } from "../buffer/writeSet.ts"
import { conditionalUnit, type Step, stepUnit, type Unit } from "../commit/groupCommit.ts"
import { currentOf, type Transaction } from "../transaction/transaction.ts"
import { decodingFailure } from "../value/decodingFailure.ts"
import type { StoreCore } from "./openStore.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** A holder of an open store. */
export interface Holder {
  readonly core: StoreCore
  /** The options that this holder has given. Other holders may have given others, where that is allowed. */
  readonly options: ResolvedOptions
  /** Encodes keys, and shows them as this holder wants. */
  readonly keys: KeyCodec
  readonly isClosed: () => boolean
  /** Calls back when the hold was given up; gives what takes that back. */
  readonly onReleased: (listener: () => void) => () => void
}

/** What came of an attempt, or what it has to wait for before the next. */
type Attempt<A, E> = { readonly result: Result.Result<A, E> } | { readonly wait: Effect.Effect<void, E> }

/** Reads; `flush` says whether what is pending is committed first, unless it answers the question. */
type StoreRead = <A, E, R>(
  use: (reader: Reader) => Effect.Effect<A, E, R>,
  flush?: boolean,
  isPending?: () => boolean
) => Effect.Effect<A, E | Closed, R>

/** How the methods of one holder read and write. */
export type StoreAccess = ReturnType<typeof make>

/** Makes what the methods of one holder begin with. */
export const make = ({ core, isClosed, keys, options }: Holder) => {
  const { buffer, definitions, live, pending, units, values } = core
  const { path } = options
  const flushesFirst = options.autoFlushOnRead && !options.readOnly

  const closed = Effect.suspend(() => Effect.fail(new Closed({ path, what: "Store" })))
  const ended = Effect.suspend(() => Effect.fail(new Closed({ path, what: "Transaction" })))

  /** Begins a call: with the transaction that its fiber is in. */
  const enter = <A, E, R>(
    use: (transaction: Transaction | undefined) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Closed, R> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | Closed, R> => {
      if (isClosed()) return closed
      const transaction = currentOf(fiber, core)
      return transaction === undefined || transaction.isOpen() ? use(transaction) : ended
    })

  /**
   * What a read outside of transactions reads from, where nothing is in its way; else it takes the other path.
   * This is asked for each record, and has no closures to make.
   */
  const readerAtOnce = (fiber: Fiber.Fiber<unknown, unknown>): Reader | undefined =>
    isClosed() || flushesFirst || !core.isReadable() || currentOf(fiber, core) !== undefined ? undefined : live

  /** Reads after something was waited for. */
  const whenReadableAgain = <A, E, R>(use: () => Effect.Effect<A, E, R>): Effect.Effect<A, E | Closed, R> =>
    core.whileReadable(
      // A read that came before the close is answered, as long as there is something to read from.
      Effect.suspend((): Effect.Effect<A, E | Closed, R> => core.isOpen() ? use() : closed)
    )

  /** Reads, now or when the environment can be read. Decides on that at once. */
  const whenReadable = <A, E, R>(use: () => Effect.Effect<A, E, R>): Effect.Effect<A, E | Closed, R> =>
    core.isReadable() ? use() : whenReadableAgain(use)

  /** Reads what is pending and what is stored; `flush` commits the former first, unless it answers the question. */
  const readLive = <A, E, R>(
    use: (reader: Reader) => Effect.Effect<A, E, R>,
    flush = options.autoFlushOnRead,
    isPending: () => boolean = () => false
  ): Effect.Effect<A, E | Closed, R> => {
    const read = () => use(live)
    return flush && !options.readOnly && !isPending()
      ? Effect.andThen(pending.flushQuietly, whenReadableAgain(read))
      : whenReadable(read)
  }

  /** Begins a write. */
  const enterToWrite = <A, E, R>(
    use: (transaction: Transaction | undefined) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Closed | ReadOnly, R> =>
    enter((transaction): Effect.Effect<A, E | ReadOnly, R> =>
      options.readOnly ? Effect.fail(new ReadOnly({ path })) : use(transaction)
    )

  const refusal = (): Effect.Effect<never, Closed> | undefined => isClosed() ? closed : undefined

  const again = <A, E>(next: () => Effect.Effect<A, E>): Effect.Effect<A, E | Closed> =>
    Effect.suspend((): Effect.Effect<A, E | Closed> => refusal() ?? next())

  const taken = Effect.suspend(() => Effect.fail(new Closed({ path, what: "Collection" })))

  /** Whether no collection that is written to was taken over since a call began, after this many takeovers. */
  const isPermitted = (writes: ReadonlyArray<Write>, since: number): boolean =>
    since === definitions.takeovers() || definitions.permits(fromWrites(writes), since)

  /** Waits, and writes unless one of the collections was taken over meanwhile. */
  const writeAfter = <E, E2>(
    wait: Effect.Effect<void, E>,
    writes: ReadonlyArray<Write>,
    write: (writes: ReadonlyArray<Write>) => Effect.Effect<void, E2>
  ): Effect.Effect<void, E | E2 | Closed> => {
    const since = definitions.takeovers()
    return Effect.andThen(
      wait,
      again((): Effect.Effect<void, E2 | Closed> => isPermitted(writes, since) ? write(writes) : taken)
    )
  }

  const bufferValue = (writes: ReadonlyArray<Write>): Effect.Effect<void, CommitError | Closed> => {
    const unreported = pending.takeUnreported()
    if (unreported !== undefined) return Effect.fail(unreported)
    // Nobody sees the unit yet: who wrote now would go by something older, and be seen before it although he comes after.
    if (units.isInUnit(writes)) return writeAfter(units.awaitUnit, writes, bufferValue)
    if (!buffer.accepts(writes)) return writeAfter(pending.awaitRoom, writes, bufferValue)
    pending.write(writes)
    return pending.giveWay() ?? Effect.void
  }

  /** A deletion is always taken, at most after the commit that runs: when nothing fits any more it is the way out. */
  const bufferDeletion = (writes: ReadonlyArray<Write>): Effect.Effect<void, Closed> => {
    if (units.isInUnit(writes)) return writeAfter(units.awaitUnit, writes, bufferDeletion)
    if (!buffer.accepts(writes)) return writeAfter(pending.awaitCommitting, writes, bufferDeletion)
    pending.write(writes)
    return Effect.void
  }

  /** Attempts until there is a result. Nothing waits while the environment is held open for it. */
  const attemptUntilDone = <A, E>(attempt: () => Attempt<A, E>): Effect.Effect<A, E | Closed> =>
    Effect.flatMap(
      // Unlike a read, a write that came before the close may be too late for the last commit by now.
      whenReadable(() => again(() => Effect.succeed(attempt()))),
      (outcome): Effect.Effect<A, E | Closed> => {
        if ("wait" in outcome) return Effect.andThen(outcome.wait, again(() => attemptUntilDone(attempt)))
        const done = Effect.fromResult(outcome.result)
        const way = pending.giveWay()
        return way === undefined ? done : Effect.andThen(way, done)
      }
    )

  /** The same for attempts that are told how many collections had been taken over when the call began. */
  const attemptLiveUntilDone = <A, E>(attempt: (since: number) => Attempt<A, E>): Effect.Effect<A, E | Closed> => {
    const since = definitions.takeovers()
    return attemptUntilDone(() => attempt(since))
  }

  const attemptLive = <A, E, W>(
    step: (reader: Reader) => Result.Result<Step<A>, E>,
    awaitRoom: Effect.Effect<void, W>,
    since: number
  ): Attempt<A, E | W | Closed> => {
    const stepped = step(live)
    if (Result.isFailure(stepped)) return { result: Result.fail(stepped.failure) }
    const { result, writes } = stepped.success
    if (!isPermitted(writes, since)) return { result: Result.fail(new Closed({ path, what: "Collection" })) }
    if (writes.length === 0) return { result: Result.succeed(result) }
    if (units.isInUnit(writes)) return { wait: units.awaitUnit }
    if (!buffer.accepts(writes)) {
      return { wait: hasOnlyDeletions(writes) ? pending.awaitCommitting : awaitRoom }
    }
    pending.write(writes)
    return { result: Result.succeed(result) }
  }

  /** Reads in a transaction, which may have ended while the call waited. */
  const readInside = <A, E, R>(
    transaction: Transaction,
    use: (reader: Reader) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Closed, R> =>
    whenReadable((): Effect.Effect<A, E | Closed, R> => transaction.isOpen() ? use(transaction.reader) : ended)

  const writeInside = (transaction: Transaction, write: () => void): Effect.Effect<void, Closed> =>
    Effect.suspend(() => transaction.isOpen() ? Effect.sync(write) : ended)

  const stepInside = <A, E>(
    transaction: Transaction,
    step: (reader: Reader) => Result.Result<Step<A>, E>
  ): Effect.Effect<A, E | Closed> =>
    readInside(transaction, (reader) =>
      Effect.fromResult(Result.map(step(reader), ({ result, writes }) => {
        transaction.write(writes)
        return result
      })))

  /** Reads and writes in one step to all other fibers. */
  const step = <A, E>(
    transaction: Transaction | undefined,
    take: (reader: Reader) => Result.Result<Step<A>, E>
  ): Effect.Effect<A, E | CommitError | Closed> =>
    transaction === undefined
      ? attemptLiveUntilDone((since): Attempt<A, E | CommitError | Closed> => {
        const unreported = pending.takeUnreported()
        return unreported === undefined
          ? attemptLive(take, pending.awaitRoom, since)
          : { result: Result.fail(unreported) }
      })
      : stepInside(transaction, take)

  /** The same for a step that writes nothing but deletions. */
  const removingStep = <A, E>(
    transaction: Transaction | undefined,
    take: (reader: Reader) => Result.Result<Step<A>, E>
  ): Effect.Effect<A, E | Closed> =>
    transaction === undefined
      ? attemptLiveUntilDone((since) => attemptLive(take, pending.awaitCommitting, since))
      : stepInside(transaction, take)

  /** Reads and writes inside of a transaction of the engine, which the steps of other fibers share. */
  const commitStep = <A, E>(
    take: (reader: Reader) => Result.Result<Step<A>, E>,
    expected: (reader: Reader) => Write
  ): Effect.Effect<A, E | CommitError | Closed> =>
    Effect.flatMap(
      // Only the reading holds the environment open: a commit may have to resize it.
      whenReadable(() => again(() => Effect.sync(() => stepUnit(take, expected(live))))),
      (unit) => Effect.flatMap(units.commitUnit(unit, refusal), unit.outcome)
    )

  /** Commits writes that go by nothing but the definitions of their collections. */
  const commitAll = (writes: WriteSet): Effect.Effect<void, CommitError | Closed> => {
    const since = definitions.takeovers()
    const holds = () => Result.succeed(definitions.permits(writes, since))
    return Effect.flatMap(
      units.commitUnit(conditionalUnit(writes, holds), refusal),
      (isMade) => isMade ? Effect.void : taken
    )
  }

  const read: StoreRead = (use, flush, isPending) =>
    enter((transaction) =>
      transaction === undefined
        ? readLive(use, flush, isPending)
        : readInside(transaction, use)
    )

  return {
    closed,
    ended,
    enter,
    enterToWrite,
    readerAtOnce,
    /** What a call is refused with once its holder has closed. */
    refusal,

    /** Waits until the environment can be read, where it cannot, and reads. */
    whenReadable: <A, E, R>(use: () => Effect.Effect<A, E, R>): Effect.Effect<A, E | Closed, R> =>
      Effect.suspend(() => whenReadable(use)),

    /** Reads the store itself; commits what is pending first where the options say so. */
    readLive: <A, E, R>(use: (reader: Reader) => Effect.Effect<A, E, R>): Effect.Effect<A, E | Closed, R> =>
      Effect.suspend(() => readLive(use)),

    read,

    /** Reads in one step, and goes on with what was found outside of it, for that may wait. */
    find: <F, E, A, E2, R>(
      fiber: Fiber.Fiber<unknown, unknown>,
      find: (reader: Reader) => Result.Result<F, E>,
      use: (found: F) => Effect.Effect<A, E2, R>,
      isPending?: () => boolean
    ): Effect.Effect<A, E | E2 | Closed, R> => {
      const reader = readerAtOnce(fiber)
      if (reader === undefined) {
        return Effect.flatMap(read((other) => Effect.fromResult(find(other)), undefined, isPending), use)
      }
      const found = find(reader)
      return Result.isSuccess(found) ? use(found.success) : Effect.fail(found.failure)
    },

    /** Writes values, as one. Gives the error of an earlier commit that nobody has heard of. */
    write: (
      transaction: Transaction | undefined,
      writes: ReadonlyArray<Write>
    ): Effect.Effect<void, CommitError | Closed> =>
      transaction === undefined ? bufferValue(writes) : writeInside(transaction, () => transaction.write(writes)),

    /** Deletes, as one. */
    remove: (
      transaction: Transaction | undefined,
      writes: ReadonlyArray<Write>
    ): Effect.Effect<void, Closed> =>
      transaction === undefined ? bufferDeletion(writes) : writeInside(transaction, () => transaction.write(writes)),

    /** Reads and writes in one step to all other fibers. `take` may be called again. */
    step,

    /** The same for a step that writes nothing but deletions. */
    removingStep,

    /**
     * Reads and writes in one step to all other fibers, and in a shared store to all other processes as well. It is
     * then on disk when it returns. `expected` says what it will write to its record, by what is read now.
     */
    exactStep: <A, E>(
      transaction: Transaction | undefined,
      take: (reader: Reader) => Result.Result<Step<A>, E>,
      expected: (reader: Reader) => Write
    ): Effect.Effect<A, E | CommitError | Closed> =>
      options.shared && transaction === undefined ? commitStep(take, expected) : step(transaction, take),

    /** The same for a step that writes nothing but deletions. */
    exactRemovingStep: <A, E>(
      transaction: Transaction | undefined,
      take: (reader: Reader) => Result.Result<Step<A>, E>,
      expected: (reader: Reader) => Write
    ): Effect.Effect<A, E | CommitError | Closed> =>
      options.shared && transaction === undefined ? commitStep(take, expected) : removingStep(transaction, take),

    /** Makes a unit outside of transactions; `false` where what it goes by does not hold. */
    commitUnit: (unit: Unit): Effect.Effect<boolean, CommitError | Closed> => units.commitUnit(unit, refusal),

    /** Writes as one, on disk when it returns; in a transaction when that does. */
    writeAll: (transaction: Transaction | undefined, writes: WriteSet): Effect.Effect<void, CommitError | Closed> => {
      if (writes.isEmpty) return Effect.void
      return transaction === undefined
        ? commitAll(writes)
        : writeInside(transaction, () => transaction.writes.addAll(writes))
    },

    /** Decodes a value that was read. */
    decode: (key: ByteString, bytes: Uint8Array): Result.Result<unknown, ValueDecoding | EngineFailure> =>
      Result.mapError(values.decode(bytes, bytes.length), decodingFailure(() => ({ key: keys.show(toBytes(key)) })))
  }
}
