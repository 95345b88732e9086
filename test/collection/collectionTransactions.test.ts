/** Many collections in one transaction, and many in one store. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { join } from "node:path"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"
import { accounts, balances, transfer, transfers } from "../support/fixtures/accounts.ts"
import { all, at, flush, inStore, openUsers, recordsOf, userOf } from "../support/fixtures/collections.ts"
import { start, temporaryFolder, turns } from "../support/harness.ts"

const program = new URL("../programs/collectionTransfers.ts", import.meta.url).pathname

/** Runs the program on the store at a path, until it ends or has printed enough; gives what it printed. */
const run = (
  path: string,
  args: ReadonlyArray<string>,
  killAfter = Infinity
) =>
  Effect.callback<{ readonly lines: ReadonlyArray<string>; readonly errors: string }>((resume) => {
    const child = spawn(process.execPath, [program, path, ...args])
    let output = ""
    let errors = ""
    const lines = () => output.split("\n").slice(0, -1)
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
      if (!child.killed && lines().length >= killAfter) child.kill("SIGKILL")
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text
    })
    child.on("close", () => resume(Effect.succeed({ lines: lines(), errors })))
  })

const isBalanced = Effect.gen(function*() {
  const { count, expected, present, problems } = yield* balances
  assert.deepStrictEqual(present, new Map([...expected].toSorted(([a], [b]) => a < b ? -1 : 1)))
  assert.deepStrictEqual(problems, [])
  return count
})

describe("a transaction over several collections", () => {
  it.effect("is atomic when many fibers run it at once", () =>
    inStore(Effect.gen(function*() {
      const names = ["a", "b", "c", "d"]
      const all100 = Array.from({ length: 100 }, (_, number) =>
        transfer(String(number), [names[number % 4] ?? "", names[(number + 1 + number % 3) % 4] ?? ""], number))
      yield* Effect.all(all100, { concurrency: "unbounded" })
      assert.strictEqual(yield* isBalanced, 100)
      yield* flush
      assert.strictEqual(yield* isBalanced, 100)
    })))

  it.effect("that fails or is interrupted writes nothing", () =>
    inStore(Effect.gen(function*() {
      yield* transfer("first", ["a", "b"], 10)
      const { get } = yield* accounts
      const failed = yield* Effect.exit(transfer("second", ["a", "b"], 5, Effect.die("half-way")))
      assert.strictEqual(failed._tag, "Failure")
      // The name is taken: the last of its writes fails
      assert.strictEqual((yield* Effect.flip(transfer("first", ["a", "b"], 5)))._tag, "KeyExists")
      const fiber = yield* start(transfer("third", ["a", "b"], 5, Effect.never))
      yield* turns(20)
      assert.deepStrictEqual(yield* get("a"), Option.some(-10))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* get("a"), Option.some(-10))
      assert.strictEqual(yield* isBalanced, 1)
    })))

  it.effect("includes writes to the store outside collections", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const { put } = yield* accounts
      const writing = Effect.andThen(put("a", 1), store.put("a", "untyped"))
      yield* Effect.ignore(store.withTransaction(Effect.andThen(writing, Effect.fail("no"))))
      assert.isFalse(yield* store.has("a"))
      assert.isFalse(yield* (yield* accounts).has("a"))
      yield* store.withTransaction(writing)
      assert.strictEqual(yield* store.getOrFail("a"), "untyped")
      assert.strictEqual(yield* (yield* accounts).getOrFail("a"), 1)
    })))

  it.effect("conflicts when an index that it has read has changed, and runs again", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      const { indexes: { byAge }, insert } = yield* openUsers
      let attempts = 0
      // Writes how many are 36, while another becomes 36: a phantom
      yield* store.withTransaction(Effect.gen(function*() {
        attempts++
        const count = yield* byAge.count({ equals: 36 })
        if (attempts === 1) {
          yield* Effect.promise(() => Effect.runPromise(Effect.andThen(insert(1, userOf("Ada", 36)), store.flush)))
        }
        yield* store.put("count", count)
      }))
      assert.strictEqual(attempts, 2)
      assert.strictEqual(yield* store.getOrFail("count"), 1)
    })))

  it.effect("of one of two processes is atomic, whichever is first", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(path, transfer("first", ["a", "b"], 10))
      const times = 60
      const [here, there] = yield* Effect.all([
        at(
          path,
          Effect.forEach(
            Array.from({ length: times }, (_, number) => number),
            (number) => transfer(`here ${number}`, ["b", "a"], number)
          )
        ),
        run(path, ["there", String(times)])
      ], { concurrency: "unbounded" })
      assert.lengthOf(here, times)
      assert.deepStrictEqual([there.lines.length, there.errors], [times, ""])
      assert.strictEqual(yield* at(path, isBalanced), 1 + 2 * times)
    }))

  it.effect("of a process that is killed is on disk completely or not at all", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const { errors, lines } = yield* run(path, ["killed", "100000"], 25)
      assert.strictEqual(errors, "")
      const count = yield* at(path, isBalanced)
      assert.isAtLeast(count, lines.length)
    }))
})

/** One of many collections. */
const numbered = (number: number) =>
  Collection.make(`c${number}`, {
    key: Schema.Int,
    value: Schema.Number,
    indexes: { byValue: { key: Schema.Number, of: (value) => value } }
  })

describe("many collections in one store", () => {
  it.effect("are 300 with an index each, written in one transaction, and found after reopening", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const numbers = Array.from({ length: 300 }, (_, number) => number)
      yield* at(
        path,
        Effect.gen(function*() {
          const store = yield* Store
          const collections = yield* Effect.forEach(numbers, numbered)
          yield* store.withTransaction(
            Effect.forEach(collections, ({ put }, number) => put(number, -number), { discard: true })
          )
        }),
        { durability: "noSync" }
      )
      yield* at(
        path,
        Effect.gen(function*() {
          for (const number of numbers) {
            const { entries, indexes } = yield* numbered(number)
            assert.deepStrictEqual(yield* all(entries()), [[number, -number]])
            assert.deepStrictEqual(yield* all(indexes.byValue.keys()), [number])
          }
        }),
        { durability: "noSync" }
      )
    }))

  it.effect("do not see each other, nor the untyped values, although their keys are the same", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* at(
        path,
        Effect.gen(function*() {
          const store = yield* Store
          const { clear, put, ...one } = yield* Collection.make("one", { key: Schema.String, value: Schema.Number })
          const two = yield* Collection.make("one two", { key: Schema.String, value: Schema.Number })
          yield* put("a", 1)
          yield* two.put("a", 2)
          yield* store.put("a", 3)
          assert.deepStrictEqual(yield* all(store.entries()), [["a", 3]])
          assert.deepStrictEqual(yield* all(one.entries()), [["a", 1]])
          assert.strictEqual(yield* store.size, 1)
          yield* store.clear
          yield* store.deleteRange({})
          assert.strictEqual(yield* one.getOrFail("a"), 1)
          yield* clear
          assert.strictEqual(yield* one.size, 0)
          assert.strictEqual(yield* two.getOrFail("a"), 2)
          yield* store.put("b", 4)
          yield* two.clear
          assert.strictEqual(yield* store.getOrFail("b"), 4)
          yield* put("a", 1)
        })
      )
      assert.lengthOf(yield* recordsOf(path, "collection/one"), 1)
      assert.lengthOf(yield* recordsOf(path, "collection/one two"), 0)
    }))

  it.effect("can be opened inside a transaction, and are a part of it", () =>
    inStore(Effect.gen(function*() {
      const store = yield* Store
      yield* store.withTransaction(Effect.gen(function*() {
        const { put } = yield* transfers
        yield* put("t", { from: "a", to: "b", credits: 1 })
      }))
      assert.isTrue(yield* (yield* transfers).has("t"))
    })))

  it.effect("are included in a copy of the store", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      yield* at(
        join(folder, "one"),
        Effect.gen(function*() {
          const store = yield* Store
          yield* (yield* openUsers).put(1, userOf("Ada", 36))
          yield* store.backup(join(folder, "two"), { compact: true })
        })
      )
      yield* at(
        join(folder, "two"),
        Effect.gen(function*() {
          const { indexes: { byAge }, verify } = yield* openUsers
          assert.deepStrictEqual(yield* byAge.get(36), Option.some(userOf("Ada", 36)))
          assert.deepStrictEqual(yield* verify, [])
        })
      )
    }))
})
