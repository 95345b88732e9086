/**
 * Checks whether reads would have the same results now, those of many transactions in one statement.
 *
 * The statement has one snapshot of the server, so all reads of a group are checked in the same state. The answer has the
 * stamp of that state. The conditions are those of a commit: `commitFunction.ts` describes them.
 */
import * as Effect from "effect/Effect"
import type { Read } from "../../Backend.ts"
import type { EngineFailure } from "../../StoreError.ts"
import * as CommitCall from "./commitCall.ts"
import { digestOf, rangeFlags } from "./commitFunction.ts"
import type * as DatabaseNumbers from "./databaseNumbers.ts"
import * as ReadBatches from "./readBatches.ts"
import { numbersIn, numbersParameter, type Server } from "./server.ts"
import * as SharedStatements from "./sharedStatements.ts"

/** The reads of one group, all of which must hold. */
type Group = ReadonlyArray<Read>

/** What was found out in one state of the store. */
export interface Checked extends ReadBatches.Stamp {
  /** The places of the groups that do not hold. */
  readonly failed: ReadonlySet<number>
}

/** The checks of a store. */
export type ReadChecks = SharedStatements.SharedStatements<ReadonlyArray<Group>, Checked>

/** The maximum number of reads in one statement that several calls share. */
const mostReads = 4096

const textOf = (server: Server): string => {
  const { databases, records } = server.tables
  const { hasTo, includesFrom, includesTo, values } = rangeFlags
  const digest = (condition: string) =>
    `(SELECT ${digestOf(`r.flags & ${values} <> 0`)} FROM ${records} t WHERE t.db = r.db AND t.key >= r.lower AND
      (r.flags & ${includesFrom} <> 0 OR t.key > r.lower) ${condition})`
  const toUpper = `AND t.key <= r.upper AND (r.flags & ${includesTo} <> 0 OR t.key < r.upper)`
  return `SELECT ${ReadBatches.stampOf(server, "$1")}, ARRAY(
    SELECT v.unit FROM unnest($2::int[], $3::int[], $4::bytea[], $5::bytea[]) v(unit, db, key, want)
      LEFT JOIN LATERAL (
        SELECT CASE WHEN v.want = ''::bytea OR v.want = '\\x31'::bytea THEN '\\x31'::bytea
          WHEN length(r.value) <= 64 THEN '\\x3d'::bytea || r.value ELSE '\\x23'::bytea || sha256(r.value) END AS found
        FROM ${records} r WHERE r.db = v.db AND r.key = v.key LIMIT 1) t ON true
      WHERE coalesce(t.found, ''::bytea) <> v.want
    UNION ALL
    SELECT c.unit FROM unnest($6::int[], $7::int[], $8::bigint[]) c(unit, db, count)
      WHERE (SELECT count(*) FROM ${records} t WHERE t.db = c.db) <> c.count
    UNION ALL
    SELECT r.unit FROM unnest($9::int[], $10::int[], $11::int[], $12::bytea[], $13::bytea[], $14::bytea[])
      r(unit, db, flags, lower, upper, digest)
      WHERE CASE WHEN r.flags & ${hasTo} = 0 THEN ${digest("")} ELSE ${digest(toUpper)} END <> r.digest
    UNION ALL
    SELECT n.unit FROM unnest($15::int[], $16::text[]) n(unit, name)
      WHERE EXISTS (SELECT 1 FROM ${databases} d JOIN ${records} t ON t.db = d.id WHERE d.name = n.name)
  )::text`
}

/** The databases of each group that did not exist. They must still be empty. */
const unknownOf = (groups: ReadonlyArray<Group>, byName: ReadonlyMap<string, number>) => {
  const units: Array<number> = []
  const names: Array<string> = []
  for (const [unit, reads] of groups.entries()) {
    for (const name of new Set(reads.map(({ database }) => database))) {
      if (byName.has(name)) continue
      units.push(unit)
      names.push(name)
    }
  }
  return [numbersParameter(units), names] as const
}

/** Divides the answer of a statement among its calls. */
const divided = (
  calls: ReadonlyArray<ReadonlyArray<Group>>,
  stamp: ReadBatches.Stamp,
  failed: ReadonlyArray<number>
): ReadonlyArray<Checked> => {
  let start = 0
  return calls.map((groups) => {
    const first = start
    start += groups.length
    const own = failed.filter((unit) => unit >= first && unit < start)
    return { ...stamp, failed: new Set(own.map((unit) => unit - first)) }
  })
}

/** Makes the checks of a store. At most `maxRunning` statements run at the same time. */
export const make = (
  server: Server,
  { byName }: DatabaseNumbers.DatabaseNumbers,
  run: ReadBatches.RunRead,
  maxRunning: number
): ReadChecks => {
  const text = textOf(server)
  return SharedStatements.make({
    server,
    maxRunning,
    maxSize: mostReads,
    sizeOf: (groups) => groups.reduce((size, reads) => size + reads.length, 0),
    run: (calls) => {
      const groups = calls.flat()
      const parameters = [
        server.client,
        ...CommitCall.encodeReads(groups.map((reads) => ({ reads })), (name) => byName.get(name) ?? 0),
        ...unknownOf(groups, byName)
      ]
      return Effect.map(run(text, parameters), ([row]) =>
        divided(calls, ReadBatches.stampIn(row), numbersIn(row?.[2])))
    }
  })
}

/** Checks groups of reads in one state. */
export const check = (self: ReadChecks, groups: ReadonlyArray<Group>): Effect.Effect<Checked, EngineFailure> =>
  SharedStatements.ask(self, groups)
