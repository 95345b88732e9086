/**
 * The arguments and flags that several commands have.
 */
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Inspect from "../../Inspect.ts"
import { Usage } from "./failures.ts"

const path = Argument.String("store").pipe(
  Argument.withDescription("Folder or file of the store, or a postgres:// URL"),
  Argument.filter((text) => text !== "", () => "a path that is not empty")
)

/** Makes a flag that is off unless it is given. */
export const flag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withoutNegation, Flag.withDefault(false))

/**
 * The store of a command. It is the first argument. Put it first among the parameters of a command, because arguments are
 * in the order of the parameters.
 */
export const store = {
  path,
  keyFile: Flag.String("key-file").pipe(
    Flag.withDescription("File with the encryption key; the variable STORE_ENCRYPTION_KEY is used without it"),
    Flag.withMetavar("file"),
    Flag.optional
  ),
  table: Flag.String("table").pipe(
    Flag.withDescription("First part of the names of the tables of a store on PostgreSQL"),
    Flag.withDefault("store")
  )
}

/** Where a store is, and what is needed to open it. */
export interface StoreParameters {
  readonly path: string
  readonly keyFile: Option.Option<string>
  readonly table: string
}

const collection = Flag.String("collection").pipe(
  Flag.withAlias("c"),
  Flag.withDescription("Collection with the records"),
  Flag.withMetavar("name"),
  Flag.optional
)

const namespace = Flag.String("namespace").pipe(
  Flag.withAlias("n"),
  Flag.withDescription("Namespace with the records"),
  Flag.withMetavar("name"),
  Flag.optional
)

/** The records of a command: those of the store itself, of a collection, or of a namespace. */
export const place = { collection, namespace }

/** The records of a command. */
export interface PlaceParameters {
  readonly collection: Option.Option<string>
  readonly namespace: Option.Option<string>
}

/** The place that the flags name. */
export const placeOf = (given: PlaceParameters): Effect.Effect<Inspect.Place, Usage> => {
  if (Option.isSome(given.collection)) {
    return Option.isSome(given.namespace)
      ? Effect.fail(new Usage({ message: "Give --collection or --namespace, not both." }))
      : Effect.succeed(Inspect.collection(given.collection.value))
  }
  return Effect.succeed(Option.match(given.namespace, {
    onNone: () => Inspect.own,
    onSome: Inspect.namespace
  }))
}

const bound = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.withMetavar("key"), Flag.optional)

/** The bounds of a range of keys. */
export const bounds = {
  prefix: bound("prefix", "Only keys that begin so: text, or the first elements of a tuple"),
  startsWith: bound("starts-with", "Like --prefix, but the last text of a tuple may continue"),
  equals: bound("equals", "Only this key"),
  gte: bound("gte", "Only this key and those after it"),
  gt: bound("gt", "Only keys after this one"),
  lte: bound("lte", "Only this key and those before it"),
  lt: bound("lt", "Only keys before this one")
}

/** The bounds of a range of keys, as they were given. */
export type BoundParameters = { readonly [Name in keyof typeof bounds]: Option.Option<string> }

/** The flag of the most lines of a list. `Infinity` stands for all. */
export const limit = Flag.String("limit").pipe(
  Flag.withDescription("The most records, or all. Default: 100"),
  Flag.withMetavar("number|all"),
  Flag.withDefault("100"),
  Flag.filterMap(
    (text) => text === "all" ? Option.some(Infinity) : /^\d+$/.test(text) ? Option.some(Number(text)) : Option.none(),
    () => "a number or \"all\""
  )
)

/** The flag without which a command does not write. */
export const write = flag("write", "Write: without it, nothing is changed")
