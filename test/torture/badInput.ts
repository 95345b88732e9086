/**
 * Keys, values, ranges and options as nobody should give them, and as somebody may.
 */
import { Buffer } from "node:buffer"
import type { Key, StoreOptions, StreamRange } from "../../src/index.ts"
import type { Random } from "./random.ts"

/** Text from the edges of Unicode, as code units. */
const units = [
  0,
  9,
  0x20,
  0x41,
  0x7f,
  0x80,
  0xe9,
  0xff,
  0x100,
  0x301,
  0x1e9b,
  0x200d,
  0x2028,
  0xd83d,
  0xde00,
  0xdfff,
  0xfb01,
  0xfdfa,
  0xfeff,
  0xffff
] as const

/** Lengths around those where something changes. */
const lengths = [0, 1, 2, 10, 50, 255, 988, 989, 1977, 1978, 1979, 4025, 4096, 20_000] as const

const text = (random: Random, length: number): string =>
  String.fromCharCode(...random.many(length, () => random.pick(units)))

const anyText = (random: Random): string =>
  random.oneIn(2)
    ? text(random, random.below(12))
    : random.oneIn(2)
    ? "k".repeat(random.pick(lengths))
    : text(random, random.pick(lengths))

const transferred = (): ArrayBuffer => {
  const buffer = new ArrayBuffer(8)
  buffer.transfer()
  return buffer
}

const shrunk = (): Uint8Array => {
  const buffer = new ArrayBuffer(8, { maxByteLength: 16 })
  const view = new Uint8Array(buffer, 4, 4)
  buffer.resize(2)
  return view
}

const anyBytes = (random: Random): Key => {
  const bytes = random.bytes(random.oneIn(4) ? random.pick(lengths) : random.below(12))
  return random.pick<() => Key>([
    () => bytes,
    () => Buffer.from(bytes),
    () => bytes.buffer,
    () => new DataView(bytes.buffer),
    () => new Uint16Array(bytes.buffer.slice(0, bytes.length & ~1)),
    () => new Uint8Array(new SharedArrayBuffer(random.below(5))),
    transferred,
    shrunk
  ])()
}

const thrower = (): never => {
  throw new Error("thrown by the caller's own object")
}

const hostile = () => ({
  get length() {
    return thrower()
  },
  get byteLength() {
    return thrower()
  },
  get [Symbol.toStringTag]() {
    return thrower()
  },
  toString: thrower,
  valueOf: thrower,
  toJSON: thrower
})

const hostileProxy = () => new Proxy({}, { get: thrower, has: thrower, ownKeys: thrower, getPrototypeOf: thrower })

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const noKey = (random: Random): unknown =>
  random.pick<() => unknown>([
    () => null,
    () => undefined,
    () => random.below(100),
    () => Number.NaN,
    () => 10n ** 30n,
    () => true,
    () => Symbol("key"),
    () => thrower,
    () => ["a"],
    () => ({ byteLength: 3, length: 3, 0: 1 }),
    (): unknown => Object.create(Uint8Array.prototype),
    hostile,
    hostileProxy,
    revoked
  ])()

/** What a program without types passes for a key. */
const untypedKey = (key: unknown): Key => {
  // @ts-expect-error that is what it is for
  return key
}

/** A key, good or bad. */
export const key = (random: Random): Key =>
  random.oneIn(8) ? untypedKey(noKey(random)) : random.oneIn(3) ? anyBytes(random) : anyText(random)

class Custom {
  readonly field = 1
}

const cyclic = (): unknown => {
  const object: Record<string, unknown> = {}
  object["self"] = object
  return [object, new Map([[object, object]])]
}

const nested = (depth: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { value }
  return value
}

const leaf = (random: Random): unknown =>
  random.pick<() => unknown>([
    () => undefined,
    () => null,
    () => random.below(1000) - 500,
    () => -0,
    () => Number.NaN,
    () => -Infinity,
    () => 2 ** random.below(1100),
    () => BigInt(random.below(1000)) ** BigInt(random.below(60)),
    () => anyText(random),
    () => random.bytes(random.below(300)),
    () => new Date(random.oneIn(2) ? Number.NaN : random.below(1e12)),
    () => new Float64Array(random.below(5)),
    () => new DataView(new ArrayBuffer(3)),
    () => new SharedArrayBuffer(4),
    transferred,
    () => /a(b)?/giu,
    () => new URL("http://localhost/"),
    () => new RangeError("an error", { cause: new Error("a cause") }),
    () => Symbol.iterator,
    () => thrower,
    () => Promise.resolve(1),
    () => new WeakMap(),
    () => new Custom(),
    (): unknown => Object.create(null),
    (): unknown => Object(1),
    (): unknown => Object.assign([], { length: random.oneIn(20) ? 4_294_967_295 : 1000 }),
    (): unknown => JSON.parse(`{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 2}}}`),
    () => nested(random.pick([1, 100, 2000])),
    cyclic,
    hostile,
    hostileProxy,
    revoked
  ])()

/** A value, such that can be stored or not. */
export const value = (random: Random, depth = 3): unknown => {
  const inner = () => value(random, depth - 1)
  if (depth === 0 || random.oneIn(2)) return leaf(random)
  const inners = random.many(random.below(5), inner)
  return random.pick<() => unknown>([
    () => inners,
    () => Object.fromEntries(inners.map((each) => [anyText(random), each])),
    () => new Map(inners.map((each) => [leaf(random), each])),
    () => new Set(inners)
  ])()
}

const anyNumber = (random: Random): number =>
  random.pick([0, 1, 3, -1, 0.5, Number.NaN, Infinity, -Infinity, Number.MAX_SAFE_INTEGER])

/** A range; ends that cross, and numbers that count nothing. */
export const range = (random: Random): StreamRange => ({
  ...(random.oneIn(3) ? { prefix: key(random) } : {}),
  ...(random.oneIn(3) ? { gt: key(random) } : {}),
  ...(random.oneIn(3) ? { gte: key(random) } : {}),
  ...(random.oneIn(3) ? { lt: key(random) } : {}),
  ...(random.oneIn(3) ? { lte: key(random) } : {}),
  ...(random.oneIn(2) ? { reverse: random.oneIn(2) } : {}),
  ...(random.oneIn(3) ? { offset: anyNumber(random) } : {}),
  ...(random.oneIn(3) ? { limit: anyNumber(random) } : {}),
  ...(random.oneIn(3) ? { snapshot: random.oneIn(2) } : {})
})

/** What no option should be. */
export const noOption = (random: Random): unknown =>
  random.pick<() => unknown>([
    () => null,
    () => -1,
    () => 0,
    () => 1.5,
    () => Number.NaN,
    () => Infinity,
    () => "",
    () => "no such thing",
    () => "12 parsecs",
    () => 1e300,
    () => [],
    () => ({}),
    () => Symbol("option"),
    () => thrower,
    () => true,
    hostile,
    hostileProxy,
    revoked
  ])()

/** Options that make sense. */
export const options = (random: Random): Omit<StoreOptions, "path"> => ({
  keyEncoding: random.pick(["utf8", "utf16le", "latin1", "ascii", "binary"]),
  keyErrors: random.pick(["strict", "replace", "ignore"]),
  keyNormalization: random.pick([undefined, "NFC", "NFD", "NFKC", "NFKD"]),
  formatKey: random.oneIn(4) ? thrower : undefined,
  autoFlushOnRead: random.oneIn(4),
  compression: random.oneIn(4),
  batchSize: random.between(1, 50),
  batchBytes: random.pick([1, 1000, "1 MiB"]),
  mapSize: "256 KiB",
  durability: "noSync"
})

const names = [
  "path",
  "subdirectory",
  "readOnly",
  "batchSize",
  "batchBytes",
  "flushInterval",
  "autoFlushOnRead",
  "keyEncoding",
  "keyErrors",
  "keyNormalization",
  "formatKey",
  "mapSize",
  "maxMapSize",
  "resize",
  "durability",
  "compression",
  "encryptionKey"
] as const

/** Options, one or some of which make no sense; what can be a path lies in a folder. */
export const badOptions = (random: Random, folder: string): StoreOptions => {
  const bad = Object.fromEntries(random.many(random.between(1, 2), () => [random.pick(names), noOption(random)]))
  const path = bad["path"]
  return {
    path: folder,
    ...options(random),
    ...bad,
    ...(typeof path === "string" && path !== "" ? { path: `${folder}/${path}` } : {})
  }
}
