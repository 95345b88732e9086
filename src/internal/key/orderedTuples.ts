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

/** Makes the codec of tuples, or of arrays if there is a `rest`. */
export const tuple = ({ elements, rest }: TupleShape): SingleKind => {
  const kindAt = (index: number): Kind | undefined => elements[index] ?? rest

  const wrongLength = (values: ReadonlyArray<unknown>): Checked<never> => {
    const expected = count(elements.length, "element")
    return Result.fail(`expected ${rest === undefined ? expected : `at least ${expected}`}, got ${values.length}`)
  }

  const writeElements = (values: ReadonlyArray<OrderedKey>): Checked<string> => {
    let written = ""
    for (let index = 0; index < values.length; index++) {
      const kind = kindAt(index)
      if (kind === undefined) return wrongLength(values)
      const element = kind.encode(values[index])
      if (Result.isFailure(element)) return Result.fail(`element ${index}: ${element.failure}`)
      written += element.success
    }
    return Result.succeed(written)
  }

  /** Writes all elements but the last, and the beginning of the last. */
  const writeStart = (values: ReadonlyArray<OrderedKey>): Checked<string> => {
    const last = values.length - 1
    const kind = kindAt(last)
    if (last < 0) return Result.succeed("")
    if (kind === undefined) return wrongLength(values)
    return Result.flatMap(
      writeElements(values.slice(0, last)),
      (written) =>
        Result.mapBoth(kind.encodeStart(values[last]), {
          onFailure: (problem) => `element ${last}: ${problem}`,
          onSuccess: (start) => written + start
        })
    )
  }

  const readElements = (cursor: ByteCursor): Checked<ReadonlyArray<OrderedKey>> => {
    const values: Array<OrderedKey> = []
    while (cursor.bytes[cursor.offset] !== terminator) {
      const element = kindAt(values.length)?.decode(cursor) ?? damaged
      if (Result.isFailure(element)) return damaged
      values.push(element.success)
    }
    cursor.offset++
    return values.length < elements.length ? damaged : Result.succeed(values)
  }

  return make({
    tag: "\x80",
    name: rest === undefined ? "a tuple" : "an array",
    is: isArray,
    write: (values) =>
      values.length < elements.length
        ? wrongLength(values)
        : Result.map(writeElements(values), (written) => written + terminator),
    writePrefix: writeElements,
    writeStart,
    read: readElements
  })
}

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
