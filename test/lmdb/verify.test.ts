/** The option `verify`: every page that is in use is looked at before the engine gets a file. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { open as openLmdb } from "lmdb"
import { spawn } from "node:child_process"
import { readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store, type StoreOptions } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import * as Shapes from "../torture/shapes.ts"

const pageSize = 4096

const overwriter = new URL("../programs/overwriter.ts", import.meta.url).pathname

/** Opens and closes a store, and says what came of it. */
const outcomeOf = (options: StoreOptions): Effect.Effect<string> =>
  Effect.scoped(Store.make(options)).pipe(
    Effect.match({ onFailure: ({ reason }) => reason._tag, onSuccess: () => "opened" })
  )

/** The numbers of the pages of a file whose header has a flag. */
const pagesWith = (file: Uint8Array, flag: number): ReadonlyArray<number> =>
  Array.from({ length: file.length / pageSize - 2 }, (_, index) => index + 2).filter((page) => {
    const view = new DataView(file.buffer, file.byteOffset + page * pageSize, pageSize)
    return view.getBigUint64(0, true) === BigInt(page) && view.getUint16(18, true) === flag
  })

const [branch, leaf, overflow] = [1, 2, 4]

/** Few of them are on a page, so that there are branches below the root. */
const longKey = (number: number): string => `key ${number}`.padEnd(300, ".")

/** A store whose pages are all in use, the fresh copy of a larger one. */
const makeCompact = Effect.gen(function*() {
  const path = join(yield* temporaryFolder, "compact")
  yield* withStore({ path: yield* temporaryFolder }, (store) =>
    Effect.gen(function*() {
      yield* store.putMany(Array.from({ length: 1000 }, (_, n) => [longKey(n), "v".repeat(n % 200)] as const))
      yield* store.putMany(Array.from({ length: 5 }, (_, n) => [`large ${n}`, "w".repeat(20_000)] as const))
      yield* store.backup(path, { compact: true })
    }))
  return { path, whole: new Uint8Array(readFileSync(join(path, "data.mdb"))) }
})

/** Writes a file of which one byte is another. */
const writeDamaged = (path: string, whole: Uint8Array, page: number, byte: number, bits: number): void => {
  const bytes = whole.slice()
  bytes[page * pageSize + byte] = (bytes[page * pageSize + byte] ?? 0) ^ bits
  writeFileSync(join(path, "data.mdb"), bytes)
}

describe("verify", () => {
  it.effect("accepts free pages at the end that were never written", () =>
    Effect.gen(function*() {
      for (const [count, length] of [[200, 1000], [1000, 300]] as const) {
        const path = yield* temporaryFolder
        const keys = Array.from({ length: count }, (_, n) => `key ${n}`)
        yield* withStore({ path }, (store) =>
          Effect.gen(function*() {
            yield* store.putMany(keys.map((key) => [key, "v".repeat(length)] as const))
            yield* store.deleteMany(
              keys.toSorted((a, b) => (Number(a.slice(4)) * 7919) % 1009 - (Number(b.slice(4)) * 7919) % 1009)
            )
          }))
        assert.strictEqual(yield* outcomeOf({ path, verify: true }), "opened")
      }
    }))

  it.effect("refuses a wrong header of any page, and does not change the file", () =>
    Effect.gen(function*() {
      const { path, whole } = yield* makeCompact
      const pages = [branch, leaf, overflow].map((flag) => pagesWith(whole, flag))
      for (const found of pages) assert.isAtLeast(found.length, 2)
      const headers = [[0, 1], [1, 1], [7, 1], [15, 128], [18, 8], [19, 1], [20, 2], [20, 1], [21, 2], [22, 2], [23, 8]]
      for (const [index, page] of pages.flatMap((found) => found.slice(0, 11)).entries()) {
        const [byte = 0, bits = 0] = headers[index % headers.length] ?? []
        writeDamaged(path, whole, page, byte, bits)
        const damaged = readFileSync(join(path, "data.mdb"))
        assert.strictEqual(yield* outcomeOf({ path, verify: true }), "NotADatabase", `page ${page}, byte ${byte}`)
        assert.isTrue(readFileSync(join(path, "data.mdb")).equals(damaged))
      }
    }))

  it.effect("refuses wrong places, lengths, flags, order and numbers of pages in any page of a tree", () =>
    Effect.gen(function*() {
      const { path, whole } = yield* makeCompact
      const pages = [branch, leaf].flatMap((flag) => pagesWith(whole, flag).slice(0, 5))
      for (const page of pages) {
        const view = new DataView(whole.buffer, page * pageSize, pageSize)
        const isAlone = view.getUint16(20, true) === 2
        const node = 24 + view.getUint16(isAlone ? 24 : 26, true)
        const isLarge = view.getUint16(18, true) === leaf && view.getUint16(node + 4, true) === 1
        // How long a value is that has pages of its own, only they say.
        if (isLarge) continue
        // Its place, the number of a page or the length of the data, the flags, the length of the key, and the key
        for (const byte of [24, 25, node, node + 1, node + 4, node + 6, node + 7, ...isAlone ? [] : [node + 8]]) {
          // One bit less: the length of data is known but for the byte that makes it even.
          for (const bits of [2, 255]) {
            writeDamaged(path, whole, page, byte, bits)
            const outcome = yield* outcomeOf({ path, verify: true })
            assert.strictEqual(outcome, "NotADatabase", `page ${page}, byte ${byte} ^ ${bits}`)
          }
        }
      }
    }))

  it.effect("refuses one page in place of another, and a page with two parents", () =>
    Effect.gen(function*() {
      const { path, whole } = yield* makeCompact
      const [from = 0, to = 0] = pagesWith(whole, branch)
      const bytes = whole.slice()
      bytes.copyWithin(to * pageSize, from * pageSize, (from + 1) * pageSize)
      new DataView(bytes.buffer).setBigUint64(to * pageSize, BigInt(to), true)
      writeFileSync(join(path, "data.mdb"), bytes)
      assert.strictEqual(yield* outcomeOf({ path, verify: true }), "NotADatabase")
    }))

  it.effect("opens stores of every shape, and copies of them", () =>
    Effect.gen(function*() {
      for (const shape of Shapes.shapes) {
        const path = join(yield* temporaryFolder, "store")
        yield* Shapes.make(shape, path)
        const options = { ...shape.options, path, verify: true }
        for (const compact of shape.options.encryptionKey === undefined ? [true, false] : [false]) {
          const copy = join(yield* temporaryFolder, "copy")
          yield* withStore(options, (store) => store.backup(copy, { compact }))
          yield* withStore({ ...options, path: copy }, (store) =>
            Effect.gen(function*() {
              assert.strictEqual(yield* store.size, shape.records.size)
              const { found } = yield* store.getMany(shape.records.keys())
              assert.deepStrictEqual(found, shape.records)
            }))
        }
      }
    }))

  it.effect("is on for files of up to 64 MiB, and off for larger ones", () =>
    Effect.gen(function*() {
      const { path, whole } = yield* makeCompact
      const [page = 0] = pagesWith(whole, overflow)
      writeDamaged(path, whole, page, 7, 1)
      assert.strictEqual(yield* outcomeOf({ path }), "NotADatabase")
      assert.strictEqual(yield* outcomeOf({ path, readOnly: true }), "NotADatabase")
      assert.strictEqual(yield* outcomeOf({ path, verify: false }), "opened")
      truncateSync(join(path, "data.mdb"), 64 * 1024 * 1024)
      assert.strictEqual(yield* outcomeOf({ path }), "NotADatabase")
      truncateSync(join(path, "data.mdb"), 64 * 1024 * 1024 + 1)
      assert.strictEqual(yield* outcomeOf({ path }), "opened")
      assert.strictEqual(yield* outcomeOf({ path, verify: true }), "NotADatabase")
    }))

  it.effect("accepts databases of another program in a store, but not of unknown kinds", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) => store.put("a", 1))
      const root = openLmdb({ path, pageSize, noSubdir: false })
      yield* Effect.promise(() => root.openDB({ name: "plain" }).put("key", { n: 1 }))
      yield* Effect.promise(() => root.close())
      assert.strictEqual(yield* outcomeOf({ path, verify: true }), "opened")
      const again = openLmdb({ path, pageSize, noSubdir: false })
      yield* Effect.promise(() => again.openDB({ name: "twice", dupSort: true, encoding: "string" }).put("key", "a"))
      yield* Effect.promise(() => again.close())
      for (const verify of [true, false]) {
        const { detail, reason } = yield* Effect.flip(Effect.asVoid(Store.make({ path, verify })))
        assert.strictEqual(reason._tag, "UnsupportedFormat")
        assert.include(detail, `"twice"`)
      }
    }))

  it.live("never refuses a file while another process writes to it", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path }, (store) =>
        store.putMany(Array.from({ length: 5000 }, (_, index) => [`key ${index}`, "v".repeat(900)] as const)))
      const child = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof spawn>>((resume) => {
          const started = spawn(process.execPath, [overwriter, path], { stdio: ["ignore", "pipe", "inherit"] })
          started.stdout?.once("data", () =>
            resume(Effect.succeed(started)))
        }),
        (started) => Effect.sync(() => started.kill("SIGKILL"))
      )
      for (let count = 0; count < 10; count++) {
        assert.strictEqual(yield* outcomeOf({ path, shared: true, readOnly: count % 2 === 0, verify: true }), "opened")
      }
      assert.isNull(child.exitCode)
    }))
})
