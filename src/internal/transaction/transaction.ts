/**
 * A transaction while it runs: a snapshot to read from, what it has read, and what it
 * has written in front of that.
 *
 * The engine knows nothing of it until it is committed. It may wait for anything
 * meanwhile, and keeps nobody from writing.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { Reader, Write } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { freeze, qualifiedKey, WriteSet } from "../buffer/writeSet.ts"
import type { OpenSnapshot } from "../reader/openSnapshot.ts"
import { over } from "../reader/overlay.ts"
import { ReadSet } from "../reader/readSet.ts"
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
  readonly holds: () => Result.Result<boolean, EngineFailure>
  /**
   * Hands what it has written to the one around it; `false` where that would be read
   * otherwise by now, because of what fibers beside this one have written.
   */
  readonly join: () => Result.Result<boolean, EngineFailure>
}

/** A transaction that is in no other. */
export interface RootTransaction extends Transaction {
  /** The keys that it has read or written, by their names. */
  readonly addresses: () => ReadonlyArray<string>
  /** Whether it may be committed: what it has read is still what the present state has. */
  readonly isValid: (present: Reader) => Result.Result<boolean, EngineFailure>
}

/** The store that a transaction is on. */
export interface TransactionStore {
  readonly definitions: OpenDefinitions
  readonly openSnapshot: () => Result.Result<OpenSnapshot, EngineFailure>
}

/** Reads a snapshot that is opened by the first read, and takes down what was read, where that is wanted. */
const recorded = (open: () => Result.Result<Reader, EngineFailure>, reads: ReadSet | undefined): Reader => {
  const read = <A>(
    use: (reader: Reader) => Result.Result<A, EngineFailure>,
    note: (result: A, readSet: ReadSet) => void
  ) => {
    const result = Result.flatMap(open(), use)
    if (Result.isSuccess(result) && reads !== undefined) note(result.success, reads)
    return result
  }
  return {
    get: (database, key) =>
      read((reader) => reader.get(database, key), (bytes, readSet) => readSet.addValue(database, key, bytes)),
    has: (database, key) =>
      read((reader) => reader.has(database, key), (exists, readSet) => readSet.addExistence(database, key, exists)),
    read: (database, request) =>
      read((reader) => reader.read(database, request), (part, readSet) => readSet.addRange(database, request, part)),
    count: (database) => read((reader) => reader.count(database), (count, readSet) => readSet.addCount(database, count))
  }
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
  const transaction: Transaction = {
    isOpen: () => isOpen && isAroundOpen(),
    reader: over(writes, present),
    freeze: () => over(freeze([writes]), frozen()),
    writes,
    write: (group) => {
      for (const [database, key, write] of group) writes.set(database, key, write)
    },
    nest: () => {
      const reads = new ReadSet()
      const record = (reader: Reader): Reader => recorded(() => Result.succeed(reader), reads)
      const around: Around = {
        present: record(transaction.reader),
        frozen: () => record(transaction.freeze()),
        plain: over(writes, plain)
      }
      const nested = make(around, transaction.isOpen)
      const holds = () => reads.holds(around.plain)
      return {
        ...nested,
        holds,
        join: () =>
          Result.map(holds(), (isValid) => {
            if (isValid) writes.addAll(nested.writes)
            return isValid
          })
      }
    },
    end: () => {
      isOpen = false
    }
  }
  return transaction
}

/** Begins a transaction. */
export const begin = (store: TransactionStore): RootTransaction => {
  const reads = new ReadSet()
  const takeovers = store.definitions.takeovers()
  let snapshot: OpenSnapshot | undefined
  const open = (): Result.Result<Reader, EngineFailure> => {
    if (snapshot !== undefined) return Result.succeed(snapshot.reader)
    return Result.map(store.openSnapshot(), (opened) => {
      snapshot = opened
      return opened.reader
    })
  }
  const stored = recorded(open, reads)
  const plain = recorded(open, undefined)
  const transaction = make({ present: stored, frozen: () => stored, plain }, () => true)
  return {
    ...transaction,
    end: () => {
      transaction.end()
      snapshot?.release()
    },
    addresses: () => [
      ...new Set([
        ...reads.addresses(),
        ...Array.from(transaction.writes, ([database, key]) => qualifiedKey(database, key))
      ])
    ],
    isValid: (present) =>
      // Where a collection was taken over meanwhile, its next run is refused.
      store.definitions.permits(transaction.writes, takeovers) ? reads.holds(present) : Result.succeed(false)
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
