/**
 * Describes the encoded side of a schema as text, for the fingerprint of a collection, and tests whether its values can
 * be stored without conversion to JSON.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/** The declared types that the value codec stores and restores. It would restore any other class as a plain object. */
const nativeTypes: ReadonlySet<string> = new Set(
  ["Date", "Error", "ReadonlyMap", "ReadonlySet", "RegExp", "Uint8Array"].map((name) => `effect/schema/${name}`)
)

/** Returns the identifier that Effect gives a declared type, if any. */
const nameOf = ({ annotations }: SchemaAST.Declaration): string | undefined => {
  const representation = annotations?.["representation"]
  return Predicate.hasProperty(representation, "id") && Predicate.isString(representation.id)
    ? representation.id
    : undefined
}

/** A schema inside of another, and the last step of the path to it. */
type Part = readonly [step: string, ast: SchemaAST.AST]

/** The schemas that a schema consists of. */
const partsOf = (ast: SchemaAST.AST): ReadonlyArray<Part> => {
  switch (ast._tag) {
    case "Declaration":
      return ast.typeParameters.map((part) => ["[]", part])
    case "Arrays":
      return [
        ...ast.elements.map((part, index): Part => [`[${index}]`, part]),
        ...ast.rest.map((part): Part => ["[]", part])
      ]
    case "Objects":
      return [
        ...ast.propertySignatures.map(({ name, type }): Part => [`.${String(name)}`, type]),
        ...ast.indexSignatures.flatMap((
          { parameter, type }
        ): ReadonlyArray<Part> => [["[key]", parameter], ["[]", type]])
      ]
    case "Union":
      return ast.types.map((part) => ["", part])
    case "Suspend":
      return [["", ast.thunk()]]
    default:
      return []
  }
}

/**
 * The most suspended schemas that are evaluated. A suspended schema may create a new schema at each level. Such a
 * schema has an infinite number of levels, all of them the same.
 */
const mostSuspended = 1000

/** The deepest nesting at which a suspended schema is still evaluated for the shape. */
const mostAround = 200

/** The most parts of a shape. If each level of a schema uses the next level twice, the parts double at each level. */
const mostParts = 100_000

/** Finds a schema and all of its parts, each once, outer parts first. Each part has its parent and the step from there. */
const foundIn = (ast: SchemaAST.AST): ReadonlyMap<SchemaAST.AST, Part | undefined> => {
  const found = new Map<SchemaAST.AST, Part | undefined>([[ast, undefined]])
  let suspended = 0
  // The loop adds to the map that it iterates over.
  for (const part of found.keys()) {
    if (part._tag === "Suspend" && ++suspended > mostSuspended) continue
    for (const [step, inside] of partsOf(part)) {
      if (!found.has(inside)) found.set(inside, [step, part])
    }
  }
  return found
}

/** Returns a schema and all of its parts, each once, outer parts first. */
export const allPartsOf = (ast: SchemaAST.AST): Iterable<SchemaAST.AST> => foundIn(ast).keys()

/** One instance of each class that the value codec stores and restores. */
const keptInstances: ReadonlyArray<object> = [
  new Date(0),
  new Map(),
  new Set(),
  new Error("kept"),
  /kept/,
  new ArrayBuffer(0),
  new DataView(new ArrayBuffer(0)),
  new Int8Array(),
  new Uint8Array(),
  new Uint8ClampedArray(),
  new Int16Array(),
  new Uint16Array(),
  new Int32Array(),
  new Uint32Array(),
  new BigInt64Array(),
  new BigUint64Array(),
  new Float32Array(),
  new Float64Array()
]

/** Tests whether Effect can convert the values of a declared type to JSON. */
const hasCodec = ({ annotations }: SchemaAST.Declaration): boolean =>
  Predicate.isFunction(annotations?.["toCodecJson"]) || Predicate.isFunction(annotations?.["toCodec"])

/**
 * Returns the class that a declaration of the program accepts, such as `Schema.instanceOf(Float32Array)`, if the value
 * codec can store it. Only the function of the declaration knows what it accepts, and it may throw.
 */
const keptClassOf = (part: SchemaAST.Declaration): string | undefined => {
  if (hasCodec(part)) return undefined
  // Without its checks, which the sample instance might not pass.
  const takes = Schema.is(Schema.make(new SchemaAST.Declaration(part.typeParameters, part.run)))
  const kept = keptInstances.find((instance) => Result.getOrElse(Result.try(() => takes(instance)), () => false))
  return kept?.constructor.name
}

const isNativePart = (part: SchemaAST.AST): boolean =>
  part._tag === "Declaration"
    ? nativeTypes.has(nameOf(part) ?? "") || keptClassOf(part) !== undefined
    : part._tag !== "Symbol" && part._tag !== "UniqueSymbol"

/** Tests whether the value codec can store the encoded side of a schema without conversion to JSON. */
export const isNative = (ast: SchemaAST.AST): boolean => [...allPartsOf(SchemaAST.toEncoded(ast))].every(isNativePart)

/**
 * Says which part of a schema cannot be stored: a declaration of the program without a codec, whose class the value
 * codec cannot store. Without this check the first `put` would fail.
 */
export const withoutCodec = (ast: SchemaAST.AST): string | undefined => {
  const found = foundIn(SchemaAST.toEncoded(ast))
  if ([...found.keys()].every(isNativePart)) return undefined
  const part = [...found.keys()].find((each) => each._tag === "Declaration" && !hasCodec(each))
  if (part === undefined) return undefined
  const steps: Array<string> = []
  for (let at = found.get(part); at !== undefined; at = found.get(at[1])) steps.unshift(at[0])
  const path = steps.join("").replace(/^\./, "")
  const kept = part._tag === "Declaration" ? keptClassOf(part) : undefined
  const place = path === "" ? "it" : `"${path}"`
  return kept === undefined
    ? `${place} is a declared schema without a codec (Schema.instanceOf, Schema.declare), so its values could not be ` +
      "restored; annotate it with toCodecJson, or use a Schema.Class or a Schema.Struct"
    : `${place} (${kept}) cannot be stored together with parts that are stored as JSON, such as an Option; annotate it ` +
      "with toCodecJson, or encode those parts by a transformation"
}

/** How many more parts, and how many more suspended schemas, are described. */
interface Budget {
  parts: number
  suspended: number
}

const shapeInside = (encoded: SchemaAST.AST, around: ReadonlyArray<SchemaAST.AST>, budget: Budget): string => {
  // A recursive schema refers to a schema that contains it: say how many levels out that one is.
  const back = around.indexOf(encoded)
  if (back >= 0) return `back ${around.length - back}`
  if (budget.parts === 0) return "and so on"
  budget.parts--
  const inside = [...around, encoded]
  const shape = (part: SchemaAST.AST): string => shapeInside(part, inside, budget)
  const withOption = (part: SchemaAST.AST): string => `${SchemaAST.isOptional(part) ? "?" : ""}${shape(part)}`
  switch (encoded._tag) {
    case "Declaration":
      return `${nameOf(encoded) ?? keptClassOf(encoded) ?? "declaration"}(${encoded.typeParameters.map(shape).join()})`
    case "Literal":
      return `literal ${typeof encoded.literal} ${JSON.stringify(String(encoded.literal))}`
    case "Enum":
      return `literals ${JSON.stringify(encoded.enums.map(([, value]) => String(value)).toSorted())}`
    case "TemplateLiteral":
      return "String"
    case "Arrays":
      return `[${encoded.elements.map(withOption).join()}...${encoded.rest.map(shape).join()}]`
    case "Objects": {
      const fields = encoded.propertySignatures.map(({ name, type }) =>
        `${JSON.stringify(String(name))}:${withOption(type)}`
      )
      const others = encoded.indexSignatures.map(({ parameter, type }) => `[${shape(parameter)}]:${shape(type)}`)
      return `{${[...fields, ...others].toSorted().join()}}`
    }
    case "Union":
      return `(${encoded.types.map(shape).toSorted().join("|")})`
    case "Suspend":
      if (around.length > mostAround || budget.suspended === 0) return "and so on"
      budget.suspended--
      return shape(encoded.thunk())
    default:
      return encoded._tag
  }
}

/**
 * Describes the encoded side of a schema as text: the names of fields, whether they are optional, kinds of values and
 * literals. Checks, annotations and the order of fields are not part of it.
 */
export const shapeOf = (ast: SchemaAST.AST): string =>
  shapeInside(SchemaAST.toEncoded(ast), [], { parts: mostParts, suspended: mostSuspended })
