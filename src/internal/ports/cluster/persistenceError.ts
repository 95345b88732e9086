/** The error of the storages of a cluster. */
import { PersistenceError } from "effect/cluster/ClusterError"
import * as Effect from "effect/Effect"

/** Gives the error of the cluster in place of the errors of the store, and keeps its calls out of the traces. */
export const orFail = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, PersistenceError, R> =>
  Effect.withTracerEnabled(effect, false).pipe(Effect.mapError((cause) => new PersistenceError({ cause })))
