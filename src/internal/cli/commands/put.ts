/** `put`: stores a value under a key. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Collection from "../../../Collection.ts"
import * as Inspect from "../../../Inspect.ts"
import type { OrderedKey } from "../../../KeySchema.ts"
import { checkWrite } from "../confirm.ts"
import { No, Usage } from "../failures.ts"
import * as Files from "../files.ts"
import * as Keys from "../keys.ts"
import { withStore } from "../openStore.ts"
import * as Output from "../output.ts"
import * as Parameters from "../parameters.ts"
import * as SchemaModule from "../schemaModule.ts"
import * as TextFile from "../textFile.ts"

const parameters = {
  store: Parameters.store,
  key: Argument.String("key").pipe(Argument.withDescription("Key of the record; a tuple is written as JSON")),
  value: Argument.String("value").pipe(
    Argument.withDescription("Value as JSON, in the form in which get shows it"),
    Argument.optional
  ),
  place: Parameters.place,
  schema: SchemaModule.schema,
  fromFile: Flag.String("from-file").pipe(
    Flag.withDescription("Read the value from this file; - is standard input"),
    Flag.withMetavar("file"),
    Flag.optional
  ),
  text: Parameters.flag("text", "The value is text, not JSON"),
  ifAbsent: Parameters.flag("if-absent", "Only if the key has no value. Otherwise the exit code is 1"),
  write: Parameters.write
}

const readText = Effect.fnUntraced(function*(value: Option.Option<string>, fromFile: Option.Option<string>) {
  if (Option.isSome(value) === Option.isSome(fromFile)) {
    return yield* new Usage({ message: "Give a value or --from-file." })
  }
  if (Option.isNone(fromFile)) return Option.getOrElse(value, () => "")
  return yield* fromFile.value === "-"
    ? Stream.mkString(Stream.decodeText(Files.read("-")))
    : TextFile.read("--from-file", fromFile.value)
})

const parseValue = (text: string): Result.Result<Schema.Json, Usage> =>
  Result.mapError(
    Inspect.parseJson(text),
    ({ detail }) =>
      new Usage({
        message: `The value is not valid: ${text}: ${detail}. Write text in quotes ('"text"'), or give --text.`
      })
  )

interface Given {
  readonly key: string
  readonly value: Schema.Json
  readonly place: Inspect.Place
  readonly ifAbsent: boolean
  readonly definition: SchemaModule.Definition | undefined
}

const refuse = ({ message }: Schema.SchemaError): Usage =>
  new Usage({ message: `The record does not fit the schema: ${message}` })

/** Puts a record through the schemas of its collection. */
const putBySchemas = Effect.fnUntraced(function*(
  { ifAbsent, value: json }: Given,
  definition: SchemaModule.Definition,
  stored: OrderedKey
) {
  const key = yield* Effect.mapError(Schema.decodeUnknownEffect(definition.key)(stored), refuse)
  const value = yield* Effect.mapError(Schema.decodeEffect(Schema.toCodecJson(definition.value))(json), refuse)
  const { name, ...options } = definition
  const collection = yield* Collection.make(name, options)
  yield* ifAbsent ? collection.insert(key, value) : collection.put(key, value, { durable: true })
  return true
})

/** Puts a record as it is stored. */
const putAsStored = Effect.fnUntraced(function*({ ifAbsent, place, value: json }: Given, key: OrderedKey) {
  const value = yield* Effect.mapError(
    Effect.fromResult(Inspect.valueFromJson(json)),
    ({ message }) => new Usage({ message })
  )
  return yield* Inspect.put(place, key, value, { ifAbsent })
})

/** Says what can be done about a record that `put` cannot store. */
const advise = <A, E, R>(put: Effect.Effect<A, E | Inspect.NeedsSchema | Inspect.NotInStore, R>) =>
  put.pipe(
    Effect.catchIf(
      (error) => error instanceof Inspect.NeedsSchema,
      ({ detail, place }) =>
        Effect.fail(
          new Inspect.NeedsSchema({
            place,
            detail: `${detail}; give --schema MODULE, where MODULE exports the class of the collection`
          })
        )
    ),
    Effect.catchIf(
      (error) => error instanceof Inspect.NotInStore,
      ({ kind, message }) =>
        Effect.fail(
          new Usage({
            message: `${message} put creates no ${kind}: a program does when it first writes to its ${kind}.`
          })
        )
    )
  )

const handle = Effect.fnUntraced(function*(given: Given) {
  const { definition, key: word, place } = given
  const output = yield* Output.make
  const key = yield* Effect.fromResult(Keys.parse(word, yield* advise(Keys.examplesOf(place))))
  const isPut = yield* definition === undefined
    ? advise(putAsStored(given, key))
    : putBySchemas(given, definition, key)
  if (!isPut) return yield* new No({ message: `The key ${Keys.show(key)} has a value in ${Inspect.show(place)}.` })
  yield* Output.writeDone(output, `Put ${Keys.show(key)} in ${Inspect.show(place)}.`, { put: 1 })
})

/** The command. */
export const command = Command.make(
  "put",
  parameters,
  Effect.fnUntraced(function*({ fromFile, ifAbsent, key, place: given, schema, store, text, value: word, write }) {
    yield* checkWrite(write)
    const place = yield* Parameters.placeOf(given)
    const content = yield* readText(word, fromFile)
    const value = text ? content : yield* Effect.fromResult(parseValue(content))
    const definition = yield* SchemaModule.definitionOf(schema, place)
    yield* withStore(store, handle({ key, value, place, ifAbsent, definition }), { write })
  })
).pipe(
  Command.withExamples([
    {
      command: `effect-lmdb put ./data/notes greeting '{"text":"hello"}' --write`,
      description: "Store a value as JSON"
    },
    {
      command: "effect-lmdb put ./data/notes owner Ada --text --if-absent --write",
      description: "Store text, unless the key has a value"
    }
  ])
)
