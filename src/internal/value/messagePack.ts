/**
 * Checks that bytes are one complete MessagePack item before msgpackr reads them. msgpackr trusts
 * the bytes that it reads; damaged bytes could make it allocate gigabytes or compile code.
 */

/** The deepest nesting of plain values: their readers are recursive. A deeper value is stored as a graph. */
export const maximumDepth = 64

/** What follows the first byte of an item. */
type Layout = "fixed" | "sized" | "array" | "map" | "extension" | "sizedExtension"

/** The layout of each item by its first byte, from 0xc0 on, and the width of its value or of its length in bytes. */
const itemLayouts: Array<{ readonly layout: Layout; readonly width: number } | undefined> = []

/** Sets the layout of `first` and of the first bytes after it, one for each width. */
const setLayout = (first: number, layout: Layout, ...widths: ReadonlyArray<number>): void =>
  widths.forEach((width, index) => {
    itemLayouts[first + index] = { layout, width }
  })

setLayout(0xc0, "fixed", 0) // null
setLayout(0xc2, "fixed", 0, 0) // false, true
setLayout(0xc4, "sized", 1, 2, 4) // binaries
setLayout(0xc7, "sizedExtension", 1, 2, 4)
setLayout(0xcb, "fixed", 8) // floats
setLayout(0xcc, "fixed", 1, 2, 4, 8) // unsigned integers
setLayout(0xd0, "fixed", 1, 2, 4, 8) // signed integers
setLayout(0xd4, "extension", 1, 2, 4, 8, 16)
setLayout(0xd9, "sized", 1, 2, 4) // strings
setLayout(0xdc, "array", 2, 4)
setLayout(0xde, "map", 2, 4)

/** Stands for a byte after the end of the bytes. No MessagePack item begins with it. */
const unknownFirst = 0xc1

/** Whether the codec writes this type of extension: `undefined`, a `bigint` of more than 64 bits, or a `Date`. */
const isKnownExtension = (type: number | undefined): boolean => type === 0x00 || type === 0x42 || type === 0xff

const unsigned = (bytes: Uint8Array, position: number, width: number): number => {
  let value = 0
  for (let at = position; at < position + width; at++) value = value * 256 + (bytes[at] ?? 0)
  return value
}

/** How many items remain at each outer level. Only `isMessage` uses it. */
const surrounding = new Float64Array(maximumDepth)

/**
 * Whether the bytes from `start` to `end` are one complete MessagePack item that has only
 * types which the codec writes. msgpackr allocates memory for any length that the bytes
 * claim, and some of its extensions compile code, so it gets only bytes that pass this check.
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
      const item = itemLayouts[first]
      if (item === undefined) return false
      const { layout, width } = item
      if (layout === "fixed") position += width
      else if (layout === "extension") {
        if (!isKnownExtension(bytes[position])) return false
        position += width + 1
      } else {
        const count = unsigned(bytes, position, width)
        position += width
        if (layout === "sized") position += count
        else if (layout === "array") inside = count
        else if (layout === "map") inside = count * 2
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
