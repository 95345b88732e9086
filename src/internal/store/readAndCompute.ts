/**
 * Reads a record and computes from it in one turn of the event loop.
 *
 * No other fiber runs during such a turn, but the function of the caller may itself write the record, for example
 * with `Effect.runSync`. That write was acknowledged, so what was computed from the older record must not replace it.
 */
import type * as Effect from "effect/Effect"
import type { Reader } from "../../Backend.ts"
import type { ByteString } from "../../Key.ts"
import type { EngineFailure } from "../../StoreError.ts"
import { copyOf, isSameValue } from "../engineBytes.ts"
import * as Settled from "../settled.ts"

/** How often a function runs that writes its own record each time. */
const maxRuns = 100

const refusedDetail =
  `the function that computes it has itself written the record, each of the ${maxRuns} times that ` +
  "it ran. Write the record only by what the function returns"

/**
 * Reads a record, and computes from its bytes. Computes again if the record has changed in between. `refuse` gives the
 * result of a function that changes the record each time.
 */
export const readAndCompute = <A, E, R, A2, E2>(
  reader: Reader,
  database: string,
  key: ByteString,
  compute: (stored: Uint8Array | undefined) => Effect.Effect<A, E, R>,
  refuse: (detail: string) => Effect.Effect<A2, E2>
): Effect.Effect<A | A2, E | E2 | EngineFailure, R> => {
  const found = reader.get(database, key, copyOf)
  // A backend whose reads wait validates them at the commit.
  if (!Settled.isSucceeded(found)) return Settled.flatMap(found, compute)
  let stored = found.value
  for (let run = 0; run < maxRuns; run++) {
    const computed = compute(stored)
    if (!Settled.isSucceeded(computed)) return computed
    const before = stored
    const after = reader.get(database, key, (bytes) => isSameValue(bytes, before) ? before : copyOf(bytes))
    if (!Settled.isSucceeded(after)) return Settled.flatMap(after, () => computed)
    if (after.value === before) return computed
    stored = after.value
  }
  return refuse(refusedDetail)
}
