/**
 * The bare engine, as a program uses it that knows nothing of this store.
 *
 * Durability: with the engine's defaults the promise of a `put` or a `batch` resolves,
 * and `transactionSync` returns, when the commit was synced to disk; `flushed` resolves
 * no earlier and is awaited to be sure.
 *
 * The engine shows writes that are not committed only inside of their transaction.
 * Pending writes are therefore read there, and the reads between the writes of YCSB see
 * what was committed before.
 */
import * as Effect from "effect/Effect"
import { type Database, open as openLmdb, type RootDatabase } from "lmdb"
import type { Driver, Open } from "../driver.ts"
import { type BenchRecord, type Entries, idOf, incremented } from "../records.ts"

type Records = Database<unknown, string>

const put = (records: Records, entries: Entries): Promise<unknown> => {
  let last: Promise<boolean> | undefined
  for (const [key, record] of entries) last = records.put(key, record)
  return Promise.resolve(last).then(() => records.flushed)
}

const putMany = (records: Records, entries: Entries, byScore: Database<string, number> | undefined) =>
  records.batch(() => {
    for (const [key, record] of entries) {
      void records.put(key, record)
      void byScore?.put(record.score, key)
    }
  }).then(() => records.flushed)

const commit = (records: Records, entries: Entries): void =>
  records.transactionSync(() => {
    for (const [key, record] of entries) void records.put(key, record)
  })

const transact = (records: Records, entries: Entries) =>
  records.transaction(() => {
    for (const [key, record] of entries) void records.put(key, record)
  })

const increment = (records: Records, key: string) =>
  records.transaction(() => void records.put(key, incremented(records.get(key))))

const putDurably = (records: Records, [key, record]: readonly [string, BenchRecord]) =>
  records.put(key, record).then(() => records.flushed)

const get = (records: Records, keys: ReadonlyArray<string>): number => {
  let sum = 0
  for (const key of keys) sum += idOf(records.get(key))
  return sum
}

const has = (records: Records, keys: ReadonlyArray<string>): number => {
  let found = 0
  for (const key of keys) if (records.doesExist(key)) found++
  return found
}

const sumOfMany = (values: ReadonlyArray<unknown>): number => {
  let total = 0
  for (const value of values) total += idOf(value)
  return total
}

const sum = (range: Iterable<{ readonly value: unknown }>): number => {
  let total = 0
  for (const { value } of range) total += idOf(value)
  return total
}

const byScore = (records: Records, index: Database<string, number>, scores: ReadonlyArray<number>): number => {
  let total = 0
  for (const score of scores) {
    for (const key of index.getValues(score)) total += idOf(records.get(key))
  }
  return total
}

const driver = (records: Records, index: Database<string, number> | undefined): Driver => ({
  put: (entries) => Effect.promise(() => put(records, entries)),
  putMany: (entries) => Effect.promise(() => putMany(records, entries, index)),
  commit: (entries) => Effect.sync(() => commit(records, entries)),
  putDurably: (entries) => Effect.promise(() => Promise.all(entries.map((entry) => putDurably(records, entry)))),
  read: (key) => Effect.sync(() => records.get(key)),
  get: (keys) => Effect.sync(() => get(records, keys)),
  has: (keys) => Effect.sync(() => has(records, keys)),
  getMany: (keys) => Effect.map(Effect.promise(() => records.getMany([...keys])), sumOfMany),
  scan: Effect.sync(() => sum(records.getRange())),
  mix: (steps) =>
    Effect.promise(() => {
      let total = 0
      let last: Promise<boolean> | undefined
      for (const { key, update } of steps) {
        if (update === undefined) total += idOf(records.get(key))
        else last = records.put(key, update)
      }
      return Promise.resolve(last).then(() => records.flushed).then(() => total)
    }),
  getPending: (entries, keys, stopwatch) =>
    Effect.sync(() =>
      records.transactionSync(() => {
        for (const [key, record] of entries) void records.put(key, record)
        return stopwatch.timeSync(() => get(records, keys))
      })
    ),
  range: (starts, length) =>
    Effect.sync(() => {
      let total = 0
      for (const start of starts) total += sum(records.getRange({ start, limit: length }))
      return total
    }),
  byScore: (scores) => Effect.sync(() => index === undefined ? Number.NaN : byScore(records, index, scores)),
  transactions: (groups) =>
    Effect.sync(() => {
      for (const entries of groups) commit(records, entries)
    }),
  transactionsAtOnce: (groups) =>
    Effect.promise(() => Promise.all(groups.map((entries) => transact(records, entries))).then(() => records.flushed)),
  increment: (key, times) =>
    Effect.promise(() =>
      Promise.all(Array.from({ length: times }, () => increment(records, key))).then(() => records.flushed)
    )
})

interface Encoding {
  readonly sharedStructuresKey?: symbol
}

const openWith = (encoding: Encoding): Open => (folder, { indexed = false }) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync((): RootDatabase<unknown, string> => openLmdb({ path: folder, ...encoding })),
      (root) => Effect.promise(() => root.close())
    ),
    (root) => {
      if (!indexed) return driver(root, undefined)
      const index = root.openDB<string, number>("byScore", { dupSort: true, encoding: "ordered-binary" })
      return driver(root.openDB("records", encoding), index)
    }
  )

/** The engine with its defaults: the yardstick. */
export const open = openWith({})

/** The engine with the structures of records stored once, as its documentation proposes for speed. */
export const openWithSharedStructures = openWith({ sharedStructuresKey: Symbol.for("structures") })
