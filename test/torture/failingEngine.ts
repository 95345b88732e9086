/**
 * The LMDB engine, of which the call with a given number fails, counted over all
 * that an environment can be asked.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Engine from "../../src/Engine.ts"
import { EngineFailure } from "../../src/index.ts"
import * as LmdbEngine from "../../src/internal/lmdb/lmdbEngine.ts"

/** What fails, and how. */
export interface Fault {
  /** The number of the first call that fails, from 1 on. */
  readonly call: number
  /** The code that it fails with. */
  readonly code: number
  /** Whether all calls behind it fail too, until `heal`. */
  readonly lasts: boolean
  /** Whether a commit that fails was made all the same, as when the disk fails at its end. */
  readonly isLate: boolean
}

/** The engine, and what can be done to it. */
export interface FailingEngine {
  readonly engine: Engine.Engine["Service"]
  /** How many calls there were. */
  readonly calls: () => number
  /** Ends the fault. */
  readonly heal: () => void
  /** Asks without faults, and without being counted. */
  readonly unharmed: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Makes an engine with a fault. */
export const make: (fault: Fault) => Effect.Effect<FailingEngine> = Effect.fnUntraced(function*(fault: Fault) {
  const real = yield* Effect.provide(Engine.Engine, LmdbEngine.layer)
  let calls = 0
  let isHealed = false
  let isUnharmed = false

  const faultIn = (operation: string): EngineFailure | undefined => {
    if (isUnharmed) return undefined
    calls++
    const isHit = !isHealed && (fault.lasts ? calls >= fault.call : calls === fault.call)
    if (!isHit) return undefined
    return new EngineFailure({ operation, code: fault.code, detail: "as ordered", isRetryable: true })
  }

  const read = <A>(operation: string, call: () => Exit.Exit<A, EngineFailure>): Exit.Exit<A, EngineFailure> => {
    const failure = faultIn(operation)
    return failure === undefined ? call() : Exit.fail(failure)
  }

  const run = <A, E>(operation: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E | EngineFailure> =>
    Effect.suspend((): Effect.Effect<A, E | EngineFailure> => {
      const failure = faultIn(operation)
      return failure === undefined ? effect : Effect.fail(failure)
    })

  const commit = <A>(made: Effect.Effect<A, Engine.EngineFull | EngineFailure>) =>
    Effect.suspend((): Effect.Effect<A, Engine.EngineFull | EngineFailure> => {
      const failure = faultIn("commit")
      if (failure === undefined) return made
      return fault.isLate ? Effect.andThen(made, Effect.fail(failure)) : Effect.fail(failure)
    })

  const reader = (from: Engine.Reader): Engine.Reader => ({
    get: (database, key, decode) => read("get", () => from.get(database, key, decode)),
    getMany: (database, keys, decode) => read("get", () => from.getMany(database, keys, decode)),
    has: (database, key) => read("has", () => from.has(database, key)),
    read: (database, request) => read("read", () => from.read(database, request)),
    count: (database) => read("count", () => from.count(database))
  })

  const wrap = (environment: Engine.Environment): Engine.Environment => ({
    ...environment,
    ...reader(environment),
    openDatabase: (name) => read("open a database", () => environment.openDatabase(name)),
    createDatabases: (names) => run("create a database", environment.createDatabases(names)),
    snapshot: () =>
      read(
        "snapshot",
        () => Exit.map(environment.snapshot(), (snapshot) => ({ ...snapshot, ...reader(snapshot) }))
      ),
    stats: () => read("stats", environment.stats),
    commit: (plan) => commit(environment.commit(plan)),
    resize: (mapSize, options) => run("resize", environment.resize(mapSize, options)),
    backup: (path, options) => run("backup", environment.backup(path, options))
  })

  return {
    engine: { fileName: real.fileName, open: (options) => Effect.map(real.open(options), wrap) },
    calls: () => calls,
    heal: () => {
      isHealed = true
    },
    unharmed: (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          isUnharmed = true
        }),
        () => effect,
        () =>
          Effect.sync(() => {
            isUnharmed = false
          })
      )
  }
})
