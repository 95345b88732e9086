/**
 * The errors of a database server as errors of the store: which of them may be gone at the next attempt, and which leave
 * open whether the server has run the statement.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { SqlError } from "effect/sql/SqlError"
import { EngineFailure } from "../../StoreError.ts"

/** The states of statements that may succeed later: by their first two characters, or by all five. */
const retryable: ReadonlySet<string> = new Set([
  // connection exceptions, conflicts with other transactions, too few resources
  "08",
  "40",
  "53",
  // a timeout of the server; the server shuts down, has crashed or starts; a lock was not free
  "57014",
  "57P01",
  "57P02",
  "57P03",
  "55P03"
])

/** The states after which the same statement may run at once on another connection. */
const connectionStates: ReadonlySet<string> = new Set(["08", "40", "57P01", "57P02", "57P03", "53300"])

/** The states that do not tell whether the statement has run to its end. */
const lostStates: ReadonlySet<string> = new Set(["08", "57P01", "57P02"])

const isIn = (states: ReadonlySet<string>, state: string): boolean => states.has(state) || states.has(state.slice(0, 2))

/** The error that a commit function raises when a later commit of the same process is recorded. */
export const staleToken = "EL001"

/** The SQLSTATE of an error; `undefined` if the server has not answered. */
export const stateOf = ({ reason: { cause } }: SqlError): string | undefined =>
  Predicate.hasProperty(cause, "code") && Predicate.isString(cause.code) && /^[0-9A-Z]{5}$/.test(cause.code)
    ? cause.code
    : undefined

const isConnectionError = ({ reason }: SqlError): boolean => reason._tag === "ConnectionError"

/** Whether the same statement may succeed later. */
const isRetryable = (error: SqlError): boolean => {
  const state = stateOf(error)
  return state === undefined ? isConnectionError(error) : isIn(retryable, state)
}

/** Whether the connection was lost, or the server could not be reached or was busy: the same statement may run again soon. */
export const isTransient = (error: SqlError): boolean => {
  const state = stateOf(error)
  return state === undefined ? isConnectionError(error) : isIn(connectionStates, state)
}

/**
 * Whether the server may have run a statement to its end before the error: the connection was lost, or the server has ended
 * it, which can happen while a commit waits for a standby.
 */
export const mayHaveRun = (error: SqlError): boolean => {
  const state = stateOf(error)
  return state === undefined ? isConnectionError(error) : isIn(lostStates, state)
}

/** The message of the server, which the client keeps in the fields of the error. */
const messageOf = ({ message, reason: { cause } }: SqlError): string =>
  Predicate.hasProperty(cause, "message") && Predicate.isString(cause.message)
    ? `${message}: ${cause.message}`
    : message

/** Makes the failure of an operation. */
export const engineFailure = (operation: string, error: SqlError): EngineFailure => {
  const state = stateOf(error)
  return new EngineFailure({
    operation,
    code: 0,
    detail: messageOf(error),
    isRetryable: isRetryable(error),
    ...(state === undefined ? {} : { sqlState: state }),
    cause: error
  })
}

/** Makes the failure of a statement whose answer is not what this package expects. */
export const unexpected = (operation: string, detail: string): EngineFailure =>
  new EngineFailure({ operation, code: 0, detail, isRetryable: false })

/** Real time: a `TestClock` must not stop a wait for the server. */
export const inRealTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

const now = (): number => Clock.Clock.defaultValue().currentTimeMillisUnsafe()

const firstDelay = 20
const longestDelay = 1000

/** Runs a statement again after transient errors, until `patience` has passed. Run only statements that may run twice. */
export const retrying = <A, R>(
  statement: Effect.Effect<A, SqlError, R>,
  patience: Duration.Duration
): Effect.Effect<A, SqlError, R> =>
  Effect.suspend(() => {
    const end = now() + Duration.toMillis(patience)
    const attempt = (delay: number): Effect.Effect<A, SqlError, R> =>
      Effect.catch(statement, (error) =>
        isTransient(error) && now() + delay <= end
          ? Effect.andThen(
            inRealTime(Effect.sleep(Duration.millis(delay))),
            Effect.suspend(() => attempt(Math.min(2 * delay, longestDelay)))
          )
          : Effect.fail(error))
    return attempt(firstDelay)
  })
