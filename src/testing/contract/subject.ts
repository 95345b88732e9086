/**
 * Defines the types and helpers that all cases of the contract use: a backend with two databases, and short functions
 * to write and read.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import type { Admission, Backend, Reader, WriteBatch } from "../../Backend.ts"
import type { KeyRange, RangePart, RangeRequest, Write } from "../../Engine.ts"
import { WriteSet } from "../../internal/buffer/writeSet.ts"
import { ReadSet, recorded } from "../../internal/reader/readSet.ts"
import { type ByteString, fromBytes } from "../../Key.ts"

/** Opens the backend of one place, until the scope closes. The next backend of the place finds what this one has committed. */
export type Open = Effect.Effect<Backend, unknown, Scope.Scope>

/** One case of the contract. */
export interface ContractCase {
  readonly name: string
  /** Fails or dies if the backend breaks the contract. */
  readonly run: (open: Open) => Effect.Effect<void, unknown, Scope.Scope>
}

/** The cases about one subject. */
export interface ContractGroup {
  readonly name: string
  readonly cases: ReadonlyArray<ContractCase>
}

/** The databases that the cases use. */
export const left = "contract/left"
export const right = "contract/right"

/** Opens a backend, and creates the databases. */
export const openWithDatabases = (open: Open): Open =>
  Effect.tap(open, (backend) => backend.createDatabases([left, right]))

/** Makes a case that uses a backend with both databases. */
export const contractCase = (
  name: string,
  use: (backend: Backend) => Effect.Effect<void, unknown, Scope.Scope>
): ContractCase => ({ name, run: (open) => Effect.flatMap(openWithDatabases(open), use) })

/** Returns the bytes of a text, as a key. */
export const key = (text: string): ByteString => fromBytes(Buffer.from(text))

/** Returns the bytes of a text. */
export const bytes = (text: string): Uint8Array => Buffer.from(text)

/** Decodes bytes as text. */
export const text = (value: Uint8Array): string => Buffer.from(value.subarray(0, value.length)).toString()

/** Admits every call. */
export const admitted: Admission = () => () => undefined

/** Makes the write of a text, or a deletion. */
export const writeOf = (database: string, name: string, value: string | null): Write => [
  database,
  key(name),
  value === null ? null : bytes(value)
]

/** Makes a batch that clears some databases and then writes. */
export const batch = (writes: ReadonlyArray<Write>, ...cleared: ReadonlyArray<string>): WriteBatch => {
  const set = new WriteSet()
  for (const database of cleared) set.clear(database)
  for (const [database, name, value] of writes) set.set(database, name, value)
  return set
}

/** Writes a text. */
export const put = (backend: Backend, database: string, name: string, value: string) =>
  Effect.suspend(() => backend.write([writeOf(database, name, value)], admitted))

/** Commits writes without a condition. */
export const commit = (backend: Backend, ...writes: ReadonlyArray<Write>) =>
  backend.commit({ reads: [], writes: batch(writes) }, admitted)

/** Reads the current state, as a store does. */
export const reading = <A, E>(
  backend: Backend,
  use: (reader: Reader) => Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() =>
    backend.isReadable()
      ? use(backend.reader)
      : backend.whileReadable(Effect.suspend(() => use(backend.reader)))
  )

/** Reads a text. */
export const textAt = (backend: Backend, database: string, name: string) =>
  reading(backend, (reader) => reader.get(database, key(name), text))

/** Reads, and also returns the record of what was read, for the condition of a commit. */
export const readingToCommit = Effect.fnUntraced(function*<A, E>(
  backend: Backend,
  use: (reader: Reader) => Effect.Effect<A, E>
) {
  const reads = new ReadSet()
  const found = yield* reading(backend, (reader) => use(recorded(reader, reads)))
  return { found, reads }
})

/** All keys. */
export const everything: KeyRange = { from: undefined, to: undefined }

/** Reads a range part by part, to its end. */
export const readRange = Effect.fnUntraced(function*(
  reader: Reader,
  database: string,
  request: Partial<RangeRequest> = {}
) {
  const records: Array<RangePart["records"][number]> = []
  let rest: KeyRange | undefined = { from: request.from, to: request.to }
  while (rest !== undefined) {
    const part: RangePart = yield* reader.read(database, {
      reverse: false,
      values: true,
      maxRecords: 100,
      maxBytes: 1024 * 1024,
      ...request,
      ...rest
    })
    records.push(...part.records)
    rest = part.rest
  }
  return records.map(([name, value]) => [Buffer.from(name, "latin1").toString(), text(value)] as const)
})

/** Reads all records of a database, as texts. */
export const contentsOf = (reader: Reader, database: string) =>
  Effect.map(readRange(reader, database), (records) => Object.fromEntries(records))

/** Reads all records of a database from the current state. */
export const presentContents = (backend: Backend, database: string) =>
  reading(backend, (reader) => contentsOf(reader, database))

/** Returns the numbers from 0 to `end - 1`. */
export const below = (end: number): ReadonlyArray<number> => Array.from({ length: end }, (_, index) => index)

/** Repeats an effect in the background until `use` has ended. If the effect fails, fails with its error. */
export const beside = <A, E, B, E2>(
  repeated: Effect.Effect<A, E>,
  use: Effect.Effect<B, E2>
): Effect.Effect<B, E | E2> => {
  const forever: Effect.Effect<never, E> = Effect.andThen(
    repeated,
    Effect.andThen(Effect.yieldNow, Effect.suspend(() => forever))
  )
  return Effect.raceFirst(use, forever)
}
