/**
 * Reads by keys, many in one statement.
 *
 * Each answer has a stamp: which state of the store it is of. So a reader knows which pending writes the answer has
 * already, and a transaction knows whether its answers are of one state.
 */
import * as Effect from "effect/Effect"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { bytesIn, keyParameter, numberIn, numbersParameter, type Rows, type Server } from "./server.ts"
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

/** What was found for the keys of one call, of one moment. */
export interface Answer extends Stamp {
  readonly found: ReadonlyArray<Found>
}

/** Runs a statement. It may run twice. */
export type RunRead = (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Rows, EngineFailure>

/** The reads of one reader. */
export type ReadBatches = SharedStatements.SharedStatements<ReadonlyArray<KeyRead>, Answer>

/** The maximum number of keys in one statement that several calls share. */
const mostKeys = 4096

/** Reads the stamp of a statement, two columns; a parameter has the id of the process. */
export const stampOf = ({ tables }: Pick<Server, "tables">, parameter: string): string =>
  `coalesce((SELECT c.token FROM ${tables.clients} c WHERE c.id = ${parameter}), 0)::float8,
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

/** Divides the answer of a statement among its calls. */
const divided = (calls: ReadonlyArray<ReadonlyArray<KeyRead>>, answer: Answer): ReadonlyArray<Answer> => {
  if (calls.length === 1) return [answer]
  let at = 0
  return calls.map((reads) => {
    const start = at
    at += reads.length
    return { ...answer, found: answer.found.slice(start, at) }
  })
}

/** Makes the batches of a reader. At most `maxRunning` statements run at the same time. */
export const make = (server: Server, run: RunRead, maxRunning: number): ReadBatches =>
  SharedStatements.make({
    server,
    maxRunning,
    maxSize: mostKeys,
    sizeOf: (reads) => reads.length,
    run: (calls) => {
      const reads = calls.flat()
      const [first] = reads
      return Effect.map(
        first !== undefined && reads.length === 1 ? readOne(server, run, first) : readMany(server, run, reads),
        (answer) => divided(calls, answer)
      )
    }
  })

/** Reads keys of one moment. */
export const read = (self: ReadBatches, reads: ReadonlyArray<KeyRead>): Effect.Effect<Answer, EngineFailure> =>
  SharedStatements.ask(self, reads)
