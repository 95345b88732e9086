/**
 * Copies all databases of a store to another, which may be on another backend.
 *
 * Keys and values are copied as bytes, so a copy needs no schema and no codec. The records are read from a snapshot in
 * parts, and each part is committed before the next is read.
 */
import * as Effect from "effect/Effect"
import type { Read, Reader } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { Closed, CommitError, ReadOnly } from "../../StoreError.ts"
import type { StoreService } from "../../StoreService.ts"
import { StoreNotEmpty } from "../../StoreTransfer.ts"
import { fromWrites, WriteSet } from "../buffer/writeSet.ts"
import { changeLogDatabase, expiryDatabase, structuresDatabase } from "../databases.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as Expiry from "./expiry.ts"
import * as RecordStream from "./recordStream.ts"
import * as StoreAccess from "./storeAccess.ts"
import * as StoreInternals from "./storeInternals.ts"

type CopyError = StoreNotEmpty | ReadOnly | Closed | CommitError

const notEmpty = ({ handle: { options: { path } } }: StoreAccess.StoreAccess, detail: string) =>
  new StoreNotEmpty({ path, detail })

const hasRecords = (target: StoreAccess.StoreAccess) =>
  notEmpty(target, "it has records, or has had some; copy into a store at a new path")

/** The databases that are not copied in the order of their names, or not at all. */
const special: ReadonlySet<string> = new Set([structuresDatabase, expiryDatabase, changeLogDatabase])

/**
 * Lists the databases to copy. The record structures come first, because the values of other databases refer to them. The
 * expiry times come last, because the target deletes the times of records that it does not have. The change log is left
 * out: its transaction numbers mean nothing in another file.
 */
const databasesOf = ({ handle: { core: { backend } } }: StoreAccess.StoreAccess) =>
  Effect.map(backend.databases(), (names) => [
    structuresDatabase,
    ...names.filter((name) => !special.has(name)),
    ...names.filter((name) => name === expiryDatabase)
  ])

/** Fails unless the target is empty. Returns the reads that the commit of the first part must validate. */
export const checkEmpty = Effect.fnUntraced(function*(target: StoreAccess.StoreAccess) {
  const { backend } = target.handle.core
  const reads: Array<Read> = []
  for (const database of yield* databasesOf(target)) {
    const count = yield* StoreAccess.readLive(target, (reader) => reader.count(database), { isOneMoment: true })
    if (count > 0) return yield* hasRecords(target)
    reads.push({ _tag: "Count", database, count })
  }
  if (Array.from(backend.pendingWrites()).length > 0) return yield* hasRecords(target)
  return reads
})

/** A running copy. */
interface Copying {
  readonly reader: Reader
  readonly target: StoreAccess.StoreAccess
  readonly names: ReadonlyArray<string>
  /** Reads that say "this database has 0 records". The commit of the first part validates them. */
  readonly emptyReads: ReadonlyArray<Read>
  /** Whether the first part is committed. The target then has records of this copy only. */
  hasBegun: boolean
}

/** Commits a part. */
const commitPart = Effect.fnUntraced(function*(self: Copying, writes: ReadonlyArray<Write>) {
  const reads = self.hasBegun ? [] : self.emptyReads
  const isCommitted = yield* StoreAccess.submit(self.target, { reads, writes: fromWrites(writes) })
  if (!isCommitted) return yield* hasRecords(self.target)
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
      // Interruption waits for a running commit: `clearAll` has to know whether it wrote something.
      yield* Effect.uninterruptible(commitPart(self, part.map(([key, value]): Write => [database, key, value])))
    }
  }
})

/** Deletes what was copied, so that the target of a failed copy does not look like a complete store. */
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
  const emptyReads = yield* checkEmpty(target)
  const { backend, expiry } = target.handle.core
  if (names.includes(expiryDatabase)) yield* Expiry.ensureDatabase(expiry)
  yield* backend.createDatabases(names)
  const self: Copying = { reader, target, names, emptyReads, hasBegun: false }
  yield* Effect.onError(
    Effect.forEach(names, (name) => copyDatabase(self, name), { discard: true }),
    () => clearAll(self)
  )
})

const accessOf = (store: StoreService): StoreAccess.StoreAccess => StoreInternals.of(store).access

/** Copies all records of a store to another that is empty. */
export const copy = (from: StoreService, to: StoreService): Effect.Effect<void, CopyError> =>
  Effect.suspend(() => {
    const [source, target] = [accessOf(from), accessOf(to)]
    const isSame = source.handle.core === target.handle.core
    if (isSame) return Effect.fail(notEmpty(target, "it is the store that is to be copied"))
    const copying = StoreAccess.enter(source, () =>
      StoreAccess.enterToWrite(target, () =>
        Effect.scoped(Effect.flatMap(
          RecordStream.acquireSnapshot(source),
          ({ reader }) => copyFrom(source, reader, target)
        ))))
    return Transaction.outside(source.handle.core, Transaction.outside(target.handle.core, copying))
  }).pipe(Effect.withSpan("Store.copy"))
