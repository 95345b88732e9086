/**
 * Writes the lines of an export into a store, batch by batch.
 *
 * A batch is one transaction. It also stores how many lines of the file are done, so that an import that was interrupted,
 * or whose process was killed, continues after the last line that was imported. The record of the progress is deleted at
 * the end.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Reader, Step } from "../../Backend.ts"
import type { Write } from "../../Engine.ts"
import type { ByteString } from "../../Key.ts"
import type { Closed, CommitError, EngineFailure, ReadOnly } from "../../StoreError.ts"
import type { ImportMode, ImportReport, RejectedLine } from "../../StoreImport.ts"
import { LineRejected } from "../../StoreImport.ts"
import * as Catalog from "../collection/catalog.ts"
import * as CollectionRecord from "../collection/collectionRecord.ts"
import * as IndexMaintainer from "../collection/indexMaintainer.ts"
import type * as RecordPreparation from "../collection/recordPreparation.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { collectionDatabase, expiryDatabase, isName, nameRule, namespaceDatabase } from "../databases.ts"
import * as DatabaseCreation from "../store/databaseCreation.ts"
import * as Expiry from "../store/expiry.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import type { StoreInternals } from "../store/storeInternals.ts"
import type * as Transaction from "../transaction/transaction.ts"
import * as ImportProgress from "./importProgress.ts"
import * as ImportTarget from "./importTarget.ts"
import { type CollectionLine, existsDetail, type Line, type RecordLine } from "./transferLine.ts"

/** A record as it is stored, of a dump. */
interface RawLine {
  readonly _tag: "Raw"
  readonly database: string
  readonly key: ByteString
  readonly value: Uint8Array
}

/** The beginning of a database in a dump. It may be empty. */
interface DatabaseLine {
  readonly _tag: "Database"
  readonly database: string
}

/** What a line of a file can say. */
export type ImportLine = Line | RawLine | DatabaseLine

/** A line of a file. */
export interface ImportItem {
  /** Its number. The first line has the number 1. */
  readonly number: number
  readonly text: string
  /** What it says, or why it says nothing. */
  readonly line: Result.Result<ImportLine, string>
  /** The digest of the file up to this line. */
  readonly digest: number
}

/** What became of a line. */
type Outcome =
  | { readonly _tag: "Written" | "Skipped" | "Expired" | "Described" }
  | { readonly _tag: "Rejected"; readonly detail: string }

const rejected = (detail: string): Outcome => ({ _tag: "Rejected", detail })
const written: Outcome = { _tag: "Written" }
const described: Outcome = { _tag: "Described" }

/** A running import. */
export interface Importing {
  readonly store: StoreInternals
  readonly mode: ImportMode
  readonly isDryRun: boolean
  /** How the records of collections are checked that are imported through their schemas. */
  readonly typed: ReadonlyMap<string, RecordPreparation.Prepare>
  /** The definitions of collections in the lines so far. */
  readonly exported: Map<string, Catalog.Descriptor>
  /** The databases that exist, or were created. */
  readonly databases: Set<string>
}

type ImportError = Closed | CommitError | ReadOnly

// -----------------------------------------------------------------------------
// One line
// -----------------------------------------------------------------------------

/** A batch in its transaction. */
interface Batch {
  readonly self: Importing
  readonly transaction: Transaction.Transaction | undefined
  readonly now: number
  readonly targets: Map<string, ImportTarget.ImportTarget | string>
}

const structuresOf = ({ store }: Importing): StructureTable.StructureTable => store.access.handle.core.structures

const step = <A, E>(
  { self: { store: { access } }, transaction }: Batch,
  take: (reader: Reader) => Effect.Effect<Step<A>, E>
): Effect.Effect<A, E | CommitError | Closed> => StoreAccess.step(access, transaction, take)

const findTarget = (
  batch: Batch,
  reader: Reader,
  line: RecordLine
): Effect.Effect<ImportTarget.ImportTarget | string, EngineFailure> => {
  const { self, targets } = batch
  const name = line.place._tag === "Store" ? "" : `${line.place._tag} ${line.place.name}`
  const known = targets.get(name)
  if (known !== undefined) return Effect.succeed(known)
  const { exported, isDryRun, typed } = self
  const source = { reader, structures: structuresOf(self), exported, ...(isDryRun ? { typed } : {}) }
  return Effect.tap(ImportTarget.find(source, line.place), (target) => Effect.sync(() => targets.set(name, target)))
}

/** Encodes a record with its entries, or says why it cannot be stored. */
const encode = (
  { store: { access: { handle: { core } } } }: Importing,
  { expires, key, value }: RecordLine,
  entries: ReadonlyArray<CollectionRecord.IndexEntry>
): Result.Result<Uint8Array, string> => {
  const { maxKeyBytes, maxValueBytes } = core.backend
  if (key.length === 0) return Result.fail("the key is empty")
  const longest = Math.max(key.length, ...entries.map(([, indexKey]) => indexKey.length + key.length))
  if (longest > maxKeyBytes) return Result.fail(`a key has ${longest} bytes, and the longest has ${maxKeyBytes}`)
  const encoded = StructureTable.encode(core.structures, value)
  if (Result.isFailure(encoded)) return Result.fail(encoded.failure.detail)
  const record = CollectionRecord.join(entries, CollectionRecord.withTime(expires, encoded.success))
  return record.length <= maxValueBytes
    ? Result.succeed(record)
    : Result.fail(`the record has ${record.length} bytes, and a value may have ${maxValueBytes} at most`)
}

const nothing = (outcome: Outcome): Effect.Effect<Step<Outcome>> => Effect.succeed({ result: outcome, writes: [] })

/** Makes the writes of a record, unless the mode says that the stored one stays. */
const putRecord = Effect.fnUntraced(function*(
  batch: Batch,
  reader: Reader,
  line: RecordLine
): Effect.fn.Return<Step<Outcome>, EngineFailure> {
  const { self: { mode } } = batch
  const target = yield* findTarget(batch, reader, line)
  if (typeof target === "string") return yield* nothing(rejected(target))
  const { maintainer } = target
  const entries = target.entriesOf(line.entries)
  if (typeof entries === "string") return yield* nothing(rejected(entries))
  const bytes = encode(batch.self, line, entries)
  if (Result.isFailure(bytes)) return yield* nothing(rejected(bytes.failure))
  const old = yield* reader.get(maintainer.database, line.key, CollectionRecord.entriesOf)
  if (old !== undefined && mode === "insert") return yield* nothing(rejected(existsDetail(line)))
  if (old !== undefined && mode === "skip") return yield* nothing({ _tag: "Skipped" })
  const record = { value: line.value, key: line.key, bytes: bytes.success, entries }
  return yield* Effect.matchEffect(IndexMaintainer.toPut(maintainer, IndexMaintainer.holdersIn(reader), record, old), {
    onSuccess: (writes) => Effect.succeed<Step<Outcome>>({ result: written, writes }),
    onFailure: (error): Effect.Effect<Step<Outcome>, EngineFailure> =>
      error._tag === "TakenIndexKey"
        ? nothing(rejected(`another record has the same key in the unique index "${error.index}"`))
        : Effect.fail(error)
  })
})

const importRecord = (batch: Batch, line: RecordLine): Effect.Effect<Outcome, ImportError> => {
  const { self: { typed }, now } = batch
  const put = (prepared: RecordLine): Effect.Effect<Outcome, ImportError> =>
    prepared.expires !== undefined && prepared.expires <= now
      ? Effect.succeed({ _tag: "Expired" })
      : step(batch, (reader) => putRecord(batch, reader, prepared))
  const prepare = line.place._tag === "Collection" ? typed.get(line.place.name) : undefined
  return prepare === undefined ? put(line) : Effect.matchEffect(prepare(line.key, line.value), {
    onFailure: (detail) => Effect.succeed(rejected(detail)),
    onSuccess: ({ expires = line.expires, ...prepared }) => put({ ...line, ...prepared, expires })
  })
}

/** Stores the definition of a collection, unless the store has it. */
const importDefinition = (batch: Batch, { definition, name }: CollectionLine): Effect.Effect<Outcome, ImportError> => {
  const { self, targets } = batch
  if (self.typed.has(name)) return Effect.succeed(described)
  const exported = ImportTarget.definitionOf(definition)
  if (exported === undefined) return Effect.succeed(rejected("this version of the package cannot read the definition"))
  targets.delete(`Collection ${name}`)
  return step(batch, (reader) => {
    const structures = structuresOf(self)
    return Effect.map(
      ImportTarget.define({ reader, structures, exported: self.exported }, name, exported),
      (decided): Step<Outcome> => {
        if (decided === "keep") return { result: described, writes: [] }
        return decided === "write"
          ? { result: described, writes: [Catalog.toStoredWrite(name, definition, structures)] }
          : { result: rejected(decided.refused), writes: [] }
      }
    )
  })
}

const importItem = (batch: Batch, { line }: ImportItem): Effect.Effect<Outcome, ImportError> => {
  if (Result.isFailure(line)) return Effect.succeed(rejected(line.failure))
  const { success } = line
  switch (success._tag) {
    case "Header":
    case "Namespace":
    case "Database":
      return Effect.succeed(described)
    case "Collection":
      return importDefinition(batch, success)
    case "Record":
      return importRecord(batch, success)
    case "Raw": {
      const write: Write = [success.database, success.key, success.value]
      return Effect.as(StoreAccess.write(batch.self.store.access, batch.transaction, [write]), written)
    }
    case "Damaged":
      return Effect.succeed(rejected(`its value was damaged when it was exported: ${success.detail}`))
  }
}

// -----------------------------------------------------------------------------
// Databases
// -----------------------------------------------------------------------------

/** The databases that a line needs, besides those of the collections that are defined elsewhere. */
const databasesFor = (self: Importing, line: ImportLine): ReadonlyArray<string> => {
  switch (line._tag) {
    case "Namespace":
      return [namespaceDatabase(line.name)]
    case "Record":
      return line.place._tag === "Namespace" ? [namespaceDatabase(line.place.name)] : []
    case "Collection": {
      const exported = ImportTarget.definitionOf(line.definition)
      if (exported === undefined || self.typed.has(line.name)) return []
      self.exported.set(line.name, exported)
      return self.databases.has(collectionDatabase(line.name)) ? [] : ImportTarget.databasesOf(line.name, exported)
    }
    case "Raw":
    case "Database":
      return [line.database]
    default:
      return []
  }
}

const nameOfLine = (line: ImportLine): string | undefined => {
  if (line._tag === "Record") return line.place._tag === "Store" ? undefined : line.place.name
  return line._tag === "Namespace" || line._tag === "Collection" ? line.name : undefined
}

/** Refuses a line with a name that no namespace and no collection can have. */
const checked = (item: ImportItem): ImportItem => {
  if (Result.isFailure(item.line)) return item
  const name = nameOfLine(item.line.success)
  return name === undefined || isName(name)
    ? item
    : { ...item, line: Result.fail(`the name ${JSON.stringify(name)} cannot be used: a name ${nameRule}`) }
}

const mayExpire = (line: ImportLine): boolean =>
  line._tag === "Record" ? line.expires !== undefined : "database" in line && line.database === expiryDatabase

/** Creates the databases that a batch needs. A transaction could not undo that. */
const createDatabases = Effect.fnUntraced(function*(self: Importing, items: ReadonlyArray<ImportItem>) {
  const { access } = self.store
  const lines = items.flatMap(({ line }) => Result.isSuccess(line) ? [line.success] : [])
  const missing = new Set(lines.flatMap((line) => databasesFor(self, line)).filter((name) => !self.databases.has(name)))
  if (self.isDryRun) return
  if (missing.size > 0) {
    yield* DatabaseCreation.ensure(access, Array.from(missing), (cause) => cause)
    for (const name of missing) self.databases.add(name)
  }
  if (self.typed.size > 0 || lines.some(mayExpire)) {
    yield* Expiry.ensureDatabase(access.handle.core.expiry)
  }
})

// -----------------------------------------------------------------------------
// Batches
// -----------------------------------------------------------------------------

/** What became of the lines of a batch. */
interface BatchResult {
  readonly outcomes: ReadonlyArray<readonly [ImportItem, Outcome]>
  /** The line at which the import stops. */
  readonly stopped: RejectedLine | undefined
}

/** Ends the transaction of a dry run, so that nothing is written. */
class Undone {
  readonly _tag = "Undone"
  readonly result: BatchResult

  constructor(result: BatchResult) {
    this.result = result
  }
}

/** Imports the lines of a batch in a transaction, up to the first line that is refused unless `takesRejects`. */
const importItems = Effect.fnUntraced(function*(
  batch: Batch,
  items: ReadonlyArray<ImportItem>,
  takesRejects: boolean
): Effect.fn.Return<BatchResult, ImportError> {
  const outcomes: Array<readonly [ImportItem, Outcome]> = []
  for (const item of items) {
    const outcome = yield* importItem(batch, item)
    if (outcome._tag === "Rejected" && !takesRejects) {
      const { number, text } = item
      return { outcomes, stopped: { number, text, detail: outcome.detail } }
    }
    outcomes.push([item, outcome])
  }
  return { outcomes, stopped: undefined }
})

/** Imports a batch: its lines and the progress in one transaction. */
const importBatch = Effect.fnUntraced(function*(
  self: Importing,
  items: ReadonlyArray<ImportItem>,
  takesRejects: boolean
): Effect.fn.Return<BatchResult, ImportError> {
  yield* createDatabases(self, items)
  const { access, transactions } = self.store
  const now = yield* Clock.currentTimeMillis
  const enter = self.isDryRun ? StoreAccess.enter : StoreAccess.enterToWrite
  const attempt = enter(access, (transaction) =>
    Effect.gen(function*() {
      const result = yield* importItems({ self, transaction, now, targets: new Map() }, items, takesRejects)
      if (self.isDryRun) return yield* Effect.fail(new Undone(result))
      const last = result.outcomes.at(-1)?.[0]
      if (last !== undefined) yield* StoreAccess.write(access, transaction, [ImportProgress.toWrite(last)])
      return result
    }))
  return yield* Effect.catchTag(transactions.durably(attempt), "Undone", ({ result }) => Effect.succeed(result))
})

/** Deletes the progress after the last line. */
const finish = ({ isDryRun, store: { access } }: Importing): Effect.Effect<void, ImportError> =>
  isDryRun
    ? Effect.void
    : StoreAccess.enterToWrite(access, (transaction) => {
      const write: Write = ImportProgress.deletion
      return Effect.andThen(StoreAccess.remove(access, transaction, [write]), access.handle.core.backend.flush)
    })

const noLines: ImportReport = { lines: 0, written: 0, skipped: 0, expired: 0, rejected: 0 }

const count = (report: ImportReport, { outcomes }: BatchResult): ImportReport => {
  const of = (tag: Outcome["_tag"]) => outcomes.filter(([, outcome]) => outcome._tag === tag).length
  return {
    lines: outcomes.at(-1)?.[0].number ?? report.lines,
    written: report.written + of("Written"),
    skipped: report.skipped + of("Skipped"),
    expired: report.expired + of("Expired"),
    rejected: report.rejected + of("Rejected")
  }
}

const rejectsOf = ({ outcomes }: BatchResult): ReadonlyArray<RejectedLine> =>
  outcomes.flatMap(([{ number, text }, outcome]) =>
    outcome._tag === "Rejected" ? [{ number, text, detail: outcome.detail }] : []
  )

/** How an import runs. */
export interface RunOptions<E, R> {
  readonly batchSize: number
  readonly onRejected: ((lines: ReadonlyArray<RejectedLine>) => Effect.Effect<void, E, R>) | undefined
  readonly onProgress: (report: ImportReport) => Effect.Effect<void, E, R>
}

/** Imports lines. Returns what became of them. */
export const run = <E, R, E2, R2>(
  self: Importing,
  items: Stream.Stream<ImportItem, E, R>,
  { batchSize, onProgress, onRejected }: RunOptions<E2, R2>
): Effect.Effect<ImportReport, E | E2 | ImportError | LineRejected, R | R2> => {
  let report = noLines
  const takeBatch = Effect.fnUntraced(function*(batch: ReadonlyArray<ImportItem>) {
    const result = yield* importBatch(self, batch, onRejected !== undefined)
    report = count(report, result)
    const rejects = rejectsOf(result)
    if (onRejected !== undefined && rejects.length > 0) yield* onRejected(rejects)
    yield* onProgress(report)
    if (result.stopped !== undefined) {
      const { detail, number, text } = result.stopped
      return yield* new LineRejected({ line: number, detail, text })
    }
  })
  return Stream.map(items, checked).pipe(
    Stream.grouped(batchSize),
    Stream.runForEach(takeBatch),
    Effect.andThen(finish(self)),
    Effect.map(() => report)
  )
}
