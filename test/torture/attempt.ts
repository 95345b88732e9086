/**
 * A call that must end in a result or in a typed error, and soon.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
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

/** Runs a call that must end in a result or in a typed error, and soon. */
export const attempt = <A, E extends { readonly _tag: string; readonly message: string }, R>(
  recorder: Recorder,
  what: string,
  call: () => Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<A>, never, R> =>
  Effect.suspend(call).pipe(
    Effect.timeoutOption("10 seconds"),
    Effect.exit,
    Effect.map((exit) => {
      recorder.count("calls")
      if (Exit.isSuccess(exit)) {
        if (Option.isNone(exit.value)) recorder.lose(`${what}: nothing came of it`)
        return exit.value
      }
      if (Cause.pretty(exit.cause).includes(ownFault)) {
        recorder.count("faults of the program's own")
        return Option.none()
      }
      const error = Cause.findErrorOption(exit.cause)
      if (Option.isNone(error)) recorder.lose(`${what}: ${Cause.pretty(exit.cause)}`)
      else {
        recorder.count("typed errors")
        const isExpected = expected.has(error.value._tag) && error.value.message.length > 10
        recorder.expect(isExpected, `${what}: ${error.value._tag} ${error.value.message}`)
      }
      return Option.none()
    })
  )
