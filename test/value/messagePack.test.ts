/** The check of bytes before msgpackr reads them, against the table of first bytes in the specification of MessagePack. */
import { assert, describe, it } from "@effect/vitest"
import { isMessage, maximumDepth } from "../../src/internal/value/messagePack.ts"

const zeros = (count: number): ReadonlyArray<number> => Array.from({ length: count }, () => 0)

/** A number in so many bytes. */
const numberIn = (width: number, value: number): ReadonlyArray<number> => [...zeros(width - 1), value]

/** A type of extension that is written here. */
const knownType = 0x00

/** The bytes behind a first byte that has neither its value nor its length in itself. */
const behind = new Map<number, ReadonlyArray<number>>([
  [0xc0, []],
  [0xc2, []],
  [0xc3, []],
  ...[1, 2, 4].flatMap((width, index): ReadonlyArray<readonly [number, ReadonlyArray<number>]> => [
    [0xc4 + index, [...numberIn(width, 3), ...zeros(3)]],
    [0xc7 + index, [...numberIn(width, 3), knownType, ...zeros(3)]],
    [0xd9 + index, [...numberIn(width, 3), ...zeros(3)]]
  ]),
  [0xcb, zeros(8)],
  ...[1, 2, 4, 8].flatMap((width, index): ReadonlyArray<readonly [number, ReadonlyArray<number>]> => [
    [0xcc + index, zeros(width)],
    [0xd0 + index, zeros(width)]
  ]),
  ...[1, 2, 4, 8, 16].map((width, index) => [0xd4 + index, [knownType, ...zeros(width)]] as const),
  ...[2, 4].flatMap((width, index): ReadonlyArray<readonly [number, ReadonlyArray<number>]> => [
    [0xdc + index, [...numberIn(width, 3), ...zeros(3)]],
    [0xde + index, [...numberIn(width, 3), ...zeros(6)]]
  ])
])

/** A complete item with a first byte, `undefined` where none begins with it, or none that is written here. */
const itemOf = (first: number): ReadonlyArray<number> | undefined => {
  if (first < 0x80 || first >= 0xe0) return [first]
  if (first < 0x90) return [first, ...zeros(2 * (first - 0x80))]
  if (first < 0xa0) return [first, ...zeros(first - 0x90)]
  if (first < 0xc0) return [first, ...zeros(first - 0xa0)]
  const rest = behind.get(first)
  return rest === undefined ? undefined : [first, ...rest]
}

const everyFirst = Array.from({ length: 0x100 }, (_, first) => first)

const items = everyFirst.flatMap((first) => {
  const item = itemOf(first)
  return item === undefined ? [] : [item]
})

/** Asks in the midst of other bytes, which must not matter. */
const accepts = (message: ReadonlyArray<number>): boolean => {
  const answers = [0x00, 0x90, 0xc1, 0xff].map((other) => {
    const around = Array.from({ length: 40 }, () => other)
    return isMessage(Uint8Array.from([...around, ...message, ...around]), around.length, around.length + message.length)
  })
  assert.strictEqual(new Set([isMessage(Uint8Array.from(message), 0, message.length), ...answers]).size, 1)
  return answers[0] === true
}

const show = (message: ReadonlyArray<number>): string => Buffer.from(message).toString("hex")

const nested = (
  depth: number,
  head: ReadonlyArray<number>,
  innermost: ReadonlyArray<number>
): ReadonlyArray<number> => [
  ...Array.from({ length: depth }, () => head).flat(),
  ...innermost
]

describe("bytes are a message", () => {
  it("if they are one complete item, with any first byte", () => {
    assert.strictEqual(items.length, 0x100 - 2)
    for (const item of items) {
      assert.isTrue(accepts(item), show(item))
      assert.isFalse(accepts(item.slice(0, -1)), `less than ${show(item)}`)
      assert.isFalse(accepts([...item, 0]), `more than ${show(item)}`)
    }
  })

  it("but not if they begin with a byte that is never written", () => {
    for (const first of [0xc1, 0xca]) {
      for (let count = 0; count < 20; count++) assert.isFalse(accepts([first, ...zeros(count)]))
    }
  })

  it("if all items inside are", () => {
    for (const item of items) {
      assert.isTrue(accepts([0x93, 0x91, ...item, ...item, 0x00]), show(item))
      assert.isTrue(accepts([0x81, ...item, 0x92, ...item, ...item]), show(item))
      assert.isFalse(accepts([0x93, 0x91, ...item, ...item]), show(item))
      assert.isFalse(accepts([0x81, ...item]), show(item))
      assert.isFalse(accepts([0x92, ...item, 0xc1]), show(item))
    }
  })

  it("if their extensions have types that are written", () => {
    for (const first of everyFirst.filter((byte) => (byte >= 0xc7 && byte <= 0xc9) || (byte >= 0xd4 && byte <= 0xd8))) {
      const item = itemOf(first) ?? assert.fail()
      const at = first < 0xd4 ? 1 + 2 ** (first - 0xc7) : 1
      for (const type of everyFirst) {
        const isKnown = [0x00, 0x42, 0xff].includes(type)
        assert.strictEqual(accepts(item.with(at, type)), isKnown, `type ${type} of ${first}`)
      }
    }
  })

  it("if they do not claim more bytes than they have", () => {
    const most = [0xff, 0xff, 0xff, 0xff]
    for (const first of [0xc6, 0xc9, 0xdb, 0xdd, 0xdf]) {
      assert.isFalse(accepts([first, ...most, ...zeros(100)]), String(first))
      // In 32 bits these would be few
      assert.isFalse(accepts([first, 0x80, 0, 0, 0, ...zeros(100)]), String(first))
    }
    for (const [first, count] of [[0xc5, 0x0103], [0xda, 0x0103], [0xdc, 0x0103]] as const) {
      assert.isTrue(accepts([first, 0x01, 0x03, ...zeros(count)]))
      assert.isFalse(accepts([first, 0x01, 0x03, ...zeros(3)]))
    }
  })

  it("if they are not nested too deeply, and an empty item is not a level", () => {
    for (const head of [[0x91], [0x81, 0x00], [0xdc, 0, 1], [0xdf, 0, 0, 0, 1, 0x00]]) {
      for (const innermost of [[0x00], [0x90], [0x80], [0xdc, 0, 0]]) {
        assert.isTrue(accepts(nested(maximumDepth, head, innermost)), show([...head, ...innermost]))
        assert.isFalse(accepts(nested(maximumDepth + 1, head, innermost)), show([...head, ...innermost]))
      }
    }
  })
})
