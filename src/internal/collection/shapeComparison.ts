/**
 * Compares the shape of the values that a collection may have stored with the shape of a program's schema.
 *
 * It answers two questions. `difference`: does the program decode every value that may be stored? `covers`: may every
 * value that the program writes be stored already? The answers differ for an object with a field that the schema does
 * not have, because decoding ignores such a field.
 *
 * It compares the parts of a schema one by one. So it may report a difference although there is none. It never misses
 * one.
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

interface Comparison {
  readonly from: StoredShape
  readonly to: StoredShape
  /** Whether a field that the other shape does not have is a difference. */
  readonly isClosed: boolean
  /** Whether a check that only the other shape has is a difference. */
  readonly withChecks: boolean
  /**
   * The result of each pair of nodes. A pair that is still being compared has `undefined`, which means no difference: a
   * recursive schema accepts what is stored unless a difference is found in another part.
   */
  readonly known: Map<string, Difference | undefined>
  /** The pairs without a known difference, in the order in which their comparisons began. */
  readonly taken: Array<string>
}

const otherKind = (problem: string): Difference => ({ path: [], problem, isOtherKind: true })

const sameKind = (problem: string, path: ReadonlyArray<string> = []): Difference => ({
  path,
  problem,
  isOtherKind: false
})

const inside = (step: string, difference: Difference | undefined): Difference | undefined =>
  difference === undefined ? undefined : { ...difference, path: [step, ...difference.path] }

/** Returns the first difference. */
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

const notTaken = (node: ShapeNode): Difference =>
  otherKind(`does not accept values that may be stored: ${nameOf(node)}`)

/** The kinds of values that have literals, by the `typeof` of these. */
const kindOfLiterals: Readonly<Record<string, string>> = {
  string: "String",
  number: "Number",
  boolean: "Boolean",
  bigint: "BigInt"
}

const checkDifference = (
  { withChecks }: Comparison,
  stored: ReadonlyArray<string> = [],
  wanted: ReadonlyArray<string> = []
): Difference | undefined => {
  const added = withChecks ? wanted.find((check) => !stored.includes(check)) : undefined
  return added === undefined
    ? undefined
    : sameKind(`has a check that stored values may not pass (${added})`)
}

type Of<Tag extends ShapeNode["_tag"]> = Extract<ShapeNode, { readonly _tag: Tag }>

const compareObjects = (comparison: Comparison, a: Of<"Object">, b: Of<"Object">): Difference | undefined => {
  const { isClosed } = comparison
  // An object schema without fields accepts everything except null and undefined, and stores it unchanged.
  if (b.fields.length + b.others.length === 0) return undefined
  if (a.fields.length + a.others.length === 0) return notTaken({ _tag: "Kind", kind: "objects with any fields" })
  const stored = new Map(a.fields.map((field) => [field[0], field]))
  const names = new Set(b.fields.map(([name]) => name))
  return first(b.fields, ([name, node, isOptional]) => {
    const field = stored.get(name)
    if (field === undefined) {
      if (!isOptional) return sameKind("was added without a default", [name])
      return inside(name, first(a.others, (other) => compare(comparison, other, node)))
    }
    return field[2] && !isOptional
      ? sameKind("is required, but values without it may be stored", [name])
      : inside(name, compare(comparison, field[1], node))
  }) ?? first(a.fields, ([name, node]) =>
    b.others.length === 0
      ? isClosed && !names.has(name) ? otherKind(`lacks the field \`${name}\``) : undefined
      : inside(name, first(b.others, (other) => compare(comparison, node, other)))) ??
    first(a.others, (node) =>
      b.others.length === 0
        ? isClosed ? otherKind("lacks fields of any name") : undefined
        : inside("[]", first(b.others, (other) => compare(comparison, node, other))))
}

const compareArrays = (comparison: Comparison, a: Of<"Array">, b: Of<"Array">): Difference | undefined =>
  first(b.elements, ([name, node, isOptional], index) => {
    const element = a.elements[index]
    if (element !== undefined) {
      return element[2] && !isOptional
        ? sameKind("is required, but arrays without it may be stored", [name])
        : inside(name, compare(comparison, element[1], node))
    }
    return isOptional
      ? inside(name, first(a.others, (other) => compare(comparison, other, node)))
      : sameKind("was added without a default", [name])
  }) ?? first([
    ...a.elements.slice(b.elements.length).map(([, node]) => node),
    ...a.others
  ], (node) =>
    b.others.length === 0
      ? otherKind("accepts fewer elements than stored arrays may have")
      : inside("[]", first(b.others, (other) => compare(comparison, node, other))))

const compareEntries = (comparison: Comparison, a: Of<"Entries">, b: Of<"Entries">): Difference | undefined =>
  a.kind !== b.kind || a.parts.length !== b.parts.length
    ? notTaken(a)
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
        ? checkDifference(comparison, checksOfA, b.checks)
        : notTaken(a)
    case "Literal":
      return a._tag === "Literal" && a.kind === b.kind && a.literal === b.literal ? undefined : notTaken(a)
    case "Object":
      return a._tag !== "Object"
        ? notTaken(a)
        : checkDifference(comparison, checksOfA, b.checks) ?? compareObjects(comparison, a, b)
    case "Array":
      return a._tag !== "Array"
        ? notTaken(a)
        : checkDifference(comparison, checksOfA, b.checks) ?? compareArrays(comparison, a, b)
    case "Entries":
      return a._tag !== "Entries"
        ? notTaken(a)
        : checkDifference(comparison, checksOfA, b.checks) ?? compareEntries(comparison, a, b)
    case "Union":
      return notTaken(a)
  }
}

/** Compares a node that is not a union with the members of another node. One member that accepts its values is enough. */
const compareMember = (comparison: Comparison, a: number, members: ReadonlyArray<number>): Difference | undefined => {
  const node = comparison.from.nodes[a]
  if (node === undefined) return notTaken({ _tag: "Kind", kind: "opaque" })
  const differences: Array<Difference> = []
  for (const member of members) {
    const found = comparePair(comparison, a, member)
    if (found === undefined) return undefined
    differences.push(found)
  }
  // If several members differ, report one of the same kind: it is probably the one that was changed.
  return differences.length === 1 ? differences[0] : differences.find((each) => !each.isOtherKind) ?? notTaken(node)
}

/** Compares two nodes that are not unions. */
const comparePair = (comparison: Comparison, a: number, b: number): Difference | undefined => {
  const { from, known, taken, to } = comparison
  const pair = `${a} ${b}`
  if (known.has(pair)) return known.get(pair)
  const before = taken.length
  known.set(pair, undefined)
  taken.push(pair)
  const [nodeA, nodeB] = [from.nodes[a], to.nodes[b]]
  const found = nodeA === undefined || nodeB === undefined
    ? notTaken({ _tag: "Kind", kind: "opaque" })
    : compareNodes(comparison, nodeA, nodeB)
  if (found === undefined) return undefined
  // These pairs may have no difference only because this pair was assumed to have none. Compare them again when needed.
  for (const each of taken.splice(before)) known.delete(each)
  known.set(pair, found)
  return found
}

const compare = (comparison: Comparison, a: number | undefined, b: number | undefined): Difference | undefined => {
  if (a === undefined || b === undefined) return notTaken({ _tag: "Kind", kind: "opaque" })
  const members = membersOf(comparison.to, b)
  return first(membersOf(comparison.from, a), (member) => compareMember(comparison, member, members))
}

const begin = (
  from: StoredShape,
  to: StoredShape,
  options: Pick<Comparison, "isClosed" | "withChecks">
): Comparison => ({ from, to, ...options, known: new Map(), taken: [] })

const placeOf = (path: ReadonlyArray<string>): string =>
  path.length === 0
    ? "the value"
    : `field \`${path.map((step) => step.startsWith("[") ? step : `.${step}`).join("").replace(/^\./, "")}\``

/**
 * Says why a program does not decode every value that may be stored: which field differs, and how. Returns `undefined`
 * if it decodes all.
 */
export const difference = (stored: StoredShape, wanted: StoredShape): string | undefined => {
  if (stored.key !== wanted.key) return "the schema of its keys has changed"
  const found = compare(begin(stored, wanted, { isClosed: false, withChecks: true }), stored.root, wanted.root)
  return found === undefined ? undefined : `${placeOf(found.path)} ${found.problem}`
}

const isCovered = (a: StoredShape, b: StoredShape, withChecks: boolean): boolean =>
  a.key === b.key && compare(begin(a, b, { isClosed: true, withChecks }), a.root, b.root) === undefined

/** Tests whether every value that a program writes may be stored already. */
export const covers = (stored: StoredShape, wanted: StoredShape): boolean => isCovered(wanted, stored, true)

/** Tests whether two shapes are the same, apart from their checks. */
export const hasSameParts = (a: StoredShape, b: StoredShape): boolean =>
  isCovered(a, b, false) && isCovered(b, a, false)

/** Makes the shape of what may be stored after a program writes too; `undefined` if it has too many parts. */
export const widened = (stored: StoredShape, wanted: StoredShape): StoredShape | undefined => {
  if (covers(stored, wanted)) return stored
  const comparison = begin(stored, wanted, { isClosed: true, withChecks: true })
  const members = membersOf(wanted, wanted.root)
  const isNeeded = (member: number) => Predicate.isNotUndefined(compareMember(comparison, member, members))
  return membersOf(stored, stored.root).some(isNeeded) ? union(stored, wanted, isNeeded) : wanted
}
