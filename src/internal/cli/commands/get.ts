/** `get`: the values of some keys. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import { Buffer } from "node:buffer"
import * as Inspect from "../../../Inspect.ts"
import type { ValueDecoding } from "../../../StoreError.ts"
import { FileFailed, No, Undecodable, Usage } from "../failures.ts"
import { jsonText } from "../jsonText.ts"
import * as Keys from "../keys.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import { placeNames } from "../placeNames.ts"
import * as SchemaModule from "../schemaModule.ts"
import * as Shown from "../shown.ts"

const parameters = {
  store: Parameters.store,
  keys: Argument.String("key").pipe(
    Argument.withDescription("Key of a record; a tuple is written as JSON"),
    Argument.variadic({ min: 1 })
  ),
  place: Parameters.place,
  schema: SchemaModule.schema,
  raw: Parameters.flag("raw", "Write text and bytes as they are, not as JSON"),
  hex: Parameters.flag("hex", "Write the stored bytes of the value in hexadecimal digits"),
  out: Flag.String("out").pipe(
    Flag.withDescription("Write to this file, not to standard output"),
    Flag.withMetavar("file"),
    Flag.optional
  )
}

/** How values are written. */
interface Form {
  readonly raw: boolean
  readonly hex: boolean
  /** The number of spaces by which JSON is indented. */
  readonly indent: number
  readonly presentation: Shown.Presentation
}

/** The text or the bytes of a value. */
const contentOf = (
  record: Inspect.StoredRecord,
  { hex, indent, presentation, raw }: Form
): Effect.Effect<string | Uint8Array, Usage | Undecodable | ValueDecoding> => {
  if (hex) return Effect.succeed(`${Buffer.from(record.bytes).toString("hex")}\n`)
  return Effect.flatMap(Effect.fromResult(record.value), (value): Effect.Effect<
    string | Uint8Array,
    Usage | Undecodable
  > => {
    if (!raw) {
      return Effect.flatMap(presentation.record(record), (shown) =>
        Effect.fromResult(Result.mapBoth(shown.value, {
          onSuccess: (json) => `${jsonText(json, indent)}\n`,
          onFailure: (message) => new Undecodable({ message: `The value of ${Keys.show(record.key)}: ${message}` })
        })))
    }
    return Predicate.isString(value) || value instanceof Uint8Array
      ? Effect.succeed(value)
      : Effect.fail(
        new Usage({ message: `The value of ${Keys.show(record.key)} is neither text nor bytes: leave out --raw.` })
      )
  })
}

const writeFile = Effect.fnUntraced(function*(file: string, contents: ReadonlyArray<string | Uint8Array>) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.writeFile(file, Buffer.concat(contents.map((content) => Buffer.from(content)))).pipe(
    Effect.mapError((cause) =>
      new FileFailed({ message: `The file of --out cannot be written: ${cause.message}`, cause })
    )
  )
})

const handle = Effect.fnUntraced(function*(
  { hex, keys, out, place: given, raw, schema }: {
    readonly keys: ReadonlyArray<string>
    readonly place: Parameters.PlaceParameters
    readonly raw: boolean
    readonly hex: boolean
    readonly schema: Option.Option<string>
    readonly out: Option.Option<string>
  }
) {
  const output = yield* Output.make
  const place = yield* Parameters.placeOf(given)
  const examples = yield* Keys.examplesOf(place)
  const parsed = yield* Effect.forEach(keys, (word) => Effect.fromResult(Keys.parse(word, examples)))
  const found = yield* Effect.forEach(parsed, (key) => Inspect.get(place, key))
  const records = found.flatMap(Option.toArray)
  const missing = parsed.filter((_, at) => found[at] === undefined || Option.isNone(found[at]))

  const { settings: { format } } = output
  const presentation = yield* SchemaModule.presentationOf(schema, place)
  const shown = yield* Effect.forEach(records, presentation.record)
  const form = { presentation, raw, hex, indent: output.width === undefined ? 0 : 2 }
  const contents = format === "json" && !raw && !hex
    ? [`${jsonText(shown.map(Shown.recordJson), 2)}\n`]
    : format === "ndjson" && !raw && !hex
    ? shown.map((record) => `${jsonText(Shown.recordJson(record))}\n`)
    : yield* Effect.forEach(records, (record) => contentOf(record, form))
  if (Option.isSome(out)) yield* writeFile(out.value, contents)
  else yield* Effect.forEach(contents, output.write, { discard: true })
  if (missing.length > 0) {
    const names = place._tag === "Store" ? yield* placeNames : ""
    const hint = names === "" ? "" : `. It has: ${names}`
    return yield* new No({
      message: `No value: ${missing.map(Keys.show).join(", ")} (in ${Inspect.show(place)})${hint}`
    })
  }
})

/** The command. */
export const command = Command.make("get", parameters, (given) => withStore(given.store, handle(given))).pipe(
  Command.withExamples([
    { command: "effect-lmdb get ./data/cities 3413829 -c cities", description: "The value of a record, as JSON" },
    {
      command: "effect-lmdb get ./data/cities 3413829 184745 -c cities --json",
      description: "Several records with their keys, as one JSON document"
    },
    {
      command: "effect-lmdb get ./data/cities 3413829 -c cities --hex",
      description: "The stored bytes of a value"
    }
  ])
)
