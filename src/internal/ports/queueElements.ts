/**
 * The elements of all persisted queues in a store: one collection, and the states of an element.
 *
 *                  claim                     complete
 *     ┌─────────┐ ───────────────> ┌───────┐ ─────────> completed ──cleanup──> (deleted)
 *     │ pending │                  │ leased│
 *     └─────────┘ <─────────────── └───────┘ ─────────> failed ──purge, cleanup──> (deleted)
 *        ^  give back, retry, end of the lease,   fail     │
 *        │  end of the opening                             │
 *        └──────────────────────── requeue ────────────────┘
 *
 * A leased element is a pending one with a lease. When the lease has ended, it can be claimed again. An element stays in
 * the collection after it was completed, so that an offer with the same id does nothing. Its value is dropped.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as PortCollection from "./portCollection.ts"
import { storageKey } from "./storageKey.ts"
import * as TimeSequence from "./timeSequence.ts"

/** The name of the queue and the id of the element, both as `storageKey` gives them. */
const Key = Schema.Tuple([Schema.String, Schema.String])

/** A queue, a time in milliseconds and a sequence. */
const TimeKey = Schema.Tuple([Schema.String, Schema.Number, Schema.Number])

const Lease = Schema.Struct({
  /** Another one for each claim: only its holder may settle the element or renew the lease. */
  token: Schema.String,
  /** When the lease ends, in milliseconds. */
  until: Schema.Number,
  /** The opening of the store in which it was claimed. Earlier versions of the package did not store it. */
  opening: Schema.optionalKey(Schema.String)
})

export const Element = Schema.Struct({
  queue: Schema.String,
  id: Schema.String,
  state: Schema.Literals(["pending", "completed", "failed"]),
  /** What was offered. A completed element has none. */
  element: Schema.optionalKey(Schema.Unknown),
  /** How often it was claimed, without the claims that were given back. */
  attempts: Schema.Int,
  /** Orders the elements that become visible at the same time. */
  sequence: Schema.Number,
  /** From when on it can be claimed, in milliseconds. */
  visibleAt: Schema.Number,
  /** When its state was last changed, in milliseconds. */
  changedAt: Schema.Number,
  lease: Schema.optionalKey(Lease),
  /** Why the last attempt failed. */
  lastFailure: Schema.optionalKey(Schema.String)
})

export type Key = typeof Key.Type

export type Element = typeof Element.Type

export type Lease = typeof Lease.Type

export const isKey = Schema.is(Key)

/** The name of the collection. */
export const collection = "effect.PersistedQueue"

/** Opens the collection. */
export const open = PortCollection.make(collection, {
  key: Key,
  value: Element,
  indexes: {
    /** The elements without a lease, in the order in which they are to be taken. */
    due: {
      key: TimeKey,
      of: ({ lease, queue, sequence, state, visibleAt }) =>
        state === "pending" && lease === undefined ? [storageKey(queue), visibleAt, sequence] : undefined
    },
    /** The leased elements, by the end of the lease. */
    leased: {
      key: TimeKey,
      of: ({ lease, queue, sequence }) => lease === undefined ? undefined : [storageKey(queue), lease.until, sequence]
    },
    /** The failed elements, the oldest failure first. */
    failed: {
      key: TimeKey,
      of: ({ changedAt, queue, sequence, state }) =>
        state === "failed" ? [storageKey(queue), changedAt, sequence] : undefined
    },
    /** The elements that no worker takes any more, of all queues, by the time since when. */
    settled: {
      key: Schema.Tuple([Schema.Literals(["completed", "failed"]), Schema.Number]),
      of: ({ changedAt, state }) => state === "pending" ? undefined : [state, changedAt]
    }
  }
})

export type Elements = Effect.Success<typeof open>

/** Returns the key of an element. */
export const keyOf = ({ id, queue }: Pick<Element, "queue" | "id">): Key => [storageKey(queue), storageKey(id)]

const issued = TimeSequence.make()

/** Returns the next number of an offer. */
export const nextSequence = (now: number): number => TimeSequence.next(issued, now)

/** Orders elements as they are to be taken. */
export const inOrder = (a: Element, b: Element): number => a.visibleAt - b.visibleAt || a.sequence - b.sequence

/** Tells whether an element can be claimed at a time. */
export const isClaimable = ({ lease, state, visibleAt }: Element, now: number): boolean =>
  state === "pending" && visibleAt <= now && (lease === undefined || lease.until <= now)

const withoutLease = (element: Element): Element => Struct.omit(element, ["lease"])

export const claim = (element: Element, lease: Lease): Element => ({
  ...element,
  attempts: element.attempts + 1,
  lease
})

/** Ends the claim of an opening of the store that has ended. The attempt counts. */
export const free = (element: Element): Element => withoutLease(element)

export const renew = (element: Element, lease: Lease, until: number): Element => ({
  ...element,
  lease: { ...lease, until }
})

/** Ends a claim as if it had not been made. */
export const giveBack = (element: Element): Element => ({ ...withoutLease(element), attempts: element.attempts - 1 })

export const retry = (element: Element, visibleAt: number, lastFailure: string): Element => ({
  ...withoutLease(element),
  visibleAt,
  lastFailure
})

export const complete = (element: Element, now: number): Element => ({
  ...Struct.omit(element, ["lease", "element"]),
  state: "completed",
  changedAt: now
})

export const fail = (element: Element, now: number, lastFailure: string): Element => ({
  ...withoutLease(element),
  state: "failed",
  changedAt: now,
  lastFailure
})

/** Makes a failed element pending again, as the last one of its queue. */
export const requeue = (element: Element, now: number, sequence: number): Element => ({
  ...element,
  state: "pending",
  attempts: 0,
  visibleAt: now,
  changedAt: now,
  sequence
})
