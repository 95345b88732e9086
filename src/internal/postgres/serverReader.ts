/**
 * Reads what is committed on the server: keys, parts of ranges and counts. Each answer is of one moment, and has the stamp
 * of that moment.
 */
import * as Effect from "effect/Effect"
import type { Reader } from "../../Backend.ts"
import type { KeyRange, RangePart, RangeRequest } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { noBytes } from "../engineBytes.ts"
import * as DatabaseNumbers from "./databaseNumbers.ts"
import * as ReadBatches from "./readBatches.ts"
import type * as ReadConditions from "./readConditions.ts"
import { bytesIn, keyIn, keyParameter, numberIn, numbersIn, type Rows, type Server } from "./server.ts"

/** A part of a range. */
interface PartAnswer extends RangePart, ReadBatches.Stamp {}

/** A number of records, and which of some keys are among them. */
interface CountAnswer extends ReadBatches.Stamp {
  readonly count: number
  /** For each of the keys, whether it has a value. */
  readonly exist: ReadonlyArray<boolean>
}

/** Reads what is committed. */
export interface ServerReader {
  readonly keys: (
    database: string,
    keys: ReadonlyArray<ByteString>,
    values: boolean,
    /** Earlier reads to check in the same state. They are not checked if the database does not exist. */
    groups?: ReadonlyArray<ReadConditions.Group>
  ) => Effect.Effect<ReadBatches.Answer, EngineFailure>
  readonly part: (database: string, request: RangeRequest) => Effect.Effect<PartAnswer, EngineFailure>
  readonly count: (
    database: string,
    keys: ReadonlyArray<ByteString>
  ) => Effect.Effect<CountAnswer, EngineFailure>
}

/** The most records of one statement, however many are asked for. */
const mostRecords = 10_000

/** The conditions of a range, and their parameters from `$3` on. */
const conditionsOf = (
  { from, to }: KeyRange
): { readonly text: string; readonly parameters: ReadonlyArray<Uint8Array> } => {
  const parameters: Array<Uint8Array> = []
  const conditions: Array<string> = []
  for (const [bound, sign] of [[from, ">"], [to, "<"]] as const) {
    if (bound === undefined) continue
    parameters.push(keyParameter(bound.key))
    conditions.push(` AND r.key ${sign}${bound.inclusive ? "=" : ""} $${parameters.length + 2}::bytea`)
  }
  return { text: conditions.join(""), parameters }
}

/** Makes the statement of a part. Values after the limit of bytes are not read from their storage. */
const partStatement = (server: Server, database: number, request: RangeRequest) => {
  const { maxBytes, maxRecords, reverse, values } = request
  const { parameters, text } = conditionsOf(request)
  const limit = Math.min(Math.max(1, maxRecords), mostRecords)
  const order = reverse ? "DESC" : "ASC"
  const page = `SELECT r.key${values ? ", r.value" : ""} FROM ${server.tables.records} r
    WHERE r.db = $2::int${text} ORDER BY r.key ${order} LIMIT ${limit}`
  const part = values
    ? `SELECT q.key, q.value, q.total FROM (SELECT p.key, p.value, count(*) OVER () AS total,
         sum(length(p.value)) OVER (ORDER BY p.key ${order}) - length(p.value) AS before FROM (${page}) p) q
       WHERE q.before < ${Number.isFinite(maxBytes) ? Math.max(1, maxBytes) : Number.MAX_SAFE_INTEGER}`
    : `SELECT p.key, NULL::bytea AS value, count(*) OVER () AS total FROM (${page}) p`
  return {
    limit,
    text: `SELECT ${
      ReadBatches.stampOf(server, "$1")
    }, s.key, s.value, s.total::float8 FROM (SELECT 1) one LEFT JOIN (${part}) s ON true
      ORDER BY s.key ${order}`,
    parameters: [server.client, database, ...parameters]
  }
}

/** Makes the part of the rows of its statement. */
const toPart = (rows: Rows, request: RangeRequest, limit: number): PartAnswer => {
  const { from, reverse, to, values } = request
  const records: Array<RangePart["records"][number]> = []
  for (const [, , cell, value] of rows) {
    const key = keyIn(cell)
    if (key !== undefined) records.push([key, values ? bytesIn(value) ?? noBytes : noBytes])
  }
  const total = numberIn(rows[0]?.[4]) ?? 0
  const last = records.at(-1)
  const hasMore = records.length < total || records.length >= limit
  const bound = last === undefined ? undefined : { key: last[0], inclusive: false }
  return {
    ...ReadBatches.stampIn(rows[0]),
    records,
    rest: !hasMore ? undefined : reverse ? { from, to: bound } : { from: bound, to }
  }
}

/** Whether no key can be in a range. */
const isEmpty = ({ from, to }: KeyRange): boolean =>
  from !== undefined && to !== undefined &&
  (from.key > to.key || (from.key === to.key && !(from.inclusive && to.inclusive)))

/** The number of a database. `undefined`, and a state in which it does not exist, if there is none. */
type Located = { readonly database: number } | { readonly database: undefined; readonly stamp: ReadBatches.Stamp }

/** Finds a database. One that does not exist was empty in all states up to that of the stamp. */
const locate = (
  server: Server,
  numbers: DatabaseNumbers.DatabaseNumbers,
  run: ReadBatches.RunRead,
  name: string
): Effect.Effect<Located, EngineFailure> =>
  Effect.flatMap(DatabaseNumbers.find(numbers, name), (database): Effect.Effect<Located, EngineFailure> => {
    if (database !== undefined) return Effect.succeed({ database })
    const text = `SELECT ${ReadBatches.stampOf(server, "$1")},
      EXISTS (SELECT 1 FROM ${server.tables.databases} d WHERE d.name = $2)`
    return Effect.flatMap(run(text, [server.client, name]), ([row]) =>
      row?.[2] === true
        // It was created meanwhile.
        ? locate(server, numbers, run, name)
        : Effect.succeed({ database: undefined, stamp: ReadBatches.stampIn(row) }))
  })

/** Makes a reader whose statements run on a connection. */
export const make = (
  server: Server,
  numbers: DatabaseNumbers.DatabaseNumbers,
  run: ReadBatches.RunRead,
  maxRunning: number
): ServerReader => {
  const batches = ReadBatches.make(server, numbers, run, maxRunning)
  const find = (name: string) => locate(server, numbers, run, name)
  return {
    keys: (name, keys, value, groups) =>
      keys.length === 0
        ? Effect.succeed({ ...ReadBatches.everyState, found: [] })
        : Effect.flatMap(find(name), (found): Effect.Effect<ReadBatches.Answer, EngineFailure> =>
          found.database === undefined
            ? Effect.succeed({
              ...found.stamp,
              found: keys.map(() =>
                undefined
              )
            })
            : ReadBatches.read(batches, keys.map((key) => ({ database: found.database, key, value })), groups)),
    part: (name, request) =>
      isEmpty(request)
        ? Effect.succeed({ ...ReadBatches.everyState, records: [], rest: undefined })
        : Effect.flatMap(find(name), (found): Effect.Effect<PartAnswer, EngineFailure> => {
          if (found.database === undefined) return Effect.succeed({ ...found.stamp, records: [], rest: undefined })
          const { limit, parameters, text } = partStatement(server, found.database, request)
          return Effect.map(run(text, parameters), (rows) => toPart(rows, request, limit))
        }),
    count: (name, keys) =>
      Effect.flatMap(find(name), (found): Effect.Effect<CountAnswer, EngineFailure> => {
        if (found.database === undefined) {
          return Effect.succeed({ ...found.stamp, count: 0, exist: keys.map(() => false) })
        }
        const { records } = server.tables
        const text = `SELECT ${ReadBatches.stampOf(server, "$1")},
          (SELECT count(*) FROM ${records} r WHERE r.db = $2::int)::float8,
          ARRAY(SELECT k.n FROM unnest($3::bytea[]) WITH ORDINALITY k(key, n)
            JOIN ${records} r ON r.db = $2::int AND r.key = k.key)::text`
        return Effect.map(run(text, [server.client, found.database, keys.map(keyParameter)]), ([row]) => {
          const existing = new Set(numbersIn(row?.[3]))
          return {
            ...ReadBatches.stampIn(row),
            count: numberIn(row?.[2]) ?? 0,
            exist: keys.map((_, at) => existing.has(at + 1))
          }
        })
      })
  }
}

/** Decodes what was found for a key. */
const decoded = <A>(found: ReadBatches.Found, decode: (bytes: Uint8Array) => A): A | undefined =>
  found === undefined || found === true ? undefined : decode(found)

/** Makes a reader of what is committed, without pending writes. */
export const committedReader = (reader: ServerReader): Reader => ({
  get: (database, key, decode) =>
    Effect.map(reader.keys(database, [key], true), ({ found: [value] }) => decoded(value, decode)),
  getMany: (database, keys, decode) =>
    Effect.map(
      reader.keys(database, keys, true),
      ({ found }) => found.map((value, at) => decoded(value, (bytes) => decode(bytes, at)))
    ),
  has: (database, key) => Effect.map(reader.keys(database, [key], false), ({ found: [value] }) => value !== undefined),
  read: (database, request) => reader.part(database, request),
  count: (database) => Effect.map(reader.count(database, []), ({ count }) => count)
})
