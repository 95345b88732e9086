/**
 * Checks how often a port looks for commits of other processes. Its background fiber would only log that the store refuses
 * the interval, and the port would miss those commits.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { PollOptions } from "../../Change.ts"
import { EngineFailure } from "../../StoreError.ts"

/** The errno for an invalid argument. */
const EINVAL = 22

/** Fails as `commits` of the store does. */
export const check = ({ pollInterval }: PollOptions): Effect.Effect<void, EngineFailure> =>
  pollInterval === undefined || Option.exists(Duration.fromInput(pollInterval), Duration.isPositive)
    ? Effect.void
    : Effect.fail(
      new EngineFailure({
        operation: "commits",
        code: EINVAL,
        detail: "pollInterval: it must be a duration of more than zero",
        isRetryable: false
      })
    )
