/**
 * What the encoded side of a schema looks like, for the fingerprint of a collection and
 * to see whether values of it can be stored as they are.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/** The declared types that a value keeps as they are; all other classes would come back as plain objects. */
const nativeTypes: ReadonlySet<string> = new Set(
  ["Date", "Error", "ReadonlyMap", "ReadonlySet", "RegExp", "Uint8Array"].map((name) => `effect/schema/${name}`)
)

/** How Effect names a declared type, where it has a name. */
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
 * So many suspended schemas are looked into. A schema that a function makes anew at each of its levels has levels
 * without end, and each is as the ones before.
 */
const mostSuspended = 1000

/** So many schemas lie around a suspended one that is looked into for its shape. */
const mostAround = 200

/** So many parts the shape of a schema has. One that has the same part twice, as that has another, has very many. */
const mostParts = 100_000

/** A schema and all that it consists of, each once, with the part and the step that lead to it; the outer ones first. */
const foundIn = (ast: SchemaAST.AST): ReadonlyMap<SchemaAST.AST, Part | undefined> => {
  const found = new Map<SchemaAST.AST, Part | undefined>([[ast, undefined]])
  let suspended = 0
  // The map grows while it is gone through.
  for (const part of found.keys()) {
    if (part._tag === "Suspend" && ++suspended > mostSuspended) continue
    for (const [step, inside] of partsOf(part)) {
      if (!found.has(inside)) found.set(inside, [step, part])
    }
  }
  return found
}

/** A schema and all that it consists of, each once; the outer ones first. */
export const allPartsOf = (ast: SchemaAST.AST): Iterable<SchemaAST.AST> => foundIn(ast).keys()

/** One of each class whose instances a value keeps. */
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

/** Whether Effect knows how values of a declared type become JSON. */
const hasCodec = ({ annotations }: SchemaAST.Declaration): boolean =>
  Predicate.isFunction(annotations?.["toCodecJson"]) || Predicate.isFunction(annotations?.["toCodec"])

/**
 * The class that a declaration of the program takes, such as `Schema.instanceOf(Float32Array)`, where it is one that a
 * value keeps. What it takes is known to its function alone, which may throw.
 */
const keptClassOf = (part: SchemaAST.Declaration): string | undefined => {
  if (hasCodec(part)) return undefined
  // Without its checks: those are of a real value.
  const takes = Schema.is(Schema.make(new SchemaAST.Declaration(part.typeParameters, part.run)))
  const kept = keptInstances.find((instance) => Result.getOrElse(Result.try(() => takes(instance)), () => false))
  return kept?.constructor.name
}

const isNativePart = (part: SchemaAST.AST): boolean =>
  part._tag === "Declaration"
    ? nativeTypes.has(nameOf(part) ?? "") || keptClassOf(part) !== undefined
    : part._tag !== "Symbol" && part._tag !== "UniqueSymbol"

/** Whether what a schema encodes to is kept by a value as it is. */
export const isNative = (ast: SchemaAST.AST): boolean => [...allPartsOf(SchemaAST.toEncoded(ast))].every(isNativePart)

/**
 * Says which part of a schema no value can be stored by: one that the program declares, of a class that values do not
 * keep, and without a codec. It would fail at the first `put`.
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
    ? `${place} is a declared schema without a codec (Schema.instanceOf, Schema.declare), whose values would come back ` +
      "as something else; annotate it with toCodecJson, or use a Schema.Class or a Schema.Struct"
    : `${place} (${kept}) cannot be stored beside parts that are stored as JSON, such as an Option; annotate it with ` +
      "toCodecJson, or encode those parts by a transformation"
}

/** How many parts, and how many suspended schemas of them, are still looked into. */
interface Budget {
  parts: number
  suspended: number
}

const shapeInside = (encoded: SchemaAST.AST, around: ReadonlyArray<SchemaAST.AST>, budget: Budget): string => {
  // A recursive schema comes back to one that it is in.
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
 * The structure of what a schema encodes to, as text: fields by their names, whether they
 * are optional, kinds of values, literals. Neither checks nor annotations, nor the order
 * of fields.
 */
export const shapeOf = (ast: SchemaAST.AST): string =>
  shapeInside(SchemaAST.toEncoded(ast), [], { parts: mostParts, suspended: mostSuspended })
