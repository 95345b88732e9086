/** A program that uses the package can be bundled, with the native packages left outside of the bundle. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Stream from "effect/Stream"
import * as esbuild from "esbuild"
import * as process from "node:process"

/** The packages that load native code by paths of their own. README.md names the same. */
const externals: ReadonlyArray<string> = ["lmdb", "fs-native-extensions"]

interface Kind {
  readonly format: "esm" | "cjs"
  readonly minify: boolean
}

const kinds: ReadonlyArray<Kind> = [
  { format: "esm", minify: false },
  { format: "esm", minify: true },
  { format: "cjs", minify: false },
  { format: "cjs", minify: true }
]

const linkFolder = Effect.fnUntraced(function*(from: string, to: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* fs.makeDirectory(path.dirname(to), { recursive: true })
  yield* fs.symlink(from, to)
})

/** Bundles the program into a folder where nothing but the external packages is installed. */
const bundle = Effect.fnUntraced(function*({ format, minify }: Kind) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const repository = yield* path.fromFileUrl(new URL("../..", import.meta.url))
  const folder = yield* fs.makeTempDirectoryScoped()
  const outfile = path.join(folder, format === "esm" ? "program.mjs" : "program.cjs")
  yield* Effect.promise(() =>
    esbuild.build({
      entryPoints: [path.join(repository, "test", "programs", "bundled.ts")],
      outfile,
      bundle: true,
      platform: "node",
      target: "node22",
      external: [...externals],
      format,
      minify,
      logLevel: "silent"
    })
  )
  yield* Effect.forEach(
    externals,
    (name) => linkFolder(path.join(repository, "node_modules", name), path.join(folder, "node_modules", name))
  )
  return { folder, outfile }
})

const runProgram = Effect.fnUntraced(function*(file: string, store: string) {
  const program = yield* ChildProcess.make(process.execPath, [file, store], {
    env: { NO_COLOR: "1" },
    extendEnv: true
  })
  const text = (stream: typeof program.stdout) => Stream.mkString(Stream.decodeText(stream))
  const [exitCode, output, errors] = yield* Effect.all(
    [program.exitCode, text(program.stdout), text(program.stderr)],
    { concurrency: "unbounded" }
  )
  assert.strictEqual(exitCode, 0, `${output}\n${errors}`)
  return output
}, Effect.scoped)

layer(NodeServices.layer, { excludeTestServices: true })("a bundle", (it) => {
  it.effect.each(kinds)(
    "by esbuild prints the same as the program: $format, minified: $minify",
    (kind) =>
      Effect.gen(function*() {
        const path = yield* Path.Path
        const { folder, outfile } = yield* bundle(kind)
        const source = yield* path.fromFileUrl(new URL("../programs/bundled.ts", import.meta.url))
        const expected = yield* runProgram(source, path.join(folder, "by the sources"))
        assert.strictEqual(yield* runProgram(outfile, path.join(folder, "by the bundle")), expected)
        assert.include(expected, "KeyNotFound Key not found: \"missing\"")
        // What one wrote the other reads
        assert.strictEqual(yield* runProgram(outfile, path.join(folder, "by the sources")), expected)
      }).pipe(Effect.scoped)
  )

  it.effect("does not load the native library with an import, and tells if it cannot be loaded later", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* fs.makeTempDirectoryScoped()
      const program = yield* path.fromFileUrl(new URL("../programs/importOnly.ts", import.meta.url))
      const printed: unknown = JSON.parse(yield* runProgram(program, path.join(folder, "store")))
      assert.deepStrictEqual(printed, {
        imported: ["effect", "msgpackr"],
        tag: "Engine",
        detail: "the package lmdb could not be loaded",
        size: 0,
        opened: ["@effect/platform-node", "@noble/ciphers", "effect", "fs-native-extensions", "lmdb", "msgpackr"]
      })
    }).pipe(Effect.scoped))

  it.effect("needs only the external packages that the README names", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const readme = yield* fs.readFileString(yield* path.fromFileUrl(new URL("../../README.md", import.meta.url)))
      const named = Array.from(readme.matchAll(/--external:(\S+)/g), ([, name]) => name)
      assert.deepStrictEqual(named, [...externals])
    }))
})
