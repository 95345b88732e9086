/**
 * The LMDB engine, watched: what reached the disk is recorded, and a call can be
 * held back at its beginning so that a test sees what goes on meanwhile.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { Engine, type OpenFailed, Store, type StoreOptions, type StoreService } from "../../../src/index.ts"
import * as LmdbEngine from "../../../src/internal/lmdb/lmdbEngine.ts"
import { temporaryFolder } from "../harness.ts"

/** What can be held back. */
type Operation = "commit" | "resize" | "backup"

/** A call that is held back. */
interface HeldCall {
  /** Waits until the store makes the call. */
  readonly begun: Effect.Effect<void>
  /** Lets it happen. */
  readonly release: Effect.Effect<void>
}

/** The engine, and what was seen of it. */
interface SpyEngine {
  readonly engine: Engine.Engine["Service"]
  /** The batches that are on disk, each as its keys in order; `-` stands before a key that it deletes. */
  readonly commits: () => ReadonlyArray<ReadonlyArray<string>>
  /** How many transactions were made; one that writes nothing counts here, and is not among the batches. */
  readonly transactions: () => number
  /** Holds the next call of an operation back, until it is released or the scope ends. */
  readonly hold: (operation: Operation) => Effect.Effect<HeldCall, never, Scope.Scope>
}

const keysOf = ({ clear, writes }: Engine.Batch): ReadonlyArray<string> => [
  ...clear.map(() => "clear"),
  ...Array.from(writes, ([, key, value]) => value === null ? `-${key}` : key)
]

/** Makes an engine without any calls. */
const make: Effect.Effect<SpyEngine> = Effect.gen(function*() {
  const real = yield* Effect.provide(Engine.Engine, LmdbEngine.layer)
  const commits: Array<ReadonlyArray<string>> = []
  let transactions = 0
  const holds: Array<{ readonly operation: Operation; readonly whenCalled: Effect.Effect<void> }> = []

  const heldBack = <A, E>(operation: Operation, call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      const index = holds.findIndex((hold) => hold.operation === operation)
      const [hold] = index < 0 ? [] : holds.splice(index, 1)
      return hold === undefined ? call : Effect.andThen(hold.whenCalled, call)
    })

  const watch = (environment: Engine.Environment): Engine.Environment => ({
    ...environment,
    commit: (plan) =>
      Effect.suspend(() => {
        let keys: ReadonlyArray<string> = []
        const commit = environment.commit((present, transactionId) =>
          Exit.map(plan(present, transactionId), (batch) => {
            keys = batch === undefined ? [] : keysOf(batch)
            return batch
          })
        )
        const record = (transactionId: number | undefined) =>
          Effect.sync(() => {
            if (transactionId === undefined) {
              return
            }
            transactions++
            if (keys.length > 0) {
              commits.push(keys)
            }
          })
        return heldBack("commit", Effect.tap(commit, record))
      }).pipe(Effect.uninterruptible),
    resize: (mapSize, options) => heldBack("resize", environment.resize(mapSize, options)),
    backup: (path, options) => heldBack("backup", environment.backup(path, options))
  })

  return {
    engine: { ...real, open: (options) => Effect.map(real.open(options), watch) },
    commits: () => commits,
    transactions: () => transactions,
    hold: Effect.fnUntraced(function*(operation: Operation) {
      const begun = yield* Deferred.make<void>()
      const released = yield* Deferred.make<void>()
      const release = Effect.asVoid(Deferred.succeed(released, undefined))
      yield* Effect.addFinalizer(() => release)
      const whenCalled = Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(released))
      holds.push({ operation, whenCalled })
      return { begun: Deferred.await(begun), release }
    })
  }
})

/** A store on a watched engine, in a temporary folder. */
interface SpiedStore {
  readonly path: string
  readonly spy: SpyEngine
  readonly store: StoreService
}

/** Opens a new store on a watched engine. */
export const open: (
  options?: Omit<StoreOptions, "path">
) => Effect.Effect<SpiedStore, OpenFailed, Scope.Scope> = Effect.fnUntraced(function*(options) {
  const path = yield* temporaryFolder
  const spy = yield* make
  const store = yield* Effect.provideService(Store.makeWithEngine({ ...options, path }), Engine.Engine, spy.engine)
  return { path, spy, store }
})
