/**
 * Upgrades a stored collection to the version and the indexes of a definition, step by step. `nextStep` finds the next
 * step from the catalog entry, and `run` runs it in a transaction.
 *
 * After the first part of a migration, programs of an earlier version can no longer open the collection. New indexes are
 * built in free slots, while the old ones stay in use. The transaction of the last part replaces the old indexes. If a
 * program with other indexes opens the collection before that, it cancels the building. If the building fails, the old
 * indexes stay in use.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { CollectionFailed } from "../../CollectionError.ts"
import type { Migration } from "../../CollectionOptions.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { indexDatabase, indexDatabases } from "../databases.ts"
import { keyOf } from "../engineBytes.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as Catalog from "./catalog.ts"
import * as CollectionRecord from "./collectionRecord.ts"
import { entryKey } from "./indexMaintainer.ts"
import { type IndexError, type Maintained, maxDuplicates, readPart, readTo } from "./maintenance.ts"

/** A step of the upgrade of a collection. */
export type Step =
  | { readonly _tag: "Done"; readonly indexes: ReadonlyArray<Catalog.StoredIndex> }
  /** Stores a new catalog entry, and deletes the entries of indexes that are not in use. */
  | { readonly _tag: "Store"; readonly descriptor: Catalog.Descriptor }
  | { readonly _tag: "Migrate"; readonly descriptor: Catalog.Descriptor }
  | { readonly _tag: "Build"; readonly descriptor: Catalog.Descriptor; readonly building: Catalog.Building }

/** The result of a step. */
export interface Progress {
  /** The name of the work, for the log. */
  readonly work: string
  readonly records: number
  /** The catalog entry of a building that has failed, with its duplicates. */
  readonly failed?: Catalog.Building
}

/** The facts that decide about the next step and are not in the catalog. */
export interface Circumstances {
  /** Whether this program has begun the current building of indexes. */
  readonly hasBegun: boolean
  /** The indexes whose entries differ from what their functions give, so that they must be built again. */
  readonly stale: ReadonlySet<string>
}

const refuse = <R>(
  { declared: { name } }: Maintained<R>,
  reason: "MissingMigration" | "Migration",
  detail: string,
  cause?: unknown
) =>
  new CollectionFailed({
    reason: { _tag: reason, detail },
    collection: name,
    ...(cause === undefined ? {} : { cause })
  })

/** Returns the migration from the version `from`, or fails with `MissingMigration`. `version` is the stored version. */
const migrationFrom = <R>(
  collection: Maintained<R>,
  from: number,
  version: number
): Effect.Effect<Migration<unknown, R>, CollectionFailed> => {
  const migration = collection.migrations[from]
  return migration === undefined
    ? Effect.fail(
      refuse(
        collection,
        "MissingMigration",
        `it has version ${version}, and there is no migration from version ${from}: ` +
          `add one as the property ${from} of \`migrations\`.`
      )
    )
    : Effect.succeed(migration)
}

/** Tests whether this program continues the building that the catalog has. Otherwise it cancels the building. */
const continuesBuilding = (
  { indexes }: Catalog.Declaration,
  { indexes: built }: Catalog.Descriptor,
  building: Catalog.Building,
  { hasBegun }: Circumstances
): boolean =>
  // An index that exists is built again because its `of` has changed. The program that began may have another `of`.
  Catalog.hasSame(building.indexes, indexes) && (hasBegun || !Catalog.hasAll(built, indexes))

const nextIndexStep = (
  declared: Catalog.Declaration,
  descriptor: Catalog.Descriptor,
  circumstances: Circumstances
): Step => {
  const { building, ...others } = descriptor
  const { stale } = circumstances
  if (building !== undefined && continuesBuilding(declared, descriptor, building, circumstances)) {
    return { _tag: "Build", descriptor, building }
  }
  const indexes = Catalog.withSlots(declared.indexes, others.indexes, stale)
  if (stale.size > 0 || !Catalog.hasAll(others.indexes, declared.indexes)) {
    return { _tag: "Store", descriptor: { ...others, building: { indexes } } }
  }
  return building === undefined && Catalog.hasSame(others.indexes, declared.indexes)
    ? { _tag: "Done", indexes: others.indexes }
    : { _tag: "Store", descriptor: { ...others, indexes } }
}

/** Finds the next step from the catalog entry. Fails with `CollectionFailed` if the program may not open the collection. */
export const nextStep = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  stored: Catalog.Descriptor | undefined,
  circumstances: Circumstances
): Effect.fn.Return<Step, CollectionFailed> {
  const { fingerprint, indexes, shape, version } = collection.declared
  if (stored === undefined) {
    return { _tag: "Store", descriptor: { version, fingerprint, indexes, ...(shape === undefined ? {} : { shape }) } }
  }
  yield* Catalog.check(collection.declared, stored)
  // If a migration is missing, fail before the first one changes anything.
  for (let from = stored.version; from < version; from++) yield* migrationFrom(collection, from, stored.version)
  if (stored.version < version) return { _tag: "Migrate", descriptor: stored }
  const descriptor = Catalog.widened(collection.declared, stored)
  if (descriptor !== stored) return { _tag: "Store", descriptor }
  return nextIndexStep(collection.declared, stored, circumstances)
})

/** Returns the databases that a step writes to and that may not exist yet. */
export const databasesFor = ({ name, indexes }: Catalog.Declaration, step: Step): ReadonlyArray<string> => {
  if (step._tag === "Done" || step._tag === "Build") {
    return Catalog.databasesOf(name, step._tag === "Done" ? step.indexes : step.building.indexes)
  }
  const { building, indexes: built } = step.descriptor
  return Catalog.databasesOf(name, building?.indexes ?? (step._tag === "Store" ? built : indexes))
}

/** Deletes all index entries of the collection in databases that no index uses. */
const clearUnused = Effect.fnUntraced(function*<R>(
  { declared: { name }, internals: { access } }: Maintained<R>,
  transaction: Transaction.Transaction,
  used: ReadonlyArray<Catalog.StoredIndex>
) {
  const databases = new Set(Catalog.databasesOf(name, used))
  for (const stored of yield* access.handle.core.backend.databases()) {
    if (stored.startsWith(indexDatabases(name)) && !databases.has(stored)) transaction.writes.clear(stored)
  }
})

const writeDescriptor = <R>(
  { declared: { name }, internals: { access: { handle: { core: { structures } } } } }: Maintained<R>,
  transaction: Transaction.Transaction,
  descriptor: Catalog.Descriptor
): void => Transaction.write(transaction, [Catalog.toWrite(name, descriptor, structures)])

const store = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  descriptor: Catalog.Descriptor
) {
  const { building, indexes } = descriptor
  yield* clearUnused(collection, transaction, building?.to === undefined ? indexes : [...indexes, ...building.indexes])
  writeDescriptor(collection, transaction, descriptor)
  const progress: Progress = { work: "Building indexes", records: 0 }
  return progress
})

const asSentence = (text: string): string => /[.!?]$/.test(text) ? text : `${text}.`

/** Describes what a failed migration has changed, and what to do. */
const afterFailure = ({ migratedTo, version }: Catalog.Descriptor): string =>
  migratedTo === undefined
    ? `It has changed nothing, and a program of version ${version} can still open the collection.`
    : `Some records are migrated already, so a program of version ${version} can no longer open the collection: ` +
      "repair the migration and deploy again."

/**
 * Checks the value that the last migration has returned, and removes the fields that the schema does not have: a later
 * schema may have other fields with these names. Fails with `ValueDecoding` if the schema does not decode the value.
 */
const checkMigrated = <R>({ check, withoutOtherFields }: Maintained<R>, given: unknown, key: ByteString) =>
  withoutOtherFields(given, key).pipe(
    Effect.tap((value) => check(value, key)),
    Effect.map((value) => ({ value, hasOtherFields: false })),
    // If only transformations distinguish the members of a union, it may need the removed fields to choose a member.
    Effect.catch(() => Effect.as(check(given, key), { value: given, hasOtherFields: true }))
  )

const migrateRecord = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  descriptor: Catalog.Descriptor,
  migration: Migration<unknown, R>,
  key: ByteString,
  record: Uint8Array
) {
  const { declared, raw } = collection
  const { version: from } = descriptor
  const shownKey = () => collection.shownKey(key)
  const failed = (cause: unknown) =>
    refuse(
      collection,
      "Migration",
      `the migration from version ${from} failed at key ${shownKey().shownKey}: ${
        asSentence(Predicate.isError(cause) ? cause.message : String(cause))
      } ${afterFailure(descriptor)}`,
      cause
    )
  const encoded = yield* Effect.mapError(raw.decodeRaw(record, shownKey), failed)
  const migrating = migration(encoded)
  if (!Effect.isEffect(migrating)) {
    return yield* failed(
      new TypeError("it returned no Effect; a migration must return one, such as Effect.succeed(value)")
    )
  }
  const given = yield* Effect.mapError(migrating, failed)
  const migrated = from + 1 === declared.version
    ? yield* Effect.mapError(checkMigrated(collection, given, key), failed)
    : { value: given, hasOtherFields: false }
  const bytes = yield* Effect.mapError(Effect.fromResult(raw.encodeRaw(migrated.value, shownKey)), failed)
  const timed = CollectionRecord.withTime(CollectionRecord.timeOf(record), bytes)
  return {
    bytes: CollectionRecord.join(CollectionRecord.entriesOf(record), timed),
    hasOtherFields: migrated.hasOtherFields
  }
})

const migrate = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  descriptor: Catalog.Descriptor
) {
  const { hasOtherFields: hadOtherFields, migratedTo, version } = descriptor
  const { database, declared } = collection
  const migration = yield* migrationFrom(collection, version, version)
  const part = yield* readPart(transaction.reader, database, migratedTo)
  let hasOtherFields = hadOtherFields === true
  for (const [key, record] of part.records) {
    const migrated = yield* migrateRecord(collection, descriptor, migration, key, record)
    Transaction.write(transaction, [[database, key, migrated.bytes]])
    hasOtherFields ||= migrated.hasOtherFields
  }
  const to = readTo(part)
  // The program has only the schemas of the last version, so it knows no fingerprint and no shape of a version before it.
  const isLast = version + 1 === declared.version
  const fingerprint = isLast ? declared.fingerprint : Catalog.unknownFingerprint
  const shape = isLast && !hasOtherFields ? declared.shape : undefined
  writeDescriptor(
    collection,
    transaction,
    to !== undefined
      ? { ...descriptor, migratedTo: to, migratingTo: fingerprint, ...(hasOtherFields ? { hasOtherFields } : {}) }
      // The migrated values may have other index keys: all indexes are built again.
      : {
        version: version + 1,
        fingerprint,
        ...(shape === undefined ? {} : { shape }),
        indexes: [],
        building: { indexes: [] }
      }
  )
  return { work: `Migrating from version ${version}`, records: part.records.length }
})

/** The slots of the indexes of a collection during a building. */
interface Places {
  /** The slots of the indexes that are in use. */
  readonly built: ReadonlySet<string>
  /** The slots of the indexes that are being built, by their names. */
  readonly building: ReadonlyMap<string, string>
  /** The names of the indexes that are in use and are being built again, by the slots in which they are in use. */
  readonly rebuilt: ReadonlyMap<string, string>
}

const placesOf = ({ indexes }: Catalog.Descriptor, building: Catalog.Building): Places => {
  const built = new Set(indexes.map(Catalog.slotOf))
  const unbuilt = building.indexes.filter((index) => !built.has(Catalog.slotOf(index)))
  const rebuilt = indexes.filter((index) => Catalog.hasAll(unbuilt, [index]))
  return {
    built,
    building: new Map(unbuilt.map((index) => [index[0], Catalog.slotOf(index)])),
    rebuilt: new Map(rebuilt.map((index) => [Catalog.slotOf(index), index[0]]))
  }
}

/**
 * Computes the keys of a record in the indexes that are being built. If its value does not decode and all of these
 * indexes are in use already, the record keeps its current keys in them.
 */
const keysToBuild = <R>(
  { keysOf }: Maintained<R>,
  { building, rebuilt }: Places,
  key: ByteString,
  record: Uint8Array
) => {
  const keys = keysOf(key, record, new Set(building.keys()))
  return rebuilt.size < building.size ? keys : Effect.catchTag(keys, "ValueDecoding", () =>
    Effect.succeed(
      CollectionRecord.entriesOf(record).flatMap(([slot, indexKey]) => {
        const name = rebuilt.get(slot)
        return name === undefined ? [] : [[name, indexKey] as const]
      })
    ))
}

/** Enters a record into the indexes that are being built. Returns its keys that another record has in a unique index. */
const enter = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  slots: Places,
  key: ByteString,
  record: Uint8Array
) {
  const { database, declared: { name }, indexes } = collection
  const { building, built } = slots
  const before = CollectionRecord.entriesOf(record)
  const entries = before.filter(([slot]) => built.has(slot))
  const duplicates: Array<Catalog.StoredDuplicate> = []
  for (const [indexName, indexKey] of yield* keysToBuild(collection, slots, key, record)) {
    const index = indexes.get(indexName)
    const slot = building.get(indexName)
    if (index === undefined || slot === undefined) continue
    const entryDatabase = indexDatabase(name, slot)
    const holder = index.isUnique ? yield* transaction.reader.get(entryDatabase, indexKey, keyOf) : undefined
    if (holder !== undefined) {
      duplicates.push({ index: indexName, indexKey, key, holder })
      continue
    }
    entries.push([slot, indexKey])
    const value = CollectionRecord.entryValueOf(index, key)
    Transaction.write(transaction, [[entryDatabase, entryKey(index, indexKey, key), value]])
  }
  if (!CollectionRecord.hasSameEntries(before, entries)) {
    const joined = CollectionRecord.join(entries, CollectionRecord.valueOf(record))
    Transaction.write(transaction, [[database, key, joined]])
  }
  return duplicates
})

/** The number of records after which the building yields to other fibers. */
const recordsBetweenTurns = 64

const build = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  descriptor: Catalog.Descriptor,
  building: Catalog.Building
) {
  const { building: _, ...others } = descriptor
  const slots = placesOf(descriptor, building)
  const part = yield* readPart(transaction.reader, collection.database, building.to)
  const found: Array<Catalog.StoredDuplicate> = []
  for (const [number, [key, record]] of part.records.entries()) {
    // If another fiber writes one of these records, this transaction runs again. Yield, so that such a write comes early.
    if (number % recordsBetweenTurns === 0) yield* Effect.yieldNow
    found.push(...(yield* enter(collection, transaction, slots, key, record)))
  }
  const progress: Progress = { work: "Building indexes", records: part.records.length }
  const duplicateCount = (building.duplicateCount ?? 0) + found.length
  const duplicates = [...(building.duplicates ?? []), ...found].slice(0, maxDuplicates)
  const next = duplicateCount === 0 ? building : { ...building, duplicates, duplicateCount }
  const to = readTo(part)
  if (to !== undefined) {
    writeDescriptor(collection, transaction, { ...descriptor, building: { ...next, to } })
    return progress
  }
  const indexes = duplicateCount === 0 ? building.indexes : descriptor.indexes
  yield* clearUnused(collection, transaction, indexes)
  writeDescriptor(collection, transaction, { ...others, indexes })
  return duplicateCount === 0 ? progress : { ...progress, failed: next }
})

/** Runs a step in a transaction. */
export const run = <R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  step: Exclude<Step, { readonly _tag: "Done" }>
): Effect.Effect<Progress, CollectionFailed | IndexError | EngineFailure, R> => {
  switch (step._tag) {
    case "Store":
      return store(collection, transaction, step.descriptor)
    case "Migrate":
      return migrate(collection, transaction, step.descriptor)
    case "Build":
      return build(collection, transaction, step.descriptor, step.building)
  }
}
