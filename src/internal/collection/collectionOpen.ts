/**
 * Opens a collection: migrates its records and builds its indexes step by step, until what is stored matches the
 * definition. Then checks a sample of the index entries against the index functions.
 */
import * as Effect from "effect/Effect"
import { CollectionFailed, type DuplicateKeys } from "../../CollectionError.ts"
import { catalogDatabase } from "../databases.ts"
import { count } from "../quantity.ts"
import * as DatabaseCreation from "../store/databaseCreation.ts"
import * as Expiry from "../store/expiry.ts"
import * as StoreAccess from "../store/storeAccess.ts"
import * as OpenDefinitions from "../transaction/openDefinitions.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as Catalog from "./catalog.ts"
import * as IndexRepair from "./indexRepair.ts"
import * as IndexSample from "./indexSample.ts"
import { duplicateKeys, type IndexError, inTransaction, type Maintained } from "./maintenance.ts"
import * as Upgrade from "./upgrade.ts"

const recordsBetweenLogs = 10_000

const none: ReadonlySet<string> = new Set()

const named = (names: ReadonlySet<string>): string => Array.from(names, (name) => `"${name}"`).join(", ")

const failedIndex = <R>({ wanted: { name } }: Maintained<R>, cause: IndexError) =>
  new CollectionFailed({ reason: { _tag: "Index", detail: cause.message }, collection: name, cause })

const failedUnique = <R>({ wanted: { name } }: Maintained<R>, duplicates: DuplicateKeys) =>
  new CollectionFailed({
    reason: {
      _tag: "Index",
      detail: `${duplicates.message} A program in whose definition the index is not unique can open the collection.`,
      duplicates
    },
    collection: name,
    cause: duplicates
  })

/** Creates the databases that are missing, while no commit runs. */
const openDatabases = <R>(
  { internals: { access }, wanted: { name } }: Maintained<R>,
  names: ReadonlyArray<string>
) =>
  DatabaseCreation.ensure(access, names, (cause) =>
    new CollectionFailed({
      reason: { _tag: "TooManyDatabases", detail: DatabaseCreation.tooManyDatabases },
      collection: name,
      cause
    }))

/** Reads the catalog entry of the collection, pending writes included. */
const readCatalog = <R>({ internals: { access }, wanted: { name } }: Maintained<R>) =>
  StoreAccess.read(access, (reader) => Catalog.read(reader, name, access.handle.core.structures), { flush: false })

const isSame = (a: Catalog.Descriptor | undefined, b: Catalog.Descriptor | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b)

/** Returns the places that the indexes will have after a step. */
const placesAfter = ({ indexes }: Catalog.Wanted, step: Upgrade.Step): ReadonlyArray<Catalog.StoredIndex> => {
  switch (step._tag) {
    case "Done":
      return step.indexes
    case "Build":
      return step.building.indexes
    case "Migrate":
      return indexes
    case "Store":
      return step.descriptor.building?.indexes ?? step.descriptor.indexes
  }
}

/** The state of the opening of a collection. */
interface Opening {
  /** Whether a step has written something. */
  hasChanged: boolean
  /** Whether this opening, and not an earlier one, has begun the present building of indexes. */
  hasBegun: boolean
  isExamined: boolean
  distrusted: ReadonlySet<string>
  damaged: ReadonlySet<string>
  /** Lets the previous definition write again. */
  undo: () => void
}

/**
 * Makes this definition the only one that may write, also before the work has ended. Returns `true` if it had to wait
 * for a flush: other fibers or processes may have changed the catalog in that time.
 */
const takeOver = Effect.fnUntraced(function*<R>(
  { database, internals: { access: { handle: { core } } }, signatureWith, wanted: { name } }: Maintained<R>,
  opening: Opening,
  places: ReadonlyArray<Catalog.StoredIndex>
) {
  const { backend, definitions } = core
  const { guards } = backend.checks
  const signature = signatureWith(places)
  if (OpenDefinitions.isCurrent(definitions, name, signature)) return false
  const guard = guards.get(name)
  const undo = OpenDefinitions.take(definitions, name, signature)
  if (guard === undefined) return false
  opening.undo = () => {
    undo()
    guards.set(name, guard)
  }
  // If another process has taken the collection over, this flush drops the pending writes of the earlier definition.
  yield* backend.flushQuietly
  if (Array.from(backend.pendingWrites()).some(([written]) => written === database)) yield* backend.flush
  guards.delete(name)
  OpenDefinitions.take(definitions, name, signature)
  return true
})

/** Runs a step in a transaction. Returns `undefined` without a write if the catalog entry is no longer `stored`. */
const runStep = <R>(
  collection: Maintained<R>,
  stored: Catalog.Descriptor | undefined,
  step: Exclude<Upgrade.Step, { readonly _tag: "Done" }>
) =>
  inTransaction(collection, (transaction) =>
    Effect.gen(function*() {
      const { structures } = collection.internals.access.handle.core
      const present = yield* Catalog.read(transaction.reader, collection.wanted.name, structures)
      return isSame(present, stored) ? yield* Upgrade.run(collection, transaction, step) : undefined
    }))

/** Logs the progress of the work, every 10,000 records. */
const makeProgressLog = (collection: string) => {
  let records = 0
  let logged = 0
  const log = (work: string) => {
    logged = records
    return Effect.logInfo(`${work} of the collection "${collection}": ${count(records, "record")}`)
  }
  return {
    add: (progress: Upgrade.Progress) =>
      Effect.suspend(() => {
        const isFirst = records === 0 && progress.records > 0
        records += progress.records
        return isFirst || records - logged >= recordsBetweenLogs ? log(progress.work) : Effect.void
      }),
    end: Effect.suspend(() =>
      records > logged
        ? Effect.logInfo(`The collection "${collection}" is up to date: ${count(records, "record")}`)
        : Effect.void
    )
  }
}

/** Compares a sample of the index entries with the index functions, and logs what differs. */
const examine = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  indexes: ReadonlyArray<Catalog.StoredIndex>
) {
  const { name } = collection.wanted
  const findings = yield* IndexSample.check(collection, indexes)
  const { changed, unsteady } = findings
  if (unsteady.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes whose "of" gives different keys for the same value: ${named(unsteady)}. ` +
        `Their entries cannot be right. Compute the keys from the value only`
    )
  }
  if (changed.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes whose entries differ from the keys that "of" gives: ${named(changed)}. ` +
        `They must be built again. Raise the "version" of an index when its "of" changes`
    )
  }
  return findings
})

/** Repairs damaged indexes. If that fails, logs it and opens the collection: a program can repair only an open collection. */
const mend = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  indexes: ReadonlyArray<Catalog.StoredIndex>,
  damaged: ReadonlySet<string>
) {
  if (damaged.size === 0) return
  const { wanted } = collection
  yield* Effect.logWarning(
    `The collection "${wanted.name}" has indexes with missing entries or with entries of no record: ` +
      `${named(damaged)}. They are repaired now`
  )
  const unmended = (why: string) =>
    Effect.logError(
      `Not all indexes of the collection "${wanted.name}" could be repaired, because ${why}. ` +
        "The error of rebuildIndexes says which"
    )
  yield* IndexRepair.repair({ ...collection, wanted: { ...wanted, indexes } }).pipe(
    Effect.catchTags({
      DuplicateKeys: ({ count: records }) => unmended(`${count(records, "record")} cannot be in a unique index`),
      ValueDecoding: () => unmended("a value does not decode"),
      KeyEncoding: () => unmended("the key of a record in an index is not valid")
    })
  )
})

/** Ends the work. Returns `false` if there is more to do: an index must be built again, or the catalog may have changed. */
const end = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  opening: Opening,
  indexes: ReadonlyArray<Catalog.StoredIndex>
) {
  // Indexes that this opening has just built need no check.
  if (!opening.isExamined && !opening.hasBegun) {
    const { changed, damaged } = yield* examine(collection, indexes)
    Object.assign(opening, { distrusted: changed, damaged })
  }
  opening.isExamined = true
  if (opening.distrusted.size > 0 || (yield* takeOver(collection, opening, indexes))) return false
  yield* mend(collection, indexes, opening.damaged)
  return true
})

/** Runs a step and returns its progress; `undefined` if the catalog has changed, so that the next step must be found again. */
const takeStep = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  opening: Opening,
  stored: Catalog.Descriptor | undefined,
  step: Exclude<Upgrade.Step, { readonly _tag: "Done" }>
) {
  if (yield* takeOver(collection, opening, placesAfter(collection.wanted, step))) return undefined
  const progress = yield* runStep(collection, stored, step)
  if (progress === undefined) return undefined
  opening.hasChanged = true
  if (step._tag === "Store" && step.descriptor.building?.to === undefined) {
    opening.hasBegun = step.descriptor.building !== undefined
    opening.distrusted = none
  }
  return progress
})

/** Logs a warning if a later program may have stored values that this program cannot decode. */
const warnOfUndecodable = <R>({ wanted }: Maintained<R>, stored: Catalog.Descriptor | undefined) => {
  const difference = stored === undefined ? undefined : Catalog.undecodable(wanted, stored)
  return difference === undefined ? Effect.void : Effect.logWarning(
    `The collection "${wanted.name}" may have values that this program cannot decode, because a later program has ` +
      `opened it: ${difference}. Reading such a value fails with ValueDecoding`
  )
}

/** Runs steps until the collection matches the definition. Returns the places of its indexes. */
const work = Effect.fnUntraced(function*<R>(collection: Maintained<R>, opening: Opening) {
  const log = makeProgressLog(collection.wanted.name)
  for (;;) {
    const stored = yield* readCatalog(collection)
    const step: Upgrade.Step = yield* Upgrade.nextStep(collection, stored, opening)
    yield* openDatabases(collection, Upgrade.databasesFor(collection.wanted, step))
    if (step._tag === "Done") {
      if (!(yield* end(collection, opening, step.indexes))) continue
      yield* log.end
      yield* warnOfUndecodable(collection, stored)
      return step.indexes
    }
    const progress = yield* takeStep(collection, opening, stored, step)
    if (progress === undefined) continue
    yield* log.add(progress)
    const { failed } = progress
    if (failed !== undefined) {
      const duplicates = yield* duplicateKeys(collection, failed.duplicates ?? [], failed.duplicateCount ?? 0)
      return yield* failedUnique(collection, duplicates)
    }
  }
})

/** Opens the collection of a read-only store, which cannot be migrated. Fails if that would be needed. */
const check = Effect.fnUntraced(function*<R>(collection: Maintained<R>) {
  const { indexes, name, version } = collection.wanted
  const refuse = (reason: "Migration" | "Index", detail: string) =>
    new CollectionFailed({ reason: { _tag: reason, detail }, collection: name })
  const stored = yield* readCatalog(collection)
  if (stored === undefined) return indexes
  yield* Catalog.check(collection.wanted, stored)
  yield* warnOfUndecodable(collection, stored)
  if (stored.version < version) {
    const started = stored.migratedTo === undefined
      ? ""
      : ` and a migration to version ${stored.version + 1} that has started`
    return yield* refuse(
      "Migration",
      `it has version ${stored.version}${started}, and the store is read-only: open it for writing once.`
    )
  }
  if (!Catalog.hasSame(stored.indexes, indexes)) {
    return yield* refuse("Index", "its indexes are not built, and the store is read-only: open it for writing once.")
  }
  const places = Catalog.withPlaces(indexes, stored.indexes, none)
  const { changed, damaged } = yield* examine(collection, places)
  if (damaged.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes with missing entries or with entries of no record: ` +
        `${named(damaged)}. They are repaired when it is opened for writing`
    )
  }
  return changed.size === 0 ? places : yield* refuse(
    "Index",
    `the entries of its indexes ${named(changed)} differ from the keys that "of" gives, and the store is read-only: ` +
      "open it for writing once."
  )
})

/** Opens the collection of a writable store. */
const openToWrite = Effect.fnUntraced(function*<R>(collection: Maintained<R>, opening: Opening) {
  const { internals: { access: { handle: { core: { backend, definitions, expiry, structures } } } }, wanted } =
    collection
  yield* openDatabases(collection, [catalogDatabase, collection.database])
  if (collection.hasExpiry) yield* Expiry.ensureDatabase(expiry)
  // If this opening fails before it has changed anything, the previous definition may write again.
  const undo = Effect.sync(() => opening.hasChanged ? undefined : opening.undo())
  const indexes = yield* Effect.onError(work(collection, opening), () => undo)
  backend.checks.guards.set(wanted.name, {
    isAsOpened: Catalog.makeGuard({ ...wanted, indexes }, structures),
    giveUp: () => OpenDefinitions.giveUp(definitions, wanted.name),
    isGivenUp: () => OpenDefinitions.isGivenUp(definitions, wanted.name)
  })
  return indexes
})

/** Opens a collection and returns the places of its indexes. A transaction around the call does not undo it. */
export const open = <R>(collection: Maintained<R>) =>
  Transaction.outside(
    collection.internals.access.handle.core,
    Effect.suspend(() => {
      const opening: Opening = {
        hasChanged: false,
        hasBegun: false,
        isExamined: false,
        distrusted: none,
        damaged: none,
        undo: () => undefined
      }
      return collection.internals.access.handle.core.options.readOnly
        ? Effect.tap(check(collection), (places) => takeOver(collection, opening, places))
        : openToWrite(collection, opening)
    }).pipe(
      Effect.catchTags({
        ValueDecoding: (error) => Effect.fail(failedIndex(collection, error)),
        KeyEncoding: (error) => Effect.fail(failedIndex(collection, error))
      })
    )
  )
