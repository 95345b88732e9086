/**
 * Routes the calls of one handle, and of the collections on it: to the transaction that the calling fiber is in, or to
 * the backend.
 *
 * A call is refused if its handle is closed, its transaction has ended, or it writes to a read-only store. It waits
 * while the file is being resized. No other lock is needed, because no other fiber runs until a fiber yields or waits.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Admission, CommitRequest, Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { Closed, type CommitError, type EngineFailure, ReadOnly } from "../../StoreError.ts"
import { fromWrites, type WriteSet } from "../buffer/writeSet.ts"
import * as StructureTable from "../commit/structureTable.ts"
import type { KeyCodec } from "../key/keyCodec.ts"
import * as Settled from "../settled.ts"
import * as OpenDefinitions from "../transaction/openDefinitions.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as ExpiryWrites from "./expiryWrites.ts"
import type { OpenStore } from "./openStore.ts"
import type { ResolvedOptions } from "./storeOptions.ts"

/** One handle on an open store. */
export interface StoreHandle {
  readonly core: OpenStore
  /** The options of this handle. Some of them may differ from those of other handles on the store. */
  readonly options: ResolvedOptions
  /** Encodes keys, and formats them for messages, by the options of this handle. */
  readonly keys: KeyCodec
  readonly isClosed: () => boolean
  /** Registers a listener for the release of the handle. Returns a function that removes it. */
  readonly onReleased: (listener: () => void) => () => void
}

/** Reads, and returns the writes of a read-modify-write step. It may run again: only its last run counts. */
export type TakeStep<A, E> = (reader: Reader) => Effect.Effect<Step<A>, E>

/** A handle, and what each of its calls checks: the admission, the errors, and a transaction for all calls. */
export interface StoreAccess {
  readonly handle: StoreHandle
  /** Admits the writes of the calls. */
  readonly admission: Admission
  /** Fails because the handle is closed. */
  readonly closed: Effect.Effect<never, Closed>
  /** Fails because the transaction has ended. */
  readonly transactionEnded: Effect.Effect<never, Closed>
  /** The transaction in which all calls run, whatever transaction their fiber is in. The handle of a snapshot has one. */
  readonly fixedTransaction: Transaction.Transaction | undefined
}

/** Fails because another definition has taken over a collection that the call writes to. */
const takenOver = (path: string): Effect.Effect<never, Closed> => Effect.fail(new Closed({ path, what: "Collection" }))

/**
 * Makes the admission of the calls of a handle. A call is refused if the handle was closed, or a collection that it writes
 * to was taken over, after the call began.
 */
const makeAdmission = (
  { core: { definitions }, isClosed, options: { path } }: StoreHandle,
  closed: Effect.Effect<never, Closed>
): Admission =>
() => {
  const { takeovers } = definitions
  return (writes) => {
    if (isClosed()) return closed
    return takeovers === definitions.takeovers || OpenDefinitions.permits(definitions, fromWrites(writes), takeovers)
      ? undefined
      : takenOver(path)
  }
}

/** Makes the access of a handle. */
export const make = (handle: StoreHandle): StoreAccess => {
  const { path } = handle.options
  const closed = Effect.suspend(() => Effect.fail(new Closed({ path, what: "Store" })))
  return {
    handle,
    admission: makeAdmission(handle, closed),
    closed,
    transactionEnded: Effect.suspend(() => Effect.fail(new Closed({ path, what: "Transaction" }))),
    fixedTransaction: undefined
  }
}

/** The error of a call whose handle is closed; `undefined` while it is open. */
export const refusal = ({ closed, handle }: StoreAccess): Effect.Effect<never, Closed> | undefined =>
  handle.isClosed() ? closed : undefined

/** Runs a function when the handle is released, unless the scope closes earlier. */
export const whenReleased = (
  { handle: { onReleased } }: StoreAccess,
  listener: () => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(Effect.sync(() => onReleased(listener)), (forget) => Effect.sync(forget)))

/** Begins a call: passes on the transaction that its fiber is in, if any. */
export const enter = <A, E, R>(
  { closed, transactionEnded, fixedTransaction, handle }: StoreAccess,
  use: (transaction: Transaction.Transaction | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed, R> =>
  Effect.withFiber((fiber): Effect.Effect<A, E | Closed, R> => {
    if (handle.isClosed()) return closed
    const transaction = fixedTransaction ?? Transaction.currentOf(fiber, handle.core)
    return transaction === undefined || Transaction.isOpen(transaction) ? use(transaction) : transactionEnded
  })

/** Begins a call that writes. */
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
 * The reader of a call that can read at once: outside transactions, from an open handle and a readable file, without a
 * flush first. If it returns `undefined`, use `read`. It runs for each record that is read, so it allocates no closure.
 */
export const readerAtOnce = (
  { fixedTransaction, handle }: StoreAccess,
  fiber: Fiber.Fiber<unknown, unknown>
): Reader | undefined => {
  const { core, options } = handle
  if (
    handle.isClosed() || (options.autoFlushOnRead && !options.readOnly) || !core.backend.isReadable() ||
    fixedTransaction !== undefined || Transaction.currentOf(fiber, core) !== undefined
  ) return undefined
  core.counts.reads++
  return core.backend.reader
}

/** Reads after a wait. */
const whenReadableAgain = <A, E, R>(
  { closed, handle: { core } }: StoreAccess,
  use: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed, R> =>
  core.backend.whileReadable(
    // A read that began before its handle was closed still succeeds while the backend is open.
    Effect.suspend((): Effect.Effect<A, E | Closed, R> => core.isOpen() ? use() : closed)
  )

/** Reads at once, or as soon as the file can be read. Call it inside an effect: it checks the file at once. */
export const whenReadable = <A, E, R>(
  self: StoreAccess,
  use: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed, R> => self.handle.core.backend.isReadable() ? use() : whenReadableAgain(self, use)

/** How a read treats the pending writes. */
export interface ReadOptions {
  /** Whether the pending writes are committed first. Default: the option `autoFlushOnRead` of the handle. */
  readonly flush?: boolean | undefined
  /** Whether pending writes alone answer the read. Then they are not flushed. */
  readonly isPending?: () => boolean
  /** Whether all reads must be of one moment. On a backend whose reads wait, they then read a snapshot. */
  readonly isOneMoment?: boolean
}

/** Reads several records or ranges of one moment. Call it while the store can be read. It may run `use` more than once. */
export const readMoment = <A, E, R>(
  { handle: { core } }: StoreAccess,
  use: (reader: Reader) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | EngineFailure, R> => {
  // Reads that end at once are of one moment: no other fiber runs between them.
  if (core.backend.isReadable()) return use(core.backend.reader)
  const attempt = (isHeld: boolean): Effect.Effect<A, E | EngineFailure, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        Effect.suspend(() => core.openTransactionSnapshot({ isFirst: true, isHeld })),
        (snapshot) =>
          Effect.flatMap(Effect.exit(restore(use(snapshot.reader))), (exit): Effect.Effect<A, E | EngineFailure, R> => {
            snapshot.release()
            return snapshot.isOutdated() ? restore(attempt(true)) : exit
          })
      )
    )
  return attempt(false)
}

/** Reads the current state outside transactions, pending writes included. */
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

/** Reads in a transaction. The transaction may have ended while the call waited. */
const readInside = <A, E, R>(
  self: StoreAccess,
  transaction: Transaction.Transaction,
  use: (reader: Reader) => Effect.Effect<A, E, R>,
  isOneMoment = false
): Effect.Effect<A, E | Closed, R> =>
  whenReadable(self, (): Effect.Effect<A, E | Closed, R> => {
    if (!Transaction.isOpen(transaction)) return self.transactionEnded
    const isChanging = isOneMoment && !self.handle.core.backend.isReadable()
    const reading = use(isChanging ? Transaction.freezeReader(transaction) : transaction.reader)
    // If the transaction ends while the read waits, its snapshot is released and the read fails. The error is then `Closed`.
    return Settled.isSettled(reading) ? reading : Effect.catchCause(
      reading,
      (cause): Effect.Effect<never, E | Closed> =>
        Transaction.isOpen(transaction) || Cause.hasInterrupts(cause) ? Effect.failCause(cause) : self.transactionEnded
    )
  })

/** Reads in the transaction that the fiber is in, or the current state of the store. */
export const read = <A, E, R>(
  self: StoreAccess,
  use: (reader: Reader) => Effect.Effect<A, E, R>,
  options?: ReadOptions
): Effect.Effect<A, E | Closed | EngineFailure, R> =>
  enter(self, (transaction): Effect.Effect<A, E | Closed | EngineFailure, R> => {
    self.handle.core.counts.reads++
    return transaction === undefined
      ? readLive(self, use, options)
      : readInside(self, transaction, use, options?.isOneMoment)
  })

/** Searches a reader, and passes the result to `use`. `use` may wait for a long time: a resize does not wait for it. */
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

// ---------------------------------------------------------------------------
// writing
// ---------------------------------------------------------------------------

/** Starts to define the record structures that have become common, if there are any. */
const defineStructures = ({ handle: { core } }: StoreAccess): void => StructureTable.defineCandidates(core.structures)

/** Writes in a transaction. */
const writeInside = (
  self: StoreAccess,
  transaction: Transaction.Transaction,
  use: () => void
): Effect.Effect<void, Closed> =>
  Effect.suspend(() => {
    if (!Transaction.isOpen(transaction)) return self.transactionEnded
    use()
    defineStructures(self)
    return Effect.void
  })

/**
 * Buffers writes without an expiry time. One commit writes all of them. Fails with the error of an earlier commit that no
 * fiber has received yet. Values with an expiry time are written by a step, which also writes their expiry entries.
 */
export const write = (
  self: StoreAccess,
  transaction: Transaction.Transaction | undefined,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, CommitError | Closed> => {
  if (transaction !== undefined) return writeInside(self, transaction, () => Transaction.write(transaction, writes))
  defineStructures(self)
  return self.handle.core.backend.write(writes, self.admission)
}

/** Buffers deletions. One commit writes all of them. */
export const remove = (
  self: StoreAccess,
  transaction: Transaction.Transaction | undefined,
  writes: ReadonlyArray<Write>
): Effect.Effect<void, Closed> =>
  transaction === undefined
    ? self.handle.core.backend.remove(writes, self.admission)
    : writeInside(self, transaction, () => Transaction.write(transaction, writes))

const stepInside = <A, E>(
  self: StoreAccess,
  transaction: Transaction.Transaction,
  take: TakeStep<A, E>
): Effect.Effect<A, E | Closed> =>
  readInside(
    self,
    transaction,
    () =>
      Settled.map(Transaction.takeStep(transaction, take, self.transactionEnded), (result) => {
        defineStructures(self)
        return result
      })
  )

/** How a step runs. */
export interface StepOptions {
  /** Whether it writes only deletions. */
  readonly isDeleting?: boolean
  /**
   * Makes the step atomic across all processes, if the store is `shared`. The step is then durable when it returns.
   * The function returns the write that the step is expected to make, from the current state.
   */
  readonly exact?: ((reader: Reader) => Write) | undefined
}

/** Reads and writes in one step: no other fiber of this process writes in between. */
export const step = <A, E>(
  self: StoreAccess,
  transaction: Transaction.Transaction | undefined,
  take: TakeStep<A, E>,
  { exact, isDeleting = false }: StepOptions = {}
): Effect.Effect<A, E | CommitError | Closed> => {
  const { core: { backend, expiry }, options } = self.handle
  if (transaction !== undefined) return stepInside(self, transaction, ExpiryWrites.completingInside(expiry, take))
  const takeAll = ExpiryWrites.completing(expiry, take)
  defineStructures(self)
  return backend.step(takeAll, { admission: self.admission, isDeleting, exact: options.shared ? exact : undefined })
}

/** Commits a request, outside transactions. Returns `false` if its reads would read something different now. */
export const submit = (self: StoreAccess, request: CommitRequest): Effect.Effect<boolean, CommitError | Closed> =>
  Effect.suspend(() => {
    defineStructures(self)
    return self.handle.core.backend.commit(request, self.admission)
  })

/** Commits writes whose only precondition is that their collections still have the same definitions. */
const commitAll = (self: StoreAccess, writes: WriteSet): Effect.Effect<void, CommitError | Closed> => {
  const { definitions } = self.handle.core
  const { takeovers } = definitions
  const isPermitted = () => OpenDefinitions.permits(definitions, writes, takeovers)
  return Effect.flatMap(
    submit(self, { reads: [], writes, isPermitted }),
    (hasWritten) => hasWritten ? Effect.void : takenOver(self.handle.options.path)
  )
}

/**
 * Writes in one transaction, durable when it returns. Inside a transaction, adds the writes to it: they are durable when
 * `withTransaction` returns.
 */
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
