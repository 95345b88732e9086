/** The help: every command is in it, and every example of it runs. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { DurableDeferred, Workflow } from "effect/workflow"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Workflows } from "../../src/Cluster.ts"
import { Collection, Store } from "../../src/index.ts"
import { commands } from "../../src/internal/cli/commands.ts"
import { flagsOf } from "../../src/internal/cli/completion.ts"
import { split } from "../../src/internal/cli/words.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import { runCli } from "../support/cliRun.ts"
import { temporaryFolder, withStore } from "../support/harness.ts"

const City = Schema.Struct({ name: Schema.String, country: Schema.String, population: Schema.Int })

const fillCities = Effect.gen(function*() {
  const cities = yield* Collection.make("cities", {
    key: Schema.Int,
    value: City,
    indexes: {
      byCountry: {
        key: Schema.Tuple([Schema.String, Schema.Int]),
        of: ({ country, population }) => [country, population]
      },
      byName: { key: Schema.String, of: ({ name }) => name }
    }
  })
  yield* cities.putMany([
    [3413829, { name: "Reykjavík", country: "IS", population: 118918 }],
    [184745, { name: "Nairobi", country: "KE", population: 2750547 }]
  ])
})

/** A queue with two elements that have failed. */
const fillJobs = Effect.gen(function*() {
  const emails = yield* PersistedQueue.make({ name: "emails", schema: Schema.String, maxAttempts: 1 })
  for (const id of ["1", "2"]) {
    yield* emails.offer("hello", { id })
    yield* Effect.ignore(emails.take(() => Effect.fail("no connection")))
  }
})

const Order = Workflow.make("Order", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })

const Orders = Order.toLayer(() => DurableDeferred.await(DurableDeferred.make("Approval"))).pipe(
  Layer.provideMerge(Workflows.layer({ shardingConfig: { entityTerminationTimeout: "100 millis" } }))
)

/** A workflow that waits. */
const fillOrders = Effect.gen(function*() {
  const id = yield* Order.execute({ id: "o1" }, { discard: true })
  yield* Effect.repeat(Order.poll(id), { schedule: Schedule.spaced("20 millis"), while: Option.isNone })
})

/** The stores of the examples, in a folder: `data/cities`, `data/notes`, `data/jobs`, `data/orders`, and an export of the cities. */
const stores = Effect.tap(temporaryFolder, (folder) =>
  Effect.all([
    Effect.provide(
      fillJobs,
      Layer.provide(LmdbPersistedQueue.layer(), Store.layer({ path: join(folder, "data/jobs") }))
    ).pipe(Effect.scoped),
    Effect.provide(fillOrders, Layer.provide(Orders, Store.layer({ path: join(folder, "data/orders") }))),
    Effect.provide(fillCities, Store.layer({ path: join(folder, "data/cities") })),
    withStore(
      { path: join(folder, "data/notes") },
      (store) => store.putMany({ "greeting": "hello", "draft/1": 1, "draft/2": 2 })
    )
  ]).pipe(
    Effect.andThen(runCli(["export", join(folder, "data/cities"), "--gzip", "--out", join(folder, "cities.ndjson.gz")]))
  ))

/** Commands that end only at Ctrl-C. `terminal.test.ts` runs them. */
const isEndless = (example: string): boolean => /^effect-lmdb (?:watch|shell) | --watch/.test(example)

/** The command line of an example, without the pipe after it. Its paths are in the folder. */
const argsOf = (example: string, folder: string): ReadonlyArray<string> =>
  split(example.split(" | ")[0] ?? "").words.slice(1).map((word) => word.startsWith("./") ? join(folder, word) : word)

/** Flags that the shell does not complete: it has the store open, and writes no file. */
const elsewhere = new Set(["--key-file", "--table", "--out", "--from-file"])

describe("the help of each command", () => {
  it.live.each(commands)("$name: its examples run", ({ load, name }) =>
    Effect.gen(function*() {
      const { command } = yield* Effect.promise(load)
      assert.strictEqual(command.name, name)
      assert.isAbove(command.examples.length, 0)
      const folder = yield* stores
      if (name === "restore") yield* runCli(argsOf("effect-lmdb backup ./data/cities ./backups/monday", folder))
      for (const { command: example } of command.examples) {
        if (isEndless(example)) continue
        const { code, err } = yield* runCli(argsOf(example, folder))
        assert.strictEqual(code, 0, `${example}\n${err}`)
      }
    }).pipe(Effect.scoped))

  it.live("lists all commands, and a command its flags and examples", () =>
    Effect.gen(function*() {
      const { code, out } = yield* runCli(["--help"])
      assert.strictEqual(code, 0)
      for (const { description, name } of commands) assert.match(out, new RegExp(`^ +${name} +${description}$`, "m"))
      const scan = yield* runCli(["scan", "--help"])
      assert.include(scan.out, "--prefix")
      assert.include(scan.out, "effect-lmdb scan ./data/cities")
    }))

  it.live.each(commands)("$name: the shell completes its flags", ({ load, name }) =>
    Effect.gen(function*() {
      const { command } = yield* Effect.promise(load)
      const names = command.subcommands.flatMap((group) => group.commands.map((each) => [name, each.name]))
      const helps = yield* Effect.forEach(
        names.length === 0 ? [[name]] : names,
        (words) => runCli([...words, "--help"])
      )
      const own = helps.flatMap(({ out }) => {
        const listed = out.slice(out.indexOf("\nFLAGS\n"), out.indexOf("\nGLOBAL FLAGS\n"))
        return Array.from(listed.matchAll(/^  (--[a-z-]+)/gm), ([, flag = ""]) => flag)
      })
      const completed = flagsOf(name).filter((flag) => flag.startsWith("--")).map((flag) =>
        flag.replace(/^--no-/, "--")
      )
      assert.deepStrictEqual(completed.filter((flag) => !own.includes(flag)), [])
      assert.deepStrictEqual(own.filter((flag) => !elsewhere.has(flag) && !completed.includes(flag)), [])
    }))

  it.live("gives its version, and scripts that complete commands and flags in shells", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* runCli(["--version"])).out, "effect-lmdb v1.2.3\n")
      for (const shell of ["bash", "zsh", "fish", "powershell"]) {
        const { code, out } = yield* runCli(["--completions", shell])
        assert.strictEqual(code, 0)
        for (const { name } of commands) assert.include(out, name)
        assert.include(out, "if-absent")
      }
    }))
})

describe("docs/cli.md", () => {
  const page = readFileSync(new URL("../../docs/cli.md", import.meta.url), "utf8")

  const recipes = Array.from(page.matchAll(/^```sh\n(.*?)^```$/gms), ([, block = ""]) => block.trimEnd().split("\n"))
    .flat()
    .filter((line) => /^(?:npx )?effect-lmdb /.test(line))

  it.live("has recipes that run", () =>
    Effect.gen(function*() {
      const folder = yield* stores
      assert.isAbove(recipes.length, 10)
      for (const recipe of recipes.filter((line) => !isEndless(line))) {
        const { code, err } = yield* runCli(argsOf(recipe.replace(/^npx /, ""), folder))
        assert.strictEqual(code, 0, `${recipe}\n${err}`)
      }
    }).pipe(Effect.scoped))

  it("has a row for each command", () => {
    for (const { name } of commands) assert.include(page, `\n| \`${name}\` `)
  })
})
