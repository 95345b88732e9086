/**
 * The record structures of an open store, and their definitions on disk.
 *
 * A definition is a record of the database `structures`: the number of a structure, and
 * its field names. It is committed before the first value that refers to it, or in the
 * same batch, and is never changed or deleted. Every process, every copy of the file and
 * every snapshot that has a value therefore has its definitions, also after a crash. If a
 * definition cannot be committed, values keep their field names, and writes succeed.
 *
 * The codec itself never reads the database and never commits. This module does both for
 * it: `decode` loads definitions that another process has committed, and
 * `defineCandidates` commits new ones.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { Backend, CommitRequest, Read, Reader } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import { ByteString } from "../../Key.ts"
import { type EngineFailure, type ShownKey, ValueDecoding, ValueEncoding } from "../../StoreError.ts"
import { fromWrites } from "../buffer/writeSet.ts"
import { structuresDatabase } from "../databases.ts"
import { copyOf } from "../engineBytes.ts"
import type { Fork } from "../fork.ts"
import * as Settled from "../settled.ts"
import * as RecordStructures from "../value/recordStructures.ts"
import * as ValueCodec from "../value/valueCodec.ts"

/** The parts and options of the store that a table uses. */
interface StructureTableOptions {
  readonly backend: Pick<Backend, "reader" | "maxValueBytes" | "openDatabase" | "commitAlone">
  /** Whether values are encoded with a checksum. */
  readonly checksums: boolean
  readonly fork: Fork
}

/** The structures of an open store, and the codec that uses them. */
export interface StructureTable extends StructureTableOptions {
  readonly structures: RecordStructures.RecordStructures
  readonly codec: ValueCodec.Codec
  /** Whether a fiber was started that defines the candidates. */
  isDefining: boolean
}

/** A structure that could not be defined becomes a candidate again after 100,000 more observed records. */
const countAfterFailure = 100_000

// -----------------------------------------------------------------------------
// Definitions
// -----------------------------------------------------------------------------

/** The key of a definition: its number in two bytes, so that the definitions are in the order of their numbers. */
const keyOf = (number: number): ByteString => ByteString(String.fromCharCode(number >> 8, number & 0xff))

// A damaged name would damage every record of the structure, so definitions always have a checksum.
const definitionCodec = ValueCodec.make({ checksums: true })

/** Decodes the structure in a definition. Returns an empty structure if the definition is damaged. */
const structureIn = (bytes: Uint8Array): RecordStructures.Structure => {
  const names = Result.getOrUndefined(ValueCodec.decode(definitionCodec, bytes))
  return RecordStructures.isStructure(names) ? names : []
}

/** Reads the definitions with this number and higher ones. The numbers have no gaps. */
const readFrom = Effect.fnUntracedEager(function*(reader: Reader, from: number) {
  const found: Array<RecordStructures.Structure> = []
  while (from + found.length < RecordStructures.mostStructures) {
    const structure = yield* reader.get(structuresDatabase, keyOf(from + found.length), structureIn)
    if (structure === undefined) break
    found.push(structure)
  }
  return found
})

const definitionOf = (structure: RecordStructures.Structure, number: number): Write => [
  structuresDatabase,
  keyOf(number),
  Result.getOrThrow(ValueCodec.encode(definitionCodec, structure))
]

/** Returns the writes that define the candidates without a definition. Their numbers follow those that exist. */
const definitionsOf = (
  candidates: ReadonlyArray<RecordStructures.Structure>,
  existing: ReadonlyArray<RecordStructures.Structure>
): ReadonlyArray<Write> => {
  const defined = new Set(existing.map((structure) => JSON.stringify(structure)))
  const writes: Array<Write> = []
  for (const structure of candidates) {
    const name = JSON.stringify(structure)
    const number = existing.length + writes.length
    if (defined.has(name) || number >= RecordStructures.mostStructures) continue
    defined.add(name)
    writes.push(definitionOf(structure, number))
  }
  return writes
}

// -----------------------------------------------------------------------------
// The table
// -----------------------------------------------------------------------------

/** Adds the structures whose definitions were committed since the last load, by this process or another. */
const load = ({ backend, structures }: StructureTable): Effect.Effect<void, EngineFailure> => {
  const from = structures.known.length
  // A read-only store may have been opened before another process created the database.
  return Settled.flatMap(
    backend.openDatabase(structuresDatabase),
    () =>
      Settled.map(readFrom(backend.reader, from), (found) => {
        // Another fiber may have loaded some of them while this one read.
        for (const structure of found.slice(structures.known.length - from)) RecordStructures.add(structures, structure)
      })
  )
}

const makeCodec = (
  { backend, checksums }: StructureTableOptions,
  structures: RecordStructures.RecordStructures
): ValueCodec.Codec => ValueCodec.make({ checksums, maxBytes: backend.maxValueBytes, structures })

/** Makes the table of an open store, and loads its definitions. */
export const make = (options: StructureTableOptions): Effect.Effect<StructureTable> => {
  const structures = RecordStructures.make()
  const self: StructureTable = {
    ...options,
    structures,
    codec: makeCodec(options, structures),
    isDefining: false
  }
  // If loading fails now, the first value that refers to a structure loads again.
  return Effect.as(Effect.ignore(load(self)), self)
}

/** The key of a value, for the errors about it. */
interface Place<Key> extends ShownKey<Key> {
  readonly collection?: string
  readonly namespace?: string
}

/** Makes the error of a value that the codec could not encode. */
export const encodingError = <Key>({ _tag, ...failure }: ValueCodec.Failure, place: Place<Key>): ValueEncoding<Key> =>
  new ValueEncoding({ ...place, ...failure })

/** Makes the error of bytes that the codec could not decode. */
const decodingError = <Key>(
  failure: ValueCodec.Failure | ValueCodec.UnknownStructure,
  place: Place<Key>
): ValueDecoding<Key> => {
  if (failure._tag === "UnknownStructure") return new ValueDecoding({ ...place, detail: failure.detail })
  const { _tag, ...why } = failure
  return new ValueDecoding({ ...place, ...why })
}

/** Encodes a value. The caller that buffers it calls `defineCandidates`. */
export const encode = (self: StructureTable, value: unknown): Result.Result<Uint8Array, ValueCodec.Failure> =>
  ValueCodec.encode(self.codec, value)

/**
 * Decodes a stored value. An error names the `place` of the bytes. If the value refers to a structure that
 * another process has defined after the last load, loads the definitions from the store and decodes again. This is
 * correct also for the bytes of an older snapshot, because definitions are never changed or deleted.
 *
 * The bytes need to be valid only during the call. After a wait, a copy is decoded.
 */
export const decode = <Key>(
  self: StructureTable,
  bytes: Uint8Array,
  place: () => Place<Key>
): Effect.Effect<unknown, ValueDecoding<Key> | EngineFailure> => {
  const decoded = ValueCodec.decode(self.codec, bytes)
  if (Result.isSuccess(decoded)) return Exit.succeed(decoded.success)
  if (decoded.failure._tag !== "UnknownStructure") return Exit.fail(decodingError(decoded.failure, place()))
  const copy = copyOf(bytes)
  return Settled.flatMap(load(self), () => {
    const again = ValueCodec.decode(self.codec, copy)
    return Result.isSuccess(again) ? Exit.succeed(again.success) : Exit.fail(decodingError(again.failure, place()))
  })
}

/** The read of a missing definition. The numbers have no gaps, so no definition with a higher number exists either. */
const isUndefinedFrom = (number: number): Read => ({
  _tag: "Existence",
  database: structuresDatabase,
  key: keyOf(number),
  exists: false
})

/** Commits the definitions of the candidates in a separate transaction. */
const define = (self: StructureTable): Effect.Effect<void> => {
  const { backend, structures } = self
  let candidates: ReadonlyArray<RecordStructures.Structure> = []
  let isRequested = false
  const prepare = Effect.suspend(() => {
    self.isDefining = false
    candidates = [...candidates, ...RecordStructures.takeCandidates(structures)]
    if (candidates.length === 0) return Effect.succeed(undefined)
    // Another process may have defined structures that are not loaded yet.
    return Effect.map(readFrom(backend.reader, structures.known.length), (others): CommitRequest | undefined => {
      const existing = [...structures.known, ...others]
      const writes = fromWrites(definitionsOf(candidates, existing))
      isRequested = !writes.isEmpty
      return isRequested ? { reads: [isUndefinedFrom(existing.length)], writes } : undefined
    })
  })
  const attempt: Effect.Effect<void> = Effect.suspend(() =>
    Effect.matchEffect(backend.commitAlone(prepare), {
      onFailure: () =>
        Effect.sync(() => {
          for (const structure of candidates) RecordStructures.postpone(structures, structure, countAfterFailure)
        }),
      // If it was not committed, another process has defined structures at the same time.
      onSuccess: (isMade) => isRequested && !isMade ? attempt : Effect.ignore(load(self))
    })
  )
  return attempt
}

/**
 * Starts a fiber that defines the candidates, if there are any. Call it for every buffered write: nearly always, it
 * checks a length and does nothing. All candidates that are found before the commit begins are defined together.
 */
export const defineCandidates = (self: StructureTable): void => {
  if (self.structures.candidates.length === 0 || self.isDefining) return
  self.isDefining = true
  self.fork(define(self))
}

// -----------------------------------------------------------------------------
// Batches that define their structures
// -----------------------------------------------------------------------------

/**
 * A batch of values whose new structures are defined in the batch itself. Most values of a
 * large batch would keep their field names if the definitions were committed after it.
 */
export interface BatchEncoder {
  readonly table: StructureTable
  /** The codec of the store while there are no candidates. After that, a codec that uses the candidates at once. */
  codec: ValueCodec.Codec
  /** The number of the first structure that the batch defines. */
  first: number
}

/** Begins a batch. Encode its values with `encodeInBatch`, and call `endBatch` at the end. */
export const beginBatch = (table: StructureTable): BatchEncoder => ({ table, codec: table.codec, first: 0 })

/** Whether the batch defines structures. Its values may refer to them. */
export const hasDefinitions = ({ codec, table }: BatchEncoder): boolean => codec !== table.codec

/** Defines the candidates in the batch. */
const adoptCandidates = (self: BatchEncoder): void => {
  const { codec, table } = self
  const candidates = RecordStructures.takeCandidates(codec.structures)
  if (!hasDefinitions(self)) {
    const { known } = table.structures
    self.first = known.length
    self.codec = makeCodec(table, RecordStructures.make(known))
  }
  const { structures } = self.codec
  for (const structure of candidates) {
    if (structures.known.length < RecordStructures.mostStructures) RecordStructures.add(structures, structure)
  }
}

/** Encodes a value of the batch. */
export const encodeInBatch = (self: BatchEncoder, value: unknown): Result.Result<Uint8Array, ValueCodec.Failure> => {
  const encoded = ValueCodec.encode(self.codec, value)
  if (self.codec.structures.candidates.length > 0) adoptCandidates(self)
  return encoded
}

/** Decodes a value of the batch. The codec of the store does not know its structures before the commit. */
export const decodeInBatch = ({ codec }: BatchEncoder, bytes: Uint8Array) => ValueCodec.decode(codec, bytes)

const structuresOf = ({ codec, first }: BatchEncoder): ReadonlyArray<RecordStructures.Structure> =>
  codec.structures.known.slice(first)

/** Returns the writes that define the structures of the batch, with the numbers that its values refer to. */
export const batchDefinitions = (self: BatchEncoder): ReadonlyArray<Write> =>
  structuresOf(self).map((structure, index) => definitionOf(structure, self.first + index))

/** Returns the precondition of the batch: no other process has defined structures with the same numbers. */
export const batchReads = ({ first }: BatchEncoder): ReadonlyArray<Read> => [isUndefinedFrom(first)]

/** Ends a batch. Loads its definitions if they were committed. Otherwise counts the records of their structures again. */
export const endBatch = (self: BatchEncoder, isCommitted: boolean): Effect.Effect<void> => {
  if (!hasDefinitions(self)) return Effect.void
  const { table } = self
  // If loading fails, the first value that refers to one of the structures loads them.
  if (isCommitted) return Effect.ignore(load(table))
  for (const structure of structuresOf(self)) {
    RecordStructures.postpone(table.structures, structure, RecordStructures.candidateCount)
  }
  return Effect.void
}
