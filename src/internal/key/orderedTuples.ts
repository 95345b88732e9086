/**
 * Tuples and unions of kinds of values, as bytes in the order of the values.
 */
import * as Result from "effect/Result"
import type { OrderedKey } from "../../KeySchema.ts"
import { count } from "../quantity.ts"
import {
  type Checked,
  damaged,
  end,
  type Kind,
  make,
  type Reader,
  type SingleKind,
  wrongKind
} from "./orderedScalars.ts"

/** The elements of a tuple: those of `elements`, then any number of `rest`. */
export interface TupleShape {
  readonly elements: ReadonlyArray<Kind>
  readonly rest: Kind | undefined
}

const isArray = (value: unknown): value is ReadonlyArray<OrderedKey> => Array.isArray(value)

/** The kind of tuples, and of arrays. */
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

  const readElements = (reader: Reader): Checked<ReadonlyArray<OrderedKey>> => {
    const values: Array<OrderedKey> = []
    while (reader.bytes[reader.offset] !== end) {
      const element = kindAt(values.length)?.decode(reader) ?? damaged
      if (Result.isFailure(element)) return damaged
      values.push(element.success)
    }
    reader.offset++
    return values.length < elements.length ? damaged : Result.succeed(values)
  }

  return make({
    tag: "\x80",
    name: rest === undefined ? "a tuple" : "an array",
    is: isArray,
    write: (values) =>
      values.length < elements.length
        ? wrongLength(values)
        : Result.map(writeElements(values), (written) => written + end),
    writePrefix: writeElements,
    read: readElements
  })
}

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

/** Values of any of several kinds: their tags order them. */
export const union = (members: ReadonlyArray<SingleKind>): Kind => {
  const name = members.map((member) => member.name).join(" or ")
  const those = (value: unknown): ReadonlyArray<SingleKind> => members.filter((member) => member.is(value))
  return {
    encode: (value) => attemptEach(those(value), (member) => member.encode(value), wrongKind(name, value)),
    encodePrefix: (value) => attemptEach(those(value), (member) => member.encodePrefix(value), wrongKind(name, value)),
    decode: (reader) => {
      const { offset } = reader
      return attemptEach(members, (member) => {
        reader.offset = offset
        return member.decode(reader)
      }, damaged)
    }
  }
}
