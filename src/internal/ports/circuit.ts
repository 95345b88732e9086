/**
 * The states of a circuit, and the steps that change it.
 *
 *              trips                     its open time has ended, a call is the probe
 *     Closed ─────────▶ Open ──────────────────────────────────────────────▶ HalfOpen
 *        ▲                ▲─────────────────── the probe fails ────────────────┤ ▲ │ the probe is ignored, or its
 *        └──────────────────────────────────── the probe succeeds ─────────────┘ └─┘ lease ends: another call is the probe
 *
 * A step is a function of the record and the time. It returns the result and the next record. A record that it returns as
 * it was given is not written. A step may run again: it takes everything from the record, the time and its arguments.
 */
import * as Duration from "effect/Duration"
import type { Admission, CircuitBreakerStore, State, Transition, TripPolicy } from "effect/persistence/CircuitBreaker"
import * as Schema from "effect/Schema"
import * as TimeSequence from "./timeSequence.ts"

export const Circuit = Schema.Struct({
  /** The key as the caller gave it. */
  key: Schema.String,
  state: Schema.Literals(["Closed", "Open", "HalfOpen"]),
  /** Tells the calls that were admitted in this state from those of an earlier one. */
  generation: Schema.Int,
  /** The failures since the last success. */
  streak: Schema.Int,
  /** The last outcomes of a rate policy, the oldest first: "1" is a failure, "0" a success. */
  outcomes: Schema.String,
  /** When the open time ends, in milliseconds. */
  openUntil: Schema.Number,
  /** The openings since the count was last reset. */
  consecutiveOpenings: Schema.Int,
  /** The last open time, in milliseconds. */
  lastOpenFor: Schema.Number,
  /** When a closed circuit forgets its openings, in milliseconds. */
  resetAt: Schema.Number,
  /** When the lease of the probe ends, in milliseconds. It is 0 while no call is the probe. */
  leaseUntil: Schema.Number,
  /** When the circuit is dropped, in milliseconds. */
  expiresAt: Schema.Number
})

export type Circuit = typeof Circuit.Type

/** The options of the circuits of a store, in milliseconds. */
export interface Times {
  /** How long an idle circuit is kept. */
  readonly idle: number
  /** How long a probe keeps other calls out, unless it renews its lease. */
  readonly lease: number
}

/** Why a call is not admitted. */
export type Rejection = { readonly _tag: "Open"; readonly retryAfterMillis: number } | { readonly _tag: "HalfOpen" }

/** The store drops circuits in the background, and so perhaps later. */
const live = (current: Circuit | undefined, now: number): Circuit | undefined =>
  current === undefined || current.expiresAt <= now ? undefined : current

/** Notes that a circuit was used. An open circuit and a probe are kept for the idle time after their own time. */
const used = (circuit: Circuit, now: number, { idle }: Times): Circuit => {
  switch (circuit.state) {
    case "Closed":
      return { ...circuit, expiresAt: now + idle }
    case "Open":
      return { ...circuit, expiresAt: Math.max(now, circuit.openUntil) + idle }
    case "HalfOpen":
      return { ...circuit, expiresAt: Math.max(now, circuit.leaseUntil) + idle }
  }
}

const forgotten = { streak: 0, outcomes: "", leaseUntil: 0 } as const

const nextGeneration = ({ generation }: Circuit, now: number): number => TimeSequence.following(generation, now)

const newCircuit = (key: string, now: number): Circuit => ({
  ...forgotten,
  key,
  state: "Closed",
  // The circuit that was dropped before had only lower numbers: it was in use before this time.
  generation: TimeSequence.following(0, now),
  openUntil: 0,
  consecutiveOpenings: 0,
  lastOpenFor: 0,
  resetAt: 0,
  expiresAt: now
})

// ---------------------------------------------------------------------------
// admit
// ---------------------------------------------------------------------------

const admissionOf = (
  { consecutiveOpenings, generation, state }: Circuit,
  transition?: Transition
): Admission => ({ generation, probe: state === "HalfOpen", consecutiveOpenings, transition })

/** Makes a call the probe. Each probe has a generation of its own, so the outcome of an earlier one changes nothing. */
const probing = (circuit: Circuit, now: number, times: Times): Circuit =>
  used(
    { ...circuit, state: "HalfOpen", generation: nextGeneration(circuit, now), leaseUntil: now + times.lease },
    now,
    times
  )

/** Admits a call, or says why not. */
export const admit = (
  current: Circuit | undefined,
  now: number,
  key: string,
  times: Times
): readonly [result: Admission | Rejection, next: Circuit | undefined] => {
  const circuit = live(current, now) ?? newCircuit(key, now)
  switch (circuit.state) {
    case "Closed": {
      const isReset = circuit.consecutiveOpenings > 0 && now >= circuit.resetAt
      const next = used(isReset ? { ...circuit, consecutiveOpenings: 0 } : circuit, now, times)
      return [admissionOf(next), next]
    }
    case "Open": {
      if (now < circuit.openUntil) return [{ _tag: "Open", retryAfterMillis: circuit.openUntil - now }, current]
      const next = probing(circuit, now, times)
      return [admissionOf(next, { key, from: "Open", to: "HalfOpen" }), next]
    }
    case "HalfOpen": {
      if (circuit.leaseUntil > now) return [{ _tag: "HalfOpen" }, current]
      const next = probing(circuit, now, times)
      return [admissionOf(next), next]
    }
  }
}

/** Renews the lease of a probe. Returns whether the call still is the probe. */
export const renew = (
  current: Circuit | undefined,
  now: number,
  generation: number,
  times: Times
): readonly [isProbe: boolean, next: Circuit | undefined] => {
  const circuit = live(current, now)
  return circuit?.state === "HalfOpen" && circuit.generation === generation
    ? [true, used({ ...circuit, leaseUntil: now + times.lease }, now, times)]
    : [false, current]
}

// ---------------------------------------------------------------------------
// record
// ---------------------------------------------------------------------------

/** The outcome of a call, as `CircuitBreakerStore.record` gets it. */
export type Recorded = Parameters<CircuitBreakerStore["Service"]["record"]>[0]

type Change = readonly [transition: Transition | undefined, next: Circuit | undefined]

const open = (
  circuit: Circuit,
  from: "Closed" | "HalfOpen",
  now: number,
  { key, openFor }: Recorded,
  times: Times
): Change => {
  const lastOpenFor = Duration.toMillis(openFor)
  const consecutiveOpenings = circuit.consecutiveOpenings + 1
  const opened: Circuit = {
    ...circuit,
    ...forgotten,
    state: "Open",
    generation: nextGeneration(circuit, now),
    openUntil: now + lastOpenFor,
    lastOpenFor,
    consecutiveOpenings
  }
  return [{ key, from, to: "Open", retryAfter: openFor, consecutiveOpenings }, used(opened, now, times)]
}

const lastOf = (outcomes: string, size: number): string => outcomes.slice(Math.max(0, outcomes.length - size))

/** Whether the recorded outcomes open a circuit. */
const trips = ({ outcomes, streak }: Circuit, policy: TripPolicy): boolean => {
  if (policy._tag === "Consecutive") return streak >= policy.failures
  const failures = outcomes.replaceAll("0", "").length
  return outcomes.length >= policy.minimumCalls && failures > 0 && failures / outcomes.length >= policy.threshold
}

const recordProbe = (circuit: Circuit, now: number, recorded: Recorded, times: Times): Change => {
  switch (recorded.outcome) {
    case "Failure":
      return open(circuit, "HalfOpen", now, recorded, times)
    case "Ignored":
      // A renewal that is under way finds another generation, so it does not take the slot again.
      return [
        undefined,
        used({ ...circuit, generation: nextGeneration(circuit, now), leaseUntil: 0 }, now, times)
      ]
    case "Success": {
      const closed: Circuit = {
        ...circuit,
        ...forgotten,
        state: "Closed",
        generation: nextGeneration(circuit, now),
        resetAt: now + circuit.lastOpenFor
      }
      return [{ key: recorded.key, from: "HalfOpen", to: "Closed" }, used(closed, now, times)]
    }
  }
}

/** Records the outcome of a call. An outcome of an earlier generation changes nothing. */
export const record = (current: Circuit | undefined, now: number, recorded: Recorded, times: Times): Change => {
  const { generation, outcome, tripPolicy } = recorded
  const circuit = live(current, now)
  if (circuit === undefined || circuit.generation !== generation) return [undefined, current]
  if (circuit.state === "HalfOpen") return recordProbe(circuit, now, recorded, times)
  if (circuit.state !== "Closed" || outcome === "Ignored") return [undefined, used(circuit, now, times)]
  const hasFailed = outcome === "Failure"
  const streak = hasFailed ? circuit.streak + 1 : 0
  const outcomes = tripPolicy._tag === "Rate"
    ? lastOf(`${circuit.outcomes}${hasFailed ? "1" : "0"}`, tripPolicy.size)
    : circuit.outcomes
  const counted: Circuit = { ...circuit, streak, outcomes }
  return trips(counted, tripPolicy)
    ? open(counted, "Closed", now, recorded, times)
    : [undefined, used(counted, now, times)]
}

// ---------------------------------------------------------------------------
// state
// ---------------------------------------------------------------------------

/** The state of a circuit, as `CircuitBreaker.state` returns it. */
export const stateOf = (current: Circuit | undefined, now: number, key: string): State => {
  const circuit = live(current, now)
  switch (circuit?.state) {
    case "Open":
      return {
        _tag: "Open",
        key,
        retryAfter: Duration.millis(Math.max(0, circuit.openUntil - now)),
        consecutiveOpenings: circuit.consecutiveOpenings
      }
    case "HalfOpen":
      return {
        _tag: "HalfOpen",
        key,
        probing: circuit.leaseUntil > now,
        consecutiveOpenings: circuit.consecutiveOpenings
      }
    default:
      return { _tag: "Closed", key }
  }
}
