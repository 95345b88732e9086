/** A migration that ends in the middle: what is done is not done again. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import * as process from "node:process"
import { Collection, Store } from "../../src/index.ts"
import { faults } from "../support/engines/faultyEngine.ts"
import { all, at, recordsOf } from "../support/fixtures/collections.ts"
import { listing, Person } from "../support/fixtures/people.ts"
import { faultyStore, start, temporaryFolder, until, withLog } from "../support/harness.ts"

const manyNames = (count: number) => Array.from({ length: count }, (_, key) => [key, { name: `n${key}` }] as const)

/** People as the first version of the program kept them. */
const firstPeople = Effect.fnUntraced(function*(count: number) {
  const path = yield* temporaryFolder
  const first = Collection.make("people", { key: Schema.Int, value: Person })
  yield* at(path, Effect.flatMap(first, ({ putMany }) => putMany(manyNames(count))))
  return path
})

describe("a migration that ends in the middle", () => {
  const count = 2600

  const listed = listing((value) => Effect.succeed([value]))

  const isWhole = (path: string) =>
    at(
      path,
      Effect.gen(function*() {
        const { values } = yield* listed
        const lists = yield* all(values())
        assert.deepStrictEqual(lists, manyNames(count).map(([, name]) => [name]))
      })
    )

  it.effect("because it fails continues where it stopped", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(count)
      const failing = listing((value) =>
        Effect.flatMap(Schema.decodeUnknownEffect(Person)(value), ({ name }) =>
          name === "n2500" ? Effect.fail("no") : Effect.succeed([value]))
      )
      for (let attempt = 0; attempt < 2; attempt++) {
        const failure = yield* at(path, Effect.flip(failing))
        assert.nestedInclude(failure, { _tag: "CollectionFailed", "reason._tag": "Migration", collection: "people" })
        assert.include(failure.message, "key 2500")
        assert.include(
          failure.message,
          "a program of version 1 can no longer open the collection: repair the migration"
        )
      }
      // Two parts are done, and not done again
      const shapes = (yield* recordsOf(path, "collection/people")).map(([, bytes]) =>
        bytes.length
      )
      assert.isAbove(new Set(shapes).size, 1)
      let migrated = 0
      yield* at(
        path,
        listing((value) => {
          migrated++
          return Effect.succeed([value])
        })
      )
      assert.isBelow(migrated, count)
      yield* isWhole(path)
    }))

  it.effect("because it is interrupted continues where it stopped", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(count)
      let migrated = 0
      const slow = listing((value) => {
        migrated++
        return migrated === 1500 ? Effect.never : Effect.succeed([value])
      })
      yield* at(
        path,
        Effect.gen(function*() {
          const fiber = yield* start(slow)
          yield* until(() => migrated === 1500)
          yield* Fiber.interrupt(fiber)
        })
      )
      yield* isWhole(path)
    }))

  it.effect("because a commit fails continues where it stopped", () =>
    withLog(() =>
      Effect.gen(function*() {
        const path = yield* firstPeople(count)
        const { faulty, store } = yield* faultyStore({ path, flushInterval: "Infinity" })
        yield* faulty.fail("commit", faults.inputOutput, 2)
        const failure = yield* Effect.flip(Effect.provideService(listed, Store, store))
        assert.strictEqual(failure, faults.inputOutput)
        yield* store.close()
        yield* isWhole(path)
      })
    ))

  it.effect("because the process is killed continues where it stopped", () =>
    Effect.gen(function*() {
      const path = yield* firstPeople(count)
      const program = new URL("../programs/collectionMigration.ts", import.meta.url).pathname
      /** Migrates in another process, which is killed after some records. */
      const migrateUntil = (enough: number) =>
        Effect.callback<{ readonly output: string; readonly errors: string }>((resume) => {
          const child = spawn(process.execPath, [program, path, String(enough)])
          let output = ""
          let errors = ""
          child.stdout.setEncoding("utf8").on("data", (text: string) => {
            output += text
            if (output.includes("in the middle")) child.kill("SIGKILL")
          })
          child.stderr.setEncoding("utf8").on("data", (text: string) => {
            errors += text
          })
          child.on("close", () => resume(Effect.succeed({ output, errors })))
        })
      // The second is killed at the first record of the part that the first was in
      for (const enough of [1100, 1]) {
        const { errors, output } = yield* migrateUntil(enough)
        assert.strictEqual(errors, "")
        assert.include(output, "in the middle")
      }
      yield* isWhole(path)
    }))
})
