/**
 * Wraps an engine and injects faults, for tests: a test can make any call fail, and can hold a commit before it writes to
 * the disk. All other calls go to the real engine, with a real file.
 *
 * **Details**
 *
 * There are two ways to select the call that fails. `fail` and `failAlways` select it by its operation. `failCall`
 * selects it by its number among all calls. So a test can run a program many times, and let another call fail each time.
 *
 * **Example** (Letting the disk be full once)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Engine, Store } from "effect-lmdb"
 * import { FaultyEngine } from "effect-lmdb/testing"
 *
 * const program = Effect.gen(function*() {
 *   const faulty = yield* FaultyEngine.make
 *   const store = yield* Effect.provideService(
 *     Store.makeWithEngine({ path: "./data" }),
 *     Engine.Engine,
 *     faulty.engine
 *   )
 *   yield* store.put("name", "Ada")
 *   yield* faulty.fail("commit", FaultyEngine.faults.diskFull)
 *   const error = yield* Effect.flip(store.flush) // => EngineFailure, code 28
 *   yield* store.flush // the write was still pending: it is on disk now
 *   return error
 * })
 * ```
 *
 * @since 0.2.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Engine from "../Engine.ts"
import * as LmdbEngine from "../LmdbEngine.ts"
import { EngineFailure } from "../StoreError.ts"

/**
 * The names of the operations of an environment and of its snapshots. `getMany` counts as `get`.
 *
 * @category models
 * @since 0.2.0
 */
export type Operation =
  | "get"
  | "has"
  | "read"
  | "count"
  | "snapshot"
  | "openDatabase"
  | "createDatabases"
  | "stats"
  | "commit"
  | "resize"
  | "backup"

/**
 * The faults that a test can inject. `EngineFull` is possible only for a commit.
 *
 * @category models
 * @since 0.2.0
 */
export type Fault = EngineFailure | Engine.EngineFull

/**
 * Errors of the disk and of LMDB, as the real engine reports them.
 *
 * @category faults
 * @since 0.2.0
 */
export const faults = {
  diskFull: new EngineFailure({ operation: "commit", code: 28, detail: "No space left on device", isRetryable: true }),
  inputOutput: new EngineFailure({ operation: "commit", code: 5, detail: "Input/output error", isRetryable: true }),
  corrupted: new EngineFailure({ operation: "commit", code: -30796, detail: "MDB_CORRUPTED", isRetryable: false }),
  readersFull: new EngineFailure({ operation: "get", code: -30790, detail: "MDB_READERS_FULL", isRetryable: true })
} as const

/**
 * Describes a fault of the call with a given number.
 *
 * @category models
 * @since 0.2.0
 */
export interface CallFault {
  /** The number of the first call that fails, among all calls since `failCall`, from 1 on. */
  readonly call: number
  /** The `code` of its `EngineFailure`. */
  readonly code: number
  /** Whether all calls after it fail too, until `heal`. */
  readonly lasts: boolean
  /** Whether a failed commit has still been written, as when the disk fails at its end. */
  readonly isLate: boolean
}

/**
 * Controls a commit that is held before it begins.
 *
 * @category models
 * @since 0.2.0
 */
export interface HeldCommit {
  /** Waits until the store has called the commit. */
  readonly isWanted: Effect.Effect<void>
  /** Lets the commit begin. */
  readonly release: Effect.Effect<void>
}

/**
 * Controls the faults of an engine.
 *
 * @category models
 * @since 0.2.0
 */
export interface FaultyEngine {
  readonly engine: Engine.Engine["Service"]
  /** Returns the number of calls of an operation, failed ones included. */
  readonly calls: (operation: Operation) => number
  /** Returns the number of calls of all operations since `failCall`. */
  readonly allCalls: () => number
  /** Returns the batches of all commits that were called, as their plans decided them. */
  readonly batches: () => ReadonlyArray<ReadonlyArray<Engine.Write>>
  /** Makes one call of an operation fail. `number` counts from now on; 1 is the next call. */
  readonly fail: (operation: Operation, fault: Fault, number?: number) => Effect.Effect<void>
  /** Makes all calls of an operation fail from now on. */
  readonly failAlways: (operation: Operation, fault: Fault) => Effect.Effect<void>
  /** Makes the call with a given number among all calls fail. The count starts now. */
  readonly failCall: (fault: CallFault) => Effect.Effect<void>
  /** Removes all faults. */
  readonly heal: Effect.Effect<void>
  /** Runs an effect without faults, and without counting its calls for `failCall`. */
  readonly unharmed: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Holds the next commit before it begins, at most until the scope closes. */
  readonly holdCommit: Effect.Effect<HeldCommit, never, Scope.Scope>
  /** Closes the open environments without telling the store. */
  readonly closeBehindItsBack: Effect.Effect<void>
}

/** The faults that a test has set, and the counts of calls. */
interface Faults {
  readonly counts: Map<Operation, number>
  /** Faults of single calls, by operation and number. */
  readonly once: Map<string, Fault>
  readonly always: Map<Operation, Fault>
  callFault: CallFault | undefined
  allCalls: number
  isUnharmed: boolean
  readonly batches: Array<ReadonlyArray<Engine.Write>>
  readonly held: Array<{ readonly wanted: Deferred.Deferred<void>; readonly latch: Latch.Latch }>
  readonly scopes: Array<Scope.Closeable>
}

const callsOf = ({ counts }: Faults, operation: Operation): number => counts.get(operation) ?? 0

/** Counts a call. Returns the fault that `failCall` has set for it, if any. */
const countedFault = (self: Faults, operation: Operation): EngineFailure | undefined => {
  const { callFault, isUnharmed } = self
  if (isUnharmed) return undefined
  self.allCalls++
  if (callFault === undefined) return undefined
  const { call, code, lasts } = callFault
  const isHit = lasts ? self.allCalls >= call : self.allCalls === call
  return isHit ? new EngineFailure({ operation, code, detail: "as ordered", isRetryable: true }) : undefined
}

/** Counts a call of an operation. Returns its fault, if any. */
const faultOf = (self: Faults, operation: Operation): Fault | undefined => {
  const call = callsOf(self, operation) + 1
  self.counts.set(operation, call)
  const counted = countedFault(self, operation)
  if (self.isUnharmed) return undefined
  return counted ?? self.once.get(`${operation} ${call}`) ?? self.always.get(operation)
}

const notFull = (operation: Operation): Exit.Exit<never> =>
  Exit.die(new Error(`only a commit can be too full, and this call is to ${operation}`))

const read = <A>(
  self: Faults,
  operation: Operation,
  call: () => Exit.Exit<A, EngineFailure>
): Exit.Exit<A, EngineFailure> => {
  const fault = faultOf(self, operation)
  if (fault === undefined) return call()
  return fault._tag === "EngineFull" ? notFull(operation) : Exit.fail(fault)
}

const run = <A>(
  self: Faults,
  operation: Operation,
  effect: Effect.Effect<A, EngineFailure>
): Effect.Effect<A, EngineFailure> =>
  Effect.suspend(() => {
    const fault = faultOf(self, operation)
    if (fault === undefined) return effect
    return fault._tag === "EngineFull" ? notFull(operation) : Effect.fail(fault)
  })

/** Records the batch that a plan decides. If the plan runs again, the batch of the last run replaces it. */
const recording = ({ batches }: Faults, plan: Engine.Plan): Engine.Plan => {
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
  self: Faults,
  environment: Engine.Environment,
  plan: Engine.Plan
): Effect.Effect<number | undefined, Fault> =>
  Effect.suspend((): Effect.Effect<number | undefined, Fault> => {
    const { callFault } = self
    const fault = faultOf(self, "commit")
    const recorded = recording(self, plan)
    const next = self.held.shift()
    const isReleased = next === undefined
      ? Effect.void
      : Effect.andThen(Deferred.succeed(next.wanted, undefined), next.latch.await)
    const made = environment.commit(recorded)
    const failWith = (error: Fault): Effect.Effect<never, Fault> =>
      Effect.andThen(
        callFault?.isLate === true
          ? Effect.asVoid(made)
          : Effect.asVoid(Effect.suspend(() => recorded(environment, 0))),
        Effect.fail(error)
      )
    return Effect.andThen(isReleased, fault === undefined ? made : failWith(fault))
  }).pipe(Effect.uninterruptible)

const faultyReader = (self: Faults, from: Engine.Reader): Engine.Reader => ({
  get: (database, key, decode) => read(self, "get", () => from.get(database, key, decode)),
  getMany: (database, keys, decode) => read(self, "get", () => from.getMany(database, keys, decode)),
  has: (database, key) => read(self, "has", () => from.has(database, key)),
  read: (database, request) => read(self, "read", () => from.read(database, request)),
  count: (database) => read(self, "count", () => from.count(database))
})

const faultyEnvironment = (self: Faults, environment: Engine.Environment): Engine.Environment => ({
  ...environment,
  ...faultyReader(self, environment),
  openDatabase: (name) => read(self, "openDatabase", () => environment.openDatabase(name)),
  createDatabases: (names) => run(self, "createDatabases", environment.createDatabases(names)),
  snapshot: () =>
    read(
      self,
      "snapshot",
      () => Exit.map(environment.snapshot(), (snapshot) => ({ ...snapshot, ...faultyReader(self, snapshot) }))
    ),
  stats: () => read(self, "stats", environment.stats),
  commit: (plan) => commit(self, environment, plan),
  resize: (mapSize, options) => run(self, "resize", environment.resize(mapSize, options)),
  backup: (path, options) => run(self, "backup", environment.backup(path, options))
})

const holdCommit = (self: Faults): Effect.Effect<HeldCommit, never, Scope.Scope> =>
  Effect.gen(function*() {
    const wanted = yield* Deferred.make<void>()
    const latch = yield* Effect.acquireRelease(Latch.make(), Latch.open)
    self.held.push({ wanted, latch })
    return { isWanted: Deferred.await(wanted), release: Effect.asVoid(latch.open) }
  })

/** Opens an environment in a scope of its own, which can be closed early. */
const openFaulty = (
  self: Faults,
  real: Engine.Engine["Service"],
  options: Engine.EngineOptions
): ReturnType<Engine.Engine["Service"]["open"]> =>
  Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void)).pipe(
    Effect.tap((scope) => Effect.sync(() => self.scopes.push(scope))),
    Effect.flatMap((scope) => Scope.provide(real.open(options), scope)),
    Effect.map((environment) => faultyEnvironment(self, environment))
  )

/**
 * Wraps an engine. It begins without faults.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makeOn = (real: Engine.Engine["Service"]): FaultyEngine => {
  const self: Faults = {
    counts: new Map(),
    once: new Map(),
    always: new Map(),
    callFault: undefined,
    allCalls: 0,
    isUnharmed: false,
    batches: [],
    held: [],
    scopes: []
  }
  return {
    engine: { fileName: real.fileName, open: (options) => openFaulty(self, real, options) },
    calls: (operation) => callsOf(self, operation),
    allCalls: () => self.allCalls,
    batches: () => self.batches,
    fail: (operation, fault, number = 1) =>
      Effect.sync(() => void self.once.set(`${operation} ${callsOf(self, operation) + number}`, fault)),
    failAlways: (operation, fault) => Effect.sync(() => void self.always.set(operation, fault)),
    failCall: (fault) =>
      Effect.sync(() => {
        self.callFault = fault
        self.allCalls = 0
      }),
    heal: Effect.sync(() => {
      self.once.clear()
      self.always.clear()
      self.callFault = undefined
    }),
    unharmed: (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => void (self.isUnharmed = true)),
        () => effect,
        () => Effect.sync(() => void (self.isUnharmed = false))
      ),
    holdCommit: holdCommit(self),
    closeBehindItsBack: Effect.suspend(() =>
      Effect.forEach(self.scopes, (scope) => Scope.close(scope, Exit.void), { discard: true })
    )
  }
}

/**
 * Wraps the LMDB engine. It begins without faults.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: Effect.Effect<FaultyEngine> = Effect.map(
  Effect.provide(Engine.Engine, LmdbEngine.layer),
  makeOn
)
