/**
 * Lets transactions that were in conflict run again one after the other, where they
 * read or write the same keys.
 *
 * If a thousand that update one key ran again all at once, one would be made and the
 * others would be in conflict again. So each waits for those before it that have a key
 * in common with it. It is a courtesy, not a lock: when none of those who run comes to
 * an end for a while, some who wait go on, and more of them each time. What a transaction
 * waits for may be another that waits for it.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Fork } from "../fork.ts"

/** The turn of a transaction that runs again. */
interface Turn {
  readonly addresses: ReadonlyArray<string>
  readonly followers: Set<Turn>
  /** How many that it waits for have not ended. */
  ahead: number
  readonly canRun: Deferred.Deferred<void>
}

/** The turns of the transactions on a store. */
export interface RetryTurns {
  /** Lets all go on, for the store closes. */
  readonly end: () => void
  /** Runs an effect when it is its turn among those with an address in common. */
  readonly inTurn: <A, E, R>(
    addresses: ReadonlyArray<string>,
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}

/** For so long nobody comes to an end before some go on. It is not the program's time that passes here. */
const patience = Effect.provideService(Effect.sleep("50 millis"), Clock.Clock, Clock.Clock.defaultValue())

/** Makes the turns of a store. */
export const make = (fork: Fork): RetryTurns => {
  /** The last to come of each address. */
  const last = new Map<string, Turn>()
  const waiting = new Set<Turn>()
  let ended = 0
  let isWatched = false

  const letRun = (turn: Turn): void => {
    waiting.delete(turn)
    Deferred.doneUnsafe(turn.canRun, Exit.void)
  }

  /** Lets those go on who have waited longest: `count` of them, and twice as many the next time. */
  const watch = (count: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const before = ended
      return Effect.flatMap(patience, () => {
        const isStuck = ended === before
        if (isStuck) [...waiting].slice(0, count).forEach(letRun)
        isWatched = waiting.size > 0
        return isWatched ? watch(isStuck ? 2 * count : 1) : Effect.void
      })
    })

  const enter = (addresses: ReadonlyArray<string>): Turn => {
    const turn: Turn = { addresses, followers: new Set(), ahead: 0, canRun: Deferred.makeUnsafe() }
    for (const address of addresses) {
      const before = last.get(address)
      if (before !== undefined && before !== turn && !before.followers.has(turn)) {
        before.followers.add(turn)
        turn.ahead++
      }
      last.set(address, turn)
    }
    if (turn.ahead === 0) letRun(turn)
    else waiting.add(turn)
    if (waiting.size > 0 && !isWatched) {
      isWatched = true
      fork(watch(1))
    }
    return turn
  }

  const leave = (turn: Turn): void => {
    ended++
    waiting.delete(turn)
    for (const address of turn.addresses) {
      if (last.get(address) === turn) last.delete(address)
    }
    for (const follower of turn.followers) {
      follower.ahead--
      if (follower.ahead === 0) letRun(follower)
    }
  }

  return {
    end: () => {
      for (const turn of waiting) letRun(turn)
    },
    inTurn: (addresses, effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => enter(addresses)),
        (turn) => Effect.andThen(Deferred.await(turn.canRun), effect),
        (turn) => Effect.sync(() => leave(turn))
      )
  }
}
