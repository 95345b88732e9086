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
import { type ByteString, type Key, type KeyCodec, toBytes } from "../../Key.ts"
import { Closed, type CommitError, type EngineFailure, ReadOnly, type ValueDecoding } from "../../StoreError.ts"
import type { WriteSet } from "../buffer/writeSet.ts"
import * as Admission from "../commit/admission.ts"
import * as CommitQueue from "../commit/commitQueue.ts"
import { type AtomicBatch, conditional, type Step, stepBatch } from "../commit/groupCommit.ts"
import * as PendingWrites from "../commit/pendingWrites.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { currentOf, type Transaction } from "../transaction/transaction.ts"
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

/** A stored key as text, or as bytes where they are not exactly the bytes of a text. */
const storedKey = (keys: KeyCodec, bytes: ByteString): string | Uint8Array =>
  Result.filterOrFail(
    keys.decode(bytes),
    (text) => Result.getOrUndefined(keys.encode(text)) === bytes,
    () => undefined
  ).pipe(Result.getOrElse(() => toBytes(bytes)))

/** Makes what the methods of one holder begin with. */
export const make = ({ core, isClosed, keys, options }: Holder) => {
  const { definitions, live, queue, structures } = core
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
      ? Effect.andThen(PendingWrites.flushQuietly(queue), whenReadableAgain(read))
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

  const admission: Admission.Admission = { queue, definitions, refusal }

  const again = <A, E>(next: () => Effect.Effect<A, E>): Effect.Effect<A, E | Closed> =>
    Admission.resume(admission, next)

  /** Attempts until there is a result. Nothing waits while the environment is held open for it. */
  const attemptUntilDone = <A, E>(attempt: () => Attempt<A, E>): Effect.Effect<A, E | Closed> =>
    Effect.flatMap(
      // Unlike a read, a write that came before the close may be too late for the last commit by now.
      whenReadable(() => again(() => Effect.succeed(attempt()))),
      (outcome): Effect.Effect<A, E | Closed> => {
        if ("wait" in outcome) return Effect.andThen(outcome.wait, again(() => attemptUntilDone(attempt)))
        const done = Effect.fromResult(outcome.result)
        const way = PendingWrites.yieldToCommit(queue)
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
    offer: (queue: CommitQueue.CommitQueue, writes: ReadonlyArray<Write>) => Effect.Effect<void, W> | undefined,
    since: number
  ): Attempt<A, E | W | Closed> => {
    const stepped = step(live)
    if (Result.isFailure(stepped)) return { result: Result.fail(stepped.failure) }
    const { result, writes } = stepped.success
    if (!Admission.isPermitted(admission, writes, since)) return { result: Result.fail(Admission.takenOver(admission)) }
    if (writes.length === 0) return { result: Result.succeed(result) }
    const wait = offer(queue, writes)
    return wait === undefined ? { result: Result.succeed(result) } : { wait }
  }

  /** Reads in a transaction, which may have ended while the call waited. */
  const readInside = <A, E, R>(
    transaction: Transaction,
    use: (reader: Reader) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Closed, R> =>
    whenReadable((): Effect.Effect<A, E | Closed, R> => transaction.isOpen() ? use(transaction.reader) : ended)

  const writeInside = (transaction: Transaction, write: () => void): Effect.Effect<void, Closed> =>
    Effect.suspend(() => {
      if (!transaction.isOpen()) return ended
      write()
      StructureTable.defineCandidates(structures)
      return Effect.void
    })

  const stepInside = <A, E>(
    transaction: Transaction,
    step: (reader: Reader) => Result.Result<Step<A>, E>
  ): Effect.Effect<A, E | Closed> =>
    readInside(transaction, (reader) =>
      Effect.fromResult(Result.map(step(reader), ({ result, writes }) => {
        transaction.write(writes)
        StructureTable.defineCandidates(structures)
        return result
      })))

  /** Reads and writes in one step to all other fibers. */
  const step = <A, E>(
    transaction: Transaction | undefined,
    take: (reader: Reader) => Result.Result<Step<A>, E>
  ): Effect.Effect<A, E | CommitError | Closed> =>
    transaction === undefined
      ? attemptLiveUntilDone((since): Attempt<A, E | CommitError | Closed> => {
        const unreported = PendingWrites.takeUnreported(queue)
        return unreported === undefined
          ? attemptLive(take, PendingWrites.offer, since)
          : { result: Result.fail(unreported) }
      })
      : stepInside(transaction, take)

  /** The same for a step that writes nothing but deletions. */
  const removingStep = <A, E>(
    transaction: Transaction | undefined,
    take: (reader: Reader) => Result.Result<Step<A>, E>
  ): Effect.Effect<A, E | Closed> =>
    transaction === undefined
      ? attemptLiveUntilDone((since) => attemptLive(take, PendingWrites.offerDeletions, since))
      : stepInside(transaction, take)

  /** Reads and writes inside of a transaction of the engine, which the steps of other fibers share. */
  const commitStep = <A, E>(
    take: (reader: Reader) => Result.Result<Step<A>, E>,
    expected: (reader: Reader) => Write
  ): Effect.Effect<A, E | CommitError | Closed> =>
    Effect.flatMap(
      // Only the reading holds the environment open: a commit may have to resize it.
      whenReadable(() => again(() => Effect.sync(() => stepBatch(take, expected(live))))),
      (batch) => Effect.flatMap(CommitQueue.submit(queue, batch, refusal), batch.outcome)
    )

  /** Commits writes that go by nothing but the definitions of their collections. */
  const commitAll = (writes: WriteSet): Effect.Effect<void, CommitError | Closed> => {
    const since = definitions.takeovers()
    const holds = () => Result.succeed(definitions.permits(writes, since))
    return Effect.flatMap(
      CommitQueue.submit(queue, conditional(writes, holds), refusal),
      (hasWritten) => hasWritten ? Effect.void : Effect.fail(Admission.takenOver(admission))
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
      transaction === undefined
        ? Admission.admit(admission, writes)
        : writeInside(transaction, () => transaction.write(writes)),

    /** Deletes, as one. */
    remove: (
      transaction: Transaction | undefined,
      writes: ReadonlyArray<Write>
    ): Effect.Effect<void, Closed> =>
      transaction === undefined
        ? Admission.admitDeletions(admission, writes)
        : writeInside(transaction, () => transaction.write(writes)),

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

    /** Commits an atomic batch outside of transactions; `false` where its precondition does not hold. */
    submit: (batch: AtomicBatch): Effect.Effect<boolean, CommitError | Closed> =>
      CommitQueue.submit(queue, batch, refusal),

    /** Writes as one, on disk when it returns; in a transaction when that does. */
    writeAll: (transaction: Transaction | undefined, writes: WriteSet): Effect.Effect<void, CommitError | Closed> => {
      if (writes.isEmpty) return Effect.void
      return transaction === undefined
        ? commitAll(writes)
        : writeInside(transaction, () => transaction.writes.addAll(writes))
    },

    /** Decodes a value that was read; `given` is the key as the caller has it, where the call named it. */
    decode: (
      key: ByteString,
      bytes: Uint8Array,
      given?: Key
    ): Result.Result<unknown, ValueDecoding<Key> | EngineFailure> =>
      StructureTable.decode(structures, bytes, () => ({
        key: given ?? storedKey(keys, key),
        shownKey: keys.show(toBytes(key))
      }))
  }
}
