/**
 * Collections as nobody should define them: names, versions, schemas, indexes and
 * migrations that make no sense, or that fail.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import type { Collection } from "../../src/index.ts"
import * as BadInput from "./badInput.ts"
import type { Random } from "./random.ts"

/** A collection of which the program does not know what it is. */
export type Untyped = Collection.Collection<Schema.String, Schema.String, Record<string, Schema.String>>

/** The definition of a collection that no compiler has looked at. */
export type UntypedOptions = Collection.CollectionOptions<
  Schema.String,
  Schema.String,
  Record<string, Schema.String>,
  never
>

/** What a program without types passes, wherever it likes to. */
export const untyped = (value: unknown): never => {
  // @ts-expect-error that is what it is for
  return value
}

/** Words that mean something to the store, to JavaScript or to nobody. */
const names = [
  "",
  "/",
  "a/b",
  "index/a",
  "a\0b",
  "\0",
  "\ud800",
  "é",
  "e\u0301",
  "😀",
  " ",
  "x".repeat(255),
  "x".repeat(256),
  "é".repeat(128),
  "__proto__",
  "constructor",
  "toString",
  "collections",
  "records",
  "length"
] as const

const name = (random: Random): unknown => random.oneIn(4) ? BadInput.noOption(random) : random.pick(names)

class Made extends Schema.Class<Made>("Made")({ a: Schema.Int }) {}

interface Tree {
  readonly children: ReadonlyArray<Tree>
}

const Tree = Schema.Struct({
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
})

/** What a function of the program throws, as opposed to what it passes. */
export const ownFault = "thrown by a function of the program"

const failingFunction = (): never => {
  throw new Error(ownFault)
}

/** A schema whose transformation throws, which is its program's own fault. */
const Throwing = Schema.String.pipe(
  Schema.decodeTo(
    Schema.String,
    SchemaTransformation.transform<string, string>({ decode: failingFunction, encode: failingFunction })
  )
)

interface Chain {
  readonly rest: ReadonlyArray<Chain>
}

/** Is made anew at each of its levels. */
const makeChain = (): Schema.Codec<Chain> => Schema.Struct({ rest: Schema.Array(Schema.suspend(makeChain)) })

/** Has nothing but itself in it. */
const Endless: Schema.Codec<unknown> = Schema.suspend(() => Endless)

/** Recursive schemas that are written wrongly. */
const Unfinished = Schema.Struct({ a: Schema.suspend(failingFunction) })
const Unknowing = Schema.Struct({ a: Schema.suspend(() => untyped(undefined)) })

const Failing = Schema.String.check(Schema.makeFilter((text) => text.length % 2 === 0))

/** Schemas that have an order. */
const ordered = [
  Schema.String,
  Schema.Number,
  Schema.Int,
  Schema.BigInt,
  Schema.Boolean,
  Schema.Date,
  Schema.Uint8Array,
  Schema.NumberFromString,
  Schema.Literals(["a", "b"]),
  Schema.Tuple([Schema.String, Schema.Int]),
  Schema.Array(Schema.String),
  Schema.Union([Schema.String, Schema.Int]),
  Schema.String.pipe(Schema.brand("Name")),
  Failing
] as const

/** Schemas that have none, or nearly have one. */
const disordered = [
  Schema.Struct({ a: Schema.String }),
  Schema.Unknown,
  Schema.Any,
  Schema.Never,
  Schema.Void,
  Schema.Null,
  Schema.Undefined,
  Schema.Symbol,
  Schema.Array(Schema.Unknown),
  Schema.Tuple([]),
  Schema.Record(Schema.String, Schema.String),
  Schema.Union([]),
  Schema.Option(Schema.String),
  Schema.NullOr(Schema.String),
  Made,
  Tree,
  makeChain(),
  Endless,
  Unfinished,
  Unknowing,
  Throwing
] as const

const anySchema = (random: Random): unknown =>
  random.oneIn(8)
    ? BadInput.noOption(random)
    : random.pick([...ordered, ...disordered])

/** What is no function, where one should be: a function that throws is its program's own fault. */
const noFunction = (random: Random): unknown => {
  const given = BadInput.noOption(random)
  return typeof given === "function" ? undefined : given
}

/** What says the keys of a record in an index, and gives nonsense or throws. */
const anyKeysOf = (random: Random): unknown =>
  random.pick<() => unknown>([
    () => failingFunction,
    () => (value: unknown) => value,
    () => () => undefined,
    () => () => Number.NaN,
    () => () => ["a", "a", "b"],
    () => () => Promise.resolve(1),
    () => () => BadInput.value(random, 2),
    () => noFunction(random)
  ])()

/** A migration that gives nonsense, fails, throws or dies. */
const anyMigration = (random: Random): unknown =>
  random.pick<() => unknown>([
    () => failingFunction,
    () => () => Effect.fail("as it was meant"),
    () => () => Effect.sync(failingFunction),
    () => () => Effect.succeed(BadInput.value(random, 2)),
    () => (value: unknown) => Effect.succeed([value]),
    () => noFunction(random)
  ])()

const index = (random: Random): unknown =>
  random.oneIn(10)
    ? BadInput.noOption(random)
    : {
      key: anySchema(random),
      [random.pick(["of", "each"])]: anyKeysOf(random),
      unique: random.pick([undefined, true, false, 1, "yes"])
    }

const indexes = (random: Random): unknown =>
  random.oneIn(10)
    ? BadInput.noOption(random)
    : Object.fromEntries(random.many(random.below(3), () => [random.pick(names), index(random)]))

const migrations = (random: Random): unknown =>
  random.oneIn(6)
    ? BadInput.noOption(random)
    : Object.fromEntries(random.many(random.below(3), () => [random.below(4), anyMigration(random)]))

/** A definition, nothing of which needs to make sense. */
export const definition = (random: Random): readonly [name: string, options: UntypedOptions] => [
  untyped(name(random)),
  untyped(
    random.oneIn(20) ? BadInput.noOption(random) : {
      key: random.oneIn(2) ? random.pick(ordered) : anySchema(random),
      value: anySchema(random),
      ...(random.oneIn(2) ? { indexes: indexes(random) } : {}),
      ...(random.oneIn(3) ? { version: random.oneIn(2) ? random.between(1, 3) : BadInput.noOption(random) } : {}),
      ...(random.oneIn(3) ? { migrations: migrations(random) } : {})
    }
  )
]

/** A migration that does not do what it should. */
export const migration = (random: Random): (value: unknown) => Effect.Effect<unknown, unknown> =>
  untyped(anyMigration(random))

/** A range of a collection, with ends of any kind. */
export const range = (random: Random): object => ({
  ...BadInput.range(random),
  ...(random.oneIn(3) ? { equals: BadInput.value(random, 1) } : {}),
  ...(random.oneIn(3) ? { prefix: BadInput.value(random, 1) } : {}),
  ...(random.oneIn(3) ? { undecodable: random.pick(["skip", "result", "fail"]) } : {})
})
