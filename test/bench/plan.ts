/**
 * What is measured: the scenarios, and with how many records.
 */
import * as Struct from "effect/Struct"

/** What a scenario is about, and with how many records it takes place. */
export interface Scale {
  readonly about: string
  /** The numbers of records in a full run. */
  readonly sizes: ReadonlyArray<number>
  /** Those of a quick run. Default: 10,000. */
  readonly quick?: ReadonlyArray<number>
  /** Whether it begins with an empty store. */
  readonly isEmpty?: boolean
  /** Whether its records are so large that no more of them are written than is planned. */
  readonly isHeavy?: boolean
  /** Whether one sample is taken and no other before it, so that its memory is that of the work alone. */
  readonly isOnce?: boolean
}

/** The scenarios in the order of the table. */
const scenarios = {
  "get": { about: "random reads, one by one", sizes: [1e4, 1e5, 1e6, 1e7], quick: [1e4, 1e5] },
  "get-pending": { about: "reads of writes that are not committed", sizes: [1e5], isEmpty: true },
  "has": { about: "whether there is a value, one by one", sizes: [1e4, 1e5, 1e6, 1e7] },
  "put": { about: "writes, one by one, until all are on disk", sizes: [1e4, 1e5, 1e6], isEmpty: true },
  "overwrite-hot": { about: "writes to 1,000 keys until all are on disk", sizes: [1e5] },
  "putMany": { about: "writes in one transaction", sizes: [1e5], isEmpty: true },
  "putMany-random": { about: "the same, the keys in random order", sizes: [1e5], isEmpty: true },
  "commit-1000": { about: "transactions of 1,000 writes, each waits for the disk: their pauses", sizes: [1e5] },
  "getMany": { about: "1,000 reads at once", sizes: [1e4, 1e5, 1e6] },
  "put-durable": { about: "1,000 concurrent writers, each waits for the disk", sizes: [1e5] },
  "scan": { about: "reads everything in order", sizes: [1e4, 1e5, 1e6, 1e7] },
  "range-100": { about: "reads 100 records from a key on", sizes: [1e4, 1e5, 1e6, 1e7] },
  "index-lookup": { about: "reads by an index", sizes: [1e4, 1e5, 1e6] },
  "transaction-10": { about: "transactions of 10 writes, each waits for the disk", sizes: [1e5] },
  "transaction-10-fibers": { about: "the same from 100 fibers, or all at once", sizes: [1e5] },
  "counter": { about: "1,000 transactions at once that increment one record", sizes: [1e5] },
  "ycsb-a": { about: "half reads, half updates, Zipf keys", sizes: [1e4, 1e5, 1e6] },
  "ycsb-b": { about: "95 reads to 5 updates, Zipf keys", sizes: [1e4, 1e5, 1e6] },
  "value-100B": { about: "writes and reads back 100 B", sizes: [1e5], isEmpty: true },
  "value-1KB": { about: "writes and reads back 1 KB", sizes: [1e5], isEmpty: true },
  "value-100KB": { about: "writes and reads back 100 KB", sizes: [1e3], quick: [100], isEmpty: true, isHeavy: true },
  "value-10MB": { about: "writes and reads back 10 MB", sizes: [10], quick: [2], isEmpty: true, isHeavy: true },
  "open": { about: "opens a cleanly closed store and reads one record", sizes: [1e5, 1e6, 1e7], quick: [1e5] },
  "stream-memory": { about: "reads everything in order, once: its memory", sizes: [1e6], quick: [1e5], isOnce: true }
} as const satisfies Record<string, Scale>

/** The name of a scenario. */
export type ScenarioId = keyof typeof scenarios

/** The names of the scenarios in the order of the table. */
export const scenarioIds: ReadonlyArray<ScenarioId> = Struct.keys(scenarios)

/** A scenario with so many records. */
export interface Step {
  readonly scenario: ScenarioId
  readonly records: number
  /** Whether it is there for the slow systems, which are compared with the yardstick and this store alone. */
  readonly slowOnly: boolean
}

/** How thoroughly is measured. */
export interface Effort {
  /** A sample takes at least this long, if need be by repetition, in milliseconds. */
  readonly sampleMillis: number
  /** How long a system runs before it is measured, in milliseconds: one sample at least. */
  readonly warmUpMillis: number
  /** How many processes measure a system, one after the other. */
  readonly processes: number
  /** Whether the first calls of a process are measured by themselves. */
  readonly hasFirst: boolean
  /** How many samples of a process are taken at the most, after those to warm up. */
  readonly rounds: number
  /** The time for the samples of one process in a scenario, in milliseconds: a slow system gets fewer. */
  readonly budgetMillis: number
  /** The most records for systems that take long to be filled. */
  readonly slowRecords: number
}

/** The compiler takes about a second for what runs a few hundred times in it, as transactions do. */
const fullEffort: Effort = {
  processes: 3,
  hasFirst: true,
  sampleMillis: 200,
  warmUpMillis: 1500,
  rounds: 3,
  budgetMillis: 7000,
  slowRecords: 1e4
}

/** The compiler gets a tenth of the time of a full run: what is steady here is near the start of a program. */
const quickEffort: Effort = {
  processes: 3,
  hasFirst: true,
  sampleMillis: 30,
  warmUpMillis: 150,
  rounds: 3,
  budgetMillis: 400,
  slowRecords: 500
}

/** What is known of a scenario. */
export const scaleOf = (scenario: ScenarioId): Scale => scenarios[scenario]

/** The effort of a run. */
export const effortOf = (isQuick: boolean): Effort => isQuick ? quickEffort : fullEffort

/** The steps of a run, with other numbers of records than planned where that is asked for. */
export const stepsOf = (options: {
  readonly scenarios: ReadonlyArray<ScenarioId>
  readonly quick: boolean
  readonly records: number | undefined
  /** Of those that are planned none with more records. */
  readonly largest?: number
}): ReadonlyArray<Step> =>
  options.scenarios.flatMap((scenario) => {
    const { isHeavy = false, quick = [1e4], sizes } = scaleOf(scenario)
    const { slowRecords } = effortOf(options.quick)
    const { largest = Infinity, records } = options
    const planned = (options.quick ? quick : sizes).filter((count) => count <= largest)
    const wanted = records === undefined ? planned : [isHeavy ? Math.min(records, ...planned) : records]
    const steps = wanted.map((count) => ({ scenario, records: count, slowOnly: false }))
    return records === undefined && wanted.length > 0 && wanted.every((count) => count > slowRecords)
      ? [{ scenario, records: slowRecords, slowOnly: true }, ...steps]
      : steps
  })
