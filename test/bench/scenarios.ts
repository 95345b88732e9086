/**
 * The scenarios: what is prepared, what is timed, and how it is known to be right.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Scope from "effect/Scope"
import { deepStrictEqual } from "node:assert/strict"
import { WrongResult } from "./benchError.ts"
import type { Driver, Open, OpenOptions } from "./driver.ts"
import type { Run } from "./measuring.ts"
import type { ScenarioId } from "./plan.ts"
import * as Records from "./records.ts"

/** Where a scenario takes place. */
interface Stage {
  readonly open: Open
  /** How many records there are, or how many are written. */
  readonly records: number
  /** A folder of the system with that many records in it. */
  readonly loaded: string
  /** A folder for stores that are written to. */
  readonly scratch: string
}

/** Prepares a scenario. */
export type Scenario = (stage: Stage) => Effect.Effect<Run, unknown, FileSystem.FileSystem | Scope.Scope>

/** More operations than these in one run would only take longer. */
const mostOperations = 100_000

/** How many calls of a method that reads are the first calls of a process. */
const firstCalls = 1000

// -----------------------------------------------------------------------------
// what is right
// -----------------------------------------------------------------------------

const expectNumber = (what: string, seen: number, expected: number) =>
  seen === expected ? Effect.void : Effect.fail(new WrongResult({ what, seen, expected }))

/** Compares records that were written with what the system has. */
const expectWritten = (driver: Driver, entries: Records.Entries) =>
  Effect.forEach(entries, ([key, record]) =>
    Effect.flatMap(driver.read(key), (seen) =>
      Effect.try({
        try: () => deepStrictEqual(seen, record),
        catch: () => new WrongResult({ what: `the value of ${key}`, seen, expected: record })
      })), { discard: true })

/** Some of many. */
const someOf = <A>(many: ReadonlyArray<A>): ReadonlyArray<A> => {
  const step = Math.ceil(many.length / 20)
  return many.filter((_, index) => index % step === 0)
}

const sumOfAll = (records: number): number => records * (records - 1) / 2

const unsupported = Effect.die(new Error("A system was given a scenario that it does not support."))

// -----------------------------------------------------------------------------
// stores
// -----------------------------------------------------------------------------

const scratchFolder = ({ scratch }: Stage) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped({ directory: scratch }))

/** So many records are written in one transaction when a store is filled. */
const chunk = 100_000

/** Fills the store that a scenario begins with. */
export const fill = Effect.fnUntraced(function*(
  open: Open,
  { folder, records, scenario }: { readonly folder: string; readonly records: number; readonly scenario: ScenarioId }
) {
  const driver = yield* open(folder, { indexed: scenario === "index-lookup" })
  for (let first = 0; first < records; first += chunk) {
    yield* driver.putMany(Records.entriesOf(Math.min(chunk, records - first), first))
  }
}, Effect.scoped)

/** An empty store, gone after its use. */
const withEmpty = <A>(
  stage: Stage,
  use: (driver: Driver) => Effect.Effect<A, unknown, FileSystem.FileSystem>,
  options: OpenOptions = {}
) => Effect.scoped(Effect.flatMap(Effect.flatMap(scratchFolder(stage), (folder) => stage.open(folder, options)), use))

/** A store with all records, to be written to: a copy. */
const openCopy = Effect.fnUntraced(function*(stage: Stage) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* scratchFolder(stage)
  yield* fs.copy(stage.loaded, folder, { overwrite: true })
  return yield* stage.open(folder, {})
})

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

/** Reads from the same open store again and again: it is in memory then. A run makes no more calls than `most`. */
const reading = (
  prepare: (records: number, most: number) => {
    readonly what: string
    readonly operations: number
    readonly expected: number
    readonly work: (driver: Driver) => Effect.Effect<number, unknown>
  },
  options: OpenOptions = {}
): Scenario =>
  Effect.fnUntraced(function*(stage) {
    const driver = yield* stage.open(stage.loaded, options)
    const first = prepare(stage.records, firstCalls)
    const all = prepare(stage.records, mostOperations)
    return Effect.fnUntraced(function*(stopwatch, isFirst = false) {
      const { expected, operations, what, work } = isFirst ? first : all
      const seen = yield* stopwatch.time(work(driver))
      yield* expectNumber(what, seen, expected)
      return operations
    })
  })

const picksOf = (records: number, most: number) => Records.uniform(Math.min(records, most), records)

const get = reading((records, most) => {
  const picks = picksOf(records, most)
  const keys = picks.map(Records.keyOf)
  return {
    what: "the sum of the records read",
    operations: keys.length,
    expected: Records.sumOf(picks),
    work: (driver) => driver.get(keys)
  }
})

/** Every tenth of the keys that are asked for has no value. */
const isAbsent = (position: number): boolean => position % 10 === 9

const has = reading((records, most) => {
  const picks = picksOf(records, most)
  const keys = picks.map((pick, position) => isAbsent(position) ? Records.absentKeyOf(pick) : Records.keyOf(pick))
  return {
    what: "the number of keys found",
    operations: keys.length,
    expected: picks.filter((_, position) => !isAbsent(position)).length,
    work: (driver) => driver.has(keys)
  }
})

const getMany = reading((records) => {
  const count = Math.min(1000, records)
  const indices = Records.range(0, count).map((index) => Math.floor(index * records / count))
  const keys = indices.map(Records.keyOf)
  return {
    what: "the sum of the records read",
    operations: count,
    expected: Records.sumOf(indices),
    work: (driver) => driver.getMany(keys)
  }
})

const scan = reading((records) => ({
  what: "the sum of all records",
  operations: records,
  expected: sumOfAll(records),
  work: (driver) => driver.scan
}))

const range100 = reading((records, most) => {
  const length = Math.min(100, records)
  const starts = Records.uniform(Math.min(records, most, 1000), records - length + 1)
  const keys = starts.map(Records.keyOf)
  return {
    what: "the sum of the records in the ranges",
    operations: starts.length,
    expected: Records.sumOf(starts, (start) => sumOfAll(start + length) - sumOfAll(start)),
    work: (driver) => driver.range?.(keys, length) ?? unsupported
  }
})

const indexLookup = reading((records, most) => {
  const picks = picksOf(records, Math.min(most, 10_000))
  const scores = picks.map(Records.scoreOf)
  return {
    what: "the sum of the records found by their scores",
    operations: picks.length,
    expected: Records.sumOf(picks),
    work: (driver) => driver.byScore?.(scores) ?? unsupported
  }
}, { indexed: true })

const getPending: Scenario = (stage) => {
  const first = picksOf(stage.records, firstCalls)
  const all = picksOf(stage.records, mostOperations)
  const entries = Records.entriesOf(Math.min(stage.records, mostOperations))
  return Effect.succeed((stopwatch, isFirst = false) =>
    withEmpty(
      stage,
      Effect.fnUntraced(function*(driver) {
        const picks = isFirst ? first : all
        const keys = picks.map(Records.keyOf)
        const seen = yield* driver.getPending?.(entries, keys, stopwatch) ?? unsupported
        yield* expectNumber("the sum of the pending records", seen, Records.sumOf(picks))
        return keys.length
      }),
      { holdWrites: true }
    )
  )
}

// -----------------------------------------------------------------------------
// writing
// -----------------------------------------------------------------------------

/** Fills an empty store, another one in each run. */
const filling = (
  work: (driver: Driver, entries: Records.Entries) => Effect.Effect<void, unknown>,
  entriesOf: (count: number) => Records.Entries = Records.entriesOf
): Scenario =>
(stage) => {
  const entries = entriesOf(stage.records)
  const some = someOf(Records.range(0, stage.records)).map(Records.entryOf)
  return Effect.succeed((stopwatch) =>
    withEmpty(
      stage,
      Effect.fnUntraced(function*(driver) {
        yield* stopwatch.time(work(driver, entries))
        yield* expectNumber("the sum of all records", yield* driver.scan, sumOfAll(stage.records))
        yield* expectWritten(driver, some)
        return stage.records
      })
    )
  )
}

/** Every record once, in an order far from that of the keys. */
const shuffled = (count: number): Records.Entries =>
  Records.range(0, count).map((rank) => Records.entryOf(Records.scatter(rank, count)))

/** Changes a store that has all records; each run brings new versions of what it writes. */
const changing = <A>(
  prepare: (records: number, version: number) => {
    readonly changes: A
    readonly operations: number
    /** What is there in the end. */
    readonly written: ReadonlyArray<readonly [string, Records.BenchRecord]>
  },
  work: (driver: Driver, changes: A) => Effect.Effect<unknown, unknown>
): Scenario =>
  Effect.fnUntraced(function*(stage) {
    const driver = yield* openCopy(stage)
    let version = 0
    return Effect.fnUntraced(function*(stopwatch) {
      version++
      const { changes, operations, written } = prepare(stage.records, version)
      yield* stopwatch.time(work(driver, changes))
      yield* expectWritten(driver, someOf(written))
      return operations
    })
  })

/** Each of 1,000 records is written again and again. */
const overwriteHot = changing((records, version) => {
  const hot = Math.min(1000, records)
  const changes = Records.range(0, records).map((step) => {
    const index = step % hot
    return [Records.keyOf(index), Records.recordOf(index, version * records + step)] as const
  })
  return { changes, operations: records, written: changes.slice(-hot) }
}, (driver, changes) => driver.put(changes))

/** New versions of so many records, spread over all. */
const versionsOf = (count: number, records: number, version: number) =>
  Records.range(0, Math.min(count, records)).map((position) => {
    const index = Math.floor(position * records / Math.min(count, records))
    return [Records.keyOf(index), Records.recordOf(index, version)] as const
  })

const putDurable = changing((records, version) => {
  const changes = versionsOf(1000, records, version)
  return { changes, operations: changes.length, written: changes }
}, (driver, changes) => driver.putDurably(changes))

const commit1000 = changing((records, version) => {
  const changes = versionsOf(1000, records, version)
  return { changes, operations: 1, written: changes }
}, (driver, changes) => driver.commit?.(changes) ?? driver.putMany(changes))

type Groups = Parameters<NonNullable<Driver["transactions"]>>[0]

/** Writes so many new versions, ten in each transaction. */
const tens = (count: number, work: (driver: Driver, groups: Groups) => Effect.Effect<unknown, unknown>): Scenario =>
  changing((records, version) => {
    const written = versionsOf(count, records, version)
    const changes = Records.range(0, Math.ceil(written.length / 10)).map((group) =>
      written.slice(group * 10, group * 10 + 10)
    )
    return { changes, operations: changes.length, written }
  }, work)

const transaction10 = tens(1000, (driver, groups) => driver.transactions?.(groups) ?? unsupported)

const transaction10Fibers = tens(
  10_000,
  (driver, groups) => driver.transactionsAtOnce?.(groups) ?? driver.transactions?.(groups) ?? unsupported
)

/** Many transactions change one record, the first of the store. */
const counter = changing((records, version) => {
  const times = Math.min(1000, records)
  const key = Records.keyOf(0)
  const record = { ...Records.recordOf(0), id: version * times }
  return { changes: { key, times }, operations: times, written: [[key, record] as const] }
}, (driver, { key, times }) => driver.increment?.(key, times) ?? unsupported)

/** The mixed workloads of YCSB. Reads may see any version of a record, but no other record. */
const ycsb = (updates: number) =>
  changing((records, version) => {
    const steps = Records.ycsbSteps(Math.min(records, mostOperations), records, updates, version)
    const written = new Map(steps.flatMap(({ key, update }) => update === undefined ? [] : [[key, update] as const]))
    return { changes: steps, operations: steps.length, written: [...written] }
  }, (driver, steps) =>
    Effect.flatMap(
      driver.mix(steps),
      (seen) => expectNumber("the sum of the records read", seen, Records.sumOf(steps.map(({ read }) => read)))
    ))

/** Writes large values to an empty store until all are on disk, and reads them back. */
const values = (bytes: number): Scenario => (stage) => {
  const entries = Records.entriesOfSize(stage.records, bytes)
  const keys = entries.map(([key]) => key)
  return Effect.succeed((stopwatch) =>
    withEmpty(
      stage,
      Effect.fnUntraced(function*(driver) {
        const seen = yield* stopwatch.time(Effect.andThen(driver.put(entries), driver.get(keys)))
        yield* expectNumber("the sum of the records read", seen, sumOfAll(stage.records))
        yield* expectWritten(driver, someOf(entries))
        return entries.length
      })
    )
  )
}

// -----------------------------------------------------------------------------
// opening
// -----------------------------------------------------------------------------

/** Closing is not timed. */
const open: Scenario = (stage) => {
  const [key, record] = Records.entryOf(Math.floor(stage.records / 2))
  return Effect.succeed((stopwatch) =>
    Effect.scoped(Effect.gen(function*() {
      const seen = yield* stopwatch.time(
        Effect.flatMap(stage.open(stage.loaded, {}), (driver) => driver.read(key))
      )
      yield* expectNumber("the record read", Records.idOf(seen), record.id)
      return 1
    }))
  )
}

/** The scenarios by their names. */
export const scenarios: Record<ScenarioId, Scenario> = {
  "get": get,
  "get-pending": getPending,
  "has": has,
  "put": filling((driver, entries) => driver.put(entries)),
  "overwrite-hot": overwriteHot,
  "putMany": filling((driver, entries) => driver.putMany(entries)),
  "putMany-random": filling((driver, entries) => driver.putMany(entries), shuffled),
  "commit-1000": commit1000,
  "getMany": getMany,
  "put-durable": putDurable,
  "scan": scan,
  "range-100": range100,
  "index-lookup": indexLookup,
  "transaction-10": transaction10,
  "transaction-10-fibers": transaction10Fibers,
  "counter": counter,
  "ycsb-a": ycsb(0.5),
  "ycsb-b": ycsb(0.05),
  "value-100B": values(100),
  "value-1KB": values(1000),
  "value-100KB": values(100_000),
  "value-10MB": values(10_000_000),
  "open": open,
  "stream-memory": scan
}
