/** `scan`: the records of a range, in the order of their keys. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Inspect from "../../../Inspect.ts"
import type { OrderedKey } from "../../../KeySchema.ts"
import { Usage } from "../failures.ts"
import * as Keys from "../keys.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import { placeNames } from "../placeNames.ts"
import * as SchemaModule from "../schemaModule.ts"
import * as Shown from "../shown.ts"
import type { Column } from "../table.ts"

const parameters = {
  store: Parameters.store,
  place: Parameters.place,
  schema: SchemaModule.schema,
  index: Flag.String("index").pipe(
    Flag.withDescription("Read in the order of this index; the bounds are index keys"),
    Flag.withMetavar("name"),
    Flag.optional
  ),
  bounds: Parameters.bounds,
  reverse: Parameters.flag("reverse", "From the last key to the first"),
  limit: Parameters.limit,
  offset: Flag.Int("offset").pipe(
    Flag.withDescription("How many records are skipped"),
    Flag.filter((offset) => offset >= 0, () => "a number of at least 0"),
    Flag.withDefault(0)
  ),
  keysOnly: Parameters.flag("keys", "Only the keys"),
  count: Parameters.flag("count", "Only the number of records")
}

/** A stored record, with its index key if an index is read. */
interface Found {
  readonly indexKey: OrderedKey | undefined
  readonly key: OrderedKey
  readonly record: Inspect.StoredRecord | undefined
}

/** The same, as it is shown. */
interface Row {
  readonly indexKey: OrderedKey | undefined
  readonly key: OrderedKey
  readonly record: Shown.Shown | undefined
}

const foundOf = (record: Inspect.StoredRecord): Found => ({ indexKey: undefined, key: record.key, record })

type FoundStream = ReturnType<typeof Inspect.entries>

/** What is read: the records of a place, or those of an index. */
interface Source {
  readonly examples: Keys.Examples
  readonly read: (
    range: Inspect.StoredRange
  ) => Stream.Stream<Found, Stream.Error<FoundStream>, Stream.Services<FoundStream>>
}

const sourceOf = Effect.fnUntraced(function*(place: Inspect.Place, index: Option.Option<string>) {
  if (Option.isNone(index)) {
    return {
      examples: yield* Keys.examplesOf(place),
      read: (range) => Stream.map(Inspect.records(place, range), foundOf)
    } satisfies Source
  }
  if (place._tag !== "Collection") return yield* new Usage({ message: "--index needs --collection." })
  return {
    examples: yield* Keys.indexExamplesOf(place.name, index.value),
    read: (range) => Inspect.entries(place.name, index.value, range)
  } satisfies Source
})

const columnsOf = (hasIndex: boolean, keysOnly: boolean): ReadonlyArray<Column<Row>> => [
  ...(hasIndex
    ? [{ name: "INDEX KEY", get: ({ indexKey }: Row) => indexKey === undefined ? "" : Keys.show(indexKey) }]
    : []),
  { name: "KEY", get: ({ key }) => Keys.show(key) },
  ...(keysOnly
    ? []
    : [{
      name: "VALUE",
      get: ({ record }: Row) => record === undefined ? "(no such record)" : Shown.valueText(record)
    }])
]

const toJson = (keysOnly: boolean) => ({ indexKey, key, record }: Row): Output.JsonForm => {
  const ofIndex = indexKey === undefined ? {} : { indexKey: Inspect.keyToJson(indexKey) }
  if (keysOnly) return indexKey === undefined ? Inspect.keyToJson(key) : { ...ofIndex, key: Inspect.keyToJson(key) }
  return record === undefined
    ? { ...ofIndex, key: Inspect.keyToJson(key), error: "the index has an entry for a record that does not exist" }
    : { ...ofIndex, ...Shown.recordJson(record) }
}

/** Whether a store has no records of its own: the user may have forgotten to name a collection. */
const hint = Effect.gen(function*() {
  const names = yield* placeNames
  return names === "" ? "No records." : `The store itself has no records. It has: ${names}`
})

type Given = {
  readonly place: Parameters.PlaceParameters
  readonly schema: Option.Option<string>
  readonly index: Option.Option<string>
  readonly bounds: Parameters.BoundParameters
  readonly reverse: boolean
  readonly limit: number
  readonly offset: number
  readonly keysOnly: boolean
  readonly count: boolean
}

const handle = Effect.fnUntraced(function*(given: Given) {
  const { index, keysOnly, limit, offset, reverse } = given
  const output = yield* Output.make
  const place = yield* Parameters.placeOf(given.place)
  const presentation = yield* SchemaModule.presentationOf(given.schema, place)
  const source = yield* sourceOf(place, index)
  const bounds = yield* Keys.rangeOf(given.bounds, source.examples)
  if (given.count) {
    const count = yield* Stream.runCount(source.read({ ...bounds, values: false }))
    return yield* output.write(`${count}\n`)
  }

  const isLimited = limit !== Infinity
  const found = source.read({
    ...bounds,
    reverse,
    offset,
    values: !keysOnly,
    // One record more tells whether the limit has left some out.
    ...(isLimited ? { limit: limit + 1 } : {})
  })
  let read = 0
  const rows = Stream.filter(found, () => ++read <= limit).pipe(
    Stream.mapEffect(({ indexKey, key, record }): Effect.Effect<Row> =>
      record === undefined
        ? Effect.succeed({ indexKey, key, record })
        : Effect.map(presentation.record(record), (shown) => ({ indexKey, key, record: shown }))
    )
  )
  yield* Output.writeList(output, rows, {
    columns: columnsOf(Option.isSome(index), keysOnly),
    toJson: toJson(keysOnly)
  })
  if (read > limit) yield* output.note(`There are more: ${limit} shown. Use --limit to see more, or --limit=all.`)
  if (read === 0 && offset === 0) yield* output.note(place._tag === "Store" ? yield* hint : "No records.")
})

/** The command. */
export const command = Command.make("scan", parameters, (given) => withStore(given.store, handle(given))).pipe(
  Command.withExamples([
    { command: "effect-lmdb scan ./data/cities -c cities --limit 5", description: "The first records of a collection" },
    {
      command: "effect-lmdb scan ./data/cities -c cities --index byCountry --prefix IS --limit 5",
      description: "By an index: the cities of Iceland"
    },
    {
      command:
        `effect-lmdb scan ./data/cities -c cities --index byCountry --gte '["IS",100000]' --lt '["IT"]' --ndjson`,
      description: "A range of tuples, as lines of JSON"
    },
    {
      command: "effect-lmdb scan ./data/cities -c cities --index byName --prefix Reyk --count",
      description: "How many begin so"
    }
  ])
)
