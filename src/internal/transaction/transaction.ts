/**
 * A running transaction: the snapshot that it reads, what it has read, and what it has written.
 *
 * Its writes stay in memory until it is committed, and only its own reads see them. The engine sees nothing of it before
 * its commit. It may run for a long time: it blocks no other writer, but LMDB cannot reuse
 * the pages of its snapshot.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { constFalse } from "effect/Function"
import * as Semaphore from "effect/Semaphore"
import type { Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { EngineFailure } from "../../StoreError.ts"
import { freeze, qualifiedKey, WriteSet } from "../buffer/writeSet.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import { over } from "../reader/overlay.ts"
import { ReadSet, recorded, validate } from "../reader/readSet.ts"
import * as Settled from "../settled.ts"
import * as OpenDefinitions from "./openDefinitions.ts"

/** A transaction that runs, at the top level or nested. */
export interface Transaction {
  /** The transaction that this one is nested in. */
  readonly parent: Transaction | undefined
  /** What it reads for keys that it has not written. */
  readonly base: Base
  /** What it has written. */
  readonly writes: WriteSet
  /** Reads what it has written, and otherwise its base. */
  readonly reader: Reader
  /** The snapshot, which the transaction at the top level releases. `undefined` in a nested transaction. */
  readonly snapshot: LazySnapshot | undefined
  /** Steps and validations that wait run one after the other, with this permit. Made when the first one waits. */
  permit: Semaphore.Semaphore | undefined
  state: { readonly _tag: "Open" } | { readonly _tag: "Ended" }
}

/** A transaction inside another. */
export interface NestedTransaction extends Transaction {
  readonly parent: Transaction
  /** What it has read. */
  readonly reads: ReadSet
}

/** A transaction at the top level. */
export interface RootTransaction extends Transaction {
  /** What it has read. */
  readonly reads: ReadSet
  readonly store: TransactionStore
  /** The number of takeovers of collections when it began. */
  readonly takeovers: number
  /** Whether it has read a state that may never be committed. If so, its result or failure counts only after a commit. */
  readonly isTentative: () => boolean
  /** Whether a read has found its snapshot outdated. Then its result or failure does not count. */
  readonly isOutdated: () => boolean
}

/** The store that a transaction is on. */
export interface TransactionStore {
  readonly definitions: OpenDefinitions.OpenDefinitions
  readonly openSnapshot: () => Effect.Effect<OpenSnapshot, EngineFailure>
}

/** What a transaction reads for keys that it has not written. */
interface Base {
  /** Reads the snapshot or, in a nested transaction, the state of its parent. Records what is read. */
  readonly recorded: Reader
  /** Makes a reader of the same state, which later writes do not change. Records what is read. */
  readonly freeze: () => Reader
  /** Reads the same state, and records nothing. */
  readonly unrecorded: Reader
}

// ---------------------------------------------------------------------------
// the snapshot
// ---------------------------------------------------------------------------

/** Makes a reader that opens its source at the first read. */
const lazily = (open: () => Effect.Effect<Reader, EngineFailure>): Reader => ({
  get: (database, key, decode) => Settled.flatMap(open(), (reader) => reader.get(database, key, decode)),
  getMany: (database, keys, decode) => Settled.flatMap(open(), (reader) => reader.getMany(database, keys, decode)),
  has: (database, key) => Settled.flatMap(open(), (reader) => reader.has(database, key)),
  read: (database, request) => Settled.flatMap(open(), (reader) => reader.read(database, request)),
  count: (database) => Settled.flatMap(open(), (reader) => reader.count(database))
})

/** The states of the snapshot of a transaction. */
type SnapshotState =
  | { readonly _tag: "Unopened" }
  /** The first read opens it. The others wait. */
  | { readonly _tag: "Opening"; readonly opened: Deferred.Deferred<Reader, EngineFailure> }
  | { readonly _tag: "Open"; readonly snapshot: OpenSnapshot }
  | { readonly _tag: "Ended" }

/** The snapshot of a transaction. The first read opens it. */
interface LazySnapshot {
  readonly store: TransactionStore
  state: SnapshotState
  isTentative: boolean
  isOutdated: () => boolean
}

/** The failure of a read that continues after its transaction has ended. */
const endedRead = Exit.fail(
  new EngineFailure({ operation: "read", code: 0, detail: "the transaction has ended", isRetryable: false })
)

/** Keeps an opened snapshot. Releases it if the transaction has ended while it was being opened. */
const keepSnapshot = (self: LazySnapshot, snapshot: OpenSnapshot): Reader => {
  self.isTentative = snapshot.isTentative
  self.isOutdated = snapshot.isOutdated
  if (self.state._tag === "Ended") snapshot.release()
  else self.state = { _tag: "Open", snapshot }
  return snapshot.reader
}

/**
 * Opens a snapshot on a backend that answers later. Interrupting the fiber that reads does not stop the opening.
 * The opening begins when the effect runs: other reads must not wait for a read that never runs.
 */
const openWaiting = (
  self: LazySnapshot,
  opening: Effect.Effect<OpenSnapshot, EngineFailure>
): Effect.Effect<Reader, EngineFailure> =>
  Effect.uninterruptible(Effect.suspend(() => {
    if (self.state._tag !== "Unopened") return snapshotReader(self)
    const opened = Deferred.makeUnsafe<Reader, EngineFailure>()
    self.state = { _tag: "Opening", opened }
    return Effect.onExit(Effect.map(opening, (snapshot) => keepSnapshot(self, snapshot)), (exit) =>
      Effect.sync(() => {
        if (Exit.isFailure(exit) && self.state._tag === "Opening") self.state = { _tag: "Unopened" }
        Deferred.doneUnsafe(opened, exit)
      }))
  }))

const snapshotReader = (self: LazySnapshot): Effect.Effect<Reader, EngineFailure> => {
  switch (self.state._tag) {
    case "Open":
      return Exit.succeed(self.state.snapshot.reader)
    case "Opening":
      return Deferred.await(self.state.opened)
    case "Ended":
      return endedRead
    case "Unopened": {
      const opening = self.store.openSnapshot()
      return Settled.isSettled(opening)
        ? Settled.map(opening, (snapshot) => keepSnapshot(self, snapshot))
        : openWaiting(self, opening)
    }
  }
}

const endSnapshot = (self: LazySnapshot): void => {
  if (self.state._tag === "Open") self.state.snapshot.release()
  self.state = { _tag: "Ended" }
}

// ---------------------------------------------------------------------------
// transactions
// ---------------------------------------------------------------------------

const makeParts = (base: Base) => {
  const writes = new WriteSet()
  return { base, writes, reader: over(writes, base.recorded) }
}

/** Begins a transaction. */
export const begin = (store: TransactionStore): RootTransaction => {
  const reads = new ReadSet()
  const snapshot: LazySnapshot = { store, state: { _tag: "Unopened" }, isTentative: false, isOutdated: constFalse }
  const unrecorded = lazily(() => snapshotReader(snapshot))
  const recording = recorded(unrecorded, reads)
  return {
    ...makeParts({ recorded: recording, freeze: () => recording, unrecorded }),
    parent: undefined,
    snapshot,
    permit: undefined,
    state: { _tag: "Open" },
    reads,
    store,
    takeovers: store.definitions.takeovers,
    isTentative: () => snapshot.isTentative,
    isOutdated: () => snapshot.isOutdated()
  }
}

/** Begins a transaction that only reads, from a snapshot that is open. It does not record what it reads. */
export const beginReading = (store: TransactionStore, opened: OpenSnapshot): Transaction => {
  const { reader } = opened
  return {
    ...makeParts({ recorded: reader, freeze: () => reader, unrecorded: reader }),
    parent: undefined,
    snapshot: {
      store,
      state: { _tag: "Open", snapshot: opened },
      isTentative: opened.isTentative,
      isOutdated: opened.isOutdated
    },
    permit: undefined,
    state: { _tag: "Open" }
  }
}

/** Begins a transaction inside another. */
export const nest = (parent: Transaction): NestedTransaction => {
  const reads = new ReadSet()
  return {
    ...makeParts({
      recorded: recorded(parent.reader, reads),
      freeze: () => recorded(freezeReader(parent), reads),
      unrecorded: over(parent.writes, parent.base.unrecorded)
    }),
    parent,
    snapshot: undefined,
    permit: undefined,
    state: { _tag: "Open" },
    reads
  }
}

/** Whether neither the transaction nor one that it is nested in has ended. */
export const isOpen = ({ parent, state }: Transaction): boolean =>
  state._tag === "Open" && (parent === undefined || isOpen(parent))

/** Makes a reader of what the transaction reads now. It does not see later writes of the transaction. */
export const freezeReader = ({ base, writes }: Transaction): Reader => over(freeze([writes]), base.freeze())

/** Adds writes to a transaction. */
export const write = (self: Transaction, writes: ReadonlyArray<Write>): void => {
  for (const [database, key, value] of writes) self.writes.set(database, key, value)
}

/** Ends a transaction, and releases its snapshot. Later calls in it are refused. */
export const end = (self: Transaction): void => {
  self.state = { _tag: "Ended" }
  if (self.snapshot !== undefined) endSnapshot(self.snapshot)
}

/** Whether a nested transaction would read the same again, after what sibling fibers have written to its parent. */
export const isValid = ({ base, reads }: NestedTransaction): Effect.Effect<boolean, EngineFailure> =>
  reads.isTorn ? Exit.succeed(false) : validate(reads, base.unrecorded)

/** Runs the effects of a transaction one after the other. */
const withPermit = <A, E, R>(self: Transaction, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  self.permit ??= Semaphore.makeUnsafe(1)
  return self.permit.withPermit(effect)
}

/** Adds the writes of a nested transaction to its parent if it is valid. Returns whether it was. */
export const join = (self: NestedTransaction): Effect.Effect<boolean, EngineFailure> => {
  const { parent, writes } = self
  const addIf = (valid: boolean): boolean => {
    // The parent may have ended while the validation waited.
    const joins = valid && isOpen(parent)
    if (joins) parent.writes.addAll(writes)
    return joins
  }
  const checked = isValid(self)
  if (Settled.isSettled(checked)) return Settled.map(checked, addIf)
  const validateAgain: Effect.Effect<boolean, EngineFailure> = Effect.suspend(() => {
    const { revision } = parent.writes
    return Effect.flatMap(
      isValid(self),
      // Another fiber of the parent may have written while the validation waited.
      (valid) => valid && parent.writes.revision !== revision ? validateAgain : Effect.succeed(addIf(valid))
    )
  })
  return withPermit(parent, validateAgain)
}

/**
 * Reads and writes in one step: no other fiber of the transaction writes in between. If the step waits and another fiber
 * writes before it ends, it runs again. `ended` is the error of a step whose transaction ends while it waits.
 */
export const takeStep = <A, E, E2>(
  self: Transaction,
  step: (reader: Reader) => Effect.Effect<Step<A>, E>,
  ended: Effect.Effect<never, E2>
): Effect.Effect<A, E | E2> => {
  const writeStep = ({ result, writes }: Step<A>): A => {
    write(self, writes)
    return result
  }
  const taken = step(self.reader)
  if (Settled.isSettled(taken)) return Settled.map(taken, writeStep)
  const takeAgain: Effect.Effect<A, E | E2> = Effect.suspend(() => {
    const { revision } = self.writes
    return Effect.flatMap(Effect.exit(step(self.reader)), (exit): Effect.Effect<A, E | E2> => {
      if (!isOpen(self)) return ended
      return self.writes.revision === revision ? Exit.map(exit, writeStep) : takeAgain
    })
  })
  return withPermit(self, takeAgain)
}

/**
 * The qualified keys of the records that a transaction has read or written, and the names of the databases of which
 * it has read a range or the count.
 */
export const qualifiedKeys = ({ reads, writes }: RootTransaction): ReadonlyArray<string> => [
  ...new Set([
    ...reads.qualifiedKeys(),
    ...Array.from(writes, ([database, key]) => qualifiedKey(database, key))
  ])
]

/**
 * Whether the collections that a transaction has written to still have the definitions that they had when it began. If
 * not, the transaction conflicts, and its next attempt is refused.
 */
export const isPermitted = ({ store, takeovers, writes }: RootTransaction): boolean =>
  OpenDefinitions.permits(store.definitions, writes, takeovers)

// ---------------------------------------------------------------------------
// the transaction of a fiber
// ---------------------------------------------------------------------------

/** The transactions that a fiber is in: at most one for each store. */
const CurrentTransactions = Context.Reference<ReadonlyMap<object, Transaction>>(
  "effect-lmdb/CurrentTransactions",
  { defaultValue: () => new Map() }
)

/** Returns the transaction on a store that a fiber is in. */
export const currentOf = (fiber: Fiber.Fiber<unknown, unknown>, store: object): Transaction | undefined =>
  fiber.getRef(CurrentTransactions).get(store)

/** Makes the context that puts a fiber into a transaction. */
export const enter = (
  fiber: Fiber.Fiber<unknown, unknown>,
  store: object,
  transaction: Transaction
): Context.Context<never> =>
  Context.make(CurrentTransactions, new Map(fiber.getRef(CurrentTransactions)).set(store, transaction))

/** Runs an effect outside the transaction on a store that its fiber is in. */
export const outside = <A, E, R>(store: object, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const transactions = new Map(fiber.getRef(CurrentTransactions))
    return transactions.delete(store) ? Effect.provideService(effect, CurrentTransactions, transactions) : effect
  })
