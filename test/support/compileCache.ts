/**
 * Global set-up of the tests: a folder where Node keeps compiled modules, for as long as the tests run.
 *
 * Tests start about 300 processes. Without it more than half of the start of each goes into stripping the types of the
 * sources and compiling them again.
 */
import { rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"

/** The folder of this run, which Node makes. */
export const compileCache = join(tmpdir(), `effect-lmdb-test-modules-${process.pid}`)

/** Removes the folder when Vitest ends: before that its processes may write to it. */
export const setup = (): void => {
  process.on("exit", () => rmSync(compileCache, { recursive: true, force: true }))
}
