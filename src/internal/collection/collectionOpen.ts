/**
 * Opens a collection: brings what is stored to what its definition says, step by step, and
 * looks whether its indexes are what their functions give.
 */
import * as Effect from "effect/Effect"
import { CollectionFailed, type DuplicateKeys } from "../../CollectionError.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import { catalogDatabase } from "../databases.ts"
import { count } from "../quantity.ts"
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

/** Opens or creates the databases that there are to be, while no commit runs. */
const openDatabases = <R>(
  { internals: { access }, wanted: { name } }: Maintained<R>,
  names: ReadonlyArray<string>
) =>
  Effect.suspend(() => access.handle.core.backend.databases()).pipe(Effect.flatMap((existing) => {
    const present = new Set(existing)
    const missing = names.filter((database) => !present.has(database))
    if (missing.length === 0) return Effect.void
    return StoreAccess.enter(access, () =>
      Effect.catchCause(
        access.handle.core.backend.createDatabases(missing),
        // The store may have been closed meanwhile.
        (cause): Effect.Effect<never, EngineFailure | Closed> => StoreAccess.refusal(access) ?? Effect.failCause(cause)
      )).pipe(
        Effect.catchTag("EngineFailure", (failure) =>
          // MDB_DBS_FULL
          Effect.fail(
            failure.code === -30791
              ? new CollectionFailed({
                reason: { _tag: "TooManyDatabases", detail: "the store has as many databases as it can have." },
                collection: name,
                cause: failure
              })
              : failure
          ))
      )
  }))

/** Reads what is stored about a collection, pending writes included. */
const readCatalog = <R>({ internals: { access }, wanted: { name } }: Maintained<R>) =>
  StoreAccess.read(access, (reader) => Catalog.read(reader, name, access.handle.core.structures), { flush: false })

const isSame = (a: Catalog.Descriptor | undefined, b: Catalog.Descriptor | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b)

/** The places that the indexes will have after a step. */
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

/** How far the opening of a collection has come. */
interface Opening {
  /** Whether something was written. */
  hasChanged: boolean
  /** Whether this opening has begun to build the indexes that are being built. */
  hasBegun: boolean
  isExamined: boolean
  distrusted: ReadonlySet<string>
  damaged: ReadonlySet<string>
  /** Lets the definition write again that could before. */
  undo: () => void
}

/**
 * Lets only this definition write from here on, also while the work is not finished. Gives
 * whether that took its time, in which what is stored may have changed.
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
  // Where another process has taken the collection over, what this one wrote to it by an earlier definition is left out here.
  yield* backend.flushQuietly
  if (Array.from(backend.pendingWrites()).some(([written]) => written === database)) yield* backend.flush
  guards.delete(name)
  OpenDefinitions.take(definitions, name, signature)
  return true
})

/** Does a step in a transaction, unless what is stored is not what the step comes after any more. */
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

/** Tells the log how the work goes on. */
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

/** Looks whether the indexes are what their functions give. */
const examine = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  indexes: ReadonlyArray<Catalog.StoredIndex>
) {
  const { name } = collection.wanted
  const findings = yield* IndexSample.check(collection, indexes)
  const { changed, unsteady } = findings
  if (unsteady.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes whose "of" gives other keys each time for the same value, so that they ` +
        `cannot be right: ${named(unsteady)}. Let "of" give keys that come from the value alone`
    )
  }
  if (changed.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes whose entries are not what "of" gives for a record, so that they must be ` +
        `built again: ${named(changed)}. Give an index another "version" when its "of" is changed`
    )
  }
  return findings
})

/** Makes damaged indexes exact. What is in the way of that can be repaired only in a collection that is open. */
const mend = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  indexes: ReadonlyArray<Catalog.StoredIndex>,
  damaged: ReadonlySet<string>
) {
  if (damaged.size === 0) return
  const { wanted } = collection
  yield* Effect.logWarning(
    `The collection "${wanted.name}" has indexes that lack entries of records, or have entries that no record has: ` +
      `${named(damaged)}. They are corrected`
  )
  const unmended = (why: string) =>
    Effect.logError(
      `The indexes of the collection "${wanted.name}" could not all be corrected, because ${why}. ` +
        "rebuildIndexes says which"
    )
  yield* IndexRepair.repair({ ...collection, wanted: { ...wanted, indexes } }).pipe(
    Effect.catchTags({
      DuplicateKeys: ({ count: records }) => unmended(`${count(records, "record")} cannot be in a unique index`),
      ValueDecoding: () => unmended("a value does not decode"),
      KeyEncoding: () => unmended("a record has no key in an index")
    })
  )
})

/** Ends the work, where the indexes are what their functions give; gives whether it has. */
const end = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  opening: Opening,
  indexes: ReadonlyArray<Catalog.StoredIndex>
) {
  // Those that were just built are right.
  if (!opening.isExamined && !opening.hasBegun) {
    const { changed, damaged } = yield* examine(collection, indexes)
    Object.assign(opening, { distrusted: changed, damaged })
  }
  opening.isExamined = true
  if (opening.distrusted.size > 0 || (yield* takeOver(collection, opening, indexes))) return false
  yield* mend(collection, indexes, opening.damaged)
  return true
})

/** Does a step; gives what it came to, where it was done. */
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

/** Says in the log that a program which is rolled back may meet values of the later one. */
const warnOfUndecodable = <R>({ wanted }: Maintained<R>, stored: Catalog.Descriptor | undefined) => {
  const difference = stored === undefined ? undefined : Catalog.undecodable(wanted, stored)
  return difference === undefined ? Effect.void : Effect.logWarning(
    `The collection "${wanted.name}" may have values that this program does not decode, because a later program has ` +
      `opened it: ${difference}. Reading such a value fails with ValueDecoding`
  )
}

/** Brings the collection to what the program wants; gives the places of its indexes. */
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

/** A read-only store is as it is. */
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
      : `, a migration to version ${stored.version + 1} has started`
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
      `The collection "${name}" has indexes that lack entries of records, or have entries that no record has: ` +
        `${named(damaged)}. They are corrected when it is opened for writing`
    )
  }
  return changed.size === 0 ? places : yield* refuse(
    "Index",
    `the entries of its indexes ${named(changed)} are not what "of" gives for a record, and the store is read-only: ` +
      "open it for writing once."
  )
})

/** Opens the collection of a store that can be written to. */
const openToWrite = Effect.fnUntraced(function*<R>(collection: Maintained<R>, opening: Opening) {
  const { internals: { access: { handle: { core: { backend, definitions, expiry, structures } } } }, wanted } =
    collection
  yield* openDatabases(collection, [catalogDatabase, collection.database])
  if (collection.hasExpiry) yield* Expiry.ensureDatabase(expiry)
  // Where nothing has changed yet, what was open before may still write.
  const undo = Effect.sync(() => opening.hasChanged ? undefined : opening.undo())
  const indexes = yield* Effect.onError(work(collection, opening), () => undo)
  backend.checks.guards.set(wanted.name, {
    isAsOpened: Catalog.makeGuard({ ...wanted, indexes }, structures),
    giveUp: () => OpenDefinitions.giveUp(definitions, wanted.name),
    isGivenUp: () => OpenDefinitions.isGivenUp(definitions, wanted.name)
  })
  return indexes
})

/** Opens a collection, whatever becomes of a transaction around it; gives the places of its indexes. */
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
