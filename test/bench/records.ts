/**
 * The records of the benchmark, and in which order they are asked for.
 *
 * Everything is computed from numbers, always the same: what a system must give back
 * is known without keeping it.
 */
import * as Schema from "effect/Schema"

/** What is stored: five fields of different kinds. */
export const BenchRecord = Schema.Struct({
  id: Schema.Number,
  name: Schema.String,
  tags: Schema.Array(Schema.String),
  active: Schema.Boolean,
  score: Schema.Number
})

/** What is stored. */
export type BenchRecord = typeof BenchRecord.Type

/** Keys and their records, which can be gone through more than once. */
export type Entries = Iterable<readonly [key: string, record: BenchRecord]>

/** The key of a record. The order of the keys is that of the numbers. */
export const keyOf = (index: number): string => `record ${String(index).padStart(8, "0")}`

/** A key that no record has, among those that records have. */
export const absentKeyOf = (index: number): string => `${keyOf(index)} absent`

/** The score of a record, which no other record has. */
export const scoreOf = (index: number): number => index / 3

/** A record; each version of it is another value. */
export const recordOf = (index: number, version = 0): BenchRecord => ({
  id: index,
  name: `name ${index}.${version}`,
  tags: ["a", "b"],
  active: index % 2 === 0,
  score: scoreOf(index)
})

/**
 * The number of a record that was read.
 *
 * Every system pays for this look at what it gave: a value that is not what was stored
 * gives `NaN`, and so does every sum with it.
 */
export const idOf = (value: unknown): number =>
  typeof value === "object" && value !== null && "id" in value && typeof value.id === "number" ? value.id : Number.NaN

/** The record that a transaction of a counter writes in place of the one that it read. */
export const incremented = (value: unknown): BenchRecord => ({ ...recordOf(0), id: idOf(value) + 1 })

/** The sum of what a function gives for the numbers. */
export const sumOf = (indices: Iterable<number>, f: (index: number) => number = (index) => index): number => {
  let sum = 0
  for (const index of indices) sum += f(index)
  return sum
}

/** The numbers from a first one on, in their order. */
export const range = (first: number, count: number): Array<number> => Array.from({ length: count }, (_, i) => first + i)

/** Up to this many entries are made before they are needed, so that making them takes no measured time. */
const madeBefore = 100_000

/** A key and its record. */
export const entryOf = (index: number): readonly [string, BenchRecord] => [keyOf(index), recordOf(index)]

/** The entries of `count` records from a first one on. */
export const entriesOf = (count: number, first = 0): Entries =>
  count <= madeBefore ? range(first, count).map(entryOf) : {
    *[Symbol.iterator]() {
      for (let index = first; index < first + count; index++) yield entryOf(index)
    }
  }

// -----------------------------------------------------------------------------
// large values
// -----------------------------------------------------------------------------

const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"

/** Text that cannot be compressed much, as most large values: three quarters of its bytes at best. */
const noise = (length: number): string => {
  const next = random(length)
  return Array.from({ length }, () => characters.charAt(Math.floor(next() * characters.length))).join("")
}

/** Longer than what compression looks back over, so that its repetition is of no use. */
const period = 100_003

/** Entries whose records have a name of so many bytes, each another one. */
export const entriesOfSize = (count: number, bytes: number): Array<readonly [string, BenchRecord]> => {
  const text = noise(period).repeat(Math.ceil((bytes + count) / period))
  return range(0, count).map((index) => [keyOf(index), { ...recordOf(index), name: text.slice(index, index + bytes) }])
}

// -----------------------------------------------------------------------------
// chance
// -----------------------------------------------------------------------------

/** Numbers from 0 up to, but not including, 1: the same ones for the same seed (Mulberry32). */
const random = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6D2B79F5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** `picks` numbers of records out of `count`, each as likely as any other. */
export const uniform = (picks: number, count: number): Array<number> => {
  const next = random(count)
  return Array.from({ length: picks }, () => Math.floor(next() * count))
}

/** What a client of YCSB does next. */
export interface Step {
  readonly key: string
  /** The record that is written; none where the key is read. */
  readonly update: BenchRecord | undefined
  /** The number of the record that is read; 0 where it is written. */
  readonly read: number
}

/** Steps of which a part (0 to 1) are updates, on keys drawn from Zipf's distribution. */
export const ycsbSteps = (steps: number, count: number, updates: number, version: number): Array<Step> => {
  const next = random(version)
  return zipf(steps, count).map((index, step) => {
    const key = keyOf(index)
    if (next() >= updates) return { key, update: undefined, read: index }
    return { key, update: recordOf(index, version * steps + step), read: 0 }
  })
}

/** The skew of YCSB: the first of 100,000 records is one pick in thirteen. */
const theta = 0.99

/**
 * Numbers of records drawn from Zipf's distribution with the method of YCSB (Gray et
 * al., "Quickly generating billion-record synthetic databases", 1994), the ranks
 * scattered over the keys.
 */
const zipf = (picks: number, count: number): Array<number> => {
  const next = random(picks)
  const zeta = (n: number): number => sumOf(range(1, n), (rank) => 1 / rank ** theta)
  const whole = zeta(count)
  const alpha = 1 / (1 - theta)
  const eta = (1 - (2 / count) ** (1 - theta)) / (1 - zeta(2) / whole)
  return Array.from({ length: picks }, () => {
    const u = next()
    const rank = u * whole < 1
      ? 0
      : u * whole < 1 + 0.5 ** theta
      ? 1
      : Math.floor(count * (eta * u - eta + 1) ** alpha)
    return scatter(rank, count)
  })
}

/** Another number for each rank: multiplies with a prime that no size of a store divides by. */
export const scatter = (rank: number, count: number): number => (rank * 7919) % count
