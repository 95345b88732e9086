/**
 * The catalog of a store: what the database `collections` says of each collection.
 *
 * It says which version and which indexes a collection has, and how far the work on it has
 * come. A part of the work and what is said of it are one transaction: after a crash the
 * work goes on from there, and of two processes that work on a collection each goes on from
 * where the other is.
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

/** The fingerprint of a version that no program has opened. */
export const unknownFingerprint = ""

/**
 * An index that is stored: its name, its fingerprint, and its place where that is not its
 * name. Two places of one name let an index be built while the one before it is in use.
 */
const StoredIndex = Schema.Tuple([Schema.String, Schema.String, Schema.optionalKey(Schema.String)])

/** An index that is stored. */
export type StoredIndex = typeof StoredIndex.Type

/** A record that cannot be in a unique index, because another one has its key there. */
const StoredDuplicate = Schema.Struct({
  index: Schema.String,
  indexKey: Schema.String,
  key: Schema.String,
  holder: Schema.String
})

/** A record that cannot be in a unique index. */
export type StoredDuplicate = typeof StoredDuplicate.Type

const Building = Schema.Struct({
  /** The indexes that there are when those that are being built are. */
  indexes: Schema.Array(StoredIndex),
  /** The last key that they are built to. */
  to: Schema.optionalKey(Schema.String),
  /** The first duplicates that were found, and how many there were. */
  duplicates: Schema.optionalKey(Schema.Array(StoredDuplicate)),
  duplicateCount: Schema.optionalKey(Schema.Number)
})

/** What is stored about the building of indexes. */
export type Building = typeof Building.Type

const Descriptor = Schema.Struct({
  version: Schema.Number,
  /** The fingerprint of the schemas that were the last to change `shape`. */
  fingerprint: Schema.String,
  /**
   * The shape of what may be stored, of all programs that have written. There is none where that is not known: in
   * files of earlier versions of the package, and while a collection is migrated.
   */
  shape: Schema.optionalKey(Schema.Unknown),
  /** The fingerprints of all schemas that have opened this version, where they are several: each may open it again. */
  programs: Schema.optionalKey(Schema.Array(Schema.String)),
  /** The indexes that are built. */
  indexes: Schema.Array(StoredIndex),
  /** The last key that the migration from `version` has come to. Until its first part is done there is none. */
  migratedTo: Schema.optionalKey(Schema.String),
  /** The fingerprint of the version that this migration leads to. */
  migratingTo: Schema.optionalKey(Schema.String),
  /** Whether this migration gave values with fields that its schema does not have, and that could not be left out. */
  hasOtherFields: Schema.optionalKey(Schema.Boolean),
  building: Schema.optionalKey(Building)
})

/** What is stored about a collection. */
export type Descriptor = typeof Descriptor.Type

const decodeDescriptor = Schema.decodeUnknownOption(Descriptor)

/** What of a definition the catalog is compared with. */
export interface Wanted {
  readonly name: string
  readonly version: number
  readonly fingerprint: string
  /** The shape of what the program writes; `undefined` where its schema has too many parts. */
  readonly shape: StoredShape.StoredShape | undefined
  readonly indexes: ReadonlyArray<StoredIndex>
}

const keyOf = (name: string): ByteString => fromBytes(Buffer.from(name))

/** The place of an index that is stored. */
export const placeOf = ([name, , place]: StoredIndex): string => place ?? name

/** Whether two are the same index, whatever their places. */
const isSameIndex = ([a, fingerprint]: StoredIndex, [b, other]: StoredIndex): boolean =>
  a === b && fingerprint === other

/** Whether the first has every index of the second. */
export const hasAll = (stored: ReadonlyArray<StoredIndex>, wanted: ReadonlyArray<StoredIndex>): boolean =>
  wanted.every((index) => stored.some((other) => isSameIndex(index, other)))

/** Whether two have the same indexes, whatever their places. */
export const hasSame = (a: ReadonlyArray<StoredIndex>, b: ReadonlyArray<StoredIndex>): boolean =>
  a.length === b.length && hasAll(a, b)

const hasSamePlaces = (a: ReadonlyArray<StoredIndex>, b: ReadonlyArray<StoredIndex>): boolean =>
  hasSame(a, b) && a.every((index) => b.some((other) => index[0] === other[0] && placeOf(index) === placeOf(other)))

/** The names of the databases of indexes that are stored. */
export const databasesOf = (collection: string, indexes: ReadonlyArray<StoredIndex>): ReadonlyArray<string> =>
  indexes.map((index) => indexDatabase(collection, placeOf(index)))

/** The place of an index that is not built yet: the one that is not in use. */
const freePlaceOf = (name: string, built: ReadonlyArray<StoredIndex>): StoredIndex[2] =>
  built.some((index) => placeOf(index) === name) ? `${name}/2` : undefined

/** The indexes of a definition with their places: those that are built where they are, but for some, and others in a free place. */
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
    reason: { _tag: "NewerVersion", detail: "what is stored about it is not known to this version of the package." },
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

/** Reads what is stored about a collection. */
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

/** The write that stores what there is to say about a collection. */
export const toWrite = (
  collection: string,
  descriptor: Descriptor,
  structures: StructureTable.StructureTable
): Write => [
  catalogDatabase,
  keyOf(collection),
  Result.getOrThrow(StructureTable.encode(structures, descriptor))
]

/** Is stored where more may be stored than a shape can say: then only the same schemas are accepted. */
const noShape = "none"

const shapeOf = ({ shape }: Descriptor): StoredShape.StoredShape | undefined =>
  Option.getOrUndefined(StoredShape.decode(shape))

/** Whether a program with these schemas has opened the collection before, or nothing is known of those that have. */
const hasOpened = ({ fingerprint, programs = [] }: Descriptor, wanted: Wanted): boolean =>
  fingerprint === wanted.fingerprint || fingerprint === unknownFingerprint || programs.includes(wanted.fingerprint)

/** Says why a program may not decode all that is stored under its version; `undefined` where it does. */
const differenceFrom = ({ fingerprint, shape, version }: Wanted, stored: Descriptor): string | undefined => {
  if (stored.fingerprint === fingerprint || stored.fingerprint === unknownFingerprint) return undefined
  const storedShape = shapeOf(stored)
  return storedShape === undefined || shape === undefined
    ? `its schemas are not those of version ${version}`
    : ShapeComparison.difference(storedShape, shape)
}

/** Says which values may be stored that a program does not decode, although it opens the collection. */
export const undecodable = (wanted: Wanted, stored: Descriptor): string | undefined =>
  stored.version === wanted.version && hasOpened(stored, wanted) ? differenceFrom(wanted, stored) : undefined

/** The shape of what is stored once a program writes too; the same where that changes nothing. */
const shapeAfter = (
  stored: Descriptor,
  known: StoredShape.StoredShape,
  { fingerprint, shape }: Wanted
): StoredShape.StoredShape | typeof noShape => {
  if (shape === undefined) return noShape
  // The same schemas but for their checks: those of the program count, as a program has always been free to change them.
  if (fingerprint === stored.fingerprint && ShapeComparison.hasSameParts(known, shape)) {
    return ShapeComparison.covers(known, shape) && ShapeComparison.covers(shape, known) ? known : shape
  }
  return ShapeComparison.widened(known, shape) ?? noShape
}

/** What is stored of a collection once a program that may open it writes too; the same where that changes nothing. */
export const widened = (wanted: Wanted, stored: Descriptor): Descriptor => {
  const { fingerprint, shape, version } = wanted
  if (stored.fingerprint === unknownFingerprint) return { ...stored, fingerprint }
  const known = shapeOf(stored)
  if (known === undefined) {
    // An earlier version of the package stored no shape. Values that a migration wrote may have other fields.
    return stored.shape === undefined && shape !== undefined && version === 1 ? { ...stored, shape } : stored
  }
  const next = shapeAfter(stored, known, wanted)
  const programs = hasOpened(stored, wanted)
    ? {}
    : { programs: [...(stored.programs ?? [stored.fingerprint]), fingerprint] }
  if (next === known) return hasOpened(stored, wanted) ? stored : { ...stored, ...programs }
  return { ...stored, ...programs, fingerprint, shape: next }
}

/** Fails where a program may not open a collection, whatever it would do to it. */
export const check = (wanted: Wanted, stored: Descriptor): Effect.Effect<void, CollectionFailed> => {
  const { fingerprint, name, version } = wanted
  const refuse = (reason: "NewerVersion" | "ChangedSchema", detail: string) =>
    Effect.fail(new CollectionFailed({ reason: { _tag: reason, detail }, collection: name }))
  const next = stored.version + 1
  if (stored.version > version) {
    return refuse(
      "NewerVersion",
      `it has version ${stored.version}, the program knows ${version}; ` +
        `deploy a program of version ${stored.version}, or restore a backup.`
    )
  }
  if (stored.migratedTo !== undefined) {
    if (stored.version === version) {
      return refuse(
        "NewerVersion",
        `a migration to version ${next} has started, and the program knows ${version}; ` +
          `deploy a program of version ${next} again, which goes on with the migration, or restore a backup.`
      )
    }
    const target = stored.migratingTo ?? unknownFingerprint
    if (next === version && target !== unknownFingerprint && target !== fingerprint) {
      return refuse(
        "ChangedSchema",
        `a migration to version ${next} has started with other schemas of version ${next}; ` +
          `go on with those schemas, or restore a backup. Schemas that are corrected need version ${next + 1}.`
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

/** Whether what a program writes may be stored already. Then a program with wider schemas does not stop it. */
const permits = (stored: Descriptor, wanted: Wanted): boolean => {
  if (hasOpened(stored, wanted)) return true
  const { shape } = wanted
  const known = shapeOf(stored)
  return known !== undefined && shape !== undefined && ShapeComparison.covers(known, shape)
}

/**
 * Makes what tells, inside of a transaction, whether a collection is still as a definition
 * found it: no other process has begun to migrate it, or to build other indexes.
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
