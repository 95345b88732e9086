/**
 * Takes the TypeScript snippets out of a markdown text, type-checks them and runs
 * each as a program of its own, the way a reader would who copies it.
 *
 * What a snippet says that it prints stands behind `// => `:
 *
 *     console.log(1 + 1) // => 2
 *
 * A fence marked `ts no-run` is type-checked only.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Stream from "effect/Stream"
import MarkdownIt from "markdown-it"
import * as process from "node:process"

/** A fence of the markdown text. */
export interface Snippet {
  /** The number of its first line in the text. */
  readonly line: number
  readonly code: string
  readonly isRun: boolean
  /** The lines it says that it prints. */
  readonly prints: ReadonlyArray<string>
}

/** The snippets of a markdown text, in its order. */
export const fromMarkdown = (text: string): ReadonlyArray<Snippet> =>
  new MarkdownIt().parse(text, {}).flatMap((token) => {
    const [language, ...marks] = token.info.trim().split(/\s+/)
    if (token.type !== "fence" || language !== "ts" || token.map === null) return []
    return [{
      line: token.map[0] + 2,
      code: token.content,
      isRun: !marks.includes("no-run"),
      prints: Array.from(token.content.matchAll(/\/\/ => ?(.*)$/gm), ([, printed = ""]) => printed)
    }]
  })

/** What came of a program. */
export interface Outcome {
  readonly exitCode: number
  readonly printed: ReadonlyArray<string>
  readonly errors: string
}

const execute = Effect.fnUntraced(function*(file: string, args: ReadonlyArray<string>, cwd: string) {
  const program = yield* ChildProcess.make(file, args, { cwd, env: { FORCE_COLOR: "0" }, extendEnv: true })
  const text = (stream: typeof program.stdout) => Stream.mkString(Stream.decodeText(stream))
  const [exitCode, output, errors] = yield* Effect.all(
    [program.exitCode, text(program.stdout), text(program.stderr)],
    { concurrency: "unbounded" }
  )
  const outcome: Outcome = { exitCode, printed: output.split(/\r?\n/).slice(0, -1), errors }
  return outcome
}, Effect.scoped)

/**
 * A temporary folder with one folder for each snippet, where the package's name
 * means its sources and every other package is this repository's.
 */
export class Workshop extends Context.Service<Workshop, {
  /** Type-checks all snippets. */
  readonly check: Effect.Effect<Outcome, unknown>
  /** Runs one of them. */
  readonly run: (snippet: Snippet) => Effect.Effect<Outcome, unknown>
}>()("effect-lmdb/test/Workshop") {
  static readonly layer = (snippets: ReadonlyArray<Snippet>) =>
    Layer.effect(
      this,
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const context = yield* Effect.context<NodeServices.NodeServices>()
        const repository = yield* path.fromFileUrl(new URL("../..", import.meta.url))
        const sources = path.join(repository, "src", "index.ts")
        const folder = yield* fs.makeTempDirectoryScoped()
        const folderOf = (snippet: Snippet) => path.join(folder, `line-${snippet.line}`)

        yield* fs.symlink(path.join(repository, "node_modules"), path.join(folder, "node_modules"))
        yield* fs.writeFileString(path.join(folder, "package.json"), JSON.stringify({ type: "module" }))
        yield* fs.writeFileString(
          path.join(folder, "tsconfig.json"),
          JSON.stringify({
            extends: path.join(repository, "test", "tsconfig.json"),
            // A snippet may declare something only to show it
            compilerOptions: { rootDir: path.resolve("/"), noUnusedLocals: false },
            include: ["*/program.ts"],
            exclude: []
          })
        )
        yield* Effect.forEach(snippets, (snippet) => {
          const code = snippet.code.replaceAll("from \"effect-lmdb\"", `from ${JSON.stringify(sources)}`)
          // Blank lines in front, so that line numbers in errors are those of the text
          const program = "\n".repeat(snippet.line - 1) + code
          return Effect.andThen(
            fs.makeDirectory(folderOf(snippet)),
            fs.writeFileString(path.join(folderOf(snippet), "program.ts"), program)
          )
        })

        const compiler = path.join(repository, "node_modules", "typescript", "bin", "tsc")
        return Workshop.of({
          check: Effect.provide(
            execute(process.execPath, [compiler, "--pretty", "false", "-p", folder], folder),
            context
          ),
          run: (snippet) => Effect.provide(execute(process.execPath, ["program.ts"], folderOf(snippet)), context)
        })
      })
    ).pipe(Layer.provide(NodeServices.layer))
}
