/**
 * Ways to damage a database file.
 */
import { Buffer } from "node:buffer"
import type { Random } from "./random.ts"

const pageSize = 4096

/** A file that is no longer what it was. */
export interface Damaged {
  /** What was done to it. */
  readonly what: string
  /** Whether a store that opens it can know that it is damaged: it has all of its data then, or says so. */
  readonly canBeKnown: boolean
  readonly bytes: Uint8Array
  /** What stands in the place of the lock file, if anything does. */
  readonly lock?: Uint8Array | "folder"
}

type Change = (bytes: Uint8Array, random: Random) => string

/** Changes a copy of a file in its place. */
const changing = (canBeKnown: boolean, change: Change) => (whole: Uint8Array, random: Random): Damaged => {
  const bytes = whole.slice()
  return { what: change(bytes, random), canBeKnown, bytes }
}

const cut = (length: number, whole: Uint8Array): Damaged => ({
  what: `cut at ${length}`,
  canBeKnown: true,
  bytes: whole.slice(0, length)
})

const pagesOf = (bytes: Uint8Array): number => Math.floor(bytes.length / pageSize)

const flip = (bytes: Uint8Array, at: number, bits: number): string => {
  bytes[at] = (bytes[at] ?? 0) ^ bits
  return `${at}^${bits}`
}

const swap = (bytes: Uint8Array, a: number, b: number): string => {
  const first = bytes.slice(a * pageSize, (a + 1) * pageSize)
  bytes.copyWithin(a * pageSize, b * pageSize, (b + 1) * pageSize)
  bytes.set(first, b * pageSize)
  return `pages ${a} and ${b} swapped`
}

const oneBit: Change = (bytes, random) => `bit ${flip(bytes, random.below(bytes.length), 1 << random.below(8))}`

const oneByte: Change = (bytes, random) => `byte ${flip(bytes, random.below(bytes.length), random.between(1, 255))}`

/** Where a page says what it is and where its nodes are: the harm done there is the greatest. */
const inHeader: Change = (bytes, random) => {
  const at = random.below(pagesOf(bytes)) * pageSize + random.below(64)
  return `byte ${flip(bytes, at, random.between(1, 255))}`
}

const inMeta: Change = (bytes, random) => {
  const at = random.below(2) * pageSize + random.below(168)
  return `byte of a meta page ${flip(bytes, at, random.between(1, 255))}`
}

const severalBytes: Change = (bytes, random) =>
  `bytes ${
    random.many(random.between(2, 20), () => flip(bytes, random.below(bytes.length), random.between(1, 255))).join()
  }`

const overwrittenPage: Change = (bytes, random) => {
  const page = random.below(pagesOf(bytes))
  const what = random.pick(["zeros", "ones", "noise", "another page"])
  const start = page * pageSize
  if (what === "noise") bytes.set(random.bytes(pageSize), start)
  else if (what === "another page") {
    const other = random.below(pagesOf(bytes)) * pageSize
    bytes.copyWithin(start, other, other + pageSize)
  } else bytes.fill(what === "zeros" ? 0 : 255, start, start + pageSize)
  return `page ${page} is ${what}`
}

const swappedMeta: Change = (bytes) => swap(bytes, 0, 1)

const swappedPages: Change = (bytes, random) => swap(bytes, random.below(pagesOf(bytes)), random.below(pagesOf(bytes)))

const lengthened = (whole: Uint8Array, random: Random): Damaged => ({
  what: "more at its end",
  canBeKnown: true,
  bytes: Buffer.concat([whole, random.bytes(random.between(1, 10_000))])
})

/** What other programs write. */
const foreign = (whole: Uint8Array, random: Random): Damaged => {
  const length = random.between(1, 100_000)
  const fill = (text: string | Uint8Array) => Buffer.alloc(length, text)
  const files: readonly [readonly [string, Uint8Array], ...ReadonlyArray<readonly [string, Uint8Array]>] = [
    ["text", fill("hello, world\n")],
    ["noise", random.bytes(length)],
    ["zeros", Buffer.alloc(length)],
    ["ones", Buffer.alloc(length, 255)],
    ["SQLite", Buffer.concat([Buffer.from("SQLite format 3\0"), random.bytes(length)])],
    ["zip", Buffer.concat([Buffer.from("PK\u0003\u0004"), random.bytes(length)])],
    // Its magic number stands where stock LMDB has it, and in the other where this engine has it
    ["stock LMDB", withMagic(random.bytes(16 + length), 16)],
    ["a header and noise", Buffer.concat([whole.slice(0, 160), random.bytes(length)])],
    ["a magic number", withMagic(random.bytes(32 + length), 24)]
  ]
  const [what, bytes] = random.pick(files)
  return { what: `${what}, ${bytes.length} bytes`, canBeKnown: true, bytes }
}

const withMagic = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = Buffer.concat([bytes, Buffer.alloc(8)])
  copy.writeUInt32LE(0xbeefc0de, at)
  copy.writeUInt32LE(2, at + 4)
  return copy
}

const cutAnywhere = (whole: Uint8Array, random: Random): Damaged => cut(random.between(1, whole.length - 1), whole)

const cutAtPage = (whole: Uint8Array, random: Random): Damaged =>
  cut(random.between(1, pagesOf(whole) - 1) * pageSize, whole)

/** A lock file that is none: what it held is of no use once nobody has the store open. */
const foreignLock = (whole: Uint8Array, random: Random): Damaged => {
  const length = random.pick([0, 1, 100, 8192, 131_200, 300_000])
  const [what, lock] = random.pick<readonly [string, Uint8Array | "folder"]>([
    ["noise", random.bytes(length)],
    ["zeros", Buffer.alloc(length)],
    ["ones", Buffer.alloc(length, 255)],
    ["text", Buffer.alloc(length, "hello, world\n")],
    ["folder", "folder"]
  ])
  return { what: `a lock file of ${what}, ${length} bytes`, canBeKnown: true, bytes: whole, lock }
}

/** The kinds that a store can know, whatever is in it. */
const knownKinds = [cutAnywhere, cutAtPage, lengthened, foreign, foreignLock, changing(true, swappedMeta)] as const

/** Every kind; the more usual ones more often. */
const allKinds = [
  ...knownKinds,
  changing(false, swappedPages),
  changing(false, overwrittenPage),
  changing(false, overwrittenPage),
  changing(false, inMeta),
  changing(false, inHeader),
  changing(false, inHeader),
  changing(false, severalBytes),
  changing(false, oneByte),
  changing(false, oneBit),
  changing(false, oneBit),
  changing(false, oneBit),
  changing(false, oneBit),
  changing(false, oneBit)
] as const

/** Damages a file in one of many ways. */
export const damage = (whole: Uint8Array, random: Random, onlyKnown: boolean): Damaged =>
  random.pick(onlyKnown ? knownKinds : allKinds)(whole, random)
