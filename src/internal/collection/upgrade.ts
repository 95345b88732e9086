/**
 * Brings what is stored of a collection to the version and the indexes of a definition,
 * step by step: which step comes next, and what it does in its transaction.
 *
 * From the first part of a migration on no program of an earlier version opens the
 * collection. Indexes are built beside those that are in use, and take their places in the
 * transaction of the last part: until then a program with other indexes can open the
 * collection, which gives the building up, and a building that fails leaves what there was.
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
import { entryKey } from "./indexWrites.ts"
import { type IndexError, type Maintained, maxDuplicates, readPart, readTo } from "./maintenance.ts"

/** A step of the work on a collection. */
export type Step =
  | { readonly _tag: "Done"; readonly indexes: ReadonlyArray<Catalog.StoredIndex> }
  /** Stores something about the collection, and deletes the entries in indexes that are not in use. */
  | { readonly _tag: "Store"; readonly descriptor: Catalog.Descriptor }
  | { readonly _tag: "Migrate"; readonly descriptor: Catalog.Descriptor }
  | { readonly _tag: "Build"; readonly descriptor: Catalog.Descriptor; readonly building: Catalog.Building }

/** What a step came to. */
export interface Progress {
  /** What was worked on, for the log. */
  readonly work: string
  readonly records: number
  /** What a building that has failed says. */
  readonly failed?: Catalog.Building
}

/** What is known besides what is stored. */
export interface Circumstances {
  /** Whether this program has begun to build the indexes that are being built. */
  readonly hasBegun: boolean
  /** The indexes that are stored, but not as they should be. */
  readonly distrusted: ReadonlySet<string>
}

const refuse = <R>(
  { wanted: { name } }: Maintained<R>,
  reason: "MissingMigration" | "Migration",
  detail: string,
  cause?: unknown
) =>
  new CollectionFailed({
    reason: { _tag: reason, detail },
    collection: name,
    ...(cause === undefined ? {} : { cause })
  })

/** The migration that begins with a version, for data that has this one or an earlier one. */
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
          `give one under the key ${from} of \`migrations\`.`
      )
    )
    : Effect.succeed(migration)
}

/** Whether this program goes on with a building, instead of giving it up. */
const goesOn = (
  { indexes }: Catalog.Wanted,
  { indexes: built }: Catalog.Descriptor,
  building: Catalog.Building,
  { hasBegun }: Circumstances
): boolean =>
  // Indexes that are there and are built again have another `of`, which the program that has begun may know better.
  Catalog.hasSame(building.indexes, indexes) && (hasBegun || !Catalog.hasAll(built, indexes))

const nextIndexStep = (
  wanted: Catalog.Wanted,
  descriptor: Catalog.Descriptor,
  circumstances: Circumstances
): Step => {
  const { building, ...others } = descriptor
  const { distrusted } = circumstances
  if (building !== undefined && goesOn(wanted, descriptor, building, circumstances)) {
    return { _tag: "Build", descriptor, building }
  }
  const indexes = Catalog.withPlaces(wanted.indexes, others.indexes, distrusted)
  if (distrusted.size > 0 || !Catalog.hasAll(others.indexes, wanted.indexes)) {
    return { _tag: "Store", descriptor: { ...others, building: { indexes } } }
  }
  return building === undefined && Catalog.hasSame(others.indexes, wanted.indexes)
    ? { _tag: "Done", indexes: others.indexes }
    : { _tag: "Store", descriptor: { ...others, indexes } }
}

/** The step that comes next, by what is stored. */
export const nextStep = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  stored: Catalog.Descriptor | undefined,
  circumstances: Circumstances
): Effect.fn.Return<Step, CollectionFailed> {
  const { fingerprint, indexes, shape, version } = collection.wanted
  if (stored === undefined) {
    return { _tag: "Store", descriptor: { version, fingerprint, indexes, ...(shape === undefined ? {} : { shape }) } }
  }
  yield* Catalog.check(collection.wanted, stored)
  // A missing one is found before the first has changed anything.
  for (let from = stored.version; from < version; from++) yield* migrationFrom(collection, from, stored.version)
  if (stored.version < version) return { _tag: "Migrate", descriptor: stored }
  const descriptor = Catalog.widened(collection.wanted, stored)
  if (descriptor !== stored) return { _tag: "Store", descriptor }
  return nextIndexStep(collection.wanted, stored, circumstances)
})

/** The databases that a step writes to and that may not be there yet. */
export const databasesFor = ({ name, indexes }: Catalog.Wanted, step: Step): ReadonlyArray<string> => {
  if (step._tag === "Done" || step._tag === "Build") {
    return Catalog.databasesOf(name, step._tag === "Done" ? step.indexes : step.building.indexes)
  }
  const { building, indexes: built } = step.descriptor
  return Catalog.databasesOf(name, building?.indexes ?? (step._tag === "Store" ? built : indexes))
}

/** Deletes the entries in indexes of a collection that are not in use. */
const clearUnused = Effect.fnUntraced(function*<R>(
  { internals: { access }, wanted: { name } }: Maintained<R>,
  transaction: Transaction.Transaction,
  used: ReadonlyArray<Catalog.StoredIndex>
) {
  const databases = new Set(Catalog.databasesOf(name, used))
  for (const stored of yield* access.handle.core.backend.databases()) {
    if (stored.startsWith(indexDatabases(name)) && !databases.has(stored)) transaction.writes.clear(stored)
  }
})

const writeDescriptor = <R>(
  { internals: { access: { handle: { core: { structures } } } }, wanted: { name } }: Maintained<R>,
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

/** What a failed migration leaves, and what to do. */
const afterFailure = ({ migratedTo, version }: Catalog.Descriptor): string =>
  migratedTo === undefined
    ? `It has changed nothing, and a program of version ${version} can still open the collection.`
    : `A part of the records is migrated and stays so, and a program of version ${version} can no longer open the ` +
      "collection: repair the migration and deploy again."

/**
 * The value that a migration gave, without the fields that the schema does not have: a later schema may have fields of
 * these names. Fails where the value is not one of the schema.
 */
const toWanted = <R>({ check, withoutOtherFields }: Maintained<R>, given: unknown, key: ByteString) =>
  withoutOtherFields(given, key).pipe(
    Effect.tap((value) => check(value, key)),
    Effect.map((value) => ({ value, hasOtherFields: false })),
    // A union whose members are told apart by their transformations may need the fields that were left out.
    Effect.catch(() => Effect.as(check(given, key), { value: given, hasOtherFields: true }))
  )

const migrateRecord = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  descriptor: Catalog.Descriptor,
  migration: Migration<unknown, R>,
  key: ByteString,
  record: Uint8Array
) {
  const { raw, wanted } = collection
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
    return yield* failed(new TypeError("it gave no Effect; a migration gives one, such as Effect.succeed(value)"))
  }
  const given = yield* Effect.mapError(migrating, failed)
  const migrated = from + 1 === wanted.version
    ? yield* Effect.mapError(toWanted(collection, given, key), failed)
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
  const { database, wanted } = collection
  const migration = yield* migrationFrom(collection, version, version)
  const part = yield* readPart(transaction.reader, database, migratedTo)
  let hasOtherFields = hadOtherFields === true
  for (const [key, record] of part.records) {
    const migrated = yield* migrateRecord(collection, descriptor, migration, key, record)
    Transaction.write(transaction, [[database, key, migrated.bytes]])
    hasOtherFields ||= migrated.hasOtherFields
  }
  const to = readTo(part)
  // Of a version before the wanted one nothing is known but that migrations lead to it.
  const isLast = version + 1 === wanted.version
  const fingerprint = isLast ? wanted.fingerprint : Catalog.unknownFingerprint
  const shape = isLast && !hasOtherFields ? wanted.shape : undefined
  writeDescriptor(
    collection,
    transaction,
    to !== undefined
      ? { ...descriptor, migratedTo: to, migratingTo: fingerprint, ...(hasOtherFields ? { hasOtherFields } : {}) }
      // What the indexes are of may be another now.
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

/** The places of the indexes of a collection while some are built. */
interface Places {
  readonly built: ReadonlySet<string>
  /** The places of those that are built, by their names. */
  readonly building: ReadonlyMap<string, string>
  /** The names of those that are built again, by the places in which they are in use. */
  readonly again: ReadonlyMap<string, string>
}

const placesOf = ({ indexes }: Catalog.Descriptor, building: Catalog.Building): Places => {
  const built = new Set(indexes.map(Catalog.placeOf))
  const unbuilt = building.indexes.filter((index) => !built.has(Catalog.placeOf(index)))
  const again = indexes.filter((index) => Catalog.hasAll(unbuilt, [index]))
  return {
    built,
    building: new Map(unbuilt.map((index) => [index[0], Catalog.placeOf(index)])),
    again: new Map(again.map((index) => [Catalog.placeOf(index), index[0]]))
  }
}

/** The keys of a record in the indexes that are built. Where its value does not decode, it keeps those that it has. */
const keysToBuild = <R>(
  { keysOf }: Maintained<R>,
  { again, building }: Places,
  key: ByteString,
  record: Uint8Array
) => {
  const keys = keysOf(key, record, new Set(building.keys()))
  return again.size < building.size ? keys : Effect.catchTag(keys, "ValueDecoding", () =>
    Effect.succeed(
      CollectionRecord.entriesOf(record).flatMap(([place, indexKey]) => {
        const name = again.get(place)
        return name === undefined ? [] : [[name, indexKey] as const]
      })
    ))
}

/** Enters a record into the indexes that are built; gives what of them another record has already. */
const enter = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  places: Places,
  key: ByteString,
  record: Uint8Array
) {
  const { database, indexes, wanted: { name } } = collection
  const { building, built } = places
  const before = CollectionRecord.entriesOf(record)
  const entries = before.filter(([place]) => built.has(place))
  const duplicates: Array<Catalog.StoredDuplicate> = []
  for (const [indexName, indexKey] of yield* keysToBuild(collection, places, key, record)) {
    const index = indexes.get(indexName)
    const place = building.get(indexName)
    if (index === undefined || place === undefined) continue
    const entryDatabase = indexDatabase(name, place)
    const holder = index.isUnique ? yield* transaction.reader.get(entryDatabase, indexKey, keyOf) : undefined
    if (holder !== undefined) {
      duplicates.push({ index: indexName, indexKey, key, holder })
      continue
    }
    entries.push([place, indexKey])
    const value = CollectionRecord.entryValueOf(index, key)
    Transaction.write(transaction, [[entryDatabase, entryKey(index, indexKey, key), value]])
  }
  if (!CollectionRecord.hasSameEntries(before, entries)) {
    const joined = CollectionRecord.join(entries, CollectionRecord.valueOf(record))
    Transaction.write(transaction, [[database, key, joined]])
  }
  return duplicates
})

/** How many records an index is built of before other fibers have their turn. */
const recordsBetweenTurns = 64

const build = Effect.fnUntraced(function*<R>(
  collection: Maintained<R>,
  transaction: Transaction.Transaction,
  descriptor: Catalog.Descriptor,
  building: Catalog.Building
) {
  const { building: _, ...others } = descriptor
  const places = placesOf(descriptor, building)
  const part = yield* readPart(transaction.reader, collection.database, building.to)
  const found: Array<Catalog.StoredDuplicate> = []
  for (const [number, [key, record]] of part.records.entries()) {
    // Each write of another fiber makes this transaction run again: let the writes that are under way be made.
    if (number % recordsBetweenTurns === 0) yield* Effect.yieldNow
    found.push(...(yield* enter(collection, transaction, places, key, record)))
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

/** Does a step in a transaction. */
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
