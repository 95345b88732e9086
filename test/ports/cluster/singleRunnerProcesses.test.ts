/** Workflows of several processes on one file. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Store } from "../../../src/index.ts"
import { temporaryFolder } from "../../support/harness.ts"
import * as Standby from "../../support/standby.ts"
import { testLimit } from "../../support/timeLimits.ts"

describe("workflows of several processes on one file", () => {
  it.live("run in one of them, and in another one after its end", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Standby.check(yield* Store.make({ path, shared: true }), ["lmdb", path])
    }).pipe(Effect.scoped), testLimit)
})
