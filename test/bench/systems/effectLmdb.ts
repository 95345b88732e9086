/**
 * This store.
 *
 * Durability: the default `"sync"`. `flush` waits for the disk at the end of buffered
 * writes, `putMany` waits by itself.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Store } from "../../../src/index.ts"
import type { Driver, Open, OpenOptions, Work } from "../driver.ts"
import { type BenchRecord, type Entries, idOf, incremented, range } from "../records.ts"

/** What the scenarios use of a store, and find in a typed collection as well. */
export interface Records {
  readonly put: (key: string, record: BenchRecord) => Work
  readonly get: (key: string) => Work<Option.Option<unknown>>
  readonly has: (key: string) => Work<boolean>
  readonly putMany: (entries: Entries) => Work
  readonly getMany: (keys: Iterable<string>) => Work<{ readonly found: ReadonlyMap<string, unknown> }>
  readonly entries: (
    range?: { readonly gte: string; readonly limit: number }
  ) => Stream.Stream<readonly [string, unknown], unknown>
  readonly flush: Work
}

/** What a store or collection may have besides. */
export interface Extras {
  /** The record that an index has under a score. */
  readonly byScore?: (score: number) => Work<Option.Option<unknown>>
  /** Does all of an effect's writes in one transaction, on disk when it returns. */
  readonly withTransaction?: (writes: Work) => Work
}

const sum = (entries: Stream.Stream<readonly [string, unknown], unknown>): Work<number> =>
  Stream.runFold(entries, () => 0, (total, [, value]) => total + idOf(value))

const get = Effect.fnUntraced(function*(records: Records, keys: ReadonlyArray<string>) {
  let total = 0
  for (const key of keys) total += idOf(Option.getOrUndefined(yield* records.get(key)))
  return total
})

const put = Effect.fnUntraced(function*(records: Records, entries: Entries) {
  for (const [key, record] of entries) yield* records.put(key, record)
})

const increment = (records: Records, key: string) =>
  Effect.flatMap(records.get(key), (found) => records.put(key, incremented(Option.getOrUndefined(found))))

const lookUp = Effect.fnUntraced(function*(byScore: NonNullable<Extras["byScore"]>, scores: ReadonlyArray<number>) {
  let total = 0
  for (const score of scores) total += idOf(Option.getOrUndefined(yield* byScore(score)))
  return total
})

/** Drives a store, or what has the same methods. */
export const driver = (records: Records, { byScore, withTransaction }: Extras = {}): Driver => ({
  put: (entries) => Effect.andThen(put(records, entries), records.flush),
  putMany: records.putMany,
  putDurably: (entries) =>
    Effect.forEach(entries, ([key, record]) => Effect.andThen(records.put(key, record), records.flush), {
      concurrency: "unbounded",
      discard: true
    }),
  read: (key) => Effect.map(records.get(key), Option.getOrUndefined),
  get: (keys) => get(records, keys),
  has: Effect.fnUntraced(function*(keys) {
    let found = 0
    for (const key of keys) if (yield* records.has(key)) found++
    return found
  }),
  getMany: (keys) =>
    Effect.map(records.getMany(keys), ({ found }) => {
      let total = 0
      for (const value of found.values()) total += idOf(value)
      return total
    }),
  scan: Effect.suspend(() => sum(records.entries())),
  mix: Effect.fnUntraced(function*(steps) {
    let total = 0
    for (const { key, update } of steps) {
      if (update === undefined) total += idOf(Option.getOrUndefined(yield* records.get(key)))
      else yield* records.put(key, update)
    }
    yield* records.flush
    return total
  }),
  getPending: (entries, keys, stopwatch) => Effect.andThen(put(records, entries), stopwatch.time(get(records, keys))),
  range: Effect.fnUntraced(function*(starts, length) {
    let total = 0
    for (const start of starts) total += yield* sum(records.entries({ gte: start, limit: length }))
    return total
  }),
  ...(byScore === undefined ? {} : { byScore: (scores) => lookUp(byScore, scores) }),
  ...(withTransaction === undefined ? {} : {
    transactions: (groups) =>
      Effect.forEach(groups, (entries) => withTransaction(put(records, entries)), { discard: true }),
    transactionsAtOnce: (groups) =>
      Effect.forEach(groups, (entries) => withTransaction(put(records, entries)), { concurrency: 100, discard: true }),
    increment: (key, times) =>
      Effect.forEach(range(0, times), () => withTransaction(increment(records, key)), {
        concurrency: "unbounded",
        discard: true
      })
  })
})

/** Opens a store with its defaults, except where writes are to stay pending. */
export const openStore = (folder: string, { holdWrites = false }: OpenOptions) =>
  Store.make({
    path: folder,
    ...(holdWrites ? { batchSize: 10_000_000, batchBytes: "4 GiB", flushInterval: "Infinity" } : {})
  })

/** Opens a store. */
export const open: Open = (folder, options) =>
  Effect.map(openStore(folder, options), (store) => driver(store, { withTransaction: store.withTransaction }))
