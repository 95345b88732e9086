/**
 * Names the keys whose writes are lost because a store closes and its last commit failed.
 */
import { type ByteString, toBytes } from "../../Key.ts"
import { type CommitError, EngineFailure, MapFull } from "../../StoreError.ts"
import { recordsDatabase } from "../databases.ts"
import type { StoreHandle } from "./storeAccess.ts"

/** How many keys the error names, so that its message stays readable. */
const mostShown = 10

/** Adds the lost keys to the error of the last commit. Their writes are still in the buffer. */
export const withLostWrites =
  ({ core: { backend, shownKeys }, keys, options: { path } }: Omit<StoreHandle, "isClosed" | "onReleased">) =>
  (error: CommitError): CommitError => {
    const shown: Array<string> = []
    let count = 0
    for (const [database, key] of backend.pendingWrites()) {
      const show = database === recordsDatabase
        ? (record: ByteString): string => keys.show(toBytes(record))
        : shownKeys.get(database)
      // Index entries are lost with their records, so they are not named.
      if (show === undefined) continue
      count++
      if (shown.length < mostShown) shown.push(show(key))
    }
    const lost = { path, count, keys: shown }
    if (error._tag === "MapFull") {
      return new MapFull({ limit: error.limit, used: error.used, pending: error.pending, outcome: "lost", lost })
    }
    const { cause, code, detail, isRetryable, operation, outcome, sqlState } = error
    return new EngineFailure({
      operation,
      code,
      detail,
      isRetryable,
      lost,
      ...(cause === undefined ? {} : { cause }),
      ...(outcome === undefined ? {} : { outcome }),
      ...(sqlState === undefined ? {} : { sqlState })
    })
  }
