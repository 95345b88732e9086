/**
 * An engine with faults on demand: any call can be made to fail, and commits can be held back before they touch
 * the disk. Everything else is the real engine, on a real file.
 *
 * **Details**
 *
 * There are two ways to choose the call that fails. `fail` and `failAlways` choose it by its operation. `failCall`
 * chooses it by its number among all calls, so that a test can run a program once for each call of it and let
 * another one fail each time.
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
 * What an environment or a snapshot of it can be asked to do. `getMany` counts as `get`.
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
 * What a call can be made to fail with. Only a commit can be too full.
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
 * A fault of a call that is chosen by its number.
 *
 * @category models
 * @since 0.2.0
 */
export interface CallFault {
  /** The number of the first call that fails, among all calls since `failCall`, from 1 on. */
  readonly call: number
  /** The code that it fails with. */
  readonly code: number
  /** Whether all calls after it fail too, until `heal`. */
  readonly lasts: boolean
  /** Whether a commit that fails was made all the same, as when the disk fails at its end. */
  readonly isLate: boolean
}

/**
 * A commit that is kept from beginning.
 *
 * @category models
 * @since 0.2.0
 */
export interface HeldCommit {
  /** Waits until the store asks for the commit. */
  readonly isWanted: Effect.Effect<void>
  /** Lets it begin. */
  readonly release: Effect.Effect<void>
}

/**
 * The engine, and what can be done to it.
 *
 * @category models
 * @since 0.2.0
 */
export interface FaultyEngine {
  readonly engine: Engine.Engine["Service"]
  /** How often an operation was asked for, failures included. */
  readonly calls: (operation: Operation) => number
  /** How many calls of all operations there were since `failCall`. */
  readonly allCalls: () => number
  /** The batches that were asked to be committed, as they were decided. */
  readonly batches: () => ReadonlyArray<ReadonlyArray<Engine.Write>>
  /** Makes call `number` of an operation, counted from now, fail; 1 is the next. */
  readonly fail: (operation: Operation, fault: Fault, number?: number) => Effect.Effect<void>
  /** Makes all calls of an operation fail from now on. */
  readonly failAlways: (operation: Operation, fault: Fault) => Effect.Effect<void>
  /** Makes a call fail that is chosen by its number, and begins to count. */
  readonly failCall: (fault: CallFault) => Effect.Effect<void>
  /** Ends all faults. */
  readonly heal: Effect.Effect<void>
  /** Runs an effect without faults, and without counting its calls for `failCall`. */
  readonly unharmed: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Holds the next commit back, at most until the scope closes. */
  readonly holdCommit: Effect.Effect<HeldCommit, never, Scope.Scope>
  /** Closes what is open, without telling the store. */
  readonly closeBehindItsBack: Effect.Effect<void>
}

/** The state of the faults. */
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

/** Counts a call; gives what the fault by numbers makes of it. */
const countedFault = (self: Faults, operation: Operation): EngineFailure | undefined => {
  const { callFault, isUnharmed } = self
  if (isUnharmed) return undefined
  self.allCalls++
  if (callFault === undefined) return undefined
  const { call, code, lasts } = callFault
  const isHit = lasts ? self.allCalls >= call : self.allCalls === call
  return isHit ? new EngineFailure({ operation, code, detail: "as ordered", isRetryable: true }) : undefined
}

/** Counts a call; gives what it has to fail with. */
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

/** Takes down the batch that a plan decides on: that of its last run. */
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
 * Wraps an engine. It has no faults so far.
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
 * Makes LMDB with faults on demand. It has none so far.
 *
 * @category constructors
 * @since 0.2.0
 */
export const make: Effect.Effect<FaultyEngine> = Effect.map(
  Effect.provide(Engine.Engine, LmdbEngine.layer),
  makeOn
)
