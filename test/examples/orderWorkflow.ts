/**
 * Runs an order as a durable workflow. End the process whenever you like, with Ctrl-C or kill -9, and start it again: the
 * order goes on where it was, and nothing that was done is done twice.
 *
 *     npm run start:workflow
 *     npm run start:workflow -- --path /tmp/orders --speed 3
 *
 * A program outside this repository imports from "effect-lmdb" and "effect-lmdb/Cluster" instead.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Context, DateTime, Duration, Effect, Layer, Option, Random, References, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { Activity, DurableClock, Workflow } from "effect/workflow"
import * as process from "node:process"
import { Workflows } from "../../src/Cluster.ts"
import { Collection, Store } from "../../src/index.ts"

/** The orders. A program finds here which one is not done yet. */
class Orders extends Collection.Service<Orders>()("orders", {
  key: Schema.Int,
  value: Schema.Struct({ item: Schema.String, isDone: Schema.Boolean })
}) {}

const OrderWorkflow = Workflow.make("Order", {
  payload: { order: Schema.Int, item: Schema.String },
  success: Schema.String,
  idempotencyKey: ({ order }) => String(order)
})

// -----------------------------------------------------------------------------
// the workflow
// -----------------------------------------------------------------------------

/** How much faster than usual the steps are. */
const Speed = Context.Reference<number>("example/Speed", { defaultValue: () => 1 })

/** A step: it takes a while, and what it does outside of this process cannot be undone. */
const step = (name: string, duration: Duration.Duration, result: Effect.Effect<string>) =>
  Effect.gen(function*() {
    const screen = yield* Screen
    const speed = yield* Speed
    const done = yield* Activity.make({
      name,
      success: Schema.String,
      execute: screen.begin(name).pipe(
        Effect.andThen(Effect.sleep(Duration.divideUnsafe(duration, speed))),
        Effect.andThen(result)
      )
    })
    yield* screen.end(name, done)
    return done
  })

/** A number that would be another one if the step ran twice. */
const numbered = (text: string) => Effect.map(Random.nextIntBetween(10_000, 100_000), (number) => `${text} ${number}`)

const OrderLive = OrderWorkflow.toLayer(Effect.fnUntraced(function*({ item }) {
  const screen = yield* Screen
  const packing = Duration.divideUnsafe(Duration.seconds(6), yield* Speed)
  yield* step("Reserve", Duration.seconds(1), Effect.succeed(`one ${item} is on the packing table`))
  yield* step("Pay", Duration.seconds(2), numbered("24.90 EUR, receipt"))
  yield* screen.begin("Pack")
  // The order sleeps on disk. No fiber waits for it, and it wakes up in whatever process runs then.
  yield* DurableClock.sleep({ name: "packing", duration: packing, inMemoryThreshold: 0 })
  yield* screen.end("Pack", "the parcel is ready")
  return yield* step("Ship", Duration.seconds(2), numbered("parcel"))
}))

// -----------------------------------------------------------------------------
// what it says
// -----------------------------------------------------------------------------

const say = (label: string, text: string) => Console.log(label.padEnd(10) + text)

/**
 * Says what happens. After each sleep a workflow runs again from its beginning, with the results of the steps that are done:
 * each step is told once for each process.
 */
class Screen extends Context.Service<Screen>()("example/Screen", {
  make: Effect.sync(() => {
    const begun = new Set<string>()
    const ended = new Set<string>()
    return {
      begin: (name: string) =>
        Effect.suspend(() => {
          if (begun.has(name)) return Effect.void
          begun.add(name)
          return say(name, "...")
        }),
      end: (name: string, result: string) =>
        Effect.suspend(() => {
          if (ended.has(name)) return Effect.void
          ended.add(name)
          return say(name, begun.has(name) ? result : `${result} (by an earlier process)`)
        })
    }
  })
}) {
  static readonly layer = Layer.effect(Screen, Screen.make)
}

// -----------------------------------------------------------------------------
// the program
// -----------------------------------------------------------------------------

/** Says that an order sleeps. Until it wakes up, no code of its workflow runs, so the workflow itself says nothing. */
const saySleeping = Effect.fnUntraced(function*(payload: { readonly order: number; readonly item: string }) {
  const result = yield* OrderWorkflow.poll(yield* OrderWorkflow.executionId(payload))
  if (Option.isSome(result) && result.value._tag === "Suspended") {
    yield* say("", "It sleeps on disk until the parcel is packed.")
  }
})

/** The order that is not done, or a new one. */
const nextOrder = Effect.gen(function*() {
  const orders = yield* Orders
  const last = yield* orders.last()
  if (Option.isSome(last) && !last.value[1].isDone) {
    const [order, { item }] = last.value
    yield* say("Order", `${order}, ${item}: it goes on`)
    yield* saySleeping({ order, item })
    return { order, item }
  }
  const order = Option.match(last, { onNone: () => 1, onSome: ([latest]) => latest + 1 })
  const item = "teapot"
  yield* orders.put(order, { item, isDone: false }, { durable: true })
  yield* say("Order", `${order}, ${item}: it is new`)
  return { order, item }
})

const runOrder = Effect.gen(function*() {
  const orders = yield* Orders
  yield* say("", `End this process at any time (Ctrl-C, or kill -9 ${process.pid}) and start it again.\n`)
  const { item, order } = yield* nextOrder
  const begun = yield* DateTime.now
  yield* OrderWorkflow.execute({ order, item })
  yield* orders.put(order, { item, isDone: true }, { durable: true })
  const seconds = Duration.toSeconds(DateTime.distance(begun, yield* DateTime.now))
  yield* say("Done", `order ${order}, after ${Math.round(seconds)} s in this process`)
}).pipe(
  // A terminal shows ^C at the beginning of the line
  Effect.onInterrupt(() => Effect.andThen(Console.log(""), say("Stop", "after the step that is running")))
)

const program = Command.make(
  "order",
  {
    path: Flag.Directory("path").pipe(
      Flag.withDescription("Folder of the store"),
      Flag.withDefault("./data/orders")
    ),
    speed: Flag.Finite("speed").pipe(
      Flag.filter((speed) => speed > 0, (speed) => `Expected a positive number, got ${speed}`),
      Flag.withDescription("How much faster than usual the steps are"),
      Flag.withDefault(1)
    )
  },
  Effect.fnUntraced(function*({ path, speed }) {
    yield* say("Store", path)
    const Live = Layer.mergeAll(OrderLive, Orders.layer).pipe(
      Layer.provide([Screen.layer, Layer.succeed(Speed, speed)]),
      Layer.provideMerge(Workflows.layer({ shardingConfig: { entityMessagePollInterval: "500 millis" } })),
      Layer.provide(Store.layer({ path }))
    )
    yield* Effect.provide(runOrder, Live).pipe(
      Effect.onInterrupt(() => say("Stopped", "start it again, and the order goes on"))
    )
  })
).pipe(Command.withDescription("Runs an order that survives the end of its process."))

program.pipe(
  Command.run({ version: "0.1.0" }),
  Effect.provide(NodeServices.layer),
  // While the process ends, Effect warns that its cluster has no runner left
  Effect.provideService(References.MinimumLogLevel, "Error"),
  NodeRuntime.runMain
)
