/**
 * The token-bucket algorithm of rate limits: tokens that come back one by one, at intervals.
 *
 * A step is a function of the record and the time. It returns the result and the next record. A full bucket is not kept:
 * a bucket that is made again begins full.
 */
import * as Schema from "effect/Schema"

export const TokenBucket = Schema.TaggedStruct("TokenBucket", {
  /** The key as the caller gave it. */
  key: Schema.String,
  /** The tokens left. Negative if tokens were taken in advance. */
  tokens: Schema.Number,
  /** When the interval began in which the next token comes, in milliseconds. */
  lastRefill: Schema.Number,
  /** When the bucket is full again, in milliseconds. */
  expiresAt: Schema.Number
})

export type TokenBucket = typeof TokenBucket.Type

export interface Take {
  readonly key: string
  readonly tokens: number
  /** The tokens of a full bucket. */
  readonly limit: number
  /** The interval at which a token comes, in milliseconds. */
  readonly refillMillis: number
  /** Whether tokens may be taken in advance. */
  readonly allowOverflow: boolean
}

interface Level {
  readonly tokens: number
  readonly lastRefill: number
}

/** Adds the tokens that have come since the last refill. The interval goes on, except that of a full bucket. */
const refill = (current: Level, now: number, limit: number, refillMillis: number): Level => {
  const added = Math.max(0, Math.floor((now - current.lastRefill) / refillMillis))
  const tokens = added > 0 ? Math.min(limit, current.tokens + added) : current.tokens
  return { tokens, lastRefill: tokens >= limit ? now : current.lastRefill + added * refillMillis }
}

/** Takes tokens. Returns the tokens that are left, negative if they were refused, and the milliseconds of the interval. */
export const take = (
  current: TokenBucket | undefined,
  now: number,
  { allowOverflow, key, limit, refillMillis, tokens }: Take
): readonly [result: readonly [remaining: number, elapsedMillis: number], next: TokenBucket | undefined] => {
  const level = refill(current ?? { tokens: limit, lastRefill: now }, now, limit, refillMillis)
  const remaining = level.tokens - tokens
  const result = [remaining, Math.max(0, now - level.lastRefill)] as const
  // The tokens that have come are not written with a refusal: the next call adds them again.
  if (remaining < 0 && !allowOverflow) return [result, current]
  if (remaining >= limit) return [result, undefined]
  const expiresAt = level.lastRefill + Math.ceil(limit - remaining) * refillMillis
  return [result, { _tag: "TokenBucket", key, tokens: remaining, lastRefill: level.lastRefill, expiresAt }]
}
