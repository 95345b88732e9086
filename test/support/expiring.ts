/** What tests of expiry need: a store whose sweeper does not run, so that only reads hide what has expired. */
import * as Effect from "effect/Effect"
import type { StoreService } from "../../src/index.ts"
import { expiryDatabase } from "../../src/internal/databases.ts"
import * as StoreInternals from "../../src/internal/store/storeInternals.ts"
import * as Sweeper from "../../src/internal/store/sweeper.ts"
import { until } from "./harness.ts"

const coreOf = (store: StoreService) => StoreInternals.of(store).access.handle.core

/** Stops the sweeper for good. */
export const stopSweeper = (store: StoreService): Effect.Effect<void> => {
  const { sweeper } = coreOf(store)
  return sweeper === undefined ? Effect.void : Sweeper.stop(sweeper)
}

/** Waits until the sweeper has deleted some records in all, and sleeps again. */
export const swept = (store: StoreService, records: number): Effect.Effect<void> => {
  const { sweeper } = coreOf(store)
  return until(() => sweeper?.deleted === records && sweeper.state._tag !== "Sweeping")
}

/** How many records are stored in a database, whether they have expired or not. */
export const storedIn = (store: StoreService, database: string) => coreOf(store).expiry.backend.reader.count(database)

/** How many records have an entry that says when they expire. */
export const entriesOf = (store: StoreService) => storedIn(store, expiryDatabase)

/** The reader of the present state, which hides what has expired. */
export const presentReader = (store: StoreService) => coreOf(store).backend.reader
