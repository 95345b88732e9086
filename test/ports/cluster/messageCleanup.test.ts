/** The deletion of requests that were answered long ago. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as MachineId from "effect/cluster/MachineId"
import * as Snowflake from "effect/cluster/Snowflake"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Activity, DurableClock, DurableDeferred, Workflow } from "effect/workflow"
import { MessageStorage, Workflows } from "../../../src/Cluster.ts"
import { Store } from "../../../src/index.ts"
import * as Cleanup from "../../../src/internal/ports/cluster/messageCleanup.ts"
import * as MessageStore from "../../../src/internal/ports/cluster/messageStore.ts"
import { ack, chunk, type Encoded, exit, idsOf, openOn, request, save, take } from "../../support/fixtures/cluster.ts"
import { testLimit } from "../../support/timeLimits.ts"

/** An id that is made at a time. */
const idAt = (timestamp: number) => Snowflake.make({ machineId: MachineId.make(0), sequence: 0, timestamp })

const day = Duration.toMillis(Duration.days(1))

const start = Snowflake.constEpochMillis + 1000 * day

/** The requests that can be found by their primary keys. */
const known = (storage: Encoded, ids: ReadonlyArray<bigint>) =>
  Effect.filter(ids, (id) => Effect.map(storage.requestIdForPrimaryKey(`key ${id}`), ({ _tag }) => _tag === "Some"))

describe("the layer", () => {
  it.effect("deletes requests 30 days after they were answered, with what belongs to them", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const store = yield* Store
      const storage = yield* openOn(store)
      const self = yield* MessageStore.open
      const [a, b, c, d] = [idAt(start + 1), idAt(start + 2), idAt(start + 3), idAt(start + 4)] as const
      const all = [a, b, c, d]
      yield* Effect.forEach(all, (id) => save(storage, request(id), { primaryKey: `key ${id}` }))
      // Answered at once; after ten days; with a stream; never.
      yield* storage.saveReply(exit(idAt(start + 10), a))
      yield* storage.saveReply(exit(idAt(start + 10 * day), b))
      yield* storage.saveReply(chunk(idAt(start + 11), c, 0))
      yield* save(storage, ack(idAt(start + 12), c, idAt(start + 11)))
      yield* storage.saveReply(exit(idAt(start + 13), c))

      yield* Layer.build(MessageStorage.layerCleanup())
      yield* TestClock.adjust(Duration.days(30))
      assert.deepStrictEqual(yield* known(storage, all), all)
      yield* TestClock.adjust(Duration.hours(1))
      yield* waitFor(Effect.map(known(storage, all), ({ length }) => length === 2))
      assert.deepStrictEqual(yield* known(storage, all), [b, d])
      assert.deepStrictEqual(yield* storage.repliesForUnfiltered([`${a}`, `${c}`]), [])
      assert.strictEqual(yield* self.messages.size, 2)
      yield* TestClock.adjust(Duration.days(10))
      yield* waitFor(Effect.map(known(storage, all), ({ length }) => length === 1))
      assert.deepStrictEqual(idsOf(yield* take(storage)), [`${d}`])
      assert.strictEqual(yield* self.replies.size, 0)
    }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())))

  it.effect("deletes all that is old enough, in batches", () =>
    Effect.gen(function*() {
      const storage = yield* openOn(yield* Store)
      const self = yield* MessageStore.open
      const ids = Array.from({ length: 250 }, (_, number) => idAt(start + 2 * number))
      yield* Effect.forEach(ids, (id) => save(storage, request(id)), { concurrency: "unbounded" })
      yield* Effect.forEach(ids, (id) => storage.saveReply(exit(id + 1n, id)), { concurrency: "unbounded" })
      yield* Cleanup.deleteAnswered(self, start + 2 * 240)
      assert.strictEqual(yield* self.messages.size, 10)
      assert.strictEqual(yield* self.replies.size, 10)
    }).pipe(Effect.provide(Store.layerTemp())))
})

const waitFor = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.tap(holds, Effect.yieldNow), { until: (is) => is })

describe("a workflow", () => {
  const Approval = DurableDeferred.make("Approval", { success: Schema.String })
  const Child = Workflow.make("Child", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
  const Order = Workflow.make("Order", {
    payload: { id: Schema.String },
    idempotencyKey: ({ id }) => id,
    success: Schema.String
  })

  it.live(
    "is deleted when it has completed; the results of one that waits stay, and those of its children",
    () =>
      Effect.gen(function*() {
        const acts: Array<string> = []
        const act = (name: string) => Activity.make({ name, execute: Effect.sync(() => void acts.push(name)) })
        const Live = Layer.merge(
          Child.toLayer(({ id }) => act(`child of ${id}`)),
          Order.toLayer(Effect.fnUntraced(function*({ id }) {
            yield* act(`pay ${id}`)
            yield* Child.execute({ id })
            yield* DurableClock.sleep({ name: "rest", duration: 1, inMemoryThreshold: 0 })
            if (id === "waits") yield* DurableDeferred.await(Approval)
            yield* act(`ship ${id}`)
            return `shipped ${id}`
          }))
        ).pipe(Layer.provideMerge(Workflows.layer({
          shardingConfig: { entityMessagePollInterval: 25, entityReplyPollInterval: 25 }
        })))

        yield* Effect.gen(function*() {
          const self = yield* MessageStore.open
          const executionId = yield* Order.executionId({ id: "waits" })
          yield* Order.execute({ id: "waits" }, { discard: true })
          assert.strictEqual(yield* Order.execute({ id: "ends" }), "shipped ends")
          yield* waitFor(Effect.delay(
            Effect.map(
              Order.poll(executionId),
              (result) => result._tag === "Some" && result.value._tag === "Suspended"
            ),
            10
          ))
          const later = Effect.map(Clock.currentTimeMillis, (now) => now + 60_000)
          yield* Effect.repeat(Effect.flatMap(later, (before) => Cleanup.deleteAnswered(self, before)), { times: 1 })
          const ended = yield* Order.poll(yield* Order.executionId({ id: "ends" }))
          assert.strictEqual(ended._tag, "None")

          const done = acts.length
          const token = DurableDeferred.tokenFromExecutionId(Approval, { workflow: Order, executionId })
          yield* DurableDeferred.succeed(Approval, { token, value: "yes" })
          assert.strictEqual(yield* Order.execute({ id: "waits" }), "shipped waits")
          assert.deepStrictEqual(acts.slice(done), ["ship waits"])

          yield* Effect.repeat(Effect.flatMap(later, (before) => Cleanup.deleteAnswered(self, before)), { times: 1 })
          assert.strictEqual(yield* self.messages.size, 0)
          assert.strictEqual(yield* self.replies.size, 0)
        }).pipe(Effect.provide(Live))
      }).pipe(Effect.provide(Store.layerTemp())),
    testLimit
  )
})
