/** Open stages of compactions: what all methods of a stage have in common. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as EventLogServerEncrypted from "effect/eventlog/EventLogServerEncrypted"
import { CallerFailure, withTransaction } from "../callerFailure.ts"
import type * as Batches from "./encryptedBatches.ts"
import * as Generations from "./generations.ts"
import * as Snapshots from "./snapshots.ts"

/** What compaction works with. Times are in milliseconds. */
export interface Compaction {
  readonly batches: Batches.EncryptedBatches
  readonly snapshots: Snapshots.Snapshots
  readonly generations: Generations.Generations
  readonly config: EventLogServerEncrypted.CompactionConfig
  readonly grace: number
  readonly lag: number
  readonly stageTtl: number
}

/** Runs a transaction. Only refusals are failures: an error of the store is a defect. */
export const transact = <A, E1, E = never>(
  { batches: { server } }: Compaction,
  body: Effect.Effect<A, E1 | CallerFailure<E>>
): Effect.Effect<A, E> => withTransaction<A, E, E1, never, never>(server.store, () => body, Effect.die)

/** Fails a transaction with an error of the caller. */
export const refuse = <E>(error: E): Effect.Effect<never, CallerFailure<E>> => Effect.fail(new CallerFailure(error))

/** A call that cannot be right is a defect, as the methods have no error for it. */
export const dieOfArgument = (message: string): Effect.Effect<never> =>
  Effect.die(new Cause.IllegalArgumentError(message))

/** Reads an open stage. Refuses if it has expired, or was committed or aborted. */
export const openStage = Effect.fnUntraced(function*(
  { generations }: Compaction,
  list: string,
  stageId: string,
  now: number
) {
  const state = yield* Generations.read(generations, list)
  const stage = state.stage
  return stage !== undefined && stage.id === stageId && stage.expiresAt > now
    ? { state, stage }
    : yield* refuse(new EventLogServerEncrypted.CompactionNotFound({ stageId }))
})

/** Reads the generation to which a stage is pinned. Refuses if it is pruned. */
export const pinnedOf = Effect.fnUntraced(
  function*({ generations }: Compaction, list: string, stage: Generations.Stage) {
    const pinned = yield* Generations.activation(generations, list, stage.pinned)
    return pinned.isPruned
      ? yield* refuse(new EventLogServerEncrypted.CompactionNotFound({ stageId: stage.id }))
      : pinned
  }
)

/** How many records a transaction deletes. */
export const deleteLimit = 1000

/**
 * Takes the stage out of a state, inside a transaction, and deletes what was staged. What is more than a transaction should
 * delete is left to the sweep.
 */
export const withoutStage = Effect.fnUntraced(function*({ snapshots }: Compaction, state: Generations.State) {
  if (state.stage === undefined) return state
  const set = state.stage.id
  const isDeleted = (yield* Snapshots.deleteSome(snapshots, set, deleteLimit)) < deleteLimit
  return { ...state, stage: undefined, discarded: isDeleted ? state.discarded : [...state.discarded, set] }
})
