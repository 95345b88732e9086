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

const quoted = (names: ReadonlySet<string>): string => Array.from(names, (name) => `"${name}"`).join(", ")

const failedIndex = <R>({ declared: { name } }: Maintained<R>, cause: IndexError) =>
  new CollectionFailed({ reason: { _tag: "Index", detail: cause.message }, collection: name, cause })

const failedUnique = <R>({ declared: { name } }: Maintained<R>, duplicates: DuplicateKeys) =>
  new CollectionFailed({
    reason: {
      _tag: "Index",
      detail: `${duplicates.message} A program in whose definition the index is not unique can open the collection.`,
      duplicates
    },
    collection: name,
    cause: duplicates
  })

/** Creates the missing databases, while no commit runs. */
const openDatabases = <R>(
  { declared: { name }, internals: { access } }: Maintained<R>,
  names: ReadonlyArray<string>
) =>
  DatabaseCreation.ensure(access, names, (cause) =>
    new CollectionFailed({
      reason: { _tag: "TooManyDatabases", detail: DatabaseCreation.tooManyDatabases },
      collection: name,
      cause
    }))

/** Reads the catalog entry of the collection, pending writes included. */
const readCatalog = <R>({ declared: { name }, internals: { access } }: Maintained<R>) =>
  StoreAccess.read(access, (reader) => Catalog.read(reader, name, access.handle.core.structures), { flush: false })

const isSame = (a: Catalog.Descriptor | undefined, b: Catalog.Descriptor | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b)

/** Returns the slots that the indexes will have after a step. */
const placesAfter = ({ indexes }: Catalog.Declaration, step: Upgrade.Step): ReadonlyArray<Catalog.StoredIndex> => {
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

/** The state of the opening of a collection: what the steps so far have found and changed. */
interface Opening {
  /** Whether a step has written to the store. */
  hasChanged: boolean
  /** Whether this opening, and not an earlier one, has begun the current building of indexes. */
  hasBegun: boolean
  /** Whether a sample of the index entries has been checked. */
  isExamined: boolean
  /** The indexes that must be built again, because their entries differ from what their functions give. */
  stale: ReadonlySet<string>
  /** The indexes that must be repaired in place. */
  damaged: ReadonlySet<string>
  /** Makes the previous definition the current one again. */
  restorePrevious: () => void
}

/**
 * Makes this definition the only one that may write. That begins before the work on the collection ends. Returns `true`
 * if it had to wait for a flush: other fibers or processes may have changed the catalog in that time.
 */
const takeOver = Effect.fnUntraced(function*<R>(
  { database, declared: { name }, internals: { access: { handle: { core } } }, signatureWith }: Maintained<R>,
  opening: Opening,
  slots: ReadonlyArray<Catalog.StoredIndex>
) {
  const { backend, definitions } = core
  const { guards } = backend.checks
  const signature = signatureWith(slots)
  if (OpenDefinitions.isCurrent(definitions, name, signature)) return false
  const guard = guards.get(name)
  const restore = OpenDefinitions.take(definitions, name, signature)
  if (guard === undefined) return false
  opening.restorePrevious = () => {
    restore()
    guards.set(name, guard)
  }
  // If another process has taken the collection over, this flush drops the pending writes of the earlier definition.
  yield* backend.flushQuietly
  if (Array.from(backend.pendingWrites()).some(([written]) => written === database)) yield* backend.flush
  guards.delete(name)
  OpenDefinitions.take(definitions, name, signature)
  return true
})

/**
 * Runs a step in a transaction. If the catalog then has another entry than `stored`, it writes nothing and returns
 * `undefined`.
 */
const runStep = <R>(
  collection: Maintained<R>,
  stored: Catalog.Descriptor | undefined,
  step: Exclude<Upgrade.Step, { readonly _tag: "Done" }>
) =>
  inTransaction(collection, (transaction) =>
    Effect.gen(function*() {
      const { structures } = collection.internals.access.handle.core
      const current = yield* Catalog.read(transaction.reader, collection.declared.name, structures)
      return isSame(current, stored) ? yield* Upgrade.run(collection, transaction, step) : undefined
    }))

/** Logs the progress of the work: at its first records, every 10,000 records, and at its end. */
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

/** Compares a sample of the index entries with the keys that the index functions give. Logs the differences. */
const examine = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  indexes: ReadonlyArray<Catalog.StoredIndex>
) {
  const { name } = collection.declared
  const findings = yield* IndexSample.check(collection, indexes)
  const { nondeterministic, stale } = findings
  if (nondeterministic.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes whose "of" gives different keys for the same value: ${
        quoted(nondeterministic)
      }. ` +
        `Their entries cannot be right. Compute the keys from the value only`
    )
  }
  if (stale.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes whose entries differ from the keys that "of" gives: ${quoted(stale)}. ` +
        `They must be built again. Raise the "version" of an index when its "of" changes`
    )
  }
  return findings
})

/** Repairs damaged indexes. If that fails, logs why and still opens the collection: `rebuildIndexes` needs it open. */
const repairDamaged = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  indexes: ReadonlyArray<Catalog.StoredIndex>,
  damaged: ReadonlySet<string>
) {
  if (damaged.size === 0) return
  const { declared } = collection
  yield* Effect.logWarning(
    `The collection "${declared.name}" has indexes with missing entries or with entries of no record: ` +
      `${quoted(damaged)}. They are repaired now`
  )
  const logUnrepaired = (why: string) =>
    Effect.logError(
      `Not all indexes of the collection "${declared.name}" could be repaired, because ${why}. ` +
        "The error of rebuildIndexes says which"
    )
  yield* IndexRepair.repair({ ...collection, declared: { ...declared, indexes } }).pipe(
    Effect.catchTags({
      DuplicateKeys: ({ count: records }) => logUnrepaired(`${count(records, "record")} cannot be in a unique index`),
      ValueDecoding: () => logUnrepaired("a value does not decode"),
      KeyEncoding: () => logUnrepaired("the key of a record in an index is not valid")
    })
  )
})

/** Ends the work. Returns `false` if it must go on: an index must be built again, or the catalog may have changed. */
const end = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  opening: Opening,
  indexes: ReadonlyArray<Catalog.StoredIndex>
) {
  // This opening has just built the indexes: they need no check.
  if (!opening.isExamined && !opening.hasBegun) {
    const { damaged, stale } = yield* examine(collection, indexes)
    opening.damaged = damaged
    opening.stale = stale
  }
  opening.isExamined = true
  if (opening.stale.size > 0 || (yield* takeOver(collection, opening, indexes))) return false
  yield* repairDamaged(collection, indexes, opening.damaged)
  return true
})

/** Runs a step and returns its progress. Returns `undefined` if the catalog has changed: then find the next step again. */
const takeStep = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  opening: Opening,
  stored: Catalog.Descriptor | undefined,
  step: Exclude<Upgrade.Step, { readonly _tag: "Done" }>
) {
  if (yield* takeOver(collection, opening, placesAfter(collection.declared, step))) return undefined
  const progress = yield* runStep(collection, stored, step)
  if (progress === undefined) return undefined
  opening.hasChanged = true
  if (step._tag === "Store" && step.descriptor.building?.to === undefined) {
    opening.hasBegun = step.descriptor.building !== undefined
    opening.stale = none
  }
  return progress
})

/** Logs a warning if a later program may have stored values that this program cannot decode. */
const warnOfUndecodable = <R>({ declared }: Maintained<R>, stored: Catalog.Descriptor | undefined) => {
  const difference = stored === undefined ? undefined : Catalog.undecodable(declared, stored)
  return difference === undefined ? Effect.void : Effect.logWarning(
    `The collection "${declared.name}" may have values that this program cannot decode, because a later program has ` +
      `opened it: ${difference}. Reading such a value fails with ValueDecoding`
  )
}

/** Runs steps until the collection matches the definition. Returns the slots of its indexes. */
const work = Effect.fnUntraced(function*<R>(collection: Maintained<R>, opening: Opening) {
  const log = makeProgressLog(collection.declared.name)
  for (;;) {
    const stored = yield* readCatalog(collection)
    const step: Upgrade.Step = yield* Upgrade.nextStep(collection, stored, opening)
    yield* openDatabases(collection, Upgrade.databasesFor(collection.declared, step))
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

/** Opens the collection of a read-only store. Fails if the collection would have to be migrated or an index to be built. */
const check = Effect.fnUntraced(function*<R>(collection: Maintained<R>) {
  const { indexes, name, version } = collection.declared
  const refuse = (reason: "Migration" | "Index", detail: string) =>
    new CollectionFailed({ reason: { _tag: reason, detail }, collection: name })
  const stored = yield* readCatalog(collection)
  if (stored === undefined) return indexes
  yield* Catalog.check(collection.declared, stored)
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
  const slots = Catalog.withSlots(indexes, stored.indexes, none)
  const { damaged, stale } = yield* examine(collection, slots)
  if (damaged.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes with missing entries or with entries of no record: ` +
        `${quoted(damaged)}. They are repaired when it is opened for writing`
    )
  }
  return stale.size === 0 ? slots : yield* refuse(
    "Index",
    `the entries of its indexes ${quoted(stale)} differ from the keys that "of" gives, and the store is read-only: ` +
      "open it for writing once."
  )
})

/** Opens the collection of a writable store. */
const openToWrite = Effect.fnUntraced(function*<R>(collection: Maintained<R>, opening: Opening) {
  const { declared, internals: { access: { handle: { core: { backend, definitions, expiry, structures } } } } } =
    collection
  yield* openDatabases(collection, [catalogDatabase, collection.database])
  if (collection.hasExpiry) yield* Expiry.ensureDatabase(expiry)
  // An opening that fails before it has written anything lets the previous definition write again.
  const restorePrevious = Effect.sync(() => opening.hasChanged ? undefined : opening.restorePrevious())
  const indexes = yield* Effect.onError(work(collection, opening), () => restorePrevious)
  backend.checks.guards.set(declared.name, {
    isAsOpened: Catalog.makeGuard({ ...declared, indexes }, structures),
    giveUp: () => OpenDefinitions.giveUp(definitions, declared.name),
    isGivenUp: () => OpenDefinitions.isGivenUp(definitions, declared.name)
  })
  return indexes
})

/** Opens a collection and returns the slots of its indexes. A transaction around the call does not undo it. */
export const open = <R>(collection: Maintained<R>) =>
  Transaction.outside(
    collection.internals.access.handle.core,
    Effect.suspend(() => {
      const opening: Opening = {
        hasChanged: false,
        hasBegun: false,
        isExamined: false,
        stale: none,
        damaged: none,
        restorePrevious: () => undefined
      }
      return collection.internals.access.handle.core.options.readOnly
        ? Effect.tap(check(collection), (slots) => takeOver(collection, opening, slots))
        : openToWrite(collection, opening)
    }).pipe(
      Effect.catchTags({
        ValueDecoding: (error) => Effect.fail(failedIndex(collection, error)),
        KeyEncoding: (error) => Effect.fail(failedIndex(collection, error))
      })
    )
  )
