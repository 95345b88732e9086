/** The records of all rate limits in a store: one collection. A record is deleted when it says nothing any more. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Collection from "../../Collection.ts"
import { Store } from "../../Store.ts"
import { AdaptiveLimit } from "./adaptiveLimit.ts"
import * as Damage from "./damage.ts"
import { expirationOf } from "./expiration.ts"
import { FixedWindow } from "./fixedWindow.ts"
import * as PortCollection from "./portCollection.ts"
import { storageKey } from "./storageKey.ts"
import * as TimedStep from "./timedStep.ts"
import { TokenBucket } from "./tokenBucket.ts"

const Limit = Schema.Union([FixedWindow, TokenBucket, AdaptiveLimit])

type Limit = typeof Limit.Type

/** The name of the limiter, the kind of the record, and the key of the limit. */
const Key = Schema.Tuple([Schema.String, Schema.String, Schema.String])

type Key = typeof Key.Type

/** Opens the collection. */
export const open = PortCollection.make("effect.RateLimiter", {
  key: Key,
  value: Limit,
  expires: ({ expiresAt }) => expirationOf(expiresAt)
})

export interface RateLimits extends TimedStep.TimedRecords<Key, Limit> {
  /** The name of the limiter. */
  readonly name: string
  readonly records: Effect.Success<typeof open>
}

/** Opens the limits of a limiter. */
export const make = Effect.fnUntraced(
  function*(name: string): Effect.fn.Return<RateLimits, Collection.OpenError, Store> {
    return {
      store: yield* Store,
      records: yield* open,
      name,
      damage: Damage.make(),
      consequence: "A rate limit is damaged and begins again"
    }
  }
)

type Kind<Tag extends Limit["_tag"]> = Extract<Limit, { readonly _tag: Tag }>

const isKind = <Tag extends Limit["_tag"]>(tag: Tag) => (limit: Limit): limit is Kind<Tag> => limit._tag === tag

/** Runs a step on the record of a kind. */
export const run = <Tag extends Limit["_tag"], A>(
  self: RateLimits,
  tag: Tag,
  key: string,
  step: (
    current: Kind<Tag> | undefined,
    now: number
  ) => readonly [result: A, next: Limit | undefined]
) =>
  TimedStep.run(
    self,
    [storageKey(self.name), tag, storageKey(key)],
    (stored: Limit | undefined, now) => step(stored !== undefined && isKind(tag)(stored) ? stored : undefined, now)
  )
