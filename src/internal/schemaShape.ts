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
export const partsOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> => {
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

const isNativeInside = (encoded: SchemaAST.AST, seen: Set<SchemaAST.AST>): boolean => {
  if (seen.has(encoded)) return true
  seen.add(encoded)
  if (encoded._tag === "Symbol" || encoded._tag === "UniqueSymbol") return false
  if (encoded._tag === "Declaration" && !nativeTypes.has(nameOf(encoded) ?? "")) return false
  return partsOf(encoded).every((part) => isNativeInside(part, seen))
}

/** Whether what a schema encodes to is kept by a value as it is. */
export const isNative = (ast: SchemaAST.AST): boolean => isNativeInside(SchemaAST.toEncoded(ast), new Set())

const shapeInside = (encoded: SchemaAST.AST, around: ReadonlyArray<SchemaAST.AST>): string => {
  // A recursive schema comes back to one that it is in.
  const back = around.indexOf(encoded)
  if (back >= 0) return `back ${around.length - back}`
  const inside = [...around, encoded]
  const shape = (part: SchemaAST.AST): string => shapeInside(part, inside)
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
export const shapeOf = (ast: SchemaAST.AST): string => shapeInside(SchemaAST.toEncoded(ast), [])
