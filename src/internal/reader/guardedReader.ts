/**
 * A reader of which each read goes through a guard.
 */
import type * as Effect from "effect/Effect"
import type { Reader } from "../../Backend.ts"
import type { EngineFailure } from "../../StoreError.ts"

/** Decides what becomes of a read. It runs the read, or does not. */
type Guard = <A>(read: () => Effect.Effect<A, EngineFailure>) => Effect.Effect<A, EngineFailure>

/** Makes a reader that passes each read to a guard. */
export const guarded = (reader: Reader, guard: Guard): Reader => ({
  get: (database, key, decode) => guard(() => reader.get(database, key, decode)),
  getMany: (database, keys, decode) => guard(() => reader.getMany(database, keys, decode)),
  has: (database, key) => guard(() => reader.has(database, key)),
  read: (database, request) => guard(() => reader.read(database, request)),
  count: (database) => guard(() => reader.count(database))
})
