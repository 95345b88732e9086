/** What a batch that does not fit leaves on disk, and which deletions may go ahead of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { cpSync } from "node:fs"
import { join } from "node:path"
import { Store } from "../src/index.ts"
import * as WriteBuffer from "../src/internal/writeBuffer.ts"
import { ByteString } from "../src/Key.ts"
import { temporaryFolder, withStore } from "./harness.ts"

const text = (length: number): string => "x".repeat(length)

/** Opens what a crash at this moment would leave. */
const afterCrash = Effect.fnUntraced(function*(path: string, keys: ReadonlyArray<string>) {
  const copy = join(yield* temporaryFolder, "copy")
  cpSync(path, copy, { recursive: true })
  const { missing } = yield* withStore({ path: copy }, (store) => store.getMany(keys))
  return missing
})

describe("making room", () => {
  it.effect("a value that moves to another key is not lost when the batch does not fit and the process dies", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" })
      yield* store.putMany({ source: text(400_000) })
      yield* store.put("target", text(700_000))
      yield* store.delete("source")
      assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
      assert.deepStrictEqual(yield* afterCrash(path, ["source", "target"]), ["target"])
    }))

  it.effect("a deletion made after MapFull goes ahead, and the value that waited follows", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, maxMapSize: "1 MiB", flushInterval: "Infinity" })
      yield* store.putMany({ large: text(600_000) })
      yield* store.put("waiting", text(500_000))
      assert.strictEqual((yield* Effect.flip(store.flush))._tag, "MapFull")
      yield* store.delete("large")
      yield* store.flush
      assert.deepStrictEqual(yield* afterCrash(path, ["large", "waiting"]), ["large"])
    }))
})

describe("deletions that make room", () => {
  const [a, b, c] = [ByteString("a"), ByteString("b"), ByteString("c")]

  it("are known as such until a value takes their place, also when a failed commit gives them back", () => {
    const buffer = WriteBuffer.make({ batchSize: 10, batchBytes: 1000 })
    buffer.write(a, null, true)
    buffer.write(b, null, true)
    buffer.write(c, null, false)
    const generation = buffer.rotate()
    buffer.write(b, Uint8Array.of(1), true)
    buffer.giveBack()
    assert.deepStrictEqual([...buffer.filling().freeing], [a])
    assert.deepStrictEqual([...buffer.filling().writes.keys()], [a, b, c])
    assert.strictEqual(generation?.freeing.has(b), true)
  })

  it("and writes that are on disk already leave the generation that is being committed, with their bytes", () => {
    const buffer = WriteBuffer.make({ batchSize: 10, batchBytes: 1000 })
    buffer.write(a, Uint8Array.of(1, 2), false)
    buffer.write(b, null, true)
    buffer.rotate()
    assert.strictEqual(buffer.bytes(), 4)
    buffer.remove(a)
    buffer.remove(c)
    assert.strictEqual(buffer.bytes(), 1)
    assert.strictEqual(buffer.size(), 1)
    assert.isUndefined(buffer.get(a))
  })
})
