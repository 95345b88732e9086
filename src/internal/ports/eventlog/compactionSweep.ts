/**
 * Deletes in the background what no generation needs any more, and what expired stages have left.
 *
 * A transaction first takes it away from readers and notes what is to be deleted. Then transactions delete parts of it. If
 * the process dies in between, the next sweep goes on. Several processes can sweep one store.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type Compaction, deleteLimit, withoutStage } from "./compactionStage.ts"
import * as Batches from "./encryptedBatches.ts"
import * as Generations from "./generations.ts"
import * as Snapshots from "./snapshots.ts"

/** Ends an expired stage and marks what is to be deleted, in one transaction. Returns the new state. */
const mark = (self: Compaction, list: string, now: number) => {
  const { batches: { server }, generations } = self
  return server.store.withTransaction(Effect.gen(function*() {
    let state = yield* Generations.read(generations, list)
    if (state.stage !== undefined && state.stage.expiresAt <= now) state = yield* withoutStage(self, state)
    if (state.pruneAt !== undefined && state.pruneAt <= now) {
      state = yield* Generations.prune(generations, list, state, now)
    }
    yield* Generations.write(generations, list, state)
    return state
  }))
}

/** Deletes parts until one is not full. */
const deleteAll = <E>(deletePart: Effect.Effect<number, E>) =>
  Effect.repeat(deletePart, { while: (deleted) => deleted === deleteLimit })

const sweepList = Effect.fnUntraced(function*(self: Compaction, list: string, now: number) {
  const { batches, generations, snapshots } = self
  const { withTransaction } = batches.server.store
  const { discarded, pruneThrough } = yield* mark(self, list, now)
  for (const set of discarded) yield* deleteAll(withTransaction(Snapshots.deleteSome(snapshots, set, deleteLimit)))
  if (pruneThrough !== undefined) yield* deleteAll(Batches.deleteThrough(batches, list, pruneThrough, deleteLimit))
  if (discarded.length === 0 && pruneThrough === undefined) return
  const gone = new Set(discarded)
  yield* withTransaction(Effect.gen(function*() {
    const state = yield* Generations.read(generations, list)
    yield* Generations.write(generations, list, {
      ...state,
      discarded: state.discarded.filter((set) => !gone.has(set)),
      pruneThrough: state.pruneThrough === pruneThrough ? undefined : state.pruneThrough
    })
  }))
})

/** Logs a failure. The next sweep tries again. A store that is closed or read-only has no next one. */
const logged = <E extends { readonly _tag: string }, R>(effect: Effect.Effect<void, E, R>) =>
  Effect.catchIf(
    effect,
    ({ _tag }) => _tag !== "Closed" && _tag !== "ReadOnly",
    (error) => Effect.logWarning("Failed to delete what compactions have replaced", error)
  )

/** Sweeps all lists of the store for which there is something to do. */
const sweep = Effect.fnUntraced(function*(self: Compaction, now: number) {
  const due = yield* Stream.runCollect(self.generations.states.indexes.byDue.keys({ lte: now }))
  for (const list of due) yield* logged(sweepList(self, list, now))
})

/** Sweeps, and waits until an interval has passed since the sweep began. */
const sweepAndWait = Effect.fnUntraced(function*(self: Compaction) {
  const began = yield* Clock.currentTimeMillis
  yield* logged(sweep(self, began))
  const passed = (yield* Clock.currentTimeMillis) - began
  yield* Effect.sleep(Math.max(0, Duration.toMillis(self.config.sweepInterval) - passed))
})

/** Sweeps at once, and then at each interval, until the store closes. */
export const keepSweeping = (self: Compaction): Effect.Effect<void> =>
  Effect.forever(sweepAndWait(self)).pipe(Effect.ignore, Effect.withTracerEnabled(false))
