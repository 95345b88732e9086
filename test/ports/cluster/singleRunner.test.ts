/** Entities and workflows of a cluster in one process. */
import { assert, describe, it } from "@effect/vitest"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Entity from "effect/cluster/Entity"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Rpc } from "effect/rpc"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Activity, DurableDeferred, Workflow } from "effect/workflow"
import { SingleRunner, Workflows } from "../../../src/Cluster.ts"
import { Collection, Store } from "../../../src/index.ts"
import { temporaryFolder, withLog, withStore } from "../../support/harness.ts"
import { hangLimit, testLimit } from "../../support/timeLimits.ts"

const shardingConfig = { entityMessagePollInterval: 25, entityReplyPollInterval: 25 }

const Balances = Collection.make("balances", { key: Schema.String, value: Schema.Int })

const Account = Entity.make("Account", [
  Rpc.make("Deposit", {
    payload: { id: Schema.String, amount: Schema.Int },
    success: Schema.Int,
    primaryKey: ({ id }) => id
  }).annotate(ClusterSchema.Persisted, true).annotate(ClusterSchema.WithTransaction, true),
  Rpc.make("Count", {
    payload: { to: Schema.Int },
    success: Schema.Int,
    stream: true
  }).annotate(ClusterSchema.Persisted, true)
])

describe("an entity", () => {
  it.live(
    "commits what its handler writes together with the reply, once for each primary key",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        let runs = 0
        const AccountLive = Account.toLayer(Effect.gen(function*() {
          const balances = yield* Effect.orDie(Balances)
          return Account.of({
            Deposit: ({ address, payload }) =>
              Effect.gen(function*() {
                runs++
                const balance = (yield* balances.getOrFail(address.entityId)) + payload.amount
                yield* balances.put(address.entityId, balance)
                return balance
              }).pipe(Effect.orDie),
            Count: ({ payload }) => Stream.range(1, payload.to)
          })
        }))
        const use = <A, E>(effect: Effect.Effect<A, E, SingleRunnerServices>) =>
          withStore({ path }, (store) =>
            Effect.provide(
              effect,
              AccountLive.pipe(
                Layer.provideMerge(SingleRunner.layer({ shardingConfig })),
                Layer.provideMerge(Layer.succeed(Store, store))
              )
            ))
        const deposit = (id: string, amount: number) =>
          Effect.flatMap(Account.client, (client) => client("ada").Deposit({ id, amount }))

        yield* use(Effect.gen(function*() {
          const balances = yield* Balances
          yield* balances.put("ada", 100)
          assert.strictEqual(yield* deposit("1", 10), 110)
          assert.strictEqual(yield* deposit("1", 10), 110)
          const results = yield* Effect.forEach(["2", "3", "4"], (id) => deposit(id, 1), { concurrency: "unbounded" })
          assert.sameMembers(results, [111, 112, 113])
          const client = yield* Account.client
          const counted = yield* Stream.runCollect(client("ada").Count({ to: 50 }))
          assert.strictEqual(counted.length, 50)
        }))
        yield* use(Effect.gen(function*() {
          assert.strictEqual(yield* deposit("1", 10), 110)
          const balances = yield* Balances
          assert.strictEqual(yield* balances.getOrFail("ada"), 113)
        }))
        assert.strictEqual(runs, 4)
      }).pipe(Effect.scoped),
    testLimit
  )

  it.live("handles a request again after the transaction of its handler was in conflict", () =>
    Effect.gen(function*() {
      const balances = yield* Balances
      yield* balances.put("ada", 100)
      const outside = yield* Effect.context()
      let runs = 0
      const AccountLive = Account.toLayer(Account.of({
        Deposit: ({ payload }) =>
          Effect.gen(function*() {
            runs++
            const balance = (yield* balances.getOrFail("ada")) + payload.amount
            if (runs === 1) {
              // A fiber that does not belong to the transaction changes what it has read.
              const other = Effect.runForkWith(outside)(balances.put("ada", 500, { durable: true }))
              yield* Effect.callback<void>((resume) => void other.addObserver(() => resume(Effect.void)))
            }
            yield* balances.put("ada", balance)
            return balance
          }).pipe(Effect.orDie),
        Count: () => Stream.empty
      }))
      const result = yield* Effect.provide(
        Effect.flatMap(Account.client, (client) => client("ada").Deposit({ id: "1", amount: 10 })),
        AccountLive.pipe(Layer.provideMerge(SingleRunner.layer({ shardingConfig })))
      )
      assert.strictEqual(result, 510)
      assert.strictEqual(runs, 2)
      assert.strictEqual(yield* balances.getOrFail("ada"), 510)
    }).pipe(Effect.provide(Store.layerTemp()), Effect.scoped), hangLimit)
})

describe("a runner that starts", () => {
  it.live(
    "handles a message that is saved while it acquires its shards, without waiting for a poll",
    () =>
      Effect.gen(function*() {
        const Done = Workflow.make("Done", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
        const start = Effect.gen(function*() {
          const DoneLive = Done.toLayer(() => Effect.void).pipe(
            Layer.provideMerge(Workflows.layer({ shardingConfig: { entityMessagePollInterval: "1 hour" } })),
            Layer.provide(Store.layer({ path: yield* temporaryFolder }))
          )
          yield* Effect.provide(Done.execute({ id: "1" }), DoneLive, { local: true })
        })
        // Each start meets the race by chance
        yield* Effect.replicateEffect(Effect.scoped(start), 15, { discard: true })
      }),
    testLimit
  )
})

const Answering = Entity.make("Answering", [Rpc.make("Ask", { success: Schema.String })])

describe("a runner on standby", () => {
  it.live(
    "answers a call that is not persisted when it has taken over, and tells why the call waits",
    () =>
      Effect.gen(function*() {
        const config = { ...shardingConfig, refreshAssignmentsInterval: 50, entityTerminationTimeout: 1000 }
        const runner = (name: string) =>
          Answering.toLayer(Answering.of({ Ask: () => Effect.succeed(name) })).pipe(
            Layer.provideMerge(SingleRunner.layer({ runnerStorage: "store", shardingConfig: config }))
          )
        const ask = Effect.flatMap(Answering.client, (client) => client("a").Ask())
        const leading = yield* Scope.fork(yield* Effect.scope)
        const first = yield* Scope.provide(Layer.build(runner("first")), leading)
        assert.strictEqual(yield* Effect.provideContext(ask, first), "first")
        const second = yield* Layer.build(runner("second"))
        const answer = yield* withLog((log) =>
          Effect.gen(function*() {
            const waiting = yield* Effect.forkChild(Effect.provideContext(ask, second))
            yield* Effect.repeat(Effect.sleep(5), {
              until: () => log.some(({ text }) => text.startsWith("A call of the entity Answering waits"))
            })
            assert.isUndefined(waiting.pollUnsafe())
            yield* Scope.close(leading, Exit.void)
            return yield* Fiber.join(waiting)
          })
        )
        assert.strictEqual(answer, "second")
      }).pipe(Effect.scoped, Effect.provide(Store.layerTemp())),
    hangLimit
  )
})

describe("workflows", () => {
  const Approval = DurableDeferred.make("approval", { success: Schema.Int })

  const Request = Workflow.make("Request", {
    payload: { id: Schema.String },
    success: Schema.String,
    idempotencyKey: ({ id }) => id
  })

  it.live(
    "that wait for an approval go on in the process that gives it, each activity once",
    () =>
      Effect.gen(function*() {
        const path = yield* temporaryFolder
        const acts: Array<string> = []
        const act = (name: string) =>
          Activity.make({ name, success: Schema.Int, execute: Effect.sync(() => acts.push(name)) })
        const RequestLive = Request.toLayer(Effect.fnUntraced(function*({ id }) {
          yield* act(`begin ${id}`)
          const amount = yield* DurableDeferred.await(Approval)
          yield* act(`end ${id}`)
          return `${id}: ${amount}`
        }))
        const use = <A, E>(effect: Effect.Effect<A, E, WorkflowServices>) =>
          withStore({ path }, (store) =>
            Effect.provide(
              effect,
              RequestLive.pipe(
                Layer.provideMerge(Workflows.layer({ shardingConfig })),
                Layer.provide(Layer.succeed(Store, store))
              )
            ))
        const ids = ["a", "b", "c", "d", "e"]
        yield* use(Effect.gen(function*() {
          yield* Effect.forEach(ids, (id) => Request.execute({ id }, { discard: true }))
          yield* Effect.repeat(Effect.sleep(5), { until: () => acts.length === ids.length })
        }))
        const results = yield* use(Effect.forEach(ids, (id, index) =>
          Effect.gen(function*() {
            const executionId = yield* Request.executionId({ id })
            const token = DurableDeferred.tokenFromExecutionId(Approval, { workflow: Request, executionId })
            yield* DurableDeferred.succeed(Approval, { token, value: index })
            return yield* Request.execute({ id })
          }), { concurrency: "unbounded" }))
        assert.deepStrictEqual(results, ids.map((id, index) => `${id}: ${index}`))
        assert.sameMembers(acts, ids.flatMap((id) => [`begin ${id}`, `end ${id}`]))
      }).pipe(Effect.scoped),
    testLimit
  )
})

type SingleRunnerServices = Layer.Success<ReturnType<typeof SingleRunner.layer>> | Store

type WorkflowServices = Layer.Success<ReturnType<typeof Workflows.layer>>
