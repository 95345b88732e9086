/**
 * Takes the TypeScript snippets out of markdown texts, type-checks them and runs each as the
 * program of a reader who copies it.
 *
 * What a snippet says that it prints stands after `// => `:
 *
 *     console.log(1 + 1) // => 2
 *
 * Lines of the log do not count.
 *
 * To start a process takes seconds, so one process runs most snippets, one after the other. A
 * snippet with `NodeRuntime.runMain`, which ends its process, gets a process of its own, and so
 * does a fence marked `ts alone`. A fence marked `ts postgres` gets the address of a real server in
 * `DATABASE_URL`. A fence marked `ts no-run` is type-checked only. A fence marked `ts fragment` is not
 * a whole program: another test compares it with one.
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
import { fileURLToPath } from "node:url"
import { ownServer } from "./postgresServer.ts"
import { failure, startOf } from "./snippetLines.ts"

/** A fence of a markdown text. */
export interface Snippet {
  /** The file of the text, from the top of the repository. */
  readonly page: string
  /** The number of its first line in the text. */
  readonly line: number
  readonly code: string
  readonly isRun: boolean
  /** Whether it needs a process of its own. */
  readonly isAlone: boolean
  /** Whether it needs a PostgreSQL server. */
  readonly isOnServer: boolean
  /** The lines it says that it prints. */
  readonly prints: ReadonlyArray<string>
}

/** The snippets of a markdown text, in its order. */
export const fromMarkdown = (page: string, text: string): ReadonlyArray<Snippet> =>
  new MarkdownIt().parse(text, {}).flatMap((token) => {
    const [language, ...marks] = token.info.trim().split(/\s+/)
    if (token.type !== "fence" || language !== "ts" || token.map === null || marks.includes("fragment")) return []
    return [{
      page,
      line: token.map[0] + 2,
      code: token.content,
      isRun: !marks.includes("no-run"),
      isAlone: ["alone", "postgres"].some((mark) => marks.includes(mark)) || token.content.includes("runMain"),
      isOnServer: marks.includes("postgres"),
      prints: Array.from(token.content.matchAll(/\/\/ => ?(.*)$/gm), ([, printed = ""]) => printed)
    }]
  })

/** What came of a program. */
export interface Outcome {
  readonly exitCode: number
  readonly printed: ReadonlyArray<string>
  readonly errors: string
}

/** A line of Effect's log, which has the time in it. */
const logLine = /^\[\d\d:\d\d:\d\d\.\d{3}\] [A-Z]+ /

const execute = Effect.fnUntraced(function*(
  file: string,
  args: ReadonlyArray<string>,
  cwd: string,
  env: { readonly [name: string]: string } = {}
) {
  const program = yield* ChildProcess.make(file, args, { cwd, env: { FORCE_COLOR: "0", ...env }, extendEnv: true })
  const text = (stream: typeof program.stdout) => Stream.mkString(Stream.decodeText(stream))
  const [exitCode, output, errors] = yield* Effect.all(
    [program.exitCode, text(program.stdout), text(program.stderr)],
    { concurrency: "unbounded" }
  )
  const printed = output.split(/\r?\n/).slice(0, -1).filter((line) => !logLine.test(line))
  const outcome: Outcome = { exitCode, printed, errors }
  return outcome
}, Effect.scoped)

const repository = fileURLToPath(new URL("../..", import.meta.url))

const runner = fileURLToPath(new URL("../programs/runSnippets.ts", import.meta.url))

/** The part of the runner's outcome that belongs to one of its programs. */
const outcomeOf = ({ errors, exitCode, printed }: Outcome, program: number): Outcome => {
  const start = printed.indexOf(startOf(program))
  const end = printed.indexOf(startOf(program + 1))
  if (start === -1 || end === -1) return { exitCode: exitCode === 0 ? 1 : exitCode, printed, errors }
  const own = printed.slice(start + 1, end)
  return own.includes(failure) ? { exitCode: 1, printed: own, errors } : { exitCode: 0, printed: own, errors: "" }
}

const configuration = (base: string, root: string) => ({
  extends: base,
  // A snippet may declare something only to show it
  compilerOptions: { rootDir: root, noUnusedLocals: false },
  include: ["*/program.ts"],
  exclude: []
})

/** The program of a snippet, with blank lines at its start, so that line numbers in errors are those of the text. */
const programOf = ({ code, line }: Snippet, sources: string): string =>
  "\n".repeat(line - 1) +
  code
    .replaceAll("from \"effect-lmdb\"", `from ${JSON.stringify(sources)}`)
    .replaceAll(
      /from "effect-lmdb\/(\w+)"/g,
      (_, subpath: string) => `from ${JSON.stringify(sources.replace(/index\.ts$/, `${subpath}.ts`))}`
    )

/**
 * A temporary folder with one folder for each snippet, where the package's name
 * means its sources and every other package is this repository's.
 */
export class Workshop extends Context.Service<Workshop, {
  /** Type-checks all snippets. */
  readonly check: Effect.Effect<Outcome, unknown>
  /** Gives what came of one of them. The first call runs all that share a process. */
  readonly run: (snippet: Snippet) => Effect.Effect<Outcome, unknown>
}>()("effect-lmdb/test/Workshop") {
  static readonly layer = (snippets: ReadonlyArray<Snippet>) =>
    Layer.effect(
      this,
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const path = yield* Path.Path
        const context = yield* Effect.context<NodeServices.NodeServices>()
        const folder = yield* fs.makeTempDirectoryScoped()
        const folderOf = ({ line, page }: Snippet) => path.join(folder, `${page.replaceAll("/", "-")}-${line}`)
        const node = (args: ReadonlyArray<string>, cwd: string, env: { readonly [name: string]: string } = {}) =>
          Effect.provide(execute(process.execPath, args, cwd, env), context)

        yield* fs.symlink(path.join(repository, "node_modules"), path.join(folder, "node_modules"))
        yield* fs.writeFileString(path.join(folder, "package.json"), JSON.stringify({ type: "module" }))
        yield* fs.writeFileString(
          path.join(folder, "tsconfig.json"),
          JSON.stringify(configuration(path.join(repository, "test", "tsconfig.json"), path.resolve("/")))
        )
        const sources = path.join(repository, "src", "index.ts")
        yield* Effect.forEach(snippets, (snippet) =>
          Effect.andThen(
            fs.makeDirectory(folderOf(snippet)),
            fs.writeFileString(path.join(folderOf(snippet), "program.ts"), programOf(snippet, sources))
          ))

        const together = snippets.filter(({ isAlone, isRun }) => isRun && !isAlone)
        const runTogether = yield* Effect.cached(node([runner, ...together.map(folderOf)], folder))
        const compiler = path.join(repository, "node_modules", "typescript", "bin", "tsc")
        return Workshop.of({
          check: node([compiler, "--pretty", "false", "-p", folder], folder),
          run: (snippet) =>
            snippet.isAlone
              ? Effect.suspend(() =>
                node(["program.ts"], folderOf(snippet), snippet.isOnServer ? { DATABASE_URL: ownServer().url } : {})
              )
              : Effect.map(runTogether, (outcome) => outcomeOf(outcome, together.indexOf(snippet)))
        })
      })
    ).pipe(Layer.provide(NodeServices.layer))
}
