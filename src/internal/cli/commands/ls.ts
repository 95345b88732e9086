/** `ls`: what a store contains. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Inspect from "../../../Inspect.ts"
import * as Format from "../format.ts"
import { jsonText } from "../jsonText.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import type { Column } from "../table.ts"

/** A line of the list. */
interface Item {
  readonly name: string
  readonly what: string
  readonly records: number
  readonly keys: string
  readonly version: string
  readonly bytes: number | undefined
  readonly json: object
}

const indexItem = (index: Inspect.IndexInfo, collection: string): Item => ({
  name: `  ${index.name}`,
  what: `${index.isUnique ? "unique " : ""}index${index.isBuilding ? ", being built" : ""}`,
  records: index.entries,
  keys: index.keyKinds.join(" | "),
  version: String(index.version),
  bytes: index.bytes,
  json: { what: "index", collection, ...index }
})

const collectionItems = (collection: Inspect.CollectionInfo): ReadonlyArray<Item> => {
  const { bytes, indexes, isInternal, keyKinds, migratingTo, name, problem, records, version } = collection
  return [
    {
      name,
      what: problem === undefined ? `collection${isInternal ? " of a port" : ""}` : "unreadable collection",
      records,
      keys: keyKinds.join(" | "),
      version: version === undefined ? "" : `${version}${migratingTo === undefined ? "" : ` to ${migratingTo}`}`,
      bytes,
      json: { what: "collection", ...collection, indexes: indexes.map((index) => index.name) }
    },
    ...indexes.map((index) => indexItem(index, name))
  ]
}

const itemsOf = ({ bytes, collections, namespaces, records }: Inspect.Contents): ReadonlyArray<Item> => [
  ...(records === 0 && collections.length + namespaces.length > 0 ? [] : [{
    name: "(store)",
    what: "store",
    records,
    keys: records === 0 ? "" : "string",
    version: "",
    bytes,
    json: { what: "store", records, bytes }
  }]),
  ...namespaces.map((namespace): Item => ({
    ...namespace,
    what: "namespace",
    keys: namespace.records === 0 ? "" : "string",
    version: "",
    json: { what: "namespace", ...namespace }
  })),
  ...collections.flatMap(collectionItems)
]

const columns: ReadonlyArray<Column<Item>> = [
  { name: "NAME", get: ({ name }) => name },
  { name: "WHAT", get: ({ what }) => what },
  { name: "RECORDS", get: ({ records }) => Format.number(records), isNumber: true },
  { name: "KEYS", get: ({ keys }) => keys },
  { name: "VERSION", get: ({ version }) => version, isNumber: true },
  { name: "SIZE", get: ({ bytes }) => Format.bytes(bytes), isNumber: true }
]

/** The command. */
export const command = Command.make(
  "ls",
  { store: Parameters.store },
  Effect.fnUntraced(function*({ store }) {
    const output = yield* Output.make
    const contents = yield* withStore(store, Inspect.contents)
    if (output.settings.format === "json") return yield* output.write(`${jsonText(contents, 2)}\n`)
    yield* Output.writeList(output, Stream.fromIterable(itemsOf(contents)), { columns, toJson: (item) => item.json })
  })
).pipe(
  Command.withExamples([
    { command: "effect-lmdb ls ./data/cities", description: "List collections and indexes with their sizes" },
    { command: "effect-lmdb ls ./data/cities --json", description: "The same as one JSON document" }
  ])
)
