/**
 * Compares one process with several on one store, on PostgreSQL and on LMDB: all processes do the same at the same time.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as process from "node:process"
import * as Place from "../support/place.ts"
import { type PostgresEffort, scenarios } from "./postgres.ts"
import { entryOf } from "./records.ts"
import { type Column, headOf, lineOf, median, showCount } from "./table.ts"
import * as Workers from "./workers.ts"

/** What a process is started for. */
export const PostgresTask = Schema.fromJsonString(Schema.Struct({
  place: Place.Place,
  scenario: Schema.String,
  records: Schema.Int,
  sampleMillis: Schema.Number
}))

/** The scenarios that many fibers of each process run. */
export const scenarioNames: ReadonlyArray<string> = scenarios.map(({ name }) => name).filter((name) =>
  name.includes("32 fibers")
)

const kinds = [["LMDB", "lmdb"], ["PostgreSQL", "postgres"]] as const

/** How a run is made: also, how many processes work on a store. */
export interface ProcessesEffort extends Pick<PostgresEffort, "records" | "sampleMillis" | "rounds"> {
  readonly processes: ReadonlyArray<number>
  /** The names of scenarios of `postgres.ts`. */
  readonly scenarios: ReadonlyArray<string>
}

/** What was measured in one scenario on one kind of store: the operations of all processes in a second. */
export interface ProcessesRow {
  readonly scenario: string
  readonly system: string
  readonly opsPerSecond: ReadonlyMap<number, number>
}

const columnsOf = ({ processes }: ProcessesEffort): ReadonlyArray<Column<ProcessesRow>> => [
  { title: "operations a second", width: 28, isNumber: false, show: Struct.get("scenario") },
  { title: "store on", width: 10, isNumber: false, show: Struct.get("system") },
  ...processes.map((count): Column<ProcessesRow> => ({
    title: count === 1 ? "1 process" : `${count} processes`,
    width: 11,
    isNumber: true,
    show: ({ opsPerSecond }) => showCount(opsPerSecond.get(count) ?? Number.NaN)
  }))
]

/** The head of the table, in Markdown. */
export const headFor = (effort: ProcessesEffort): string => headOf(columnsOf(effort))

/** A row of the table. */
export const showRow = (effort: ProcessesEffort, row: ProcessesRow): string => lineOf(columnsOf(effort), row)

const program = new URL("./postgresWorker.ts", import.meta.url)

/** Lets processes work at the same time. Returns the operations of all of them in a second. */
const runTogether = Effect.fnUntraced(function*(
  count: number,
  system: string,
  task: typeof PostgresTask.Type,
  rounds: number
) {
  const argument = yield* Schema.encodeEffect(PostgresTask)(task)
  const workers = yield* Effect.replicateEffect(
    Workers.start({ system, scenario: task.scenario }, { url: program, argument }),
    count
  )
  const sample = Effect.map(
    Effect.forEach(workers, (worker) => worker.sample, { concurrency: "unbounded" }),
    (samples) => samples.reduce((sum, { milliseconds, operations }) => sum + 1000 * operations / milliseconds, 0)
  )
  // The first samples warm up
  yield* sample
  const speed = median(yield* Effect.replicateEffect(sample, rounds))
  yield* Effect.forEach(workers, ({ end }) => end, { discard: true })
  return speed
}, Effect.scoped)

const fill = Effect.fnUntraced(function*(place: Place.Place, records: number) {
  const store = yield* Place.open(place)
  yield* store.putMany(Array.from({ length: records }, (_, at) => entryOf(at)))
}, Effect.scoped)

/** Measures the scenarios, first on LMDB and then on PostgreSQL. */
export const measure = (effort: ProcessesEffort, onRow: (row: ProcessesRow) => Effect.Effect<void>) =>
  Effect.forEach(effort.scenarios, (scenario) =>
    Effect.forEach(
      kinds,
      Effect.fnUntraced(function*([system, kind]) {
        // The server waits for the disk, as LMDB does
        process.env["STORE_TEST_PG_FSYNC"] = "on"
        const place = yield* Place.make(kind)
        yield* fill(place, effort.records)
        const task = { place, scenario, records: effort.records, sampleMillis: effort.sampleMillis }
        const speeds = yield* Effect.forEach(
          effort.processes,
          (count) =>
            Effect.map(runTogether(count, system, task, effort.rounds), (speed): readonly [number, number] => [
              count,
              speed
            ])
        )
        const row: ProcessesRow = { scenario, system, opsPerSecond: new Map(speeds) }
        yield* onRow(row)
        return row
      }, Effect.scoped)
    )).pipe(Effect.map((rows) => rows.flat()))
