/**
 * The structures of records: which fields many records have, in their order.
 *
 * A record whose structure is known is written as the number of the structure and the
 * values of its fields, without their names. A small record is half as long then, and takes
 * two thirds of the time to read.
 *
 * A structure is met in records, wanted when it was met often, and known when its
 * definition is committed. Only then is it written with: what refers to a definition comes
 * after it in the file, whatever becomes of the process. Numbers are given once and for
 * all, so that a definition that was read stays right.
 */
import * as Result from "effect/Result"
import type { EngineFailure } from "../../StoreError.ts"

/** The names of the fields of a structure, in their order. */
export type Names = ReadonlyArray<string>

/** What comes of the first fields of a record. */
export interface Shape {
  /** By the name of the next field. */
  readonly next: Map<string, Shape>
  /** The number of the structure with these fields and no more. */
  number: number | undefined
  /** How often a record had these fields and no more. */
  met: number
}

/** Where definitions come from. */
export interface Definitions {
  /** Reads those that are committed, from a number on; no names stand for a damaged one. */
  readonly read: (from: number) => Result.Result<ReadonlyArray<Names>, EngineFailure>
  /** Is told of a structure that is worth a definition. */
  readonly want: (names: Names) => void
}

/** The structures of a store. */
export interface RecordStructures {
  /** Those that are known, by their numbers; one without fields stands for a damaged definition. */
  readonly known: ReadonlyArray<Names>
  /** What comes of no fields. */
  readonly root: () => Shape
  /** Takes notice of a record whose structure is not known. */
  readonly meet: (record: Record<string, unknown>) => void
  /** Reads the definitions that are committed by now. */
  readonly refresh: () => Result.Result<void, EngineFailure>
  /** Wants a structure again that was not defined: when it was met so much more often. */
  readonly postpone: (names: Names, meetings: number) => void
}

/** The first of the bytes that stand for structures: all that would be numbers from 64 to 127. */
export const firstStructureByte = 0x40

/** The structures whose number takes one byte. */
export const shortNumbers = 32

/** As many as a store can have: numbers of two bytes would go on to 8,224. */
export const mostStructures = 1024

/** So many records are all looked at, which costs a third more time to write them. */
const firstLooks = 256

/** So many are passed over between two that are looked at behind those. */
const shortestPause = 15

/** So often a structure is met before it is worth a definition. */
export const meetings = 16

/** Records of more fields are taken for tables, whose names are data. */
const mostFields = 64

/** The most characters of all names together. */
const mostCharacters = 1024

/** So many shapes are remembered while none of them is met often. */
const mostShapes = 2048

/** The most records that are passed over between two that are looked at, when nothing comes of it. */
const longestPause = 1023

const makeShape = (): Shape => ({ next: new Map(), number: undefined, met: 0 })

/** Where definitions come from that nobody keeps. */
const nowhere: Definitions = { read: () => Result.succeed([]), want: () => {} }

/** Whether it can be one: `__proto__` is no field of a record that is written by its fields. */
export const isStructure = (names: unknown): names is Names =>
  Array.isArray(names) && names.length > 0 && names.length <= mostFields && new Set(names).size === names.length &&
  names.every((name) => typeof name === "string" && name !== "__proto__")

/** Makes what is known of structures. */
export const make = ({ read, want }: Definitions = nowhere): RecordStructures => {
  const known: Array<Names> = []
  let root = makeShape()
  let shapes = 0
  let pause = shortestPause
  let untilNext = 0
  let looks = 0

  /** The shape of some fields, and of those before them. */
  const shapeOf = (names: Names): Shape => {
    let shape = root
    for (const name of names) {
      let next = shape.next.get(name)
      if (next === undefined) {
        next = makeShape()
        shape.next.set(name, next)
        shapes++
      }
      shape = next
    }
    return shape
  }

  const use = (names: Names, number: number): void => {
    if (names.length > 0) shapeOf(names).number = number
  }

  const add = (names: Names): void => {
    use(names, known.push(names) - 1)
  }

  /** Forgets all shapes but those of known structures. */
  const forgetShapes = (): void => {
    root = makeShape()
    known.forEach(use)
    shapes = 0
    pause = Math.min(2 * pause + 1, longestPause)
  }

  return {
    known,
    root: () => root,
    meet: (record) => {
      if (untilNext > 0) {
        untilNext--
        return
      }
      untilNext = looks++ < firstLooks ? 0 : pause
      const names: Array<string> = []
      for (const name in record) {
        if (names.push(name) > mostFields) return
      }
      if (names.length === 0 || known.length >= mostStructures) return
      if (shapes > mostShapes) forgetShapes()
      const shape = shapeOf(names)
      shape.met++
      if (shape.met !== meetings || names.join("").length > mostCharacters) return
      pause = shortestPause
      want(names)
    },
    refresh: () => Result.map(read(known.length), (found) => found.forEach(add)),
    postpone: (names, more) => {
      shapeOf(names).met = meetings - more
    }
  }
}
