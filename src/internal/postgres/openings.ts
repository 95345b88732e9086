/**
 * The openings of stores by this process, by their tables. All backends of a process on the same tables have one opening,
 * also if they use different clients: what a process claims in a store, all of its layers have.
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { StoreOpening } from "../../StoreOpening.ts"

/** An opening, and how many backends have it. */
interface SharedOpening {
  readonly opening: StoreOpening
  users: number
}

const openings = new Map<string, SharedOpening>()

/** Makes an opening. The server does not tell which other openings have ended. */
const make = (): StoreOpening => ({
  id: SecureRandom.uuidV4Unsafe(),
  knowsEnds: false,
  hasEnded: () => Effect.succeed(false)
})

/** Returns the opening of the tables with an identity, until the scope closes. Without an identity it is a new one. */
export const share = (identity: string | undefined): Effect.Effect<StoreOpening, never, Scope.Scope> => {
  if (identity === undefined) return Effect.sync(make)
  const acquired = Effect.sync(() => {
    const shared = openings.get(identity) ?? { opening: make(), users: 0 }
    openings.set(identity, shared)
    shared.users++
    return shared
  })
  const release = (shared: SharedOpening) =>
    Effect.sync(() => {
      shared.users--
      if (shared.users === 0) openings.delete(identity)
    })
  return Effect.map(Effect.acquireRelease(acquired, release), ({ opening }) => opening)
}
