/**
 * Reads a range part by part.
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
  /** How many records are wanted at most, asked before each part. Default: all. */
  readonly wanted?: () => number
}

/** Keys with the bytes of their values, empty where values are not read. */
export type Part = RangePart["records"]

/** Reads the next part of a range; `undefined` when there is none. Call it again only after the effect has ended. */
export type RangeReader = () => Effect.Effect<Part | undefined, EngineFailure>

// Some tenths of a millisecond of work, and no more memory than a batch.
const partRecords = 256
const partBytes = 1024 * 1024

/** Starts to read a range of a database. */
export const make = (reader: Pick<Reader, "read">, database: string, options: ReadOptions): RangeReader => {
  const { reverse, values, wanted = () => Infinity } = options
  let rest: KeyRange | undefined = { from: options.from, to: options.to }

  // Many writes may lie between two records of the engine: they are given in parts too.
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
        // Pending deletions hide what there is: to look for so few again could take very many parts.
        isHidden = records.length < maxRecords
        given = 0
        return give()
      }
    )
  }
}
