/**
 * The claims that this process holds: their leases are renewed until they are settled.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { StoreOpening } from "../../StoreOpening.ts"
import * as Damage from "./damage.ts"
import type { EndedClaims } from "./endedClaims.ts"
import type { Element, Key } from "./queueElements.ts"
import * as QueueElements from "./queueElements.ts"

/** An element that this process has claimed. */
export interface Claim {
  readonly queue: string
  readonly id: string
  readonly key: Key
  readonly token: string
  readonly attempts: number
  readonly element: unknown
  /** When its lease ends, in milliseconds. */
  until: number
}

export interface QueueLeases extends EndedClaims {
  /** How long a lease lasts, in milliseconds. */
  readonly expiration: number
  /** Begins the tokens of this process. */
  readonly holder: string
  /** The claims that are not settled, by their tokens. */
  readonly held: Map<string, Claim>
  readonly damage: Damage.Damage
  /** The number of claims that were made. */
  claims: number
  /** Whether the opening of the store is on disk among those that claim. */
  isNoted: boolean
}

/** The shortest lease, in milliseconds. A shorter one would be renewed all the time. */
const shortestExpiration = 1000

export const make = (
  parts: EndedClaims,
  expiration: Duration.Input
): QueueLeases => ({
  ...parts,
  expiration: Math.max(shortestExpiration, Duration.toMillis(Duration.fromInputUnsafe(expiration))),
  holder: SecureRandom.uuidV4Unsafe(),
  held: new Map(),
  damage: Damage.make(),
  claims: 0,
  isNoted: false
})

/** The running queues of each open store in this process: several layers can be on it, through several handles. */
const runningOn = new WeakMap<StoreOpening, Set<QueueLeases>>()

const runningWith = ({ store }: QueueLeases): Set<QueueLeases> => {
  const running = runningOn.get(store.opening) ?? new Set()
  runningOn.set(store.opening, running)
  return running
}

/** Lets the other queues of this process on the same store know the claims, until the scope closes. */
export const join = (self: QueueLeases): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(
    Effect.sync(() => runningWith(self).add(self)),
    (running) => Effect.sync(() => running.delete(self))
  ))

/** Tells whether a handler of this process has the claim with a token, and its lease is renewed. */
export const isHeld = (self: QueueLeases, token: string): boolean =>
  [...runningWith(self)].some(({ held }) => held.has(token))

/** Makes a claim of an element. Returns it with the element that is to be stored. */
export const makeClaim = (self: QueueLeases, element: Element, now: number): readonly [Claim, Element] => {
  const token = `${self.holder}/${self.claims++}`
  const until = now + self.expiration
  const claimed = QueueElements.claim(element, { token, until, opening: self.store.opening.id })
  const { attempts, id, queue } = claimed
  return [{ queue, id, key: QueueElements.keyOf(claimed), token, attempts, element: element.element, until }, claimed]
}

/**
 * While the store fails, settling is tried again until the lease has ended. Then another worker can have the element. It is
 * not tried again for an element that is damaged: that would fail each time.
 */
const settleRetry = (self: QueueLeases) =>
  Schedule.min([Schedule.exponential(200, 1.5), Schedule.spaced(5000)]).pipe(
    Schedule.upTo({ duration: self.expiration })
  )

/**
 * Stores what becomes of a claimed element, on disk when it returns. Does nothing if another worker has claimed the
 * element since the lease ended. A failure of the store is a defect, as a finalizer cannot fail.
 */
const settle = (
  self: QueueLeases,
  claim: Claim,
  next: (element: Element, now: number) => Element
): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    self.elements.modify(
      claim.key,
      (current) =>
        Option.isSome(current) && current.value.lease?.token === claim.token
          ? [true, Option.some(next(current.value, now))]
          : [false, current],
      { durable: true }
    )).pipe(
      Effect.withTracerEnabled(false),
      Effect.retry({
        schedule: settleRetry(self),
        while: ({ _tag }) => _tag !== "Closed" && _tag !== "ReadOnly" && _tag !== "ValueDecoding"
      }),
      Effect.orDie,
      Effect.ensuring(Effect.sync(() => self.held.delete(claim.token))),
      Effect.flatMap((isHolder) =>
        isHolder
          ? Effect.void
          : Effect.logWarning(
            `The lease of an element of the queue "${claim.queue}" ended before its worker did: another worker has it.`
          )
      )
    )

export const complete = (self: QueueLeases, claim: Claim): Effect.Effect<void> =>
  settle(self, claim, QueueElements.complete)

export const fail = (self: QueueLeases, claim: Claim, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  settle(self, claim, (element, now) => QueueElements.fail(element, now, Cause.pretty(cause)))

export const retry = (
  self: QueueLeases,
  claim: Claim,
  delay: Duration.Duration,
  cause: Cause.Cause<unknown>
): Effect.Effect<void> =>
  settle(
    self,
    claim,
    (element, now) => QueueElements.retry(element, now + Duration.toMillis(delay), Cause.pretty(cause))
  )

/** Ends a claim without counting the attempt. */
export const giveBack = (self: QueueLeases, claim: Claim): Effect.Effect<void> =>
  settle(self, claim, QueueElements.giveBack)

/** Renews the leases of the claims that are held and of which a quarter has passed, in one transaction. */
const renew = Effect.fnUntraced(function*(self: QueueLeases) {
  const latest = (yield* Clock.currentTimeMillis) + 0.75 * self.expiration
  const old = new Map(
    Array.from(self.held.values(), (claim) => [claim.key, claim] as const).filter(([, { until }]) => until <= latest)
  )
  if (old.size === 0) return
  const until = latest + 0.25 * self.expiration
  const renewed = yield* self.store.withTransaction(Effect.gen(function*() {
    const { damaged, found } = yield* Damage.getEach(self.elements, [...old.keys()])
    // Other claims were settled, or their elements have been claimed again.
    const held = Array.from(old.values()).flatMap((claim) => {
      const element = found.get(claim.key)
      return element?.lease?.token === claim.token ? [{ claim, element, lease: element.lease }] : []
    })
    yield* self.elements.putMany(
      held.map(({ claim: { key }, element, lease }) => [key, QueueElements.renew(element, lease, until)])
    )
    return { held, damaged }
  }))
  for (const { claim } of renewed.held) claim.until = until
  yield* Effect.forEach(renewed.damaged, ([key, error]) =>
    Damage.report(
      self.damage,
      error,
      `An element of the queue "${old.get(key)?.queue}" was damaged while its handler ran: its end cannot be stored`
    ), { discard: true })
})

/**
 * Renews leases for ever, each when between a quarter and three eighths of it have passed. The claim of a shorter handler
 * needs no further write.
 */
export const keepRenewing = (self: QueueLeases): Effect.Effect<never> =>
  Effect.sleep(self.expiration / 8).pipe(
    Effect.andThen(
      renew(self).pipe(
        Effect.tapError((error) => Effect.logWarning("Failed to renew the leases of queue elements", error)),
        Effect.retry({ schedule: Schedule.spaced(500), while: ({ _tag }) => _tag !== "Closed" && _tag !== "ReadOnly" }),
        Effect.ignore
      )
    ),
    Effect.withTracerEnabled(false),
    Effect.forever
  )
