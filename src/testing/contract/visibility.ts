/**
 * Tests that a read sees all writes that have returned before it.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict"
import type { Backend } from "../../Backend.ts"
import {
  admitted,
  batch,
  below,
  beside,
  bytes,
  commit,
  contentsOf,
  contractCase,
  type ContractGroup,
  key,
  left,
  presentContents,
  put,
  reading,
  right,
  text,
  textAt,
  writeOf
} from "./subject.ts"

/** Tests every way to read a database with the records `a`, `b` and `c`, of which `b` was deleted. */
const assertReadsAgree = Effect.fnUntraced(function*(backend: Backend) {
  const names = ["a", "b", "c", "d"].map(key)
  deepStrictEqual(yield* reading(backend, (reader) => reader.getMany(left, names, text)), [
    "1",
    undefined,
    "3",
    undefined
  ])
  for (const [name, value] of [["a", "1"], ["b", undefined], ["c", "3"], ["d", undefined]] as const) {
    strictEqual(yield* textAt(backend, left, name), value)
    strictEqual(yield* reading(backend, (reader) => reader.has(left, key(name))), value !== undefined)
  }
  strictEqual(yield* reading(backend, (reader) => reader.count(left)), 2)
  deepStrictEqual(yield* presentContents(backend, left), { a: "1", c: "3" })
})

/** Tests that each write is visible as soon as it has returned, while `work` runs in the background. */
const assertSeesWrites = (backend: Backend, writes: number, valueOf: (number: number) => string) =>
  Effect.forEach(below(writes), (number) =>
    Effect.gen(function*() {
      const name = `k${number % 7}`
      yield* put(backend, left, name, valueOf(number))
      const found = yield* Effect.forkChild(textAt(backend, left, name))
      strictEqual(yield* textAt(backend, left, name), valueOf(number))
      strictEqual(yield* Fiber.join(found), valueOf(number))
      const contents = yield* presentContents(backend, left)
      strictEqual(contents[name], valueOf(number))
      strictEqual(yield* reading(backend, (reader) => reader.count(left)), Math.min(number + 1, 7))
    }), { discard: true })

const commitPair = (backend: Backend, number: number) =>
  commit(backend, writeOf(left, "a", `${number}`), writeOf(left, "b", `${number}`))

/** Tests whether all characters of a value are the same. */
const isWhole = (value: string): boolean => value === (value[0] ?? "").repeat(value.length)

/** The cases. */
export const visibility: ContractGroup = {
  name: "a read",
  cases: [
    contractCase("finds nothing in a database that does not exist", (backend) =>
      Effect.gen(function*() {
        const missing = "contract/missing"
        strictEqual(yield* reading(backend, (reader) => reader.get(missing, key("a"), text)), undefined)
        strictEqual(yield* reading(backend, (reader) => reader.has(missing, key("a"))), false)
        strictEqual(yield* reading(backend, (reader) => reader.count(missing)), 0)
        deepStrictEqual(yield* presentContents(backend, missing), {})
      })),

    contractCase("sees the writes and deletions that have returned", (backend) =>
      Effect.gen(function*() {
        yield* backend.write(["a", "b", "c"].map((name, at) => writeOf(left, name, `${at + 1}`)), admitted)
        yield* put(backend, right, "a", "other")
        yield* backend.remove([writeOf(left, "b", null)], admitted)
        yield* assertReadsAgree(backend)
        yield* backend.flush
        yield* assertReadsAgree(backend)
        strictEqual(yield* textAt(backend, right, "a"), "other")
      })),

    contractCase("sees pending deletions of committed records", (backend) =>
      Effect.gen(function*() {
        yield* commit(backend, writeOf(left, "a", "0"), writeOf(left, "b", "2"))
        yield* backend.remove([writeOf(left, "b", null)], admitted)
        yield* backend.write([writeOf(left, "a", "1"), writeOf(left, "c", "3")], admitted)
        yield* assertReadsAgree(backend)
      })),

    contractCase("sees what was committed, and that a database was cleared", (backend) =>
      Effect.gen(function*() {
        yield* put(backend, left, "pending", "1")
        yield* commit(backend, writeOf(left, "a", "1"))
        deepStrictEqual(yield* presentContents(backend, left), { a: "1", pending: "1" })
        yield* backend.commit({ reads: [], writes: batch([writeOf(left, "b", "2")], left) }, admitted)
        deepStrictEqual(yield* presentContents(backend, left), { b: "2" })
        strictEqual(yield* reading(backend, (reader) => reader.count(left)), 1)
      })),

    contractCase(
      "sees a write that has returned while commits run",
      (backend) => beside(backend.flush, assertSeesWrites(backend, 120, (number) => `value ${number}`))
    ),

    contractCase("sees a write that has returned while the backend makes room for 6 MiB", (backend) =>
      beside(
        backend.flush,
        assertSeesWrites(backend, 60, (number) => String.fromCharCode(97 + (number % 26)).repeat(100_000))
      )),

    contractCase("gives complete values to many fibers", (backend) =>
      Effect.gen(function*() {
        const names = below(8).map((number) => `${number}`)
        yield* commit(backend, ...names.map((name) => writeOf(left, name, name.repeat(5000 * (Number(name) + 1)))))
        yield* Effect.forEach(names, (name) =>
          Effect.forEach(below(20), () =>
            Effect.gen(function*() {
              const value = yield* textAt(backend, left, name)
              ok(value !== undefined && isWhole(value) && value.startsWith(name), "the value is of one record")
              strictEqual(value.length, 5000 * (Number(name) + 1))
            }), { discard: true }), { concurrency: "unbounded", discard: true })
      })),

    contractCase("of many keys gives values of one state while commits run", (backend) =>
      Effect.gen(function*() {
        yield* commitPair(backend, 0)
        const readPair = Effect.gen(function*() {
          const [a, b] = yield* reading(backend, (reader) => reader.getMany(left, [key("a"), key("b")], text))
          strictEqual(a, b)
          const contents = yield* presentContents(backend, left)
          strictEqual(contents["a"], contents["b"])
        })
        yield* beside(readPair, Effect.forEach(below(60), (number) => commitPair(backend, number), { discard: true }))
      })),

    contractCase(
      "sees writes that no longer fit into the memory for pending writes",
      (backend) =>
        Effect.gen(function*() {
          const names = below(5000).map((number) => `key ${number}`)
          yield* Effect.forEach(names, (name) => put(backend, left, name, name), { discard: true })
          strictEqual(yield* reading(backend, (reader) => reader.count(left)), names.length)
          const found = yield* reading(backend, (reader) => reader.getMany(left, names.map(key), text))
          deepStrictEqual(found, names)
          const snapshot = yield* backend.snapshot()
          deepStrictEqual(yield* contentsOf(snapshot, left), Object.fromEntries(names.map((name) => [name, name])))
          snapshot.release()
        })
    ),

    contractCase("gets bytes that do not change later", (backend) =>
      Effect.gen(function*() {
        const value = bytes("before")
        yield* commit(backend, [left, key("a"), value])
        const [[, record] = []] = (yield* reading(backend, (reader) =>
          reader.read(left, {
            from: undefined,
            to: undefined,
            reverse: false,
            values: true,
            maxRecords: 1,
            maxBytes: 1
          }))).records
        yield* commit(backend, writeOf(left, "a", "after!"))
        yield* textAt(backend, left, "a")
        strictEqual(record === undefined ? undefined : text(record), "before")
      }))
  ]
}
