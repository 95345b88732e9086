/**
 * Reads by keys, many in one statement: the reads that are asked for while a statement runs share the next one.
 *
 * Each answer has the token of the last commit of this process that it includes. So a reader knows which pending writes the
 * answer has already.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { bytesIn, closedFailure, keyParameter, numberIn, numbersParameter, type Rows, type Server } from "./server.ts"

/** One key to read. */
export interface KeyRead {
  readonly database: number
  readonly key: ByteString
  /** Whether its value is read. If not, only whether it has one. */
  readonly value: boolean
}

/** What was found: a value, `true` for a value that was not read, or `undefined` for none. */
export type Found = Uint8Array | true | undefined

/** What was found for the keys of one call, of one moment. */
export interface Answer {
  /** The last commit of this process that the answer includes. */
  readonly token: number
  readonly found: ReadonlyArray<Found>
}

/** Runs a statement. It may run twice. */
export type RunRead = (text: string, parameters: ReadonlyArray<unknown>) => Effect.Effect<Rows, EngineFailure>

/** The calls of one reader that wait, and the statements that run. */
export interface ReadBatches {
  readonly server: Server
  readonly run: RunRead
  /** The maximum number of statements that run at the same time. */
  readonly maxRunning: number
  readonly waiting: Array<Call>
  running: number
}

interface Call {
  readonly reads: ReadonlyArray<KeyRead>
  readonly answer: Deferred.Deferred<Answer, EngineFailure>
}

/** The maximum number of keys in one statement that several calls share. */
const mostKeys = 4096

/** Makes the batches of a reader. */
export const make = (server: Server, run: RunRead, maxRunning: number): ReadBatches => ({
  server,
  run,
  maxRunning,
  waiting: [],
  running: 0
})

/** Reads the token of this process; a parameter has the id of the process. */
export const tokenOf = ({ tables }: Server, parameter: string): string =>
  `coalesce((SELECT c.token FROM ${tables.clients} c WHERE c.id = ${parameter}), 0)::float8`

const readOne = (self: ReadBatches, { database, key, value }: KeyRead): Effect.Effect<Answer, EngineFailure> => {
  const { server } = self
  const text = `SELECT ${tokenOf(server, "$1")}, t.found, ${value ? "t.value" : "NULL"} FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (SELECT true AS found, r.value FROM ${server.tables.records} r
      WHERE r.db = $2::int AND r.key = $3::bytea) t ON true`
  return Effect.map(self.run(text, [server.client, database, keyParameter(key)]), ([row]) => ({
    token: numberIn(row?.[0]) ?? 0,
    found: [row?.[1] === true ? bytesIn(row[2]) ?? true : undefined]
  }))
}

const readMany = (
  self: ReadBatches,
  reads: ReadonlyArray<KeyRead>
): Effect.Effect<Answer, EngineFailure> => {
  const { server } = self
  const text = `SELECT ${tokenOf(server, "$1")}, k.n::float8, t.found, t.value
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
  return Effect.map(self.run(text, parameters), (rows) => {
    const found: Array<Found> = Array.from({ length: reads.length }, () => undefined)
    for (const [, n, exists, value] of rows) {
      const at = numberIn(n)
      if (at !== undefined && exists === true) found[at - 1] = bytesIn(value) ?? true
    }
    return { token: numberIn(rows[0]?.[0]) ?? 0, found }
  })
}

/** Takes waiting calls for one statement: at least one. */
const takeCalls = ({ waiting }: ReadBatches): ReadonlyArray<Call> => {
  let keys = 0
  let number = 0
  for (const { reads } of waiting) {
    if (number > 0 && keys + reads.length > mostKeys) break
    keys += reads.length
    number++
  }
  return waiting.splice(0, number)
}

const give = (calls: ReadonlyArray<Call>, exit: Exit.Exit<Answer, EngineFailure>): void => {
  let at = 0
  for (const { answer, reads } of calls) {
    const start = at
    at += reads.length
    const end = at
    Deferred.doneUnsafe(
      answer,
      Exit.map(exit, ({ found, token }) => ({
        token,
        found: calls.length === 1 ? found : found.slice(start, end)
      }))
    )
  }
}

/** Ends the calls of a statement. If the store has closed, no statement runs any more, so the waiting calls end too. */
const end = (self: ReadBatches, calls: ReadonlyArray<Call>, exit: Exit.Exit<Answer, EngineFailure>): void => {
  if (!Exit.hasInterrupts(exit)) return give(calls, exit)
  const closed = Exit.fail(closedFailure("read"))
  give(calls, closed)
  give(self.waiting.splice(0), closed)
}

/** Runs statements until no call waits. */
const drain = (self: ReadBatches): Effect.Effect<void> =>
  Effect.suspend(() => {
    const calls = takeCalls(self)
    if (calls.length === 0) {
      self.running--
      return Effect.void
    }
    const reads = calls.flatMap((call) => call.reads)
    const [first] = reads
    const reading = first !== undefined && reads.length === 1 ? readOne(self, first) : readMany(self, reads)
    return Effect.andThen(
      Effect.ignoreCause(Effect.onExit(reading, (exit) => Effect.sync(() => end(self, calls, exit)))),
      drain(self)
    )
  })

/** Reads keys of one moment. */
export const read = (
  self: ReadBatches,
  reads: ReadonlyArray<KeyRead>
): Effect.Effect<Answer, EngineFailure> =>
  Effect.suspend(() => {
    if (self.server.isClosed()) return Effect.fail(closedFailure("read"))
    const answer = Deferred.makeUnsafe<Answer, EngineFailure>()
    self.waiting.push({ reads, answer })
    if (self.running < self.maxRunning) {
      self.running++
      // The other fibers of this turn add their reads first.
      self.server.fork(Effect.andThen(Effect.yieldNow, drain(self)))
    }
    return Deferred.await(answer)
  })
