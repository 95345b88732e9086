/**
 * Loads the collections that a module of the user exports, for `--schema`: the classes of `Collection.Service`. Keys and
 * values then go through their schemas.
 */
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Collection from "../../Collection.ts"
import type * as Inspect from "../../Inspect.ts"
import type { OrderedKey } from "../../KeySchema.ts"
import { Usage } from "./failures.ts"
import { asStored, type Presentation, type Shown } from "./shown.ts"

/** The flag. */
export const schema = Flag.String("schema").pipe(
  Flag.withDescription(
    "Module that exports the collection (Collection.Service): keys and values go through its schemas"
  ),
  Flag.withMetavar("module"),
  Flag.optional
)

type KeyCodec = Schema.Codec<unknown, OrderedKey>

/** The definition of a collection of the user. Its schemas must not need services. */
export type Definition =
  & Collection.CollectionOptions<
    KeyCodec,
    Schema.Codec<unknown, unknown>,
    Record<string, KeyCodec>,
    Record<number, never>
  >
  & { readonly name: string }

const isDefinition = (value: unknown): value is Definition =>
  Predicate.hasProperty(value, "name") && Predicate.isString(value.name) &&
  Predicate.hasProperty(value, "key") && Schema.isSchema(value.key) &&
  Predicate.hasProperty(value, "value") && Schema.isSchema(value.value)

const definitionsIn = (module: object): ReadonlyArray<Definition> =>
  Object.values(module).flatMap((value: unknown) =>
    Predicate.hasProperty(value, "definition") && isDefinition(value.definition) ? [value.definition] : []
  )

/** Loads the definitions that a module exports. */
const load = Effect.fnUntraced(function*(file: string) {
  const path = yield* Path.Path
  const url = yield* Effect.orDie(path.toFileUrl(path.resolve(file)))
  const module = yield* Effect.tryPromise({
    try: (): Promise<object> => import(url.href),
    catch: (cause) => new Usage({ message: `The module of --schema cannot be loaded: ${String(cause)}` })
  })
  return definitionsIn(module)
})

/** Gives the definitions of all collections that the module of the user exports. None without `--schema`. */
export const definitionsOf = Effect.fnUntraced(function*(file: Option.Option<string>) {
  if (Option.isNone(file)) return []
  const definitions = yield* load(file.value)
  if (definitions.length > 0) return definitions
  return yield* new Usage({ message: `${file.value} exports no collection: a class of Collection.Service.` })
})

/** Finds the definition of a collection in the module that the user has named. `undefined` without `--schema`. */
export const definitionOf = Effect.fnUntraced(function*(file: Option.Option<string>, place: Inspect.Place) {
  if (Option.isNone(file)) return undefined
  if (place._tag !== "Collection") return yield* new Usage({ message: "--schema needs --collection." })
  const definitions = yield* load(file.value)
  const found = definitions.find(({ name }) => name === place.name)
  if (found !== undefined) return found
  const names = definitions.map(({ name }) => name).join(", ")
  return yield* new Usage({
    message: names === ""
      ? `${file.value} exports no collection: a class of Collection.Service.`
      : `${file.value} exports no collection "${place.name}". It exports: ${names}`
  })
})

/** Opens all collections of the module that the user has named. Without `--schema` there are none. */
export const openCollections = Effect.fnUntraced(function*(file: Option.Option<string>) {
  if (Option.isNone(file)) return []
  const definitions = yield* load(file.value)
  if (definitions.length === 0) {
    return yield* new Usage({ message: `${file.value} exports no collection: a class of Collection.Service.` })
  }
  return yield* Effect.forEach(definitions, ({ name, ...options }) => Collection.make(name, options))
})

/** Shows records by the schemas of a collection. */
const bySchemas = ({ key: keySchema, value: valueSchema }: Definition): Presentation => {
  const decodeKey = Schema.decodeUnknownEffect(keySchema)
  const keyToJson = Schema.encodeEffect(Schema.toCodecJson(keySchema))
  const decodeValue = Schema.decodeUnknownEffect(Collection.stored(valueSchema))
  const valueToJson = Schema.encodeEffect(Schema.toCodecJson(valueSchema))
  return {
    record: Effect.fnUntraced(function*(record) {
      const stored = yield* asStored.record(record)
      if (Result.isFailure(record.value)) return stored
      const value = yield* decodeValue(record.value.success).pipe(
        Effect.flatMap(valueToJson),
        Effect.match({ onSuccess: Result.succeed, onFailure: ({ message }) => Result.fail(message) })
      )
      const keyJson = yield* decodeKey(record.key).pipe(
        Effect.flatMap(keyToJson),
        Effect.orElseSucceed(() => stored.keyJson)
      )
      const shown: Shown = { ...stored, keyJson, value }
      return shown
    })
  }
}

/** How the records of a place are shown. */
export const presentationOf = (file: Option.Option<string>, place: Inspect.Place) =>
  Effect.map(definitionOf(file, place), (definition) => definition === undefined ? asStored : bySchemas(definition))
