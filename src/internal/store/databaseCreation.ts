/**
 * Creates the databases that a collection or a namespace needs.
 */
import * as Effect from "effect/Effect"
import type { Closed, EngineFailure } from "../../StoreError.ts"
import * as StoreAccess from "./storeAccess.ts"

/** LMDB's code for a file that has as many databases as it can have: MDB_DBS_FULL. */
const databasesFull = -30791

/** The message of the errors for too many databases. */
export const tooManyDatabases =
  "the store has reached its maximum number of databases, about 1,000: each collection, each index and each namespace " +
  "needs one."

/**
 * Creates the databases that are missing, while no commit runs. `whenFull` makes the error of a store that cannot have
 * more databases. In a read-only store, a missing database stays empty until another process creates it.
 */
export const ensure = <E>(
  access: StoreAccess.StoreAccess,
  names: ReadonlyArray<string>,
  whenFull: (cause: EngineFailure) => E
): Effect.Effect<void, E | Closed | EngineFailure> => {
  const { backend } = access.handle.core
  const create = (missing: ReadonlyArray<string>) =>
    Effect.catchCause(
      backend.createDatabases(missing),
      // If the store was closed during the call, fail with `Closed`.
      (cause): Effect.Effect<never, EngineFailure | Closed> => StoreAccess.refusal(access) ?? Effect.failCause(cause)
    ).pipe(
      Effect.catchTag("EngineFailure", (failure): Effect.Effect<never, E | EngineFailure> =>
        Effect.fail(failure.code === databasesFull ? whenFull(failure) : failure))
    )
  return StoreAccess.enter(access, () =>
    Effect.flatMap(Effect.suspend(backend.databases), (existing) => {
      const present = new Set(existing)
      const missing = names.filter((name) => !present.has(name))
      return missing.length === 0 ? Effect.void : create(missing)
    }))
}
