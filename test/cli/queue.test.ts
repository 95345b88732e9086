/** The command `queue`: what is in the queues, and what has failed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { Store } from "../../src/index.ts"
import * as LmdbPersistedQueue from "../../src/PersistedQueue.ts"
import { linesOf, runCli } from "../support/cliRun.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"

const fill = Effect.gen(function*() {
  const emails = yield* PersistedQueue.make({ name: "emails", schema: Schema.String, maxAttempts: 1 })
  const images = yield* PersistedQueue.make({ name: "images", schema: Schema.Struct({ url: Schema.String }) })
  for (const id of ["1", "2", "3"]) {
    yield* emails.offer(`to ${id}`, { id })
    yield* Effect.ignore(emails.take(() => Effect.fail(`no connection for ${id}`)))
  }
  yield* emails.offer("done", { id: "4" })
  yield* emails.take(() => Effect.void)
  yield* emails.offer("waits", { id: "5" })
  yield* images.offer({ url: "a" }, { id: "later", delay: "1 hour" })
  yield* images.offer({ url: "b" }, { id: "broken" })
})

/** A store with two queues. One element of `images` is damaged. */
const made = Effect.gen(function*() {
  const path = join(yield* temporaryFolder, "jobs")
  yield* fill.pipe(
    Effect.provide(LmdbPersistedQueue.layer().pipe(Layer.provide(Store.layer({ path })))),
    Effect.scoped
  )
  const database = "collection/effect.PersistedQueue"
  const broken = (yield* recordsOf(path, database)).find(([key]) => key.includes("broken"))
  assert.isDefined(broken)
  yield* tamper(path, broken === undefined ? [] : [[database, broken[0], Buffer.of(0xc1)]])
  return path
})

const decodeJson = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))

const Listed = Schema.fromJsonString(
  Schema.Struct({ id: Schema.String, state: Schema.String, attempts: Schema.optional(Schema.Int) })
)

const decodeListed = Schema.decodeUnknownSync(Listed)

const listed = (path: string, ...flags: ReadonlyArray<string>) =>
  Effect.map(runCli(["queue", "ls", path, "--ndjson", ...flags]), ({ code, err, out }) => {
    assert.strictEqual(code, 0, err)
    return linesOf(out).map((line) => decodeListed(line)).map(({ id, state }) => `${id} ${state}`)
  })

describe("queue", () => {
  it.live("lists queues and elements, damaged ones too", () =>
    Effect.gen(function*() {
      const path = yield* made
      const queues = yield* runCli(["queue", "ls", path, "--json"])
      assert.deepStrictEqual(decodeJson(queues.out), [
        { queue: "emails", due: 1, delayed: 0, leased: 0, failed: 3, completed: 1, damaged: 0 },
        { queue: "images", due: 0, delayed: 1, leased: 0, failed: 0, completed: 0, damaged: 1 }
      ])
      assert.match((yield* runCli(["queue", "ls", path])).out, /^QUEUE +DUE/)
      const failed = ["1 failed", "2 failed", "3 failed"]
      assert.deepStrictEqual(yield* listed(path, "--state", "failed"), failed)
      assert.deepStrictEqual(yield* listed(path, "--name", "emails"), [...failed, "5 due"])
      assert.deepStrictEqual(yield* listed(path, "--state", "completed"), ["4 completed"])
      assert.deepStrictEqual(yield* listed(path, "--name", "images"), ["broken damaged", "later delayed"])
      const limited = yield* runCli(["queue", "ls", path, "--state", "failed", "--limit", "2"])
      assert.strictEqual(linesOf(limited.out).length, 3)
      assert.include(limited.err, "There are more")
      assert.include(limited.out, "no connection for 1")
    }).pipe(Effect.scoped))

  it.live("shows an element", () =>
    Effect.gen(function*() {
      const path = yield* made
      const shown = yield* runCli(["queue", "show", path, "2", "--name", "emails"])
      assert.deepInclude(decodeJson(shown.out), {
        queue: "emails",
        id: "2",
        state: "failed",
        element: "to 2",
        attempts: 1
      })
      const damaged = yield* runCli(["queue", "show", path, "broken", "--name", "images"])
      assert.deepInclude(decodeJson(damaged.out), { id: "broken", state: "damaged" })
      assert.strictEqual((yield* runCli(["queue", "show", path, "9", "--name", "emails"])).code, 1)
    }).pipe(Effect.scoped))

  it.live("requeues and deletes what has failed, only with --write", () =>
    Effect.gen(function*() {
      const path = yield* made
      const queue = (command: string, ...args: ReadonlyArray<string>) =>
        runCli(["queue", command, path, "--name", "emails", ...args])
      assert.strictEqual((yield* queue("requeue", "1")).code, 2)
      assert.strictEqual((yield* queue("requeue", "--write")).code, 2)
      assert.deepInclude(yield* queue("requeue", "1", "--write"), { code: 0, err: "Requeued 1 element.\n" })
      assert.strictEqual((yield* queue("requeue", "1", "--write")).code, 1)
      assert.deepStrictEqual(yield* listed(path, "--state", "due"), ["1 due", "5 due"])
      assert.strictEqual((yield* queue("purge", "--all", "--write")).code, 2)
      assert.deepInclude(yield* queue("purge", "2", "--write", "--json"), { code: 0, out: "{\"changed\":1}\n" })
      assert.deepInclude(yield* queue("purge", "--all", "--write", "--yes"), { code: 0, err: "Deleted 1 element.\n" })
      assert.deepStrictEqual(yield* listed(path, "--name", "emails"), ["1 due", "5 due"])
    }).pipe(Effect.scoped))

  it.live("names the queue that was meant", () =>
    Effect.gen(function*() {
      const path = yield* made
      const err = "The store has no queue \"emial\"; did you mean emails?\n"
      const commands = [
        ["ls", path],
        ["show", path, "1"],
        ["requeue", path, "--all", "--write"],
        ["purge", path, "--all", "--write", "--yes"]
      ]
      for (const args of commands) {
        assert.deepEqual(yield* runCli(["queue", ...args, "--name", "emial"]), { code: 2, out: "", err })
      }
      assert.deepInclude(yield* runCli(["queue", "ls", path, "--name", "images", "--state", "failed"]), {
        code: 0,
        err: "No elements.\n"
      })
    }).pipe(Effect.scoped))

  it.live("finds nothing in a store without queues", () =>
    Effect.gen(function*() {
      const path = yield* temporaryFolder
      yield* Effect.scoped(Effect.flatMap(Store.make({ path }), (store) => store.put("a", 1)))
      assert.deepInclude(yield* runCli(["queue", "ls", path]), { code: 0, err: "No queues.\n" })
      for (const args of [["ls", path], ["show", path, "1"], ["requeue", path, "--all", "--write"]]) {
        const ran = yield* runCli(["queue", ...args, "--name", "q"])
        assert.deepEqual(ran, { code: 2, out: "", err: "The store has no queue \"q\".\n" })
      }
    }).pipe(Effect.scoped))
})
