/**
 * Opens a collection: brings what is stored to what its definition says, step by step, and
 * looks whether its indexes are what their functions give.
 */
import * as Effect from "effect/Effect"
import { CollectionFailed, type DuplicateKeys } from "../CollectionError.ts"
import * as Catalog from "./catalog.ts"
import * as IndexSample from "./indexSample.ts"
import { duplicateKeys, type IndexError, inTransaction, type Maintained } from "./maintenance.ts"
import { count } from "./quantity.ts"
import * as Transaction from "./transaction.ts"
import * as Upgrade from "./upgrade.ts"

const recordsBetweenLogs = 10_000

const none: ReadonlySet<string> = new Set()

const named = (names: ReadonlySet<string>): string => Array.from(names, (name) => `"${name}"`).join(", ")

const failedIndex = <R>({ wanted: { name } }: Maintained<R>, cause: IndexError) =>
  new CollectionFailed({ reason: "Index", collection: name, detail: cause.message, cause })

const failedUnique = <R>({ wanted: { name } }: Maintained<R>, duplicates: DuplicateKeys) =>
  new CollectionFailed({
    reason: "Index",
    collection: name,
    detail: `${duplicates.message} A program in whose definition the index is not unique can open the collection.`,
    duplicates,
    cause: duplicates
  })

/** Opens or creates the databases that there are to be, while no commit runs. */
const openDatabases = <R>(
  { internals: { access, holder: { core } }, wanted: { name } }: Maintained<R>,
  names: ReadonlyArray<string>
) =>
  Effect.suspend(() => {
    const { betweenCommits, environment } = core
    const present = new Set(environment.databases())
    const missing = names.filter((database) => !present.has(database))
    if (missing.length === 0) return Effect.void
    const open = Effect.forEach(missing, (database) => Effect.fromResult(environment.openDatabase(database)), {
      discard: true
    })
    return betweenCommits(access.enter(() => open)).pipe(
      Effect.catchTag("EngineFailure", (failure) =>
        // MDB_DBS_FULL
        Effect.fail(
          failure.code === -30791
            ? new CollectionFailed({
              reason: "TooManyDatabases",
              collection: name,
              detail: "the store has as many databases as it can have.",
              cause: failure
            })
            : failure
        ))
    )
  })

/** Reads what is stored about a collection, pending writes included. */
const readCatalog = <R>({ internals: { access, holder: { core } }, wanted: { name } }: Maintained<R>) =>
  access.read((reader) => Effect.fromResult(Catalog.read(reader, name, core.values)), false)

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

/** Lets only this definition write from here on, also while the work is not finished. */
const takeOver = <R>(
  { internals: { holder: { core } }, signatureWith, wanted: { name } }: Maintained<R>,
  places: ReadonlyArray<Catalog.StoredIndex>
): () => void => {
  const guard = core.otherCommits.guards.get(name)
  core.otherCommits.guards.delete(name)
  const undo = core.definitions.take(name, signatureWith(places))
  return () => {
    undo()
    if (guard !== undefined) core.otherCommits.guards.set(name, guard)
  }
}

/** Does a step in a transaction, unless what is stored is not what the step comes after any more. */
const runStep = <R>(
  collection: Maintained<R>,
  stored: Catalog.Descriptor | undefined,
  step: Exclude<Upgrade.Step, { readonly _tag: "Done" }>
) =>
  inTransaction(collection, (transaction) =>
    Effect.gen(function*() {
      const { values } = collection.internals.holder.core
      const present = yield* Effect.fromResult(Catalog.read(transaction.reader, collection.wanted.name, values))
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

/** Looks whether the indexes are what their functions give; gives those that are to be built again. */
const examine = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  indexes: ReadonlyArray<Catalog.StoredIndex>
) {
  const { name } = collection.wanted
  const { unsteady, wrong } = yield* IndexSample.check(collection, indexes)
  if (unsteady.size > 0) {
    yield* Effect.logWarning(
      `The collection "${name}" has indexes whose "of" gives other keys each time for the same value, so that they ` +
        `cannot be right: ${named(unsteady)}. Let "of" give keys that come from the value alone`
    )
  }
  return wrong
})

/** Brings the collection to what the program wants; gives the places of its indexes. */
const work = Effect.fnUntraced(function*<R>(collection: Maintained<R>) {
  const { name } = collection.wanted
  const log = makeProgressLog(name)
  let hasChanged = false
  let hasBegun = false
  let isExamined = false
  let distrusted = none
  for (;;) {
    const stored = yield* readCatalog(collection)
    const step: Upgrade.Step = yield* Upgrade.nextStep(collection, stored, { hasBegun, distrusted })
    yield* openDatabases(collection, Upgrade.databasesFor(collection.wanted, step))
    if (step._tag === "Done") {
      if (!isExamined && !hasBegun) distrusted = yield* examine(collection, step.indexes)
      isExamined = true
      if (distrusted.size > 0) {
        yield* Effect.logWarning(
          `Building indexes of the collection "${name}" again, whose entries are not what "of" gives for a record: ` +
            `${named(distrusted)}. Give an index another "version" when its "of" is changed`
        )
        continue
      }
      takeOver(collection, step.indexes)
      yield* log.end
      return step.indexes
    }
    const undo = takeOver(collection, placesAfter(collection.wanted, step))
    const progress = yield* Effect.onError(runStep(collection, stored, step), () =>
      // Nothing has changed yet: what was open before may still write.
      Effect.sync(() => hasChanged ? undefined : undo()))
    if (progress === undefined) continue
    hasChanged = true
    if (step._tag === "Store" && step.descriptor.building?.to === undefined) {
      hasBegun = step.descriptor.building !== undefined
      distrusted = none
    }
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
    new CollectionFailed({ reason, collection: name, detail })
  const stored = yield* readCatalog(collection)
  if (stored === undefined) return indexes
  yield* Catalog.check(collection.wanted, stored)
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
  const wrong = yield* examine(collection, places)
  return wrong.size === 0 ? places : yield* refuse(
    "Index",
    `the entries of its indexes ${named(wrong)} are not what "of" gives for a record, and the store is read-only: ` +
      "open it for writing once."
  )
})

/**
 * Where another process has taken the collection over, what this one wrote to it by an
 * earlier definition must not be committed by a later one: it is left out before.
 */
const endEarlier = <R>({ internals: { access, holder: { core } }, wanted: { name } }: Maintained<R>) =>
  Effect.gen(function*() {
    if (!core.otherCommits.guards.has(name)) return
    yield* access.read((reader) => Effect.fromResult(core.otherCommits.look(reader)), false)
    if (core.definitions.isGivenUp(name)) yield* core.pending.flushQuietly
  })

/** Opens a collection, whatever becomes of a transaction around it; gives the places of its indexes. */
export const open = <R>(collection: Maintained<R>) => {
  const { internals: { holder: { core } }, wanted } = collection
  const { readOnly } = core.options
  const opening = Effect.gen(function*() {
    if (readOnly) {
      const places = yield* check(collection)
      takeOver(collection, places)
      return places
    }
    yield* endEarlier(collection)
    yield* openDatabases(collection, [Catalog.catalogName, collection.database])
    const places = yield* work(collection)
    const opened = { ...wanted, indexes: places }
    core.otherCommits.guards.set(wanted.name, Catalog.makeGuard(opened, core.values))
    return places
  }).pipe(
    Effect.catchTags({
      ValueDecoding: (error) => Effect.fail(failedIndex(collection, error)),
      KeyEncoding: (error) => Effect.fail(failedIndex(collection, error))
    })
  )
  return Transaction.outside(core, opening)
}
