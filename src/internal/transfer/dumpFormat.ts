/**
 * The text format of LMDB's `mdb_dump`: the stored bytes of each database in hexadecimal digits, which `mdb_load` reads.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { ByteString, fromBytes } from "../../Key.ts"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import type { Place } from "../../StoreInspection.ts"
import {
  catalogDatabase,
  changeLogDatabase,
  expiryDatabase,
  hasEntries,
  hasRecords,
  indexDatabases,
  metaDatabase,
  structuresDatabase
} from "../databases.ts"
import { databaseOf } from "../inspect/place.ts"
import * as ExpiryEntries from "../reader/expiryEntries.ts"
import type { StoredRecord } from "../store/recordStream.ts"
import type * as StoreAccess from "../store/storeAccess.ts"
import { type ExportSource, type LinesOptions, makeSource, recordsOf } from "./exportLines.ts"
import * as FileLines from "./fileLines.ts"
import type { ImportItem, ImportLine } from "./importLines.ts"
import * as ImportProgress from "./importProgress.ts"

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

const hex = (text: string | Uint8Array): string =>
  (typeof text === "string" ? Buffer.from(text, "latin1") : Buffer.from(text.buffer, text.byteOffset, text.byteLength))
    .toString("hex")

const header = (database: string, mapSize: number): string =>
  `VERSION=3\nformat=bytevalue\ndatabase=${database}\ntype=btree\nmapsize=${mapSize}\nmaxreaders=126\nHEADER=END\n`

/** The databases that only this package uses, and that mean nothing in another file. */
const isLeftOut = (database: string): boolean => database === metaDatabase || database === changeLogDatabase

/** Selects the records of a database that belong to the given places. */
type Select = (database: string) => ((record: StoredRecord) => boolean) | undefined

const all = (): boolean => true

const isNot = (database: string) => ([key]: StoredRecord): boolean => !ImportProgress.isProgress(database, key)

/** Everything, or the records of some places with what belongs to them. */
const selectOf = (places: ReadonlyArray<Place> | undefined): Select => {
  if (places === undefined) return (database) => isLeftOut(database) ? undefined : isNot(database)
  const databases = new Set(places.map(databaseOf))
  const collections = new Set(places.flatMap((place) => place._tag === "Collection" ? [place.name] : []))
  const indexes = Array.from(collections, indexDatabases)
  return (database) => {
    if (databases.has(database) || indexes.some((prefix) => database.startsWith(prefix))) return all
    switch (database) {
      case structuresDatabase:
        return isNot(database)
      case catalogDatabase:
        return ([key]) => collections.has(Buffer.from(key, "latin1").toString())
      case expiryDatabase:
        return (record) => databases.has(ExpiryEntries.parse(record)?.database ?? "")
      default:
        return undefined
    }
  }
}

/**
 * A database cannot be written as a dump, because its name contains a line break.
 *
 * @category errors
 * @since 0.2.0
 */
export class NotDumpable extends Schema.TaggedError<NotDumpable>("effect-lmdb/NotDumpable")("NotDumpable", {
  /** The name of the database. */
  database: Schema.String
}) {
  /** Says which database it is, and what to do. */
  override get message(): string {
    return `The name of the database ${JSON.stringify(this.database)} has a line break, which a dump cannot express: ` +
      "export as NDJSON"
  }
}

const databaseText = (
  source: ExportSource,
  database: string,
  mapSize: number,
  select: (record: StoredRecord) => boolean
): Stream.Stream<string, Closed | EngineFailure | NotDumpable> => {
  if (/[\r\n]/.test(database)) return Stream.fail(new NotDumpable({ database }))
  const records = recordsOf(source, database).pipe(
    Stream.filter(select),
    Stream.map(([key, value]) => ` ${hex(key)}\n ${hex(value)}\n`)
  )
  return Stream.make(header(database, mapSize)).pipe(Stream.concat(records), Stream.concat(Stream.make("DATA=END\n")))
}

/** The smallest map that `mdb_load` gets. */
const smallestMap = 64 * 2 ** 20

const encoder = new TextEncoder()

/** Writes the databases of a store: the record structures first, because values refer to them. */
export const encode = (
  access: StoreAccess.StoreAccess,
  options: LinesOptions
): Stream.Stream<Uint8Array, Closed | EngineFailure | NotDumpable> =>
  Stream.unwrap(Effect.gen(function*() {
    const { backend } = access.handle.core
    const source = yield* makeSource(access, options.isSnapshot)
    const { usedBytes } = yield* backend.stats
    // Stock LMDB needs more pages for the same records, because its keys and its tree are others.
    const mapSize = Math.max(smallestMap, 4 * usedBytes)
    const select = selectOf(options.places)
    const names = (yield* backend.databases()).filter((name) => name !== structuresDatabase).toSorted()
    return Stream.fromIterable([structuresDatabase, ...names]).pipe(
      Stream.flatMap((database) => {
        const isSelected = select(database)
        return isSelected === undefined ? Stream.empty : databaseText(source, database, mapSize, isSelected)
      }),
      Stream.mapArray((texts) => [encoder.encode(texts.join(""))])
    )
  }))

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

/** The section of a dump that is being read. */
interface Section {
  isInHeader: boolean
  isPrintable: boolean
  database: string
  /** The key whose value is in the next line. */
  key: ByteString | undefined
}

const nothing: Result.Result<ImportLine, string> = Result.succeed({ _tag: "Header" })

const ownDatabases: ReadonlySet<string> = new Set([structuresDatabase, catalogDatabase, expiryDatabase])

const isOurs = (database: string): boolean => hasRecords(database) || hasEntries(database) || ownDatabases.has(database)

/** Reads a line of the header of a section. */
const readHeader = (self: Section, text: string): Result.Result<ImportLine, string> => {
  const [name = "", ...rest] = text.split("=")
  const value = rest.join("=")
  switch (name) {
    case "HEADER":
      self.isInHeader = false
      if (self.database === "" || isLeftOut(self.database)) return nothing
      return isOurs(self.database)
        ? Result.succeed({ _tag: "Database", database: self.database })
        : Result.fail(`"${self.database}" is not a database of this package: the dump is of another program`)
    case "database":
      self.database = value
      return nothing
    case "format":
      self.isPrintable = value === "print"
      return self.isPrintable || value === "bytevalue" ? nothing : Result.fail(`the format "${value}" is not known`)
    case "duplicates":
      return value === "1" ? Result.fail("a database with several values for a key cannot be imported") : nothing
    default:
      return nothing
  }
}

/** Converts the printable form: a backslash with two hexadecimal digits, or a character. */
const fromPrintable = (text: string): Uint8Array =>
  Buffer.from(
    text.replaceAll(/\\(?:([\da-f]{2})|\\)/gi, (_, digits: string | undefined) =>
      digits === undefined ? "\\" : String.fromCharCode(Number.parseInt(digits, 16))),
    "latin1"
  )

const fromHex = (text: string): Uint8Array | undefined =>
  /^(?:[\da-f]{2})*$/i.test(text) ? Buffer.from(text, "hex") : undefined

const readData = (self: Section, text: string): Result.Result<ImportLine, string> => {
  if (text === "DATA=END") {
    const isCut = self.key !== undefined
    Object.assign(self, newSection())
    return isCut ? Result.fail("the section ends after a key without a value") : nothing
  }
  const bytes = self.isPrintable ? fromPrintable(text.slice(1)) : fromHex(text.slice(1))
  if (!text.startsWith(" ") || bytes === undefined) return Result.fail("it must be a space and hexadecimal digits")
  if (self.key === undefined) {
    self.key = fromBytes(bytes)
    return nothing
  }
  const { database, key } = self
  self.key = undefined
  // The names of the databases are in the section without a name.
  return database === "" || isLeftOut(database) ? nothing : Result.succeed({ _tag: "Raw", database, key, value: bytes })
}

const newSection = (): Section => ({ isInHeader: true, isPrintable: false, database: "", key: undefined })

const makeParse = (): FileLines.Parse => {
  const section = newSection()
  return (text) => section.isInHeader ? readHeader(section, text) : readData(section, text)
}

/** Reads a dump. */
export const decode = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<ImportItem, E, R> =>
  FileLines.items(bytes, makeParse)
