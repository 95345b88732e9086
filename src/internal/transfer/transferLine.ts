/**
 * The lines of an export, and their JSON form. `docs/cli.md` describes the form.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ByteString } from "../../Key.ts"
import type { Place } from "../../StoreInspection.ts"
import type { IndexEntry } from "../collection/collectionRecord.ts"
import * as KeyJson from "../key/keyJson.ts"
import * as JsonForm from "../value/jsonForm.ts"

type Json = Schema.Json

/** The first line: which version of the form follows. */
interface HeaderLine {
  readonly _tag: "Header"
}

/** A namespace. It may be empty. */
interface NamespaceLine {
  readonly _tag: "Namespace"
  readonly name: string
}

/** A collection with its entry in the catalog: its version, shape and indexes. */
export interface CollectionLine {
  readonly _tag: "Collection"
  readonly name: string
  /** The entry as it is stored. */
  readonly definition: unknown
}

/** A record. */
export interface RecordLine {
  readonly _tag: "Record"
  readonly place: Place
  readonly key: ByteString
  readonly value: unknown
  /** When it expires, in milliseconds since 1970. */
  readonly expires: number | undefined
  /** Its entries in indexes. `undefined`: the line does not say them. */
  readonly entries: ReadonlyArray<IndexEntry> | undefined
}

/** A record whose value does not decode. It is exported so that somebody can look at it, and cannot be imported. */
interface DamagedLine {
  readonly _tag: "Damaged"
  readonly place: Place
  readonly key: ByteString
  readonly detail: string
  readonly bytes: Uint8Array
}

/** A line. */
export type Line = HeaderLine | NamespaceLine | CollectionLine | RecordLine | DamagedLine

/** The name of the form in the first line, and its version. */
const formName = "effect-lmdb"
const formVersion = 1

type Fields = { readonly [name: string]: Json }

// -----------------------------------------------------------------------------
// To JSON
// -----------------------------------------------------------------------------

const placeFields = (place: Place): Fields => {
  switch (place._tag) {
    case "Store":
      return {}
    case "Namespace":
      return { namespace: place.name }
    case "Collection":
      return { collection: place.name }
  }
}

const keyToJson = (place: Place, key: ByteString): Json =>
  place._tag === "Collection" ? KeyJson.orderedKeyToJson(key) : KeyJson.storeKeyToJson(key)

/** Says which record exists, and what an import can do with it. */
export const existsDetail = ({ key, place }: RecordLine): string => {
  const where = place._tag === "Store" ? "" : ` in the ${place._tag.toLowerCase()} "${place.name}"`
  const shown = JSON.stringify(keyToJson(place, key))
  return `a record with the key ${shown} exists${where} (--mode put replaces it, --mode skip keeps it)`
}

/** The latest time that a `Date` can have. */
const latestTime = 8.64e15

const timeToJson = (time: number): Json => time > latestTime ? time : new Date(time).toISOString()

const entriesToJson = (entries: ReadonlyArray<IndexEntry>): Json => {
  const keys = new Map<string, Array<Json>>()
  for (const [slot, key] of entries) {
    const json = KeyJson.orderedKeyToJson(key)
    const ofSlot = keys.get(slot)
    if (ofSlot === undefined) keys.set(slot, [json])
    else ofSlot.push(json)
  }
  return Object.fromEntries(keys)
}

const valueToJson = (value: unknown): Json =>
  Result.getOrThrowWith(JsonForm.toJson(value), (detail) => new Error(detail))

/** Converts a line. All values that a store contains have a JSON form. */
export const toJson = (line: Line): Fields => {
  switch (line._tag) {
    case "Header":
      return { [formName]: formVersion }
    case "Namespace":
      return { namespace: line.name }
    case "Collection":
      return { collection: line.name, definition: valueToJson(line.definition) }
    case "Record":
      return {
        ...placeFields(line.place),
        key: keyToJson(line.place, line.key),
        value: valueToJson(line.value),
        ...(line.expires === undefined ? {} : { expires: timeToJson(line.expires) }),
        ...(line.entries === undefined ? {} : { indexes: entriesToJson(line.entries) })
      }
    case "Damaged":
      return {
        ...placeFields(line.place),
        key: keyToJson(line.place, line.key),
        damaged: line.detail,
        bytes: Buffer.from(line.bytes).toString("base64")
      }
  }
}

// -----------------------------------------------------------------------------
// From JSON
// -----------------------------------------------------------------------------

type Checked<A> = Result.Result<A, string>

/** The fields of all lines, in the order in which CSV has them. */
export const fieldNames = [
  "collection",
  "namespace",
  "key",
  "value",
  "expires",
  "indexes",
  "definition",
  "damaged",
  "bytes",
  formName
] as const

const isFields = (json: Json): json is Fields => typeof json === "object" && json !== null && !Array.isArray(json)

const isList = (json: Json | undefined): json is ReadonlyArray<Json> => Array.isArray(json)

const placeOf = ({ collection, namespace }: Fields): Checked<Place> => {
  if (collection !== undefined && namespace !== undefined) {
    return Result.fail("it has a collection and a namespace; leave one of them out")
  }
  const name = collection ?? namespace
  if (name === undefined) return Result.succeed({ _tag: "Store" })
  if (typeof name !== "string") return Result.fail("the name of a collection or a namespace must be text")
  return Result.succeed({ _tag: collection === undefined ? "Namespace" : "Collection", name })
}

const inField = (name: string) => <A>(checked: Checked<A>): Checked<A> =>
  Result.mapError(checked, (detail) => `${name}: ${detail}`)

const timeFrom = (json: Json | undefined): Checked<number | undefined> => {
  if (json === undefined) return Result.succeed(undefined)
  if (typeof json === "number" && Number.isSafeInteger(json) && json >= 0) return Result.succeed(json)
  return inField("expires")(
    Result.flatMap(JsonForm.fromJson({ $date: json }), (date) =>
      date instanceof Date && date.getTime() >= 0
        ? Result.succeed(date.getTime())
        : Result.fail("it must be a time since 1970, or a number of milliseconds"))
  )
}

const entriesFrom = (json: Json | undefined): Checked<ReadonlyArray<IndexEntry> | undefined> => {
  if (json === undefined) return Result.succeed(undefined)
  if (!isFields(json)) return Result.fail("indexes: it must be an object with an array of keys for each index")
  const entries = Object.entries(json).map(([slot, keys]): Checked<ReadonlyArray<IndexEntry>> =>
    isList(keys)
      ? inField(`indexes.${slot}`)(Result.all(
        keys.map((key) => Result.map(KeyJson.orderedKeyFromJson(key), (bytes): IndexEntry => [slot, bytes]))
      ))
      : Result.fail(`indexes.${slot}: it must be an array of keys`)
  )
  return Result.map(Result.all(entries), (all) => all.flat())
}

const recordFrom = (fields: Fields, place: Place, key: Json): Checked<Line> =>
  Result.gen(function*() {
    const from = place._tag === "Collection" ? KeyJson.orderedKeyFromJson : KeyJson.storeKeyFromJson
    const keyBytes = yield* inField("key")(from(key))
    const { bytes, damaged, value } = fields
    if (damaged !== undefined) {
      const content = Buffer.from(typeof bytes === "string" ? bytes : "", "base64")
      return {
        _tag: "Damaged",
        place,
        key: keyBytes,
        detail: typeof damaged === "string" ? damaged : JSON.stringify(damaged),
        bytes: content
      }
    }
    if (value === undefined) return yield* Result.fail("it has a key and no value")
    return {
      _tag: "Record",
      place,
      key: keyBytes,
      value: yield* inField("value")(JsonForm.fromJson(value)),
      expires: yield* timeFrom(fields["expires"]),
      entries: yield* entriesFrom(fields["indexes"])
    }
  })

const headerFrom = (version: Json): Checked<Line> =>
  version === formVersion
    ? Result.succeed({ _tag: "Header" })
    : Result.fail(
      `it is an export of version ${JSON.stringify(version)}, and this program reads version ${formVersion}`
    )

/** Converts the JSON of a line, or says what is wrong. */
export const fromJson = (json: Json): Checked<Line> => {
  if (!isFields(json)) return Result.fail("it must be an object")
  const unknown = Object.keys(json).find((name) => !fieldNames.some((known) => known === name))
  if (unknown !== undefined) return Result.fail(`there is no field "${unknown}"`)
  const version = json[formName]
  if (version !== undefined) return headerFrom(version)
  return Result.flatMap(placeOf(json), (place): Checked<Line> => {
    const { definition, key } = json
    if (key !== undefined) return recordFrom(json, place, key)
    if (place._tag === "Collection" && definition !== undefined) {
      return Result.map(
        inField("definition")(JsonForm.fromJson(definition)),
        (stored): Line => ({ _tag: "Collection", name: place.name, definition: stored })
      )
    }
    return place._tag === "Namespace" ? Result.succeed(place) : Result.fail("it has no key")
  })
}
