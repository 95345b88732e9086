/**
 * Prepares the definition of a collection: checks its options, and makes its names, its codecs and the fingerprints of
 * its schemas.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import type { Reader } from "../../Backend.ts"
import { CollectionFailed } from "../../CollectionError.ts"
import type { CollectionOptions, IndexDefinition, ValueSchema } from "../../CollectionOptions.ts"
import type { ByteString } from "../../Key.ts"
import type { KeySchema } from "../../KeySchema.ts"
import {
  Closed,
  type EngineFailure,
  type KeyEncoding,
  KeyNotFound,
  type ShownKey,
  type ValueDecoding
} from "../../StoreError.ts"
import { collectionDatabase, indexDatabase, isName, nameRule } from "../databases.ts"
import { OwnNames, ownPrefix } from "../ownNames.ts"
import * as Settled from "../settled.ts"
import { similarTo } from "../similarNames.ts"
import * as ExpiryTime from "../store/expiryTime.ts"
import type { OpenStore } from "../store/openStore.ts"
import type { StoreHandle } from "../store/storeAccess.ts"
import * as OpenDefinitions from "../transaction/openDefinitions.ts"
import * as Catalog from "./catalog.ts"
import * as IndexKeys from "./indexKeys.ts"
import { shapeOf, withoutCodec } from "./schemaShape.ts"
import * as StoredShape from "./storedShape.ts"
import { type KeyCodec, makeKeyCodec } from "./typedKeyCodec.ts"
import { makeValueCodec, type ValueCodec } from "./typedValueCodec.ts"

/** A prepared index. */
export interface Index<Value, K extends KeySchema> {
  readonly name: string
  /** The name by which records and the catalog refer to it. */
  readonly slot: string
  /** The name of its database. */
  readonly database: string
  readonly isUnique: boolean
  readonly key: KeyCodec<K>
  /** Computes the distinct keys of a record. The call runs the function of the index, so call it inside an effect. */
  readonly keysOf: (value: Value) => Effect.Effect<ReadonlyArray<ByteString>, KeyEncoding, K["EncodingServices"]>
  /** Identifies its stored form: whether it is unique, the schema of its keys, and its version. */
  readonly fingerprint: string
}

/** A prepared collection. */
export interface Definition<K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>> {
  readonly name: string
  /** The name of its database. */
  readonly database: string
  readonly version: number
  /** Identifies the encoded side of the schemas of keys and values. */
  readonly fingerprint: string
  /** The shape of the stored values; `undefined` if their schema has too many parts. */
  readonly shape: StoredShape.StoredShape | undefined
  /** Identifies the version, the schemas and the indexes together. */
  readonly signature: string
  readonly key: KeyCodec<K>
  readonly value: ValueCodec<V>
  readonly indexes: ReadonlyMap<string, Index<V["Type"], I[keyof I]>>
  /** Computes when a record that is written now expires, or describes why it cannot. `undefined`: no record expires. */
  readonly expires: ((value: V["Type"]) => Result.Result<number | undefined, string>) | undefined
}

/** Hashes the encoded side of schemas. */
const fingerprintOf = (...schemas: ReadonlyArray<Schema.Constraint>): string =>
  createHash("sha256").update(schemas.map(({ ast }) => shapeOf(ast)).join("\n")).digest("hex")

const makeIndex = <Value, K extends KeySchema>(
  name: string,
  definition: IndexDefinition<Value, K>,
  collection: string,
  handle: StoreHandle
): Result.Result<Index<Value, K>, string> => {
  const { key: schema, unique, version = 1 } = definition
  return Result.map(makeKeyCodec(schema, handle, `${collection}.${name}`), (key) => ({
    name,
    slot: name,
    database: indexDatabase(collection, name),
    isUnique: unique === true,
    key,
    keysOf: IndexKeys.make(definition, key, `${collection}.${name}`),
    // Earlier versions of the package stored no version of an index. Such an index has version 1.
    fingerprint: `${unique === true ? "unique" : "plain"} ${fingerprintOf(schema)}${version === 1 ? "" : ` ${version}`}`
  }))
}

const makeExpires = <Value>(
  { expires }: { readonly expires?: ((value: Value) => unknown) | undefined },
  { core: { expiry } }: StoreHandle
) => expires === undefined ? undefined : (value: Value) => ExpiryTime.ofGiven(expires(value), expiry.now())

const isVersion = (version: unknown): boolean =>
  Predicate.isNumber(version) && Number.isSafeInteger(version) && version >= 1

const isFunctions = (record: object): boolean => Object.values(record).every((value) => Predicate.isFunction(value))

/** The names of the options. The compiler reports a name that is missing here. */
const optionNames = {
  key: true,
  value: true,
  indexes: true,
  expires: true,
  version: true,
  migrations: true
} satisfies Record<
  keyof CollectionOptions<KeySchema, ValueSchema, Record<string, KeySchema>, Record<number, unknown>>,
  true
>

const indexOptionNames = { key: true, of: true, each: true, unique: true, version: true } satisfies Record<
  keyof IndexDefinition<unknown, KeySchema>,
  true
>

/** Returns the first unknown option, and a similar name that exists. */
const unknownIn = (options: object, names: object): readonly [name: string, similar: string] | undefined => {
  const name = Object.keys(options).find((each) => !Object.hasOwn(names, each))
  return name === undefined ? undefined : [name, similarTo(name, Object.keys(names)) || "."]
}

const isVersionName = (name: string): boolean => /^[1-9]\d*$/.test(name)

/** Describes an option of the wrong type. A program that is not type-checked can pass anything. */
const optionProblem = (options: unknown): string | undefined => {
  if (!Predicate.isObject(options)) return "its options must be an object."
  const unknownOption = unknownIn(options, optionNames)
  if (unknownOption !== undefined) return `there is no option "${unknownOption[0]}"${unknownOption[1]}`
  if (!Predicate.hasProperty(options, "key") || !Schema.isSchema(options.key)) return "its key must be a schema."
  if (!Predicate.hasProperty(options, "value") || !Schema.isSchema(options.value)) return "its value must be a schema."
  if (
    Predicate.hasProperty(options, "expires") && options.expires !== undefined && !Predicate.isFunction(options.expires)
  ) {
    return "its `expires` must be a function."
  }
  const { indexes = {}, migrations = {} } = { indexes: undefined, migrations: undefined, ...options }
  if (!Predicate.isObject(migrations) || !isFunctions(migrations)) return "its migrations must be functions."
  const noVersion = Object.keys(migrations).find((name) => !isVersionName(name))
  if (noVersion !== undefined) {
    return `the name of its migration "${noVersion}" must be a version, a whole number from 1 on.`
  }
  if (!Predicate.isObject(indexes)) return "its indexes must be an object."
  for (const [name, index] of Object.entries(indexes)) {
    if (!Predicate.hasProperty(index, "key") || !Schema.isSchema(index.key)) {
      return `the key of its index "${name}" must be a schema.`
    }
    const { each, of } = { each: undefined, of: undefined, ...index }
    if (each !== undefined && of !== undefined) {
      return `its index "${name}" has both "of" and "each"; give "of" for one key of a record, "each" for several.`
    }
    if (each === undefined && !Predicate.isFunction(of)) {
      return `"of" of its index "${name}" must be a function; if a record has several keys, give "each".`
    }
    if (each !== undefined && !Predicate.isFunction(each)) {
      return `"each" of its index "${name}" must be a function.`
    }
    if ("unique" in index && index.unique !== undefined && !Predicate.isBoolean(index.unique)) {
      return `"unique" of its index "${name}" must be true or false.`
    }
    const unknownIndexOption = unknownIn(index, indexOptionNames)
    if (unknownIndexOption !== undefined) {
      return `its index "${name}" has no option "${unknownIndexOption[0]}"${unknownIndexOption[1]}`
    }
    if (Predicate.hasProperty(index, "version") && index.version !== undefined && !isVersion(index.version)) {
      return `the version of its index "${name}" must be a whole number from 1 on.`
    }
  }
  return undefined
}

/** Makes the error for an invalid option or schema. */
const refuse = (name: unknown, detail: string, cause?: unknown) =>
  new CollectionFailed({
    reason: { _tag: "BadDefinition", detail },
    collection: Predicate.isString(name) ? name : typeof name,
    ...(cause === undefined ? {} : { cause })
  })

/** Fails if a part of the definition has the wrong type, or the name is one of this package. */
const checkOptions = (name: unknown, options: unknown): Effect.Effect<void, CollectionFailed> => {
  if (!isName(name)) return Effect.fail(refuse(name, `a name ${nameRule}.`))
  const problem = Result.getOrElse(Result.try(() => optionProblem(options)), () => "its options cannot be read.")
  if (problem !== undefined) return Effect.fail(refuse(name, problem))
  return name.startsWith(ownPrefix) ? checkOwner(name) : Effect.void
}

const checkOwner = (name: string) =>
  OwnNames.use((isOwner) =>
    isOwner
      ? Effect.void
      : Effect.fail(
        refuse(
          name,
          `names that begin with "${ownPrefix}" belong to the subpaths of this package, such as ` +
            "\"effect-lmdb/PersistedQueue\". Choose another name."
        )
      )
  )

/** Makes the codec of the values, the fingerprint of the schemas, and the shape of the values. */
const makeValue = Effect.fnUntraced(function*<V extends ValueSchema>(
  name: string,
  { key, value }: { readonly key: KeySchema; readonly value: V },
  handle: StoreHandle
) {
  // A schema may run code of the program, which may throw: a suspended schema is a function.
  const made = yield* Effect.try({
    try: () => {
      const problem = withoutCodec(value.ast)
      if (problem !== undefined) return problem
      const codec = makeValueCodec(value, handle.core, name)
      const shape = StoredShape.make(fingerprintOf(key), codec.stored.ast)
      return { value: codec, fingerprint: fingerprintOf(key, codec.stored), shape }
    },
    catch: (cause) => refuse(name, "its value: a part of its schema threw.", cause)
  })
  return Predicate.isString(made) ? yield* refuse(name, `its value: ${made}.`) : made
})

const makeIndexes = Effect.fnUntraced(function*<Value, K extends KeySchema>(
  name: string,
  definitions: Readonly<Record<string, IndexDefinition<Value, K>>>,
  handle: StoreHandle
) {
  const indexes = new Map<string, Index<Value, K>>()
  for (const [indexName, definition] of Object.entries(definitions)) {
    if (!isName(indexName)) return yield* refuse(name, `the name of an index ${nameRule}.`)
    const index = makeIndex(indexName, definition, name, handle)
    if (Result.isFailure(index)) return yield* refuse(name, `the key of its index "${indexName}": ${index.failure}.`)
    indexes.set(indexName, index.success)
  }
  return indexes
})

/** Prepares a collection. Fails with `CollectionFailed` (`BadDefinition`) if an option or a schema is invalid. */
export const make = Effect.fnUntraced(function*<
  K extends KeySchema,
  V extends ValueSchema,
  I extends Record<string, KeySchema>,
  R extends Record<number, unknown>
>(
  name: string,
  options: CollectionOptions<K, V, I, R>,
  handle: StoreHandle
): Effect.fn.Return<Definition<K, V, I>, CollectionFailed> {
  yield* checkOptions(name, options)
  const { version = 1 } = options
  if (!isVersion(version)) return yield* refuse(name, "its version must be a whole number from 1 on.")
  const key = yield* Effect.mapError(
    Effect.fromResult(makeKeyCodec(options.key, handle, name)),
    (detail) => refuse(name, `its key: ${detail}.`)
  )
  const { fingerprint, shape, value } = yield* makeValue(name, options, handle)
  const definitions: Readonly<Record<string, IndexDefinition<V["Type"], I[keyof I]>>> = options.indexes ?? {}
  return withSignature({
    name,
    database: collectionDatabase(name),
    version,
    fingerprint,
    shape,
    key,
    value,
    indexes: yield* makeIndexes(name, definitions, handle),
    expires: makeExpires(options, handle)
  })
})

const withSignature = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  definition: Omit<Definition<K, V, I>, "signature">
): Definition<K, V, I> => ({
  ...definition,
  signature: JSON.stringify([
    definition.version,
    definition.fingerprint,
    ...Array.from(definition.indexes.values(), (index) => [index.name, index.fingerprint, index.slot])
  ])
})

/** Returns the definition with its indexes in the slots that the catalog entry says. */
export const withSlots = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  definition: Definition<K, V, I>,
  stored: ReadonlyArray<Catalog.StoredIndex>
): Definition<K, V, I> => {
  const slots = new Map(stored.map((index) => [index[0], Catalog.slotOf(index)]))
  const indexes = Array.from(definition.indexes, ([name, index]) => {
    const slot = slots.get(name) ?? name
    return [name, { ...index, slot, database: indexDatabase(definition.name, slot) }] as const
  })
  return withSignature({ ...definition, indexes: new Map(indexes) })
}

/** Returns the indexes of a definition as the catalog stores them. */
export const storedIndexesOf = (
  { indexes }: {
    readonly indexes: ReadonlyMap<string, Pick<Index<unknown, KeySchema>, "name" | "slot" | "fingerprint">>
  }
): ReadonlyArray<Catalog.StoredIndex> =>
  Array.from(
    indexes.values(),
    ({ fingerprint, name, slot }): Catalog.StoredIndex =>
      slot === name ? [name, fingerprint] : [name, fingerprint, slot]
  )

// ---------------------------------------------------------------------------
// keys and records
// ---------------------------------------------------------------------------

/** Shows the key of a call in an error. `bytes` is the encoded key. */
export const shown = <K extends KeySchema>(
  { key: keyCodec }: { readonly key: KeyCodec<K> },
  key: K["Type"],
  bytes: ByteString
): ShownKey<K["Type"]> => ({ key, shownKey: keyCodec.show(bytes) })

/** Makes the error for a key without a record. */
export const keyNotFound = <K extends KeySchema>(
  definition: { readonly name: string; readonly key: KeyCodec<K> },
  key: K["Type"],
  bytes: ByteString
) => new KeyNotFound<K["Type"]>({ ...shown(definition, key, bytes), collection: definition.name })

/** Decodes the value of a stored record whose key the caller has not given. */
export const decodeValue = <K extends KeySchema, V extends ValueSchema, I extends Record<string, KeySchema>>(
  { key: keyCodec, value }: Definition<K, V, I>,
  key: ByteString,
  record: Uint8Array
): Effect.Effect<V["Type"], ValueDecoding | EngineFailure, V["DecodingServices"]> =>
  value.decode(record, () => keyCodec.stored(key))

const nothing = Exit.succeed(undefined)

/** A stored value in its encoded form, and its key. */
export interface Found {
  readonly key: ByteString
  readonly encoded: unknown
}

/** Reads a value in its encoded form. */
export const findRecord = <Key>(
  { database, value }: {
    readonly database: string
    readonly value: Pick<ValueCodec<ValueSchema>, "decodeRaw">
  },
  reader: Reader,
  key: ByteString,
  shownKey: () => ShownKey<Key>
): Effect.Effect<Found | undefined, ValueDecoding<Key> | EngineFailure> =>
  Settled.flatMap(
    reader.get(database, key, (record) => value.decodeRaw(record, shownKey)),
    (decoding) => decoding === undefined ? nothing : Settled.map(decoding, (encoded) => ({ key, encoded }))
  )

// ---------------------------------------------------------------------------
// replaced definitions
// ---------------------------------------------------------------------------

type Named = Pick<Definition<KeySchema, ValueSchema, Record<string, KeySchema>>, "name" | "signature">

/** Returns the error for a collection that another definition has opened since; `undefined` if none has. */
export const refusalOf = (
  { name, signature }: Named,
  { definitions, options: { path } }: OpenStore
): Closed | undefined =>
  OpenDefinitions.isCurrent(definitions, name, signature) ? undefined : new Closed({ path, what: "Collection" })

/** Runs an effect. Fails with `Closed` if another definition has opened the collection since. */
export const ifCurrent = <A, E, R>(
  definition: Named,
  core: OpenStore,
  use: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Closed, R> => {
  const refused = refusalOf(definition, core)
  return refused === undefined ? use() : Effect.fail(refused)
}
