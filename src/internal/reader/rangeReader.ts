/**
 * Reads a range in parts.
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Reader } from "../../Backend.ts"
import type { KeyRange, RangePart } from "../../Engine.ts"
import type { EngineFailure } from "../../StoreError.ts"
import * as Settled from "../settled.ts"

/** How a range is read. */
export interface ReadOptions extends KeyRange {
  readonly reverse: boolean
  /** Whether values are read. */
  readonly values: boolean
  /** Returns how many more records the caller needs. Called before each part. Default: all. */
  readonly wanted?: () => number
}

/** Keys with the bytes of their values. The bytes are empty if values are not read. */
export type Part = RangePart["records"]

/** Reads the next part of a range. Returns `undefined` at the end. Call it again only after the effect has ended. */
export type RangeReader = () => Effect.Effect<Part | undefined, EngineFailure>

/** The most records of a part: it takes less than a millisecond to read. */
const partRecords = 256

/** The most bytes of the values of a part. */
const partBytes = 1024 * 1024

/** Makes a reader of a range of a database. */
export const make = (reader: Pick<Reader, "read">, database: string, options: ReadOptions): RangeReader => {
  const { reverse, values, wanted = () => Infinity } = options
  let rest: KeyRange | undefined = { from: options.from, to: options.to }

  // Many pending writes can be between two stored records. They are split into parts too.
  let records: Part = []
  let isHidden = false
  let given = 0
  const give = (): Part => {
    const part = records.slice(given, given + partRecords)
    given += part.length
    return part
  }

  return () => {
    if (given < records.length) return Exit.succeed(give())
    if (rest === undefined) return Exit.succeed(undefined)
    const maxRecords = isHidden ? partRecords : Math.min(partRecords, wanted())
    return Settled.map(
      reader.read(database, { ...rest, reverse, values, maxRecords, maxBytes: partBytes }),
      (part) => {
        ;({ records, rest } = part)
        // Pending deletions have hidden stored records. The next request is for a full part: another small one could again find
        // only deleted records.
        isHidden = records.length < maxRecords
        given = 0
        return give()
      }
    )
  }
}
