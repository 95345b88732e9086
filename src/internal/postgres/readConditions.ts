/**
 * Checks inside of a statement whether reads would have the same results now.
 *
 * A statement has one snapshot of the server, so everything that it reads and checks is of one state. The conditions are
 * those of a commit: `commitFunction.ts` describes them.
 */
import type { Read } from "../../Backend.ts"
import * as CommitCall from "./commitCall.ts"
import { digestOf, rangeFlags } from "./commitFunction.ts"
import { keyParameter, numbersParameter } from "./server.ts"
import type { Tables } from "./tables.ts"

/** Reads, all of which must hold. */
export type Group = ReadonlyArray<Read>

type KeyRead = Extract<Read, { readonly _tag: "Value" | "Existence" }>

/** A key whose value or existence must be as it was. */
interface KeyCondition {
  readonly unit: number
  readonly database: number
  readonly key: Uint8Array
  readonly want: Uint8Array
}

/** The conditions of some groups. */
interface Conditions {
  readonly keys: ReadonlyArray<KeyCondition>
  /** The other reads, in their groups: counts, ranges, and those of databases that did not exist. */
  readonly others: ReadonlyArray<Group>
  readonly hasOthers: boolean
}

/** Whether a read is of a key. */
export const isOfKey = (read: Read): read is KeyRead => read._tag === "Value" || read._tag === "Existence"

/** Separates the conditions of keys, which cost little, from the others. */
export const separate = (groups: ReadonlyArray<Group>, byName: ReadonlyMap<string, number>): Conditions => {
  const keys: Array<KeyCondition> = []
  let hasOthers = false
  const others = groups.map((reads, unit) => {
    const rest: Array<Read> = []
    for (const read of reads) {
      const database = byName.get(read.database)
      if (database === undefined || !isOfKey(read)) rest.push(read)
      else keys.push({ unit, database, key: keyParameter(read.key), want: CommitCall.wantOf(read) })
    }
    if (rest.length > 0) hasOthers = true
    return rest
  })
  return { keys, others, hasOthers }
}

/** Whether the record `record` is not as the text of `want` says. */
export const isChanged = (record: string, want: string): string =>
  `CASE WHEN length(${want}) = 0 THEN ${record}.key IS NOT NULL WHEN ${record}.key IS NULL THEN true
    WHEN ${want} = '\\x31'::bytea THEN false
    WHEN length(${record}.value) <= 64 THEN ${want} <> '\\x3d'::bytea || ${record}.value
    ELSE ${want} <> '\\x23'::bytea || sha256(${record}.value) END`

/**
 * Makes a column with the places of the groups whose other reads do not hold, as the text of an array. Its parameters
 * follow those with the numbers up to `before`.
 */
export const columnOf = ({ databases, records }: Tables, before: number): string => {
  const { hasTo, includesFrom, includesTo, values } = rangeFlags
  const lists = (first: number, types: string): string =>
    types.split(" ").map((type, at) => `$${before + first + at}::${type}[]`).join(", ")
  const digest = (condition: string) =>
    `(SELECT ${digestOf(`r.flags & ${values} <> 0`)} FROM ${records} t WHERE t.db = r.db AND t.key >= r.lower AND
      (r.flags & ${includesFrom} <> 0 OR t.key > r.lower) ${condition})`
  const toUpper = `AND t.key <= r.upper AND (r.flags & ${includesTo} <> 0 OR t.key < r.upper)`
  return `ARRAY(
    SELECT c.unit FROM unnest(${lists(1, "int int bigint")}) c(unit, db, count)
      WHERE (SELECT count(*) FROM ${records} t WHERE t.db = c.db) <> c.count
    UNION ALL
    SELECT r.unit FROM unnest(${lists(4, "int int int bytea bytea bytea")}) r(unit, db, flags, lower, upper, digest)
      WHERE CASE WHEN r.flags & ${hasTo} = 0 THEN ${digest("")} ELSE ${digest(toUpper)} END <> r.digest
    UNION ALL
    SELECT n.unit FROM unnest(${lists(10, "int text")}) n(unit, name)
      WHERE EXISTS (SELECT 1 FROM ${databases} d JOIN ${records} t ON t.db = d.id WHERE d.name = n.name)
  )::text`
}

/** How many parameters of a commit are about keys. */
const keyColumns = 4

/** Encodes groups for the column. A database that did not exist must still be empty. */
export const parametersOf = (
  groups: ReadonlyArray<Group>,
  byName: ReadonlyMap<string, number>
): ReadonlyArray<unknown> => {
  const units: Array<number> = []
  const names: Array<string> = []
  for (const [unit, reads] of groups.entries()) {
    for (const name of new Set(reads.map(({ database }) => database))) {
      if (byName.has(name)) continue
      units.push(unit)
      names.push(name)
    }
  }
  const encoded = CommitCall.encodeReads(groups.map((reads) => ({ reads })), (name) => byName.get(name) ?? 0)
  return [...encoded.slice(keyColumns), numbersParameter(units), names]
}
