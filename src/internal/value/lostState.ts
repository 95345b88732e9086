/**
 * Finds objects whose state the codec cannot read, so that they would come back empty or as
 * something else: values of Effect, and objects of the platform with hidden state.
 * `structuredClone` turns most of them into empty or different objects.
 *
 * The checks also find objects of another realm (`node:vm`) and values of another copy of
 * Effect: none of them relies only on `instanceof` with a class of this realm.
 */
import { types } from "node:util"

/** An object that would lose its state: what it is, and what to store instead. */
export interface Lost {
  readonly noun: string
  readonly remedy?: string | undefined
}

/** The tag of an object: `Map` for `[object Map]`. */
export const tagOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1)

/** Whether an object is an error of any realm. */
export const isError = (value: object): value is Error => value instanceof Error || tagOf(value) === "Error"

const prototypeOf = (value: object): object | null => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return typeof prototype === "object" ? prototype : null
}

/** What the prototypes of an object show. */
interface ClassTraits {
  /** The name of its Effect type, such as `Option`; `undefined` if it is not a value of Effect. */
  readonly effectType: string | undefined
  /** Whether its class has getters, or defines a tag. */
  readonly hasGetters: boolean
  /** Whether its class has methods. */
  readonly hasMethods: boolean
}

// -----------------------------------------------------------------------------
// Values of Effect
// -----------------------------------------------------------------------------

/**
 * Effect 4 marks its values with properties such as `~effect/Option`, and Effect 3 with symbols whose
 * description is `effect/Option`. Any class may have the excluded markers: a class may implement `Equal`
 * or `Hash`, and Effect adds others to ordinary classes.
 */
const typeId = /^~?effect\/(?!(?:Equal|Hash|PrimaryKey|Redactable)$|(?:ErrorReporter|Runtime|Schema\/Class|Data)\/)/

const isEffect = (id: string): boolean => /^~?effect\/Effect(\/|$)/.test(id)

const idsOf = (object: object): ReadonlyArray<string> =>
  Reflect.ownKeys(object)
    .map((key) => typeof key === "symbol" ? key.description ?? "" : key)
    .filter((key) => typeId.test(key))

/** Prefers any other type to `Effect`, because an `Exit` and a `Config` are effects as well. */
const typeOf = (ids: ReadonlyArray<string>): string | undefined =>
  ids.length === 0 ? undefined : ids.find((id) => !isEffect(id))?.split("/").at(-1) ?? "Effect"

const schemas = new Map([
  ...["BigDecimal", "Cause", "Chunk", "Duration", "HashMap", "HashSet", "Option", "Redacted", "Result"]
    .map((name) => [name, name] as const),
  ["DateTime", "DateTimeUtc or Schema.DateTimeZoned"]
])

const notRun = {
  noun: "Effect that was not run (is yield* missing?)",
  remedy: "run it, and put its result"
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

/** The traits of each prototype that was seen. */
const traits = new WeakMap<object, ClassTraits>()

const isGetter = (descriptor: PropertyDescriptor): boolean => Object.hasOwn(descriptor, "get")

/** Methods that do not show that an object has state. Effect gives `pipe` to the classes of `Data` and `Schema`. */
const commonMethods: ReadonlySet<string> = new Set(["constructor", "toString", "toJSON", "pipe"])

const hasMethod = (prototype: object): boolean =>
  Object.entries(Object.getOwnPropertyDescriptors(prototype)).some(([name, { value }]) =>
    typeof value === "function" && !commonMethods.has(name)
  )

const noTraits: ClassTraits = { effectType: undefined, hasGetters: false, hasMethods: false }

/** Collects the traits of a prototype and of all that it inherits from, except `Object.prototype` of any realm. */
const traitsOf = (prototype: object | null): ClassTraits => {
  if (prototype === null) return noTraits
  const known = traits.get(prototype)
  if (known !== undefined) return known
  const parent = prototypeOf(prototype)
  // The last prototype of a chain is `Object.prototype`, which shows nothing.
  if (parent === null) return noTraits
  const inherited = traitsOf(parent)
  const found: ClassTraits = {
    effectType: typeOf(idsOf(prototype)) ?? inherited.effectType,
    hasGetters: inherited.hasGetters || Object.hasOwn(prototype, Symbol.toStringTag) ||
      Object.values(Object.getOwnPropertyDescriptors(prototype)).some(isGetter),
    hasMethods: inherited.hasMethods || hasMethod(prototype)
  }
  traits.set(prototype, found)
  return found
}

const isOfPlatform = (value: object, tag: string): boolean => {
  const constructor: unknown = Reflect.get(globalThis, tag)
  return typeof constructor === "function" && value instanceof constructor
}

/** Whether an object belongs to the platform and its state cannot be read. */
const isOpaque = (value: object, tag: string): boolean =>
  types.isPromise(value) || types.isWeakMap(value) || types.isWeakSet(value) || types.isSharedArrayBuffer(value) ||
  / Iterator$|Generator$|^(Intl|Temporal|WebAssembly)\.|^(WeakRef|FinalizationRegistry)$/.test(tag) ||
  isOfPlatform(value, tag)

const remedies: ReadonlyMap<string, string> = new Map([
  ["URL", "store url.href"],
  ["Promise", "wait for it first, and put its result"]
])

const ofPlatform = (tag: string): Lost => ({ noun: tag, remedy: remedies.get(tag) })

const nameOfClass = (value: object): string | undefined => {
  const constructor: unknown = Reflect.get(value, "constructor")
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : undefined
}

/** The Effect type that an object names in its own properties. Most objects have it in their class. */
const ownEffectType = (value: object): string | undefined =>
  Object.keys(value).some((key) => key.startsWith("~effect/")) ? typeOf(idsOf(value)) : undefined

/** Finds what an object would lose. Call it only for objects that no format of the codec covers. */
export const lostOf = (value: object): Lost | undefined => {
  const { effectType = ownEffectType(value), hasGetters, hasMethods } = traitsOf(prototypeOf(value))
  if (effectType !== undefined) return valueOfEffect(effectType)
  const tag = tagOf(value)
  if (tag !== "Object" && isOpaque(value, tag)) return ofPlatform(tag)
  if (!(hasGetters || hasMethods) || Object.keys(value).length > 0) return undefined
  return tag === "Object"
    ? {
      noun: `instance of ${nameOfClass(value) ?? "a class"}`,
      remedy: hasGetters
        ? "it has getters and no properties of its own; put their results in its place"
        : "it has methods and no properties of its own; put what they return in its place"
    }
    : ofPlatform(tag)
}

/** Finds what an error would lose: an error of Effect has fields, and the codec stores no fields of errors. */
export const lostOfError = (value: object): Lost | undefined => {
  const { effectType = ownEffectType(value) } = traitsOf(prototypeOf(value))
  return effectType === undefined ? undefined : {
    noun: `error of Effect (${nameOfClass(value) ?? effectType})`,
    remedy:
      "it would come back without its fields; put those in its place, or use a Collection with the schema of its class"
  }
}
