/**
 * What a system does in the benchmark: whole pieces of work on many records, each
 * written in the way that is natural to the system and fastest for it. What is
 * synchronous there is a plain loop, what gives a promise is awaited, and what is an
 * effect is yielded; no system pays for the style of another.
 *
 * All do the same on the same records: a piece of work that writes is done when all of
 * it is on disk, to survive a loss of power, and one that reads decodes every record
 * and adds up their numbers, by which the scenario knows that they were the right ones.
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { BenchRecord, Entries, Step } from "./records.ts"
import type { Stopwatch } from "./stopwatch.ts"

/** A piece of work. What it fails with ends the benchmark. */
export type Work<A = void> = Effect.Effect<A, unknown>

/** A system that is open. What not every system can do is optional. */
export interface Driver {
  /** Writes one record after the other, in the way in which the system groups writes, and waits at the end. */
  readonly put: (entries: Entries) => Work
  /** Writes all records in one transaction. */
  readonly putMany: (entries: Entries) => Work
  /** The same in the way that is shortest for small transactions. Default: `putMany`. */
  readonly commit?: (entries: ReadonlyArray<readonly [string, BenchRecord]>) => Work
  /** Writes all records at the same time; each of the writers waits until its own is on disk. */
  readonly putDurably: (entries: ReadonlyArray<readonly [string, BenchRecord]>) => Work
  /** Reads a record, to be compared with what was written. */
  readonly read: (key: string) => Work<unknown>
  /** Reads one record after the other: the sum of their numbers. */
  readonly get: (keys: ReadonlyArray<string>) => Work<number>
  /** How many of the keys there are, asked one after the other. */
  readonly has: (keys: ReadonlyArray<string>) => Work<number>
  /** Reads all records at once: the sum of their numbers. */
  readonly getMany: (keys: ReadonlyArray<string>) => Work<number>
  /** Reads all there is: the sum of the numbers of the records. */
  readonly scan: Work<number>
  /** Reads and writes as told, and waits at the end as `put` does: the sum of the numbers read. */
  readonly mix: (steps: ReadonlyArray<Step>) => Work<number>
  /** Writes records and reads the keys while none of them is committed, which alone is timed: the sum of their numbers. */
  readonly getPending?: (entries: Entries, keys: ReadonlyArray<string>, stopwatch: Stopwatch) => Work<number>
  /** Reads so many records from each of the keys on: the sum of their numbers. */
  readonly range?: (starts: ReadonlyArray<string>, length: number) => Work<number>
  /** Reads the record with each of the scores by an index: the sum of their numbers. */
  readonly byScore?: (scores: ReadonlyArray<number>) => Work<number>
  /** One transaction after the other, each with all of its records and on disk before the next. */
  readonly transactions?: (groups: ReadonlyArray<ReadonlyArray<readonly [string, BenchRecord]>>) => Work
  /** The same transactions from 100 fibers, or all at the same time where there are promises. Default: `transactions`. */
  readonly transactionsAtOnce?: (groups: ReadonlyArray<ReadonlyArray<readonly [string, BenchRecord]>>) => Work
  /** Increments the number of a record in as many transactions, all started at the same time and on disk at the end. */
  readonly increment?: (key: string, times: number) => Work
}

/** How a scenario wants a system. */
export interface OpenOptions {
  /** Whether there is an index on the score; it need only be kept by `putMany` of new keys. Default: `false`. */
  readonly indexed?: boolean
  /** Whether writes stay pending until they are waited for, where the system would commit them earlier. Default: `false`. */
  readonly holdWrites?: boolean
}

/** Opens a system in a folder that exists, until the scope closes. */
export type Open = (folder: string, options: OpenOptions) => Effect.Effect<Driver, unknown, Scope.Scope>
