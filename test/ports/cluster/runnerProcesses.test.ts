/** Runners of a cluster in processes of their own, on one file. One is killed, and one is frozen for a while. */
import { assert, describe, it } from "@effect/vitest"
import * as EntityId from "effect/cluster/EntityId"
import * as ShardId from "effect/cluster/ShardId"
import * as Sharding from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type ChildProcess, spawn } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import * as process from "node:process"
import { Store } from "../../../src/index.ts"
import * as ShardLocks from "../../../src/internal/ports/cluster/shardLocks.ts"
import { cluster as clusterLayer, goFileOf, Stored, Worker } from "../../support/fixtures/clusterRunners.ts"
import { temporaryFolder } from "../../support/harness.ts"
import { testLimit } from "../../support/timeLimits.ts"

const program = new URL("../../programs/clusterRunner.ts", import.meta.url).pathname

/** A port that is free now. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const found = server.address()
    const port = found !== null && typeof found === "object" ? found.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

interface Runner {
  readonly name: string
  readonly child: ChildProcess
  readonly exit: Effect.Effect<void>
}

/** Waits until something holds. */
const until = <E, R>(holds: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.delay(holds, 20), { until: (is) => is })

/** What the handlers of all processes have noted, in order. */
interface Line {
  readonly event: string
  readonly id: string
  readonly runner: string
}

/** A message. Sent again, it is the same request. */
interface Sent {
  readonly entity: string
  readonly kind: "Store" | "Act"
  readonly id: string
}

/** A store that this process shares with the runners, and a client of the cluster. */
const setUp = Effect.gen(function*() {
  const folder = yield* temporaryFolder
  const file = join(folder, "lines")
  const path = join(folder, "store")
  writeFileSync(file, "")
  const store = yield* Store.make({ path, shared: true })
  const locks = yield* Effect.provideService(ShardLocks.open, Store, store)
  const stored = yield* Effect.provideService(Stored, Store, store)
  const services = yield* Layer.build(Layer.provideMerge(clusterLayer(undefined), Layer.succeed(Store, store)))
  const sharding = yield* Effect.provideContext(Sharding.Sharding, services)
  const client = yield* Effect.provideContext(Worker.client, services)

  const startRunner = Effect.gen(function*() {
    const port = yield* freePort
    return yield* Effect.acquireRelease(
      Effect.sync((): Runner => {
        const child = spawn(process.execPath, [program, path, file, `${port}`], {
          stdio: ["pipe", "ignore", "inherit"]
        })
        const exit = Effect.callback<void>((resume) => {
          if (child.exitCode !== null || child.signalCode !== null) resume(Effect.void)
          else child.once("close", () => resume(Effect.void))
        })
        return { name: `${port}`, child, exit }
      }),
      ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
    )
  })

  /** Entities whose shard a runner holds. */
  const entitiesOf = ({ name }: Runner) =>
    Effect.map(locks.owners.collect({}), (owners) => {
      const shards = new Set(owners.filter(({ address }) => address.endsWith(`:${name}`)).map(({ shardId }) => shardId))
      return Array.from({ length: 100 }, (_, number) => `entity-${number}`)
        .filter((entity) => shards.has(ShardId.toString(sharding.getShardId(EntityId.make(entity), "default"))))
    })

  const lines = (): ReadonlyArray<Line> =>
    readFileSync(file, "utf8").split("\n").slice(0, -1).map((line) => {
      const [event = "", id = "", runner = ""] = line.split(" ")
      return { event, id, runner }
    })

  return {
    store,
    stored,
    startRunner,
    entitiesOf,
    lines,
    /** Waits until a runner has noted an event of messages. */
    noted: (event: string, sent: ReadonlyArray<Sent>, runner: Runner) =>
      until(Effect.sync(() => {
        const noted = lines().filter((line) => line.event === event && line.runner === runner.name)
        return sent.every(({ id }) => noted.some((line) => line.id === id))
      })),
    /** Lets a runner go on with messages that it holds. */
    letGo: (sent: ReadonlyArray<Sent>, { name }: Runner) =>
      Effect.sync(() => {
        for (const { id } of sent) writeFileSync(goFileOf(file, id, name), "")
      }),
    send: (sent: ReadonlyArray<Sent>) =>
      Effect.forEach(sent, ({ entity, id, kind }) => client(entity)[kind]({ id }, { discard: true }), {
        concurrency: "unbounded",
        discard: true
      }),
    /** The runners that have answered messages, by the ids of the messages. Waits until all are answered. */
    answers: (sent: ReadonlyArray<Sent>) =>
      Effect.map(
        Effect.forEach(
          sent,
          ({ entity, id, kind }) => Effect.map(client(entity)[kind]({ id }), (runner) => [id, runner] as const),
          { concurrency: "unbounded" }
        ),
        (entries) => new Map(entries)
      )
  }
})

type Cluster = Effect.Success<typeof setUp>

/** Starts two runners, and waits until both have shards. Sends the first a message of each kind that its handlers hold. */
const startTwo = Effect.fnUntraced(function*(cluster: Cluster) {
  const first = yield* cluster.startRunner
  const second = yield* cluster.startRunner
  yield* until(Effect.map(
    Effect.forEach([first, second], cluster.entitiesOf),
    (entities) => entities.every(({ length }) => length > 10)
  ))
  const [one = "", other = "", ...rest] = yield* cluster.entitiesOf(first)
  const store: Sent = { entity: one, kind: "Store", id: "hold-store" }
  const act: Sent = { entity: other, kind: "Act", id: "hold-act" }
  yield* cluster.send([store, act])
  yield* cluster.noted("begin", [store, act], first)
  return { first, second, store, act, entities: [rest, yield* cluster.entitiesOf(second)] }
})

/** Messages to the entity of another one, which wait until that is handled. */
const after = (held: Sent): ReadonlyArray<Sent> =>
  [1, 2, 3].map((number) => ({ entity: held.entity, kind: held.kind, id: `after-${held.id}-${number}` }))

/** Checks that no message was handled by two runners at the same time, nor again after a runner has answered it. */
const checkRuns = (lines: ReadonlyArray<Line>, answers: ReadonlyMap<string, string>) => {
  const running = new Map<string, string>()
  const answered = new Set<string>()
  for (const [at, { event, id, runner }] of lines.entries()) {
    const about = `line ${at}: ${event} ${id} ${runner}\n${
      lines.map((line) => Object.values(line).join(" ")).join("\n")
    }`
    if (event === "begin") {
      assert.strictEqual(running.get(id) ?? runner, runner, about)
      assert.isFalse(answered.has(id), about)
      running.set(id, runner)
    } else {
      running.delete(id)
      if (event === "end" && runner === answers.get(id)) answered.add(id)
    }
  }
}

describe.concurrent("two runners on one file", () => {
  it.live("of which one is killed: the other one handles what is left", () =>
    Effect.gen(function*() {
      const cluster = yield* setUp
      const { act, entities, first, second, store } = yield* startTwo(cluster)
      const others = entities.flatMap((all, number) =>
        all.slice(0, 4).flatMap((entity, at): ReadonlyArray<Sent> => [
          { entity, kind: "Store", id: `store-${number}-${at}` },
          { entity, kind: "Act", id: `act-${number}-${at}` }
        ])
      )
      const sent = [store, act, ...after(store), ...after(act), ...others]
      yield* cluster.send(sent.slice(2))
      // Some messages are handled before, the others after.
      yield* cluster.answers(others.slice(0, 4))
      first.child.kill("SIGKILL")
      yield* first.exit
      const before = cluster.lines()
      yield* cluster.letGo([store, act], second)
      const answers = yield* cluster.answers(sent)

      const lines = cluster.lines()
      assert.sameMembers([...answers.keys()], sent.map(({ id }) => id))
      assert.strictEqual(answers.get(store.id), second.name)
      assert.strictEqual(answers.get(act.id), second.name)
      assert.isTrue([...answers.values()].includes(first.name))
      // What the killed runner had begun has ended with it.
      const killed = before.filter(({ event, runner }) => event === "begin" && runner === first.name)
        .map(({ id, runner }) => ({ event: "stop", id, runner }))
      checkRuns([...before, ...killed, ...lines.slice(before.length)], answers)
      const stored = new Map(yield* Stream.runCollect(cluster.stored.entries()))
      assert.sameDeepMembers([...stored], [...answers].filter(([id]) => id.includes("store")))
    }).pipe(Effect.scoped), testLimit)

  it.live(
    "of which one is frozen: the other one handles its messages, and it does not go on with them",
    () =>
      Effect.gen(function*() {
        const cluster = yield* setUp
        const { act, first, second, store } = yield* startTwo(cluster)
        const sent = [store, act, ...after(store), ...after(act)]
        yield* cluster.send(sent.slice(2))
        yield* freeze(cluster, first)
        yield* cluster.letGo([store, act], second)
        const answers = yield* cluster.answers(sent)
        const before = cluster.lines().length
        // One handler can go on at once. The other one waits until Effect interrupts it.
        yield* cluster.letGo([store], first)
        first.child.kill("SIGCONT")
        yield* until(Effect.sync(() => cluster.lines().length >= before + 2))

        // It gets shards again, and goes on with other messages.
        let number = 0
        yield* until(Effect.gen(function*() {
          const [entity] = yield* cluster.entitiesOf(first)
          if (entity === undefined) return false
          const one: Sent = { entity, kind: "Store", id: `later-${number++}` }
          return (yield* cluster.answers([one])).get(one.id) === first.name
        }))

        const lines = cluster.lines()
        assert.deepStrictEqual([...new Set(answers.values())], [second.name])
        const sentIds = new Set(sent.map(({ id }) => id))
        const thawed = lines.slice(before).filter(({ id, runner }) => runner === first.name && sentIds.has(id))
        assert.sameMembers(thawed.map(({ id }) => id), [store.id, act.id])
        assert.isFalse(thawed.some(({ event }) => event === "begin"))
        // All others had one runner at a time.
        checkRuns(lines.filter(({ id }) => id !== store.id && id !== act.id), answers)
        for (const { id } of [store, ...after(store)]) {
          assert.strictEqual(yield* cluster.stored.getOrFail(id), second.name)
        }
        assert.deepStrictEqual(yield* cluster.answers(sent), answers)
      }).pipe(Effect.scoped),
    testLimit
  )
})

/**
 * Freezes a runner. One that is frozen in a commit would keep all others from committing, so it goes on then, and is frozen
 * again.
 */
const freeze = ({ store }: Cluster, { child }: Runner): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    child.kill("SIGSTOP")
    const commit = yield* Effect.forkScoped(store.put("frozen", child.pid, { durable: true }))
    const isFree = yield* Effect.timeoutOption(Effect.asVoid(Fiber.await(commit)), 1000)
    if (Option.isSome(isFree)) return true
    child.kill("SIGCONT")
    yield* Fiber.join(commit)
    return false
  }).pipe(Effect.scoped, until)
