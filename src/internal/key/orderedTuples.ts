/**
 * Encodes tuples, and values of a union of kinds, so that their bytes are in the order of the values.
 */
import * as Result from "effect/Result"
import type { OrderedKey } from "../../KeySchema.ts"
import { count } from "../quantity.ts"
import {
  type ByteCursor,
  type Checked,
  damaged,
  type Kind,
  make,
  type SingleKind,
  terminator,
  wrongKind
} from "./orderedScalars.ts"

/** The kinds of the elements of a tuple: first those of `elements`, then any number of elements of `rest`. */
export interface TupleShape {
  readonly elements: ReadonlyArray<Kind>
  readonly rest: Kind | undefined
}

const isArray = (value: unknown): value is ReadonlyArray<OrderedKey> => Array.isArray(value)

const kindAt = ({ elements, rest }: TupleShape, index: number): Kind | undefined => elements[index] ?? rest

const wrongLength = ({ elements, rest }: TupleShape, values: ReadonlyArray<unknown>): Checked<never> => {
  const expected = count(elements.length, "element")
  return Result.fail(`expected ${rest === undefined ? expected : `at least ${expected}`}, got ${values.length}`)
}

const writeElements = (shape: TupleShape, values: ReadonlyArray<OrderedKey>): Checked<string> => {
  let written = ""
  for (let index = 0; index < values.length; index++) {
    const kind = kindAt(shape, index)
    if (kind === undefined) return wrongLength(shape, values)
    const element = kind.encode(values[index])
    if (Result.isFailure(element)) return Result.fail(`element ${index}: ${element.failure}`)
    written += element.success
  }
  return Result.succeed(written)
}

/** Writes all elements but the last, and the beginning of the last. */
const writeStart = (shape: TupleShape, values: ReadonlyArray<OrderedKey>): Checked<string> => {
  const last = values.length - 1
  const kind = kindAt(shape, last)
  if (last < 0) return Result.succeed("")
  if (kind === undefined) return wrongLength(shape, values)
  return Result.flatMap(
    writeElements(shape, values.slice(0, last)),
    (written) =>
      Result.mapBoth(kind.encodeStart(values[last]), {
        onFailure: (problem) => `element ${last}: ${problem}`,
        onSuccess: (start) => written + start
      })
  )
}

const readElements = (shape: TupleShape, cursor: ByteCursor): Checked<ReadonlyArray<OrderedKey>> => {
  const values: Array<OrderedKey> = []
  while (cursor.bytes[cursor.offset] !== terminator) {
    const element = kindAt(shape, values.length)?.decode(cursor) ?? damaged
    if (Result.isFailure(element)) return damaged
    values.push(element.success)
  }
  cursor.offset++
  return values.length < shape.elements.length ? damaged : Result.succeed(values)
}

/** Makes the codec of tuples, or of arrays if there is a `rest`. */
export const tuple = (shape: TupleShape): SingleKind =>
  make({
    tag: "\x80",
    name: shape.rest === undefined ? "a tuple" : "an array",
    is: isArray,
    write: (values) =>
      values.length < shape.elements.length
        ? wrongLength(shape, values)
        : Result.map(writeElements(shape, values), (written) => written + terminator),
    writePrefix: (values) => writeElements(shape, values),
    writeStart: (values) => writeStart(shape, values),
    read: (cursor) => readElements(shape, cursor)
  })

/** Returns the first success of `attempt`, or the last failure. */
const attemptEach = <A>(
  members: ReadonlyArray<SingleKind>,
  attempt: (member: SingleKind) => Checked<A>,
  otherwise: Checked<A>
): Checked<A> => {
  let outcome = otherwise
  for (const member of members) {
    outcome = attempt(member)
    if (Result.isSuccess(outcome)) return outcome
  }
  return outcome
}

/** Makes the codec of a union of kinds. Values of different kinds are ordered by their tags. */
export const union = (members: ReadonlyArray<SingleKind>): Kind => {
  const name = members.map((member) => member.name).join(" or ")
  const matching = (value: unknown): ReadonlyArray<SingleKind> => members.filter((member) => member.is(value))
  return {
    encode: (value) => attemptEach(matching(value), (member) => member.encode(value), wrongKind(name, value)),
    encodePrefix: (value) =>
      attemptEach(matching(value), (member) => member.encodePrefix(value), wrongKind(name, value)),
    encodeStart: (value) => attemptEach(matching(value), (member) => member.encodeStart(value), wrongKind(name, value)),
    decode: (cursor) => {
      const { offset } = cursor
      return attemptEach(members, (member) => {
        cursor.offset = offset
        return member.decode(cursor)
      }, damaged)
    }
  }
}
