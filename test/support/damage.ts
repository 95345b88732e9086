/** Ways to damage a database file, and the records that were in it. */

import * as Schema from "effect/Schema"

/** A file cut at a length, or a byte of it changed. */
const Damage = Schema.Union([
  Schema.Struct({ cutAt: Schema.Int }),
  Schema.Struct({ byte: Schema.Int, xor: Schema.Int })
])

/** A file cut at a length, or a byte of it changed. */
export type Damage = typeof Damage.Type

/** Reads damages from the argument of a program. */
export const fromJson = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(Damage)))

/** What the database holds: small values, and one of several pages. */
export const records: ReadonlyArray<readonly [string, string]> = [
  ...Array.from({ length: 150 }, (_, index) => [`key ${index}`, `value ${index} ${"x".repeat(200)}`] as const),
  ["large", "y".repeat(20_000)]
]

/** The bytes of a file with a damage. */
export const apply = (whole: Uint8Array, damage: Damage): Uint8Array => {
  if ("cutAt" in damage) return whole.slice(0, damage.cutAt)
  const damaged = whole.slice()
  damaged[damage.byte] = (damaged[damage.byte] ?? 0) ^ damage.xor
  return damaged
}
