/**
 * A transaction while it runs: a snapshot to read from, what it has read, and what it
 * has written in front of that.
 *
 * The engine knows nothing of it until it is committed. It may wait for anything
 * meanwhile, and keeps nobody from writing.
 */
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { Reader, Write } from "../Engine.ts"
import type { EngineFailure } from "../StoreError.ts"
import { over } from "./overlay.ts"
import { ReadSet } from "./readSet.ts"
import type { OpenSnapshot, StoreCore } from "./storeCore.ts"
import type { Unit } from "./unitCommits.ts"
import { freeze } from "./writeBuffer.ts"
import { addressOf, WriteSet } from "./writeSet.ts"

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
   * Hands what it has written to the one around it; `false` where that would be read
   * otherwise by now, because of what fibers beside this one have written.
   */
  readonly join: () => Result.Result<boolean, EngineFailure>
}

/** A transaction that is in no other. */
export interface RootTransaction extends Transaction {
  /** The keys that it has read or written, by their names. */
  readonly addresses: () => ReadonlyArray<string>
  /** What is committed for it, when it has ended. */
  readonly toUnit: (rank: number) => Unit
}

/** Reads a snapshot that is opened by the first read, and takes down what was read. */
const recorded = (open: () => Result.Result<Reader, EngineFailure>, reads: ReadSet): Reader => {
  const read = <A>(use: (reader: Reader) => Result.Result<A, EngineFailure>, note: (result: A) => void) => {
    const result = Result.flatMap(open(), use)
    if (Result.isSuccess(result)) note(result.success)
    return result
  }
  return {
    get: (database, key) =>
      read((reader) => reader.get(database, key), (bytes) => reads.addValue(database, key, bytes)),
    has: (database, key) =>
      read((reader) => reader.has(database, key), (exists) => reads.addExistence(database, key, exists)),
    read: (database, request) =>
      read((reader) => reader.read(database, request), (part) => reads.addRange(database, request, part)),
    count: (database) => read((reader) => reader.count(database), (count) => reads.addCount(database, count))
  }
}

/** Makes a transaction in front of what it reads: as it is at present, or as it is now for good. */
const make = (present: Reader, frozen: () => Reader, isAroundOpen: () => boolean): Transaction => {
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
      const nested = make(record(transaction.reader), () => record(transaction.freeze()), transaction.isOpen)
      return {
        ...nested,
        join: () =>
          Result.map(reads.holds(transaction.reader), (holds) => {
            if (holds) writes.addAll(nested.writes)
            return holds
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
export const begin = (core: StoreCore): RootTransaction => {
  const reads = new ReadSet()
  let snapshot: OpenSnapshot | undefined
  const open = (): Result.Result<Reader, EngineFailure> => {
    if (snapshot !== undefined) return Result.succeed(snapshot.reader)
    return Result.map(core.openSnapshot(), (opened) => {
      snapshot = opened
      return opened.reader
    })
  }
  const stored = recorded(open, reads)
  const transaction = make(stored, () => stored, () => true)
  return {
    ...transaction,
    end: () => {
      transaction.end()
      snapshot?.release()
    },
    addresses: () => [
      ...new Set([
        ...reads.addresses(),
        ...Array.from(transaction.writes, ([database, key]) => addressOf(database, key))
      ])
    ],
    toUnit: (rank) => ({ writes: transaction.writes, holds: (present) => reads.holds(present), rank })
  }
}

/** The transactions that a fiber is in, one of a store at the most. */
const CurrentTransactions = Context.Reference<ReadonlyMap<StoreCore, Transaction>>(
  "effect-lmdb/CurrentTransactions",
  { defaultValue: () => new Map() }
)

/** The transaction on a store that a fiber is in. */
export const currentOf = (fiber: Fiber.Fiber<unknown, unknown>, core: StoreCore): Transaction | undefined =>
  fiber.getRef(CurrentTransactions).get(core)

/** The services of a fiber that is in a transaction, besides those that it has. */
export const enter = (
  fiber: Fiber.Fiber<unknown, unknown>,
  core: StoreCore,
  transaction: Transaction
): Context.Context<never> =>
  Context.make(CurrentTransactions, new Map(fiber.getRef(CurrentTransactions)).set(core, transaction))
