/**
 * Copies all databases of a store to another, which may be on another backend.
 *
 * Keys and values are copied as bytes, so that a copy needs no schema and no codec. A part of the records is read from
 * a snapshot and committed before the next is read.
 */
import * as Effect from "effect/Effect"
import type { Read, Reader } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { Closed, CommitError, EngineFailure, ReadOnly } from "../../StoreError.ts"
import type { StoreService } from "../../StoreService.ts"
import { StoreNotEmpty } from "../../StoreTransfer.ts"
import { fromWrites, WriteSet } from "../buffer/writeSet.ts"
import { changeLogDatabase, structuresDatabase } from "../databases.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as StoreAccess from "./storeAccess.ts"
import * as StoreInternals from "./storeInternals.ts"

type CopyError = StoreNotEmpty | ReadOnly | Closed | CommitError

const notEmpty = ({ handle: { options: { path } } }: StoreAccess.StoreAccess, detail: string) =>
  new StoreNotEmpty({ path, detail })

const hasRecords = (target: StoreAccess.StoreAccess) =>
  notEmpty(target, "it has records, or has had some; copy into a store at a new path")

/**
 * The names of the databases to copy; first the one whose records the values of the others refer to. The change log is
 * that of a file: its numbers mean nothing in another one.
 */
const databasesOf = ({ handle: { core: { backend } } }: StoreAccess.StoreAccess) =>
  Effect.map(backend.databases(), (names) => [
    structuresDatabase,
    ...names.filter((name) => name !== structuresDatabase && name !== changeLogDatabase)
  ])

/** Fails unless all databases of the target are empty; gives what must still be so when the first part is committed. */
const checkEmpty = Effect.fnUntraced(function*(target: StoreAccess.StoreAccess) {
  const { backend } = target.handle.core
  const reads: Array<Read> = []
  for (const database of yield* databasesOf(target)) {
    const count = yield* StoreAccess.readLive(target, (reader) => reader.count(database))
    if (count > 0) return yield* hasRecords(target)
    reads.push({ _tag: "Count", database, count })
  }
  if (Array.from(backend.pendingWrites()).length > 0) return yield* hasRecords(target)
  return reads
})

/** A copy while it is made. */
interface Copying {
  readonly reader: Reader
  readonly target: StoreAccess.StoreAccess
  readonly names: ReadonlyArray<string>
  /** What must still be so when the first part is committed. */
  readonly conditions: ReadonlyArray<Read>
  /** Whether the first part is committed, so that the target has records of this copy and no others. */
  hasBegun: boolean
}

/** Commits a part. */
const commitPart = Effect.fnUntraced(function*(self: Copying, writes: ReadonlyArray<Write>) {
  const reads = self.hasBegun ? [] : self.conditions
  const isMade = yield* StoreAccess.submit(self.target, { reads, writes: fromWrites(writes) })
  if (!isMade) return yield* hasRecords(self.target)
  self.hasBegun = true
})

/** Copies the records of a database, part by part. */
const copyDatabase = Effect.fnUntraced(function*(self: Copying, database: string) {
  const next = RangeReader.make(self.reader, database, {
    from: undefined,
    to: undefined,
    reverse: false,
    values: true
  })
  for (let part = yield* next(); part !== undefined; part = yield* next()) {
    if (part.length > 0) {
      // A commit that was begun is waited for: it is known then whether there is something to delete.
      yield* Effect.uninterruptible(commitPart(self, part.map(([key, value]): Write => [database, key, value])))
    }
  }
})

/** Deletes what was copied, so that a copy that failed leaves no store that looks like a whole one. */
const clearAll = ({ hasBegun, names, target }: Copying) => {
  if (!hasBegun) return Effect.void
  const writes = new WriteSet()
  for (const name of names) writes.clear(name)
  return Effect.ignore(StoreAccess.submit(target, { reads: [], writes }))
}

const copyFrom = Effect.fnUntraced(function*(
  source: StoreAccess.StoreAccess,
  reader: Reader,
  target: StoreAccess.StoreAccess
): Effect.fn.Return<void, CopyError> {
  const names = yield* databasesOf(source)
  const conditions = yield* checkEmpty(target)
  yield* target.handle.core.backend.createDatabases(names)
  const self: Copying = { reader, target, names, conditions, hasBegun: false }
  yield* Effect.onError(
    Effect.forEach(names, (name) => copyDatabase(self, name), { discard: true }),
    () => clearAll(self)
  )
})

/** A snapshot of the source, with what was pending when the copy began. */
const withSnapshot = <A, E>(
  source: StoreAccess.StoreAccess,
  use: (reader: Reader) => Effect.Effect<A, E>
): Effect.Effect<A, E | Closed | EngineFailure> => {
  const { core } = source.handle
  return Effect.andThen(
    core.backend.beforeSnapshot,
    Effect.acquireUseRelease(
      StoreAccess.readLive(source, core.openSnapshot),
      ({ reader }) => use(reader),
      ({ release }) => Effect.sync(release)
    )
  )
}

const accessOf = (store: StoreService): StoreAccess.StoreAccess => store[StoreInternals.TypeId].access

/** Copies all records of a store to another that is empty. */
export const copy = (from: StoreService, to: StoreService): Effect.Effect<void, CopyError> =>
  Effect.suspend(() => {
    const [source, target] = [accessOf(from), accessOf(to)]
    const isSame = source.handle.core === target.handle.core
    if (isSame) return Effect.fail(notEmpty(target, "it is the store that is to be copied"))
    const copying = StoreAccess.enter(source, () =>
      StoreAccess.enterToWrite(target, () => withSnapshot(source, (reader) => copyFrom(source, reader, target))))
    return Transaction.outside(source.handle.core, Transaction.outside(target.handle.core, copying))
  }).pipe(Effect.withSpan("Store.copy"))
