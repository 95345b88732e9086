/**
 * Compares the shape of the values that a collection may have stored with the shape of a program's schema.
 *
 * There are two questions. Does the program decode every value that may be stored (`difference`)? Are all values that
 * the program writes among those that may be stored already (`covers`)? They differ in the fields of an object:
 * decoding ignores a field that the schema does not have.
 *
 * A comparison may say that there is a difference where there is none, as it compares the parts of a schema one by one.
 * It never says that there is none where there is one.
 */
import * as Predicate from "effect/Predicate"
import { membersOf, type ShapeNode, type StoredShape, union } from "./storedShape.ts"

/** What a value that may be stored has and a schema does not take. */
interface Difference {
  /** The way to the part that differs, from the value on: names of fields, `[]` for an element. */
  readonly path: ReadonlyArray<string>
  /** What is said after the name of the part. */
  readonly problem: string
  /** Whether the values are of another kind, so that the schema was not made for them. */
  readonly isOtherKind: boolean
}

interface Comparison {
  readonly from: StoredShape
  readonly to: StoredShape
  /** Whether an object may have no fields but those of the other shape. */
  readonly isClosed: boolean
  /** Whether the checks of the other shape must be those of the first. */
  readonly withChecks: boolean
  /**
   * By pairs of nodes: what is known of them. A pair that is being compared has none as yet: a recursive
   * schema takes what is stored unless a difference is found elsewhere.
   */
  readonly known: Map<string, Difference | undefined>
  /** The pairs without a known difference, in the order in which they were begun. */
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

/** The first difference that there is. */
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

/** How a kind of values is called in a message. */
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
  otherKind(`takes other values than those that may be stored: ${nameOf(node)}`)

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
    : sameKind(`has a check that values may not pass which are stored (${added})`)
}

type Of<Tag extends ShapeNode["_tag"]> = Extract<ShapeNode, { readonly _tag: Tag }>

const compareObjects = (comparison: Comparison, a: Of<"Object">, b: Of<"Object">): Difference | undefined => {
  const { isClosed } = comparison
  // An object schema without fields takes everything but null and undefined, and keeps it.
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
      ? sameKind("must be there, and values without it may be stored", [name])
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
        ? sameKind("must be there, and arrays without it may be stored", [name])
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
      ? otherKind("takes fewer elements than arrays have that may be stored")
      : inside("[]", first(b.others, (other) => compare(comparison, node, other))))

const compareEntries = (comparison: Comparison, a: Of<"Entries">, b: Of<"Entries">): Difference | undefined =>
  a.kind !== b.kind || a.parts.length !== b.parts.length
    ? notTaken(a)
    : first(a.parts, (part, index) => inside("[]", compare(comparison, part, b.parts[index])))

/** Whether a kind without parts takes the values of a node. */
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

/** Compares the values of a node that is no union with what the members of another take. */
const compareMember = (comparison: Comparison, a: number, members: ReadonlyArray<number>): Difference | undefined => {
  const node = comparison.from.nodes[a]
  if (node === undefined) return notTaken({ _tag: "Kind", kind: "opaque" })
  const differences: Array<Difference> = []
  for (const member of members) {
    const found = comparePair(comparison, a, member)
    if (found === undefined) return undefined
    differences.push(found)
  }
  // Of several members, those of another kind are not the ones that were changed.
  return differences.length === 1 ? differences[0] : differences.find((each) => !each.isOtherKind) ?? notTaken(node)
}

/** Compares two nodes that are no unions. */
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
  // No difference was found in these since; perhaps only because this pair was assumed to have none.
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
 * Says why a program does not decode every value that may be stored: which field differs, and how. Gives `undefined`
 * where it does.
 */
export const difference = (stored: StoredShape, wanted: StoredShape): string | undefined => {
  if (stored.key !== wanted.key) return "the schema of its keys is another"
  const found = compare(begin(stored, wanted, { isClosed: false, withChecks: true }), stored.root, wanted.root)
  return found === undefined ? undefined : `${placeOf(found.path)} ${found.problem}`
}

const isCovered = (a: StoredShape, b: StoredShape, withChecks: boolean): boolean =>
  a.key === b.key && compare(begin(a, b, { isClosed: true, withChecks }), a.root, b.root) === undefined

/** Whether every value that a program writes may be stored already. */
export const covers = (stored: StoredShape, wanted: StoredShape): boolean => isCovered(wanted, stored, true)

/** Whether two shapes are the same but for their checks. */
export const hasSameParts = (a: StoredShape, b: StoredShape): boolean =>
  isCovered(a, b, false) && isCovered(b, a, false)

/** The shape of what may be stored once a program writes too; `undefined` where it has too many parts. */
export const widened = (stored: StoredShape, wanted: StoredShape): StoredShape | undefined => {
  if (covers(stored, wanted)) return stored
  const comparison = begin(stored, wanted, { isClosed: true, withChecks: true })
  const members = membersOf(wanted, wanted.root)
  const isNeeded = (member: number) => Predicate.isNotUndefined(compareMember(comparison, member, members))
  return membersOf(stored, stored.root).some(isNeeded) ? union(stored, wanted, isNeeded) : wanted
}
