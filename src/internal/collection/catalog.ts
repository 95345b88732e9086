/**
 * Reads and writes the catalog of a store: the database `collections`, with one entry for each collection.
 *
 * An entry says which version and which indexes a collection has, and how far a migration or the building of indexes
 * has come. Each part of that work is committed in one transaction with the new entry. After a crash the work
 * continues from the entry. If two processes work on the same collection, each continues from the entry that the
 * other has written.
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

/** The fingerprint of a version that no program has opened yet, such as an intermediate version of a migration. */
export const unknownFingerprint = ""

/**
 * An index in the catalog: its name, its fingerprint, and its place if that differs from its name. An index name has
 * two places, so that a new version of the index can be built while the old one is in use.
 */
const StoredIndex = Schema.Tuple([Schema.String, Schema.String, Schema.optionalKey(Schema.String)])

/** An index in the catalog. */
export type StoredIndex = typeof StoredIndex.Type

/** A record that cannot be in a unique index, because another record (`holder`) already has the same key there. */
const StoredDuplicate = Schema.Struct({
  index: Schema.String,
  indexKey: Schema.String,
  key: Schema.String,
  holder: Schema.String
})

/** A record that cannot be in a unique index, as a type. */
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

/** What is stored about the building of indexes. */
export type Building = typeof Building.Type

const Descriptor = Schema.Struct({
  version: Schema.Number,
  /** The fingerprint of the schemas that changed `shape` last. */
  fingerprint: Schema.String,
  /**
   * The shape of all values that may be stored, from the schemas of all programs that have opened the collection. It is
   * missing if the shape is not known: in files of earlier versions of the package, and during a migration.
   */
  shape: Schema.optionalKey(Schema.Unknown),
  /** The fingerprints of all schemas that have opened this version, if there are several. Each may open it again. */
  programs: Schema.optionalKey(Schema.Array(Schema.String)),
  /** The indexes that are complete and in use. */
  indexes: Schema.Array(StoredIndex),
  /** The key of the last migrated record. It is missing until the first part of the migration from `version` is done. */
  migratedTo: Schema.optionalKey(Schema.String),
  /** The fingerprint of the version that this migration leads to. */
  migratingTo: Schema.optionalKey(Schema.String),
  /** Whether the migration returned values with fields that the schema does not have and that could not be removed. */
  hasOtherFields: Schema.optionalKey(Schema.Boolean),
  building: Schema.optionalKey(Building)
})

/** The catalog entry of a collection. */
export type Descriptor = typeof Descriptor.Type

const decodeDescriptor = Schema.decodeUnknownOption(Descriptor)

/** The part of a definition that is compared with the catalog. */
export interface Wanted {
  readonly name: string
  readonly version: number
  readonly fingerprint: string
  /** The shape of the values that the program writes; `undefined` if its schema has too many parts. */
  readonly shape: StoredShape.StoredShape | undefined
  readonly indexes: ReadonlyArray<StoredIndex>
}

const keyOf = (name: string): ByteString => fromBytes(Buffer.from(name))

/** Returns the place of an index in the catalog. */
export const placeOf = ([name, , place]: StoredIndex): string => place ?? name

/** Tests whether two entries are the same index. The places may differ. */
const isSameIndex = ([a, fingerprint]: StoredIndex, [b, other]: StoredIndex): boolean =>
  a === b && fingerprint === other

/** Tests whether `stored` has every index of `wanted`. The places may differ. */
export const hasAll = (stored: ReadonlyArray<StoredIndex>, wanted: ReadonlyArray<StoredIndex>): boolean =>
  wanted.every((index) => stored.some((other) => isSameIndex(index, other)))

/** Tests whether two lists have the same indexes. The places may differ. */
export const hasSame = (a: ReadonlyArray<StoredIndex>, b: ReadonlyArray<StoredIndex>): boolean =>
  a.length === b.length && hasAll(a, b)

const hasSamePlaces = (a: ReadonlyArray<StoredIndex>, b: ReadonlyArray<StoredIndex>): boolean =>
  hasSame(a, b) && a.every((index) => b.some((other) => index[0] === other[0] && placeOf(index) === placeOf(other)))

/** Returns the names of the databases of some indexes. */
export const databasesOf = (collection: string, indexes: ReadonlyArray<StoredIndex>): ReadonlyArray<string> =>
  indexes.map((index) => indexDatabase(collection, placeOf(index)))

/** Returns the place that is not in use for an index that must be built. */
const freePlaceOf = (name: string, built: ReadonlyArray<StoredIndex>): StoredIndex[2] =>
  built.some((index) => placeOf(index) === name) ? `${name}/2` : undefined

/**
 * Returns the indexes of a definition with their places. An index that is built keeps its place. An index that is not
 * built, or that is in `distrusted`, gets a free place.
 */
export const withPlaces = (
  wanted: ReadonlyArray<StoredIndex>,
  built: ReadonlyArray<StoredIndex>,
  distrusted: ReadonlySet<string>
): ReadonlyArray<StoredIndex> =>
  wanted.map(([name, fingerprint]): StoredIndex => {
    const found = distrusted.has(name) ? undefined : built.find((index) => isSameIndex(index, [name, fingerprint]))
    if (found !== undefined) return found
    const place = freePlaceOf(name, built)
    return place === undefined ? [name, fingerprint] : [name, fingerprint, place]
  })

const notKnown = (collection: string) =>
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
      return Option.isSome(descriptor) ? Exit.succeed(descriptor.value) : Exit.fail(notKnown(collection))
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

/** Makes the write that stores the catalog entry of a collection. */
export const toWrite = (
  collection: string,
  descriptor: Descriptor,
  structures: StructureTable.StructureTable
): Write => [
  catalogDatabase,
  keyOf(collection),
  Result.getOrThrow(StructureTable.encode(structures, descriptor))
]

/** Is stored as `shape` if the values have no shape that can be compared. Then only schemas that have opened it before are accepted. */
const noShape = "none"

const shapeOf = ({ shape }: Descriptor): StoredShape.StoredShape | undefined =>
  Option.getOrUndefined(StoredShape.decode(shape))

/** Tests whether a program with these schemas has opened the collection before. It is `true` if no schemas are recorded. */
const hasOpened = ({ fingerprint, programs = [] }: Descriptor, wanted: Wanted): boolean =>
  fingerprint === wanted.fingerprint || fingerprint === unknownFingerprint || programs.includes(wanted.fingerprint)

/** Says why the program may not decode every value that is stored under its version; `undefined` if it decodes all. */
const differenceFrom = ({ fingerprint, shape, version }: Wanted, stored: Descriptor): string | undefined => {
  if (stored.fingerprint === fingerprint || stored.fingerprint === unknownFingerprint) return undefined
  const storedShape = shapeOf(stored)
  return storedShape === undefined || shape === undefined
    ? `its schemas are not those of version ${version}`
    : ShapeComparison.difference(storedShape, shape)
}

/** Says which values may be stored that the program cannot decode, although it may open the collection. */
export const undecodable = (wanted: Wanted, stored: Descriptor): string | undefined =>
  stored.version === wanted.version && hasOpened(stored, wanted) ? differenceFrom(wanted, stored) : undefined

/** Returns the shape of what may be stored after this program writes too. Returns `known` itself if nothing changes. */
const shapeAfter = (
  stored: Descriptor,
  known: StoredShape.StoredShape,
  { fingerprint, shape }: Wanted
): StoredShape.StoredShape | typeof noShape => {
  if (shape === undefined) return noShape
  // Only the checks differ. Use those of this program: a program may always change its checks.
  if (fingerprint === stored.fingerprint && ShapeComparison.hasSameParts(known, shape)) {
    return ShapeComparison.covers(known, shape) && ShapeComparison.covers(shape, known) ? known : shape
  }
  return ShapeComparison.widened(known, shape) ?? noShape
}

/** Returns the catalog entry after this program has opened the collection. Returns `stored` itself if nothing changes. */
export const widened = (wanted: Wanted, stored: Descriptor): Descriptor => {
  const { fingerprint, shape, version } = wanted
  if (stored.fingerprint === unknownFingerprint) return { ...stored, fingerprint }
  const known = shapeOf(stored)
  if (known === undefined) {
    // An earlier version of the package stored no shape. After a migration, values may have other fields than the schema.
    return stored.shape === undefined && shape !== undefined && version === 1 ? { ...stored, shape } : stored
  }
  const next = shapeAfter(stored, known, wanted)
  const programs = hasOpened(stored, wanted)
    ? {}
    : { programs: [...(stored.programs ?? [stored.fingerprint]), fingerprint] }
  if (next === known) return hasOpened(stored, wanted) ? stored : { ...stored, ...programs }
  return { ...stored, ...programs, fingerprint, shape: next }
}

/** Fails with `CollectionFailed` if the program may not open the collection. */
export const check = (wanted: Wanted, stored: Descriptor): Effect.Effect<void, CollectionFailed> => {
  const { fingerprint, name, version } = wanted
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
  const difference = stored.version === version && !hasOpened(stored, wanted)
    ? differenceFrom(wanted, stored)
    : undefined
  return difference === undefined
    ? Effect.void
    : refuse("ChangedSchema", `${difference}; give a new version and a migration.`)
}

/** Tests whether every value that the program writes may be stored already. Then wider schemas of another program do not stop it. */
const permits = (stored: Descriptor, wanted: Wanted): boolean => {
  if (hasOpened(stored, wanted)) return true
  const { shape } = wanted
  const known = shapeOf(stored)
  return known !== undefined && shape !== undefined && ShapeComparison.covers(known, shape)
}

/**
 * Makes the check that a commit runs inside its transaction: whether the collection is still as this definition has
 * opened it. It is not if another process has begun to migrate it or to build other indexes.
 */
export const makeGuard = (
  wanted: Wanted,
  structures: StructureTable.StructureTable
): (present: Reader) => Effect.Effect<boolean, EngineFailure> => {
  let known: Uint8Array | undefined
  const isSame = (descriptor: Descriptor): boolean => {
    const { building, indexes, migratedTo, version } = descriptor
    return version === wanted.version && migratedTo === undefined && building === undefined &&
      permits(descriptor, wanted) && hasSamePlaces(indexes, wanted.indexes)
  }
  return (present) =>
    Settled.flatMap(present.get(catalogDatabase, keyOf(wanted.name), copyOf), (own) => {
      if (own === undefined) return Exit.succeed(false)
      if (known !== undefined && Buffer.compare(own, known) === 0) return Exit.succeed(true)
      const isKnown = Settled.map(decode(own, wanted.name, structures), (descriptor) => {
        const same = isSame(descriptor)
        if (same) known = own
        return same
      })
      return Settled.catchError(isKnown, (error) =>
        error._tag === "EngineFailure" ? Exit.fail(error) : Exit.succeed(false))
    })
}
