/**
 * Reads and writes the catalog of a store: the database `collections`, with one entry for each collection.
 *
 * An entry contains the version and the indexes of a collection, and the progress of a migration or of the building of
 * indexes. Each part of that work is committed in one transaction with the new entry. After a crash, the next program
 * that opens the collection continues from the entry. If two processes work on the same collection, each continues from
 * the entry that the other has written.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Reader } from "../../Backend.ts"
import { CollectionFailed } from "../../CollectionError.ts"
import type { Write } from "../../Engine.ts"
import { type ByteString, fromBytes } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { catalogDatabase, indexDatabase } from "../databases.ts"
import { copyOf } from "../engineBytes.ts"
import * as Settled from "../settled.ts"
import * as ShapeComparison from "./shapeComparison.ts"
import * as StoredShape from "./storedShape.ts"

/** The fingerprint of a version that no program has opened yet: an intermediate version of a migration. */
export const unknownFingerprint = ""

/**
 * An index in the catalog: its name, its fingerprint, and its slot if that differs from its name. The name of its
 * database ends with the slot. Each index has two slots, so that a new version of it can be built in one slot while
 * the old version is in use in the other.
 */
const StoredIndex = Schema.Tuple([Schema.String, Schema.String, Schema.optionalKey(Schema.String)])

/** An index in the catalog. */
export type StoredIndex = typeof StoredIndex.Type

/** A record that cannot be in a unique index, because another record (`holder`) has the same key there. */
const StoredDuplicate = Schema.Struct({
  index: Schema.String,
  indexKey: Schema.String,
  key: Schema.String,
  holder: Schema.String
})

/** A record that cannot be in a unique index. */
export type StoredDuplicate = typeof StoredDuplicate.Type

const Building = Schema.Struct({
  /** The indexes that the collection has after the building has ended. */
  indexes: Schema.Array(StoredIndex),
  /** The key of the last record that has been entered into the new indexes. */
  to: Schema.optionalKey(Schema.String),
  /** The first duplicates that were found (at most `maxDuplicates`), and the number of all of them. */
  duplicates: Schema.optionalKey(Schema.Array(StoredDuplicate)),
  duplicateCount: Schema.optionalKey(Schema.Number)
})

/** The progress of the building of indexes. */
export type Building = typeof Building.Type

const Descriptor = Schema.Struct({
  version: Schema.Number,
  /** The fingerprint of the schemas that were the last to change `shape`. */
  fingerprint: Schema.String,
  /**
   * The shape of all values that may be stored, from the schemas of all programs that have opened the collection. An
   * entry has no shape if an earlier version of the package has written it, or during a migration.
   */
  shape: Schema.optionalKey(Schema.Unknown),
  /** The fingerprints of all schemas that have opened this version, if more than one has. Each of them may open it again. */
  programs: Schema.optionalKey(Schema.Array(Schema.String)),
  /** The indexes that are complete and in use. */
  indexes: Schema.Array(StoredIndex),
  /** The key of the last migrated record. The first part of a migration from `version` adds it. */
  migratedTo: Schema.optionalKey(Schema.String),
  /** The fingerprint of the version that this migration leads to. */
  migratingTo: Schema.optionalKey(Schema.String),
  /** Whether the migration has stored values with fields that the schema does not have, because it could not remove them. */
  hasOtherFields: Schema.optionalKey(Schema.Boolean),
  building: Schema.optionalKey(Building)
})

/** The catalog entry of a collection. */
export type Descriptor = typeof Descriptor.Type

const decodeDescriptor = Schema.decodeUnknownOption(Descriptor)

/** Reads a decoded entry. Returns `none` if this version of the package cannot read it. */
export const parse: (stored: unknown) => Option.Option<Descriptor> = decodeDescriptor

/** Returns all indexes of which records may have entries: those in use, and those that are being built. */
export const allIndexes = ({ building, indexes }: Descriptor): ReadonlyArray<StoredIndex> => {
  const slots = new Set(indexes.map(slotOf))
  return [...indexes, ...building?.indexes.filter((index) => !slots.has(slotOf(index))) ?? []]
}

/** Tests whether a collection has indexes, or is getting some. */
export const hasIndexes = (descriptor: Descriptor): boolean => allIndexes(descriptor).length > 0

/** Tests whether no two records may have the same key in an index. */
export const isUnique = ([, fingerprint]: StoredIndex): boolean => fingerprint.startsWith("unique ")

/** The part of a definition that is compared with the catalog entry: what the program declares. */
export interface Declaration {
  readonly name: string
  readonly version: number
  readonly fingerprint: string
  /** The shape of the values that the program writes; `undefined` if its schema has too many parts. */
  readonly shape: StoredShape.StoredShape | undefined
  readonly indexes: ReadonlyArray<StoredIndex>
}

const keyOf = (name: string): ByteString => fromBytes(Buffer.from(name))

/** Returns the slot of an index in the catalog. */
export const slotOf = ([name, , slot]: StoredIndex): string => slot ?? name

/** Tests whether two entries are the same index. The slots may differ. */
const isSameIndex = ([a, fingerprint]: StoredIndex, [b, other]: StoredIndex): boolean =>
  a === b && fingerprint === other

/** Tests whether `stored` has every index of `declared`. The slots may differ. */
export const hasAll = (stored: ReadonlyArray<StoredIndex>, declared: ReadonlyArray<StoredIndex>): boolean =>
  declared.every((index) => stored.some((other) => isSameIndex(index, other)))

/** Tests whether two lists have the same indexes. The slots may differ. */
export const hasSame = (a: ReadonlyArray<StoredIndex>, b: ReadonlyArray<StoredIndex>): boolean =>
  a.length === b.length && hasAll(a, b)

const hasSameSlots = (a: ReadonlyArray<StoredIndex>, b: ReadonlyArray<StoredIndex>): boolean =>
  hasSame(a, b) && a.every((index) => b.some((other) => index[0] === other[0] && slotOf(index) === slotOf(other)))

/** Returns the names of the databases of some indexes. */
export const databasesOf = (collection: string, indexes: ReadonlyArray<StoredIndex>): ReadonlyArray<string> =>
  indexes.map((index) => indexDatabase(collection, slotOf(index)))

/** Returns the free slot for an index that must be built. */
const freeSlotOf = (name: string, built: ReadonlyArray<StoredIndex>): StoredIndex[2] =>
  built.some((index) => slotOf(index) === name) ? `${name}/2` : undefined

/**
 * Returns the declared indexes with their slots. An index that is built keeps its slot. An index that is not built, or
 * that must be built again because it is in `stale`, gets its free slot.
 */
export const withSlots = (
  declared: ReadonlyArray<StoredIndex>,
  built: ReadonlyArray<StoredIndex>,
  stale: ReadonlySet<string>
): ReadonlyArray<StoredIndex> =>
  declared.map(([name, fingerprint]): StoredIndex => {
    const found = stale.has(name) ? undefined : built.find((index) => isSameIndex(index, [name, fingerprint]))
    if (found !== undefined) return found
    const slot = freeSlotOf(name, built)
    return slot === undefined ? [name, fingerprint] : [name, fingerprint, slot]
  })

const unreadable = (collection: string) =>
  new CollectionFailed({
    reason: { _tag: "NewerVersion", detail: "this version of the package cannot read its catalog entry." },
    collection
  })

const decode = (
  bytes: Uint8Array,
  collection: string,
  structures: StructureTable.StructureTable
): Effect.Effect<Descriptor, CollectionFailed | EngineFailure> => {
  const decoded = StructureTable.decode(
    structures,
    bytes,
    () => ({ key: collection, shownKey: collection, collection })
  )
  return Settled.flatMap(
    Settled.catchError(
      decoded,
      (error): Exit.Exit<undefined, EngineFailure> =>
        error._tag === "EngineFailure" ? Exit.fail(error) : Exit.succeed(undefined)
    ),
    (stored) => {
      const descriptor = decodeDescriptor(stored)
      return Option.isSome(descriptor) ? Exit.succeed(descriptor.value) : Exit.fail(unreadable(collection))
    }
  )
}

/** Reads the catalog entry of a collection. */
export const read = (
  reader: Reader,
  collection: string,
  structures: StructureTable.StructureTable
): Effect.Effect<Descriptor | undefined, CollectionFailed | EngineFailure> =>
  Settled.flatMap(
    reader.get(catalogDatabase, keyOf(collection), (bytes) => decode(bytes, collection, structures)),
    (decoding): Effect.Effect<Descriptor | undefined, CollectionFailed | EngineFailure> =>
      decoding === undefined ? Exit.succeed(undefined) : decoding
  )

/** Makes the write that stores a catalog entry as it was stored elsewhere, in the order of its fields. */
export const toStoredWrite = (
  collection: string,
  stored: unknown,
  structures: StructureTable.StructureTable
): Write => [
  catalogDatabase,
  keyOf(collection),
  Result.getOrThrow(StructureTable.encode(structures, stored))
]

/** Makes the write that stores the catalog entry of a collection. */
export const toWrite = (
  collection: string,
  descriptor: Descriptor,
  structures: StructureTable.StructureTable
): Write => toStoredWrite(collection, descriptor, structures)

/** Stored as `shape` if the shape has too many parts. Then only schemas that have opened the collection before may open it. */
const noShape = "none"

const shapeOf = ({ shape }: Descriptor): StoredShape.StoredShape | undefined =>
  Option.getOrUndefined(StoredShape.decode(shape))

/** Tests whether a program with these schemas has opened the collection. Returns `true` if no schemas are recorded. */
const hasOpened = ({ fingerprint, programs = [] }: Descriptor, declared: Declaration): boolean =>
  fingerprint === declared.fingerprint || fingerprint === unknownFingerprint || programs.includes(declared.fingerprint)

/** Describes why the program may fail to decode a stored value of its version; `undefined` if it decodes all of them. */
const differenceFrom = ({ fingerprint, shape, version }: Declaration, stored: Descriptor): string | undefined => {
  if (stored.fingerprint === fingerprint || stored.fingerprint === unknownFingerprint) return undefined
  const storedShape = shapeOf(stored)
  return storedShape === undefined || shape === undefined
    ? `its schemas are not those of version ${version}`
    : ShapeComparison.difference(storedShape, shape)
}

/** Describes which stored values the program may fail to decode, although it may open the collection. */
export const undecodable = (declared: Declaration, stored: Descriptor): string | undefined =>
  stored.version === declared.version && hasOpened(stored, declared) ? differenceFrom(declared, stored) : undefined

/** Returns the shape of all values that may be stored once this program writes too. That is `known` if it covers them. */
const shapeAfter = (
  stored: Descriptor,
  known: StoredShape.StoredShape,
  { fingerprint, shape }: Declaration
): StoredShape.StoredShape | typeof noShape => {
  if (shape === undefined) return noShape
  // The schemas differ only in their checks. Store those of this program: a program may always change its checks.
  if (fingerprint === stored.fingerprint && ShapeComparison.hasSameParts(known, shape)) {
    return ShapeComparison.covers(known, shape) && ShapeComparison.covers(shape, known) ? known : shape
  }
  return ShapeComparison.widened(known, shape) ?? noShape
}

/** Returns the catalog entry once this program has opened the collection. Returns `stored` itself if that is the same. */
export const widened = (declared: Declaration, stored: Descriptor): Descriptor => {
  const { fingerprint, shape, version } = declared
  if (stored.fingerprint === unknownFingerprint) return { ...stored, fingerprint }
  const known = shapeOf(stored)
  if (known === undefined) {
    // An earlier version of the package has stored no shape. From version 2 on, a migration may have left other fields.
    return stored.shape === undefined && shape !== undefined && version === 1 ? { ...stored, shape } : stored
  }
  const next = shapeAfter(stored, known, declared)
  const programs = hasOpened(stored, declared)
    ? {}
    : { programs: [...(stored.programs ?? [stored.fingerprint]), fingerprint] }
  if (next === known) return hasOpened(stored, declared) ? stored : { ...stored, ...programs }
  return { ...stored, ...programs, fingerprint, shape: next }
}

/** Fails with `CollectionFailed` if the program may not open the collection. */
export const check = (declared: Declaration, stored: Descriptor): Effect.Effect<void, CollectionFailed> => {
  const { fingerprint, name, version } = declared
  const refuse = (reason: "NewerVersion" | "ChangedSchema", detail: string) =>
    Effect.fail(new CollectionFailed({ reason: { _tag: reason, detail }, collection: name }))
  const next = stored.version + 1
  if (stored.version > version) {
    return refuse(
      "NewerVersion",
      `it has version ${stored.version}, and the program has version ${version}; ` +
        `deploy a program of version ${stored.version}, or restore a backup.`
    )
  }
  if (stored.migratedTo !== undefined) {
    if (stored.version === version) {
      return refuse(
        "NewerVersion",
        `a migration to version ${next} has started, and the program has version ${version}; ` +
          `deploy a program of version ${next} again to continue the migration, or restore a backup.`
      )
    }
    const target = stored.migratingTo ?? unknownFingerprint
    if (next === version && target !== unknownFingerprint && target !== fingerprint) {
      return refuse(
        "ChangedSchema",
        `a migration to version ${next} has started with other schemas of version ${next}; ` +
          `continue with those schemas, or restore a backup. Give corrected schemas version ${next + 1}.`
      )
    }
  }
  const difference = stored.version === version && !hasOpened(stored, declared)
    ? differenceFrom(declared, stored)
    : undefined
  return difference === undefined
    ? Effect.void
    : refuse("ChangedSchema", `${difference}; give a new version and a migration.`)
}

/** Tests whether the stored shape allows every value that the program writes. Then it may write, whatever else is stored. */
const permits = (stored: Descriptor, declared: Declaration): boolean => {
  if (hasOpened(stored, declared)) return true
  const { shape } = declared
  const known = shapeOf(stored)
  return known !== undefined && shape !== undefined && ShapeComparison.covers(known, shape)
}

/**
 * Makes the check that a commit runs inside its transaction: whether the collection is still as this definition has
 * opened it. The check fails after another process has begun to migrate the collection or to build other indexes.
 */
export const makeGuard = (
  declared: Declaration,
  structures: StructureTable.StructureTable
): (present: Reader) => Effect.Effect<boolean, EngineFailure> => {
  let known: Uint8Array | undefined
  const isSame = (descriptor: Descriptor): boolean => {
    const { building, indexes, migratedTo, version } = descriptor
    return version === declared.version && migratedTo === undefined && building === undefined &&
      permits(descriptor, declared) && hasSameSlots(indexes, declared.indexes)
  }
  return (present) =>
    Settled.flatMap(present.get(catalogDatabase, keyOf(declared.name), copyOf), (own) => {
      if (own === undefined) return Exit.succeed(false)
      if (known !== undefined && Buffer.compare(own, known) === 0) return Exit.succeed(true)
      const isKnown = Settled.map(decode(own, declared.name, structures), (descriptor) => {
        const same = isSame(descriptor)
        if (same) known = own
        return same
      })
      return Settled.catchError(isKnown, (error) =>
        error._tag === "EngineFailure" ? Exit.fail(error) : Exit.succeed(false))
    })
}
