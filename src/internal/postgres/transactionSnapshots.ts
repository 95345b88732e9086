/**
 * Opens what an attempt of a transaction reads: a snapshot that holds no connection, or, after attempts that could not read
 * to their end, one that does.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Reader, TransactionSnapshot } from "../../Backend.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { guarded } from "../reader/guardedReader.ts"
import * as ExtendedSnapshot from "./extendedSnapshot.ts"
import * as PendingLayers from "./pendingLayers.ts"
import * as Snapshots from "./snapshots.ts"
import { inRealTime } from "./sqlFailure.ts"

/** What transactions read from. */
export interface TransactionSnapshots {
  readonly source: ExtendedSnapshot.Source
  readonly pending: PendingLayers.PendingLayers
  readonly held: Snapshots.Snapshots
}

/** How long an attempt waits for a connection. Other transactions, which it may wait for, could hold all of them. */
const patience = "1 second"

/** Makes a reader interrupt the fiber that reads after its connection was lost. */
const interrupting = (reader: Reader, onLost: () => void): Reader =>
  guarded(reader, (read) =>
    Effect.catch(read(), (failure) => {
      if (!failure.isRetryable) return Effect.fail(failure)
      onLost()
      return Effect.interrupt
    }))

/** Opens a snapshot on a connection of its own; `None` if none is free. */
const openHeld = ({ held }: TransactionSnapshots) =>
  Effect.map(
    inRealTime(Effect.timeoutOption(Snapshots.open(held), patience)),
    Option.map((snapshot): TransactionSnapshot => {
      let isLost = false
      const onLost = () => {
        isLost = true
      }
      return {
        ...interrupting(snapshot, onLost),
        release: snapshot.release,
        isTentative: false,
        isOutdated: () => isLost
      }
    })
  )

/** Opens a snapshot of what is committed now, and of the writes that are pending now. */
export const open = (
  self: TransactionSnapshots,
  isHeld: boolean
): Effect.Effect<TransactionSnapshot, EngineFailure> => {
  const extended = Effect.sync(() => ExtendedSnapshot.open(self.source, PendingLayers.layers(self.pending)))
  return isHeld
    ? Effect.flatMap(openHeld(self), Option.match({ onNone: () => extended, onSome: Effect.succeed }))
    : extended
}
