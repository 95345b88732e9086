/**
 * Adaptive rate limits: what the answers of a server tell about its limit.
 *
 *     (none) ──refused──> cooldown ──next call after it──> learning ──refused──> learned ──refused──> cooldown
 *
 * A step is a function of the record and the time. It returns the result and the next record. Calls of an earlier epoch
 * change nothing. A record is forgotten one minute after its window.
 */
import * as Duration from "effect/Duration"
import type { AdaptiveConsumeResult } from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"

export const AdaptiveLimit = Schema.TaggedStruct("AdaptiveLimit", {
  /** The key as the caller gave it. */
  key: Schema.String,
  phase: Schema.Literals(["cooldown", "learning", "learned"]),
  /** Tells the calls of one phase from those of an earlier one. */
  epoch: Schema.Int,
  /** When the cooldown ends; of a learned limit, when the tokens taken are all free again. In milliseconds. */
  cooldownUntil: Schema.Number,
  /** When the first call of the learning phase was made, in milliseconds. */
  learningStartedAt: Schema.Number,
  /** The tokens taken while learning, or in the window of a learned limit. */
  observedTokens: Schema.Number,
  learnedLimit: Schema.Number,
  learnedWindowMillis: Schema.Number,
  expiresAt: Schema.Number
})

export type AdaptiveLimit = typeof AdaptiveLimit.Type

type Consumed = readonly [result: AdaptiveConsumeResult, next: AdaptiveLimit | undefined]

const graceMillis = 60_000

const maxWindowMillis = 60 * 60 * 1000

/** Returns a time between 1 millisecond and 1 hour. */
const clamp = (millis: number): number => millis > 0 ? Math.min(millis, maxWindowMillis) : 1

const live = (current: AdaptiveLimit | undefined, now: number): AdaptiveLimit | undefined =>
  current === undefined || current.expiresAt <= now ? undefined : current

const resultOf = ({ epoch, phase }: AdaptiveLimit, delayMillis: number): AdaptiveConsumeResult => ({
  delay: Duration.millis(Math.max(0, delayMillis)),
  epoch,
  phase
})

/** Takes tokens of a learned limit, in windows that follow each other. */
const consumeLearned = (state: AdaptiveLimit, now: number, tokens: number): Consumed => {
  const { learnedLimit, learnedWindowMillis } = state
  const refillMillis = learnedWindowMillis / learnedLimit
  const isFree = state.cooldownUntil <= now
  const observedTokens = (isFree ? 0 : state.observedTokens) + tokens
  const cooldownUntil = (isFree ? now : state.cooldownUntil) + refillMillis * tokens
  const elapsed = observedTokens * refillMillis - (cooldownUntil - now)
  const windows = Math.floor((observedTokens - 1) / learnedLimit)
  return [
    resultOf(state, windows * learnedWindowMillis - elapsed),
    { ...state, observedTokens, cooldownUntil }
  ]
}

/** Takes tokens. Returns how long to wait, and the epoch that the feedback of the call has to name. */
export const consume = (
  current: AdaptiveLimit | undefined,
  now: number,
  { fallbackMillis, tokens }: { readonly tokens: number; readonly fallbackMillis: number }
): Consumed => {
  const state = live(current, now)
  if (state === undefined) return [{ delay: Duration.zero, epoch: 0, phase: "inactive" }, current]
  switch (state.phase) {
    case "cooldown": {
      if (state.cooldownUntil > now) return [resultOf(state, state.cooldownUntil - now), current]
      const learning: AdaptiveLimit = {
        ...state,
        phase: "learning",
        epoch: state.epoch + 1,
        learningStartedAt: now,
        observedTokens: tokens,
        expiresAt: now + fallbackMillis + graceMillis
      }
      return [resultOf(learning, 0), learning]
    }
    case "learning":
      return [resultOf(state, 0), { ...state, observedTokens: state.observedTokens + tokens }]
    case "learned":
      return consumeLearned(state, now, tokens)
  }
}

const coolDown = (key: string, epoch: number, cooldownUntil: number): AdaptiveLimit => ({
  _tag: "AdaptiveLimit",
  key,
  phase: "cooldown",
  epoch,
  cooldownUntil,
  learningStartedAt: 0,
  observedTokens: 0,
  learnedLimit: 0,
  learnedWindowMillis: 0,
  expiresAt: cooldownUntil + graceMillis
})

export interface Refusal {
  readonly key: string
  /** The epoch of the call that the server refused. */
  readonly epoch: number
  readonly tokens: number
  /** How long the server wants no calls, in milliseconds. */
  readonly retryAfterMillis: number
}

/** Takes note of a call that the server refused. Returns the next record. */
export const refused = (
  current: AdaptiveLimit | undefined,
  now: number,
  { epoch, key, retryAfterMillis, tokens }: Refusal
): AdaptiveLimit | undefined => {
  const waitMillis = clamp(retryAfterMillis)
  const until = now + waitMillis
  const state = live(current, now)
  if ((state?.epoch ?? 0) !== epoch) return current
  if (state === undefined) return coolDown(key, epoch, until)
  if (state.phase === "cooldown") return coolDown(key, epoch, Math.max(state.cooldownUntil, until))
  const accepted = state.observedTokens - tokens
  if (state.phase === "learned" || accepted <= 0) return coolDown(key, epoch, until)
  const learnedWindowMillis = clamp(now - state.learningStartedAt + waitMillis)
  return {
    ...state,
    phase: "learned",
    epoch: epoch + 1,
    cooldownUntil: state.learningStartedAt + learnedWindowMillis,
    observedTokens: accepted,
    learnedLimit: accepted,
    learnedWindowMillis,
    expiresAt: now + learnedWindowMillis + graceMillis
  }
}
