/**
 * Finds objects that would not come back as what they are: values of Effect, and objects
 * that keep their state where nobody can read it. `structuredClone` makes empty or
 * different objects of most of them.
 *
 * Nothing here goes by the classes of this realm or of this copy of Effect alone, so that
 * objects of another realm (`node:vm`) and of another copy are found as well.
 */
import { types } from "node:util"

/** What an object is, for a message, and what to do. */
export interface Lost {
  readonly noun: string
  readonly remedy?: string | undefined
}

/** The tag of an object, as in `[object Map]`. */
export const tagOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1)

/** Whether an object is an error, of any realm. */
export const isError = (value: object): value is Error => value instanceof Error || tagOf(value) === "Error"

const prototypeOf = (value: object): object | null => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return typeof prototype === "object" ? prototype : null
}

/** What the prototypes of an object say about it. */
interface Kind {
  /** The type of Effect that it is of, as in `Option`. */
  readonly effectType: string | undefined
  /** Whether its class has getters, or a tag of its own. */
  readonly hasGetters: boolean
}

// -----------------------------------------------------------------------------
// Values of Effect
// -----------------------------------------------------------------------------

/**
 * Effect marks its values with properties such as `~effect/Option`; version 3 does so with symbols of the
 * description `effect/Option`. What any class may implement, or note about itself, says nothing.
 */
const typeId = /^~?effect\/(?!(?:Equal|Hash|PrimaryKey|Redactable)$|(?:ErrorReporter|Runtime|Schema\/Class|Data)\/)/

const isEffect = (id: string): boolean => /^~?effect\/Effect(\/|$)/.test(id)

const idsOf = (object: object): ReadonlyArray<string> =>
  Reflect.ownKeys(object)
    .map((key) => typeof key === "symbol" ? key.description ?? "" : key)
    .filter((key) => typeId.test(key))

/** What most values of Effect are as well counts last: an `Exit` and a `Config` are effects too. */
const typeOf = (ids: ReadonlyArray<string>): string | undefined =>
  ids.length === 0 ? undefined : ids.find((id) => !isEffect(id))?.split("/").at(-1) ?? "Effect"

const schemas = new Map([
  ...["BigDecimal", "Cause", "Chunk", "Duration", "HashMap", "HashSet", "Option", "Redacted", "Result"]
    .map((name) => [name, name] as const),
  ["DateTime", "DateTimeUtc or Schema.DateTimeZoned"]
])

const notRun = {
  noun: "Effect that was not run (is yield* missing?)",
  remedy: "run it, and put what it gives"
}

const valueOfEffect = (effectType: string): Lost => {
  if (effectType === "Effect") return notRun
  // `Effect.succeed(1)` is an Exit.
  if (effectType === "Exit") {
    return { ...notRun, remedy: `${notRun.remedy}; for an Exit use a Collection with Schema.Exit` }
  }
  const schema = schemas.get(effectType)
  return {
    noun: `${effectType} of Effect`,
    remedy: schema === undefined
      ? "put a plain value in its place"
      : `use a Collection with Schema.${schema}, or put a plain value in its place`
  }
}

// -----------------------------------------------------------------------------
// Objects that hide their state
// -----------------------------------------------------------------------------

const kinds = new WeakMap<object, Kind>()

const isGetter = (descriptor: PropertyDescriptor): boolean => Object.hasOwn(descriptor, "get")

const noKind: Kind = { effectType: undefined, hasGetters: false }

/** What a prototype and those before it say. The first of all is `Object.prototype`, of any realm. */
const kindOf = (prototype: object | null): Kind => {
  if (prototype === null) return noKind
  const known = kinds.get(prototype)
  if (known !== undefined) return known
  const before = prototypeOf(prototype)
  if (before === null) return noKind
  const inherited = kindOf(before)
  const kind: Kind = {
    effectType: typeOf(idsOf(prototype)) ?? inherited.effectType,
    hasGetters: inherited.hasGetters || Object.hasOwn(prototype, Symbol.toStringTag) ||
      Object.values(Object.getOwnPropertyDescriptors(prototype)).some(isGetter)
  }
  kinds.set(prototype, kind)
  return kind
}

const isOfPlatform = (value: object, tag: string): boolean => {
  const constructor: unknown = Reflect.get(globalThis, tag)
  return typeof constructor === "function" && value instanceof constructor
}

/** Whether the platform made it, and keeps its state where nobody can read it. */
const isOpaque = (value: object, tag: string): boolean =>
  types.isPromise(value) || types.isWeakMap(value) || types.isWeakSet(value) || types.isSharedArrayBuffer(value) ||
  / Iterator$|Generator$|^(Intl|Temporal|WebAssembly)\.|^(WeakRef|FinalizationRegistry)$/.test(tag) ||
  isOfPlatform(value, tag)

const remedies: ReadonlyMap<string, string> = new Map([
  ["URL", "store url.href"],
  ["Promise", "wait for it first, and put what it gives"]
])

const ofPlatform = (tag: string): Lost => ({ noun: tag, remedy: remedies.get(tag) })

const nameOfClass = (value: object): string | undefined => {
  const constructor: unknown = Reflect.get(value, "constructor")
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : undefined
}

/** The type of Effect that an object itself says it is of; mostly its class says it. */
const ownEffectType = (value: object): string | undefined =>
  Object.keys(value).some((key) => key.startsWith("~effect/")) ? typeOf(idsOf(value)) : undefined

/** What of an object that is neither plain nor of a kind that is kept would be lost, if anything. */
export const lostOf = (value: object): Lost | undefined => {
  const { effectType = ownEffectType(value), hasGetters } = kindOf(prototypeOf(value))
  if (effectType !== undefined) return valueOfEffect(effectType)
  const tag = tagOf(value)
  if (tag !== "Object" && isOpaque(value, tag)) return ofPlatform(tag)
  if (!hasGetters || Object.keys(value).length > 0) return undefined
  return tag === "Object"
    ? {
      noun: `instance of ${nameOfClass(value) ?? "a class"}`,
      remedy: "it has getters and no properties of its own; put what they give in its place"
    }
    : ofPlatform(tag)
}

/** The same for an error: those of Effect have fields, and an error keeps none. */
export const lostOfError = (value: object): Lost | undefined => {
  const { effectType = ownEffectType(value) } = kindOf(prototypeOf(value))
  return effectType === undefined ? undefined : {
    noun: `error of Effect (${nameOfClass(value) ?? effectType})`,
    remedy:
      "it would come back without its fields; put those in its place, or use a Collection with the schema of its class"
  }
}
