import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as ChildProcess from "effect/process/ChildProcess"
import type { ChildProcessHandle } from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"
import * as process from "node:process"

const start = Effect.fnUntraced(function*(
  example: string,
  args: ReadonlyArray<string>,
  env: { readonly [name: string]: string }
) {
  const path = yield* Path.Path
  const file = yield* path.fromFileUrl(new URL(`../examples/${example}.ts`, import.meta.url))
  return yield* ChildProcess.make(process.execPath, [file, ...args], {
    env: { FORCE_COLOR: "0", ...env },
    extendEnv: true
  })
})

const linesOf = (program: ChildProcessHandle) => Stream.splitLines(Stream.decodeText(program.stdout))

/** Runs an example to its end; gives the lines that it printed. */
const run = Effect.fnUntraced(function*(example: string, ...args: ReadonlyArray<string>) {
  const program = yield* start(example, args, {})
  const [exitCode, lines, errors] = yield* Effect.all(
    [program.exitCode, Stream.runCollect(linesOf(program)), Stream.mkString(Stream.decodeText(program.stderr))],
    { concurrency: "unbounded" }
  )
  assert.strictEqual(exitCode, 0, errors)
  return lines
}, Effect.scoped)

/** Runs an example until it prints a line that matches and presses Ctrl-C; gives that line's first group. */
const runUntil = Effect.fnUntraced(function*(
  example: string,
  pattern: RegExp,
  env: { readonly [name: string]: string }
) {
  const program = yield* start(example, [], env)
  const found = yield* Stream.runHead(Stream.filter(linesOf(program), (line) => pattern.test(line)))
  yield* program.kill({ killSignal: "SIGINT" })
  const [, group] = pattern.exec(yield* Effect.fromOption(found)) ?? []
  return Number(group)
}, Effect.scoped)

/** Runs an example, and ends it by a signal when it prints a line; gives all lines that it printed. */
const endAt = Effect.fnUntraced(function*(
  killSignal: "SIGINT" | "SIGKILL",
  line: string,
  example: string,
  ...args: ReadonlyArray<string>
) {
  const program = yield* start(example, args, {})
  return yield* linesOf(program).pipe(
    Stream.tap((printed) => printed === line ? program.kill({ killSignal }) : Effect.void),
    Stream.runCollect
  )
}, Effect.scoped)

const linesWith = (lines: ReadonlyArray<string>, label: string): ReadonlyArray<string> =>
  lines.filter((line) => line.startsWith(label)).map((line) => line.slice(label.length).trim())

layer(NodeServices.layer, { excludeTestServices: true })("examples", (it) => {
  it.effect("cities: a second run finds the records of the first and ends the same", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = path.join(yield* fs.makeTempDirectoryScoped(), "cities")

      const first = yield* run("cities", "--path", folder)
      assert.deepStrictEqual(linesWith(first, "Open"), ["a new store"])
      assert.deepStrictEqual(linesWith(first, "Load "), ["25 %", "50 %", "75 %", "100 %"])
      assert.match(linesWith(first, "Loaded").join(), /^135,233 records in [\d.]+ s: [\d,]+ a second$/)
      assert.match(linesWith(first, "Read").join(), /Tokyo, JP .* 8,336,599 people/)
      assert.match(linesWith(first, "Update").join(), /Reykjavík, IS .* 118,919 people/)
      assert.match(linesWith(first, "Delete").join(), /^33 /)
      assert.match(linesWith(first, "Names").join(), /^that begin with Reyk: .*Reykjavík/)
      assert.match(linesWith(first, "Count").join(), /^\d+ of the 135,233 are in Iceland$/)
      assert.match(linesWith(first, "Stats").join(), /^135,200 cities, /)
      assert.isTrue(yield* fs.exists(path.join(folder, "data.mdb")))

      const second = yield* run("cities", "--path", folder)
      assert.deepStrictEqual(linesWith(second, "Open"), ["135,200 records of an earlier run, loaded again"])
      for (const label of ["Load ", "Read", "Largest", "Names", "Update", "Delete"]) {
        assert.deepStrictEqual(linesWith(second, label), linesWith(first, label))
      }
    }))

  it.effect("readings: Ctrl-C loses nothing that was put", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const env = {
        STORE_PATH: yield* fs.makeTempDirectoryScoped(),
        // Nothing is committed before the end
        STORE_BATCH_SIZE: "1000000",
        STORE_FLUSH_INTERVAL: "1 hour"
      }
      const put = yield* runUntil("readings", /^(\d+) readings$/, env)
      const found = yield* runUntil("readings", /^(\d+) readings on disk/, env)
      assert.strictEqual(put, 1000)
      assert.isAtLeast(found, put)
    }))

  it.effect("orderWorkflow: an order survives kill -9 and Ctrl-C, and no step that is done is done again", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = path.join(yield* fs.makeTempDirectoryScoped(), "orders")
      const args = ["orderWorkflow", "--path", folder, "--speed", "10"] as const

      const killed = yield* endAt("SIGKILL", "Pay       ...", ...args)
      assert.deepStrictEqual(linesWith(killed, "Order"), ["1, teapot: it is new"])
      const interrupted = yield* endAt("SIGINT", "Pack      ...", ...args)
      assert.deepStrictEqual(linesWith(interrupted, "Order"), ["1, teapot: it goes on"])
      assert.deepStrictEqual(linesWith(interrupted, "Reserve"), [
        "one teapot is on the packing table (by an earlier process)"
      ])
      assert.deepStrictEqual(interrupted.slice(-3), [
        "",
        "Stop      after the step that is running",
        "Stopped   start it again, and the order goes on"
      ])
      const [, receipt = ""] = linesWith(interrupted, "Pay")
      assert.match(receipt, /^24\.90 EUR, receipt \d{5}$/)
      const last = yield* run(...args)
      assert.deepStrictEqual(linesWith(last, "Pay"), [`${receipt} (by an earlier process)`])
      assert.match(linesWith(last, "Ship").join(), /parcel \d{5}$/)
      assert.match(linesWith(last, "Done").join(), /^order 1, after \d+ s in this process$/)

      const next = yield* endAt("SIGKILL", "Order     2, teapot: it is new", ...args)
      assert.isNotEmpty(next)
    }))

  it.effect("postgres: two processes go on while the server is killed, lose nothing and do nothing twice", () =>
    Effect.gen(function*() {
      const lines = yield* run("postgres", "--cities", "150", "--moves", "8")
      const [version = ""] = linesWith(lines, "         PostgreSQL")
      assert.match(version, /^1\d\.\d+, 127\.0\.0\.1:\d+$/)
      assert.match(linesWith(lines, "Loaded").join(), /^150 cities in [\d.]+ s$/)
      const printed = linesWith(lines, "Printer")
      assert.deepStrictEqual(printed.map((line) => Number.parseInt(line, 10)), [1, 2, 3, 4, 5, 6, 7, 8])
      assert.match(printed.join("\n"), /^1 +\S.*, [A-Z]{2} +to \S.*, [A-Z]{2} +[\d,]+ people$/m)
      const server = linesWith(lines, "Server").map((line) => line.replace(/[\d.]+ s /, ""))
      const [killed, restarted] = ["it was killed with kill -9", "it was started again, later"]
      assert.deepStrictEqual(server.slice(1), [killed, restarted, killed, restarted])
      assert.match(linesWith(lines, "Mover").join(), /^8 moves are committed\. The slowest took [\d.]+ s$/)
      assert.deepStrictEqual(lines.at(-1)?.trim(), "nothing was lost, and nothing was done twice")
    }))

  it.effect("the first program is that of the README", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const read = (name: string) => Effect.flatMap(path.fromFileUrl(new URL(name, import.meta.url)), fs.readFileString)
      const example = yield* read("../examples/firstProgram.ts")
      assert.include(yield* read("../../README.md"), example.replace("../../src/index.ts", "effect-lmdb"))
    }))

  it.effect("readings is a program of the page about operations", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const read = (name: string) => Effect.flatMap(path.fromFileUrl(new URL(name, import.meta.url)), fs.readFileString)
      const example = yield* read("../examples/readings.ts")
      assert.include(yield* read("../../docs/operations.md"), example.replace("../../src/index.ts", "effect-lmdb"))
    }))

  it.effect("the README opens a store on PostgreSQL as the page about it does", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const read = (name: string) => Effect.flatMap(path.fromFileUrl(new URL(name, import.meta.url)), fs.readFileString)
      const [, fragment = ""] = /```ts fragment\n(const StoreOnPostgres.*?)```/s.exec(yield* read("../../README.md")) ??
        []
      assert.match(fragment, /PgClient/)
      assert.include(yield* read("../../docs/distributed.md"), fragment)
    }))
})
