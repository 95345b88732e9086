/**
 * A call that must end in a result or in a typed error, and soon.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { hangLimit } from "../support/timeLimits.ts"
import { ownFault } from "./badCollections.ts"
import type { Recorder } from "./section.ts"

/** The errors that a method may fail with. */
const expected: ReadonlySet<string> = new Set([
  "KeyEncoding",
  "KeyNotFound",
  "ValueEncoding",
  "ValueDecoding",
  "OpenFailed",
  "CollectionFailed",
  "KeyExists",
  "UniqueViolation"
])

/** What all errors have. */
interface Failure {
  readonly _tag: string
  readonly message: string
}

const expectEnd = <A, E extends Failure>(
  recorder: Recorder,
  what: string,
  exit: Exit.Exit<Option.Option<A>, E>
): Option.Option<A> => {
  if (Exit.isSuccess(exit)) {
    recorder.expect(Option.isSome(exit.value), `${what}: nothing came of it`)
    return exit.value
  }
  const error = Cause.findErrorOption(exit.cause)
  if (Cause.pretty(exit.cause).includes(ownFault)) recorder.count("faults of the program's own")
  else if (Option.isNone(error)) recorder.lose(`${what}: ${Cause.pretty(exit.cause)}`)
  else {
    recorder.count("typed errors")
    const isExpected = expected.has(error.value._tag) && error.value.message.length > 10
    recorder.expect(isExpected, `${what}: ${error.value._tag} ${error.value.message}`)
  }
  return Option.none()
}

/** Runs a call that must end in a result or in a typed error, and soon. */
export const attempt = <A, E extends Failure, R>(
  recorder: Recorder,
  what: string,
  call: () => Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<A>, never, R> =>
  Effect.suspend(call).pipe(
    Effect.timeoutOption(hangLimit),
    Effect.exit,
    Effect.timed,
    Effect.map(([duration, exit]) => {
      recorder.count("calls")
      // Who holds the event loop holds the clock as well, and ends in something after all
      const milliseconds = Duration.toMillis(duration)
      recorder.expect(milliseconds < hangLimit, `${what}: it took ${milliseconds} ms`)
      return expectEnd(recorder, what, exit)
    })
  )
