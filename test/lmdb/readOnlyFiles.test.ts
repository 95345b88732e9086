/** Files that may only be read: by another user, on a volume that is mounted read-only, or because nobody writes to them any more. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { chmodSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import * as process from "node:process"
import { Store, type StoreOptions } from "../../src/index.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"

const programs = {
  openAs: new URL("../programs/openAs.ts", import.meta.url).pathname,
  readAs: new URL("../programs/readAs.ts", import.meta.url).pathname
}

const isRoot = process.getuid?.() === 0

/** A process of this user may write to everything where it is root: then the programs are run as another. */
const user = isRoot ? "65534" : ""

const run = (command: string, args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8", timeout: hangLimit })
  assert.strictEqual(status, 0, stderr)
  return stdout.trim().split("\n")
}

/** Makes a store in a folder that all may look into. */
const makeStore = Effect.fnUntraced(function*(options: Partial<StoreOptions> = {}) {
  const folder = yield* temporaryFolder
  chmodSync(folder, 0o755)
  const path = join(folder, "store")
  yield* withStore({ path, fileMode: 0o644, ...options }, (store) => store.putMany({ a: 1, b: 2 }))
  return { folder, path, file: join(path, "data.mdb"), lock: join(path, "lock.mdb") }
})

const advice = /^Permission a reader has to write to the lock file.* or, when nobody writes .* chmod a-w .*data\.mdb$/

describe.skipIf(process.getuid === undefined)("a reader that may not write to the lock file", () => {
  it.effect("fails with advice if some user may write to the store", () =>
    Effect.gen(function*() {
      const unwritable = yield* makeStore()
      chmodSync(unwritable.lock, 0o444)
      const missing = yield* makeStore()
      rmSync(missing.lock)
      chmodSync(missing.path, 0o555)
      const outcomes = run(process.execPath, [programs.readAs, user, unwritable.path, missing.path])
      assert.lengthOf(outcomes, 2)
      for (const outcome of outcomes) assert.match(outcome, advice)
      assert.deepStrictEqual(readdirSync(missing.path).toSorted(), ["data.mdb", "store.lock"])
      chmodSync(missing.path, 0o755)
    }))

  it.effect("reads without the lock file if no user may write to the store", () =>
    Effect.gen(function*() {
      const unwritable = yield* makeStore()
      chmodSync(unwritable.lock, 0o444)
      chmodSync(unwritable.file, 0o444)
      const missing = yield* makeStore()
      rmSync(missing.lock)
      chmodSync(missing.file, 0o444)
      chmodSync(missing.path, 0o555)
      const outcomes = run(process.execPath, [programs.readAs, user, unwritable.path, missing.path])
      chmodSync(missing.path, 0o755)
      assert.deepStrictEqual(outcomes, ["2 records", "2 records"])
      assert.deepStrictEqual(readdirSync(missing.path).toSorted(), ["data.mdb", "store.lock"])
    }))

  it.effect("reads if it may write to the lock file but not to the database", () =>
    Effect.gen(function*() {
      const { lock, path } = yield* makeStore()
      chmodSync(lock, 0o666)
      assert.deepStrictEqual(run(process.execPath, [programs.readAs, user, path]), ["2 records"])
    }))
})

describe.skipIf(process.getuid === undefined)("a file that no user may write to", () => {
  it.effect("is not opened for writing, not even by root", () =>
    Effect.gen(function*() {
      const { file, path } = yield* makeStore()
      chmodSync(file, 0o444)
      const error = yield* Effect.flip(Effect.scoped(Store.make({ path })))
      assert.strictEqual(error.reason._tag, "Permission")
      if (isRoot) assert.include(error.detail, "chmod u+w")
      assert.strictEqual(yield* withStore({ path, readOnly: true }, (store) => store.size), 2)
      chmodSync(file, 0o644)
      yield* withStore({ path }, (store) => store.putMany({ c: 3 }))
    }))
})

const mayMount = spawnSync("unshare", ["-m", "true"], { timeout: hangLimit }).status === 0

/** Runs a program with a folder mounted read-only over itself. */
const runMounted = (folder: string, args: ReadonlyArray<string>) =>
  run("unshare", [
    "-m",
    "sh",
    "-c",
    `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" "$0" && exec "$@"`,
    folder,
    process.execPath,
    ...args
  ])

// Skipped where this process may not mount anything in a namespace of its own.
describe.skipIf(!mayMount)("a volume that is mounted read-only", () => {
  it.effect("fails with Permission when it is opened for writing, new or not, and nothing is changed", () =>
    Effect.gen(function*() {
      const { file, folder, path } = yield* makeStore()
      const before = statSync(file).mtimeMs
      const outcomes = runMounted(folder, [programs.openAs, "", path, join(folder, "new"), join(folder, "new", "deep")])
      assert.deepStrictEqual(outcomes, ["OpenFailed Permission", "OpenFailed Permission", "OpenFailed Permission"])
      assert.strictEqual(statSync(file).mtimeMs, before)
      assert.deepStrictEqual(readdirSync(folder), ["store"])
    }))

  it.effect("is read if no user may write to the store, and otherwise refused with advice", () =>
    Effect.gen(function*() {
      const { file, folder, lock, path } = yield* makeStore()
      assert.match(runMounted(folder, [programs.readAs, "", path]).join(), advice)
      chmodSync(file, 0o444)
      assert.deepStrictEqual(runMounted(folder, [programs.readAs, "", path]), ["2 records"])
      rmSync(lock)
      assert.deepStrictEqual(runMounted(folder, [programs.readAs, "", path]), ["2 records"])
    }))
})
