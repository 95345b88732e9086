/** Checksums of values: what they find, and that they are of no other effect. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Collection, Store } from "../../src/index.ts"
import * as ValueCodec from "../../src/internal/value/valueCodec.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const text = "y".repeat(10_000)

/** Where a text stands in a file. */
const placesOf = (file: Uint8Array, wanted: string): { readonly start: number; readonly end: number } => {
  const start = Buffer.from(file).indexOf(wanted, 0, "latin1")
  assert.isAtLeast(start, 0)
  return { start, end: start + wanted.length }
}

/** Stores a value, flips one bit after the other in it, and gives what is read then. */
const readDamaged = Effect.fnUntraced(function*(options: { readonly checksums: boolean }) {
  const path = yield* temporaryFolder
  yield* withStore({ path, ...options }, (store) => store.putMany({ text, other: 1 }))
  const file = join(path, "data.mdb")
  const whole = readFileSync(file)
  const { end, start } = placesOf(whole, text)
  return yield* Effect.forEach([start, start + 1, start + 4999, end - 1], (place, index) => {
    const damaged = Buffer.from(whole)
    damaged[place] = (damaged[place] ?? 0) ^ (1 << (2 * index))
    writeFileSync(file, damaged)
    return withStore({ path, readOnly: true }, (store) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* store.getOrFail("other"), 1)
        return yield* Effect.result(store.getOrFail("text"))
      }))
  })
})

describe("checksums", () => {
  it.effect("turn a flipped bit into ValueDecoding, which gives a wrong value without them", () =>
    Effect.gen(function*() {
      for (const result of yield* readDamaged({ checksums: true })) {
        assert(Result.isFailure(result))
        assert.propertyVal(result.failure, "_tag", "ValueDecoding")
        assert.include(result.failure.message, "do not match their checksum")
      }
      for (const result of yield* readDamaged({ checksums: false })) {
        assert.isTrue(Result.isFailure(result) || result.success !== text)
      }
    }))

  it.effect("may be turned on and off, and values of both kinds are read", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const value = { of: "every", kind: new Map([["a", new Set([1n])]]), at: new Date(0) }
      for (const checksums of [false, true, false]) {
        yield* withStore({ path, checksums }, (store) =>
          Effect.gen(function*() {
            yield* store.putMany([[`checksums ${checksums}`, value], ["last", checksums]])
            assert.deepStrictEqual(yield* store.getOrFail(`checksums ${checksums}`), value)
          }))
      }
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const { found } = yield* store.getMany(["checksums false", "checksums true", "last"])
          assert.deepStrictEqual([...found.values()], [value, value, false])
        }))
    }))

  it.effect("also apply to records of collections", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const notes = Collection.make("notes", {
        key: Schema.Int,
        value: Schema.Struct({ text: Schema.String }),
        indexes: { byLength: { key: Schema.Int, of: (note: { readonly text: string }) => note.text.length } }
      })
      yield* withStore({ path, checksums: true }, (store) =>
        Effect.gen(function*() {
          const collection = yield* Effect.provideService(notes, Store, store)
          yield* collection.put(1, { text })
          assert.deepStrictEqual(yield* collection.indexes.byLength.get(text.length), Option.some({ text }))
        }))
      const file = join(path, "data.mdb")
      const bytes = readFileSync(file)
      const { start } = placesOf(bytes, text)
      bytes[start + 77] = 0
      writeFileSync(file, bytes)
      yield* withStore({ path }, (store) =>
        Effect.gen(function*() {
          const collection = yield* Effect.provideService(notes, Store, store)
          assert.propertyVal(yield* Effect.flip(collection.get(1)), "_tag", "ValueDecoding")
        }))
    }))

  it.effect.prop(
    "detect every change of the bytes of a value, and report no other",
    { value: Schema.Json, place: Schema.Int, xor: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 255 })) },
    ({ place, value, xor }) =>
      Effect.sync(() => {
        const codec = ValueCodec.make({ checksums: true })
        const bytes = Result.getOrThrow(ValueCodec.encode(codec, value))
        assert.deepStrictEqual(
          Result.getOrThrow(ValueCodec.decode(codec, bytes)),
          Result.getOrThrow(ValueCodec.decode(codec, bytes))
        )
        const damaged = bytes.slice()
        const at = Math.abs(place) % bytes.length
        damaged[at] = (damaged[at] ?? 0) ^ xor
        assert.isTrue(Result.isFailure(ValueCodec.decode(codec, damaged)))
        for (let length = 0; length < bytes.length; length++) {
          assert.isTrue(Result.isFailure(ValueCodec.decode(codec, bytes.slice(0, length))))
        }
      }),
    { arbitrary: { runs: 100, seed: "checksums" } }
  )
})
