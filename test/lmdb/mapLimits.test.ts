/** Maps that have no place among the addresses of the process: an error each, and never a dead process. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"

const programs = {
  growUnderLimit: new URL("../programs/growUnderLimit.ts", import.meta.url).pathname,
  openAs: new URL("../programs/openAs.ts", import.meta.url).pathname
}

describe("an option mapSize", () => {
  it.effect.each(["128 TiB", "200 TiB", "4000 TiB"] as const)(
    "of %s is a BadOption, and creates no file",
    (mapSize) =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const error = yield* Effect.flip(Effect.scoped(Store.make({ path, mapSize })))
        assert.strictEqual(error.reason._tag, "BadOption")
        assert.strictEqual(error.option, "mapSize")
        assert.include(error.detail, "address space of this process")
        assert.notInclude(readdirSync(path), "data.mdb")
      })
  )

  it.effect("of some TiB maps a file of which little is used", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      for (const mapSize of ["1 TiB", "8 TiB"] as const) {
        assert.isTrue(yield* withStore({ path, mapSize }, (store) => Effect.as(store.putMany({ a: 1 }), true)))
      }
    }))

  it.effect("may be that large only up to the limit of the file", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* withStore({ path, maxMapSize: "4000 TiB" }, (store) => store.putMany({ a: 1 }))
    }))
})

// Skipped where processes cannot be limited in that way.
describe.skipIf(!existsSync("/proc/self/limits") || spawnSync("prlimit", ["--version"]).status !== 0)(
  "under a limit on addresses",
  () => {
    const Report = Schema.fromJsonString(Schema.Struct({
      error: Schema.Struct({
        _tag: Schema.String,
        detail: Schema.String,
        code: Schema.Number,
        isRetryable: Schema.Boolean
      }),
      hasWritten: Schema.Boolean,
      wrong: Schema.Number,
      small: Schema.Number,
      later: Schema.String
    }))

    it.effect.each(["", "snapshot"])(
      "a store that cannot grow fails with EngineFailure, and remains usable %s",
      (snapshot) =>
        Effect.gen(function*() {
          const folder = yield* temporaryFolder
          const { signal, status, stderr, stdout } = spawnSync(
            process.execPath,
            // With a small heap the memory of JavaScript takes nearly the same addresses in each run.
            ["--max-old-space-size=64", programs.growUnderLimit, join(folder, "store"), "900", snapshot],
            {
              encoding: "utf8",
              timeout: hangLimit,
              // The C library would take 64 MiB of addresses for each thread, more or fewer from run to run.
              env: { ...process.env, MALLOC_ARENA_MAX: "1" }
            }
          )
          assert.deepStrictEqual([status, signal], [0, null], stderr)
          const { error, ...rest } = Schema.decodeUnknownSync(Report)(stdout)
          assert.deepStrictEqual(rest, { hasWritten: true, wrong: 0, small: 1, later: "EngineFailure" })
          const { detail, ...kind } = error
          assert.deepStrictEqual(kind, { _tag: "EngineFailure", code: 12, isRetryable: true })
          assert.match(detail, /a map of .* does not fit .* at most .*ulimit -v/)
        })
    )

    it.effect("a mapSize that is larger than the limit allows is a BadOption", () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const { status, stderr, stdout } = spawnSync(
          "prlimit",
          [`--as=${1700 * 1024 * 1024}`, process.execPath, programs.openAs, "", path, "mapSize=1 GiB"],
          { encoding: "utf8", timeout: hangLimit }
        )
        assert.strictEqual(status, 0, stderr)
        assert.deepStrictEqual(stdout.trim().split("\n"), ["OpenFailed BadOption"])
      }))
  }
)
