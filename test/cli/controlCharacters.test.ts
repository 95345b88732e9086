/** A terminal obeys control characters. What a store or a file contains must not reach it as such. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { runCli } from "../support/cliRun.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const csi = "\u009b31m"

/** Control characters, without the ends of lines. */
const raw = /(?!\n)\p{Cc}/u

describe("control characters", () => {
  it.live("of keys, values and errors are written as escapes", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "store")
      yield* withStore({ path }, (store) => store.put(`key${csi}`, { text: `\u001b[2J${csi}` }, { durable: true }))
      for (const format of [[], ["--json"], ["--ndjson"]]) {
        for (const command of [["get", path, `key${csi}`], ["scan", path], ["get", path, `\u001b[2Jmissing${csi}`]]) {
          const { err, out } = yield* runCli([...command, ...format])
          assert.isAbove(out.length + err.length, 0)
          assert.notMatch(out, raw, [...command, ...format].join(" "))
          assert.notMatch(err, raw, [...command, ...format].join(" "))
        }
      }
      const { out } = yield* runCli(["get", path, `key${csi}`, "--json"])
      assert.deepStrictEqual(JSON.parse(out), [{ key: `key${csi}`, value: { text: `\u001b[2J${csi}` } }])
    }).pipe(Effect.scoped))
})
