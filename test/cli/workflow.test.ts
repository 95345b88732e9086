/** The command `workflow`, on what the engine of Effect has stored; and what the engine makes of its changes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Activity, DurableClock, DurableDeferred, Workflow } from "effect/workflow"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Workflows } from "../../src/Cluster.ts"
import { Store, type StoreOptions } from "../../src/index.ts"
import { linesOf, runCli } from "../support/cliRun.ts"
import { recordsOf, tamper } from "../support/fixtures/collections.ts"
import { temporaryFolder } from "../support/harness.ts"
import { startProgram } from "../support/startProgram.ts"

const commandLines = fileURLToPath(new URL("../programs/commandLines.ts", import.meta.url))

const Approval = DurableDeferred.make("Approval", { success: Schema.String })

/** Waits until somebody approves it, after it has slept. */
const Order = Workflow.make("Order", {
  payload: { id: Schema.String, sleeps: Schema.Boolean },
  success: Schema.String,
  idempotencyKey: ({ id }) => id
})

/** Fails as long as the outside world is broken. */
const Fragile = Workflow.make("Fragile", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id }).annotate(
  Workflow.SuspendOnFailure,
  true
)

const Quick = Workflow.make("Quick", {
  payload: { fails: Schema.Boolean },
  success: Schema.Int,
  error: Schema.String,
  idempotencyKey: ({ fails }) => String(fails)
})

/** What happened outside of the workflows. */
interface World {
  isBroken: boolean
  readonly undone: Array<string>
}

const live = (world: World, options: StoreOptions) =>
  Layer.mergeAll(
    Order.toLayer(Effect.fnUntraced(function*({ id, sleeps }) {
      yield* Activity.make({ name: "Pay", success: Schema.Int, execute: Effect.succeed(7) }).pipe(
        Order.withCompensation(() => Effect.sync(() => void world.undone.push(id)))
      )
      if (sleeps) yield* DurableClock.sleep({ name: "Rest", duration: "1 hour", inMemoryThreshold: "1 second" })
      return yield* DurableDeferred.await(Approval)
    })),
    Fragile.toLayer(() => Effect.suspend(() => world.isBroken ? Effect.die("no connection") : Effect.void)),
    Quick.toLayer(({ fails }) => fails ? Effect.fail("no stock") : Effect.succeed(1))
  ).pipe(
    Layer.provideMerge(Workflows.layer({
      shardingConfig: { entityTerminationTimeout: "100 millis", entityMessagePollInterval: "100 millis" }
    })),
    Layer.provide(Store.layer(options))
  )

/** Waits until something holds. */
const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(holds, { schedule: Schedule.spaced("20 millis"), while: (isSo) => !isSo })

const isSuspended = <A, E>(result: Option.Option<Workflow.Result<A, E>>) =>
  Option.isSome(result) && result.value._tag === "Suspended"

const decodeJson = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))

const Listed = Schema.fromJsonString(Schema.Struct({
  workflow: Schema.optional(Schema.String),
  executionId: Schema.optional(Schema.String),
  state: Schema.String
}))

const decodeListed = Schema.decodeUnknownSync(Listed)

const list = (path: string, ...flags: ReadonlyArray<string>) =>
  Effect.map(runCli(["workflow", "ls", path, "--ndjson", ...flags]), ({ code, err, out }) => {
    assert.strictEqual(code, 0, err)
    return linesOf(out).map((line) => decodeListed(line))
  })

/** Runs the workflows until all of them have ended or wait. Returns their execution ids. */
const fill = (world: World) =>
  Effect.gen(function*() {
    const waiting = yield* Order.execute({ id: "o1", sleeps: false }, { discard: true })
    const sleeping = yield* Order.execute({ id: "o2", sleeps: true }, { discard: true })
    const fragile = yield* Fragile.execute({ id: "f1" }, { discard: true })
    yield* Quick.execute({ fails: false })
    yield* Effect.ignore(Quick.execute({ fails: true }))
    yield* until(Effect.map(Order.poll(waiting), isSuspended))
    yield* until(Effect.map(Order.poll(sleeping), isSuspended))
    yield* until(Effect.map(Fragile.poll(fragile), isSuspended))
    assert.isTrue(world.isBroken)
    return { waiting, sleeping, fragile }
  })

const made = Effect.fnUntraced(function*(world: World) {
  const path = join(yield* temporaryFolder, "orders")
  const ids = yield* Effect.provide(fill(world), live(world, { path }), { local: true })
  return { path, ...ids }
})

describe("workflow", () => {
  it.live("lists and shows what the engine has stored, also if messages are damaged", () =>
    Effect.gen(function*() {
      const { fragile, path, sleeping, waiting } = yield* made({ isBroken: true, undone: [] })
      const states = (yield* list(path)).map(({ state, workflow = "" }) => `${workflow} ${state}`)
      assert.sameMembers(states, [
        "Order suspended",
        "Order suspended",
        "Fragile suspended after a failure",
        "Quick completed",
        "Quick failed"
      ])
      const suspended = (yield* list(path, "--state", "suspended")).map(({ executionId }) => executionId)
      assert.sameMembers(suspended, [waiting, sleeping, fragile])
      assert.strictEqual((yield* list(path, "--name", "Quick")).length, 2)
      const table = yield* runCli(["workflow", "ls", path, "--state", "failed"])
      assert.include(table.out, "no stock")
      const shown = decodeJson((yield* runCli(["workflow", "show", path, sleeping])).out)
      assert.nestedInclude(shown, { workflow: "Order", state: "suspended", "payload.id": "o2" })
      assert.nestedInclude(shown, { "steps[0].kind": "activity", "steps[0].name": "Pay", "steps[0].result": 7 })
      assert.nestedInclude(shown, { "steps[1].kind": "sleep", "steps[1].name": "Rest", "steps[1].state": "running" })
      assert.nestedProperty(shown, "steps[1].until")
      assert.strictEqual((yield* runCli(["workflow", "show", path, "none"])).code, 1)

      const [[message] = []] = yield* recordsOf(path, "collection/effect.Cluster.messages")
      const [[reply] = []] = yield* recordsOf(path, "collection/effect.Cluster.replies")
      assert.isDefined(message)
      assert.isDefined(reply)
      if (message === undefined || reply === undefined) return
      yield* tamper(path, [
        ["collection/effect.Cluster.messages", message, Buffer.of(0xc1)],
        ["collection/effect.Cluster.replies", reply, Buffer.of(0xc1)]
      ])
      const damaged = yield* list(path)
      assert.strictEqual(damaged.length, states.length)
      assert.strictEqual(damaged[0]?.state, "damaged")
    }).pipe(Effect.scoped))

  it.live("resumes and interrupts: the program does it when it starts", () =>
    Effect.gen(function*() {
      const world: World = { isBroken: true, undone: [] }
      const { fragile, path, sleeping, waiting } = yield* made(world)
      const workflow = (command: string, ...args: ReadonlyArray<string>) => runCli(["workflow", command, path, ...args])
      assert.strictEqual((yield* workflow("resume", fragile)).code, 2)
      assert.strictEqual((yield* workflow("resume", "none", "--write")).code, 1)
      assert.strictEqual((yield* workflow("resume", fragile, "--write")).code, 0)
      const again = yield* workflow("resume", fragile, "--write")
      assert.deepStrictEqual([again.code, again.err.includes("is not suspended")], [1, true])
      for (const id of [waiting, sleeping]) {
        assert.strictEqual((yield* workflow("interrupt", id, "--write")).code, 0)
        // A second time changes nothing.
        assert.strictEqual((yield* workflow("interrupt", id, "--write")).code, 0)
      }
      const [quick] = yield* list(path, "--state", "completed")
      assert.strictEqual((yield* workflow("interrupt", quick?.executionId ?? "", "--write")).code, 1)
      assert.deepStrictEqual(world.undone, [])

      world.isBroken = false
      const ended = Effect.map(list(path), (all) => all.every(({ state }) => !/suspended|running/.test(state)))
      yield* Effect.provide(
        Effect.gen(function*() {
          yield* until(
            Effect.map(Order.poll(waiting), (result) => Option.isSome(result) && result.value._tag === "Complete")
          )
          yield* until(
            Effect.map(Order.poll(sleeping), (result) => Option.isSome(result) && result.value._tag === "Complete")
          )
          yield* until(
            Effect.map(Fragile.poll(fragile), (result) => Option.isSome(result) && result.value._tag === "Complete")
          )
        }),
        live(world, { path }),
        { local: true }
      )
      assert.isTrue(yield* ended)
      assert.sameMembers(world.undone, ["o1", "o2"])
      const after = (yield* list(path)).map(({ executionId, state }) => `${executionId ?? ""} ${state}`)
      assert.includeMembers(after, [`${waiting} interrupted`, `${sleeping} interrupted`, `${fragile} completed`])
      const shown = (yield* workflow("show", waiting)).out
      assert.include(shown, "\"kind\": \"interrupt\"")
    }).pipe(Effect.scoped))

  it.live("changes a workflow of a program that runs, if both share the store", () =>
    Effect.gen(function*() {
      const world: World = { isBroken: true, undone: [] }
      const path = join(yield* temporaryFolder, "orders")
      yield* Effect.provide(
        Effect.gen(function*() {
          const { fragile, waiting } = yield* fill(world)
          world.isBroken = false
          // A store that is open in this process cannot be opened in another way there.
          const lines = [["resume", fragile], ["interrupt", waiting]].map((
            [command, id]
          ) => ["workflow", command, path, id, "--write"])
          const { line } = yield* startProgram(commandLines, JSON.stringify(lines))
          assert.strictEqual(yield* line("codes"), "codes 0 0")
          yield* until(
            Effect.map(Fragile.poll(fragile), (result) => Option.isSome(result) && result.value._tag === "Complete")
          )
          yield* until(
            Effect.map(Order.poll(waiting), (result) => Option.isSome(result) && result.value._tag === "Complete")
          )
          assert.deepStrictEqual(world.undone, ["o1"])
        }),
        live(world, { path, shared: true }),
        { local: true }
      )
    }).pipe(Effect.scoped))
})
