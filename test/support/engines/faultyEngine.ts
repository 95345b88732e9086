/**
 * The LMDB engine with faults on demand: any call can be made to fail, and commits
 * can be held back before they touch the disk.
 *
 * Everything else is the real engine on a real file.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Engine from "../../../src/Engine.ts"
import * as LmdbEngine from "../../../src/internal/lmdb/lmdbEngine.ts"
import { EngineFailure } from "../../../src/StoreError.ts"

/** What an environment can be asked to do. */
type Operation = "get" | "has" | "count" | "stats" | "commit" | "resize" | "backup"

/** What a call can be made to fail with; only a commit can be too full. */
type Fault = EngineFailure | Engine.EngineFull

/** Errors of the disk and of the engine, as the real one reports them. */
export const faults = {
  diskFull: new EngineFailure({ operation: "commit", code: 28, detail: "No space left on device", isRetryable: true }),
  inputOutput: new EngineFailure({ operation: "commit", code: 5, detail: "Input/output error", isRetryable: true }),
  corrupted: new EngineFailure({ operation: "commit", code: -30796, detail: "MDB_CORRUPTED", isRetryable: false }),
  readersFull: new EngineFailure({ operation: "get", code: -30790, detail: "MDB_READERS_FULL", isRetryable: true })
} as const

/** A commit that is kept from beginning. */
interface HeldCommit {
  /** Waits until somebody wants the commit. */
  readonly isWanted: Effect.Effect<void>
  /** Lets it begin. */
  readonly release: Effect.Effect<void>
}

/** The engine, and what can be done to it. */
export interface FaultyEngine {
  readonly engine: Engine.Engine["Service"]
  /** How often an operation was asked for, failures included. */
  readonly calls: (operation: Operation) => number
  /** The batches that were asked to be committed, as they were decided. */
  readonly batches: () => ReadonlyArray<ReadonlyArray<Engine.Write>>
  /** Makes call `number`, counted from now, fail; 1 is the next. */
  readonly fail: (operation: Operation, fault: Fault, number?: number) => Effect.Effect<void>
  /** Makes all calls from now on fail. */
  readonly failAlways: (operation: Operation, fault: Fault) => Effect.Effect<void>
  /** Ends all faults. */
  readonly heal: Effect.Effect<void>
  /** Holds the next commit back, at most until the scope closes. */
  readonly holdCommit: Effect.Effect<HeldCommit, never, Scope.Scope>
  /** Closes what is open, without telling the store. */
  readonly closeBehindItsBack: Effect.Effect<void>
}

/** Makes an engine without faults so far. */
export const make: Effect.Effect<FaultyEngine> = Effect.gen(function*() {
  const real = yield* Effect.provide(Engine.Engine, LmdbEngine.layer)
  const counts = new Map<Operation, number>()
  const once = new Map<string, Fault>()
  const always = new Map<Operation, Fault>()
  const scopes: Array<Scope.Closeable> = []
  const batches: Array<ReadonlyArray<Engine.Write>> = []
  const held: Array<{ readonly wanted: Deferred.Deferred<void>; readonly latch: Latch.Latch }> = []

  const calls = (operation: Operation): number => counts.get(operation) ?? 0

  const faultOf = (operation: Operation): Fault | undefined => {
    const call = calls(operation) + 1
    counts.set(operation, call)
    return once.get(`${operation} ${call}`) ?? always.get(operation)
  }

  const faultOrDie = (operation: Operation): EngineFailure | undefined => {
    const fault = faultOf(operation)
    if (fault?._tag === "EngineFull") throw new Error(`${operation} cannot be too full`)
    return fault
  }

  const read = <A>(operation: Operation, call: () => Exit.Exit<A, EngineFailure>) => {
    const fault = faultOrDie(operation)
    return fault === undefined ? call() : Exit.fail(fault)
  }

  const run = <A>(operation: Operation, effect: Effect.Effect<A, EngineFailure>) =>
    Effect.suspend(() => {
      const fault = faultOrDie(operation)
      return fault === undefined ? effect : Effect.fail(fault)
    })

  /** Takes down the batch that a plan decides on: that of its last run. */
  const recording = (plan: Engine.Plan): Engine.Plan => {
    let index = -1
    return (present, transactionId) =>
      Exit.map(plan(present, transactionId), (batch) => {
        if (batch !== undefined) {
          if (index < 0) index = batches.length
          batches[index] = [...batch.writes]
        }
        return batch
      })
  }

  const commit = (
    environment: Engine.Environment,
    plan: Engine.Plan
  ) =>
    Effect.suspend((): Effect.Effect<number | undefined, Fault> => {
      const fault = faultOf("commit")
      const recorded = recording(plan)
      const next = held.shift()
      const isReleased = next === undefined
        ? Effect.void
        : Effect.andThen(Deferred.succeed(next.wanted, undefined), next.latch.await)
      const decideAndFail = (error: Fault) =>
        Effect.andThen(Effect.suspend(() => recorded(environment, 0)), Effect.fail(error))
      return Effect.andThen(
        isReleased,
        fault === undefined ? environment.commit(recorded) : decideAndFail(fault)
      )
    }).pipe(Effect.uninterruptible)

  return {
    engine: {
      fileName: real.fileName,
      open: (options) =>
        Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void)).pipe(
          Effect.tap((scope) => Effect.sync(() => scopes.push(scope))),
          Effect.flatMap((scope) => Scope.provide(real.open(options), scope)),
          Effect.map((environment): Engine.Environment => ({
            ...environment,
            get: (database, key, decode) => read("get", () => environment.get(database, key, decode)),
            getMany: (database, keys, decode) => read("get", () => environment.getMany(database, keys, decode)),
            has: (database, key) => read("has", () => environment.has(database, key)),
            count: (database) => read("count", () => environment.count(database)),
            stats: () => read("stats", environment.stats),
            commit: (plan) => commit(environment, plan),
            resize: (mapSize, resizeOptions) => run("resize", environment.resize(mapSize, resizeOptions)),
            backup: (path, backupOptions) => run("backup", environment.backup(path, backupOptions))
          }))
        )
    },
    calls,
    batches: () => batches,
    fail: (operation, fault, number = 1) =>
      Effect.sync(() => {
        once.set(`${operation} ${calls(operation) + number}`, fault)
      }),
    failAlways: (operation, fault) =>
      Effect.sync(() => {
        always.set(operation, fault)
      }),
    heal: Effect.sync(() => {
      once.clear()
      always.clear()
    }),
    closeBehindItsBack: Effect.suspend(() =>
      Effect.forEach(scopes, (scope) => Scope.close(scope, Exit.void), { discard: true })
    ),
    holdCommit: Effect.gen(function*() {
      const wanted = yield* Deferred.make<void>()
      const latch = yield* Effect.acquireRelease(Latch.make(), Latch.open)
      held.push({ wanted, latch })
      return { isWanted: Deferred.await(wanted), release: Effect.asVoid(latch.open) }
    })
  }
})
