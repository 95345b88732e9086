/**
 * Reads a store as the lines of an export.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Reader } from "../../Backend.ts"
import { type ByteString, fromBytes } from "../../Key.ts"
import type { Closed, EngineFailure, ValueDecoding } from "../../StoreError.ts"
import type { Place } from "../../StoreInspection.ts"
import * as Catalog from "../collection/catalog.ts"
import { entriesOf, timeOf, valueOf } from "../collection/collectionRecord.ts"
import * as StructureTable from "../commit/structureTable.ts"
import { catalogDatabase, collectionDatabase, namespaceDatabase } from "../databases.ts"
import { databaseOf } from "../inspect/place.ts"
import { encodings } from "../key/textEncoding.ts"
import * as RangeReader from "../reader/rangeReader.ts"
import { hasEntries } from "../reader/recordLayout.ts"
import * as RecordStream from "../store/recordStream.ts"
import type * as StoreAccess from "../store/storeAccess.ts"
import type { Line } from "./transferLine.ts"

/** What is exported. */
export interface LinesOptions {
  /** Default: everything. */
  readonly places: ReadonlyArray<Place> | undefined
  /** Whether everything is read as it was at one moment. */
  readonly isSnapshot: boolean
}

/** What an export reads. */
export interface ExportSource {
  readonly access: StoreAccess.StoreAccess
  /** Opens the parts of a database, in the order of its keys. */
  readonly open: (
    database: string
  ) => Effect.Effect<
    Pull.Pull<Arr.NonEmptyReadonlyArray<RecordStream.StoredRecord>, Closed | EngineFailure>,
    Closed | EngineFailure,
    Scope.Scope
  >
}

const everything = { from: undefined, to: undefined }

const partsOf = (reader: Reader, database: string) => {
  const next = RangeReader.make(reader, database, { ...everything, reverse: false, values: true })
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<RecordStream.StoredRecord>, EngineFailure> = Effect.flatMap(
    Effect.suspend(next),
    (part) => {
      if (part === undefined) return Cause.done()
      return Arr.isReadonlyArrayNonEmpty(part) ? Effect.succeed(part) : pull
    }
  )
  return pull
}

/** Makes the source of an export: one snapshot, or the current state of each part. */
export const makeSource = Effect.fnUntraced(function*(
  access: StoreAccess.StoreAccess,
  isSnapshot: boolean
): Effect.fn.Return<ExportSource, Closed | EngineFailure, Scope.Scope> {
  if (!isSnapshot) {
    const options = { ...everything, values: true, snapshot: false }
    return { access, open: (database) => RecordStream.open(access, { ...options, database }, RecordStream.itself) }
  }
  const { reader } = yield* RecordStream.acquireSnapshot(access)
  return { access, open: (database) => Effect.succeed(partsOf(reader, database)) }
})

/** Streams the records of a database. */
export const recordsOf = (
  { open }: ExportSource,
  database: string
): Stream.Stream<RecordStream.StoredRecord, Closed | EngineFailure> =>
  Stream.unwrap(Effect.map(open(database), (pull) => Stream.fromPull(Effect.succeed(pull))))

/** Names a key in an error, and the collection or the namespace that it is in. */
const placeOfKey = ({ handle: { keys } }: StoreAccess.StoreAccess, place: Place, key: ByteString) => {
  const bytes = Buffer.from(key, "latin1")
  return {
    key: bytes,
    shownKey: keys.show(bytes),
    ...(place._tag === "Collection" ? { collection: place.name } : {}),
    ...(place._tag === "Namespace" ? { namespace: place.name } : {})
  }
}

const decode = (
  access: StoreAccess.StoreAccess,
  place: Place,
  key: ByteString,
  bytes: Uint8Array
): Effect.Effect<unknown, ValueDecoding | EngineFailure> =>
  StructureTable.decode(access.handle.core.structures, bytes, () => placeOfKey(access, place, key))

const lineOf = (
  access: StoreAccess.StoreAccess,
  place: Place,
  hasIndexes: boolean,
  [key, record]: RecordStream.StoredRecord
): Effect.Effect<Line, EngineFailure> =>
  Effect.map(decode(access, place, key, valueOf(record)), (value): Line => ({
    _tag: "Record",
    place,
    key,
    value,
    expires: timeOf(record),
    entries: hasIndexes || hasEntries(record) ? entriesOf(record) : undefined
  })).pipe(
    Effect.catchTag("ValueDecoding", ({ detail }) =>
      Effect.succeed<Line>({ _tag: "Damaged", place, key, detail, bytes: valueOf(record) }))
  )

const recordLines = (
  source: ExportSource,
  place: Place,
  hasIndexes = false
): Stream.Stream<Line, Closed | EngineFailure> =>
  Stream.mapArrayEffect(
    recordsOf(source, databaseOf(place)),
    (part) => Effect.forEach(part, (record) => lineOf(source.access, place, hasIndexes, record))
  )

/** Streams the lines of a place: what it is, and its records. */
const linesOf = (
  source: ExportSource,
  place: Place,
  definitions: ReadonlyMap<string, Uint8Array>
): Stream.Stream<Line, Closed | EngineFailure | ValueDecoding> => {
  if (place._tag === "Store") return recordLines(source, place)
  if (place._tag === "Namespace") return Stream.concat(Stream.make<[Line]>(place), recordLines(source, place))
  const stored = definitions.get(place.name)
  if (stored === undefined) return recordLines(source, place)
  return Stream.unwrap(Effect.map(
    decode(source.access, place, fromBytes(Buffer.from(place.name)), stored),
    (definition) =>
      Stream.concat(
        Stream.make<[Line]>({ _tag: "Collection", name: place.name, definition }),
        recordLines(source, place, Option.exists(Catalog.parse(definition), Catalog.hasIndexes))
      )
  ))
}

const nameIn = (key: ByteString): string => encodings.utf8.decodeLossy(key, "\ufffd")

/** Reads the catalog: the stored entries of all collections, by their names. */
const readDefinitions = (
  source: ExportSource
): Effect.Effect<ReadonlyMap<string, Uint8Array>, Closed | EngineFailure> =>
  Effect.map(
    Stream.runCollect(recordsOf(source, catalogDatabase)),
    (entries) => new Map(entries.map(([key, entry]) => [nameIn(key), entry]))
  )

const prefixes = { Namespace: namespaceDatabase(""), Collection: collectionDatabase("") }

/** Lists all places of a store that exist: the store itself, its namespaces and its collections. */
const placesOf = (
  databases: ReadonlyArray<string>,
  definitions: ReadonlyMap<string, unknown>
): ReadonlyArray<Place> => {
  const named = (tag: "Namespace" | "Collection") =>
    databases.filter((name) => name.startsWith(prefixes[tag])).map((name) => name.slice(prefixes[tag].length))
  const collections = new Set([...named("Collection"), ...definitions.keys()])
  return [
    { _tag: "Store" },
    ...named("Namespace").toSorted().map((name): Place => ({ _tag: "Namespace", name })),
    ...Array.from(collections).toSorted().map((name): Place => ({ _tag: "Collection", name }))
  ]
}

/** Streams the lines of all places, or of those that are given. */
export const lines = (
  access: StoreAccess.StoreAccess,
  options: LinesOptions
): Stream.Stream<Line, Closed | EngineFailure | ValueDecoding> =>
  Stream.unwrap(Effect.gen(function*() {
    const source = yield* makeSource(access, options.isSnapshot)
    const definitions = yield* readDefinitions(source)
    const places = options.places ?? placesOf(yield* access.handle.core.backend.databases(), definitions)
    return Stream.concat(
      Stream.make<[Line]>({ _tag: "Header" }),
      Stream.flatMap(Stream.fromIterable(places), (place) => linesOf(source, place, definitions))
    )
  }))
