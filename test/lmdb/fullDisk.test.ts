import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { hangLimit } from "../support/timeLimits.ts"

const program = new URL("../programs/fullDisk.ts", import.meta.url).pathname

/** Blocks of 512 or 1024 bytes, as the shell has it: 0.75 or 1.5 MB. */
const fileLimit = 1500

it("a full disk fails with EngineFailure and its code: no write is lost, and writing continues when there is room", () => {
  const folder = mkdtempSync(join(tmpdir(), "effect-lmdb-"))
  const run = spawnSync(
    "sh",
    [
      "-c",
      `ulimit -f ${fileLimit} && trap '' XFSZ && exec "$0" "$1" "$2"`,
      process.execPath,
      program,
      join(folder, "store")
    ],
    { encoding: "utf8", timeout: hangLimit }
  )
  rmSync(folder, { recursive: true, force: true })
  assert.strictEqual(run.status, 0, run.stderr)
  assert.deepStrictEqual(JSON.parse(run.stdout), {
    // The engine writes a batch in one call, and a call that is cut short is an input/output error to it.
    flushed: ["EngineFailure", 5],
    unit: "EngineFailure",
    pending: 30,
    seen: [true, false, "on disk"],
    recovered: true,
    entries: 6
  })
})
