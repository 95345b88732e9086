/** The program itself, as a person uses it: on a real pseudo-terminal, and in pipes. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as process from "node:process"
import { fileURLToPath } from "node:url"
import { Store } from "../../src/index.ts"
import * as CliStoreModule from "../support/cliStore.ts"
import { temporaryFolder } from "../support/harness.ts"
import { hangLimit } from "../support/timeLimits.ts"

const { CliStore } = CliStoreModule

const program = fileURLToPath(new URL("../../src/effect-lmdb.js", import.meta.url))
const terminal = fileURLToPath(new URL("../support/terminal.py", import.meta.url))

/** Whether Python can make pseudo-terminals here: it is on most systems, and not on Windows. */
const hasTerminal = ((): boolean => {
  if (process.platform === "win32") return false
  const found = Effect.runSyncExit(Effect.try(() => execFileSync("python3", ["-c", "import pty"])))
  return found._tag === "Success"
})()

const Shown = Schema.fromJsonString(
  Schema.Struct({ shown: Schema.String, code: Schema.Int, missed: Schema.Array(Schema.String) })
)

/** Runs the program on a terminal: types the keys of each step when its text has appeared. */
const onTerminal = Effect.fnUntraced(
  function*(
    args: ReadonlyArray<string>,
    steps: ReadonlyArray<readonly [text: string, keys: string]>
  ) {
    const input = JSON.stringify({
      args: [process.execPath, program, ...args],
      columns: 60,
      steps,
      limit: hangLimit / 1000
    })
    const child = ChildProcess.make("python3", [terminal], { stdin: Stream.make(new TextEncoder().encode(input)) })
    const text = yield* Effect.flatMap(child, ({ stdout }) => Stream.mkString(Stream.decodeText(stdout)))
    return yield* Schema.decodeEffect(Shown)(text)
  },
  Effect.scoped,
  Effect.provide(NodeServices.layer)
)

/** Runs a command of a shell. */
const inShell = Effect.fnUntraced(
  function*(command: string) {
    const child = yield* ChildProcess.make("bash", ["-c", command], {
      env: { PROGRAM: program, NODE: process.execPath },
      extendEnv: true
    })
    const [out, err, code] = yield* Effect.all([
      Stream.mkString(Stream.decodeText(child.stdout)),
      Stream.mkString(Stream.decodeText(child.stderr)),
      child.exitCode
    ], { concurrency: "unbounded" })
    return { out, err, code }
  },
  Effect.scoped,
  Effect.provide(NodeServices.layer)
)

layer(CliStore.layer, { excludeTestServices: true })("the program", (it) => {
  it.effect.skipIf(!hasTerminal)(
    "has a shell that completes commands, collections, indexes and keys (python3 makes the terminal)",
    () =>
      Effect.gen(function*() {
        const { code, missed, shown } = yield* onTerminal(["shell", yield* CliStore], [
          ["effect-lmdb> ", "sc\t"],
          ["scan ", "-c us\t"],
          ["users ", "--index byN\t"],
          ["byName ", "--equals Ada --json\r"],
          ["\"Ada\"", "watch\r"],
          ["Watching", "\u0003"],
          ["effect-lmdb> ", "get -c tags app\t"],
          ["apple ", "\r"],
          ["\"fruit\"", "exit\r"]
        ])
        assert.deepStrictEqual([code, missed], [0, []], shown)
      })
  )

  it.effect.skipIf(!hasTerminal)(
    "redraws within the width of the terminal, and ends with 130 at Ctrl-C",
    () =>
      Effect.gen(function*() {
        const { code, missed, shown } = yield* onTerminal(["stat", yield* CliStore, "--watch=20ms"], [
          ["\u001b[16A", "\u0003"]
        ])
        assert.deepStrictEqual([code, missed], [130, []], shown)
        // eslint-disable-next-line no-control-regex
        const lines = shown.replaceAll(/\u001b\[[\d;]*[A-Za-z]/g, "").split("\r\n")
        for (const line of lines) assert.isAtMost(line.length, 60, line)
      })
  )

  it.effect.skipIf(!hasTerminal)("asks before it deletes several records", () =>
    Effect.gen(function*() {
      const { code, missed, shown } = yield* onTerminal(
        ["del", yield* CliStore, "-c", "prices", "--prefix", "FR", "--write"],
        [["Delete 2 records", "n"]]
      )
      assert.deepStrictEqual([code, missed], [1, []], shown)
    }))

  it.effect("ends quietly when the reader of its output has enough", () =>
    Effect.gen(function*() {
      const path = yield* CliStore
      const { code, err, out } = yield* inShell(
        `set -o pipefail; "$NODE" "$PROGRAM" scan "${path}" -c users --ndjson | true; echo "code $?"`
      )
      assert.deepStrictEqual([code, err, out], [0, "", "code 0\n"])
    }))

  it.effect("follows what another process commits, and names that process", () =>
    Effect.gen(function*() {
      const path = yield* Effect.tap(temporaryFolder, CliStoreModule.write)
      const store = yield* Store.make({ path })
      const namespace = yield* store.namespace("sessions")
      const watching = yield* ChildProcess.make(process.execPath, [
        program,
        "watch",
        path,
        "-n",
        "sessions",
        "--values",
        "--ndjson"
      ])
      const [first] = yield* Stream.decodeText(watching.stderr).pipe(Stream.take(1), Stream.runCollect)
      assert.include(first, "Watching")
      yield* namespace.putMany({ grace: { page: 1 } })
      yield* namespace.deleteMany(["ada"])
      const lines = yield* Stream.decodeText(watching.stdout).pipe(Stream.splitLines, Stream.take(2), Stream.runCollect)
      yield* watching.kill()
      assert.match(lines[0] ?? "", /"what":"put","key":"grace","value":\{"page":1\}\}$/)
      assert.match(lines[1] ?? "", /"what":"delete","key":"ada"\}$/)

      const { code, out } = yield* inShell(`"$NODE" "$PROGRAM" readers "${path}" --clean --ndjson`)
      assert.strictEqual(code, 0)
      assert.include(out, `{"processId":${process.pid},`)
      assert.include(out, `"mode":"writes"`)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

  it.effect("writes beside a program that shares the store without a word, and waits for another one with a note", () =>
    Effect.gen(function*() {
      const path = yield* Effect.tap(temporaryFolder, CliStoreModule.write)
      const put = `"$NODE" "$PROGRAM" put "${path}" a 1 --write`
      const shared = yield* Effect.scoped(Effect.andThen(Store.make({ path, shared: true }), inShell(put)))
      assert.deepStrictEqual(shared, { code: 0, out: "", err: "Put a in the store.\n" })
      const waited = yield* Effect.scoped(
        Effect.andThen(Store.make({ path }), inShell(`${put}; ${put} --quiet --json`))
      )
      const [note, failure, asJson, ...others] = waited.err.trimEnd().split("\n")
      assert.strictEqual(
        note,
        `Waiting up to 1s for process ${process.pid}, which has the store open for writing.`
      )
      assert.include(failure, "Cannot open the store")
      assert.include(asJson, "\"AlreadyOpen\"")
      assert.deepStrictEqual([waited.code, waited.out, others], [3, "", []])
    }).pipe(Effect.scoped))

  it.effect("runs the lines of a script in the shell, and ends with the code of the last", () =>
    Effect.gen(function*() {
      const path = yield* CliStore
      const { code, err, out } = yield* inShell(
        `printf 'foo\\nnpx effect-lmdb get ${path} greeting\\neffect-lmdb get nothing\\n' | "$NODE" "$PROGRAM" shell "${path}"`
      )
      assert.deepStrictEqual([code, out], [1, "\"hello\"\n"])
      assert.include(err, "Unknown command \"foo\". Type help.\n")
      assert.notInclude(err, "--table")
    }))
})
