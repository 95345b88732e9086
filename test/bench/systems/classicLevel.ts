/**
 * LevelDB by the package classic-level, with values in JSON and, as it comes,
 * compressed by Snappy.
 *
 * Durability: the last write of a piece of work has `sync: true`, which syncs the log
 * with all the writes before it. A log that became full meanwhile is not synced by this
 * but written anew as a table: here LevelDB promises a little less than the others.
 *
 * It reads synchronously (`getSync`), which is several times faster than `get`, and
 * writes in batches where it may, else one awaited `put` after the other: puts that run
 * at the same time are done in any order. It does not show what is not written.
 */
/* oxlint-disable eslint/no-await-in-loop -- one after the other is what is measured */
import { ClassicLevel } from "classic-level"
import * as Effect from "effect/Effect"
import type { Driver, Open } from "../driver.ts"
import { type BenchRecord, type Entries, idOf, type Step } from "../records.ts"

type Level = ClassicLevel<string, unknown>

/** How many writes are handed over at once, and how many records are read at once. */
const batchSize = 1000

const write = ([key, value]: readonly [string, BenchRecord]) => ({ type: "put" as const, key, value })

const put = async (level: Level, entries: Entries): Promise<void> => {
  let batch: Array<ReturnType<typeof write>> = []
  for (const entry of entries) {
    if (batch.length === batchSize) {
      await level.batch(batch)
      batch = []
    }
    batch.push(write(entry))
  }
  await level.batch(batch, { sync: true })
}

const get = (level: Level, keys: ReadonlyArray<string>): number => {
  let total = 0
  for (const key of keys) total += idOf(level.getSync(key))
  return total
}

/** Whether there is a value is only to be known by reading it; as bytes it need not be decoded. */
const has = (level: Level, keys: ReadonlyArray<string>): number => {
  const bytes = { valueEncoding: "buffer" }
  let found = 0
  for (const key of keys) if (level.getSync(key, bytes) !== undefined) found++
  return found
}

const sum = async (level: Level, range: { readonly gte?: string; readonly limit?: number }): Promise<number> => {
  const iterator = level.values(range)
  let total = 0
  for (;;) {
    const values = await iterator.nextv(batchSize)
    if (values.length === 0) break
    for (const value of values) total += idOf(value)
  }
  await iterator.close()
  return total
}

const ranges = async (level: Level, starts: ReadonlyArray<string>, length: number): Promise<number> => {
  let total = 0
  for (const start of starts) total += await sum(level, { gte: start, limit: length })
  return total
}

const mix = async (level: Level, steps: ReadonlyArray<Step>): Promise<number> => {
  const lastUpdate = steps.findLastIndex(({ update }) => update !== undefined)
  let total = 0
  for (const [index, { key, update }] of steps.entries()) {
    if (update === undefined) total += idOf(level.getSync(key))
    else await level.put(key, update, { sync: index === lastUpdate })
  }
  return total
}

const transactions = async (level: Level, groups: ReadonlyArray<ReadonlyArray<readonly [string, BenchRecord]>>) => {
  for (const entries of groups) await level.batch(entries.map(write), { sync: true })
}

const driver = (level: Level): Driver => ({
  put: (entries) => Effect.promise(() => put(level, entries)),
  putMany: (entries) => Effect.promise(() => level.batch(Array.from(entries, write), { sync: true })),
  putDurably: (entries) =>
    Effect.promise(() => Promise.all(entries.map(([key, record]) => level.put(key, record, { sync: true })))),
  read: (key) => Effect.sync(() => level.getSync(key)),
  get: (keys) => Effect.sync(() => get(level, keys)),
  has: (keys) => Effect.sync(() => has(level, keys)),
  getMany: (keys) =>
    Effect.map(Effect.promise(() => level.getMany([...keys])), (values) => {
      let total = 0
      for (const value of values) total += idOf(value)
      return total
    }),
  scan: Effect.promise(() => sum(level, {})),
  mix: (steps) => Effect.promise(() => mix(level, steps)),
  range: (starts, length) => Effect.promise(() => ranges(level, starts, length)),
  transactions: (groups) => Effect.promise(() => transactions(level, groups)),
  transactionsAtOnce: (groups) =>
    Effect.promise(() => Promise.all(groups.map((entries) => level.batch(entries.map(write), { sync: true }))))
})

/** Opens a folder of LevelDB. */
export const open: Open = (folder) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => {
        const level: Level = new ClassicLevel<string, unknown>(folder, { valueEncoding: "json" })
        return level.open().then(() => level)
      }),
      (level) => Effect.promise(() => level.close())
    ),
    driver
  )
