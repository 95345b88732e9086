/**
 * Says which writes are lost when a store closes and its last commit failed.
 */
import { type ByteString, toBytes } from "../../Key.ts"
import { type CommitError, EngineFailure, MapFull } from "../../StoreError.ts"
import { recordsDatabase } from "../databases.ts"
import type { StoreHandle } from "./storeAccess.ts"

/** A message stays readable with this many keys in it. */
const mostShown = 10

/** Adds the keys that are lost to the error of the last commit. The buffer still holds their writes. */
export const withLostWrites =
  ({ core: { backend, shownKeys }, keys, options: { path } }: Omit<StoreHandle, "isClosed" | "onReleased">) =>
  (error: CommitError): CommitError => {
    const shown: Array<string> = []
    let count = 0
    for (const [database, key] of backend.pendingWrites()) {
      const show = database === recordsDatabase
        ? (record: ByteString): string => keys.show(toBytes(record))
        : shownKeys.get(database)
      // The entries of indexes are lost with their records.
      if (show === undefined) continue
      count++
      if (shown.length < mostShown) shown.push(show(key))
    }
    const lost = { path, count, keys: shown }
    if (error._tag === "MapFull") {
      return new MapFull({ limit: error.limit, used: error.used, pending: error.pending, outcome: "lost", lost })
    }
    const { cause, code, detail, isRetryable, operation } = error
    return new EngineFailure({
      operation,
      code,
      detail,
      isRetryable,
      lost,
      ...(cause === undefined ? {} : { cause })
    })
  }
