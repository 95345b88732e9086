/**
 * Compares the shape of the values that a collection may have stored with the shape of a program's schema.
 *
 * It answers two questions. `difference`: does the program decode every value that may be stored? `covers`: does the
 * stored shape include every value that the program writes? The answers differ for an object with a field that the
 * schema does not have, because decoding ignores such a field.
 *
 * The comparison is of one part of a schema after the other. So it may report a difference between two shapes that have
 * the same values. It never misses a difference.
 */
import * as Predicate from "effect/Predicate"
import { membersOf, type ShapeNode, type StoredShape, union } from "./storedShape.ts"

/** A part of a value that may be stored, but that the other schema does not accept. */
interface Difference {
  /** The path from the value to the part that differs: names of fields, `[]` for an element. */
  readonly path: ReadonlyArray<string>
  /** The message, to follow the name of the part. */
  readonly problem: string
  /** Whether the values are of another kind, such as text in place of numbers. */
  readonly isOtherKind: boolean
}

/** A comparison of the values of one shape with those that another shape accepts. */
interface Comparison {
  readonly from: StoredShape
  readonly to: StoredShape
  /** Whether a field that only `from` has is a difference. */
  readonly isClosed: boolean
  /** Whether a check that only `to` has is a difference. */
  readonly withChecks: boolean
  /**
   * The result of each pair of nodes. A pair that is still being compared has `undefined`, which means no difference: a
   * recursive schema accepts what is stored unless a difference is found in another part.
   */
  readonly known: Map<string, Difference | undefined>
  /** The pairs in which no difference was found so far, in the order in which their comparisons began. */
  readonly accepted: Array<string>
}

const otherKind = (problem: string): Difference => ({ path: [], problem, isOtherKind: true })

const sameKind = (problem: string, path: ReadonlyArray<string> = []): Difference => ({
  path,
  problem,
  isOtherKind: false
})

const inside = (step: string, difference: Difference | undefined): Difference | undefined =>
  difference === undefined ? undefined : { ...difference, path: [step, ...difference.path] }

/** Returns the first difference that is found in a list. */
const first = <A>(
  items: Iterable<A>,
  differenceOf: (item: A, index: number) => Difference | undefined
): Difference | undefined => {
  let index = 0
  for (const item of items) {
    const found = differenceOf(item, index++)
    if (found !== undefined) return found
  }
  return undefined
}

/** Names a kind of values in a message. */
const nameOf = (node: ShapeNode): string => {
  switch (node._tag) {
    case "Kind":
      return node.kind.startsWith("opaque ") ? "values of another kind" : node.kind
    case "Literal":
      return node.kind === "string" ? JSON.stringify(node.literal) : node.literal
    case "Object":
      return "objects"
    case "Array":
      return "arrays"
    case "Entries":
      return node.kind.replace(/^.*\//, "")
    case "Union":
      return "values of several kinds"
  }
}

const refused = (node: ShapeNode): Difference => otherKind(`does not accept values that may be stored: ${nameOf(node)}`)

/** The kinds of values that have literals, by the `typeof` of these. */
const kindOfLiterals: Readonly<Record<string, string>> = {
  string: "String",
  number: "Number",
  boolean: "Boolean",
  bigint: "BigInt"
}

/** Compares the checks of two nodes. */
const compareChecks = (
  { withChecks }: Comparison,
  a: ReadonlyArray<string> = [],
  b: ReadonlyArray<string> = []
): Difference | undefined => {
  const added = withChecks ? b.find((check) => !a.includes(check)) : undefined
  return added === undefined
    ? undefined
    : sameKind(`has a check that stored values may not pass (${added})`)
}

type Of<Tag extends ShapeNode["_tag"]> = Extract<ShapeNode, { readonly _tag: Tag }>

/** Compares a node with each of several others: all of them must accept its values. */
const compareWithAll = (
  comparison: Comparison,
  a: number,
  others: ReadonlyArray<number>
): Difference | undefined => first(others, (b) => compare(comparison, a, b))

/** Compares each of several nodes with another: it must accept the values of all of them. */
const compareAll = (comparison: Comparison, others: ReadonlyArray<number>, b: number): Difference | undefined =>
  first(others, (a) => compare(comparison, a, b))

// ---------------------------------------------------------------------------
// objects
// ---------------------------------------------------------------------------

/** Compares the named fields of a schema with what may be stored under their names. */
const compareFields = (comparison: Comparison, a: Of<"Object">, b: Of<"Object">): Difference | undefined => {
  const stored = new Map(a.fields.map((field) => [field[0], field]))
  return first(b.fields, ([name, node, isOptional]) => {
    const field = stored.get(name)
    if (field === undefined) {
      return isOptional
        ? inside(name, compareAll(comparison, a.others, node))
        : sameKind("was added without a default", [name])
    }
    return field[2] && !isOptional
      ? sameKind("is required, but values without it may be stored", [name])
      : inside(name, compare(comparison, field[1], node))
  })
}

/** Finds a field that may be stored and that the schema does not have. */
const findOtherField = (a: Of<"Object">, b: Of<"Object">): Difference | undefined => {
  const names = new Set(b.fields.map(([name]) => name))
  const field = a.fields.find(([name]) => !names.has(name))
  if (field !== undefined) return otherKind(`lacks the field \`${field[0]}\``)
  return a.others.length > 0 ? otherKind("lacks fields of any name") : undefined
}

/** Compares all fields that may be stored with those of any name in the schema. */
const compareOtherFields = (comparison: Comparison, a: Of<"Object">, b: Of<"Object">): Difference | undefined => {
  if (b.others.length === 0) return comparison.isClosed ? findOtherField(a, b) : undefined
  return first(a.fields, ([name, node]) => inside(name, compareWithAll(comparison, node, b.others))) ??
    first(a.others, (node) => inside("[]", compareWithAll(comparison, node, b.others)))
}

const compareObjects = (comparison: Comparison, a: Of<"Object">, b: Of<"Object">): Difference | undefined => {
  // An object schema without fields accepts everything except null and undefined, and stores it unchanged.
  if (b.fields.length + b.others.length === 0) return undefined
  if (a.fields.length + a.others.length === 0) return refused({ _tag: "Kind", kind: "objects with any fields" })
  return compareFields(comparison, a, b) ?? compareOtherFields(comparison, a, b)
}

// ---------------------------------------------------------------------------
// arrays
// ---------------------------------------------------------------------------

/** Compares the elements of a tuple in a schema with what may be stored in their places. */
const compareElements = (comparison: Comparison, a: Of<"Array">, b: Of<"Array">): Difference | undefined =>
  first(b.elements, ([name, node, isOptional], index) => {
    const element = a.elements[index]
    if (element === undefined) {
      return isOptional
        ? inside(name, compareAll(comparison, a.others, node))
        : sameKind("was added without a default", [name])
    }
    return element[2] && !isOptional
      ? sameKind("is required, but arrays without it may be stored", [name])
      : inside(name, compare(comparison, element[1], node))
  })

/** Compares the elements that may be stored after those of a tuple with the further elements that the schema accepts. */
const compareOtherElements = (comparison: Comparison, a: Of<"Array">, b: Of<"Array">): Difference | undefined => {
  const others = [...a.elements.slice(b.elements.length).map(([, node]) => node), ...a.others]
  return first(others, (node) =>
    b.others.length === 0
      ? otherKind("accepts fewer elements than stored arrays may have")
      : inside("[]", compareWithAll(comparison, node, b.others)))
}

const compareArrays = (comparison: Comparison, a: Of<"Array">, b: Of<"Array">): Difference | undefined =>
  compareElements(comparison, a, b) ?? compareOtherElements(comparison, a, b)

// ---------------------------------------------------------------------------
// nodes
// ---------------------------------------------------------------------------

const compareEntries = (comparison: Comparison, a: Of<"Entries">, b: Of<"Entries">): Difference | undefined =>
  a.kind !== b.kind || a.parts.length !== b.parts.length
    ? refused(a)
    : first(a.parts, (part, index) => inside("[]", compare(comparison, part, b.parts[index])))

/** Tests whether a kind without parts accepts the values of a node. */
const isOfKind = (a: ShapeNode, { kind }: Of<"Kind">): boolean => {
  switch (a._tag) {
    case "Kind":
      return a.kind === kind
    case "Literal":
      return kindOfLiterals[a.kind] === kind
    default:
      return kind === "ObjectKeyword"
  }
}

const compareNodes = (comparison: Comparison, a: ShapeNode, b: ShapeNode): Difference | undefined => {
  if (a._tag === "Kind" && a.kind === "Never") return undefined
  const checksOfA = a._tag === "Literal" || a._tag === "Union" ? undefined : a.checks
  switch (b._tag) {
    case "Kind":
      return b.kind === "Any" || b.kind === "Unknown" || isOfKind(a, b)
        ? compareChecks(comparison, checksOfA, b.checks)
        : refused(a)
    case "Literal":
      return a._tag === "Literal" && a.kind === b.kind && a.literal === b.literal ? undefined : refused(a)
    case "Object":
      return a._tag !== "Object"
        ? refused(a)
        : compareChecks(comparison, checksOfA, b.checks) ?? compareObjects(comparison, a, b)
    case "Array":
      return a._tag !== "Array"
        ? refused(a)
        : compareChecks(comparison, checksOfA, b.checks) ?? compareArrays(comparison, a, b)
    case "Entries":
      return a._tag !== "Entries"
        ? refused(a)
        : compareChecks(comparison, checksOfA, b.checks) ?? compareEntries(comparison, a, b)
    case "Union":
      return refused(a)
  }
}

/** Compares a node that is not a union with the members of another node. One member that accepts its values is enough. */
const compareMember = (comparison: Comparison, a: number, members: ReadonlyArray<number>): Difference | undefined => {
  const node = comparison.from.nodes[a]
  if (node === undefined) return refused({ _tag: "Kind", kind: "opaque" })
  const differences: Array<Difference> = []
  for (const member of members) {
    const found = comparePair(comparison, a, member)
    if (found === undefined) return undefined
    differences.push(found)
  }
  // If several members differ, report one of the same kind: it is probably the one that was changed.
  return differences.length === 1 ? differences[0] : differences.find((each) => !each.isOtherKind) ?? refused(node)
}

/** Compares two nodes that are not unions. */
const comparePair = (comparison: Comparison, a: number, b: number): Difference | undefined => {
  const { accepted, from, known, to } = comparison
  const pair = `${a} ${b}`
  if (known.has(pair)) return known.get(pair)
  const before = accepted.length
  known.set(pair, undefined)
  accepted.push(pair)
  const [nodeA, nodeB] = [from.nodes[a], to.nodes[b]]
  const found = nodeA === undefined || nodeB === undefined
    ? refused({ _tag: "Kind", kind: "opaque" })
    : compareNodes(comparison, nodeA, nodeB)
  if (found === undefined) return undefined
  // Some of these pairs may be accepted only because this pair was assumed to be accepted: compare them again when needed.
  for (const each of accepted.splice(before)) known.delete(each)
  known.set(pair, found)
  return found
}

/** Compares two nodes: a member of the second must accept each member of the first. */
const compare = (comparison: Comparison, a: number | undefined, b: number | undefined): Difference | undefined => {
  if (a === undefined || b === undefined) return refused({ _tag: "Kind", kind: "opaque" })
  const members = membersOf(comparison.to, b)
  return first(membersOf(comparison.from, a), (member) => compareMember(comparison, member, members))
}

// ---------------------------------------------------------------------------
// shapes
// ---------------------------------------------------------------------------

const begin = (
  from: StoredShape,
  to: StoredShape,
  options: Pick<Comparison, "isClosed" | "withChecks">
): Comparison => ({ from, to, ...options, known: new Map(), accepted: [] })

/** Names a part of a value in a message. */
const placeOf = (path: ReadonlyArray<string>): string =>
  path.length === 0
    ? "the value"
    : `field \`${path.map((step) => step.startsWith("[") ? step : `.${step}`).join("").replace(/^\./, "")}\``

/**
 * Says why a program does not decode every value that may be stored: which field differs, and how. Returns `undefined`
 * if the program decodes all of them.
 */
export const difference = (stored: StoredShape, declared: StoredShape): string | undefined => {
  if (stored.key !== declared.key) return "the schema of its keys has changed"
  const found = compare(begin(stored, declared, { isClosed: false, withChecks: true }), stored.root, declared.root)
  return found === undefined ? undefined : `${placeOf(found.path)} ${found.problem}`
}

const isCovered = (a: StoredShape, b: StoredShape, withChecks: boolean): boolean =>
  a.key === b.key && compare(begin(a, b, { isClosed: true, withChecks }), a.root, b.root) === undefined

/** Tests whether the stored shape includes every value that a program writes. */
export const covers = (stored: StoredShape, declared: StoredShape): boolean => isCovered(declared, stored, true)

/** Tests whether two shapes are the same, apart from their checks. */
export const hasSameParts = (a: StoredShape, b: StoredShape): boolean =>
  isCovered(a, b, false) && isCovered(b, a, false)

/** Makes the shape of what may be stored after a program has written too; `undefined` if it has too many parts. */
export const widened = (stored: StoredShape, declared: StoredShape): StoredShape | undefined => {
  if (covers(stored, declared)) return stored
  const comparison = begin(stored, declared, { isClosed: true, withChecks: true })
  const members = membersOf(declared, declared.root)
  const isNeeded = (member: number) => Predicate.isNotUndefined(compareMember(comparison, member, members))
  return membersOf(stored, stored.root).some(isNeeded) ? union(stored, declared, isNeeded) : declared
}
