/**
 * Tests reads of ranges: part by part, in both directions, with pending writes and committed records.
 */
import * as Effect from "effect/Effect"
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict"
import type { Bound, KeyRange, RangePart, RangeRequest, Write } from "../../Engine.ts"
import { fromBytes } from "../../Key.ts"
import {
  admitted,
  batch,
  below,
  beside,
  commit,
  contractCase,
  type ContractGroup,
  everything,
  key,
  left,
  presentContents,
  put,
  reading,
  readRange,
  writeOf
} from "./subject.ts"

const request: RangeRequest = { ...everything, reverse: false, values: true, maxRecords: 10, maxBytes: 1024 * 1024 }

const bound = (name: string, inclusive: boolean): Bound => ({ key: key(name), inclusive })

/** Keys with all kinds of writes: committed, replaced, deleted, new, and new and then deleted. */
const names = below(24).map((number) => `k${String(number).padStart(2, "0")}`)

/** Returns the value of a key after all writes; `undefined` for none. */
const valueOf = (name: string, number: number): string | undefined => {
  switch (number % 5) {
    case 0:
      return `committed ${name}`
    case 1:
    case 2:
      return `pending ${name}`
    default:
      return undefined
  }
}

const ranges: ReadonlyArray<KeyRange> = [
  everything,
  { from: bound("k05", true), to: bound("k11", true) },
  { from: bound("k05", false), to: bound("k11", false) },
  { from: bound("k03", false), to: undefined },
  { from: undefined, to: bound("k20", false) },
  { from: bound("k07x", true), to: bound("k09", true) },
  { from: bound("k15", true), to: bound("k15", true) },
  { from: bound("k15", false), to: bound("k15", true) },
  { from: bound("k20", true), to: bound("k10", true) },
  { from: bound("x", true), to: undefined }
]

const isWithin = (name: string, { from, to }: KeyRange): boolean =>
  (from === undefined || name > from.key || (from.inclusive && name === from.key)) &&
  (to === undefined || name < to.key || (to.inclusive && name === to.key))

/** The cases. */
export const rangeReads: ContractGroup = {
  name: "a range",
  cases: [
    contractCase(
      "has committed and pending records in order, in either direction, in parts of any size",
      (backend) =>
        Effect.gen(function*() {
          const stored = names.filter((_, number) => number % 5 !== 2 && number % 5 !== 4)
          yield* commit(backend, ...stored.map((name) => writeOf(left, name, `committed ${name}`)))
          for (const [number, name] of names.entries()) {
            if (number % 5 === 0) continue
            if (number % 5 < 3) yield* put(backend, left, name, `pending ${name}`)
            else yield* backend.remove([writeOf(left, name, null)], admitted)
          }
          const snapshot = yield* backend.snapshot()
          for (const range of ranges) {
            for (const reverse of [false, true]) {
              for (const maxRecords of [1, 3, 100]) {
                for (const values of [false, true]) {
                  const expected = names.flatMap((name, number) => {
                    const value = valueOf(name, number)
                    return value !== undefined && isWithin(name, range) ? [[name, values ? value : ""]] : []
                  })
                  const options = { ...range, reverse, maxRecords, values }
                  const wanted = reverse ? expected.toReversed() : expected
                  const shown = JSON.stringify(options)
                  deepStrictEqual(yield* reading(backend, (reader) => readRange(reader, left, options)), wanted, shown)
                  deepStrictEqual(yield* readRange(snapshot, left, options), wanted, shown)
                }
              }
            }
          }
          snapshot.release()
        })
    ),

    contractCase("is read only as far as the part needs", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, ...names.map((name) => writeOf(left, name, "x".repeat(1000))))
        const read = (options: Partial<RangeRequest>): Effect.Effect<RangePart, unknown> =>
          reading(backend, (reader) => reader.read(left, { ...request, ...options }))
        const bySize = yield* read({ maxRecords: 100, maxBytes: 3500 })
        strictEqual(bySize.records.length, 4)
        ok(bySize.rest !== undefined, "something is left")
        const byNumber = yield* read({ maxRecords: 5, reverse: true })
        deepStrictEqual(byNumber.records.map(([name]) => name), names.slice(-5).toReversed())
        const whole = yield* read({ maxRecords: 100 })
        strictEqual(whole.records.length, names.length)
        strictEqual(whole.rest, undefined)
        const one = yield* read({ maxRecords: 1, maxBytes: 1 })
        strictEqual(one.records.length, 1)
      })),

    contractCase("with keys of any bytes is in the order of the bytes", (backend) =>
      Effect.gen(function*() {
        const keys = [
          [0],
          [0, 0],
          [0, 1],
          [1],
          [0x7f],
          [0x7f, 0xff],
          [0x80],
          [0xc3, 0xa9],
          [0xff],
          [0xff, 0x00],
          [0xff, 0xff]
        ].map((codes) => fromBytes(Uint8Array.from(codes)))
        const writes = keys.map((name): Write => [left, name, new Uint8Array(1)])
        yield* backend.commit({ reads: [], writes: batch(writes.filter((_, at) => at % 2 === 0)) }, admitted)
        yield* backend.write(writes.filter((_, at) => at % 2 === 1), admitted)
        const read = (reverse: boolean) =>
          Effect.map(
            reading(backend, (reader) => reader.read(left, { ...request, reverse, maxRecords: 100 })),
            ({ records }) => records.map(([name]) => name)
          )
        deepStrictEqual(yield* read(false), keys)
        deepStrictEqual(yield* read(true), keys.toReversed())
      })),

    contractCase("has each write that has returned, while commits run", (backend) =>
      beside(
        backend.flush,
        Effect.forEach(below(60), (number) =>
          Effect.gen(function*() {
            yield* put(backend, left, `k${number}`, `${number}`)
            if (number > 0) yield* backend.remove([writeOf(left, `k${number - 1}`, null)], admitted)
            deepStrictEqual(yield* presentContents(backend, left), { [`k${number}`]: `${number}` })
          }), { discard: true })
      ))
  ]
}
