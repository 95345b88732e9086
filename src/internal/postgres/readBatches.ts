/**
 * Reads by keys, and checks of earlier reads, many in one statement.
 *
 * Each answer has a stamp: which state of the store it is of. So a reader knows which pending writes the answer has
 * already, and a transaction knows whether its answers are of one state.
 */
import * as Effect from "effect/Effect"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { noBytes } from "../engineBytes.ts"
import type { DatabaseNumbers } from "./databaseNumbers.ts"
import * as ReadConditions from "./readConditions.ts"
import { bytesIn, keyParameter, numberIn, numbersIn, numbersParameter, type Rows, type Server } from "./server.ts"
import * as SharedStatements from "./sharedStatements.ts"

/** One key to read. */
export interface KeyRead {
  readonly database: number
  readonly key: ByteString
  /** Whether its value is read. If not, only whether it has one. */
  readonly value: boolean
}

/** What was found: a value, `true` for a value that was not read, or `undefined` for none. */
export type Found = Uint8Array | true | undefined

/** The state of the store that an answer is of. */
export interface Stamp {
  /** The last commit of this process that the answer includes. */
  readonly token: number
  /** The last commit of all processes that the answer includes. `undefined` if the answer is the same in every state. */
  readonly number: number | undefined
}

/** The stamp of what is the same in every state, such as an empty list of keys. */
export const everyState: Stamp = { token: 0, number: undefined }

/** The keys and the checks of one call. */
interface Call {
  readonly reads: ReadonlyArray<KeyRead>
  readonly groups: ReadonlyArray<ReadConditions.Group>
}

/** What was found for one call, of one moment. */
export interface Answer extends Stamp {
  readonly found: ReadonlyArray<Found>
  /** The places of the groups that do not hold at that moment. `undefined` if nothing was checked. */
  readonly failed?: ReadonlySet<number> | undefined
}

/** Runs a statement. It may run twice. */
export type RunRead = (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Rows, EngineFailure>

/** The reads of one reader. */
export type ReadBatches = SharedStatements.SharedStatements<Call, Answer>

/** The maximum number of keys and of reads to check in one statement that several calls share. */
const mostKeys = 4096

/**
 * Reads the stamp of a statement, two columns; a parameter has the id of the process. A call that was refused has recorded
 * its token and has written nothing: the state has the writes of the calls before it.
 */
export const stampOf = ({ tables }: Pick<Server, "tables">, parameter: string): string =>
  `coalesce((SELECT c.token - (c.number = 0)::int FROM ${tables.clients} c WHERE c.id = ${parameter}), 0)::float8,
    (SELECT s.number FROM ${tables.store} s WHERE s.id = 1)::float8`

/** The stamp in the first two cells of a row. */
export const stampIn = (row: ReadonlyArray<unknown> | undefined): Stamp => ({
  token: numberIn(row?.[0]) ?? 0,
  number: numberIn(row?.[1])
})

const readOne = (
  server: Server,
  run: RunRead,
  { database, key, value }: KeyRead
): Effect.Effect<Answer, EngineFailure> => {
  const text = `SELECT ${stampOf(server, "$1")}, t.found, ${value ? "t.value" : "NULL"} FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (SELECT true AS found, r.value FROM ${server.tables.records} r
      WHERE r.db = $2::int AND r.key = $3::bytea) t ON true`
  return Effect.map(run(text, [server.client, database, keyParameter(key)]), ([row]) => ({
    ...stampIn(row),
    found: [row?.[2] === true ? bytesIn(row[3]) ?? true : undefined]
  }))
}

const readMany = (
  server: Server,
  run: RunRead,
  reads: ReadonlyArray<KeyRead>
): Effect.Effect<Answer, EngineFailure> => {
  const text = `SELECT ${stampOf(server, "$1")}, k.n::float8, t.found, t.value
    FROM unnest($2::int[], $3::bytea[], $4::int[]) WITH ORDINALITY k(db, key, wanted, n)
    LEFT JOIN LATERAL (SELECT true AS found, CASE WHEN k.wanted = 1 THEN r.value END AS value
      FROM ${server.tables.records} r WHERE r.db = k.db AND r.key = k.key) t ON true
    WHERE t.found OR k.n = 1`
  const parameters = [
    server.client,
    numbersParameter(reads.map(({ database }) => database)),
    reads.map(({ key }) => keyParameter(key)),
    numbersParameter(reads.map(({ value }) => value ? 1 : 0))
  ]
  return Effect.map(run(text, parameters), (rows) => {
    const found: Array<Found> = Array.from({ length: reads.length }, () => undefined)
    for (const [, , n, exists, value] of rows) {
      const at = numberIn(n)
      if (at !== undefined && exists === true) found[at - 1] = bytesIn(value) ?? true
    }
    return { ...stampIn(rows[0]), found }
  })
}

/** How many parameters the next statement has for keys. */
const keyParameters = 5

/** Reads keys and checks earlier reads. The keys that are checked follow those that are read, with `wanted` 2. */
const readAndCheck = (
  server: Server,
  run: RunRead,
  { groups, reads }: Call,
  byName: ReadonlyMap<string, number>
): Effect.Effect<Answer, EngineFailure> => {
  const { records } = server.tables
  const { hasOthers, keys, others } = ReadConditions.separate(groups, byName)
  const failedOthers = hasOthers ? ReadConditions.columnOf(server.tables, keyParameters) : "NULL"
  const text = `SELECT ${stampOf(server, "$1")}, q.n::float8, q.value, ${failedOthers} FROM (SELECT 1) one LEFT JOIN (
    SELECT k.n, CASE WHEN k.wanted = 1 THEN r.value END AS value
    FROM unnest($2::int[], $3::bytea[], $4::int[], $5::bytea[]) WITH ORDINALITY k(db, key, wanted, want, n)
    LEFT JOIN LATERAL (SELECT r.key, r.value FROM ${records} r WHERE r.db = k.db AND r.key = k.key LIMIT 1) r ON true
    WHERE CASE WHEN k.wanted < 2 THEN r.key IS NOT NULL ELSE ${ReadConditions.isChanged("r", "k.want")} END
  ) q ON true`
  const parameters = [
    server.client,
    numbersParameter([...reads, ...keys].map(({ database }) => database)),
    [...reads.map(({ key }) => keyParameter(key)), ...keys.map(({ key }) => key)],
    numbersParameter([...reads.map(({ value }) => value ? 1 : 0), ...keys.map(() => 2)]),
    [...reads.map(() => noBytes), ...keys.map(({ want }) => want)],
    ...(hasOthers ? ReadConditions.parametersOf(others, byName) : [])
  ]
  return Effect.map(run(text, parameters), (rows) => {
    const found: Array<Found> = Array.from({ length: reads.length }, () => undefined)
    const failed = new Set(numbersIn(rows[0]?.[4]))
    for (const [, , n, value] of rows) {
      const at = (numberIn(n) ?? 0) - 1
      const condition = keys[at - reads.length]
      if (condition !== undefined) failed.add(condition.unit)
      else if (at >= 0) found[at] = bytesIn(value) ?? true
    }
    return { ...stampIn(rows[0]), found, failed }
  })
}

const runCalls = (
  server: Server,
  run: RunRead,
  calls: ReadonlyArray<Call>,
  byName: ReadonlyMap<string, number>
): Effect.Effect<Answer, EngineFailure> => {
  const reads = calls.flatMap((call) => call.reads)
  const groups = calls.flatMap((call) => call.groups)
  if (groups.length > 0) return readAndCheck(server, run, { reads, groups }, byName)
  const [first] = reads
  return first !== undefined && reads.length === 1 ? readOne(server, run, first) : readMany(server, run, reads)
}

/** The elements of a set of numbers in a range, counted from its start. */
const within = (numbers: ReadonlySet<number> | undefined, start: number, end: number): ReadonlySet<number> =>
  new Set([...numbers ?? []].filter((number) => number >= start && number < end).map((number) => number - start))

/** Divides the answer of a statement among its calls. */
const divided = (calls: ReadonlyArray<Call>, answer: Answer): ReadonlyArray<Answer> => {
  if (calls.length === 1) return [answer]
  let [key, group] = [0, 0]
  return calls.map(({ groups, reads }) => {
    const [firstKey, firstGroup] = [key, group]
    key += reads.length
    group += groups.length
    return {
      ...answer,
      found: answer.found.slice(firstKey, key),
      failed: groups.length === 0 ? undefined : within(answer.failed, firstGroup, group)
    }
  })
}

/** Makes the batches of a reader. At most `maxRunning` statements run at the same time. */
export const make = (
  server: Server,
  { byName }: DatabaseNumbers,
  run: RunRead,
  maxRunning: number
): ReadBatches =>
  SharedStatements.make({
    server,
    maxRunning,
    maxSize: mostKeys,
    sizeOf: ({ groups, reads }) => groups.reduce((size, group) => size + group.length, reads.length),
    run: (calls) => Effect.map(runCalls(server, run, calls, byName), (answer) => divided(calls, answer))
  })

/** Reads keys and checks groups of reads, in one state. */
export const read = (
  self: ReadBatches,
  reads: ReadonlyArray<KeyRead>,
  groups: ReadonlyArray<ReadConditions.Group> = []
): Effect.Effect<Answer, EngineFailure> => SharedStatements.ask(self, { reads, groups })
