/** What was written with compression is read with any options, and nothing is compressed without it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { Collection, type StoreOptions, type StoreService } from "../../src/index.ts"
import * as OrderedKeyCodec from "../../src/internal/key/orderedKeyCodec.ts"
import { expand } from "../../src/internal/lmdb/compressedValue.ts"
import { ByteString } from "../../src/Key.ts"
import type { KeySchema, OrderedKey } from "../../src/KeySchema.ts"
import { all, at, flush, tamper } from "../support/fixtures/collections.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import * as Random from "../torture/random.ts"

// Only to end a hang.

const encryptionKey = Redacted.make("0123456789abcdef".repeat(2))

/** Values that compress in every way: runs, words of the dictionary, far repetitions, noise, and one that has a long head. */
const makeValues = (seed: number): ReadonlyMap<string, unknown> => {
  const random = Random.make(seed)
  const words = ["default", "function", "name", "the", "created", "2024-01-01", "\"id\":", "ü", "🎉"] as const
  const text = (length: number) => Array.from({ length }, () => random.pick(words)).join(" ")
  const noise = Buffer.from(random.bytes(40_000)).toString("latin1")
  return new Map<string, unknown>([
    ["a run", "a".repeat(5000)],
    ["a long run", "ab".repeat(9_000_000)],
    ["words", text(1000)],
    ["many words", text(40_000)],
    ["noise", random.bytes(1500)],
    ["noise twice", noise + noise],
    ["records", Array.from({ length: 200 }, (_, id) => ({ id, name: text(3), isActive: random.oneIn(2) }))],
    ["small", { id: 1 }],
    ...Array.from({ length: 60 }, (_, number): [string, unknown] => [
      `mixed ${number}`,
      text(random.between(100, 300)) + "x".repeat(random.below(40)) + text(random.below(20))
    ])
  ])
}

const expectValues = Effect.fnUntraced(function*(store: StoreService, values: ReadonlyMap<string, unknown>) {
  for (const [key, value] of values) {
    assert.isTrue(isDeepStrictEqual(yield* store.getOrFail(key), value), key)
  }
  assert.isTrue(isDeepStrictEqual(new Map(yield* all(store.entries())), new Map(values)))
  const inside = yield* store.withTransaction(store.getMany([...values.keys()]))
  assert.isTrue(isDeepStrictEqual(inside.found, new Map(values)))
})

/** Fields with such names that the definition of their structure is long enough to be compressed. */
const longNames = Array.from({ length: 10 }, (_, number) => `${"field".repeat(20)}${number}`)

const longKey = (number: number) => `${"k".repeat(1100)}${number}`

const note = (number: number) => ({ name: `name ${number}`, text: `${number} lorem ipsum `.repeat(200) })

const isCompressed = (path: string) => !readFileSync(join(path, "data.mdb")).includes("lorem ipsum ".repeat(200))

describe("a store that was written with compression", () => {
  it.effect.each<readonly [what: string, options: Partial<StoreOptions>]>([
    ["", {}],
    ["with checksums", { checksums: true }],
    ["with encryption", { encryptionKey }]
  ])("is read without it, %s", ([, options]) =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const path = join(folder, "store")
      const values = makeValues(1)
      yield* withStore({ path, compression: true, ...options }, (store) =>
        Effect.gen(function*() {
          yield* store.putMany([...values])
          yield* store.backup(join(folder, "backup"))
          if (options.encryptionKey === undefined) yield* store.backup(join(folder, "compact"), { compact: true })
        }))
      const copies = options.encryptionKey === undefined ? ["backup", "compact"] : ["backup"]
      yield* withStore({ path, ...options }, (store) =>
        Effect.gen(function*() {
          yield* expectValues(store, values)
          yield* store.backup(join(folder, "later"))
        }))
      for (const copy of [...copies, "later"]) {
        yield* withStore(
          { path: join(folder, copy), readOnly: true, ...options },
          (store) => expectValues(store, values)
        )
      }
      yield* withStore({ path, compression: true, ...options }, (store) => expectValues(store, values))
    }))

  it.effect("is read without it if the structures of records are compressed, also by streams that skip values", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const open = Collection.make("long", { key: Schema.Int, value: Schema.Record(Schema.String, Schema.Number) })
      const records = Array.from(
        { length: 60 },
        (_, number) => [number, Object.fromEntries(longNames.map((name) => [name, number]))] as const
      )
      const write = Effect.gen(function*() {
        const long = yield* open
        for (const [key, value] of records) yield* long.put(key, value)
        yield* flush
        yield* long.putMany(records)
      })
      yield* at(path, write, { compression: true })
      assert.isBelow(readFileSync(join(path, "data.mdb")).toString("latin1").split("field".repeat(20)).length, 10)
      const read = Effect.flatMap(open, (long) => all(long.entries({ undecodable: "skip" })))
      assert.deepStrictEqual(yield* at(path, read), records)
    }))

  it.effect("is read without it through indexes, also by large keys", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const open = Collection.make("notes", {
        key: Schema.String,
        value: Schema.Struct({ name: Schema.String, text: Schema.String }),
        indexes: { byName: { key: Schema.String, of: ({ name }) => name, unique: true } }
      })
      const write = Effect.gen(function*() {
        const notes = yield* open
        for (const number of [1, 2, 3]) yield* notes.put(longKey(number), note(number))
      })
      const read = Effect.gen(function*() {
        const notes = yield* open
        const { byName } = notes.indexes
        assert.deepStrictEqual(yield* notes.getOrFail(longKey(2)), note(2))
        assert.deepStrictEqual(yield* byName.get("name 3"), Option.some(note(3)))
        yield* notes.put(longKey(1), { ...note(1), name: "another name" })
        yield* notes.delete(longKey(2))
        yield* flush
        assert.deepStrictEqual(yield* notes.verify, [])
        assert.deepStrictEqual(yield* all(byName.keys()), [longKey(1), longKey(3)])
      })
      yield* at(path, write, { compression: true })
      yield* at(path, read)
    }))

  it.effect("is written to without compression when it is opened without it", () =>
    Effect.gen(function*() {
      const [plain, compressed] = [yield* temporaryFolder, yield* temporaryFolder]
      const text = "lorem ipsum ".repeat(300)
      for (const [path, compression] of [[plain, false], [compressed, true]] as const) {
        yield* withStore({ path, compression: true }, (store) => store.putMany({ a: text }))
        yield* withStore({ path, compression }, (store) => store.putMany({ a: text, b: text }))
        assert.strictEqual(isCompressed(path), compression)
        assert.deepStrictEqual(
          yield* withStore({ path }, (store) => all(store.entries())),
          [["a", text], ["b", text]]
        )
      }
    }))

  it.effect("fails with ValueDecoding for bytes that only look compressed, whatever was read before", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const random = Random.make(2)
      const damaged = Array.from({ length: 300 }, (_, number) => {
        const bytes = random.bytes(random.between(1, 60))
        bytes[0] = random.oneIn(2) ? 254 : 255
        // A length that could be true
        if (bytes.length > 8 && random.oneIn(2)) {
          bytes.set(bytes[0] === 254 ? [0, 0, bytes.length] : [0, 0, 0, 0, 0, 0, 60], 1)
        }
        return [`damaged ${number}`, bytes] as const
      })
      yield* withStore({ path, compression: true }, (store) => store.putMany({ whole: "whole ".repeat(300) }))
      yield* tamper(path, damaged.map(([key, bytes]) => ["records", ByteString(key), bytes] as const))
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          for (const [key] of damaged) {
            assert.strictEqual(yield* store.getOrFail("whole"), "whole ".repeat(300))
            assert.strictEqual((yield* Effect.flip(store.get(key)))._tag, "ValueDecoding", key)
          }
        }))
    }))
})

describe("bytes that begin like a compressed value", () => {
  const dictionary = new Uint8Array(64).fill(7)

  it("are returned unchanged unless they are a complete compressed value", () => {
    const random = Random.make(3)
    let expanded = 0
    for (let round = 0; round < 50_000; round++) {
      const bytes = random.bytes(random.between(1, 24))
      bytes[0] = random.pick([254, 255])
      if (bytes.length > 4) bytes.set(bytes[0] === 254 ? [0, 0, random.below(80)] : [0, 0, 0, 0], 1)
      const before = new Uint8Array(bytes)
      const result = expand(bytes, dictionary)
      assert.isTrue(isDeepStrictEqual(bytes, before))
      if (result !== bytes) expanded++
    }
    assert.isAbove(expanded, 0)
  })

  it("take no memory for a length that they only claim", () => {
    const bytes = Uint8Array.of(255, 0, 0, 0, 255, 255, 255, 255, 0x10, 1)
    assert.strictEqual(expand(bytes, dictionary), bytes)
  })

  it("do not occur among the values of unique indexes", () => {
    const keys: ReadonlyArray<readonly [schema: KeySchema, key: OrderedKey]> = [
      [Schema.Number, Infinity],
      [Schema.BigInt, 2n ** 2000n],
      [Schema.String, "\u{10ffff}"],
      [Schema.Uint8Array, new Uint8Array(8).fill(255)],
      [Schema.Tuple([Schema.Number]), [Infinity]]
    ]
    for (const [schema, key] of keys) {
      const bytes = Result.flatMap(OrderedKeyCodec.make(schema), (ordered) => ordered.encode(key))
      assert.isBelow(Result.getOrThrow(bytes).charCodeAt(0), 250, String(key))
    }
  })
})
