/**
 * A transaction while it runs: a snapshot to read from, what it has read, and what it
 * has written in front of that.
 *
 * The engine knows nothing of it until it is committed. It may wait for anything
 * meanwhile, and keeps nobody from writing.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"
import type { Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { EngineFailure } from "../../StoreError.ts"
import { freeze, qualifiedKey, WriteSet } from "../buffer/writeSet.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import { over } from "../reader/overlay.ts"
import { ReadSet, recorded, validate } from "../reader/readSet.ts"
import * as Settled from "../settled.ts"
import type { OpenDefinitions } from "./openDefinitions.ts"

/** A transaction, or a nested one, while it runs. */
export interface Transaction {
  /** Whether it, and all around it, have not ended. */
  readonly isOpen: () => boolean
  /** Reads the snapshot through what the transaction has written so far. */
  readonly reader: Reader
  /** The same, through what it has written until now and nothing that comes later. */
  readonly freeze: () => Reader
  /** What it has written. */
  readonly writes: WriteSet
  /** Takes writes. */
  readonly write: (writes: ReadonlyArray<Write>) => void
  /** Runs an effect while no other fiber of the transaction runs one by this method. */
  readonly inTurn: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Begins a transaction inside of it. */
  readonly nest: () => NestedTransaction
  /** Ends it: whoever still uses it is refused. */
  readonly end: () => void
}

/** A transaction inside of another. */
interface NestedTransaction extends Transaction {
  /**
   * Whether it would read the same again now. `false` where fibers beside this one have
   * written what it has read.
   */
  readonly holds: () => Effect.Effect<boolean, EngineFailure>
  /**
   * Hands what it has written to the one around it; `false` where that would be read
   * otherwise by now, because of what fibers beside this one have written.
   */
  readonly join: () => Effect.Effect<boolean, EngineFailure>
}

/** A transaction that is in no other. */
export interface RootTransaction extends Transaction {
  /** The keys that it has read or written, by their names. */
  readonly addresses: () => ReadonlyArray<string>
  /** What it has read. */
  readonly reads: ReadSet
  /** Whether no collection that it writes to was taken over since it began; otherwise its next run is refused. */
  readonly isPermitted: () => boolean
}

/** The store that a transaction is on. */
export interface TransactionStore {
  readonly definitions: OpenDefinitions
  readonly openSnapshot: () => Effect.Effect<OpenSnapshot, EngineFailure>
}

/** Reads through a reader that the first read opens. */
const lazily = (open: () => Effect.Effect<Reader, EngineFailure>): Reader => ({
  get: (database, key, decode) => Settled.flatMap(open(), (reader) => reader.get(database, key, decode)),
  getMany: (database, keys, decode) => Settled.flatMap(open(), (reader) => reader.getMany(database, keys, decode)),
  has: (database, key) => Settled.flatMap(open(), (reader) => reader.has(database, key)),
  read: (database, request) => Settled.flatMap(open(), (reader) => reader.read(database, request)),
  count: (database) => Settled.flatMap(open(), (reader) => reader.count(database))
})

/** The snapshot of a transaction. */
type SnapshotState =
  | { readonly _tag: "Unopened" }
  /** The first read opens it, and the others wait. */
  | { readonly _tag: "Opening"; readonly opened: Deferred.Deferred<Reader, EngineFailure> }
  | { readonly _tag: "Open"; readonly snapshot: OpenSnapshot }
  | { readonly _tag: "Ended" }

/** A snapshot that the first read of a transaction opens. */
interface LazySnapshot {
  readonly store: TransactionStore
  state: SnapshotState
}

/** The end of a read that goes on after its transaction has ended. */
const endedRead = Exit.fail(
  new EngineFailure({ operation: "read", code: 0, detail: "the transaction has ended", isRetryable: false })
)

/** Keeps a snapshot that was opened, unless its transaction has ended meanwhile. */
const keepSnapshot = (self: LazySnapshot, snapshot: OpenSnapshot): Reader => {
  if (self.state._tag === "Ended") snapshot.release()
  else self.state = { _tag: "Open", snapshot }
  return snapshot.reader
}

/**
 * Opens a snapshot whose opening takes its time. It goes on when the fiber that reads is interrupted.
 * Nothing begins before the effect runs: a read that was made and never run must not keep others waiting.
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
      return Settled.isEnded(opening)
        ? Settled.map(opening, (snapshot) => keepSnapshot(self, snapshot))
        : openWaiting(self, opening)
    }
  }
}

const endSnapshot = (self: LazySnapshot): void => {
  if (self.state._tag === "Open") self.state.snapshot.release()
  self.state = { _tag: "Ended" }
}

/** What a transaction reads when it has not written. */
interface Around {
  /** As it is at present. */
  readonly present: Reader
  /** As it is now, for good. */
  readonly frozen: () => Reader
  /** As it is at present, without taking down what is read. */
  readonly plain: Reader
}

/** Makes a transaction in front of what it reads. */
const make = (
  { frozen, plain, present }: Around,
  isAroundOpen: () => boolean
): Transaction => {
  const writes = new WriteSet()
  let isOpen = true
  let turn: Semaphore.Semaphore | undefined
  const transaction: Transaction = {
    isOpen: () => isOpen && isAroundOpen(),
    reader: over(writes, present),
    freeze: () => over(freeze([writes]), frozen()),
    writes,
    write: (group) => {
      for (const [database, key, write] of group) writes.set(database, key, write)
    },
    inTurn: (effect) => {
      turn ??= Semaphore.makeUnsafe(1)
      return turn.withPermit(effect)
    },
    nest: () => {
      const reads = new ReadSet()
      const around: Around = {
        present: recorded(transaction.reader, reads),
        frozen: () => recorded(transaction.freeze(), reads),
        plain: over(writes, plain)
      }
      const nested = make(around, transaction.isOpen)
      const holds = () => reads.isTorn ? Exit.succeed(false) : validate(reads, around.plain)
      return {
        ...nested,
        holds,
        join: () => joinAfter(transaction, nested.writes, holds)
      }
    },
    end: () => {
      isOpen = false
    }
  }
  return transaction
}

/** Adds writes to a transaction if a check succeeds. */
const joinAfter = (
  transaction: Transaction,
  writes: WriteSet,
  check: () => Effect.Effect<boolean, EngineFailure>
): Effect.Effect<boolean, EngineFailure> => {
  const addIf = (isValid: boolean): boolean => {
    // The transaction may have ended while the check waited.
    const joins = isValid && transaction.isOpen()
    if (joins) transaction.writes.addAll(writes)
    return joins
  }
  const checked = check()
  if (Settled.isEnded(checked)) return Settled.map(checked, addIf)
  const checkAgain: Effect.Effect<boolean, EngineFailure> = Effect.suspend(() => {
    const { revision } = transaction.writes
    return Effect.flatMap(
      check(),
      // Another fiber of the transaction may have written while the check waited.
      (isValid) => isValid && transaction.writes.revision !== revision ? checkAgain : Effect.succeed(addIf(isValid))
    )
  })
  return transaction.inTurn(checkAgain)
}

/**
 * Reads and writes in one step to all other fibers of a transaction. A step that waits runs again where another
 * fiber has written meanwhile. `ended` is the error of a step whose transaction has ended meanwhile.
 */
export const takeStep = <A, E, E2>(
  transaction: Transaction,
  step: (reader: Reader) => Effect.Effect<Step<A>, E>,
  ended: Effect.Effect<never, E2>
): Effect.Effect<A, E | E2> => {
  const write = ({ result, writes }: Step<A>): A => {
    transaction.write(writes)
    return result
  }
  const taken = step(transaction.reader)
  if (Settled.isEnded(taken)) return Settled.map(taken, write)
  const takeAgain: Effect.Effect<A, E | E2> = Effect.suspend(() => {
    const { revision } = transaction.writes
    return Effect.flatMap(Effect.exit(step(transaction.reader)), (exit): Effect.Effect<A, E | E2> => {
      if (!transaction.isOpen()) return ended
      return transaction.writes.revision === revision ? Exit.map(exit, write) : takeAgain
    })
  })
  return transaction.inTurn(takeAgain)
}

/** Begins a transaction. */
export const begin = (store: TransactionStore): RootTransaction => {
  const reads = new ReadSet()
  const takeovers = store.definitions.takeovers()
  const snapshot: LazySnapshot = { store, state: { _tag: "Unopened" } }
  const plain = lazily(() => snapshotReader(snapshot))
  const stored = recorded(plain, reads)
  const transaction = make({ present: stored, frozen: () => stored, plain }, () => true)
  return {
    ...transaction,
    end: () => {
      transaction.end()
      endSnapshot(snapshot)
    },
    addresses: () => [
      ...new Set([
        ...reads.addresses(),
        ...Array.from(transaction.writes, ([database, key]) => qualifiedKey(database, key))
      ])
    ],
    reads,
    isPermitted: () => store.definitions.permits(transaction.writes, takeovers)
  }
}

/** The transactions that a fiber is in, one of a store at the most. */
const CurrentTransactions = Context.Reference<ReadonlyMap<object, Transaction>>(
  "effect-lmdb/CurrentTransactions",
  { defaultValue: () => new Map() }
)

/** The transaction on a store that a fiber is in. */
export const currentOf = (fiber: Fiber.Fiber<unknown, unknown>, store: object): Transaction | undefined =>
  fiber.getRef(CurrentTransactions).get(store)

/** The services of a fiber that is in a transaction, besides those that it has. */
export const enter = (
  fiber: Fiber.Fiber<unknown, unknown>,
  store: object,
  transaction: Transaction
): Context.Context<never> =>
  Context.make(CurrentTransactions, new Map(fiber.getRef(CurrentTransactions)).set(store, transaction))

/** Runs an effect outside of the transaction on a store that its fiber is in. */
export const outside = <A, E, R>(store: object, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const transactions = new Map(fiber.getRef(CurrentTransactions))
    return transactions.delete(store) ? Effect.provideService(effect, CurrentTransactions, transactions) : effect
  })
