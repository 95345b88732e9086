/**
 * Decides what becomes of a claimed element, by how its handler has ended.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { PersistedQueueStore } from "effect/persistence/PersistedQueue"
import * as Predicate from "effect/Predicate"
import * as Leases from "./queueLeases.ts"

type TakeOptions = Pick<Parameters<PersistedQueueStore["Service"]["take"]>[0], "maxAttempts" | "retryDelay">

/**
 * Effect's factory fails the scope of a `take` with this when an element does not decode. The class is internal to Effect,
 * so it is recognized by its tag.
 */
const deadLetterOf = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> | undefined => {
  for (const reason of cause.reasons) {
    if (!Cause.isFailReason(reason)) continue
    const { error } = reason
    if (!Predicate.isTagged(error, "~effect/persistence/PersistedQueue/DeadLetter")) continue
    return Predicate.hasProperty(error, "cause") && Cause.isCause(error.cause) ? error.cause : cause
  }
  return undefined
}

/**
 * Offers an element again after the delay of its schedule. If the schedule itself fails, the element fails with both causes:
 * its claim would never end.
 */
const retryOrFail = (
  leases: Leases.QueueLeases,
  claim: Leases.Claim,
  retryDelay: TakeOptions["retryDelay"],
  cause: Cause.Cause<unknown>
): Effect.Effect<void> =>
  Effect.matchCauseEffect(retryDelay(claim.attempts), {
    onFailure: (broken) => Leases.fail(leases, claim, Cause.combine(cause, broken)),
    onSuccess: (delay) => Leases.retry(leases, claim, delay, cause)
  })

/** Settles a claim by how its handler has ended. */
export const settle = (
  leases: Leases.QueueLeases,
  claim: Leases.Claim,
  { maxAttempts, retryDelay }: TakeOptions,
  exit: Exit.Exit<unknown, unknown>
): Effect.Effect<void> => {
  if (exit._tag === "Success") return Leases.complete(leases, claim)
  const deadLetter = deadLetterOf(exit.cause)
  if (deadLetter !== undefined) return Leases.fail(leases, claim, deadLetter)
  if (Cause.hasInterruptsOnly(exit.cause)) return Leases.giveBack(leases, claim)
  if (claim.attempts >= maxAttempts) return Leases.fail(leases, claim, exit.cause)
  return retryOrFail(leases, claim, retryDelay, exit.cause)
}
