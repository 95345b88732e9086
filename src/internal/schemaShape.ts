/**
 * What the encoded side of a schema looks like, for the fingerprint of a collection and
 * to see whether values of it can be stored as they are.
 */
import * as Predicate from "effect/Predicate"
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

/** The schemas that a schema consists of. */
const partsOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> => {
  switch (ast._tag) {
    case "Declaration":
      return ast.typeParameters
    case "Arrays":
      return [...ast.elements, ...ast.rest]
    case "Objects":
      return [
        ...ast.propertySignatures.map(({ type }) => type),
        ...ast.indexSignatures.flatMap(({ parameter, type }) => [parameter, type])
      ]
    case "Union":
      return ast.types
    case "Suspend":
      return [ast.thunk()]
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

/** A schema and all that it consists of, each once; the outer ones first. */
export const allPartsOf = (ast: SchemaAST.AST): Iterable<SchemaAST.AST> => {
  const found = new Set([ast])
  let suspended = 0
  for (const part of found) {
    if (part._tag === "Suspend" && ++suspended > mostSuspended) continue
    for (const inside of partsOf(part)) found.add(inside)
  }
  return found
}

const isNativePart = (part: SchemaAST.AST): boolean =>
  part._tag === "Declaration"
    ? nativeTypes.has(nameOf(part) ?? "")
    : part._tag !== "Symbol" && part._tag !== "UniqueSymbol"

/** Whether what a schema encodes to is kept by a value as it is. */
export const isNative = (ast: SchemaAST.AST): boolean => [...allPartsOf(SchemaAST.toEncoded(ast))].every(isNativePart)

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
      return `${nameOf(encoded) ?? "declaration"}(${encoded.typeParameters.map(shape).join()})`
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
