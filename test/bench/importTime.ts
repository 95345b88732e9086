/**
 * How long a program waits for `import "effect-lmdb"` after `import "effect"`, in new processes: of the modules that the
 * build of the package makes, by their name.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { WorkerFailed } from "./benchError.ts"
import { median } from "./table.ts"
import type { RunOptions } from "./workers.ts"

const repository = fileURLToPath(new URL("../..", import.meta.url))

/** What an import took, in milliseconds. */
export interface ImportTime {
  readonly wallMillis: number
  /** The processor time of all threads. */
  readonly cpuMillis: number
}

/** `effect` is imported first, so that its time is not counted. */
const program = `
  import "effect"
  const [begin, cpu] = [performance.now(), process.cpuUsage()]
  await import("effect-lmdb")
  const { system, user } = process.cpuUsage(cpu)
  process.stdout.write(JSON.stringify({ wallMillis: performance.now() - begin, cpuMillis: (system + user) / 1000 }))
`

const Answer = Schema.fromJsonString(Schema.Struct({ wallMillis: Schema.Finite, cpuMillis: Schema.Finite }))

/** Builds the package into the folder of the run, with the script that builds the published one. */
const build = Effect.fnUntraced(function*({ folder }: RunOptions) {
  const fs = yield* FileSystem.FileSystem
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const target = join(folder, "package")
  yield* fs.makeDirectory(target, { recursive: true })
  yield* fs.symlink(join(repository, "node_modules"), join(target, "node_modules"))
  // A module can import its own package by its name.
  yield* fs.copyFile(join(repository, "package.json"), join(target, "package.json"))
  yield* fs.writeFileString(join(target, "program.js"), program)
  const building = ChildProcess.make(process.execPath, [".ci/build.js", join(target, "dist")], {
    cwd: repository,
    stdout: "inherit",
    stderr: "inherit"
  })
  if ((yield* spawner.exitCode(building)) !== 0) {
    return yield* new WorkerFailed({ system: "effect-lmdb", task: "building the package" })
  }
  return target
})

/** Imports the package in new processes: the medians. */
export const measure = Effect.fnUntraced(function*(options: RunOptions) {
  const cwd = yield* build(options)
  const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
  const importing = ChildProcess.make(process.execPath, ["program.js"], {
    cwd,
    env: { NODE_DISABLE_COMPILE_CACHE: "1" },
    extendEnv: true,
    stderr: "inherit"
  })
  const once = Effect.flatMap(spawner.string(importing), Schema.decodeEffect(Answer))
  // The first process reads the files from the disk
  yield* once
  const times = yield* Effect.replicateEffect(once, 3 * options.effort.processes)
  const result: ImportTime = {
    wallMillis: median(times.map(({ wallMillis }) => wallMillis)),
    cpuMillis: median(times.map(({ cpuMillis }) => cpuMillis))
  }
  return result
})
