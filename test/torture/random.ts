/**
 * A small seeded generator: the same seed gives the same choices, in any process.
 */

/** Choices that follow from a seed. */
export interface Random {
  /** A whole number from 0 up to but not including `end`. */
  readonly below: (end: number) => number
  /** A whole number from `minimum` to `maximum`, both included. */
  readonly between: (minimum: number, maximum: number) => number
  /** Whether something happens that happens once in `times`. */
  readonly oneIn: (times: number) => boolean
  /** One of a list. */
  readonly pick: <A>(list: readonly [A, ...ReadonlyArray<A>]) => A
  /** As many values as wanted. */
  readonly many: <A>(count: number, make: () => A) => Array<A>
  /** Bytes without any order in them. */
  readonly bytes: (length: number) => Uint8Array<ArrayBuffer>
}

/** Starts a generator (mulberry32). */
export const make = (seed: number): Random => {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
  const below = (end: number): number => Math.floor(next() * end)
  return {
    below,
    between: (minimum, maximum) => minimum + below(maximum - minimum + 1),
    oneIn: (times) => below(times) === 0,
    pick: (list) => list[below(list.length)] ?? list[0],
    many: (count, makeOne) => Array.from({ length: count }, makeOne),
    bytes: (length) => Uint8Array.from({ length }, () => below(256))
  }
}

/** A seed for each of several things that are generated from one seed. */
export const seedOf = (seed: number, part: number): number =>
  Math.imul(seed ^ Math.imul(part + 1, 0x9e3779b1), 0x85ebca6b) >>> 0
