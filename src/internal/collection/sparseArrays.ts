/**
 * Arrays that are longer than what is in them: `[]` with a `length` of billions.
 *
 * A value keeps them as they are, in few bytes. A schema goes through all of their
 * elements, which holds the event loop for minutes, and takes them into memory.
 */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as SchemaAST from "effect/SchemaAST"
import { allPartsOf } from "./schemaShape.ts"

/** A schema goes through so many elements of arrays with holes in a fraction of a second. */
const mostElements = 1_000_000

/** Smaller arrays take about as many bytes to store as they have elements. */
const fewElements = 100

const takesUndefined = (ast: SchemaAST.AST): boolean => {
  switch (ast._tag) {
    case "Any":
    // What it leads to may be anything, and is looked at nowhere else.
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

/** Whether there is an array in a schema that does not end at the first hole, on one of its sides. */
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

/** Whether the arrays in a value that have holes have very many elements. */
export const isSparse = (value: unknown): boolean =>
  // It may throw as it is looked at, which the schema says better.
  Result.getOrElse(Result.try(() => findSparse(value)), () => false)
