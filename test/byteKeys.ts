/** What tests of ranges need: keys that are close to each other, and ends of ranges. */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import type { Bound } from "../src/Engine.ts"
import { fromBytes } from "../src/Key.ts"

/** Few bytes, so that keys meet, and those at which an order may go wrong. */
const Byte = Schema.Literals([0x00, 0x01, 0x61, 0x7f, 0x80, 0xfe, 0xff])

export const keyArbitrary = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Byte), { minLength: 1, maxLength: 3 }),
  (bytes) => fromBytes(Uint8Array.from(bytes))
)

/** One end of a range, at times an open one. */
export const boundArbitrary = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Boolean), keyArbitrary, Arbitrary.schema(Schema.Boolean)]),
  ([isOpen, key, inclusive]): Bound | undefined => isOpen ? undefined : { key, inclusive }
)

/** The order of keys. */
export const byBytes = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a, "latin1"), Buffer.from(b, "latin1"))
