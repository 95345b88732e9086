/**
 * How the methods of a store and of its collections read and write, for one handle: in the transaction
 * that the calling fiber is in, or on the backend.
 *
 * A call looks first at what may be in its way: a closed store or an ended transaction, a read-only store,
 * a file that is being resized. JavaScript between two suspensions is a step of its own, so that
 * nothing else takes a permit.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { CommitRequest, Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { type ByteString, type Key, toBytes } from "../../Key.ts"
import {
  Closed,
  type CommitError,
  type EngineFailure,
  ReadOnly,
  type ShownKey,
  type ValueDecoding
} from "../../StoreError.ts"
import { fromWrites, type WriteSet } from "../buffer/writeSet.ts"
import * as StructureTable from "../commit/structureTable.ts"
import type { KeyCodec } from "../key/keyCodec.ts"
import * as Settled from "../settled.ts"
import * as Transaction from "../transaction/transaction.ts"
import type { OpenStore } from "./openStore.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** One handle on an open store. */
export interface StoreHandle {
  readonly core: OpenStore
  /** The options that this handle was opened with. Others may have been given other options, where that is allowed. */
  readonly options: ResolvedOptions
  /** Encodes keys, and shows them as the options of this handle say. */
  readonly keys: KeyCodec
  readonly isClosed: () => boolean
  /** Calls the listener when the handle is released; gives what takes that back. */
  readonly onReleased: (listener: () => void) => () => void
}

/** What a step of reading and writing does. It may run again: only its last run counts. */
export type TakeStep<A, E> = (reader: Reader) => Effect.Effect<Step<A>, E>

/** How the methods of one handle read and write. */
export interface StoreAccess {
  readonly handle: StoreHandle
  /** Fails because the handle is closed. */
  readonly closed: Effect.Effect<never, Closed>
  /** Fails because the transaction has ended. */
  readonly ended: Effect.Effect<never, Closed>
}

/** Makes what the methods of one handle begin with. */
export const make = (handle: StoreHandle): StoreAccess => {
  const { path } = handle.options
  return {
    handle,
    closed: Effect.suspend(() => Effect.fail(new Closed({ path, what: "Store" }))),
    ended: Effect.suspend(() => Effect.fail(new Closed({ path, what: "Transaction" })))
  }
}

/** Gives what a call fails with once its handle is closed. */
export const refusal = ({ closed, handle }: StoreAccess): Effect.Effect<never, Closed> | undefined =>
  handle.isClosed() ? closed : undefined

/** Begins a call, with the transaction that its fiber is in. */
export const enter = <A, E, R>(
  { closed, ended, handle }: StoreAccess,
  use: (transaction: Transaction.Transaction | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed, R> =>
  Effect.withFiber((fiber): Effect.Effect<A, E | Closed, R> => {
    if (handle.isClosed()) return closed
    const transaction = Transaction.currentOf(fiber, handle.core)
    return transaction === undefined || transaction.isOpen() ? use(transaction) : ended
  })

/** Begins a write. */
export const enterToWrite = <A, E, R>(
  self: StoreAccess,
  use: (transaction: Transaction.Transaction | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed | ReadOnly, R> =>
  enter(self, (transaction): Effect.Effect<A, E | ReadOnly, R> => {
    const { path, readOnly } = self.handle.options
    return readOnly ? Effect.fail(new ReadOnly({ path })) : use(transaction)
  })

// ---------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------

/**
 * What a read outside of transactions reads from, where nothing is in its way; otherwise it takes the longer path
 * through `read`. This is asked for each record, and makes no closure.
 */
export const readerAtOnce = ({ handle }: StoreAccess, fiber: Fiber.Fiber<unknown, unknown>): Reader | undefined => {
  const { core, options } = handle
  return handle.isClosed() || (options.autoFlushOnRead && !options.readOnly) || !core.backend.isReadable() ||
      Transaction.currentOf(fiber, core) !== undefined
    ? undefined
    : core.backend.reader
}

/** Reads after something was waited for. */
const whenReadableAgain = <A, E, R>(
  { closed, handle: { core } }: StoreAccess,
  use: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed, R> =>
  core.backend.whileReadable(
    // A read that came before the close is answered, as long as there is something to read from.
    Effect.suspend((): Effect.Effect<A, E | Closed, R> => core.isOpen() ? use() : closed)
  )

/** Reads, now or when the file can be read. Decides on that at once: call it inside of an effect. */
export const whenReadable = <A, E, R>(
  self: StoreAccess,
  use: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed, R> => self.handle.core.backend.isReadable() ? use() : whenReadableAgain(self, use)

/** How a read treats the pending writes. */
export interface ReadOptions {
  /** Whether the pending writes are committed first. Default: what the options of the handle say. */
  readonly flush?: boolean | undefined
  /** Whether the pending writes answer the question: nothing is committed then. */
  readonly isPending?: () => boolean
  /** Whether several reads must be of one moment. Where reads wait, they are made from a snapshot then. */
  readonly isOneMoment?: boolean
}

/** Reads several things of one moment. Call it while the store can be read. */
export const readMoment = <A, E, R>(
  { handle: { core } }: StoreAccess,
  use: (reader: Reader) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | EngineFailure, R> =>
  // Reads that end at once are of the present turn.
  core.backend.isReadable() ? use(core.backend.reader) : Effect.acquireUseRelease(
    Effect.suspend(core.openSnapshot),
    ({ reader }) => use(reader),
    ({ release }) => Effect.sync(release)
  )

/** Reads the store itself, pending writes included. */
export const readLive = <A, E, R>(
  self: StoreAccess,
  use: (reader: Reader) => Effect.Effect<A, E, R>,
  { flush, isOneMoment, isPending }: ReadOptions = {}
): Effect.Effect<A, E | Closed | EngineFailure, R> =>
  Effect.suspend(() => {
    const { core: { backend }, options } = self.handle
    const read = (): Effect.Effect<A, E | EngineFailure, R> =>
      isOneMoment === true ? readMoment(self, use) : use(backend.reader)
    const flushes = flush ?? options.autoFlushOnRead
    return flushes && !options.readOnly && isPending?.() !== true
      ? Effect.andThen(backend.flushQuietly, whenReadableAgain(self, read))
      : whenReadable(self, read)
  })

/** Reads in a transaction, which may have ended while the call waited. */
const readInside = <A, E, R>(
  self: StoreAccess,
  transaction: Transaction.Transaction,
  use: (reader: Reader) => Effect.Effect<A, E, R>,
  isOneMoment = false
): Effect.Effect<A, E | Closed, R> =>
  whenReadable(self, (): Effect.Effect<A, E | Closed, R> => {
    if (!transaction.isOpen()) return self.ended
    const isChanging = isOneMoment && !self.handle.core.backend.isReadable()
    const reading = use(isChanging ? transaction.freeze() : transaction.reader)
    // A transaction that ends while a read waits releases its snapshot.
    return Settled.isEnded(reading) ? reading : Effect.catchCause(
      reading,
      (cause): Effect.Effect<never, E | Closed> =>
        transaction.isOpen() || Cause.hasInterrupts(cause) ? Effect.failCause(cause) : self.ended
    )
  })

/** Reads in the transaction that the fiber is in, or the store itself. */
export const read = <A, E, R>(
  self: StoreAccess,
  use: (reader: Reader) => Effect.Effect<A, E, R>,
  options?: ReadOptions
): Effect.Effect<A, E | Closed | EngineFailure, R> =>
  enter(self, (transaction): Effect.Effect<A, E | Closed | EngineFailure, R> =>
    transaction === undefined
      ? readLive(self, use, options)
      : readInside(self, transaction, use, options?.isOneMoment))

/** Reads, and goes on with what was found outside of the reading, for that may wait. */
export const find = <F, E, A, E2, R>(
  self: StoreAccess,
  fiber: Fiber.Fiber<unknown, unknown>,
  search: (reader: Reader) => Effect.Effect<F, E>,
  use: (found: F) => Effect.Effect<A, E2, R>,
  options?: ReadOptions
): Effect.Effect<A, E | E2 | Closed | EngineFailure, R> => {
  const reader = readerAtOnce(self, fiber)
  return reader === undefined
    ? Effect.flatMap(read(self, search, options), use)
    : Settled.flatMap(search(reader), use)
}

/** A stored key as text, or as bytes where they are not exactly the bytes of a text. */
const storedKey = (keys: KeyCodec, bytes: ByteString): string | Uint8Array =>
  Result.filterOrFail(
    keys.decode(bytes),
    (text) => Result.getOrUndefined(keys.encode(text)) === bytes,
    () => undefined
  ).pipe(Result.getOrElse(() => toBytes(bytes)))

/** Gives the key of a call for an error about it. */
export const shown = ({ handle: { keys } }: StoreAccess, key: Key): ShownKey<Key> => ({ key, shownKey: keys.show(key) })

/**
 * Decodes a value that was read; `given` is the key as the caller has it, where the call named it. The bytes need to be
 * valid only during the call. Call it inside of an effect.
 */
export const decode = (
  { handle: { core, keys } }: StoreAccess,
  key: ByteString,
  bytes: Uint8Array,
  given?: Key
): Effect.Effect<unknown, ValueDecoding<Key> | EngineFailure> =>
  StructureTable.decode(core.structures, bytes, () => ({
    key: given ?? storedKey(keys, key),
    shownKey: keys.show(toBytes(key))
  }))

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

/** The error of a write to a collection that another definition has taken over. */
const takenOver = ({ handle: { options: { path } } }: StoreAccess): Effect.Effect<never, Closed> =>
  Effect.fail(new Closed({ path, what: "Collection" }))

/** Begins the admission of a call: it is refused once its handle is closed, or a collection that it writes to is taken over. */
const admission = (self: StoreAccess) => {
  const { definitions } = self.handle.core
  return () => {
    const takeovers = definitions.takeovers()
    return (writes: ReadonlyArray<Write>): Effect.Effect<never, Closed> | undefined => {
      if (self.handle.isClosed()) return self.closed
      return takeovers === definitions.takeovers() || definitions.permits(fromWrites(writes), takeovers)
        ? undefined
        : takenOver(self)
    }
  }
}

/** Has the structures defined that the values of a write have shown to be common. */
const defineStructures = ({ handle: { core } }: StoreAccess): void => StructureTable.defineCandidates(core.structures)

const writeInside = (
  self: StoreAccess,
  transaction: Transaction.Transaction,
  use: () => void
): Effect.Effect<void, Closed> =>
  Effect.suspend(() => {
    if (!transaction.isOpen()) return self.ended
    use()
    defineStructures(self)
    return Effect.void
  })

/** Writes values, as one. Gives the error of an earlier commit that no fiber has got. */
export const write = (
  self: StoreAccess,
  transaction: Transaction.Transaction | undefined,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, CommitError | Closed> => {
  if (transaction !== undefined) return writeInside(self, transaction, () => transaction.write(writes))
  defineStructures(self)
  return self.handle.core.backend.write(writes, admission(self))
}

/** Deletes, as one. */
export const remove = (
  self: StoreAccess,
  transaction: Transaction.Transaction | undefined,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, Closed> =>
  transaction === undefined
    ? self.handle.core.backend.remove(writes, admission(self))
    : writeInside(self, transaction, () => transaction.write(writes))

const stepInside = <A, E>(
  self: StoreAccess,
  transaction: Transaction.Transaction,
  take: TakeStep<A, E>
): Effect.Effect<A, E | Closed> =>
  readInside(self, transaction, () =>
    Settled.map(Transaction.takeStep(transaction, take, self.ended), (result) => {
      defineStructures(self)
      return result
    }))

/** How a step is made. */
export interface StepOptions {
  /** Whether it writes nothing but deletions. */
  readonly isDeleting?: boolean
  /**
   * Makes the step exact in a shared store, across all processes: it is durable then when it returns. The function
   * says what it will write to its record, by what is read now.
   */
  readonly exact?: ((reader: Reader) => Write) | undefined
}

/** Reads and writes in one step to all other fibers. */
export const step = <A, E>(
  self: StoreAccess,
  transaction: Transaction.Transaction | undefined,
  take: TakeStep<A, E>,
  { exact, isDeleting = false }: StepOptions = {}
): Effect.Effect<A, E | CommitError | Closed> => {
  if (transaction !== undefined) return stepInside(self, transaction, take)
  const { core: { backend }, options } = self.handle
  defineStructures(self)
  return backend.step(take, { admission: admission(self), isDeleting, exact: options.shared ? exact : undefined })
}

/** Commits what was computed from some reads, outside of transactions; `false` where they would read something else now. */
export const submit = (self: StoreAccess, request: CommitRequest): Effect.Effect<boolean, CommitError | Closed> =>
  Effect.suspend(() => {
    defineStructures(self)
    return self.handle.core.backend.commit(request, admission(self))
  })

/** Commits writes that depend on nothing but the definitions of their collections. */
const commitAll = (self: StoreAccess, writes: WriteSet): Effect.Effect<void, CommitError | Closed> => {
  const { definitions } = self.handle.core
  const takeovers = definitions.takeovers()
  const isPermitted = () => definitions.permits(writes, takeovers)
  return Effect.flatMap(
    submit(self, { reads: [], writes, isPermitted }),
    (hasWritten) => hasWritten ? Effect.void : takenOver(self)
  )
}

/** Writes as one, on disk when it returns; in a transaction when that does. */
export const writeAll = (
  self: StoreAccess,
  transaction: Transaction.Transaction | undefined,
  writes: WriteSet
): Effect.Effect<void, CommitError | Closed> => {
  if (writes.isEmpty) return Effect.void
  return transaction === undefined
    ? commitAll(self, writes)
    : writeInside(self, transaction, () => transaction.writes.addAll(writes))
}
