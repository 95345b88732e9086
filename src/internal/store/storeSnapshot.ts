/**
 * A snapshot of records as a handle: the methods that read, from the state of one moment.
 *
 * Its calls run in a transaction that only reads and records nothing. It ends with the scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Key } from "../../Key.ts"
import { Closed, type EngineFailure } from "../../StoreError.ts"
import type { StoreSnapshot } from "../../StoreRecords.ts"
import * as Transaction from "../transaction/transaction.ts"
import * as RangeMethods from "./rangeMethods.ts"
import * as ReadMethods from "./readMethods.ts"
import type { RecordAccess } from "./recordAccess.ts"
import * as RecordStream from "./recordStream.ts"

const serviceOf = (access: RecordAccess): StoreSnapshot => {
  const { get, getMany, getOrFail, has, size } = ReadMethods.make(access)
  const { count, entries, keys, values } = RangeMethods.make(access)
  return { get, getOrFail, getMany, has: (key: Key) => has(key), keys, values, entries, count, size }
}

/** Opens a snapshot of the records, pending writes included. It is released with the scope. */
export const open = (access: RecordAccess): Effect.Effect<StoreSnapshot, Closed | EngineFailure, Scope.Scope> => {
  const { core, isClosed, options: { path } } = access.handle
  return Effect.suspend(() => isClosed() ? access.closed : RecordStream.acquireSnapshot(access)).pipe(
    Effect.flatMap((opened) =>
      Effect.acquireRelease(
        Effect.sync(() => Transaction.beginReading(core, opened)),
        (transaction) => Effect.sync(() => Transaction.end(transaction))
      )
    ),
    Effect.map((fixedTransaction) =>
      serviceOf({
        ...access,
        transactionEnded: Effect.suspend(() => Effect.fail(new Closed({ path, what: "Snapshot" }))),
        fixedTransaction
      })
    )
  )
}
