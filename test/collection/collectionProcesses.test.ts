/** Indexes of a collection that several processes write to, buffered and not in transactions. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { openBufferedAges } from "../support/fixtures/ages.ts"
import { temporaryFolder } from "../support/harness.ts"

describe("another process that commits a record before a pending write to it", () => {
  it.effect("leaves no stale entry if it runs another program", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true, flushInterval: "Infinity" })
      const people = yield* Effect.provideService(openBufferedAges, Store, store)
      yield* people.put(1, { age: 10 })
      yield* store.flush
      yield* people.put(1, { age: 20 })
      const program = new URL("../programs/putPerson.ts", import.meta.url).pathname
      const { stderr } = spawnSync(process.execPath, [program, path, "1", "30"], { encoding: "utf8" })
      assert.strictEqual(stderr, "")
      yield* store.flush
      assert.deepStrictEqual(yield* people.getOrFail(1), { age: 20 })
      assert.deepStrictEqual(yield* people.verify, [])
      assert.isFalse(yield* people.indexes.byAge.has(30))
    }))
})
