/**
 * Packs the package, installs the tarball into a folder of its own, and type-checks
 * and runs a program there, with every declaration checked, under each supported Node. It runs the command line there too.
 *
 * `npm run test:package` runs it; it needs the npm registry.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import manifest from "../../package.json" with { type: "json" }

const nodes = ["22.23.3", manifest.devDependencies.node]

const compilers = ["5.9.3", manifest.devDependencies.typescript]

/** Makes a store from a file, and lists it. */
const commandLine =
  "effect-lmdb --version && effect-lmdb import data notes.ndjson --write --mode put && effect-lmdb ls data"

class PackageCheckFailed extends Data.TaggedError("PackageCheckFailed")<{ readonly message: string }> {}

const run = Effect.fnUntraced(function*(cwd: string, command: string, ...args: ReadonlyArray<string>) {
  yield* Console.log(["\n$", command, ...args].join(" "))
  const program = yield* ChildProcess.make(command, args, { cwd, stdout: "inherit", stderr: "inherit" })
  const exitCode = yield* program.exitCode
  if (exitCode !== 0) yield* new PackageCheckFailed({ message: `${command} gave exit code ${exitCode}` })
}, Effect.scoped)

/** Runs a command with another version of a tool than the installed one. */
const runWith = (cwd: string, tool: string, command: string) => run(cwd, "npx", "--yes", "-p", tool, "-c", command)

/** The declarations that a declaration imports, as paths. */
const importsOf = (path: Path.Path, file: string, text: string): ReadonlyArray<string> =>
  Array.from(
    text.matchAll(/["'](\.{1,2}\/[^"']+?)(?:\.d)?\.[jt]s["']/g),
    ([, name = ""]) => path.join(path.dirname(file), `${name}.d.ts`)
  )

/** The types of lmdb break consumers who check libraries, so no declaration that they reach may mention them. */
const checkDeclarations = Effect.fnUntraced(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const entries = Object.values(manifest.exports).flatMap((entry) => typeof entry === "string" ? [] : [entry.types])
  const waiting = entries.map((entry) => path.join(folder, entry))
  const reached = new Set(waiting)
  for (const file of waiting) {
    const text = yield* fs.readFileString(file)
    if (/["']lmdb["']/.test(text)) yield* new PackageCheckFailed({ message: `${file} mentions the types of lmdb` })
    for (const imported of importsOf(path, file, text)) {
      if (reached.has(imported)) continue
      reached.add(imported)
      waiting.push(imported)
    }
  }
  yield* Console.log(`${reached.size} declarations without the types of lmdb`)
})

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const repository = yield* path.fromFileUrl(new URL("../..", import.meta.url))
  const folder = yield* fs.makeTempDirectoryScoped()
  const tarball = path.join(folder, `${manifest.name}-${manifest.version}.tgz`)
  const consumer = path.join(folder, "consumer")

  yield* run(repository, "npm", "pack", "--loglevel=error", "--pack-destination", folder)
  yield* checkDeclarations(repository)
  yield* run(repository, "publint", "run", tarball, "--strict")
  yield* run(repository, "attw", tarball, "--profile", "esm-only")

  yield* fs.copy(path.join(repository, "test", "package", "consumer"), consumer)
  yield* run(
    consumer,
    "npm",
    "install",
    "--loglevel=error",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    tarball,
    `effect@${manifest.devDependencies.effect}`,
    `@types/node@${manifest.devDependencies["@types/node"]}`
  )
  yield* Effect.forEach(compilers, (version) => runWith(consumer, `typescript@${version}`, "tsc -p ."))
  yield* Effect.forEach(
    nodes,
    (version) => runWith(consumer, `node@${version}`, `node --version && node main.js && ${commandLine}`)
  )
})

program.pipe(Effect.scoped, Effect.provide(NodeServices.layer), NodeRuntime.runMain)
