/**
 * Stores of several shapes, for what is tried out on their files.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Store, type StoreOptions } from "../../src/index.ts"

type Records = ReadonlyMap<string, string>

/** A store of some shape. */
export interface Shape {
  readonly name: string
  /** What it is opened with, besides its path. */
  readonly options: Omit<StoreOptions, "path">
  /** What it holds in the end. */
  readonly records: Records
  /** What was in it before, and was deleted. */
  readonly earlier: Records
}

const recordsOf = (
  count: number,
  make: (index: number) => readonly [key: string, value: string]
): Records => new Map(Array.from({ length: count }, (_, index) => make(index)))

const none: Records = new Map()

const small = recordsOf(300, (index) => [`key ${index}`, `value ${index} ${"x".repeat(index % 250)}`])
const gone = recordsOf(400, (index) => [`gone ${index}`, "z".repeat(index * 20)])

const shape = (name: string, records: Records, more: Partial<Shape> = {}): Shape => ({
  name,
  options: {},
  records,
  earlier: none,
  ...more
})

/** All shapes. */
export const shapes: readonly [Shape, ...ReadonlyArray<Shape>] = [
  shape("small values", small),
  shape("large values", recordsOf(12, (index) => [`large ${index}`, `${index} `.repeat(index * 4000)])),
  shape("long keys", recordsOf(150, (index) => [`${index}`.padStart(200 + index * 11, "k"), `value ${index}`])),
  shape("free pages", small, { earlier: gone }),
  shape("empty", none),
  shape("one record", recordsOf(1, () => ["key", "value"])),
  shape("emptied", none, { earlier: gone }),
  shape("compressed", recordsOf(60, (index) => [`key ${index}`, `abc${index} `.repeat(700)]), {
    options: { compression: true }
  }),
  shape("encrypted", small, { options: { encryptionKey: Redacted.make("0123456789abcdef".repeat(2)) } })
]

/** The shape of that number, counted round and round. */
export const shapeAt = (number: number): Shape => shapes[number % shapes.length] ?? shapes[0]

/** Makes a store of a shape. */
export const make: (shape: Shape, path: string) => Effect.Effect<void, unknown> = Effect.fnUntraced(
  function*({ earlier, options, records }: Shape, path: string) {
    const store = yield* Store.make({ ...options, path, mapSize: "256 KiB" })
    yield* store.putMany(earlier)
    yield* store.deleteMany(earlier.keys())
    yield* store.putMany(records)
    // Two meta pages that differ, and pages that were free and are in use again
    yield* store.putMany([...records].slice(0, 5))
    yield* store.close({ strict: true })
  },
  Effect.scoped
)
