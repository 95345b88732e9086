/** The records of all rate limits in a store: one collection. A record is deleted when it says nothing any more. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Collection from "../../Collection.ts"
import { AdaptiveLimit } from "./adaptiveLimit.ts"
import { expirationOf } from "./expiration.ts"
import { FixedWindow } from "./fixedWindow.ts"
import { storageKey } from "./storageKey.ts"
import { timedStep } from "./timedStep.ts"
import { TokenBucket } from "./tokenBucket.ts"

const Limit = Schema.Union([FixedWindow, TokenBucket, AdaptiveLimit])

type Limit = typeof Limit.Type

/** Opens the collection. The keys are the name of the limiter, the kind of the record, and the key of the limit. */
export const open = Collection.make("effect.RateLimiter", {
  key: Schema.Tuple([Schema.String, Schema.String, Schema.String]),
  value: Limit,
  expires: ({ expiresAt }) => expirationOf(expiresAt)
})

export interface RateLimits {
  readonly records: Effect.Success<typeof open>
  /** The name of the limiter. */
  readonly name: string
}

type Kind<Tag extends Limit["_tag"]> = Extract<Limit, { readonly _tag: Tag }>

const isKind = <Tag extends Limit["_tag"]>(tag: Tag) => (limit: Limit): limit is Kind<Tag> => limit._tag === tag

/** Runs a step on the record of a kind. */
export const run = <Tag extends Limit["_tag"], A>(
  { name, records }: RateLimits,
  tag: Tag,
  key: string,
  step: (
    current: Kind<Tag> | undefined,
    now: number
  ) => readonly [result: A, next: Limit | undefined]
) =>
  Clock.clockWith((clock) =>
    records.modify(
      [storageKey(name), tag, storageKey(key)],
      timedStep(
        clock,
        (stored: Limit | undefined, now) => step(stored !== undefined && isKind(tag)(stored) ? stored : undefined, now)
      )
    )
  )
