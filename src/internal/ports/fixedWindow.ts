/**
 * The fixed-window algorithm of rate limits: a counter, and the time at which it begins again.
 *
 * A step is a function of the record and the time. It returns the result and the next record. A record that it returns as
 * it was given is not written.
 */
import * as Schema from "effect/Schema"

export const FixedWindow = Schema.TaggedStruct("FixedWindow", {
  /** The key as the caller gave it. */
  key: Schema.String,
  /** The tokens taken in the window. */
  count: Schema.Number,
  /** When the window ends, in milliseconds. Each token makes the window longer. */
  expiresAt: Schema.Number
})

export type FixedWindow = typeof FixedWindow.Type

export interface Take {
  readonly key: string
  readonly tokens: number
  /** The time by which one token makes the window longer, in milliseconds. */
  readonly refillMillis: number
  /** The most tokens of a window. Without one, all are taken. */
  readonly limit: number | undefined
}

/** Takes tokens. Returns the count, with tokens that were refused, and the milliseconds until the window ends. */
export const take = (
  current: FixedWindow | undefined,
  now: number,
  { key, limit, refillMillis, tokens }: Take
): readonly [result: readonly [count: number, timeToLive: number], next: FixedWindow | undefined] => {
  const window: FixedWindow = current === undefined || current.expiresAt <= now ?
    { _tag: "FixedWindow", key, count: 0, expiresAt: now }
    : current
  const count = window.count + tokens
  // Effect's memory store does not take 0 as a limit either.
  if (limit !== undefined && limit !== 0 && count > limit) return [[count, window.expiresAt - now], current]
  const expiresAt = window.expiresAt + refillMillis * tokens
  return [[count, expiresAt - now], expiresAt <= now ? undefined : { ...window, count, expiresAt }]
}
