/** A process of a shared store that does not write, beside records that another process has let expire. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { spawnSync } from "node:child_process"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { start, temporaryFolder, until } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"

const program = new URL("../programs/putExpiring.ts", import.meta.url).pathname

describe("a process that does not write", () => {
  it.live("deletes expired records of another process, and reports them", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      const store = yield* Store.make({ path, shared: true })
      const told: Array<string> = []
      yield* start(Stream.runForEach(store.changes(), (change) => Effect.sync(() => told.push(change._tag))))
      const { status, stderr } = spawnSync(process.execPath, [program, path], { encoding: "utf8", timeout: hangLimit })
      assert.deepStrictEqual([status, stderr], [0, ""])
      yield* until(() => told.includes("Expired"))
      assert.isFalse(yield* store.has("session"))
      assert.strictEqual((yield* store.stats).expired, 1)
    }).pipe(Effect.scoped), hangLimit)
})
