/**
 * A check of bytes before msgpackr reads them.
 */

/** How many levels are left to the recursion of readers. A graph has no levels. */
export const maximumDepth = 64

type Shape = "fixed" | "sized" | "array" | "map" | "extension" | "sizedExtension"

/** What follows the first byte of an item, from 0xc0 on: its shape, and the width of its value or of its length. */
const layouts: Array<{ readonly shape: Shape; readonly width: number } | undefined> = []

const layout = (first: number, shape: Shape, ...widths: ReadonlyArray<number>): void =>
  widths.forEach((width, index) => {
    layouts[first + index] = { shape, width }
  })

layout(0xc0, "fixed", 0) // null
layout(0xc2, "fixed", 0, 0) // false, true
layout(0xc4, "sized", 1, 2, 4) // binaries
layout(0xc7, "sizedExtension", 1, 2, 4)
layout(0xcb, "fixed", 8) // floats
layout(0xcc, "fixed", 1, 2, 4, 8) // unsigned integers
layout(0xd0, "fixed", 1, 2, 4, 8) // signed integers
layout(0xd4, "extension", 1, 2, 4, 8, 16)
layout(0xd9, "sized", 1, 2, 4) // strings
layout(0xdc, "array", 2, 4)
layout(0xde, "map", 2, 4)

/** Stands for a byte past the end: the one first byte that MessagePack never uses. */
const unknownFirst = 0xc1

/** `undefined`, a `bigint` of more than 64 bits, a `Date`. */
const isKnownExtension = (type: number | undefined): boolean => type === 0x00 || type === 0x42 || type === 0xff

const unsigned = (bytes: Uint8Array, position: number, width: number): number => {
  let value = 0
  for (let at = position; at < position + width; at++) value = value * 256 + (bytes[at] ?? 0)
  return value
}

/** How many items are still to come at each level around the present one. Used by `isMessage` alone. */
const surrounding = new Float64Array(maximumDepth)

/**
 * Whether the bytes are one complete MessagePack item, of nothing but the types that
 * are written here. msgpackr trusts what it reads: it reserves memory for lengths that
 * the bytes only claim, and it has extensions that compile code. So it gets no bytes
 * that have not passed here.
 */
export const isMessage = (bytes: Uint8Array, start: number, end: number): boolean => {
  let position = start
  let depth = 0
  let items = 1
  while (true) {
    while (items === 0) {
      if (depth === 0) return position === end
      items = surrounding[--depth] ?? 0
    }
    if (position >= end) return false
    items--
    const first = bytes[position++] ?? unknownFirst
    let inside = 0
    if (first < 0x80 || first >= 0xe0) continue
    else if (first < 0x90) inside = (first & 0x0f) * 2
    else if (first < 0xa0) inside = first & 0x0f
    else if (first < 0xc0) position += first & 0x1f
    else {
      const known = layouts[first]
      if (known === undefined) return false
      const { shape, width } = known
      if (shape === "fixed") position += width
      else if (shape === "extension") {
        if (!isKnownExtension(bytes[position])) return false
        position += width + 1
      } else {
        const count = unsigned(bytes, position, width)
        position += width
        if (shape === "sized") position += count
        else if (shape === "array") inside = count
        else if (shape === "map") inside = count * 2
        else {
          if (!isKnownExtension(bytes[position])) return false
          position += count + 1
        }
      }
    }
    if (inside > 0) {
      if (depth === maximumDepth) return false
      surrounding[depth++] = items
      items = inside
    }
  }
}
