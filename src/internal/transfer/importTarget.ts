/**
 * Where the records of an import go: the databases of a place, and the indexes that its records are entered into.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Reader } from "../../Backend.ts"
import { CollectionFailed } from "../../CollectionError.ts"
import type { EngineFailure } from "../../StoreError.ts"
import type { Place } from "../../StoreInspection.ts"
import * as Catalog from "../collection/catalog.ts"
import type { IndexEntry } from "../collection/collectionRecord.ts"
import * as IndexMaintainer from "../collection/indexMaintainer.ts"
import type * as StructureTable from "../commit/structureTable.ts"
import { catalogDatabase, collectionDatabase, indexDatabase } from "../databases.ts"
import { databaseOf } from "../inspect/place.ts"
import * as JsonForm from "../value/jsonForm.ts"
import type { RecordLine } from "./transferLine.ts"

/** A place that records are imported into. */
export interface ImportTarget {
  readonly maintainer: IndexMaintainer.IndexMaintainer
  /** Returns the index entries of a record in this store, or says why it has none. */
  readonly entriesOf: (entries: RecordLine["entries"]) => ReadonlyArray<IndexEntry> | string
}

/** The target of the records of a store or a namespace, which have no indexes. */
const plainTarget = (place: Place): ImportTarget => ({
  maintainer: IndexMaintainer.make({ database: databaseOf(place), indexes: new Map() }),
  entriesOf: (entries = []) => entries.length === 0 ? entries : "only a collection has indexes"
})

/** The target of a dry run that would create the collection: it has no records and no index entries. */
const newTarget = (place: Place): ImportTarget => ({ ...plainTarget(place), entriesOf: () => [] })

/** Returns the slot in this store of an index that a line names: by the index itself, or by its slot in the exported store. */
const slotFinder = (stored: Catalog.Descriptor, exported: Catalog.Descriptor | undefined) => {
  const slots = new Map(Catalog.allIndexes(stored).map((index) => [Catalog.slotOf(index), Catalog.slotOf(index)]))
  const byName = new Map(stored.indexes.map((index) => [index[0], Catalog.slotOf(index)]))
  for (const index of exported?.indexes ?? []) {
    const slot = byName.get(index[0])
    if (slot !== undefined && !slots.has(Catalog.slotOf(index))) slots.set(Catalog.slotOf(index), slot)
  }
  return (name: string): string | undefined => slots.get(name) ?? byName.get(name)
}

const collectionTarget = (
  name: string,
  stored: Catalog.Descriptor,
  exported: Catalog.Descriptor | undefined
): ImportTarget => {
  const find = slotFinder(stored, exported)
  const indexes = Catalog.allIndexes(stored).map((index) => ({
    name: index[0],
    slot: Catalog.slotOf(index),
    database: indexDatabase(name, Catalog.slotOf(index)),
    isUnique: Catalog.isUnique(index)
  }))
  return {
    maintainer: IndexMaintainer.make({
      database: collectionDatabase(name),
      indexes: new Map(indexes.map((index) => [index.slot, index]))
    }),
    entriesOf: (entries) => {
      if (entries === undefined) {
        return indexes.length === 0
          ? []
          : `the collection "${name}" has indexes, and the line has no "indexes"; import it through its schema (--schema)`
      }
      const found: Array<IndexEntry> = []
      for (const [index, key] of entries) {
        const slot = find(index)
        if (slot === undefined) return `the collection "${name}" has no index "${index}"`
        found.push([slot, key])
      }
      return found
    }
  }
}

/** The entries of a catalog, as the lines of the import say them and as the store has them. */
interface CatalogSource {
  /** The collections whose schemas are known. A dry run cannot create those that the store does not have. */
  readonly typed?: { readonly has: (name: string) => boolean }
  readonly reader: Reader
  readonly structures: StructureTable.StructureTable
  /** The definitions in the lines that were read, by the names of the collections. */
  readonly exported: ReadonlyMap<string, Catalog.Descriptor>
}

/** Reads the catalog entry of a collection; `undefined` if it has none. */
const readEntry = (
  { reader, structures }: CatalogSource,
  name: string
): Effect.Effect<Catalog.Descriptor | string | undefined, EngineFailure> =>
  Effect.catchTag(
    Catalog.read(reader, name, structures),
    "CollectionFailed",
    (error: CollectionFailed) => Effect.succeed(error.message)
  )

/** Finds the target of a place, or says why the store cannot take its records. */
export const find = (
  source: CatalogSource,
  place: Place
): Effect.Effect<ImportTarget | string, EngineFailure> => {
  if (place._tag !== "Collection") return Effect.succeed(plainTarget(place))
  const exported = source.exported.get(place.name)
  return Effect.map(readEntry(source, place.name), (entry) => {
    // A dry run has not written the entry.
    const stored = entry ?? exported
    if (typeof stored === "string") return stored
    if (stored === undefined && source.typed?.has(place.name) === true) return newTarget(place)
    return stored === undefined
      ? `the store has no collection "${place.name}", and no line before defines it; import it through its schema (--schema)`
      : collectionTarget(place.name, stored, exported)
  })
}

const isSame = (a: Catalog.Descriptor, b: Catalog.Descriptor): boolean =>
  JSON.stringify(JsonForm.toJson(a)) === JSON.stringify(JsonForm.toJson(b))

/** Says why records of a collection cannot be added to the collection of this name in the store. */
const differenceFrom = (name: string, stored: Catalog.Descriptor, exported: Catalog.Descriptor): string | undefined => {
  if (isSame(stored, exported)) return undefined
  const different = (what: string) =>
    `the store has a collection "${name}" ${what}; import it through its schema (--schema)`
  if (stored.version !== exported.version) return different(`of version ${stored.version}, not ${exported.version}`)
  const isChanging = [stored, exported].some(({ building, migratedTo }) =>
    building !== undefined || migratedTo !== undefined
  )
  if (isChanging) return different("that is being migrated or indexed")
  const { fingerprint, programs = [] } = stored
  const known = exported.fingerprint === fingerprint || programs.includes(exported.fingerprint)
  if (!known) return different("with another schema")
  return Catalog.hasSame(stored.indexes, exported.indexes) ? undefined : different("with other indexes")
}

/** Decides what to do with the definition of a collection: write it, nothing, or refuse it. */
export const define = (
  source: CatalogSource,
  name: string,
  exported: Catalog.Descriptor
): Effect.Effect<"write" | "keep" | { readonly refused: string }, EngineFailure> =>
  Effect.map(readEntry(source, name), (entry) => {
    if (entry === undefined) return "write"
    const refused = typeof entry === "string" ? entry : differenceFrom(name, entry, exported)
    return refused === undefined ? "keep" : { refused }
  })

/** The databases of a collection that a definition describes. */
export const databasesOf = (name: string, definition: Catalog.Descriptor): ReadonlyArray<string> => [
  catalogDatabase,
  collectionDatabase(name),
  ...Catalog.databasesOf(name, Catalog.allIndexes(definition))
]

/** Reads the definition in a line. */
export const definitionOf = (stored: unknown): Catalog.Descriptor | undefined =>
  Option.getOrUndefined(Catalog.parse(stored))
