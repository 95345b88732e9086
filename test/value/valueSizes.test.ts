/* oxlint-disable vitest/expect-expect -- comesBack asserts */
/** Values that are very large or very deep, and the end of the call stack. */
import { assert, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { deepStrictEqual } from "node:assert"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"

const codec = ValueCodec.make()

const encode = (value: unknown): Uint8Array => Result.getOrThrow(ValueCodec.encode(codec, value))

const decode = (bytes: Uint8Array): unknown => Result.getOrThrow(ValueCodec.decode(codec, bytes))

const roundTrip = (value: unknown): unknown => decode(encode(value))

const comesBack = (value: unknown): void => deepStrictEqual(roundTrip(value), structuredClone(value))

const depthOf = (value: unknown): number => {
  let depth = 0
  for (let inner: unknown = value; Array.isArray(inner); inner = inner.at(0)) depth++
  return depth
}

it("objects and arrays of any size", () => {
  comesBack(Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`k${index}`, index])))
  comesBack(Array.from({ length: 70_000 }, (_, index) => index * 1.5))
  comesBack(new Map(Array.from({ length: 70_000 }, (_, index) => [index, index])))
})

it("any depth of nesting", () => {
  for (const depth of [63, 64, 65, 66, 100_000]) {
    let value: unknown = 1
    for (let level = 0; level < depth; level++) value = [value]
    assert.strictEqual(depthOf(roundTrip(value)), depth)
  }
})
it("at the end of the call stack the codec stays usable", () => {
  const value = { alpha: 1, beta: ["gamma", { delta: "x".repeat(70) }], epsilon: new Date(5) }
  const [plain, graph] = [encode(value), encode(new Map([[value, value]]))]
  const dive = (): void => {
    ValueCodec.encode(codec, value)
    ValueCodec.encode(codec, [value, value])
    ValueCodec.decode(codec, plain)
    ValueCodec.decode(codec, graph)
    dive()
  }
  for (let run = 0; run < 5; run++) {
    assert.throws(dive, RangeError)
    comesBack(value)
    comesBack([value, value])
    deepStrictEqual([decode(plain), decode(graph)], structuredClone([value, new Map([[value, value]])]))
  }
})
