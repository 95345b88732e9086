/**
 * The definitions of record structures, in a database of their own.
 *
 * They are written in transactions of their own, before the first value that refers to
 * them, and are never changed or deleted. So whoever reads such a value finds its
 * definition, in every process, in copies of the file and after every crash. A definition
 * that cannot be written keeps nobody from writing values: they have their names then.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type * as Semaphore from "effect/Semaphore"
import type { Environment, Reader, Write } from "../Engine.ts"
import { ByteString } from "../Key.ts"
import type { EngineFailure } from "../StoreError.ts"
import * as Value from "../Value.ts"
import type { Committer } from "./committer.ts"
import type { Fork } from "./pendingCommits.ts"
import * as RecordStructures from "./recordStructures.ts"

/** The database of the definitions. */
export const structuresName = "structures"

/** What definitions are kept with. */
interface DefinitionOptions {
  readonly environment: Environment
  readonly committer: Committer
  /** Its permit is held by the commit that runs. */
  readonly oneCommit: Semaphore.Semaphore
  readonly fork: Fork
}

/** In the order of the numbers. */
const keyOf = (number: number): ByteString => ByteString(String.fromCharCode(number >> 8, number & 0xff))

// A wrong name would be wrong in every record: definitions have a checksum, whatever values have.
const codec = Value.make({ checksums: true })

const namesIn = (bytes: Uint8Array): RecordStructures.Names => {
  const names = Result.getOrUndefined(codec.decode(bytes))
  return RecordStructures.isStructure(names) ? names : []
}

/** The definitions from a number on: they have no gaps. */
const readFrom = (
  reader: Reader,
  from: number
): Result.Result<ReadonlyArray<RecordStructures.Names>, EngineFailure> => {
  const found: Array<RecordStructures.Names> = []
  while (from + found.length < RecordStructures.mostStructures) {
    const bytes = reader.get(structuresName, keyOf(from + found.length))
    if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
    if (bytes.success === undefined) break
    found.push(namesIn(bytes.success))
  }
  return Result.succeed(found)
}

/** The writes that define what is not defined, after what others have defined meanwhile. */
const definitionsOf = (
  all: ReadonlyArray<RecordStructures.Names>,
  others: ReadonlyArray<RecordStructures.Names>,
  first: number
): ReadonlyArray<Write> => {
  const defined = new Set(others.map((names) => JSON.stringify(names)))
  const writes: Array<Write> = []
  for (const names of all) {
    const bytes = codec.encode(names)
    const name = JSON.stringify(names)
    const number = first + writes.length
    if (defined.has(name) || number >= RecordStructures.mostStructures || Result.isFailure(bytes)) continue
    defined.add(name)
    writes.push([structuresName, keyOf(number), bytes.success])
  }
  return writes
}

/** Makes the structures of an open store, with what is defined. */
export const make = (
  { committer, environment, fork, oneCommit }: DefinitionOptions
): RecordStructures.RecordStructures => {
  let wanted: Array<RecordStructures.Names> = []

  const define = Effect.suspend(() => {
    const all = wanted
    wanted = []
    const from = structures.known.length
    const work = {
      plan: (present: Reader) =>
        Result.map(readFrom(present, from), (others) => {
          const writes = definitionsOf(all, others, from + others.length)
          return writes.length === 0 ? undefined : { clear: [], writes }
        }),
      size: all.length,
      isFreeing: false
    }
    return Effect.map(Effect.exit(committer.commit(work)), (exit) => {
      if (Exit.isSuccess(exit)) structures.refresh()
      else for (const names of all) structures.postpone(names)
    })
  })

  const structures = RecordStructures.make({
    read: (from) => readFrom(environment, from),
    want: (names) => {
      // Those that are wanted until the commit begins share it.
      if (wanted.push(names) === 1) fork(oneCommit.withPermit(Effect.uninterruptible(define)))
    }
  })
  structures.refresh()
  return structures
}
