/**
 * Detects sparse arrays: arrays whose `length` is much larger than the number of their elements, such as `[]` with a
 * `length` of billions.
 *
 * The value codec stores them in few bytes. But a schema visits every index, which blocks the event loop for minutes
 * and fills the memory.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as SchemaAST from "effect/SchemaAST"
import { allPartsOf } from "./schemaShape.ts"

/** The most indexes of arrays with holes. A schema visits that many in a fraction of a second. */
const mostElements = 1_000_000

/** Arrays up to this length are not counted: their stored form has about one byte for each index. */
const fewElements = 100

const takesUndefined = (ast: SchemaAST.AST): boolean => {
  switch (ast._tag) {
    case "Any":
    // A suspended schema may be anything, and no other code evaluates it here.
    case "Suspend":
    case "Undefined":
    case "Unknown":
    case "Void":
      return true
    case "Union":
      return ast.types.some(takesUndefined)
    default:
      return false
  }
}

const isHoled = (ast: SchemaAST.AST): boolean => ast._tag === "Arrays" && ast.rest.some(takesUndefined)

/** Tests whether a schema, on its decoded or encoded side, has an array that accepts holes. Otherwise the first hole fails. */
export const takesHoles = (ast: SchemaAST.AST): boolean =>
  [SchemaAST.toType(ast), SchemaAST.toEncoded(ast)].some((side) => [...allPartsOf(side)].some(isHoled))

const hasHole = (array: ReadonlyArray<unknown>): boolean => {
  for (let index = 0; index < array.length; index++) if (!(index in array)) return true
  return false
}

const partsOfValue = (value: Readonly<Record<PropertyKey, unknown>> | ReadonlyArray<unknown>): Iterable<unknown> => {
  if (Array.isArray(value) || value instanceof Set || value instanceof Map) return value
  return ArrayBuffer.isView(value) ? [] : Object.values(value)
}

const findSparse = (value: unknown): boolean => {
  const seen = new Set<object>()
  const waiting = [value]
  let elements = 0
  while (waiting.length > 0) {
    const next = waiting.pop()
    if (!Predicate.isObjectOrArray(next) || seen.has(next)) continue
    seen.add(next)
    if (Array.isArray(next) && next.length > fewElements && hasHole(next)) {
      elements += next.length
      if (elements > mostElements) return true
    }
    for (const part of partsOfValue(next)) waiting.push(part)
  }
  return false
}

/** Tests whether the arrays with holes in a value have more than a million indexes together. */
export const isSparse = (value: unknown): boolean =>
  // A getter or a proxy may throw. Then the schema fails with a better message.
  Result.getOrElse(Result.try(() => findSparse(value)), () => false)
