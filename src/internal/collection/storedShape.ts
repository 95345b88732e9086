/**
 * Makes the shape of the values that a collection may have stored: a graph of the encoded side of its schemas. The
 * catalog stores it, to compare it with the schemas of a later program.
 *
 * Each part of a schema is one node. So recursive schemas have a shape too, and a part that is used twice is one node.
 * A part that cannot be compared part by part (a `oneOf` union, a record whose keys are not plain text, a declared
 * type) is one opaque node with a text. Two opaque nodes are equal if their texts are equal.
 */
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { allPartsOf, shapeOf } from "./schemaShape.ts"

/** The checks that every value of a node passes, such as a minimum length. `checksOf` makes them. */
const Checks = Schema.optionalKey(Schema.Array(Schema.String))

/** A field or an element: its name, its node, and whether it may be missing. */
const Part = Schema.Tuple([Schema.String, Schema.Number, Schema.Boolean])

/** A part of a shape. It refers to other nodes by their numbers. */
export const ShapeNode = Schema.Union([
  /** A kind of values, by its name. The kind of an opaque node contains its text. */
  Schema.TaggedStruct("Kind", { kind: Schema.String, checks: Checks }),
  Schema.TaggedStruct("Literal", { kind: Schema.String, literal: Schema.String }),
  Schema.TaggedStruct("Object", { fields: Schema.Array(Part), others: Schema.Array(Schema.Number), checks: Checks }),
  Schema.TaggedStruct("Array", { elements: Schema.Array(Part), others: Schema.Array(Schema.Number), checks: Checks }),
  /** A `Map` or a `Set`. */
  Schema.TaggedStruct("Entries", { kind: Schema.String, parts: Schema.Array(Schema.Number), checks: Checks }),
  Schema.TaggedStruct("Union", { members: Schema.Array(Schema.Number) })
])

/** A part of a shape. */
export type ShapeNode = typeof ShapeNode.Type

/** The shape of what a collection may have stored. */
export const StoredShape = Schema.Struct({
  /** The fingerprint of the schema of the keys, which must not change. */
  key: Schema.String,
  root: Schema.Number,
  nodes: Schema.Array(ShapeNode)
})

/** The shape of what a collection may have stored. */
export type StoredShape = typeof StoredShape.Type

/** Decodes a shape from the catalog. Returns `none` if a later version of the package has stored unknown kinds of nodes. */
export const decode: (stored: unknown) => Option.Option<StoredShape> = Schema.decodeUnknownOption(StoredShape)

/** The most nodes of a shape. A schema with more parts has no shape: a later program must have the same schema. */
const mostNodes = 1000

/** The declared types of Effect whose entries are compared by their schemas. */
const entryKinds: ReadonlySet<string> = new Set(["ReadonlyMap", "ReadonlySet"].map((name) => `effect/schema/${name}`))

/** Names the checks of a part. Checks that are functions of the program cannot be compared, so they all have the same name. */
const checksOf = ({ checks }: SchemaAST.AST): ReadonlyArray<string> =>
  (checks ?? []).map(({ annotations }) => {
    const known = annotations?.["representation"]
    if (!Predicate.hasProperty(known, "id") || !Predicate.isString(known.id)) return "a check of the program"
    const name = known.id.replace(/^effect\/schema\//, "")
    return Predicate.hasProperty(known, "payload") && Predicate.isNotNullish(known.payload)
      ? `${name} ${Formatter.format(known.payload)}`
      : name
  })

const withChecks = <A extends object>(node: A, ast: SchemaAST.AST): A & { readonly checks?: ReadonlyArray<string> } =>
  ast.checks === undefined ? node : { ...node, checks: checksOf(ast) }

/** Makes the node of a part that is compared as a whole, with everything in it. */
const opaque = (ast: SchemaAST.AST): ShapeNode => {
  const inside = [...allPartsOf(ast)].flatMap(checksOf)
  const template = ast._tag === "TemplateLiteral" ? ` ${ast.parts.map(shapeOf).join(" ")}` : ""
  return { _tag: "Kind", kind: `opaque ${ast._tag}${template} ${shapeOf(ast)} ${inside.join()}` }
}

const literal = (value: SchemaAST.LiteralValue): ShapeNode => ({
  _tag: "Literal",
  kind: typeof value,
  literal: String(value)
})

/** Returns the number of the node of a schema. */
type NumberOf = (part: SchemaAST.AST | ShapeNode) => number

const partOf = (name: string, ast: SchemaAST.AST, numberOf: NumberOf): typeof Part.Type => [
  name,
  numberOf(ast),
  SchemaAST.isOptional(ast)
]

/** Tests whether the keys of a record schema can be any text. */
const isAnyText = ({ parameter }: SchemaAST.IndexSignature): boolean =>
  parameter._tag === "String" && parameter.checks === undefined

const objectNode = (ast: SchemaAST.Objects, numberOf: NumberOf): ShapeNode =>
  ast.indexSignatures.every(isAnyText) && ast.propertySignatures.every(({ name }) => !Predicate.isSymbol(name))
    ? withChecks({
      _tag: "Object",
      fields: ast.propertySignatures.map(({ name, type }) => partOf(String(name), type, numberOf)),
      others: ast.indexSignatures.map(({ type }) => numberOf(type))
    }, ast)
    : opaque(ast)

const nodeOf = (ast: SchemaAST.AST, numberOf: NumberOf): ShapeNode => {
  switch (ast._tag) {
    case "Literal":
      return literal(ast.literal)
    case "Enum":
      return { _tag: "Union", members: ast.enums.map(([, value]) => numberOf(literal(value))) }
    case "Objects":
      return objectNode(ast, numberOf)
    case "Arrays":
      return ast.rest.length > 1 ? opaque(ast) : withChecks({
        _tag: "Array",
        elements: ast.elements.map((element, index) => partOf(`[${index}]`, element, numberOf)),
        others: ast.rest.map(numberOf)
      }, ast)
    case "Union":
      return ast.checks !== undefined || ast.options?.mode === "oneOf"
        ? opaque(ast)
        : { _tag: "Union", members: ast.types.map(numberOf) }
    case "Suspend":
      return ast.checks !== undefined ? opaque(ast) : { _tag: "Union", members: [numberOf(ast.thunk())] }
    case "Declaration": {
      const kind = shapeOf(ast).replace(/\(.*/s, "")
      return entryKinds.has(kind)
        ? withChecks({ _tag: "Entries", kind, parts: ast.typeParameters.map(numberOf) }, ast)
        : withChecks(opaque(ast), ast)
    }
    case "TemplateLiteral":
    case "UniqueSymbol":
      return withChecks(opaque(ast), ast)
    default:
      return withChecks({ _tag: "Kind", kind: ast._tag }, ast)
  }
}

/** Makes the shape of the encoded side of a schema; `undefined` if it has too many parts. */
export const make = (key: string, ast: SchemaAST.AST): StoredShape | undefined => {
  const numbers = new Map<SchemaAST.AST | ShapeNode, number>()
  const numberOf: NumberOf = (part) => {
    const known = numbers.get(part)
    if (known !== undefined) return known
    numbers.set(part, numbers.size)
    return numbers.size - 1
  }
  const root = numberOf(SchemaAST.toEncoded(ast))
  const nodes: Array<ShapeNode> = []
  // The loop adds to the map that it iterates over: `nodeOf` adds the parts of each part.
  for (const part of numbers.keys()) {
    if (numbers.size > mostNodes) return undefined
    nodes.push(SchemaAST.isAST(part) ? nodeOf(part, numberOf) : part)
  }
  return { key, root, nodes }
}

/** Replaces the numbers of the nodes that a node refers to. */
const renumbered = (node: ShapeNode, to: (number: number) => number): ShapeNode => {
  const renumberPart = ([name, number, optional]: typeof Part.Type): typeof Part.Type => [name, to(number), optional]
  switch (node._tag) {
    case "Object":
      return { ...node, fields: node.fields.map(renumberPart), others: node.others.map(to) }
    case "Array":
      return { ...node, elements: node.elements.map(renumberPart), others: node.others.map(to) }
    case "Entries":
      return { ...node, parts: node.parts.map(to) }
    case "Union":
      return { ...node, members: node.members.map(to) }
    default:
      return node
  }
}

/** Returns the members of a union and of the unions in it. For any other node, returns its own number. */
export const membersOf = ({ nodes }: StoredShape, number: number): ReadonlyArray<number> => {
  const found = new Set([number])
  for (const each of found) {
    const node = nodes[each]
    if (node?._tag !== "Union") continue
    for (const member of node.members) found.add(member)
  }
  return [...found].filter((each) => nodes[each]?._tag !== "Union")
}

/** Makes the shape of values that have one of two shapes; `undefined` if it has too many parts. */
export const union = (a: StoredShape, b: StoredShape, isNeeded: (memberOfA: number) => boolean):
  | StoredShape
  | undefined =>
{
  const moved = new Map<number, number>()
  const sources: Array<ShapeNode> = []
  const nodes: Array<ShapeNode> = []
  const all = [...b.nodes, ...a.nodes.map((node) => renumbered(node, (number) => number + b.nodes.length))]
  const to = (number: number): number => {
    const known = moved.get(number)
    if (known !== undefined) return known
    const node = all[number]
    moved.set(number, moved.size)
    if (node !== undefined) sources.push(node)
    return moved.size - 1
  }
  const members = [
    ...membersOf(b, b.root),
    ...membersOf(a, a.root).filter(isNeeded).map((number) => number + b.nodes.length)
  ].map(to)
  // The loop adds to the list that it iterates over. Nodes without a reference are not added.
  for (const node of sources) nodes.push(renumbered(node, to))
  return nodes.length >= mostNodes ? undefined : {
    key: b.key,
    root: nodes.length,
    nodes: [...nodes, { _tag: "Union", members }]
  }
}
