/** Expiry times of records whose steps compute in milliseconds. */
import * as DateTime from "effect/DateTime"

/** The last time of `Date`, in milliseconds. */
const lastTime = 8.64e15

/**
 * Returns when a record expires, `undefined` if it never does. The clock has whole milliseconds, and a record is there
 * until its time has come in full.
 */
export const expirationOf = (millis: number): DateTime.Utc | undefined => {
  const time = Math.ceil(millis)
  return time > lastTime ? undefined : DateTime.makeUnsafe(time)
}
