/**
 * The definitions of record structures, in a database of their own.
 *
 * They are written in transactions of their own, before the first value that refers to
 * them, or with a unit whose values are the first, and are never changed or deleted. So whoever reads such a value finds its
 * definition, in every process, in copies of the file and after every crash. A definition
 * that cannot be written keeps nobody from writing values: they have their names then.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type * as Semaphore from "effect/Semaphore"
import type { Environment, Reader, Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { structuresDatabase } from "../databases.ts"
import type { Fork } from "../fork.ts"
import * as RecordStructures from "../value/recordStructures.ts"
import * as ValueCodec from "../value/valueCodec.ts"
import * as Committer from "./committer.ts"

/** What definitions are kept with. */
interface DefinitionOptions {
  readonly environment: Environment
  readonly committer: Committer.Committer
  /** Whether values are encoded with a checksum. */
  readonly checksums: boolean
  /** Its permit is held by the commit that runs. */
  readonly permit: Semaphore.Semaphore
  readonly fork: Fork
}

/** A definition that could not be committed is tried again after so many more meetings. */
const meetingsAfterFailure = 100_000

/** In the order of the numbers. */
const keyOf = (number: number): ByteString => ByteString(String.fromCharCode(number >> 8, number & 0xff))

// A wrong name would be wrong in every record: definitions have a checksum, whatever values have.
const codec = ValueCodec.make({ checksums: true })

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
    const bytes = reader.get(structuresDatabase, keyOf(from + found.length))
    if (Result.isFailure(bytes)) return Result.fail(bytes.failure)
    if (bytes.success === undefined) break
    found.push(namesIn(bytes.success))
  }
  return Result.succeed(found)
}

const definitionOf = (names: RecordStructures.Names, number: number): Write => [
  structuresDatabase,
  keyOf(number),
  Result.getOrThrow(codec.encode(names))
]

/** The writes that define what is not among those that are there, behind them. */
const definitionsOf = (
  all: ReadonlyArray<RecordStructures.Names>,
  there: ReadonlyArray<RecordStructures.Names>
): ReadonlyArray<Write> => {
  const defined = new Set(there.map((names) => JSON.stringify(names)))
  const writes: Array<Write> = []
  for (const names of all) {
    const name = JSON.stringify(names)
    const number = there.length + writes.length
    if (defined.has(name) || number >= RecordStructures.mostStructures) continue
    defined.add(name)
    writes.push(definitionOf(names, number))
  }
  return writes
}

/** Structures that are defined by the unit whose values are the first to have them. */
export interface UnitDefinitions {
  /** Encodes the values of the unit. */
  readonly codec: ValueCodec.Codec
  /** The writes that define its structures. */
  readonly writes: () => ReadonlyArray<Write>
  /** Whether nobody has defined others under the same numbers. */
  readonly holds: (present: Reader) => Result.Result<boolean, EngineFailure>
  /** Told whether the unit was made. */
  readonly end: (isMade: boolean) => void
}

/** The structures of an open store. */
export interface StructureDefinitions {
  readonly structures: RecordStructures.RecordStructures
  /**
   * Begins a step in which the values of a unit are encoded: most of them would have no structure if those that they
   * want were defined behind it. Gives what has the unit define them; `undefined` as long as none is wanted.
   */
  readonly beginUnit: () => () => UnitDefinitions | undefined
}

/** Makes the structures of an open store, with what is defined. */
export const make = (
  { checksums, committer, environment, fork, permit }: DefinitionOptions
): StructureDefinitions => {
  let wanted: Array<RecordStructures.Names> = []
  let isInUnit = false

  const takeWanted = (): ReadonlyArray<RecordStructures.Names> => {
    const all = wanted
    wanted = []
    return all
  }

  const define = Effect.suspend(() => {
    const all = takeWanted()
    if (all.length === 0) return Effect.void
    const work = {
      plan: (present: Reader) =>
        Result.map(readFrom(present, structures.known.length), (others) => {
          const writes = definitionsOf(all, [...structures.known, ...others])
          return writes.length === 0 ? undefined : { clear: [], writes }
        }),
      size: all.length,
      isFreeing: () => false
    }
    return Effect.map(Effect.exit(Committer.commitUntraced(committer, work)), (exit) => {
      if (Exit.isSuccess(exit)) structures.refresh()
      else for (const names of all) structures.postpone(names, meetingsAfterFailure)
    })
  })

  /** Those that are wanted until the commit begins share it. */
  const requestDefinitions = (): void => {
    if (wanted.length > 0) fork(permit.withPermit(Effect.uninterruptible(define)))
  }

  const structures = RecordStructures.make({
    read: (from) =>
      // A store that is only read may have been opened before there was anything.
      Result.flatMap(environment.openDatabase(structuresDatabase), () => readFrom(environment, from)),
    want: (names) => {
      wanted.push(names)
      if (!isInUnit) requestDefinitions()
    }
  })
  structures.refresh()

  const takeForUnit = (): UnitDefinitions | undefined => {
    if (wanted.length === 0) return undefined
    const first = structures.known.length
    const all: Array<RecordStructures.Names> = [...structures.known, ...takeWanted()]
      .slice(0, RecordStructures.mostStructures)
    const ofUnit = RecordStructures.make({
      read: (from) => Result.succeed(all.slice(from)),
      want: (names) => {
        all.push(names)
        ofUnit.refresh()
      }
    })
    ofUnit.refresh()
    return {
      codec: ValueCodec.make({ checksums, maxBytes: environment.maxValueBytes, structures: ofUnit }),
      // The values have the numbers already: one that is there twice is defined twice.
      writes: () => all.slice(first).map((names, index) => definitionOf(names, first + index)),
      holds: (present) => Result.map(readFrom(present, first), (others) => others.length === 0),
      end: (isMade) => {
        if (isMade) structures.refresh()
        else for (const names of all.slice(first)) structures.postpone(names, RecordStructures.meetings)
      }
    }
  }

  return {
    structures,
    beginUnit: () => {
      isInUnit = true
      queueMicrotask(() => {
        isInUnit = false
        requestDefinitions()
      })
      return takeForUnit
    }
  }
}
